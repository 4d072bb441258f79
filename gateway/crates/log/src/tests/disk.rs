//! A disk that forgets: a volatile page cache over durable sectors, a folder whose entries count
//! only when synced, a size, and faults on demand.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Condvar, Mutex};

use crate::disk::{Disk, DiskFile, Lock};
use crate::format::BLOCK_ALIGNMENT;

const SECTOR: usize = 512;

/// A folder.
#[derive(Clone, Debug)]
pub(crate) struct FakeDisk {
    state: Arc<(Mutex<State>, Condvar)>,
    locked: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct State {
    files: HashMap<u64, Content>,
    next_id: u64,
    entries: BTreeMap<String, u64>,
    durable_entries: BTreeMap<String, u64>,
    /// States of the folder since it was last synced, oldest first.
    unsynced_entries: Vec<BTreeMap<String, u64>>,
    capacity: Option<u64>,
    fail_sync: bool,
    /// Syncs say that they succeeded and do nothing, so that a test can prove that it would notice.
    lies: bool,
    /// The process that used this disk is dead.
    dead: bool,
    hold_writes: bool,
    /// Segments are written in whole blocks.
    in_blocks: bool,
    /// Writes that wait for that to end.
    held_writes: u64,
    bytes_read: u64,
}

#[derive(Clone, Debug, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    allocated: u64,
}

/// Random numbers that a seed repeats.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (value ^ (value >> 31)) % bound.max(1)
    }
}

impl State {
    fn change_entries(&mut self, change: impl FnOnce(&mut BTreeMap<String, u64>)) {
        change(&mut self.entries);
        self.unsynced_entries.push(self.entries.clone());
    }

    fn used(&self) -> u64 {
        let size = |id: &u64| {
            self.files.get(id).map_or(0, |file| file.allocated.max(file.now.len() as u64))
        };
        self.entries.values().map(size).sum()
    }

    fn alive(&self) -> io::Result<()> {
        if self.dead { Err(io::Error::other("the process is dead")) } else { Ok(()) }
    }
}

impl FakeDisk {
    pub(crate) fn new() -> FakeDisk {
        FakeDisk::from_image(&BTreeMap::new())
    }

    /// A disk on which these files are durable.
    pub(crate) fn from_image(image: &BTreeMap<String, Vec<u8>>) -> FakeDisk {
        let mut state = State::default();
        for (name, bytes) in image {
            state.next_id += 1;
            let content = Content { now: bytes.clone(), durable: bytes.clone(), allocated: 0 };
            state.files.insert(state.next_id, content);
            state.entries.insert(name.clone(), state.next_id);
        }
        state.durable_entries = state.entries.clone();
        FakeDisk { state: Arc::new((Mutex::new(state), Condvar::new())), locked: Arc::default() }
    }

    /// All files as they look now.
    pub(crate) fn image(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state.0.lock();
        state.entries.iter().map(|(name, id)| (name.clone(), state.files[id].now.clone())).collect()
    }

    /// The power fails: what the next start finds. The old disk does nothing any more.
    pub(crate) fn crash(&self, dice: &mut Dice) -> FakeDisk {
        let mut state = self.state.0.lock();
        state.dead = true;
        self.state.1.notify_all();
        let kept = dice.below(state.unsynced_entries.len() as u64 + 1) as usize;
        let entries = match kept {
            0 => state.durable_entries.clone(),
            kept => state.unsynced_entries[kept - 1].clone(),
        };
        let image = entries
            .into_iter()
            .map(|(name, id)| (name, survive(&state.files[&id], dice)))
            .collect();
        let after = FakeDisk::from_image(&image);
        if state.in_blocks { after.in_blocks() } else { after }
    }

    /// From now on, segments are written in whole blocks.
    pub(crate) fn in_blocks(self) -> FakeDisk {
        self.state.0.lock().in_blocks = true;
        self
    }

    pub(crate) fn set_capacity(&self, bytes: Option<u64>) {
        self.state.0.lock().capacity = bytes;
    }

    pub(crate) fn used(&self) -> u64 {
        self.state.0.lock().used()
    }

    pub(crate) fn fail_sync(&self, fail: bool) {
        self.state.0.lock().fail_sync = fail;
    }

    pub(crate) fn lie(&self) {
        self.state.0.lock().lies = true;
    }

    /// Lets no write begin until it is called with `false`.
    pub(crate) fn hold_writes(&self, hold: bool) {
        self.state.0.lock().hold_writes = hold;
        self.state.1.notify_all();
    }

    pub(crate) fn bytes_read(&self) -> u64 {
        self.state.0.lock().bytes_read
    }

    pub(crate) fn held_writes(&self) -> u64 {
        self.state.0.lock().held_writes
    }
}

