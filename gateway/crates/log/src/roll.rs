//! Beginning a segment: written whole under another name, made durable, then given its name, so
//! that a segment that can be seen always has its head and its checkpoint.

use std::io;
use std::sync::Arc;

use offtake_failpoint::crash_point;

use crate::LogError;
use crate::control::ControlState;
use crate::disk::{Disk, DiskFile};
use crate::format::{
    FLAG_CHECKPOINT, GROUP_HEADER_BYTES, GroupHeader, SEGMENT_HEADER_BYTES, SegmentHeader,
    SegmentIndex,
};
use crate::options::Environment;
use crate::segment::{Segment, SegmentName};

/// A segment that was begun.
pub(crate) struct Begun {
    pub(crate) segment: Segment,
    pub(crate) file: Arc<dyn DiskFile>,
}

/// Makes a segment with the checkpoint of a state in it, durable before it is returned. After an
/// error nothing of it counts; it can be tried again.
pub(crate) fn create_segment(
    environment: &Environment,
    log_id: [u8; 16],
    name: SegmentName,
    ordinal: u64,
    state: &ControlState,
    now: i64,
) -> Result<Begun, LogError> {
    let first_sequence = name.first_sequence;
    let head = SegmentHeader { log_id, ordinal, first_sequence, created_unix_ns: now };
    let mut bytes = Vec::new();
    head.encode(&mut bytes);
    let checkpoint = put_checkpoint(&mut bytes, state, &head);
    let disk = environment.disk.as_ref();
    let aside = format!("{}.tmp", name.log_file());
    let file = write_aside(disk, &aside, &bytes).map_err(|(action, error)| {
        let _ = disk.remove(&aside);
        let error = LogError::io(action, aside.clone())(error);
        if action == "sync" {
            (environment.on_sync_failure)(&error);
        }
        error
    })?;
    disk.rename(&aside, &name.log_file()).map_err(LogError::io("rename", aside.clone()))?;
    crash_point("log.after_segment_rename");
    disk.sync_dir().map_err(LogError::io("sync", "the folder")).inspect_err(|error| {
        (environment.on_sync_failure)(error);
    })?;
    let mut index = SegmentIndex::begin(ordinal, first_sequence, SEGMENT_HEADER_BYTES as u64);
    index.add_group(&checkpoint, &[]);
    Ok(Begun { segment: Segment::new(name, now, index), file })
}

fn write_aside(
    disk: &dyn Disk,
    name: &str,
    bytes: &[u8],
) -> Result<Arc<dyn DiskFile>, (&'static str, io::Error)> {
    let file = disk.create(name).map_err(|error| ("create", error))?;
    file.write_at(&[bytes], 0).map_err(|error| ("write", error))?;
    file.sync_data().map_err(|error| ("sync", error))?;
    disk.open_segment(name).map_err(|error| ("open", error))
}

/// Appends the group that repeats a state.
fn put_checkpoint(out: &mut Vec<u8>, state: &ControlState, head: &SegmentHeader) -> GroupHeader {
    let mut controls = Vec::new();
    let control_count = state.encode(&mut controls);
    let header = GroupHeader {
        flags: FLAG_CHECKPOINT,
        // The state is a few thousand small records; a group's limit is far above.
        total_bytes: (GROUP_HEADER_BYTES + controls.len()) as u32,
        control_bytes: controls.len() as u32,
        control_count,
        first_sequence: head.first_sequence,
        written_unix_ns: head.created_unix_ns,
        segment: head.ordinal,
        synced_offset: SEGMENT_HEADER_BYTES as u64,
        index_crc32c: crc32c::crc32c(&controls),
        ..GroupHeader::default()
    };
    header.encode(out);
    out.extend_from_slice(&controls);
    header
}
