//! The consumers: child processes of the benchmark, so that their CPU is counted apart.
//!
//! A gRPC subscriber that takes a frame's bytes and counts the changes in it, as the lightest client
//! would, and a Kafka consumer. Both report the first change, the last, and, when asked, the
//! latency from the commit to their hand.

use std::io::Read;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use offtake_change::wire::Changes;
use offtake_proto::v1;
use prost::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;
use tonic::{Request, Status};

use super::process::now_unix_ns;
use super::quantile::Quantiles;

/// How long a server may take until it accepts a consumer.
const CONNECT_DEADLINE: Duration = Duration::from_secs(60);

/// Counts changes, says `first NANOSECONDS` and `done NANOSECONDS`, and keeps latencies.
struct Tally {
    count: u64,
    expected: u64,
    /// More than expected is as good: the last frame may hold more.
    at_least: bool,
    /// Changes before this number are warm-up.
    skip: u64,
    latencies: Quantiles,
}

impl Tally {
    /// `expected` is a number, followed by `+` where more may come.
    fn new(expected: &str, skip: &str) -> Result<Tally> {
        let number = expected.trim_end_matches('+');
        Ok(Tally {
            count: 0,
            expected: number.parse()?,
            at_least: number != expected,
            skip: skip.parse()?,
            latencies: Quantiles::default(),
        })
    }

    fn measures_latency(&self) -> bool {
        self.skip > 0
    }

    fn add(&mut self, changes: u64) {
        if self.count == 0 && changes > 0 {
            println!("first {}", now_unix_ns());
        }
        self.count += changes;
    }

    fn add_committed_at(&mut self, commit_unix_us: i64) {
        self.add(1);
        if self.count > self.skip {
            let now = (now_unix_ns() / 1000).cast_signed();
            self.latencies.add((now - commit_unix_us).max(0) as f64 / 1000.0);
        }
    }

    fn is_done(&self) -> bool {
        self.count >= self.expected
    }

    /// Reports the end and stays until standard input ends, so that the figures of this process
    /// can still be read.
    fn finish(mut self) -> Result<()> {
        let done = now_unix_ns();
        if self.count != self.expected && !self.at_least {
            println!("failed: {} changes came, not {}", self.count, self.expected);
        }
        println!("done {done}");
        if self.measures_latency() {
            let (p50, p99, most) = self.latencies.summary();
            println!("latency {p50} {p99} {most}");
        }
        std::io::stdin().read_to_end(&mut Vec::new())?;
        Ok(())
    }
}

/// `consume-grpc ADDRESS COUNT SKIP`: reads every stream from the first change on.
///
/// # Errors
/// The server cannot be reached or ends the subscription early.
pub fn grpc(arguments: &[String]) -> Result<()> {
    let [address, count, skip] = arguments else { bail!("three arguments are needed") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut tally = Tally::new(count, skip)?;
    runtime.block_on(follow(&format!("http://{address}"), &mut tally))?;
    tally.finish()
}

async fn follow(url: &str, tally: &mut Tally) -> Result<()> {
    let endpoint = Endpoint::from_shared(url.to_owned())?
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(4 << 20);
    let deadline = Instant::now() + CONNECT_DEADLINE;
    let channel = loop {
        match endpoint.connect().await {
            Ok(channel) => break channel,
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    };
    let mut client = Grpc::new(channel).max_decoding_message_size(256 << 20);
    client.ready().await?;
    let start = Some(v1::subscribe_request::Start::Earliest(true));
    let request = Request::new(v1::SubscribeRequest { start, ..Default::default() });
    let path = PathAndQuery::from_static("/offtake.v1.Offtake/Subscribe");
    let mut frames = client.server_streaming(request, path, RawFrames).await?.into_inner();
    while !tally.is_done() {
        let frame = frames.message().await?.context("the subscription ended")?;
        // The first field decides: a frame holds changes only or one control message.
        if frame.first() != Some(&CHANGES_TAG) {
            continue;
        }
        if tally.measures_latency() {
            for change in Changes::new(&frame) {
                let committed = change?.transaction.map(|transaction| transaction.commit_unix_us);
                tally.add_committed_at(committed.context("a change without transaction")?);
            }
        } else {
            tally.add(count_changes(&frame).context("a malformed frame")?);
        }
    }
    Ok(())
}

const CHANGES_TAG: u8 = 0x0a;

/// Counts the entries of field 1 without looking into them.
fn count_changes(frame: &[u8]) -> Option<u64> {
    let mut rest = frame;
    let mut count = 0;
    while let [CHANGES_TAG, after @ ..] = rest {
        let (mut length, mut shift, mut index) = (0_usize, 0, 0);
        loop {
            let byte = *after.get(index)?;
            length |= usize::from(byte & 0x7f).checked_shl(shift)?;
            (shift, index) = (shift + 7, index + 1);
            if byte & 0x80 == 0 {
                break;
            }
        }
        rest = after.get(index.checked_add(length)?..)?;
        count += 1;
    }
    rest.is_empty().then_some(count)
}

/// Frames as the bytes that they are.
struct RawFrames;

impl Codec for RawFrames {
    type Encode = v1::SubscribeRequest;
    type Decode = prost::bytes::Bytes;
    type Encoder = RawFrames;
    type Decoder = RawFrames;

    fn encoder(&mut self) -> RawFrames {
        RawFrames
    }

    fn decoder(&mut self) -> RawFrames {
        RawFrames
    }
}

impl Encoder for RawFrames {
    type Item = v1::SubscribeRequest;
    type Error = Status;

    fn encode(
        &mut self,
        item: v1::SubscribeRequest,
        out: &mut EncodeBuf<'_>,
    ) -> Result<(), Status> {
        item.encode(out).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for RawFrames {
    type Item = prost::bytes::Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<prost::bytes::Bytes>, Status> {
        use prost::bytes::Buf;
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// `consume-kafka BROKERS TOPIC COUNT SKIP`: reads partition 0 of a topic from its beginning.
///
/// # Errors
/// The broker cannot be reached.
pub fn kafka(arguments: &[String]) -> Result<()> {
    let [brokers, topic, count, skip] = arguments else { bail!("four arguments are needed") };
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "offtake-bench")
        .set("enable.auto.commit", "false")
        .set("log_level", "0")
        .create()?;
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&assignment)?;
    let mut tally = Tally::new(count, skip)?;
    while !tally.is_done() {
        let Some(record) = consumer.poll(Duration::from_millis(100)) else { continue };
        let record = record?;
        let Some(value) = record.payload() else { continue };
        let value: serde_json::Value = serde_json::from_slice(value)?;
        let committed =
            value["source"]["ts_us"].as_i64().context("a record without source.ts_us")?;
        tally.add_committed_at(committed);
    }
    tally.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_counted_without_being_decoded() {
        let change = v1::Change { payload: vec![7; 300].into(), ..Default::default() };
        let frame = v1::Frame { changes: vec![change; 3], control: None }.encode_to_vec();
        assert_eq!(count_changes(&frame), Some(3));
        assert_eq!(count_changes(&frame[..frame.len() - 1]), None);
        assert_eq!(count_changes(&[]), Some(0));
    }
}
