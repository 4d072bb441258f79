//! A column that a plugin sets: every value is checked before the first one is applied.

use offtake_change::{Batch, Cell, Column, Image, Kind, ValueRef};

use crate::bindings as wit;
use crate::fits::Rule;
use crate::gather::presence;
use crate::list_text;
use crate::shape::Shaped;

/// A value that is to be set once the whole verdict has proved sound. Its bytes lie in the batch's
/// arena already; where the verdict falls, nothing refers to them.
pub(crate) struct Staged {
    /// Index in the batch's rows.
    pub(crate) row: u32,
    /// Of the before image.
    pub(crate) before: bool,
    pub(crate) ordinal: u32,
    pub(crate) cell: Cell,
}

/// Checks a patch and stages its values. A column of the key that rows leave with is never made
/// missing, whatever the key was that they came with. `counts`: whether the value of a row of the call
/// is the one that counts; one that does not is not looked at.
pub(crate) fn stage(
    batch: &mut Batch,
    rows: &[u32],
    shaped: &Shaped,
    patch: &wit::Patch,
    staged: &mut Vec<Staged>,
    counts: impl FnMut(usize) -> Result<bool, String>,
) -> Result<(), String> {
    let ordinal = patch.column.ordinal;
    let columns = &shaped.wide.columns;
    let column = columns
        .get(ordinal as usize)
        .ok_or_else(|| format!("it sets column {ordinal} of {}", columns.len()))?;
    let setting = Setting {
        column,
        rule: Rule::of(column),
        ordinal,
        is_key: shaped.wide.key.contains(&ordinal),
        is_new: shaped.checked.contains(&ordinal),
        before: patch.image == wit::Image::Before,
    };
    setting
        .stage(batch, rows, patch, staged, counts)
        .map_err(|message| format!("it sets the column {:?}: {message}", column.name))
}

struct Setting<'a> {
    column: &'a Column,
    rule: Rule,
    ordinal: u32,
    is_key: bool,
    /// What the source gave says nothing of whether a value fits.
    is_new: bool,
    before: bool,
}

impl Setting<'_> {
    fn stage(
        &self,
        batch: &mut Batch,
        rows: &[u32],
        patch: &wit::Patch,
        staged: &mut Vec<Staged>,
        mut counts: impl FnMut(usize) -> Result<bool, String>,
    ) -> Result<(), String> {
        let count = target_count(&patch.rows, rows.len())?;
        let codes = &patch.column.presence;
        if !codes.is_empty() && codes.len() != count {
            return Err(format!("{} presence codes for {count} rows", codes.len()));
        }
        let data = NewValues::of(self.column.kind, &patch.column.data, count)?;
        for at in 0..count {
            let target = patch.rows.get(at).map_or(at, |&row| row as usize);
            let row = *rows.get(target).ok_or("a row out of range")?;
            let head = batch.rows.get(row as usize).ok_or("a row out of range")?;
            let image = if self.before { head.before } else { head.after };
            let code = codes.get(at).copied().unwrap_or(presence::VALUE);
            if !counts(target)? {
                continue;
            }
            if let Some(cell) = self.cell(batch, image, code, &data, at)? {
                staged.push(Staged { row, before: self.before, ordinal: self.ordinal, cell });
            }
        }
        Ok(())
    }

    /// The cell to set; `None` where it would change nothing.
    fn cell(
        &self,
        batch: &mut Batch,
        image: Image,
        code: u8,
        data: &NewValues<'_>,
        at: usize,
    ) -> Result<Option<Cell>, String> {
        let current = batch.column(image, self.ordinal as usize);
        if !image.is_some() {
            return if code == presence::ABSENT {
                Ok(None)
            } else {
                Err("a row lacks this image and is given a value there".to_owned())
            };
        }
        let was_missing = current.is_missing();
        match code {
            presence::VALUE => {
                let value = data.get(at)?;
                // What the source gave fits, whatever the rules here say.
                if !self.is_new && same(current, value) {
                    return Ok(None);
                }
                self.value_cell(batch, image, value)
            }
            presence::NULL if current == ValueRef::Null => Ok(None),
            presence::NULL if !self.column.nullable => {
                Err("NULL in a column that is not nullable".to_owned())
            }
            presence::NULL if self.is_key && (!was_missing || self.is_new) => {
                Err("NULL in a column of the key".to_owned())
            }
            presence::NULL => Ok(Some(Cell::NULL)),
            presence::UNCHANGED if current == ValueRef::Unchanged => Ok(None),
            presence::UNCHANGED => Err("a value that changed is said to be unchanged".to_owned()),
            presence::ABSENT if current == ValueRef::Absent => Ok(None),
            presence::ABSENT if self.is_key => Err("a column of the key is left out".to_owned()),
            presence::ABSENT => Ok(Some(Cell::ABSENT)),
            code => Err(format!("presence code {code}")),
        }
    }

    fn value_cell(
        &self,
        batch: &mut Batch,
        image: Image,
        value: ValueRef<'_>,
    ) -> Result<Option<Cell>, String> {
        let value = match (self.column.kind, value) {
            (Kind::List, value) => return self.list_cell(batch, image, value),
            (Kind::Single, ValueRef::Number(wide)) => {
                let value = ValueRef::Single(narrowed(wide)?);
                if !self.is_new && same(batch.column(image, self.ordinal as usize), value) {
                    return Ok(None);
                }
                value
            }
            (_, value) => value,
        };
        checked_cell(batch, self.column, self.rule, value).map(Some)
    }

    fn list_cell(
        &self,
        batch: &mut Batch,
        image: Image,
        value: ValueRef<'_>,
    ) -> Result<Option<Cell>, String> {
        let text = value.as_str().ok_or("a text is no UTF-8")?;
        if let ValueRef::List(list) = batch.column(image, self.ordinal as usize)
            && !self.is_new
        {
            let mut current = Vec::new();
            if list_text::write(list, &mut current).is_ok() && current == text.as_bytes() {
                return Ok(None);
            }
        }
        checked_list(batch, self.column, text).map(Some)
    }
}

