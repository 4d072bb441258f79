//! What the tests of the plugins that come with the gateway share: a table's changes written down as
//! values, put into a batch, run through a plugin at every batch size, and read again.
//!
//! A plugin may not depend on how changes are cut into calls, so all sizes must end alike.

#![allow(dead_code, unreachable_pub, reason = "each file that shares it uses a part")]

use std::sync::{Arc, LazyLock};

use offtake_change::wire::encode_value_into_list;
use offtake_change::{
    Batch, Cell, Column, Image, Kind, Lsn, Operation, ReplicaIdentity, Row, Snapshot, TableSchema,
    Transaction, ValueRef,
};
use offtake_transform::{
    Engine, EngineOptions, Isolated, Limits, Plugin, PluginError, PluginSpec, Processed, builtin,
};

/// Batch sizes that must give one result.
const SIZES: [usize; 4] = [256, 1, 2, 7];

/// A value of a test row; a list is one of texts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum V {
    Null,
    Unchanged,
    Absent,
    Boolean(bool),
    Integer(i64),
    Unsigned(u64),
    Single(f32),
    Number(f64),
    Text(&'static str),
    Bytes(&'static [u8]),
    List(&'static [&'static str]),
}

/// A change of a test.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub operation: Operation,
    pub before: Option<Vec<V>>,
    pub after: Option<Vec<V>>,
    pub headers: Vec<(&'static str, &'static [u8])>,
}

pub fn change(operation: Operation, before: Option<Vec<V>>, after: Option<Vec<V>>) -> Change {
    Change { operation, before, after, headers: Vec::new() }
}

/// What became of a change; lists are told by their elements.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Dropped,
    /// The code, and the plugin's words.
    Failed(&'static str, String),
    Left(Left),
}

/// A row that left.
#[derive(Clone, Debug, PartialEq)]
pub struct Left {
    pub operation: Operation,
    /// As text: `NULL`, `unchanged` and `absent` stand for what is no value.
    pub before: Option<Vec<String>>,
    pub after: Option<Vec<String>>,
    /// Where the plugin chose one.
    pub stream: Option<String>,
    pub partition: Option<u32>,
    /// `name: value`.
    pub headers: Vec<String>,
}

impl Outcome {
    /// The row, which left.
    pub fn left(self) -> Left {
        match self {
            Outcome::Left(left) => left,
            other => panic!("it did not leave: {other:?}"),
        }
    }
}

/// A column; the elements of a list are texts.
pub fn column(name: &str, kind: Kind, logical: &str) -> Column {
    let element = (kind == Kind::List).then(|| Box::new(Column::new("", Kind::Text, "text")));
    Column { element, ..Column::new(name, kind, logical) }
}

/// A table whose key is its first column, with whole before images.
pub fn table(name: &str, columns: Vec<Column>) -> Arc<TableSchema> {
    Arc::new(TableSchema {
        replica_identity: ReplicaIdentity::Full,
        ..TableSchema::new("shop", "public", name, columns, &[0])
    })
}

fn cell(batch: &mut Batch, value: V) -> Cell {
    match value {
        V::Null => Cell::NULL,
        V::Unchanged => Cell::UNCHANGED,
        V::Absent => Cell::ABSENT,
        V::Boolean(value) => Cell::boolean(value),
        V::Integer(value) => Cell::integer(value),
        V::Unsigned(value) => Cell::unsigned(value),
        V::Single(value) => Cell::single(value),
        V::Number(value) => Cell::number(value),
        V::Text(text) => batch.text(text.as_bytes()),
        V::Bytes(bytes) => batch.bytes(bytes),
        V::List(texts) => {
            let mut encoded = Vec::new();
            for text in texts {
                encode_value_into_list(ValueRef::Text(text.as_bytes()), &mut encoded);
            }
            batch.list(&encoded)
        }
    }
}

fn image(batch: &mut Batch, values: Option<&Vec<V>>) -> Image {
    let Some(values) = values else { return Image::NONE };
    let cells: Vec<Cell> = values.iter().map(|value| cell(batch, *value)).collect();
    let begin = batch.begin_image();
    cells.into_iter().for_each(|cell| batch.push_cell(cell));
    batch.end_image(begin)
}

