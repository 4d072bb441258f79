//! What a delivery costs the server: CPU nanoseconds a change and subscriber, at several numbers of
//! subscribers.
//!
//! The server runs in this process, the clients in a child (the same program), so that the CPU time
//! of this process is the server's alone. Clients read frames raw, without decoding the changes, so
//! that two cores suffice. Rows are about 350 bytes, 100 a transaction, written beforehand; the log
//! lies in memory's page cache, as behind a running gateway.
//!
//! `cargo run --release -p offtake-sink-grpc --example fan_out -- [changes] [subscribers,…]`

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use offtake_change::{Column, Kind, TableSchema};
use offtake_log::{Log, LogOptions, LogWriter};
use offtake_proto::v1;
use offtake_proto::v1::subscribe_request::Start;
use offtake_sink_grpc::{GrpcOptions, bind};
use prost::Message;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::transport::Endpoint;
use tower_service::Service;

const ROW_BYTES: usize = 300;
const CHANGES_A_TRANSACTION: u64 = 100;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let [mode, address, subscribers, bytes] = &arguments[..]
        && mode == "read"
    {
        return runtime.block_on(read(address.parse()?, subscribers.parse()?, bytes.parse()?));
    }
    let changes: u64 = arguments.first().map_or(Ok(100_000), |changes| changes.parse())?;
    let counts = arguments.get(1).map_or("1,10,64,100", String::as_str);
    let folder = tempfile::tempdir()?;
    let mut options = LogOptions::new(folder.path().join("log"));
    options.reserve_bytes = 0;
    let mut opened = offtake_log::open(options)?;
    fill(&mut opened.writer, changes)?;
    println!(
        "{:>11} {:>12} {:>14} {:>12}",
        "subscribers", "deliveries", "deliveries/s", "CPU ns each"
    );
    for count in counts.split(',') {
        runtime.block_on(measure(opened.log.clone(), folder.path(), changes, count.parse()?))?;
    }
    Ok(())
}

fn fill(writer: &mut LogWriter, changes: u64) -> Result<(), Failure> {
    let schema = Arc::new(TableSchema::new(
        "db",
        "public",
        "orders",
        vec![Column::new("body", Kind::Bytes, "bytes")],
        &[],
    ));
    let row = v1::Row {
        values: vec![v1::Value { kind: Some(v1::value::Kind::Bytes(vec![7; ROW_BYTES].into())) }],
    };
    for change in 1..=changes {
        let stream = writer.register_stream("shop.public.orders");
        let schema = writer.register_schema(&schema);
        writer.push(stream, schema, |sequence, out| {
            let change = v1::Change {
                sequence,
                stream,
                schema,
                operation: v1::Operation::Create.into(),
                after: Some(row.clone()),
                ..Default::default()
            };
            change.encode_raw(out);
        });
        if change % CHANGES_A_TRANSACTION == 0 {
            writer.submit()?;
        }
    }
    Ok(writer.flush()?)
}

async fn measure(
    log: Log,
    folder: &std::path::Path,
    changes: u64,
    subscribers: u64,
) -> Result<(), Failure> {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let options = GrpcOptions::new(listen, folder.join("token_key"));
    let (_state, state) = watch::channel("RUNNING".to_owned());
    let server = bind(options, log, state).await?;
    let (address, status) = (server.local_addr(), server.status());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(async move {
        let _ = stopped.await;
    }));
    let (cpu, begin) = (cpu_time()?, Instant::now());
    let deliveries = changes * subscribers;
    let mut child = Command::new(std::env::current_exe()?)
        .args(["read", &address.to_string(), &subscribers.to_string(), &changes.to_string()])
        .stdout(Stdio::null())
        .spawn()?;
    let done = tokio::task::spawn_blocking(move || child.wait()).await??;
    if !done.success() || status.changes() != deliveries {
        return Err(format!("{} of {deliveries} deliveries", status.changes()).into());
    }
    let (elapsed, cpu) = (begin.elapsed(), cpu_time()? - cpu);
    let rate = deliveries as f64 / elapsed.as_secs_f64();
    let each = cpu.as_nanos() as f64 / deliveries as f64;
    println!("{subscribers:>11} {deliveries:>12} {rate:>14.0} {each:>12.1}");
    let _ = stop.send(());
    Ok(serving.await??)
}

/// User and system time of this process.
fn cpu_time() -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// The clients: each reads until a Progress frame says that it has everything.
async fn read(address: SocketAddr, subscribers: u64, changes: u64) -> Result<(), Failure> {
    let total = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for _ in 0..subscribers {
        let total = Arc::clone(&total);
        tasks.push(tokio::spawn(async move { drain(address, changes, &total).await }));
    }
    for task in tasks {
        task.await??;
    }
    println!("{} bytes", total.load(Ordering::Relaxed));
    Ok(())
}

async fn drain(address: SocketAddr, changes: u64, total: &AtomicU64) -> Result<(), Failure> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    let mut channel = endpoint.connect().await?;
    let request = v1::SubscribeRequest {
        start: Some(Start::Earliest(true)),
        progress_interval_ms: 10,
        ..Default::default()
    };
    let mut message = vec![0];
    message.extend_from_slice(&u32::try_from(request.encoded_len())?.to_be_bytes());
    request.encode(&mut message)?;
    let request = http::Request::post(format!("http://{address}/offtake.v1.Offtake/Subscribe"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(http_body_util::Full::new(message.into())))?;
    std::future::poll_fn(|context| channel.poll_ready(context)).await?;
    let mut body = channel.call(request).await?.into_body();
    let (mut pending, mut skip) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(mut data) = frame?.into_data() else { break };
        total.fetch_add(data.len() as u64, Ordering::Relaxed);
        while !data.is_empty() {
            let skipped = data.len().min(skip);
            let _ = data.split_to(skipped);
            skip -= skipped;
            let Some(end) = next_message(&mut pending, &mut data, &mut skip) else { continue };
            if let Some(v1::frame::Control::Progress(progress)) = v1::Frame::decode(end)?.control
                && progress.sequence >= changes
            {
                return Ok(());
            }
        }
    }
    Err("the subscription ended early".into())
}

/// Collects a short message, and skips a long one, which can only be changes.
fn next_message(
    pending: &mut Vec<u8>,
    data: &mut bytes::Bytes,
    skip: &mut usize,
) -> Option<bytes::Bytes> {
    const SHORT: usize = 256;
    while let Some(byte) = (!data.is_empty()).then(|| data.split_to(1)[0]) {
        pending.push(byte);
        if pending.len() < 5 {
            continue;
        }
        let len = u32::from_be_bytes([pending[1], pending[2], pending[3], pending[4]]) as usize;
        if len > SHORT {
            pending.clear();
            *skip = len;
            return None;
        }
        if pending.len() == 5 + len {
            return Some(std::mem::take(pending).split_off(5).into());
        }
    }
    None
}
