//! Opening a log: what is there, what of it counts, and where to go on.
//!
//! Opening an existing log needs no disk space, so that a full one starts and waits. Closed
//! segments are taken by their sidecar; the last one is read whole and its incomplete tail cut.

use std::collections::{HashSet, VecDeque};
use std::io::Read;
use std::sync::Arc;

use offtake_proto::v1;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::append::{Appender, write_index};
use crate::cache::BlockCache;
use crate::control::{Control, ControlState};
use crate::disk::{Disk, DiskFile, RealDisk, replace_file};
use crate::format::{META_BYTES, Meta, SegmentIndex, Wrong};
use crate::log::{Durable, Log, Registry, Shared};
use crate::options::{Beginning, Environment, LogOptions};
use crate::overdraft::Overdrafts;
use crate::queue::Queue;
use crate::retention::{Pins, Reserve};
use crate::roll::{Begun, create_segment};
use crate::scan::{Scan, Scanned, read_head};
use crate::segment::{Segment, SegmentList, SegmentName};
use crate::stats::SyncMeter;
use crate::writer::LogWriter;
use crate::{Damage, LogError};

/// Largest sidecar that is read: a segment of the largest size with every entry it could have is
/// far below.
const MAX_INDEX_BYTES: u64 = 64 << 20;

const META_FILE: &str = "meta";

/// An open log.
#[derive(Debug)]
pub struct Opened {
    /// For the pipeline thread.
    pub writer: LogWriter,
    /// For everybody else.
    pub log: Log,
    /// What the log knew when it was opened.
    pub recovered: Recovered,
}

/// What the log knew when it was opened: where a source goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct Recovered {
    /// Nothing was ever written: no change, no position, no snapshot.
    pub is_empty: bool,
    /// Sequence of the next change.
    pub next_sequence: u64,
    /// Schemas that changes or tables still need.
    pub schemas: Vec<v1::Schema>,
    /// All streams.
    pub streams: Vec<v1::Stream>,
    /// The last source position.
    pub position: Option<v1::SourcePosition>,
    /// The last progress of every table.
    pub snapshots: Vec<v1::SnapshotProgress>,
    /// The last activation of every plugin.
    pub plugins: Vec<v1::PluginActivation>,
    /// Bytes of an incomplete tail that were cut off: a write that never became durable.
    pub truncated_bytes: u64,
}

/// Opens the log in a folder, or begins one where there is none.
///
/// # Errors
/// The folder is in use or cannot be read, the log is damaged in the middle, or it was written by
/// a later version.
pub fn open(options: LogOptions) -> Result<Opened, LogError> {
    let disk = RealDisk::new(&options.dir)
        .map_err(LogError::io("open", options.dir.display().to_string()))?;
    open_with(options, Environment::real(Arc::new(disk)))
}

/// As [`open`], on any disk.
pub(crate) fn open_with(options: LogOptions, environment: Environment) -> Result<Opened, LogError> {
    options.check()?;
    let disk = Arc::clone(&environment.disk);
    let Some(lock) = disk.lock().map_err(LogError::io("lock", "lock"))? else {
        return Err(LogError::Locked { dir: options.dir.display().to_string() });
    };
    let names = list(disk.as_ref())?;
    let existing = match read_meta(disk.as_ref())? {
        Some(meta) => Some(recover(disk.as_ref(), &names, meta)?),
        None => {
            discard_beginning(disk.as_ref(), &names)?;
            None
        }
    };
    let reserve = Reserve::take(disk.as_ref(), options.reserve_bytes);
    let found = match existing {
        Some(found) => found,
        None => begin(&environment, options.beginning.as_ref())?,
    };
    start(options, environment, found, reserve, lock)
}

/// What the folder holds.
struct Found {
    log_id: [u8; 16],
    segments: VecDeque<Arc<Segment>>,
    file: Arc<dyn DiskFile>,
    state: ControlState,
    next_sequence: u64,
    truncated_bytes: u64,
}