/// Each sector that was not synced is new, old, or was never written.
fn survive(file: &Content, dice: &mut Dice) -> Vec<u8> {
    let (short, long) =
        (file.now.len().min(file.durable.len()), file.now.len().max(file.durable.len()));
    let len = match dice.below(3) {
        0 => file.durable.len(),
        1 => file.now.len(),
        _ => short + dice.below((long - short) as u64 + 1) as usize,
    };
    let mut survived = vec![0; len];
    for (at, sector) in survived.chunks_mut(SECTOR).enumerate() {
        let part = |bytes: &[u8]| {
            let mut part = bytes.get(at * SECTOR..).unwrap_or_default().to_vec();
            part.resize(sector.len(), 0);
            part
        };
        let (old, new) = (part(&file.durable), part(&file.now));
        sector.copy_from_slice(if dice.below(4) == 0 { &old } else { &new });
    }
    survived
}

impl Disk for FakeDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state.0.lock();
        state.alive()?;
        let id = *state.entries.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(FakeFile { disk: self.clone(), id, in_blocks: false }))
    }

    fn open_segment(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state.0.lock();
        state.alive()?;
        let id = *state.entries.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(FakeFile { disk: self.clone(), id, in_blocks: state.in_blocks }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.0.lock();
        state.alive()?;
        state.next_id += 1;
        let id = state.next_id;
        state.files.insert(id, Content::default());
        state.change_entries(|entries| {
            entries.insert(name.to_owned(), id);
        });
        Ok(Arc::new(FakeFile { disk: self.clone(), id, in_blocks: false }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.0.lock();
        state.alive()?;
        let id = *state.entries.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.change_entries(|entries| {
            entries.remove(from);
            entries.insert(to.to_owned(), id);
        });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state.0.lock();
        state.alive()?;
        if !state.entries.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change_entries(|entries| {
            entries.remove(name);
        });
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state.0.lock();
        state.alive()?;
        state.durable_entries = state.entries.clone();
        state.unsynced_entries.clear();
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state.0.lock().entries.keys().cloned().collect())
    }

    fn lock(&self) -> io::Result<Option<Lock>> {
        if self.locked.swap(true, Ordering::SeqCst) {
            return Ok(None);
        }
        Ok(Some(Box::new(Guard(Arc::clone(&self.locked)))))
    }

    fn reserve(&self, name: &str, bytes: u64) -> io::Result<()> {
        self.create(name)?;
        let mut state = self.state.0.lock();
        if state.capacity.is_some_and(|all| state.used() + bytes > all) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let id = state.entries[name];
        let file = state.files.get_mut(&id).expect("it was just made");
        file.allocated = bytes;
        file.now.resize(bytes as usize, 0);
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.state.0.lock();
        Ok(state.capacity.unwrap_or(u64::MAX).saturating_sub(state.used()))
    }
}

struct Guard(Arc<AtomicBool>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

#[derive(Debug)]
struct FakeFile {
    disk: FakeDisk,
    id: u64,
    /// The last block is filled up with zeros.
    in_blocks: bool,
}

impl FakeFile {
    fn with<T>(&self, act: impl FnOnce(&mut Content) -> T) -> io::Result<T> {
        let mut state = self.disk.state.0.lock();
        state.alive()?;
        Ok(act(state.files.get_mut(&self.id).expect("an open file stays")))
    }
}

impl DiskFile for FakeFile {
    fn write_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        let (lock, held) = &*self.disk.state;
        let mut state = lock.lock();
        state.held_writes += 1;
        while state.hold_writes && !state.dead {
            held.wait(&mut state);
        }
        state.held_writes -= 1;
        state.alive()?;
        let mut bytes: Vec<u8> = parts.concat();
        if self.in_blocks {
            let end = (offset as usize + bytes.len()).next_multiple_of(BLOCK_ALIGNMENT);
            bytes.resize(end - offset as usize, 0);
        }
        let end = offset + bytes.len() as u64;
        let size = state.files[&self.id].now.len() as u64;
        let free = state.capacity.map_or(u64::MAX, |all| all.saturating_sub(state.used()));
        let missing = end.saturating_sub(size).saturating_sub(free);
        // As a real disk does, it writes what fits before it says that it is full.
        bytes.truncate(bytes.len().saturating_sub(missing as usize));
        let file = state.files.get_mut(&self.id).expect("an open file stays");
        let end = offset as usize + bytes.len();
        if file.now.len() < end {
            file.now.resize(end, 0);
        }
        file.now[offset as usize..end].copy_from_slice(&bytes);
        if missing > 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state.0.lock();
        let file = &state.files[&self.id].now;
        let rest = file.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        state.bytes_read += count as u64;
        Ok(count)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.disk.state.0.lock().fail_sync {
            return Err(io::Error::other("input/output error"));
        }
        if self.disk.state.0.lock().lies {
            return Ok(());
        }
        self.with(|file| file.durable = file.now.clone())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|file| file.now.resize(len as usize, 0))
    }

    fn len(&self) -> io::Result<u64> {
        self.with(|file| file.now.len() as u64)
    }
}
