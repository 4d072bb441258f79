//! A gRPC client that stores cursor and data together, as a careful consumer does.
//!
//! It reconnects until it is told to stop and resumes after its cursor. What the stream must not do
//! (a change before its schema, a sequence that goes back) is an error here, so every test that
//! collects changes checks it.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use offtake_proto::v1;
use offtake_proto::v1::frame::Control;
use offtake_proto::v1::offtake_client::OfftakeClient;
use offtake_proto::v1::value::Kind;
use prost::Message;

/// A value as tests compare it.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// NULL.
    Null,
    /// Unchanged TOAST.
    Unchanged,
    /// Everything else, as text: integers in decimal, bytes in hexadecimal, lists in braces.
    Value(String),
}

/// A row image by column name; absent columns are not there.
pub type Image = BTreeMap<String, Seen>;

/// One change as it was received.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// Its number in the log.
    pub sequence: u64,
    /// Stream.
    pub stream: String,
    /// Table without its schema.
    pub table: String,
    /// What happened.
    pub operation: v1::Operation,
    /// Before image.
    pub before: Option<Image>,
    /// After image.
    pub after: Option<Image>,
    /// Transaction id; empty on snapshot rows and messages outside of transactions.
    pub transaction: String,
    /// Commit position; 0 where there is no transaction.
    pub commit: u64,
    /// Commit time, microseconds since the Unix epoch.
    pub commit_unix_us: i64,
    /// Place in the transaction.
    pub order: u64,
    /// Snapshot marker.
    pub snapshot: v1::Snapshot,
    /// Where the change itself stands in the source's log.
    pub position: u64,
}

/// What a subscriber keeps.
#[derive(Debug, Default)]
pub struct Store {
    /// Everything received, in order.
    pub changes: Vec<Received>,
    /// The definitions received, each once.
    pub schemas: BTreeMap<u32, v1::Schema>,
    /// The cursor that belongs to it.
    pub cursor: Option<v1::Cursor>,
    /// Times that it subscribed.
    pub subscriptions: u32,
    /// What the stream did that it must not do.
    pub violation: Option<String>,
}

/// A running subscriber; it ends when dropped.
#[derive(Debug)]
pub struct Subscriber {
    /// What it keeps.
    pub store: Arc<Mutex<Store>>,
    task: tokio::task::JoinHandle<()>,
}

