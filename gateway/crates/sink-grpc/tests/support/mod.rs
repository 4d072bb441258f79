//! A real log in a temporary folder, the service on it, and a client that checks what it is sent.
//!
//! The client fails the test when a promise of the protocol is broken: Opened first, streams and
//! schemas before their first use, sequences in order, nothing at or before a Progress, frames no
//! larger than asked for, parts complete and intact.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "every test file uses a part of it")]

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use offtake_change::{Column, Kind, TableSchema};
use offtake_log::{Log, LogOptions, LogWriter};
use offtake_proto::v1;
use offtake_proto::v1::frame::Control;
use offtake_proto::v1::offtake_client::OfftakeClient;
use offtake_proto::v1::subscribe_request::Start;
use offtake_sink_grpc::{GrpcOptions, GrpcStatus, bind};
use prost::Message;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

/// Nothing in these tests takes longer unless it is broken.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A change as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    pub sequence: u64,
    pub stream: String,
    pub encoded: Vec<u8>,
}

pub struct Rig {
    pub writer: LogWriter,
    pub log: Log,
    pub written: Vec<Written>,
    pub folder: tempfile::TempDir,
    pub address: SocketAddr,
    pub status: Arc<GrpcStatus>,
    schemas: HashMap<String, Arc<TableSchema>>,
    shutdown: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
    state: watch::Sender<String>,
}

pub fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub fn table(name: &str) -> TableSchema {
    TableSchema::new("db", "public", name, vec![Column::new("body", Kind::Bytes, "bytes")], &[])
}

impl Rig {
    pub async fn start() -> Rig {
        Rig::start_with(|_| {}, |_| {}).await
    }

    pub async fn start_with(
        log_options: impl FnOnce(&mut LogOptions),
        grpc_options: impl FnOnce(&mut GrpcOptions),
    ) -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let mut options = LogOptions::new(folder.path().join("log"));
        options.reserve_bytes = 0;
        log_options(&mut options);
        let opened = offtake_log::open(options).unwrap();
        let mut options = GrpcOptions::new(loopback(), folder.path().join("token_key"));
        grpc_options(&mut options);
        let (state, receiver) = watch::channel("RUNNING".to_owned());
        let server = bind(options, opened.log.clone(), receiver).await.unwrap();
        let (address, status) = (server.local_addr(), server.status());
        let (shutdown, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(async move {
            server
                .serve(async move {
                    let _ = stopped.await;
                })
                .await
                .unwrap();
        });
        Rig {
            writer: opened.writer,
            log: opened.log,
            written: Vec::new(),
            folder,
            address,
            status,
            schemas: HashMap::new(),
            shutdown: Some(shutdown),
            server: Some(server),
            state,
        }
    }

    /// Adds a change of `bytes` bytes to the open group; its stream is `shop.public.<table>`.
    pub fn push(&mut self, table_name: &str, bytes: usize) {
        self.push_to(&format!("shop.public.{table_name}"), table_name, bytes);
    }

    /// As [`Rig::push`], to a stream of any name.
    pub fn push_to(&mut self, name: &str, table_name: &str, bytes: usize) {
        let name = name.to_owned();
        let stream = self.writer.register_stream(&name);
        let schema = self
            .schemas
            .entry(table_name.to_owned())
            .or_insert_with(|| Arc::new(table(table_name)))
            .clone();
        let schema = self.writer.register_schema(&schema);
        let mut encoded = Vec::new();
        let sequence = self.writer.push(stream, schema, |sequence, out| {
            let body: Vec<u8> = (0..bytes).map(|at| (at as u64 ^ sequence) as u8).collect();
            let kind = Some(v1::value::Kind::Bytes(body.into()));
            let change = v1::Change {
                sequence,
                stream,
                schema,
                operation: v1::Operation::Create.into(),
                after: Some(v1::Row { values: vec![v1::Value { kind }] }),
                order: sequence,
                ..Default::default()
            };
            encoded = change.encode_to_vec();
            out.extend_from_slice(&encoded);
        });
        self.written.push(Written { sequence, stream: name, encoded });
    }