fn start(
    options: LogOptions,
    environment: Environment,
    found: Found,
    reserve: Reserve,
    lock: crate::disk::Lock,
) -> Result<Opened, LogError> {
    let Found { log_id, segments, file, state, next_sequence, truncated_bytes } = found;
    let segments = SegmentList(segments);
    let segment = Arc::clone(segments.newest());
    let recovered = recovered(&state, next_sequence, truncated_bytes);
    let streams = state.streams.values();
    let registry = Registry {
        schemas: state.schemas.clone(),
        streams: streams.map(|stream| (stream.id, stream.name.as_str().into())).collect(),
        pairs: segments
            .0
            .iter()
            .flat_map(|it| it.with_index(|index| index.pairs.clone()))
            .collect(),
        plugins: recovered.plugins.iter().map(|it| (it.name.clone(), it.clone())).collect(),
        snapshots: recovered.snapshots.iter().map(|it| (table(it), it.clone())).collect(),
    };
    let durable = Durable { sequence: next_sequence - 1, position: state.position.clone() };
    let cache = BlockCache::new(options.cache_bytes);
    let shared = Arc::new(Shared {
        id: log_id,
        environment,
        options,
        segments: RwLock::new(segments),
        registry: RwLock::new(registry),
        pins: Pins::default(),
        overdrafts: Overdrafts::default(),
        durable: watch::Sender::new(durable),
        wake: Default::default(),
        cache,
        queue: Queue::default(),
        sync: SyncMeter::new(),
        blocked: Mutex::new(None),
        _lock: lock,
    });
    let appender = Appender {
        shared: Arc::clone(&shared),
        state: state.clone(),
        segment,
        file,
        reserve,
        next_sequence,
    };
    let thread = std::thread::Builder::new()
        .name("log-writer".to_owned())
        .spawn(move || appender.run())
        .map_err(LogError::io("start", "the writer thread"))?;
    let writer = LogWriter::new(Arc::clone(&shared), thread, &state, next_sequence);
    Ok(Opened { writer, log: Log { shared }, recovered })
}

pub(crate) fn recovered(
    state: &ControlState,
    next_sequence: u64,
    truncated_bytes: u64,
) -> Recovered {
    let snapshots = state.snapshots();
    Recovered {
        is_empty: next_sequence == 1 && state.position.is_none() && snapshots.is_empty(),
        next_sequence,
        schemas: state.schemas.values().map(|schema| v1::Schema::clone(schema)).collect(),
        streams: state.streams.values().cloned().collect(),
        position: state.position.as_deref().cloned(),
        snapshots,
        plugins: state.plugins(),
        truncated_bytes,
    }
}

/// The table that a snapshot's progress is of.
pub(crate) fn table(progress: &v1::SnapshotProgress) -> (String, String) {
    (progress.namespace.clone(), progress.table.clone())
}

/// Names in the folder, after what a crash left half-made is removed.
fn list(disk: &dyn Disk) -> Result<Vec<String>, LogError> {
    let mut names = disk.list().map_err(LogError::io("list", "the folder"))?;
    let is_ours = |name: &str| {
        name == META_FILE
            || SegmentName::parse(name, ".log").is_some()
            || SegmentName::parse(name, ".idx").is_some()
    };
    for name in names.extract_if(.., |name| name.strip_suffix(".tmp").is_some_and(is_ours)) {
        disk.remove(&name).map_err(LogError::io("remove", name))?;
    }
    Ok(names)
}

pub(crate) fn read_meta(disk: &dyn Disk) -> Result<Option<Meta>, LogError> {
    let file = match disk.open(META_FILE) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LogError::io("open", META_FILE)(error)),
    };
    let mut bytes = [0; META_BYTES];
    let read = file.read_at(&mut bytes, 0).map_err(LogError::io("read", META_FILE))?;
    let damaged = |Wrong(what)| Damage { file: META_FILE.to_owned(), offset: 0, what };
    Ok(Some(Meta::decode(bytes.get(..read).unwrap_or_default()).map_err(damaged)?))
}

pub(crate) fn segment_names(names: &[String]) -> Vec<SegmentName> {
    let mut segments: Vec<SegmentName> =
        names.iter().filter_map(|name| SegmentName::parse(name, ".log")).collect();
    segments.sort();
    segments
}

