//! Rows and keys through any format, column by column as the log has them.

use offtake_change::ValueRef;
use offtake_change::wire::{RowRef, WireError};

use super::convert::Encoding;
use super::schemas::ColumnSchema;
use super::value::{Fault, Scratch, put_loose, put_value};
use crate::EncodeError;
use crate::connect::{Format, Mark, Node};

/// One column, prepared.
#[derive(Clone, Debug)]
pub(super) struct ColumnPlan<F: Format> {
    ordinal: usize,
    node: Node<F>,
    encoding: Encoding,
    /// What stands where there is no value: null, or a required column's default or zero.
    missing: Vec<u8>,
    /// What stands for a large value that an update left alone; `None`: nothing fits a required
    /// column.
    placeholder: Option<Vec<u8>>,
    name: Box<str>,
}

/// A key or a row, prepared.
#[derive(Clone, Debug)]
pub(super) struct RowPlan<F: Format> {
    columns: Vec<ColumnPlan<F>>,
    /// Values of any kind may stand anywhere.
    loose: bool,
    /// A value that does not fit becomes what stands for none, instead of an error.
    lenient: bool,
    format: &'static str,
}

impl<F: Format> RowPlan<F> {
    /// `nodes` are the prepared fields of the struct, one a column.
    pub(super) fn new(columns: &[ColumnSchema], nodes: &[Node<F>], choices: Choices) -> RowPlan<F> {
        let plan =
            |(column, node): (&ColumnSchema, &Node<F>)| ColumnPlan::new(column, node, choices);
        RowPlan {
            columns: columns.iter().zip(nodes).map(plan).collect(),
            loose: choices.loose,
            lenient: choices.lenient,
            format: choices.format,
        }
    }
}

/// What a plan's rows do with values that do not fit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choices {
    pub(super) loose: bool,
    pub(super) lenient: bool,
    /// The format's name, for errors.
    pub(super) format: &'static str,
}

impl<F: Format> ColumnPlan<F> {
    fn new(column: &ColumnSchema, node: &Node<F>, choices: Choices) -> ColumnPlan<F> {
        let schema = &column.field.schema;
        let mut missing = Vec::new();
        if schema.optional {
            F::null(&mut missing, &node.prepared);
        } else {
            node.put(&mut missing, schema.default.as_ref().unwrap_or(&column.fallback));
        }
        let placeholder = match &column.placeholder {
            Some(value) if node.takes(value) => {
                let mut out = Vec::new();
                node.put(&mut out, value);
                Some(out)
            }
            _ if schema.optional || choices.lenient => Some(missing.clone()),
            _ => None,
        };
        ColumnPlan {
            ordinal: column.ordinal,
            node: node.clone(),
            encoding: column.encoding.clone(),
            missing,
            placeholder,
            name: column.field.name.as_str().into(),
        }
    }
}

/// Appends the fields of a row. Values that the image does not reach are missing, values past the
/// schema's columns are left out. `old` is the row before, whose large values are still those of
/// the row after where an update left them alone.
pub(super) fn put_row<F: Format>(
    out: &mut Vec<u8>,
    plan: &RowPlan<F>,
    row: RowRef<'_>,
    old: Option<RowRef<'_>>,
    scratch: &mut Scratch,
) -> Result<(), EncodeError> {
    let mut values = row.values();
    let mut ordinal = 0;
    for column in &plan.columns {
        let mut value = ValueRef::Absent;
        // Columns that are left out are passed over.
        while ordinal <= column.ordinal {
            value = ValueRef::Absent;
            values.read(&mut value)?;
            ordinal += 1;
        }
        put_column(out, plan, column, &value, old, scratch)?;
    }
    Ok(())
}

/// Appends the fields of a key.
pub(super) fn put_key<F: Format>(
    out: &mut Vec<u8>,
    plan: &RowPlan<F>,
    row: RowRef<'_>,
    scratch: &mut Scratch,
) -> Result<(), EncodeError> {
    for column in &plan.columns {
        let value = value_at(row, column.ordinal)?;
        put_column(out, plan, column, &value, None, scratch)?;
    }
    Ok(())
}

