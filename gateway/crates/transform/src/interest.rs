//! What a plugin is told of a table, and what it answers that it wants to see.

use offtake_change::{Column, Subject, TableSchema};

use crate::bindings as wit;
use crate::defined::told_as;
use crate::shape::{Output, Shape};
use crate::{FaultCode, Info};

/// What a plugin wants to see of a table, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interest {
    /// False: the plugin is never called for this table.
    pub subscribe: bool,
    /// Ordinals of the columns that are sent, each once.
    pub columns: Vec<u32>,
    /// Whether before images are sent too.
    pub before_image: bool,
    /// Whether text and bytes are sent as one run with offsets.
    pub packed_text: bool,
    /// Whether headers of earlier plugins are sent.
    pub headers: bool,
    /// Whether positions and snapshot markers are sent.
    pub positions: bool,
    /// Whether commit times are sent.
    pub commit_times: bool,
    /// Whether transactions and the place in them are sent.
    pub transactions: bool,
    /// What of the table leaves the plugin otherwise than it came, also where it is not called.
    pub shape: Shape,
    /// Streams that the shape and the outputs name.
    pub streams: Vec<String>,
}

impl Interest {
    /// Whether a call carries anything beside columns.
    pub(crate) fn wants_metadata(&self) -> bool {
        self.headers || self.positions || self.commit_times || self.transactions
    }
}

/// Why an answer to a schema cannot stand.
pub(crate) type Refusal = (FaultCode, String);

/// Checks what a plugin, by its name in the configuration, answered to a schema.
pub(crate) fn check(
    plugin: &str,
    info: &Info,
    schema: &TableSchema,
    answer: wit::Interest,
) -> Result<(Interest, Vec<Output>), Refusal> {
    if !answer.extra.is_empty() {
        let message = "it says more than this version of the contract has (`extra`)".to_owned();
        return Err((FaultCode::FeatureUnsupported, message));
    }
    let malformed = |message| Err((FaultCode::MalformedVerdict, message));
    if schema.subject == Subject::Message
        && let Some(asks) = reshapes(schema, &answer)
    {
        return malformed(format!(
            "it {asks} of logical messages, which leave with `prefix` and `content` as they came; \
             what else is made of one is emitted onto an output"
        ));
    }
    let shape = Shape::check(schema, answer.shape, answer.form.as_ref(), answer.subscribe)?;
    let outputs = match Output::check(plugin, schema, answer.outputs) {
        Ok(outputs) => outputs,
        Err(message) => return malformed(message),
    };
    let count = schema.columns.len();
    let mut seen = vec![false; count];
    for &ordinal in &answer.columns {
        match seen.get_mut(ordinal as usize) {
            None => return malformed(format!("it asks for column {ordinal} of {count}")),
            Some(true) => return malformed(format!("it asks for column {ordinal} twice")),
            Some(slot) => *slot = true,
        }
    }
    if info.protects {
        for name in &info.required_columns {
            let Some(ordinal) = schema.ordinal(name) else { continue };
            if !answer.subscribe || !seen[ordinal] {
                let message =
                    format!("it promised to cover the column {name:?} and does not ask for it");
                return Err((FaultCode::Unprotected, message));
            }
        }
    }
    let wants = |flag| answer.wants.contains(flag);
    let interest = Interest {
        subscribe: answer.subscribe,
        // A secret lies in the old image as well as in the new one.
        before_image: info.protects || wants(wit::Wants::BEFORE_IMAGE),
        packed_text: wants(wit::Wants::PACKED_TEXT),
        headers: wants(wit::Wants::HEADERS),
        positions: wants(wit::Wants::POSITIONS),
        commit_times: wants(wit::Wants::COMMIT_TIMES),
        transactions: wants(wit::Wants::TRANSACTIONS),
        columns: answer.columns,
        streams: outputs
            .iter()
            .filter_map(|output| output.stream.clone())
            .chain(shape.stream.clone())
            .collect(),
        shape,
    };
    Ok((interest, outputs))
}

