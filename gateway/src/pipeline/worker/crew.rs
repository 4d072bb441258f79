//! Threads that run plugins beside the pipeline's own, each with an instance of every plugin.
//!
//! A batch goes to one of them as it came, and its outcome is put back in the order of the source:
//! the worker takes the oldest only, so what enters the log, and when, is the same with any number
//! of threads. Events that carry no change keep their place between the batches. What is in hand is
//! bounded; a full crew takes nothing more, so the source waits. Plugins that keep state see one
//! change after the other, so with them there is no crew.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::thread::JoinHandle;

use offtake_change::Batch;
use offtake_failpoint::crash_point;
use offtake_source_postgres::SourceEvent;

use super::super::chain::{Chain, Configured};
use super::super::halt::Halt;
use super::super::router::Router;
use super::Worker;
use super::work::Work;

/// A batch that went through the plugins, or why it did not.
pub struct Processed(Result<Box<Work>, Halt>);

/// A batch for one of the threads.
struct Job {
    work: Box<Work>,
    processed: flume::Sender<Processed>,
}

/// What stands in the order of the source.
enum Pending {
    /// One of the threads has it.
    Given(flume::Receiver<Processed>),
    /// A batch without plugins.
    Ready(Box<Work>),
    /// The source's progress.
    Progress(Box<SourceEvent>),
}

/// The threads, and what they have in hand.
pub(super) struct Crew {
    /// `None` once they are to end.
    jobs: Option<flume::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
    pending: VecDeque<Pending>,
}

impl Crew {
    /// Starts so many threads with these plugins.
    ///
    /// # Errors
    /// A plugin that cannot be instantiated, or a thread that cannot be started.
    fn start(count: usize, plugins: &[Configured], router: &Router) -> Result<Crew, Halt> {
        let (jobs, given) = flume::bounded(Self::in_hand(count));
        let mut crew = Crew { jobs: Some(jobs), threads: Vec::new(), pending: VecDeque::new() };
        for number in 1..=count {
            let (chain, given) = (Chain::new(plugins, router, &[])?, given.clone());
            let thread = std::thread::Builder::new()
                .name(format!("plugins-{number}"))
                .spawn(move || work(chain, &given));
            crew.threads.push(thread.map_err(|error| {
                Halt::new(
                    "THREAD",
                    format!("cannot start a thread: {error}"),
                    "raise the limit, or lower `workers`",
                )
            })?);
        }
        Ok(crew)
    }

    /// As many batches as threads, and for each the next.
    fn in_hand(threads: usize) -> usize {
        threads * 2
    }

    /// Whether it takes nothing more before the oldest batch is done.
    pub(super) fn is_full(&self) -> bool {
        self.pending.len() >= Self::in_hand(self.threads.len())
    }

