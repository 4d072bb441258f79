//! The definition that a plugin puts out, made of the one that it takes in and the shape that it
//! asked for.
//!
//! It is made once a definition, never a change: rows of the table then carry the output's
//! definition, so the next plugin, the log and every sink see one and the same. While a plugin's
//! verdict is applied, images have the columns of the input followed by the added ones; only then
//! are they cut to what leaves. Images of rows whose columns stay are never copied.

use std::sync::Arc;

use offtake_change::{Batch, Cell, Column, Form, Kind, TableSchema, ValueRef};

use crate::FaultCode;
use crate::bindings as wit;
use crate::defined::{
    check_count, check_key, check_name, check_names, check_stream, column, told_as,
};
use crate::fits;
use crate::interest::Refusal;

/// How what a plugin puts out of a table differs from what it takes in, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Ordinals of columns that do not leave.
    pub remove: Vec<u32>,
    /// Columns that are defined anew.
    pub retype: Vec<(u32, Column)>,
    /// Columns behind those of the input.
    pub add: Vec<Column>,
    /// Ordinals of the key's columns in key order, of input and added columns; empty: no key.
    /// `None`: the key stays.
    pub key: Option<Vec<u32>>,
    /// The stream in place of the route's.
    pub stream: Option<String>,
    /// Namespace and table in place of the table's own.
    pub name: Option<(String, String)>,
    /// What the stream carries; of opaque rows also the ordinal of the payload's column, as the key
    /// counts, and its content type. `None`: as it comes.
    pub form: Option<(Form, Option<(u32, String)>)>,
}

impl Shape {
    /// Checks the shape that a plugin asked for. `called`: it is called with the table's changes.
    pub(crate) fn check(
        schema: &TableSchema,
        answer: Option<wit::Shape>,
        form: Option<&wit::Form>,
        called: bool,
    ) -> Result<Shape, Refusal> {
        Shape::checked(schema, answer, form, called)
            .map_err(|message| (FaultCode::MalformedVerdict, message))
    }

    fn checked(
        schema: &TableSchema,
        answer: Option<wit::Shape>,
        form: Option<&wit::Form>,
        called: bool,
    ) -> Result<Shape, String> {
        let count = schema.columns.len();
        let mut shape = Shape::default();
        if let Some(wit::Shape { remove, retype, add, key, stream, name }) = answer {
            check_count(count + add.len())?;
            check_ordinals(count, &remove, "removes")?;
            let retyped: Vec<u32> = retype.iter().map(|&(ordinal, _)| ordinal).collect();
            check_ordinals(count, &retyped, "retypes")?;
            for (ordinal, info) in &retype {
                let old = schema.columns.get(*ordinal as usize);
                let new = match old.filter(|old| is_told_as(old, info)) {
                    Some(old) => renamed(old, info)?,
                    None => column(info)?,
                };
                shape.retype.push((*ordinal, new));
            }
            shape.add = add.iter().map(column).collect::<Result<_, _>>()?;
            if let Some(stream) = &stream {
                check_stream(stream, &[])?;
            }
            (shape.remove, shape.key, shape.stream, shape.name) = (remove, key, stream, name);
        }
        let wide = shape.wide(schema);
        shape.form = form.map(|form| checked_form(form, &wide.columns)).transpose()?;
        check_key(wide.columns.len(), &wide.key)?;
        let kept = |ordinal: u32| !shape.remove.contains(&ordinal);
        if let Some(ordinal) = wide.key.iter().find(|&&ordinal| !kept(ordinal)) {
            return Err(format!("its key has column {ordinal}, which it removes"));
        }
        let (form, payload) = shape.form_of(&wide);
        if form == Form::Opaque && !kept(payload) {
            return Err(format!("its payload is column {payload}, which it removes"));
        }
        if form == Form::Opaque && wide.key.contains(&payload) {
            return Err(format!("its payload is column {payload}, which is part of the key"));
        }
        let output = shape.output_of(&wide);
        check_names(&output.columns)?;
        let is_opaque_now = form == Form::Opaque && shape.form.is_some();
        if !called && (is_opaque_now || shape.needs_values(schema)) {
            let message = "it adds a column that has to be set, gives one another type, or makes \
                           one the payload, and does not ask to be called";
            return Err(message.to_owned());
        }
        Ok(shape)
    }