/// What an answer asks for that every reader of logical messages would stumble over: they know what
/// one has.
fn reshapes(schema: &TableSchema, answer: &wit::Interest) -> Option<&'static str> {
    match &answer.form {
        Some(wit::Form::Flat) => return Some("asks for rows alone"),
        Some(wit::Form::Opaque(_)) => return Some("makes payloads"),
        Some(wit::Form::Envelope) | None => {}
    }
    let shape = answer.shape.as_ref()?;
    let is_another_key = shape.key.as_ref().is_some_and(|key| *key != schema.key);
    let changes = [
        (!shape.remove.is_empty(), "removes columns"),
        (!shape.retype.is_empty(), "renames or retypes columns"),
        (!shape.add.is_empty(), "adds columns"),
        (is_another_key, "changes the key"),
        (shape.name.is_some(), "changes the name"),
    ];
    changes.into_iter().find_map(|(does, what)| does.then_some(what))
}

/// What became of a column that a plugin must cover.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnLoss {
    /// The table has no column of that name.
    #[error("is gone")]
    Gone,
    /// Its type is another one.
    #[error("was {from} and is now {to}")]
    Retyped {
        /// Logical type that was covered.
        from: String,
        /// Logical type that the definition has.
        to: String,
    },
}

/// Whether a column that is covered, with its logical type, is lost under a definition of its
/// table. `None`: all is well. An instance asks this for the definitions that it sees; the caller
/// asks it for what the log remembers from before a restart.
///
/// Another length or precision of the same type is no other type: `varchar(80)` is widened every
/// day, and what covers it covers it still.
pub fn column_loss(name: &str, logical: &str, next: &TableSchema) -> Option<ColumnLoss> {
    match next.ordinal(name).and_then(|ordinal| next.columns.get(ordinal)) {
        None => Some(ColumnLoss::Gone),
        Some(now) if base_type(&now.logical) != base_type(logical) => {
            Some(ColumnLoss::Retyped { from: logical.to_owned(), to: now.logical.clone() })
        }
        Some(_) => None,
    }
}

/// A logical type without its length or precision.
fn base_type(logical: &str) -> &str {
    logical.split('(').next().unwrap_or(logical)
}

/// The first of the columns that a plugin must cover which a table had under `previous` and lost
/// under `next`, in words. `None`: all is well.
pub(crate) fn protection_lost(
    required: &[String],
    previous: &TableSchema,
    next: &TableSchema,
) -> Option<String> {
    required.iter().find_map(|name| {
        let before = previous.columns.get(previous.ordinal(name)?)?;
        let loss = column_loss(name, &before.logical, next)?;
        Some(format!("the protected column {name:?} {loss}"))
    })
}

/// A schema as the plugin is told it.
pub(crate) fn describe(schema: &TableSchema, id: u32) -> wit::Schema {
    wit::Schema {
        id,
        subject: match schema.subject {
            Subject::Table => wit::Subject::Table,
            Subject::Message => wit::Subject::Message,
        },
        database: schema.database.clone(),
        namespace: schema.namespace.clone(),
        table: schema.table.clone(),
        version: schema.version,
        columns: schema.columns.iter().map(describe_column).collect(),
        key: schema.key.clone(),
        before_columns: (0..schema.columns.len() as u32)
            .filter(|&ordinal| schema.changed_by.is_empty() && schema.is_in_identity(ordinal))
            .collect(),
        extra: Vec::new(),
    }
}

fn describe_column(column: &Column) -> wit::ColumnInfo {
    wit::ColumnInfo {
        name: column.name.clone(),
        kind: told_as(column.kind),
        logical: column.logical.clone(),
        native: column.native.clone(),
        nullable: column.nullable,
        labels: column.labels.clone(),
    }
}