/// Whether the key of the before image is there and another than the after image's.
pub(super) fn key_changed<F: Format>(
    plan: &RowPlan<F>,
    before: RowRef<'_>,
    after: RowRef<'_>,
) -> Result<bool, WireError> {
    for column in &plan.columns {
        let old = value_at(before, column.ordinal)?;
        let new = value_at(after, column.ordinal)?;
        let known = |value: ValueRef<'_>| !matches!(value, ValueRef::Absent | ValueRef::Unchanged);
        if known(old) && known(new) && !same(old, new) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn value_at<'a>(row: RowRef<'a>, ordinal: usize) -> Result<ValueRef<'a>, WireError> {
    let (mut values, mut value) = (row.values(), ValueRef::Absent);
    for _ in 0..=ordinal {
        if !values.read(&mut value)? {
            return Ok(ValueRef::Absent);
        }
    }
    Ok(value)
}

/// Equal by bits, so that NaN is itself.
fn same(one: ValueRef<'_>, other: ValueRef<'_>) -> bool {
    match (one, other) {
        (ValueRef::Number(one), ValueRef::Number(other)) => one.to_bits() == other.to_bits(),
        (ValueRef::Single(one), ValueRef::Single(other)) => one.to_bits() == other.to_bits(),
        _ => one == other,
    }
}

#[inline]
fn put_column<F: Format>(
    out: &mut Vec<u8>,
    plan: &RowPlan<F>,
    column: &ColumnPlan<F>,
    value: &ValueRef<'_>,
    old: Option<RowRef<'_>>,
    scratch: &mut Scratch,
) -> Result<(), EncodeError> {
    match value {
        ValueRef::Null | ValueRef::Absent => {
            out.extend_from_slice(&column.missing);
            Ok(())
        }
        ValueRef::Unchanged => put_unchanged(out, plan, column, old, scratch),
        value => {
            let start = out.len();
            match put_value(out, &column.node, &column.encoding, value, scratch) {
                Ok(()) => Ok(()),
                Err(fault) => {
                    out.truncate(start);
                    put_unfit(out, plan, column, value, fault, scratch)
                }
            }
        }
    }
}

#[cold]
fn put_unchanged<F: Format>(
    out: &mut Vec<u8>,
    plan: &RowPlan<F>,
    column: &ColumnPlan<F>,
    old: Option<RowRef<'_>>,
    scratch: &mut Scratch,
) -> Result<(), EncodeError> {
    if let Some(old) = old {
        let value = value_at(old, column.ordinal)?;
        if !value.is_missing() {
            return put_column(out, plan, column, &value, None, scratch);
        }
    }
    match &column.placeholder {
        Some(placeholder) => {
            out.extend_from_slice(placeholder);
            Ok(())
        }
        None => Err(plan.error(column, "an unchanged large value has no stand-in of its type")),
    }
}

/// A value that its schema cannot hold.
#[cold]
fn put_unfit<F: Format>(
    out: &mut Vec<u8>,
    plan: &RowPlan<F>,
    column: &ColumnPlan<F>,
    value: &ValueRef<'_>,
    fault: Fault,
    scratch: &mut Scratch,
) -> Result<(), EncodeError> {
    if let Fault::Damaged(error) = fault {
        return Err(error.into());
    }
    if plan.lenient || column.encoding == Encoding::Never {
        out.extend_from_slice(&column.missing);
        return Ok(());
    }
    if plan.loose {
        return match put_loose(out, &column.node, &column.encoding, value, scratch, 0) {
            Ok(()) => Ok(()),
            Err(Fault::Damaged(error)) => Err(error.into()),
            Err(Fault::Unfit) => Err(plan.error(column, "it is not of the column's type")),
        };
    }
    Err(plan.error(column, "it is not of the column's type, or the type has no such value there"))
}

impl<F: Format> RowPlan<F> {
    fn error(&self, column: &ColumnPlan<F>, reason: &'static str) -> EncodeError {
        EncodeError::Column { column: column.name.clone(), format: self.format, reason }
    }
}

/// Appends a struct that holds a key or a row.
pub(super) fn put_struct<F: Format>(
    out: &mut Vec<u8>,
    at: &F::Prepared,
    fields: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let mark: Mark = F::begin_struct(out, at);
    fields(out)?;
    F::end_struct(out, at, mark);
    Ok(())
}
