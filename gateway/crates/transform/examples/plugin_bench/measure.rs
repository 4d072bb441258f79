//! The clock: what a change costs, host and guest together, in CPU time and in the best of several
//! rounds. All else is what the machine did besides.

use std::cell::RefCell;
use std::hint::black_box;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use offtake_change::{Batch, ValueRef};
use offtake_transform::{Engine, Isolated, Limits, Plugin, PluginSpec, Processed};

use crate::changes::{Changes, EMAIL, Images, NAME, PHONE, ROWS};
use crate::record::Records;
use crate::shapes::{CALL, COLUMNAR, Shape};

/// Changes in a call.
pub(crate) const SIZES: [usize; 3] = [1, 16, CALL];
/// The name of the chain's figures.
const CHAIN: &str = "chain";
const TIME: Duration = Duration::from_millis(10);
const ROUNDS: usize = 12;
/// Fresh instances that are started a round; the median counts.
const INSTANCES: usize = 15;

/// A figure of the table, in nanoseconds a change.
pub(crate) struct Cost {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) limits: bool,
    /// Changes in a call.
    pub(crate) size: usize,
    pub(crate) nanoseconds: f64,
}

/// What was measured of a language.
pub(crate) struct Measured {
    pub(crate) language: String,
    pub(crate) costs: Vec<Cost>,
    /// Until a fresh instance is configured: a round's median, of the best round.
    pub(crate) instance_us: f64,
    /// A text masked by the host itself, at the time of these measurements.
    pub(crate) native: f64,
    /// What a chain of three costs, in costs of one of its plugins: with limits, at [`CALL`] changes a
    /// call. See [`chain_times`].
    pub(crate) chain_times: f64,
}

/// The engines of a run.
pub(crate) struct Engines {
    pub(crate) limited: Engine,
    pub(crate) unlimited: Engine,
}

/// A language's plugin.
pub(crate) struct Subject<'e> {
    language: &'e str,
    component: Vec<u8>,
    engines: &'e Engines,
}

impl<'e> Subject<'e> {
    pub(crate) fn read(
        folder: &Path,
        language: &'e str,
        engines: &'e Engines,
    ) -> Result<Subject<'e>, String> {
        let path = folder.join(language).with_extension("wasm");
        let component = std::fs::read(&path)
            .map_err(|error| format!("{}: {error}; build.sh makes it", path.display()))?;
        Ok(Subject { language, component, engines })
    }

    fn load(&self, shape: Shape, images: Images, limits: bool) -> Result<Plugin, String> {
        let engine = if limits { &self.engines.limited } else { &self.engines.unlimited };
        let spec = PluginSpec {
            name: self.language.to_owned(),
            component: self.component.clone(),
            config_json: shape.config_json(images),
            limits: if limits { Limits::default() } else { unlimited() },
            state: None,
        };
        Plugin::load(engine, spec).map_err(|error| error.to_string())
    }

    /// A plugin at work that does what the shape says.
    fn verified(
        &self,
        changes: &Changes,
        shape: Shape,
        images: Images,
        limits: bool,
    ) -> Result<Isolated, String> {
        let plugin = self.load(shape, images, limits)?;
        let mut isolated = Isolated::new(&plugin).map_err(|error| error.to_string())?;
        shape.verify(&mut isolated, changes, images)?;
        Ok(isolated)
    }

    /// Everything that there is to measure. The figures' rounds take turns, so that what else the
    /// machine does touches all of them alike.
    pub(crate) fn measure(&self, changes: &Changes) -> Result<Measured, String> {
        let mut jobs = vec![Job::native()];
        for limits in [true, false] {
            self.add_jobs(changes, limits, &mut jobs)?;
        }
        // One for all, so that its memory is there before anything counts.
        let mut batch = Batch::new();
        let plugin = self.load(Shape::Mask1(EMAIL), Images::One, true)?;
        let mut least_us = f64::INFINITY;
        for _ in 0..ROUNDS {
            for job in &mut jobs {
                job.round(changes, &mut batch)?;
            }
            least_us = least_us.min(instance_us(&plugin)?);
        }
        let native = jobs.remove(0).cost.nanoseconds;
        let chain_times = chain_times(&jobs).ok_or("nothing was measured")?;
        Ok(Measured {
            language: self.language.to_owned(),
            costs: jobs.into_iter().map(|job| job.cost).collect(),
            instance_us: least_us,
            native,
            chain_times,
        })
    }

    fn add_jobs(&self, changes: &Changes, limits: bool, jobs: &mut Vec<Job>) -> Result<(), String> {
        let shared = |isolated| Rc::new(RefCell::new(isolated));
        let mut add = |name, title, images, chain: Vec<Isolated>| {
            let chain = shared(chain);
            for size in SIZES {
                let cost = Cost { name, title, limits, size, nanoseconds: f64::INFINITY };
                jobs.push(Job::new(cost, images, Work::Columns(Rc::clone(&chain))));
            }
        };
        for shape in COLUMNAR {
            let plugin = self.verified(changes, shape, Images::One, limits)?;
            add(shape.name(), shape.title(), Images::One, vec![plugin]);
            // Next to what it is compared with, also in time.
            if shape == Shape::Mask1(EMAIL) {
                let links = [EMAIL, PHONE, NAME].map(|column| {
                    self.verified(changes, Shape::Mask1(column), Images::One, limits)
                });
                let chain = links.into_iter().collect::<Result<_, _>>()?;
                add(CHAIN, "chain of 3, mask 1 each", Images::One, chain);
            }
        }
        let mask = Shape::Mask1(EMAIL);
        let both = self.verified(changes, mask, Images::Both, limits)?;
        add("mask1_both_images", "mask 1, both images", Images::Both, vec![both]);
        let plugin = self.verified(changes, Shape::Json, Images::One, limits)?;
        let (name, title) = (Shape::Json.name(), Shape::Json.title());
        let cost = Cost { name, title, limits, size: 1, nanoseconds: f64::INFINITY };
        let work = Work::Json(Box::new(plugin), Box::new(Records::new(changes)));
        jobs.push(Job::new(cost, Images::One, work));
        Ok(())
    }
}

