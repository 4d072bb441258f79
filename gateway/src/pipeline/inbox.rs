//! What reaches the pipeline's thread: the source's events, and requests of a sink.

use offtake_sink_kafka::DeadLetterRequest;
use offtake_source_postgres::SourceEvent;

/// What the thread takes next.
pub enum Next {
    /// From the source.
    Event(SourceEvent),
    /// A change that a sink could not take. It comes before further events: the sink waits for it,
    /// and a full log may wait for the sink.
    Letter(DeadLetterRequest),
    /// The source's end of the channel is dropped.
    Ended,
}

/// Waits for what comes next; `letters` becomes `None` once nobody is left who could ask for one.
pub fn next(
    events: &flume::Receiver<SourceEvent>,
    letters: &mut Option<flume::Receiver<DeadLetterRequest>>,
) -> Next {
    let event = |event: Result<SourceEvent, flume::RecvError>| match event {
        Ok(event) => Some(Next::Event(event)),
        Err(_) => Some(Next::Ended),
    };
    while let Some(requests) = &*letters {
        if let Ok(request) = requests.try_recv() {
            return Next::Letter(request);
        }
        let next = flume::Selector::new()
            .recv(events, event)
            .recv(requests, |request| request.ok().map(Next::Letter))
            .wait();
        match next {
            Some(next) => return next,
            None => *letters = None,
        }
    }
    events.recv().map_or(Next::Ended, Next::Event)
}

#[cfg(test)]
mod tests {
    use offtake_change::Lsn;

    use super::*;

    #[test]
    fn events_go_on_when_nobody_is_left_who_could_ask() {
        let (events, received) = flume::bounded(2);
        let (letters, requests) = flume::bounded(1);
        let mut requests = Some(requests);
        events.send(SourceEvent::Idle(Lsn(1))).unwrap();
        assert!(matches!(next(&received, &mut requests), Next::Event(_)));
        drop(letters);
        events.send(SourceEvent::Idle(Lsn(2))).unwrap();
        assert!(matches!(next(&received, &mut requests), Next::Event(_)));
        drop(events);
        assert!(matches!(next(&received, &mut requests), Next::Ended));
        assert!(requests.is_none() || received.is_disconnected());
    }
}