/// The cell of a value that a plugin made, once it is known that the column, whose rule is given, can
/// hold it.
pub(crate) fn checked_cell(
    batch: &mut Batch,
    column: &Column,
    rule: Rule,
    value: ValueRef<'_>,
) -> Result<Cell, String> {
    rule.check(column, value).map_err(|wrong| format!("a value {wrong}"))?;
    Ok(match value {
        ValueRef::Boolean(value) => Cell::boolean(value),
        ValueRef::Integer(value) => Cell::integer(value),
        ValueRef::Unsigned(value) => Cell::unsigned(value),
        ValueRef::Single(value) => Cell::single(value),
        ValueRef::Number(wide) if column.kind == Kind::Single => Cell::single(narrowed(wide)?),
        ValueRef::Number(value) => Cell::number(value),
        ValueRef::Text(text) if column.kind == Kind::List => {
            let text = std::str::from_utf8(text).map_err(|_| "a text is no UTF-8")?;
            return checked_list(batch, column, text);
        }
        ValueRef::Text(text) => batch.text(text),
        ValueRef::Bytes(bytes) => batch.bytes(bytes),
        _ => return Err("a value of no kind".to_owned()),
    })
}

fn checked_list(batch: &mut Batch, column: &Column, text: &str) -> Result<Cell, String> {
    let element = column.element.as_deref().ok_or("a list without an element type")?;
    let mut encoded = Vec::new();
    list_text::parse(text, element, &mut encoded)?;
    Ok(batch.list(&encoded))
}

/// A 64-bit float that is to become a 32-bit one: it may lose digits, not its magnitude.
fn narrowed(wide: f64) -> Result<f32, String> {
    let narrow = wide as f32;
    if narrow.is_infinite() && wide.is_finite() {
        return Err("a value is out of the type's range".to_owned());
    }
    Ok(narrow)
}

/// Equality by bits: a NaN is the same as itself, and zero is not minus zero.
fn same(a: ValueRef<'_>, b: ValueRef<'_>) -> bool {
    match (a, b) {
        (ValueRef::Single(a), ValueRef::Single(b)) => a.to_bits() == b.to_bits(),
        (ValueRef::Number(a), ValueRef::Number(b)) => a.to_bits() == b.to_bits(),
        (a, b) => a == b,
    }
}

/// How many rows a patch or route names: all, or those listed, ascending.
pub(crate) fn target_count(listed: &[u32], all: usize) -> Result<usize, String> {
    if listed.is_empty() {
        return Ok(all);
    }
    if let Some(pair) = listed.windows(2).find(|pair| pair[0] >= pair[1]) {
        return Err(format!("row {} after row {}", pair[1], pair[0]));
    }
    match listed.last() {
        Some(&last) if last as usize >= all => Err(format!("row {last} of {all}")),
        _ => Ok(listed.len()),
    }
}