    pub fn flush(&mut self) {
        self.writer.flush().unwrap();
    }

    pub fn last(&self) -> u64 {
        self.written.last().map_or(0, |change| change.sequence)
    }

    pub fn expected(&self, after: u64, selected: impl Fn(&str) -> bool) -> Vec<Written> {
        let after = self.written.iter().filter(|change| change.sequence > after);
        after.filter(|change| selected(&change.stream)).cloned().collect()
    }

    pub async fn client(&self) -> OfftakeClient<Channel> {
        client(self.address).await
    }

    pub async fn subscribe(&self, request: v1::SubscribeRequest) -> Subscriber {
        Subscriber::open(self.client().await, request).await
    }

    /// Asks the server to stop and answers the task that ends when it has.
    pub fn stop(&mut self) -> JoinHandle<()> {
        self.shutdown.take().unwrap().send(()).unwrap();
        self.server.take().unwrap()
    }
}

pub async fn client(address: SocketAddr) -> OfftakeClient<Channel> {
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap();
    OfftakeClient::new(channel.connect().await.unwrap())
}

pub fn globs(globs: &[&str]) -> Vec<String> {
    globs.iter().map(|glob| (*glob).to_owned()).collect()
}

pub fn from_earliest(streams: &[&str]) -> v1::SubscribeRequest {
    v1::SubscribeRequest {
        streams: globs(streams),
        start: Some(Start::Earliest(true)),
        progress_interval_ms: 10,
        ..Default::default()
    }
}

pub fn after(streams: &[&str], cursor: v1::Cursor) -> v1::SubscribeRequest {
    v1::SubscribeRequest { start: Some(Start::After(cursor)), ..from_earliest(streams) }
}

/// What a checked subscription brings.
#[derive(Debug)]
pub enum Event {
    Changes(Vec<Written>),
    Progress(v1::Progress),
    Snapshot(v1::SnapshotMark),
    Ended(v1::Ended),
}

pub struct Subscriber {
    frames: Streaming<v1::Frame>,
    pub opened: v1::Opened,
    pub streams: BTreeMap<u32, String>,
    pub schemas: BTreeMap<u32, v1::Schema>,
    max_frame_bytes: usize,
    last_sequence: u64,
    promised: u64,
    parts: Vec<v1::Part>,
    pub part_frames: usize,
    pub change_frames: usize,
    pub stored: u64,
}

impl Subscriber {
    pub async fn open(client: OfftakeClient<Channel>, request: v1::SubscribeRequest) -> Subscriber {
        Subscriber::try_open(client, request).await.unwrap()
    }

    /// The error is the first frame where it is none that opens, or the status.
    pub async fn try_open(
        mut client: OfftakeClient<Channel>,
        request: v1::SubscribeRequest,
    ) -> Result<Subscriber, (Option<v1::Ended>, Status)> {
        let max_frame_bytes = match request.max_frame_bytes {
            0 => 256 << 10,
            bytes => bytes as usize,
        };
        let mut frames =
            client.subscribe(request).await.map_err(|status| (None, status))?.into_inner();
        let first = tokio::time::timeout(DEADLINE, frames.message()).await.unwrap();
        let opened = match first.map_err(|status| (None, status))?.unwrap().control {
            Some(Control::Opened(opened)) => opened,
            Some(Control::Ended(ended)) => {
                return Err((Some(ended), frames.message().await.unwrap_err()));
            }
            other => panic!("the first frame is {other:?}"),
        };
        let last_sequence = opened.first_sequence - 1;
        Ok(Subscriber {
            frames,
            opened,
            streams: BTreeMap::new(),
            schemas: BTreeMap::new(),
            max_frame_bytes,
            last_sequence,
            promised: last_sequence,
            parts: Vec::new(),
            part_frames: 0,
            change_frames: 0,
            stored: last_sequence,
        })
    }