impl Subscriber {
    /// Subscribes to streams (none: all) from the beginning, again and again after every end.
    pub fn start(address: SocketAddr, streams: &[&str]) -> Subscriber {
        let store = Arc::new(Mutex::new(Store::default()));
        let kept = Arc::clone(&store);
        let streams: Vec<String> = streams.iter().map(|stream| (*stream).to_owned()).collect();
        let task = tokio::spawn(async move {
            loop {
                let end = follow(address, &streams, &kept).await;
                let mut store = kept.lock().expect("no holder panics");
                if let Err(error) = end
                    && error.downcast_ref::<Violation>().is_some()
                {
                    store.violation = Some(format!("{error:#}"));
                    return;
                }
                drop(store);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Subscriber { store, task }
    }

    /// Waits until the store satisfies the condition.
    pub async fn wait_for(
        &self,
        what: &str,
        timeout: Duration,
        condition: impl Fn(&Store) -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            {
                let store = self.store.lock().expect("no holder panics");
                if let Some(violation) = &store.violation {
                    bail!("{violation}");
                }
                if condition(&store) {
                    return Ok(());
                }
                if Instant::now() > deadline {
                    bail!(
                        "waited in vain for {what}: {} changes, last {:?}",
                        store.changes.len(),
                        store.changes.last()
                    );
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The definitions received so far, in the order of their ids.
    pub fn schemas(&self) -> Vec<v1::Schema> {
        let store = self.store.lock().expect("no holder panics");
        store.schemas.values().cloned().collect()
    }

    /// What was received so far.
    pub fn changes(&self) -> Vec<Received> {
        self.store.lock().expect("no holder panics").changes.clone()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The stream did what it must not do.
#[derive(Debug)]
struct Violation(String);

impl std::fmt::Display for Violation {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "the stream is wrong: {}", self.0)
    }
}

impl std::error::Error for Violation {}

async fn follow(address: SocketAddr, streams: &[String], store: &Mutex<Store>) -> Result<()> {
    let mut client = OfftakeClient::connect(format!("http://{address}")).await?;
    client = client.max_decoding_message_size(256 << 20);
    let start = {
        let mut store = store.lock().expect("no holder panics");
        store.subscriptions += 1;
        match &store.cursor {
            Some(cursor) => v1::subscribe_request::Start::After(cursor.clone()),
            None => v1::subscribe_request::Start::Earliest(true),
        }
    };
    let request = v1::SubscribeRequest {
        streams: streams.to_vec(),
        start: Some(start),
        ..Default::default()
    };
    let mut frames = client.subscribe(request).await?.into_inner();
    let mut session = Session::default();
    while let Some(frame) = frames.message().await? {
        session.take(frame, &mut store.lock().expect("no holder panics"))?;
    }
    Ok(())
}

#[derive(Default)]
struct Session {
    streams: HashMap<u32, String>,
    schemas: HashMap<u32, v1::Schema>,
    token: Option<prost::bytes::Bytes>,
    parts: Vec<u8>,
}

impl Session {
    fn take(&mut self, frame: v1::Frame, store: &mut Store) -> Result<()> {
        match frame.control {
            Some(Control::Opened(opened)) => self.token = Some(opened.token),
            Some(Control::Token(token)) => self.token = Some(token.token),
            Some(Control::Stream(stream)) => {
                self.streams.insert(stream.id, stream.name);
            }
            Some(Control::Schema(schema)) => {
                store.schemas.insert(schema.id, schema.clone());
                self.schemas.insert(schema.id, schema);
            }
            Some(Control::Part(part)) => {
                self.parts.extend_from_slice(&part.bytes);
                if part.index + 1 == part.of {
                    let whole = std::mem::take(&mut self.parts);
                    self.keep(&v1::Change::decode(whole.as_slice())?, store)?;
                }
            }
            Some(Control::Progress(progress)) => self.progress(progress.sequence, store)?,
            Some(Control::Ended(ended)) => {
                if ended.code != "SHUTTING_DOWN" {
                    return Err(Violation(format!("{}: {}", ended.code, ended.text)).into());
                }
            }
            Some(Control::Snapshot(_) | Control::Notice(_)) | None => {}
        }
        for change in &frame.changes {
            self.keep(change, store)?;
        }
        Ok(())
    }

    fn progress(&self, sequence: u64, store: &mut Store) -> Result<()> {
        let last = store.cursor.as_ref().map_or(0, |cursor| cursor.sequence);
        if sequence < last {
            return Err(Violation(format!("progress went back from {last} to {sequence}")).into());
        }
        self.move_cursor(sequence, store)
    }

    fn move_cursor(&self, sequence: u64, store: &mut Store) -> Result<()> {
        let token = self.token.clone().ok_or_else(|| Violation("no Opened frame first".into()))?;
        store.cursor = Some(v1::Cursor { token, sequence });
        Ok(())
    }

    fn keep(&self, change: &v1::Change, store: &mut Store) -> Result<()> {
        let last = store.cursor.as_ref().map_or(0, |cursor| cursor.sequence);
        if change.sequence <= last {
            return Err(Violation(format!(
                "sequence {} after the cursor {last}: sent again or out of order",
                change.sequence
            ))
            .into());
        }
        let missing = |what: &str| Violation(format!("a change before its {what} frame"));
        let schema = self.schemas.get(&change.schema).ok_or_else(|| missing("Schema"))?;
        let stream = self.streams.get(&change.stream).ok_or_else(|| missing("Stream"))?;
        store.changes.push(receive(change, schema, stream).context("a change of a wrong shape")?);
        self.move_cursor(change.sequence, store)
    }
}

fn receive(change: &v1::Change, schema: &v1::Schema, stream: &str) -> Result<Received> {
    let transaction = change.transaction.clone().unwrap_or_default();
    let lsn = |position: Option<v1::Position>| match position.and_then(|it| it.at) {
        Some(v1::position::At::Lsn(lsn)) => lsn,
        _ => 0,
    };
    Ok(Received {
        sequence: change.sequence,
        stream: stream.to_owned(),
        table: schema.table.clone(),
        operation: change.operation(),
        before: change.before.as_ref().map(|row| image(row, schema)).transpose()?,
        after: change.after.as_ref().map(|row| image(row, schema)).transpose()?,
        transaction: transaction.id,
        commit: lsn(transaction.commit),
        commit_unix_us: transaction.commit_unix_us,
        order: change.order,
        snapshot: change.snapshot(),
        position: lsn(change.position.clone()),
    })
}

fn image(row: &v1::Row, schema: &v1::Schema) -> Result<Image> {
    if row.values.len() != schema.columns.len() {
        bail!("{} values for {} columns", row.values.len(), schema.columns.len());
    }
    let mut image = Image::new();
    for (value, column) in row.values.iter().zip(&schema.columns) {
        if let Some(seen) = seen(value) {
            image.insert(column.name.clone(), seen);
        }
    }
    Ok(image)
}

fn seen(value: &v1::Value) -> Option<Seen> {
    Some(match value.kind.as_ref()? {
        Kind::Missing(0) => Seen::Null,
        Kind::Missing(1) => Seen::Unchanged,
        Kind::Missing(_) => return None,
        Kind::Boolean(value) => Seen::Value(value.to_string()),
        Kind::Integer(value) => Seen::Value(value.to_string()),
        Kind::Unsigned(value) => Seen::Value(value.to_string()),
        Kind::Single(value) => Seen::Value(value.to_string()),
        Kind::Number(value) => Seen::Value(value.to_string()),
        Kind::Text(text) => Seen::Value(text.clone()),
        Kind::Bytes(bytes) => Seen::Value(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        Kind::List(list) => {
            let values: Vec<String> =
                list.values.iter().map(|value| format!("{:?}", seen(value))).collect();
            Seen::Value(format!("{{{}}}", values.join(",")))
        }
    })
}

/// The text of a column that has a value.
pub fn text<'i>(image: &'i Image, column: &str) -> Option<&'i str> {
    match image.get(column)? {
        Seen::Value(text) => Some(text),
        _ => None,
    }
}