/// A folder without `meta` holds nothing, or the first segment of a log whose beginning was cut
/// off; anything else is a log that has lost its `meta`.
fn discard_beginning(disk: &dyn Disk, names: &[String]) -> Result<(), LogError> {
    let lost = || Damage { file: META_FILE.to_owned(), offset: 0, what: "the file is missing" };
    for name in segment_names(names) {
        let file_name = name.log_file();
        let file = disk.open(&file_name).map_err(LogError::io("open", file_name.clone()))?;
        let head = read_head(file.as_ref(), &file_name, None)?;
        let len = file.len().map_err(LogError::io("read", file_name.clone()))?;
        let scan = Scan { file: file.as_ref(), name: &file_name, head, len };
        let scanned = scan.run(drop)?;
        let is_beginning = head.ordinal == 0 && scanned.index.group_count == 1;
        if !is_beginning || scanned.wrong.is_some() {
            return Err(lost().into());
        }
        disk.remove(&file_name).map_err(LogError::io("remove", file_name))?;
    }
    Ok(())
}

/// Begins a log: the first segment, then `meta`, so that a `meta` without segments is damage.
fn begin(environment: &Environment, beginning: Option<&Beginning>) -> Result<Found, LogError> {
    let now = (environment.now)();
    let mut state = ControlState::default();
    let (log_id, next_sequence) = match beginning {
        Some(beginning) => {
            state.apply(Control::SourcePosition(beginning.position.clone()));
            for progress in &beginning.snapshots {
                state.apply(Control::SnapshotProgress(progress.clone()));
            }
            (beginning.log_id, beginning.after.saturating_add(1))
        }
        None => (new_id()?, 1),
    };
    let name = SegmentName { first_sequence: next_sequence, generation: 0 };
    let Begun { segment, file } = create_segment(environment, log_id, name, 0, &state, now)?;
    let meta = Meta { log_id, created_unix_ns: now };
    replace_file(environment.disk.as_ref(), META_FILE, &meta.encode())
        .map_err(LogError::io("write", META_FILE))?;
    let segments = VecDeque::from([Arc::new(segment)]);
    Ok(Found { log_id, segments, file, state, next_sequence, truncated_bytes: 0 })
}

/// An id for a new log.
///
/// # Errors
/// The system's random numbers cannot be read.
pub fn new_id() -> Result<[u8; 16], LogError> {
    let mut id = [0; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut id))
        .map_err(LogError::io("read", "/dev/urandom"))?;
    Ok(id)
}

fn recover(disk: &dyn Disk, names: &[String], meta: Meta) -> Result<Found, LogError> {
    let segments = segment_names(names);
    remove_orphans(disk, names, &segments)?;
    let Some((last, closed)) = segments.split_last() else {
        let file = META_FILE.to_owned();
        return Err(Damage { file, offset: 0, what: "the log's segments are missing" }.into());
    };
    let mut found: VecDeque<Arc<Segment>> = VecDeque::with_capacity(segments.len());
    for name in closed {
        let segment = open_closed(disk, *name, &meta)?;
        check_follows(found.back(), &segment)?;
        found.push_back(Arc::new(segment));
    }
    if has_index(names, *last) {
        // The sidecar is written after the next segment is durable.
        let what = "the segment after this one is missing";
        return Err(Damage { file: last.log_file(), offset: 0, what }.into());
    }
    let tail = open_last(disk, *last, &meta)?;
    check_follows(found.back(), &tail.segment)?;
    let mut state = tail.state;
    found.push_back(Arc::new(tail.segment));
    let mut in_use = HashSet::new();
    for segment in &found {
        segment.with_index(|index| in_use.extend(index.schemas.iter().copied()));
    }
    state.forget_schemas(&in_use);
    Ok(Found {
        log_id: meta.log_id,
        segments: found,
        file: tail.file,
        state,
        next_sequence: tail.next_sequence,
        truncated_bytes: tail.truncated_bytes,
    })
}

fn has_index(names: &[String], segment: SegmentName) -> bool {
    names.contains(&segment.index_file())
}

/// Sidecars whose segment was deleted while the power failed.
fn remove_orphans(
    disk: &dyn Disk,
    names: &[String],
    segments: &[SegmentName],
) -> Result<(), LogError> {
    for name in names {
        let orphan = SegmentName::parse(name, ".idx").is_some_and(|it| !segments.contains(&it));
        if orphan {
            disk.remove(name).map_err(LogError::io("remove", name.clone()))?;
        }
    }
    Ok(())
}