    pub fn cursor(&self, sequence: u64) -> v1::Cursor {
        v1::Cursor { token: self.opened.token.clone(), sequence }
    }

    /// The next event; the status where the stream ended.
    pub async fn next(&mut self) -> Result<Event, Status> {
        loop {
            let frame = tokio::time::timeout(DEADLINE, self.frames.message())
                .await
                .expect("a frame arrives in time")?
                .expect("a subscription never ends without a status");
            let size = frame.encoded_len();
            let Some(control) = frame.control else {
                self.change_frames += 1;
                assert!(
                    size <= self.max_frame_bytes || frame.changes.len() == 1,
                    "a frame of {size} bytes"
                );
                let changes = frame.changes.iter().map(|change| self.change(change)).collect();
                return Ok(Event::Changes(changes));
            };
            assert!(frame.changes.is_empty(), "a control frame has no changes");
            match control {
                Control::Stream(stream) => {
                    assert_eq!(
                        self.streams.insert(stream.id, stream.name),
                        None,
                        "announced twice"
                    );
                }
                Control::Schema(schema) => {
                    assert_eq!(self.schemas.insert(schema.id, schema), None, "announced twice");
                }
                Control::Part(part) => {
                    if let Some(change) = self.part(part) {
                        return Ok(Event::Changes(vec![change]));
                    }
                }
                Control::Progress(progress) => {
                    assert!(progress.sequence >= self.last_sequence, "a promise behind a change");
                    assert!(progress.sequence >= self.promised, "a promise moves back");
                    self.promised = progress.sequence;
                    self.stored = progress.sequence;
                    return Ok(Event::Progress(progress));
                }
                Control::Snapshot(mark) => return Ok(Event::Snapshot(mark)),
                Control::Ended(ended) => return Ok(Event::Ended(ended)),
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    fn change(&mut self, change: &v1::Change) -> Written {
        assert!(change.sequence > self.last_sequence, "out of order: {}", change.sequence);
        assert!(change.sequence > self.promised, "{} was promised away", change.sequence);
        assert!(change.sequence >= self.opened.first_sequence);
        assert!(self.schemas.contains_key(&change.schema), "schema {} unknown", change.schema);
        self.last_sequence = change.sequence;
        self.stored = change.sequence;
        let stream =
            self.streams.get(&change.stream).expect("a stream is announced before its use");
        Written {
            sequence: change.sequence,
            stream: stream.clone(),
            encoded: change.encode_to_vec(),
        }
    }

    fn part(&mut self, part: v1::Part) -> Option<Written> {
        self.part_frames += 1;
        assert_eq!(part.index as usize, self.parts.len(), "parts come in order");
        assert!(part.bytes.len() <= 256 << 10);
        self.parts.push(part);
        let first = &self.parts[0];
        if self.parts.len() < first.of as usize {
            return None;
        }
        let whole: Vec<u8> = self.parts.iter().flat_map(|part| part.bytes.to_vec()).collect();
        for part in &self.parts {
            assert_eq!((part.sequence, part.of), (first.sequence, first.of));
            assert_eq!(part.crc32c, crc32c::crc32c(&whole));
        }
        self.parts.clear();
        let change = v1::Change::decode(&whole[..]).unwrap();
        Some(self.change(&change))
    }

    /// Changes up to and including a sequence that the subscription is expected to reach.
    pub async fn changes_through(&mut self, sequence: u64) -> Vec<Written> {
        let mut changes = Vec::new();
        while self.stored < sequence {
            match self.next().await.unwrap() {
                Event::Changes(more) => changes.extend(more),
                Event::Ended(ended) => panic!("ended: {ended:?}"),
                _ => {}
            }
        }
        changes
    }

    /// Skips to the end, and answers it with its status.
    pub async fn ended(&mut self) -> (v1::Ended, Status) {
        loop {
            if let Event::Ended(ended) = self.next().await.unwrap() {
                let status = self.next().await.unwrap_err();
                return (ended, status);
            }
        }
    }
}

/// Waits until a condition holds.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "{what} does not happen");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
