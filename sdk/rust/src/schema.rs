//! A table's schema, and what a plugin says of itself and wants of a table.

use crate::bindings::exports::offtake::transform::plugin;
use crate::bindings::offtake::transform::types::Wants;
use crate::{ColumnInfo, Failure, Kind, Schema, Subject};

impl Schema {
    /// A table's schema, for the tests of a plugin: the gateway makes those that a plugin is told.
    /// `key`: ordinals of the key's columns, which before images have too.
    pub fn new(namespace: &str, table: &str, columns: Vec<ColumnInfo>, key: &[u32]) -> Schema {
        Schema {
            id: 1,
            subject: Subject::Table,
            database: "shop".to_owned(),
            namespace: namespace.to_owned(),
            table: table.to_owned(),
            version: 1,
            columns,
            key: key.to_vec(),
            before_columns: key.to_vec(),
            extra: Vec::new(),
        }
    }

    /// The column of that name, with its ordinal.
    pub fn column(&self, name: &str) -> Option<(u32, &ColumnInfo)> {
        let at = self.columns.iter().position(|column| column.name == name)?;
        Some((at as u32, &self.columns[at]))
    }

    /// The table as a person writes it: `public.orders`.
    pub fn qualified_name(&self) -> String {
        format!("{}.{}", self.namespace, self.table)
    }

    /// Whether this describes logical messages and not a table.
    pub fn is_message(&self) -> bool {
        self.subject == Subject::Message
    }

    /// A failure that names the table, a column and its type: `public.orders.total has type
    /// numeric: <reason>`.
    pub fn refuse(&self, column: &ColumnInfo, reason: &str) -> Failure {
        Failure::permanent(format!(
            "{}.{} has type {}: {reason}",
            self.qualified_name(),
            column.name,
            column.native
        ))
    }
}

impl ColumnInfo {
    /// Whether any text is a proper value: `text`, `varchar`, `char` and their like. Numbers,
    /// times, identifiers, JSON and lists travel as text too, but only some texts are their values.
    pub fn is_free_text(&self) -> bool {
        // Logical types may carry a length: `varchar(80)`.
        let end = self.logical.bytes().position(|byte| byte == b'(');
        let logical = &self.logical.as_bytes()[..end.unwrap_or(self.logical.len())];
        self.kind == Kind::Text && FREE_TEXT.iter().any(|name| name.as_bytes() == logical)
    }
}

/// Logical types whose values are any text.
const FREE_TEXT: [&str; 8] =
    ["text", "string", "varchar", "char", "bpchar", "character", "citext", "name"];

/// What a plugin says of itself.
///
/// ```
/// let info = offtake_sdk::Info::new("mask", env!("CARGO_PKG_VERSION")).protecting(["email"]);
/// ```
#[derive(Clone, Debug)]
pub struct Info {
    pub(crate) wire: plugin::Info,
}

impl Info {
    /// Name and version, for log lines and records.
    pub fn new(name: &str, version: &str) -> Info {
        Info {
            wire: plugin::Info {
                name: name.to_owned(),
                version: version.to_owned(),
                protects: false,
                required_columns: Vec::new(),
                stateful: false,
                extra: Vec::new(),
            },
        }
    }

    /// The plugin keeps these columns from being seen. The gateway then fails closed: both images
    /// are always sent, no failure lets a change pass, and the pipeline stops when one of the
    /// columns is in none of the plugin's tables, or when a table loses one.
    #[must_use]
    pub fn protecting<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Info {
        self.wire.protects = true;
        self.wire.required_columns = columns.into_iter().map(Into::into).collect();
        self
    }
}

impl Info {
    /// The plugin keeps state (see [`state`](crate::state)), which the gateway's configuration has to
    /// grant.
    #[must_use]
    pub fn keeping_state(mut self) -> Info {
        self.wire.stateful = true;
        self
    }
}

/// What a plugin wants to see of a table.
#[derive(Clone, Debug)]
pub struct Interest {
    pub(crate) wire: plugin::Interest,
}

impl Interest {
    /// Nothing: the plugin is not called for this table, and its changes pass as they are.
    pub fn none() -> Interest {
        Interest::of(false, Vec::new())
    }

    /// The after images of those of the named columns that the table has. Where it has none of
    /// them, the same as [`Interest::none`].
    pub fn in_columns<S: AsRef<str>>(
        schema: &Schema,
        names: impl IntoIterator<Item = S>,
    ) -> Interest {
        let mut ordinals: Vec<u32> = Vec::new();
        for name in names {
            if let Some((ordinal, _)) = schema.column(name.as_ref())
                && !ordinals.contains(&ordinal)
            {
                ordinals.push(ordinal);
            }
        }
        Interest::of(!ordinals.is_empty(), ordinals)
    }

    /// Every change of the table without any column, for plugins that look at operations only.
    pub fn in_operations() -> Interest {
        Interest::of(true, Vec::new())
    }

    fn of(subscribe: bool, columns: Vec<u32>) -> Interest {
        let wire = plugin::Interest {
            subscribe,
            columns,
            // The layout that costs a Rust plugin least.
            wants: Wants::PACKED_TEXT,
            shape: None,
            form: None,
            outputs: Vec::new(),
            extra: Vec::new(),
        };
        Interest { wire }
    }

    /// The before images as well. A plugin that protects gets them unasked.
    #[must_use]
    pub fn with_before_images(mut self) -> Interest {
        self.wire.wants |= Wants::BEFORE_IMAGE;
        self
    }

    /// Positions, snapshot markers, commit times and transactions as well, see
    /// [`Batch::metadata`](crate::Batch::metadata).
    #[must_use]
    pub fn with_metadata(mut self) -> Interest {
        self.wire.wants |= Wants::POSITIONS | Wants::COMMIT_TIMES | Wants::TRANSACTIONS;
        self
    }

    /// Positions and snapshot markers alone of [`Interest::with_metadata`].
    #[must_use]
    pub fn with_positions(mut self) -> Interest {
        self.wire.wants |= Wants::POSITIONS;
        self
    }

    /// Commit times alone of [`Interest::with_metadata`].
    #[must_use]
    pub fn with_commit_times(mut self) -> Interest {
        self.wire.wants |= Wants::COMMIT_TIMES;
        self
    }

    /// Transactions alone of [`Interest::with_metadata`].
    #[must_use]
    pub fn with_transactions(mut self) -> Interest {
        self.wire.wants |= Wants::TRANSACTIONS;
        self
    }

    /// Headers that earlier plugins of the chain added, see
    /// [`Batch::metadata`](crate::Batch::metadata).
    #[must_use]
    pub fn with_headers(mut self) -> Interest {
        self.wire.wants |= Wants::HEADERS;
        self
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// `public.orders` with the key `id`, and `tenant`.
    pub(crate) fn schema() -> Schema {
        let column = |name: &str| ColumnInfo::new(name, "text").required();
        Schema::new("public", "orders", vec![column("id"), column("tenant")], &[0])
    }

    #[test]
    fn an_interest_in_columns_that_a_table_lacks_is_none() {
        assert!(!Interest::in_columns(&schema(), ["nothing"]).wire.subscribe);
        let interest = Interest::in_columns(&schema(), ["tenant", "id", "tenant"]);
        assert_eq!(interest.wire.columns, [1, 0]);
    }
}