/// A batch of these changes, all of transaction 742 but the rows that a snapshot read.
pub fn filled(schema: &Arc<TableSchema>, changes: &[Change]) -> Batch {
    let mut batch = Batch::new();
    let schema = batch.schema_index(schema);
    let transaction = batch.push_transaction(Transaction {
        id: "742".to_owned(),
        // 2023-11-14 22:13:20 UTC.
        commit_unix_us: 1_700_000_000_000_000,
        ..Transaction::default()
    });
    for (order, change) in (1..).zip(changes) {
        let before = image(&mut batch, change.before.as_ref());
        let after = image(&mut batch, change.after.as_ref());
        let mut row = Row {
            schema,
            lsn: Lsn(order),
            order,
            order_in_table: order,
            ..Row::new(change.operation, before, after)
        };
        if change.operation == Operation::Read {
            row.snapshot = Snapshot::Row;
        } else {
            row.transaction = transaction;
        }
        batch.rows.push(row);
        if !change.headers.is_empty() {
            batch.set_headers(batch.rows.len() - 1, change.headers.iter().copied());
        }
    }
    batch
}

/// A value as text.
pub fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Unchanged => "unchanged".to_owned(),
        ValueRef::Absent => "absent".to_owned(),
        ValueRef::Boolean(value) => value.to_string(),
        ValueRef::Integer(value) => value.to_string(),
        ValueRef::Unsigned(value) => value.to_string(),
        ValueRef::Single(value) => value.to_string(),
        ValueRef::Number(value) => value.to_string(),
        ValueRef::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
        ValueRef::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        ValueRef::List(list) => format!("{} elements", list.iter().count()),
    }
}

/// The values of an image as text, as [`Left`] has them.
pub fn texts(batch: &Batch, image: Image) -> Option<Vec<String>> {
    image.is_some().then(|| batch.values(image).map(shown).collect())
}

/// A change as it leaves where a plugin does nothing to it.
pub fn untouched(schema: &Arc<TableSchema>, change: &Change) -> Outcome {
    let batch = filled(schema, std::slice::from_ref(change));
    left(&batch, &batch.rows[0])
}

fn left(batch: &Batch, row: &Row) -> Outcome {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = batch.headers(row.headers);
    Outcome::Left(Left {
        operation: row.operation,
        before: texts(batch, row.before),
        after: texts(batch, row.after),
        stream: row.stream.map(|stream| batch.streams[stream as usize].to_string()),
        partition: row.headers.partition(),
        headers: headers.map(|(name, value)| format!("{}: {}", text(name), text(value))).collect(),
    })
}

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(EngineOptions::default()).unwrap());

/// A component with a configuration; an empty text is an empty one.
pub fn load_component(component: &[u8], config: &str) -> Result<Plugin, PluginError> {
    let config = if config.is_empty() { "{}" } else { config };
    let spec = PluginSpec {
        name: "under_test".to_owned(),
        component: component.to_vec(),
        config_json: config.to_owned(),
        limits: Limits::default(),
        state: None,
    };
    Plugin::load(&ENGINE, spec)
}

/// A plugin that comes with the gateway, with a configuration.
pub fn load(name: &str, config: &str) -> Result<Plugin, PluginError> {
    load_component(builtin(name).expect("it comes with the gateway"), config)
}

/// Why a configuration is refused.
pub fn refusal(name: &str, config: &str) -> String {
    let error = load(name, config).expect_err("the configuration was accepted");
    // By the plugin's schema, or by the plugin.
    assert!(matches!(error.code(), "PLUGIN_CONFIG_INVALID" | "PLUGIN_CONFIG_REFUSED"), "{error}");
    error.to_string()
}

/// Why a plugin refuses a table, in its own words.
pub fn refused(name: &str, config: &str, schema: &Arc<TableSchema>) -> String {
    let mut instance = load(name, config).unwrap().instance().unwrap();
    let fault = instance.on_schema(schema).expect_err("the table was accepted");
    assert_eq!(fault.code(), "PLUGIN_REFUSED");
    fault.message.strip_prefix("it declared a failure: ").expect("the plugin says so").to_owned()
}

/// Runs changes through a plugin at every batch size.
pub fn run(plugin: &Plugin, schema: &Arc<TableSchema>, changes: &[Change]) -> Vec<Outcome> {
    let at_size = |size: usize| {
        let mut batch = filled(schema, changes);
        let mut isolated = Isolated::new(plugin).unwrap();
        let rows: Vec<u32> = (0..).take(changes.len()).collect();
        let mut done = Processed::default();
        for rows in rows.chunks(size) {
            isolated.process(&mut batch, rows, &mut done).unwrap();
        }
        let outcome = |(index, row): (u32, &Row)| {
            let failed = done.failed.iter().find(|failed| failed.row == index);
            match failed {
                Some(failed) => Outcome::Failed(failed.fault.code(), failed.fault.message.clone()),
                None if row.dropped => Outcome::Dropped,
                None => left(&batch, row),
            }
        };
        (0..).zip(batch.rows.iter().take(changes.len())).map(outcome).collect::<Vec<_>>()
    };
    let whole = at_size(SIZES[0]);
    for size in SIZES {
        assert_eq!(at_size(size), whole, "at batch size {size}");
    }
    whole
}