    /// Whether anything is in hand.
    pub(super) fn is_at_work(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Tells when the oldest batch is done; everything before it has been taken.
    pub(super) fn oldest(&self) -> Option<&flume::Receiver<Processed>> {
        match self.pending.front()? {
            Pending::Given(processed) => Some(processed),
            Pending::Ready(_) | Pending::Progress(_) => None,
        }
    }

    /// Progress that comes behind what is in hand.
    pub(super) fn put_behind(&mut self, progress: SourceEvent) {
        self.pending.push_back(Pending::Progress(Box::new(progress)));
    }

    fn give(&mut self, work: Work) {
        let work = Box::new(work);
        if !work.has_plugins() {
            self.pending.push_back(Pending::Ready(work));
            return;
        }
        let (processed, oldest) = flume::bounded(1);
        if let Some(jobs) = &self.jobs {
            // Without a thread that takes it nobody sends its outcome, and that is seen there.
            let _ = jobs.send(Job { work, processed });
        }
        self.pending.push_back(Pending::Given(oldest));
    }

    /// The next that no thread has any more.
    fn pop_ready(&mut self) -> Option<Pending> {
        self.pending.pop_front_if(|pending| !matches!(pending, Pending::Given(_)))
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.jobs = None;
        // Nobody waits for these any more, so the threads leave them.
        self.pending.clear();
        for thread in self.threads.drain(..) {
            // One that panicked has said so; the batch that it had is taken again at the next start.
            let _ = thread.join();
        }
    }
}

/// One of the threads.
fn work(mut chain: Chain, jobs: &flume::Receiver<Job>) {
    while let Ok(Job { mut work, processed }) = jobs.recv() {
        if processed.is_disconnected() {
            continue;
        }
        let outcome = work.run(&mut chain);
        crash_point("pipeline.after_plugins");
        // Where the pipeline halted meanwhile nobody waits for it.
        let _ = processed.send(Processed(outcome.map(|()| work)));
    }
}

impl Processed {
    /// The thread that had the batch is gone.
    pub fn lost() -> Processed {
        Processed(Err(Halt::new(
            "PIPELINE_THREAD",
            "a thread that ran plugins ended before its batch was done",
            "start again: nothing of the batch is in the log; report what the thread said before it \
             ended",
        )))
    }
}

impl Worker {
    /// Has plugins run by so many threads. One, or plugins that keep state: by this one.
    ///
    /// # Errors
    /// A plugin that cannot be instantiated, or a thread that cannot be started.
    pub fn employ(&mut self, workers: NonZeroUsize, plugins: &[Configured]) -> Result<(), Halt> {
        self.crew = match workers.get() {
            1 => None,
            _ if self.chain.is_empty() => None,
            _ if self.chain.is_stateful() => {
                tracing::info!("a plugin keeps state, so one thread runs the plugins");
                None
            }
            count => Some(Crew::start(count, plugins, &self.router)?),
        };
        Ok(())
    }

    /// Threads as many as there are, with other plugins.
    pub(super) fn crew_with(&self, plugins: &[Configured]) -> Result<Option<Crew>, Halt> {
        let count = self.crew.as_ref().map(|crew| crew.threads.len());
        count.map(|count| Crew::start(count, plugins, &self.router)).transpose()
    }

    pub(super) fn replace_crew(&mut self, crew: Option<Crew>) {
        self.crew = crew;
    }

    /// Takes a batch in behind what is in hand.
    pub(super) fn take_batch_in_turn(&mut self, batch: Batch) -> Result<(), Halt> {
        if self.crew.is_none() || self.switching.is_some() {
            self.finish_all()?;
            return self.take_batch(batch);
        }
        let mut work = self.prepare(batch);
        work.lay_out(0..work.source_rows, None);
        if let Some(crew) = &mut self.crew {
            crew.give(work);
        }
        self.take_ready()
    }

    /// The oldest batch is done.
    pub(super) fn take_processed(&mut self, processed: Processed) -> Result<(), Halt> {
        if let Some(crew) = &mut self.crew {
            crew.pending.pop_front();
        }
        self.append_whole(*processed.0?)?;
        self.take_ready()
    }

    /// Waits for everything that is in hand.
    pub(super) fn finish_all(&mut self) -> Result<(), Halt> {
        while let Some(oldest) = self.crew.as_ref().and_then(Crew::oldest) {
            let processed = oldest.recv().unwrap_or_else(|_| Processed::lost());
            self.take_processed(processed)?;
        }
        Ok(())
    }

    /// Takes in what needs no thread and has nothing before it.
    fn take_ready(&mut self) -> Result<(), Halt> {
        while let Some(ready) = self.crew.as_mut().and_then(Crew::pop_ready) {
            match ready {
                Pending::Ready(work) => self.append_whole(*work)?,
                Pending::Progress(event) => self.take_progress(*event)?,
                Pending::Given(_) => {}
            }
        }
        Ok(())
    }

    fn append_whole(&mut self, mut work: Work) -> Result<(), Halt> {
        let parts = self.parts(&work.batch, work.source_rows);
        for part in &parts {
            self.append_part(&mut work, part)?;
        }
        self.finish(work)
    }
}