    /// Whether rows cannot leave with this shape unless the plugin sets something.
    pub fn needs_values(&self, schema: &TableSchema) -> bool {
        let narrower = |(ordinal, new): &(u32, Column)| {
            let old = schema.columns.get(*ordinal as usize);
            old.is_none_or(|old| !is_same_type(old, new) || (old.nullable && !new.nullable))
        };
        let count = schema.columns.len();
        let is_set = |(at, column): (usize, &Column)| {
            !column.nullable || self.key.iter().flatten().any(|&key| key as usize == at)
        };
        (count..).zip(&self.add).any(is_set) || self.retype.iter().any(narrower)
    }

    /// What leaves, and where its payload is among the columns before any is removed.
    fn form_of(&self, wide: &TableSchema) -> (Form, u32) {
        match &self.form {
            None => (wide.form, wide.payload),
            Some((form, opaque)) => (*form, opaque.as_ref().map_or(0, |(payload, _)| *payload)),
        }
    }

    /// The input's columns as they are now defined, followed by the added ones, and the key among
    /// them: what patches count.
    fn wide(&self, input: &TableSchema) -> TableSchema {
        let mut wide = input.clone();
        for (ordinal, column) in &self.retype {
            if let Some(slot) = wide.columns.get_mut(*ordinal as usize) {
                slot.clone_from(column);
            }
        }
        wide.columns.extend(self.add.iter().cloned());
        match &self.key {
            Some(key) => wide.key.clone_from(key),
            None => wide.key.retain(|ordinal| !self.remove.contains(ordinal)),
        }
        wide
    }

    fn output_of(&self, wide: &TableSchema) -> TableSchema {
        let kept = self.kept(wide.columns.len());
        let place = |ordinal: u32| kept.iter().position(|&kept| kept == ordinal);
        let column = |&ordinal: &u32| wide.columns.get(ordinal as usize).cloned();
        let mut output = wide.clone();
        output.columns = kept.iter().filter_map(column).collect();
        output.key =
            wide.key.iter().filter_map(|&key| place(key).map(|place| place as u32)).collect();
        if let Some((namespace, table)) = &self.name {
            output.namespace.clone_from(namespace);
            output.table.clone_from(table);
        }
        let (form, payload) = self.form_of(wide);
        output.form = form;
        if let Some((_, opaque)) = &self.form {
            output.content_type =
                opaque.as_ref().map_or_else(String::new, |(_, content_type)| content_type.clone());
        }
        let payload = if form == Form::Opaque { place(payload) } else { None };
        output.payload = payload.unwrap_or_default() as u32;
        output
    }

    /// Ordinals of what leaves, of `count` columns.
    fn kept(&self, count: usize) -> Vec<u32> {
        (0..count as u32).filter(|ordinal| !self.remove.contains(ordinal)).collect()
    }
}

/// The form that a plugin chose, and an opaque one's payload with its content type.
fn checked_form(
    form: &wit::Form,
    columns: &[Column],
) -> Result<(Form, Option<(u32, String)>), String> {
    let wit::Form::Opaque(wit::Opaque { payload, content_type }) = form else {
        let is_flat = matches!(form, wit::Form::Flat);
        return Ok((if is_flat { Form::Flat } else { Form::Envelope }, None));
    };
    let column = columns
        .get(*payload as usize)
        .ok_or_else(|| format!("its payload is column {payload} of {}", columns.len()))?;
    if !matches!(column.kind, Kind::Text | Kind::Bytes) {
        return Err(format!(
            "its payload, the column {:?}, is neither text nor bytes",
            column.name
        ));
    }
    Ok((Form::Opaque, Some((*payload, content_type.clone()))))
}

/// Gives both images of a row these columns. Where there is none yet an after image has NULL.
fn select(batch: &mut Batch, row: u32, ordinals: impl Iterator<Item = u32> + Clone) {
    let Some(head) = batch.rows.get(row as usize).copied() else { return };
    let before = batch.select(head.before, ordinals.clone(), Cell::ABSENT);
    let after = batch.select(head.after, ordinals, Cell::NULL);
    if let Some(head) = batch.rows.get_mut(row as usize) {
        (head.before, head.after) = (before, after);
    }
}

