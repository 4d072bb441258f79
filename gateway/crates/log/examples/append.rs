//! How fast the log takes changes in and gives them back on this machine: nanoseconds a change and
//! megabytes a second, with the time of `fdatasync` beside them.
//!
//! `cargo run --release -p offtake-log --example append [changes] [bytes a change] [folder]`

use std::sync::Arc;
use std::time::{Duration, Instant};

use offtake_change::{Column, Kind, TableSchema};
use offtake_log::{LogOptions, Opened, Selection};

/// What a pipeline hands over at once.
const GROUP_BYTES: usize = 256 << 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let changes: u64 = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let bytes: usize = arguments.next().map_or(Ok(900), |text| text.parse())?;
    let folder = match arguments.next() {
        Some(folder) => std::path::PathBuf::from(folder),
        None => std::env::temp_dir().join(format!("offtake-append-{}", std::process::id())),
    };
    let Opened { mut writer, log, .. } = offtake_log::open(LogOptions::new(&folder))?;
    let stream = writer.register_stream("bench.public.wide");
    let schema = writer.register_schema(&schema());
    let body = vec![0x5a; bytes];

    let (started, used) = (Instant::now(), (thread_time(), process_time()));
    for _ in 0..changes {
        writer.push(stream, schema, |_, out| out.extend_from_slice(&body));
        if writer.group_bytes() >= GROUP_BYTES {
            writer.submit()?;
        }
    }
    writer.flush()?;
    let wall = started.elapsed();
    report("append, wall", wall, changes, bytes);
    report("append, CPU of the pipeline's thread", thread_time() - used.0, changes, bytes);
    report("append, CPU of all threads", process_time() - used.1, changes, bytes);
    let sync = log.stats().sync;
    println!(
        "{:<40} {} calls, p50 {} us, p99 {} us",
        "fdatasync",
        sync.count,
        sync.quantile(0.5) / 1000,
        sync.quantile(0.99) / 1000
    );

    for round in ["read, not cached", "read again"] {
        let started = thread_time();
        let mut reader = log.reader(0, Selection::all())?;
        let mut total = 0;
        while let Some(group) = reader.next_group()? {
            total += group.runs.iter().map(|run| u64::from(run.count)).sum::<u64>();
        }
        assert_eq!(total, changes);
        report(round, thread_time() - started, changes, bytes);
    }
    drop(writer);
    let started = Instant::now();
    let reopened = offtake_log::open(LogOptions::new(&folder))?;
    println!("{:<40} {:?}", "open again", started.elapsed());
    drop(reopened);
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn report(what: &str, took: Duration, changes: u64, bytes: usize) {
    let nanos = took.as_nanos() as f64 / changes as f64;
    let megabytes = changes as f64 * bytes as f64 / 1e6 / took.as_secs_f64();
    println!("{what:<40} {nanos:>8.1} ns a change {megabytes:>9.0} MB/s");
}

fn thread_time() -> Duration {
    clock(rustix::time::ClockId::ThreadCPUTime)
}

fn process_time() -> Duration {
    clock(rustix::time::ClockId::ProcessCPUTime)
}

fn clock(id: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(id);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

fn schema() -> Arc<TableSchema> {
    Arc::new(TableSchema::new(
        "bench",
        "public",
        "wide",
        vec![Column::new("id", Kind::Integer, "int8")],
        &[0],
    ))
}