/// A figure in the making.
struct Job {
    cost: Cost,
    /// Of every round.
    rounds: Vec<f64>,
    images: Images,
    work: Work,
}

enum Work {
    /// One column without a plugin: copied, covered and set, by the host itself.
    Native,
    /// Through one plugin or several.
    Columns(Rc<RefCell<Vec<Isolated>>>),
    Json(Box<Isolated>, Box<Records>),
}

impl Job {
    fn new(cost: Cost, images: Images, work: Work) -> Job {
        Job { cost, rounds: Vec::with_capacity(ROUNDS), images, work }
    }

    fn native() -> Job {
        let (name, title) = ("native", "native mask");
        let cost = Cost { name, title, limits: false, size: 1, nanoseconds: f64::INFINITY };
        Job::new(cost, Images::One, Work::Native)
    }

    /// One round; the best counts. The rows are made anew before each pass, outside the time taken.
    fn round(&mut self, changes: &Changes, batch: &mut Batch) -> Result<(), String> {
        let rows: Vec<u32> = (0..ROWS as u32).collect();
        let (mut spent, mut count) = (Duration::ZERO, 0);
        while spent < TIME {
            changes.fill(batch, self.images);
            let begin = thread_cpu();
            self.work.run(changes, batch, &rows, self.cost.size)?;
            spent += thread_cpu().saturating_sub(begin);
            count += ROWS;
        }
        let nanoseconds = spent.as_nanos() as f64 / count as f64;
        self.cost.nanoseconds = self.cost.nanoseconds.min(nanoseconds);
        self.rounds.push(nanoseconds);
        Ok(())
    }
}

impl Work {
    fn run(
        &mut self,
        changes: &Changes,
        batch: &mut Batch,
        rows: &[u32],
        size: usize,
    ) -> Result<(), String> {
        match self {
            Work::Native => rows.iter().for_each(|&row| mask_natively(batch, row)),
            Work::Columns(chain) => {
                let mut done = Processed::default();
                // As in a pipeline, where each plugin takes the whole batch before the next one does:
                // a batch of fewer changes than a call can have, or several calls of one plugin.
                let batch_rows = if size == CALL { rows.len() } else { size };
                for piece in rows.chunks(batch_rows) {
                    for plugin in chain.borrow_mut().iter_mut() {
                        let outcome = plugin.process(batch, piece, &mut done);
                        outcome.map_err(|fault| fault.to_string())?;
                    }
                }
                if !done.failed.is_empty() {
                    return Err("a row failed".to_owned());
                }
            }
            Work::Json(plugin, records) => {
                for &row in rows {
                    black_box(records.send(plugin, changes, batch, row)?);
                }
            }
        }
        Ok(())
    }
}

/// What a chain costs, in costs of one of its plugins: the median over the rounds. Both were measured
/// one after the other in each. Their best rounds need not be of a time: a chain's passes are three
/// times as long, so that fewer of them are left in peace.
fn chain_times(jobs: &[Job]) -> Option<f64> {
    let rounds = |name: &str| {
        let is_it = |cost: &Cost| cost.name == name && cost.limits && cost.size == CALL;
        jobs.iter().find(|job| is_it(&job.cost)).map(|job| &job.rounds)
    };
    let (one, chain) = (rounds(Shape::Mask1(EMAIL).name())?, rounds(CHAIN)?);
    let mut times: Vec<f64> = chain.iter().zip(one).map(|(chain, one)| chain / one).collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}

/// CPU time of this thread: what others do with the machine is no part of it.
fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let (seconds, nanoseconds) = (time.tv_sec.unsigned_abs(), time.tv_nsec as u32);
    Duration::new(seconds, nanoseconds)
}

fn mask_natively(batch: &mut Batch, row: u32) {
    let image = batch.rows[row as usize].after;
    if let ValueRef::Text(text) = batch.column(image, EMAIL) {
        let mut masked = text.to_vec();
        masked.iter_mut().skip(1).for_each(|byte| *byte = b'*');
        let cell = batch.text(&masked);
        batch.set(image, EMAIL, cell);
    }
}

/// Limits that no plugin here comes near.
fn unlimited() -> Limits {
    let (hour, most) = (Duration::from_secs(3600), usize::MAX);
    Limits {
        deadline: hour,
        setup_deadline: hour,
        memory_bytes: most,
        table_elements: most,
        output_bytes: most,
        host_calls: u32::MAX,
        fan_out: u32::MAX,
        ..Limits::default()
    }
}

fn instance_us(plugin: &Plugin) -> Result<f64, String> {
    let mut times = Vec::with_capacity(INSTANCES);
    for _ in 0..INSTANCES {
        let begin = thread_cpu();
        let instance = plugin.instance().map_err(|error| error.to_string())?;
        times.push(thread_cpu().saturating_sub(begin).as_secs_f64() * 1e6);
        drop(instance);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