/// Refuses ordinals that there are not, and one that is named twice.
fn check_ordinals(count: usize, ordinals: &[u32], does: &str) -> Result<(), String> {
    let mut seen = vec![false; count];
    for &ordinal in ordinals {
        match seen.get_mut(ordinal as usize) {
            None => return Err(format!("it {does} column {ordinal} of {count}")),
            Some(true) => return Err(format!("it {does} column {ordinal} twice")),
            Some(slot) => *slot = true,
        }
    }
    Ok(())
}

/// Whether a plugin says of a column what it was told of its type.
fn is_told_as(column: &Column, info: &wit::ColumnInfo) -> bool {
    told_as(column.kind) == info.kind
        && column.logical == info.logical
        && column.labels == info.labels
}

/// Another name alone: what the database says of the type stays.
fn renamed(old: &Column, info: &wit::ColumnInfo) -> Result<Column, String> {
    check_name(&info.name)?;
    Ok(Column { name: info.name.clone(), nullable: info.nullable, ..old.clone() })
}

/// Whether every value of one is one of the other, NULL apart.
fn is_same_type(a: &Column, b: &Column) -> bool {
    a.kind == b.kind && a.logical == b.logical && a.labels == b.labels
}

/// Further outputs that a plugin can have for a table.
const OUTPUTS: usize = 64;

/// The definition of a plugin's further output, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) schema: Arc<TableSchema>,
    /// The stream of rows that name none; `None`: the table's own.
    pub(crate) stream: Option<String>,
}

impl Output {
    /// Checks the outputs that a plugin declares for a table.
    pub(crate) fn check(
        plugin: &str,
        table: &TableSchema,
        outputs: Vec<wit::Output>,
    ) -> Result<Vec<Output>, String> {
        if outputs.len() > OUTPUTS {
            return Err(format!("it has {} outputs, where {OUTPUTS} are the most", outputs.len()));
        }
        let mut checked: Vec<Output> = Vec::with_capacity(outputs.len());
        for output in outputs {
            let name = output.name.clone();
            if name.is_empty() || checked.iter().any(|other| other.schema.table == name) {
                return Err(format!("it has two outputs with the name {name:?}, or one without"));
            }
            let made = Output::checked(plugin, table, output);
            checked.push(made.map_err(|message| format!("its output {name:?}: {message}"))?);
        }
        Ok(checked)
    }

    fn checked(plugin: &str, table: &TableSchema, output: wit::Output) -> Result<Output, String> {
        check_count(output.columns.len())?;
        let is_own = output.name == table.table;
        // What is told as the table's own column is that column, with all that is known of it.
        let known = |info: &wit::ColumnInfo| {
            let all = if is_own { &table.columns[..] } else { &[] };
            all.iter().find(|old| old.name == info.name && is_told_as(old, info))
        };
        let defined = |info: &wit::ColumnInfo| match known(info) {
            Some(old) => renamed(old, info),
            None => column(info),
        };
        let columns = output.columns.iter().map(defined).collect::<Result<Vec<_>, _>>()?;
        check_names(&columns)?;
        check_key(columns.len(), &output.key)?;
        if let Some(stream) = &output.stream {
            check_stream(stream, &[])?;
        }
        let (form, opaque) = checked_form(&output.form, &columns)?;
        if let Some((payload, _)) = opaque.as_ref().filter(|(it, _)| output.key.contains(it)) {
            return Err(format!("its payload is column {payload}, which is part of the key"));
        }
        let mut schema = TableSchema::new(
            table.database.clone(),
            table.namespace.clone(),
            output.name,
            columns,
            &output.key,
        );
        if is_own {
            // The table's own rows by another way: the same definition where the columns are.
            schema.replica_identity = table.replica_identity;
            schema.version = table.version;
        }
        schema.form = form;
        (schema.payload, schema.content_type) = opaque.unwrap_or_default();
        schema.changed_by.clone_from(&table.changed_by);
        schema.changed_by.push(plugin.to_owned());
        Ok(Output { schema: Arc::new(schema), stream: output.stream })
    }
}

/// A table as a plugin takes it in and as it puts it out.
#[derive(Clone, Debug)]
pub(crate) struct Shaped {
    pub(crate) input: Arc<TableSchema>,
    /// What the plugin's ordinals count, with the key that rows have once the plugin is done.
    pub(crate) wide: Arc<TableSchema>,
    pub(crate) output: Arc<TableSchema>,
    /// The columns that leave, where they are others than those of the input.
    kept: Option<Arc<[u32]>>,
    /// Columns whose values must be set, or fit, for a row to leave.
    pub(crate) checked: Arc<[u32]>,
    /// Of the payload, where rows leave as one.
    pub(crate) payload: Option<u32>,
    pub(crate) outputs: Arc<[Output]>,
    /// The stream in place of the route's.
    pub(crate) stream: Option<Arc<str>>,
}

