//! How a table's changes leave a plugin otherwise than they came: other columns, another key,
//! another stream, and further rows on outputs of their own.

use crate::bindings::exports::offtake::transform::plugin;
use crate::bindings::offtake::transform::types::{self, Form, Opaque, Shape};
use crate::{ColumnInfo, Failure, Interest, Kind, Schema};

impl ColumnInfo {
    /// A column that may be NULL, of a logical type: `text`, `int4`, `int8`, `float8`, `bool`,
    /// `bytes`, `decimal(12,2)`, `timestamptz`, `date`, `uuid`, `json`, `list<int4>`. How its
    /// values travel follows from it.
    pub fn new(name: &str, logical: &str) -> ColumnInfo {
        let kind = match logical {
            "bool" => Kind::Boolean,
            "int1" | "int2" | "int4" | "int8" | "oid" => Kind::Int64,
            "uint1" | "uint2" | "uint4" | "uint8" => Kind::Uint64,
            "float4" | "float8" => Kind::Float64,
            "bytes" => Kind::Bytes,
            _ => Kind::Text,
        };
        ColumnInfo {
            name: name.to_owned(),
            kind,
            logical: logical.to_owned(),
            native: String::new(),
            nullable: true,
            labels: Vec::new(),
        }
    }

    /// The same, but never NULL.
    #[must_use]
    pub fn required(self) -> ColumnInfo {
        ColumnInfo { nullable: false, ..self }
    }

    /// The same under another name.
    #[must_use]
    pub fn named(self, name: &str) -> ColumnInfo {
        ColumnInfo { name: name.to_owned(), ..self }
    }
}

/// Rows beside the table's own: a definition, and where they go.
#[derive(Clone, Debug)]
pub struct Output {
    pub(crate) wire: types::Output,
}

impl Output {
    /// Rows of a definition with this name and these columns, on the table's own stream and without
    /// a key.
    pub fn new(name: &str, columns: impl IntoIterator<Item = ColumnInfo>) -> Output {
        Output {
            wire: types::Output {
                name: name.to_owned(),
                columns: columns.into_iter().collect(),
                key: Vec::new(),
                form: Form::Envelope,
                stream: None,
            },
        }
    }

    /// The columns of the key, in its order.
    ///
    /// # Errors
    /// The output has no such column.
    pub fn keyed_by(mut self, names: &[&str]) -> Result<Output, Failure> {
        self.wire.key = ordinals(&self.wire.columns, names).map_err(|name| {
            Failure::permanent(format!("the output {} has no column {name}", self.wire.name))
        })?;
        Ok(self)
    }

    /// The stream of rows that name none.
    #[must_use]
    pub fn on_stream(mut self, stream: &str) -> Output {
        self.wire.stream = Some(stream.to_owned());
        self
    }

    /// The row alone instead of before and after images.
    #[must_use]
    pub fn flat(mut self) -> Output {
        self.wire.form = Form::Flat;
        self
    }

    /// The value of one column as it is, with its content type.
    ///
    /// # Errors
    /// The output has no such column.
    pub fn opaque(mut self, column: &str, content_type: &str) -> Result<Output, Failure> {
        self.wire.form = opaque(&self.wire.columns, column, content_type).ok_or_else(|| {
            Failure::permanent(format!("the output {} has no column {column}", self.wire.name))
        })?;
        Ok(self)
    }
}

fn opaque(columns: &[ColumnInfo], column: &str, content_type: &str) -> Option<Form> {
    let payload = columns.iter().position(|known| known.name == column)? as u32;
    Some(Form::Opaque(Opaque { payload, content_type: content_type.to_owned() }))
}

fn ordinals(columns: &[ColumnInfo], names: &[&str]) -> Result<Vec<u32>, String> {
    let mut found: Vec<u32> = Vec::new();
    for &name in names {
        let at = columns.iter().position(|column| column.name == name);
        let at = at.ok_or_else(|| name.to_owned())? as u32;
        if !found.contains(&at) {
            found.push(at);
        }
    }
    Ok(found)
}

/// Columns as a verdict counts them: the table's as they are now defined, then those added.
pub(crate) fn wide_columns(schema: &Schema, shape: Option<&Shape>) -> Vec<ColumnInfo> {
    let mut columns = schema.columns.clone();
    let Some(shape) = shape else { return columns };
    for (ordinal, column) in &shape.retype {
        if let Some(slot) = columns.get_mut(*ordinal as usize) {
            slot.clone_from(column);
        }
    }
    columns.extend(shape.add.iter().cloned());
    columns
}