/// The values of a patch, of the column's kind and as many as they must be.
pub(crate) enum NewValues<'a> {
    Boolean(&'a [u8]),
    Integer(&'a [i64]),
    Unsigned(&'a [u64]),
    Number(&'a [f64]),
    Texts(&'a [String]),
    Bytes(&'a [Vec<u8>]),
    PackedText { offsets: &'a [u32], data: &'a str },
    PackedBytes { offsets: &'a [u32], data: &'a [u8] },
}

impl<'a> NewValues<'a> {
    pub(crate) fn of(
        kind: Kind,
        data: &'a wit::ColumnData,
        rows: usize,
    ) -> Result<NewValues<'a>, String> {
        use wit::ColumnData as Data;
        let (values, count) = match (kind, data) {
            (Kind::Boolean, Data::Boolean(values)) => (NewValues::Boolean(values), values.len()),
            (Kind::Integer, Data::Int64(values)) => (NewValues::Integer(values), values.len()),
            (Kind::Unsigned, Data::Uint64(values)) => (NewValues::Unsigned(values), values.len()),
            (Kind::Single | Kind::Number, Data::Float64(values)) => {
                (NewValues::Number(values), values.len())
            }
            (Kind::Text | Kind::List, Data::Text(values)) => {
                (NewValues::Texts(values), values.len())
            }
            (Kind::Bytes, Data::Bytes(values)) => (NewValues::Bytes(values), values.len()),
            (Kind::Text | Kind::List, Data::PackedText(packed)) => {
                let count = packed_count(packed)?;
                // One check for all; each value must then begin and end at a character.
                let data = std::str::from_utf8(&packed.data).map_err(|_| "a text is no UTF-8")?;
                (NewValues::PackedText { offsets: &packed.offsets, data }, count)
            }
            (Kind::Bytes, Data::PackedBytes(packed)) => {
                let count = packed_count(packed)?;
                let data = &packed.data;
                (NewValues::PackedBytes { offsets: &packed.offsets, data }, count)
            }
            (kind, data) => {
                return Err(format!("{} values, where it holds {kind:?}", kind_of(data)));
            }
        };
        if count == rows { Ok(values) } else { Err(format!("{count} values for {rows} rows")) }
    }

    pub(crate) fn get(&self, at: usize) -> Result<ValueRef<'_>, String> {
        let value = match self {
            NewValues::Boolean(values) => match values.get(at) {
                Some(0) => Some(ValueRef::Boolean(false)),
                Some(1) => Some(ValueRef::Boolean(true)),
                _ => return Err("a boolean that is neither 0 nor 1".to_owned()),
            },
            NewValues::Integer(values) => values.get(at).copied().map(ValueRef::Integer),
            NewValues::Unsigned(values) => values.get(at).copied().map(ValueRef::Unsigned),
            NewValues::Number(values) => values.get(at).copied().map(ValueRef::Number),
            NewValues::Texts(values) => values.get(at).map(|text| ValueRef::Text(text.as_bytes())),
            NewValues::Bytes(values) => values.get(at).map(|bytes| ValueRef::Bytes(bytes)),
            NewValues::PackedText { offsets, data } => {
                let range = range(offsets, at)?;
                let text = data.get(range).ok_or("a packed text is cut inside a character")?;
                Some(ValueRef::Text(text.as_bytes()))
            }
            NewValues::PackedBytes { offsets, data } => {
                data.get(range(offsets, at)?).map(ValueRef::Bytes)
            }
        };
        value.ok_or_else(|| "a value is missing".to_owned())
    }
}

fn range(offsets: &[u32], at: usize) -> Result<std::ops::Range<usize>, String> {
    match offsets.get(at..at + 2) {
        Some(&[start, end]) => Ok(start as usize..end as usize),
        _ => Err("a value is missing".to_owned()),
    }
}

/// Checks the offsets and gives the number of values.
fn packed_count(packed: &wit::Packed) -> Result<usize, String> {
    let Some(&last) = packed.offsets.last() else {
        return Err("packed values without offsets".to_owned());
    };
    if !packed.offsets.is_sorted() {
        return Err("packed offsets that go back".to_owned());
    }
    if last as usize > packed.data.len() {
        return Err(format!("packed offset {last} of {} bytes", packed.data.len()));
    }
    Ok(packed.offsets.len() - 1)
}

fn kind_of(data: &wit::ColumnData) -> &'static str {
    use wit::ColumnData as Data;
    match data {
        Data::Boolean(_) => "boolean",
        Data::Int64(_) => "int64",
        Data::Uint64(_) => "uint64",
        Data::Float64(_) => "float64",
        Data::Text(_) | Data::PackedText(_) => "text",
        Data::Bytes(_) | Data::PackedBytes(_) => "bytes",
    }
}
