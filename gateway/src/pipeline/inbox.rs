//! What reaches the pipeline's thread: the source's events, and requests of a sink.

use offtake_sink_kafka::DeadLetterRequest;
use offtake_source_postgres::SourceEvent;

use super::worker::{Processed, Switch};

/// What the thread takes next.
pub enum Next {
    /// From the source.
    Event(SourceEvent),
    /// The oldest batch in hand went through the plugins.
    Processed(Processed),
    /// A change that a sink could not take. It comes before further events: the sink waits for it,
    /// and a full log may wait for the sink.
    Letter(DeadLetterRequest),
    /// Other plugins are to take over.
    Switch(Switch),
    /// The source's end of the channel is dropped.
    Ended,
}

/// What others than the source ask for.
pub struct Requests {
    /// `None` once nobody is left who could ask for one.
    pub letters: Option<flume::Receiver<DeadLetterRequest>>,
    /// The same.
    pub switches: Option<flume::Receiver<Switch>>,
}

/// Nobody is left who could ask for one.
enum Gone {
    Letters,
    Switches,
}

impl Requests {
    /// Waits for what comes next. `events`: where more can be taken in; `oldest`: tells when the
    /// oldest batch in hand is done, which comes before further events.
    pub fn next(
        &mut self,
        events: Option<&flume::Receiver<SourceEvent>>,
        oldest: Option<&flume::Receiver<Processed>>,
    ) -> Next {
        loop {
            if let Some(Ok(request)) = self.letters.as_ref().map(flume::Receiver::try_recv) {
                return Next::Letter(request);
            }
            if let Some(Ok(processed)) = oldest.map(flume::Receiver::try_recv) {
                return Next::Processed(processed);
            }
            let mut waiting = flume::Selector::new();
            if let Some(events) = events {
                waiting = waiting.recv(events, |event| Ok(event.map_or(Next::Ended, Next::Event)));
            }
            if let Some(oldest) = oldest {
                waiting = waiting.recv(oldest, |processed| {
                    Ok(Next::Processed(processed.unwrap_or_else(|_| Processed::lost())))
                });
            }
            if let Some(letters) = &self.letters {
                waiting = waiting
                    .recv(letters, |request| request.map(Next::Letter).map_err(|_| Gone::Letters));
            }
            if let Some(switches) = &self.switches {
                waiting = waiting
                    .recv(switches, |switch| switch.map(Next::Switch).map_err(|_| Gone::Switches));
            }
            match waiting.wait() {
                Ok(next) => return next,
                Err(Gone::Letters) => self.letters = None,
                Err(Gone::Switches) => self.switches = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use offtake_change::Lsn;

    use super::*;

    #[test]
    fn events_go_on_when_nobody_is_left_who_could_ask() {
        let (events, received) = flume::bounded(2);
        let (letters, requested) = flume::bounded(1);
        let (switches, switched) = flume::bounded(1);
        let mut requests = Requests { letters: Some(requested), switches: Some(switched) };
        events.send(SourceEvent::Idle(Lsn(1))).unwrap();
        assert!(matches!(requests.next(Some(&received), None), Next::Event(_)));
        drop((letters, switches));
        events.send(SourceEvent::Idle(Lsn(2))).unwrap();
        assert!(matches!(requests.next(Some(&received), None), Next::Event(_)));
        drop(events);
        assert!(matches!(requests.next(Some(&received), None), Next::Ended));
    }

    #[test]
    fn a_switch_is_heard_while_the_source_is_silent() {
        let (_events, received) = flume::bounded(2);
        let (switches, switched) = flume::bounded(1);
        let mut requests = Requests { letters: None, switches: Some(switched) };
        let (plugins, digest) = (Vec::new(), Vec::new());
        switches.send(Switch { plugins, digest, beside: None, asked: None }).unwrap();
        assert!(matches!(requests.next(Some(&received), None), Next::Switch(_)));
    }
}