fn check_follows(before: Option<&Arc<Segment>>, segment: &Segment) -> Result<(), LogError> {
    let Some(before) = before else {
        return Ok(());
    };
    let what = if before.ordinal + 1 != segment.ordinal {
        "a segment before this one is missing"
    } else if before.last_sequence() + 1 != segment.first_sequence {
        "the sequence has a gap before this segment"
    } else {
        return Ok(());
    };
    Err(Damage { file: segment.name.log_file(), offset: 0, what }.into())
}

fn open_closed(disk: &dyn Disk, name: SegmentName, meta: &Meta) -> Result<Segment, LogError> {
    let file_name = name.log_file();
    let file = disk.open(&file_name).map_err(LogError::io("open", file_name.clone()))?;
    let head = read_head(file.as_ref(), &file_name, Some(meta.log_id))?;
    let len = file.len().map_err(LogError::io("read", file_name.clone()))?;
    let damaged = |offset, what| Damage { file: file_name.clone(), offset, what };
    if head.first_sequence != name.first_sequence {
        return Err(damaged(0, "the segment's name is another's").into());
    }
    let index = read_index(disk, name).filter(|index| {
        index.ordinal == head.ordinal && index.first_sequence == head.first_sequence
    });
    if let Some(index) = index {
        if index.bytes > len {
            return Err(
                damaged(len, "the segment is shorter than it was when it was closed").into()
            );
        }
        return Ok(Segment::new(name, head.created_unix_ns, index));
    }
    let scan = Scan { file: file.as_ref(), name: &file_name, head, len };
    let scanned = scan.run(drop)?;
    if let Some(Wrong(what)) = scanned.wrong {
        return Err(damaged(scanned.index.bytes, what).into());
    }
    let segment = Segment::new(name, head.created_unix_ns, scanned.index);
    write_index(disk, &segment);
    Ok(segment)
}

fn read_index(disk: &dyn Disk, name: SegmentName) -> Option<SegmentIndex> {
    let file = disk.open(&name.index_file()).ok()?;
    let len = file.len().ok().filter(|len| *len <= MAX_INDEX_BYTES)?;
    let bytes = file.read_exact(0, usize::try_from(len).ok()?).ok()?;
    SegmentIndex::decode(&bytes).ok()
}

struct Tail {
    segment: Segment,
    file: Arc<dyn DiskFile>,
    state: ControlState,
    next_sequence: u64,
    truncated_bytes: u64,
}

fn open_last(disk: &dyn Disk, name: SegmentName, meta: &Meta) -> Result<Tail, LogError> {
    let file_name = name.log_file();
    let file = disk.open(&file_name).map_err(LogError::io("open", file_name.clone()))?;
    let head = read_head(file.as_ref(), &file_name, Some(meta.log_id))?;
    let len = file.len().map_err(LogError::io("read", file_name.clone()))?;
    let scan = Scan { file: file.as_ref(), name: &file_name, head, len };
    if head.first_sequence != name.first_sequence {
        return Err(scan.damage(0, "the segment's name is another's").into());
    }
    let mut state = ControlState::default();
    let scanned =
        scan.run(|controls| controls.into_iter().for_each(|control| state.apply(control)))?;
    let truncated_bytes = match scanned.wrong {
        Some(wrong) => {
            scan.check_tail(&scanned, wrong)?;
            cut_tail(file.as_ref(), &file_name, &scanned)?;
            len - scanned.index.bytes
        }
        None => {
            // What was written but not synced when the process died is taken as it is; from here
            // on it counts, so it must be durable before anybody sees it.
            file.sync_data().map_err(LogError::io("sync", file_name.clone()))?;
            0
        }
    };
    let file = disk.open_segment(&file_name).map_err(LogError::io("open", file_name))?;
    Ok(Tail {
        segment: Segment::new(name, head.created_unix_ns, scanned.index),
        file,
        state,
        next_sequence: scanned.next_sequence,
        truncated_bytes,
    })
}

fn cut_tail(file: &dyn DiskFile, name: &str, scanned: &Scanned) -> Result<(), LogError> {
    let end = scanned.index.bytes;
    tracing::warn!(file = name, offset = end, "cut off the incomplete tail of the log");
    file.set_len(end).map_err(LogError::io("cut", name))?;
    file.sync_data().map_err(LogError::io("sync", name))
}