impl Interest {
    /// From here on the table's key is these columns, in this order, instead of its own; none: no
    /// key. Columns that are added or renamed are named as they leave, so say this last. The next
    /// plugin, the log, gRPC and Kafka go by it, also where this plugin asks for nothing else. Choose
    /// columns that the replica identity has: the key of a delete lacks others.
    ///
    /// # Errors
    /// The table has no such column.
    pub fn keyed_by<S: AsRef<str>>(
        mut self,
        schema: &Schema,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Interest, Failure> {
        let names: Vec<S> = names.into_iter().collect();
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        let columns = wide_columns(schema, self.wire.shape.as_ref());
        let key = ordinals(&columns, &names).map_err(|name| {
            let table = schema.qualified_name();
            Failure::permanent(format!("{table} has no column {name} for its key"))
        })?;
        self.shape().key = Some(key);
        Ok(self)
    }

    /// Those of the columns that the table has do not leave.
    #[must_use]
    pub fn without_columns<S: AsRef<str>>(
        mut self,
        schema: &Schema,
        names: impl IntoIterator<Item = S>,
    ) -> Interest {
        for name in names {
            if let Some((ordinal, _)) = schema.column(name.as_ref())
                && !self.shape().remove.contains(&ordinal)
            {
                self.shape().remove.push(ordinal);
            }
        }
        self
    }

    /// A column of the table is from now on what is said here. Where its type is another one, the
    /// plugin sets every value of it.
    ///
    /// # Errors
    /// The table has no such column.
    pub fn with_column_as(
        mut self,
        schema: &Schema,
        name: &str,
        column: ColumnInfo,
    ) -> Result<Interest, Failure> {
        let Some((ordinal, _)) = schema.column(name) else {
            let table = schema.qualified_name();
            return Err(Failure::permanent(format!("{table} has no column {name}")));
        };
        self.shape().retype.push((ordinal, column));
        Ok(self)
    }

    /// A column of the table leaves under another name.
    ///
    /// # Errors
    /// The table has no such column.
    pub fn with_column_renamed(
        self,
        schema: &Schema,
        name: &str,
        new: &str,
    ) -> Result<Interest, Failure> {
        let column = schema.column(name).map(|(_, column)| column.clone().named(new));
        match column {
            Some(column) => self.with_column_as(schema, name, column),
            None => self.with_column_as(schema, name, ColumnInfo::new(new, "text")),
        }
    }

    /// A further column, behind those of the table. Where it is not set it is NULL.
    #[must_use]
    pub fn with_column(mut self, column: ColumnInfo) -> Interest {
        self.shape().add.push(column);
        self
    }

    /// The table's changes leave on this stream instead of the route's.
    #[must_use]
    pub fn on_stream(mut self, stream: &str) -> Interest {
        self.shape().stream = Some(stream.to_owned());
        self
    }

    /// Sinks name the table's rows so, instead of by the table's own name.
    #[must_use]
    pub fn named(mut self, namespace: &str, table: &str) -> Interest {
        self.shape().name = Some((namespace.to_owned(), table.to_owned()));
        self
    }

    /// The row alone leaves instead of before and after images.
    #[must_use]
    pub fn flat(mut self) -> Interest {
        self.wire.form = Some(Form::Flat);
        self
    }

    /// The value of one column leaves as it is, with its content type.
    ///
    /// # Errors
    /// The table has no such column.
    pub fn opaque(
        mut self,
        schema: &Schema,
        column: &str,
        content_type: &str,
    ) -> Result<Interest, Failure> {
        let columns = wide_columns(schema, self.wire.shape.as_ref());
        let form = opaque(&columns, column, content_type).ok_or_else(|| {
            Failure::permanent(format!("{} has no column {column}", schema.qualified_name()))
        })?;
        self.wire.form = Some(form);
        Ok(self)
    }

    /// Rows may be emitted on this output; outputs are counted from 0 in the order in which they are
    /// declared, see [`Verdict::emit`](crate::Verdict::emit).
    #[must_use]
    pub fn with_output(mut self, output: Output) -> Interest {
        self.wire.outputs.push(output.wire);
        self
    }

    fn shape(&mut self) -> &mut Shape {
        self.wire.shape.get_or_insert_with(|| types::Shape {
            remove: Vec::new(),
            retype: Vec::new(),
            add: Vec::new(),
            key: None,
            stream: None,
            name: None,
        })
    }
}

/// What a plugin was told of a table and what it answered, as far as its verdicts need it.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) schema: Schema,
    /// See [`wide_columns`].
    pub(crate) columns: Vec<ColumnInfo>,
    /// Columns of each output.
    pub(crate) outputs: Vec<Vec<ColumnInfo>>,
}

impl Told {
    pub(crate) fn new(schema: Schema, interest: &plugin::Interest) -> Told {
        let columns = wide_columns(&schema, interest.shape.as_ref());
        let outputs = interest.outputs.iter().map(|output| output.columns.clone()).collect();
        Told { schema, columns, outputs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::tests::schema;

    #[test]
    fn a_key_is_chosen_by_names_in_their_order_and_each_once() {
        let schema = schema();
        let key = |names: &[&str]| {
            let interest = Interest::none().keyed_by(&schema, names).expect("they are columns");
            interest.wire.shape.and_then(|shape| shape.key)
        };
        assert_eq!(key(&["tenant", "id", "tenant"]), Some(vec![1, 0]));
        assert_eq!(key(&[]), Some(Vec::new()));
        let refused = Interest::none().keyed_by(&schema, ["tenat"]).expect_err("it was accepted");
        assert_eq!(refused.message, "public.orders has no column tenat for its key");
    }

    #[test]
    fn columns_count_on_behind_those_of_the_table() {
        let schema = schema();
        let interest = Interest::none()
            .with_column_renamed(&schema, "tenant", "shop")
            .expect("it is a column")
            .with_column(ColumnInfo::new("slug", "text").required())
            .keyed_by(&schema, ["slug", "shop"])
            .expect("they are columns");
        let told = Told::new(schema, &interest.wire);
        let names: Vec<&str> = told.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["id", "shop", "slug"]);
        assert_eq!(interest.wire.shape.and_then(|shape| shape.key), Some(vec![2, 1]));
    }

    #[test]
    fn the_kind_of_a_column_follows_from_its_logical_type() {
        assert_eq!(ColumnInfo::new("a", "int4").kind, Kind::Int64);
        assert_eq!(ColumnInfo::new("a", "decimal(12,2)").kind, Kind::Text);
        assert_eq!(ColumnInfo::new("a", "list<int4>").kind, Kind::Text);
        assert_eq!(ColumnInfo::new("a", "bytes").kind, Kind::Bytes);
    }
}