impl Shaped {
    pub(crate) fn new(
        plugin: &str,
        input: &Arc<TableSchema>,
        shape: &Shape,
        outputs: Vec<Output>,
    ) -> Shaped {
        let same = |made: TableSchema| {
            if made == **input { Arc::clone(input) } else { Arc::new(made) }
        };
        let wide = same(shape.wide(input));
        let mut output = shape.output_of(&wide);
        if output != **input {
            output.changed_by.push(plugin.to_owned());
        }
        let reshapes = !shape.remove.is_empty() || !shape.add.is_empty();
        let retyped = shape.retype.iter().map(|&(ordinal, _)| ordinal);
        let is_key = |ordinal: usize| wide.key.iter().any(|&key| key as usize == ordinal);
        let added = (input.columns.len()..)
            .zip(&shape.add)
            .filter(|(ordinal, column)| !column.nullable || is_key(*ordinal));
        let (form, payload) = shape.form_of(&wide);
        Shaped {
            input: Arc::clone(input),
            kept: reshapes.then(|| shape.kept(wide.columns.len()).into()),
            checked: retyped.chain(added.map(|(ordinal, _)| ordinal as u32)).collect(),
            payload: (form == Form::Opaque).then_some(payload),
            outputs: outputs.into(),
            stream: shape.stream.as_deref().map(Arc::from),
            output: same(output),
            wide,
        }
    }

    /// Whether rows leave under another definition than they came.
    pub(crate) fn differs(&self) -> bool {
        !Arc::ptr_eq(&self.input, &self.output)
    }

    /// Takes an equal definition, which was read anew, in the place of the input.
    pub(crate) fn read_anew(&mut self, input: &Arc<TableSchema>) {
        for same in [&mut self.wide, &mut self.output] {
            if Arc::ptr_eq(same, &self.input) {
                *same = Arc::clone(input);
            }
        }
        self.input = Arc::clone(input);
    }

    /// Gives a row's images room for the added columns.
    pub(crate) fn widen(&self, batch: &mut Batch, row: u32) {
        let width = self.wide.columns.len() as u32;
        if width as usize != self.input.columns.len() {
            select(batch, row, 0..width);
        }
    }

    /// Ordinals in the input of the columns that leave; `None`: an added one.
    pub(crate) fn origins(&self) -> Vec<Option<u32>> {
        let inputs = self.input.columns.len() as u32;
        let origin = |ordinal: u32| (ordinal < inputs).then_some(ordinal);
        match &self.kept {
            Some(kept) => kept.iter().map(|&ordinal| origin(ordinal)).collect(),
            None => (0..inputs).map(Some).collect(),
        }
    }

    /// Gives a row the definition and the columns that it leaves with.
    pub(crate) fn put_out(&self, batch: &mut Batch, row: u32, output: u32) {
        if let Some(kept) = &self.kept {
            select(batch, row, kept.iter().copied());
        }
        if let Some(head) = batch.rows.get_mut(row as usize) {
            head.schema = output;
        }
    }

    /// Whether a value that was not set can leave in a column that is defined anew.
    pub(crate) fn fits_unset(&self, ordinal: u32, is_after: bool, value: ValueRef<'_>) -> bool {
        let Some(column) = self.wide.columns.get(ordinal as usize) else { return false };
        let is_added = ordinal as usize >= self.input.columns.len();
        match value {
            ValueRef::Absent if is_added && is_after => {
                column.nullable && !self.wide.key.contains(&ordinal)
            }
            ValueRef::Absent | ValueRef::Unchanged => true,
            ValueRef::Null => column.nullable,
            value => {
                let old = self.input.columns.get(ordinal as usize);
                let is_kind = old.is_some_and(|old| old.kind == column.kind);
                let is_list = column.kind == Kind::List;
                is_kind
                    && (!is_list || old.is_some_and(|old| is_same_type(old, column)))
                    && fits::check(column, value).is_ok()
            }
        }
    }
}
