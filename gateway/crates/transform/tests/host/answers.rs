//! Answers of the contract laid out as the canonical ABI has them: shapes, outputs, emitted rows.

use crate::zoo::{Layout, words};

/// A column as a plugin describes it.
#[derive(Clone)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// Place in the contract's enum of kinds.
    pub(crate) kind: u8,
    pub(crate) logical: &'static str,
    pub(crate) nullable: bool,
}

/// A nullable column of text.
pub(crate) fn text_column(name: &'static str) -> Column {
    Column { name, kind: 4, logical: "text", nullable: true }
}

/// A nullable 64-bit integer.
pub(crate) fn integer_column(name: &'static str) -> Column {
    Column { name, kind: 1, logical: "int8", nullable: true }
}

/// How rows leave.
#[derive(Clone, Default)]
pub(crate) struct Shape {
    pub(crate) remove: Vec<u32>,
    pub(crate) retype: Vec<(u32, Column)>,
    pub(crate) add: Vec<Column>,
    pub(crate) key: Option<Vec<u32>>,
    pub(crate) stream: Option<&'static str>,
    pub(crate) name: Option<(&'static str, &'static str)>,
}

impl Shape {
    /// Another key alone.
    pub(crate) fn key(key: &[u32]) -> Shape {
        Shape { key: Some(key.to_vec()), ..Shape::default() }
    }
}

/// What a stream carries.
#[derive(Clone)]
pub(crate) enum Form {
    /// Not chosen; of an output: envelopes.
    AsItComes,
    Envelope,
    Flat,
    Opaque(u32, &'static str),
}

/// A further output.
#[derive(Clone)]
pub(crate) struct Output {
    pub(crate) name: &'static str,
    pub(crate) columns: Vec<Column>,
    pub(crate) key: Vec<u32>,
    pub(crate) form: Form,
    pub(crate) stream: Option<&'static str>,
}

/// `list<column-info>`, or elements of more than that.
fn column(layout: &mut Layout, column: &Column) -> Vec<u8> {
    let mut bytes = layout.string(column.name.as_bytes()).to_vec();
    bytes.extend(words(&[column.kind.into()]));
    bytes.extend(layout.string(column.logical.as_bytes()));
    bytes.extend(layout.string(b""));
    bytes.extend(words(&[column.nullable.into()]));
    bytes.extend(layout.string(b""));
    assert_eq!(bytes.len(), 40);
    bytes
}

fn optional_text(layout: &mut Layout, text: Option<&str>) -> Vec<u8> {
    let mut bytes = words(&[text.is_some().into()]);
    bytes.extend(layout.string(text.unwrap_or_default().as_bytes()));
    bytes
}

/// `option<shape>`.
pub(crate) fn shape(layout: &mut Layout, shape: Option<&Shape>) -> Vec<u8> {
    let Some(shape) = shape else { return vec![0; 72] };
    let mut bytes = words(&[1]);
    bytes.extend(layout.u32s(&shape.remove));
    let mut retyped = Vec::new();
    for (ordinal, new) in &shape.retype {
        retyped.extend(words(&[*ordinal]));
        retyped.extend(column(layout, new));
    }
    bytes.extend(layout.list(&retyped, shape.retype.len()));
    let added: Vec<u8> = shape.add.iter().flat_map(|new| column(layout, new)).collect();
    bytes.extend(layout.list(&added, shape.add.len()));
    bytes.extend(words(&[shape.key.is_some().into()]));
    bytes.extend(layout.u32s(shape.key.as_deref().unwrap_or_default()));
    bytes.extend(optional_text(layout, shape.stream));
    bytes.extend(words(&[shape.name.is_some().into()]));
    let (namespace, table) = shape.name.unwrap_or_default();
    bytes.extend(layout.string(namespace.as_bytes()));
    bytes.extend(layout.string(table.as_bytes()));
    assert_eq!(bytes.len(), 72);
    bytes
}

/// `option<form>`.
pub(crate) fn optional_form(layout: &mut Layout, given: &Form) -> Vec<u8> {
    let mut bytes = words(&[(!matches!(given, Form::AsItComes)).into()]);
    bytes.extend(form(layout, given));
    bytes
}

/// `form`.
fn form(layout: &mut Layout, form: &Form) -> Vec<u8> {
    let mut bytes = match form {
        Form::AsItComes | Form::Envelope => words(&[0]),
        Form::Flat => words(&[1]),
        Form::Opaque(payload, content_type) => {
            let mut bytes = words(&[2, *payload]);
            bytes.extend(layout.string(content_type.as_bytes()));
            bytes
        }
    };
    bytes.resize(16, 0);
    bytes
}

/// `list<output>`.
pub(crate) fn outputs(layout: &mut Layout, outputs: &[Output]) -> Vec<u8> {
    let mut all = Vec::new();
    for output in outputs {
        let begin = all.len();
        all.extend(layout.string(output.name.as_bytes()));
        let columns: Vec<u8> = output.columns.iter().flat_map(|it| column(layout, it)).collect();
        all.extend(layout.list(&columns, output.columns.len()));
        all.extend(layout.u32s(&output.key));
        all.extend(form(layout, &output.form));
        all.extend(optional_text(layout, output.stream));
        assert_eq!(all.len() - begin, 52);
    }
    layout.list(&all, outputs.len()).to_vec()
}

/// A column's values; `None`: NULL.
#[derive(Clone)]
pub(crate) enum Values {
    Integers(Vec<Option<i64>>),
    Texts(Vec<Option<&'static str>>),
}

/// `column`.
pub(crate) fn values(layout: &mut Layout, ordinal: u32, values: &Values) -> Vec<u8> {
    let (missing, data): (Vec<bool>, Vec<u8>) = match values {
        Values::Integers(values) => {
            let all =
                values.iter().flat_map(|it| it.unwrap_or(0).to_le_bytes()).collect::<Vec<_>>();
            let list = layout.list(&all, values.len());
            (values.iter().map(Option::is_none).collect(), [&words(&[1])[..], &list].concat())
        }
        Values::Texts(values) => {
            let text = |text: &Option<&str>| layout.string(text.unwrap_or("").as_bytes());
            let all: Vec<u8> = values.iter().flat_map(text).collect();
            let list = layout.list(&all, values.len());
            (values.iter().map(Option::is_none).collect(), [&words(&[4])[..], &list].concat())
        }
    };
    let codes: Vec<u8> = missing.iter().map(|&missing| missing.into()).collect();
    let codes = if missing.contains(&true) { layout.list(&codes, codes.len()) } else { [0; 8] };
    let mut bytes = [&words(&[ordinal])[..], &codes, &data].concat();
    bytes.resize(32, 0);
    bytes
}

/// `list<patch>` of one patch over every row. `image`: 0 before, 1 after.
pub(crate) fn patch(layout: &mut Layout, image: u32, ordinal: u32, given: &Values) -> [u8; 8] {
    let column = values(layout, ordinal, given);
    let patch = [&words(&[image])[..], &column, &[0; 8]].concat();
    layout.list(&patch, 1)
}

/// Rows that a plugin emits.
#[derive(Clone, Default)]
pub(crate) struct Emitted {
    pub(crate) output: u32,
    pub(crate) parents: Vec<u32>,
    pub(crate) operations: &'static str,
    pub(crate) before: Vec<(u32, Values)>,
    pub(crate) after: Vec<(u32, Values)>,
    pub(crate) streams: Vec<&'static str>,
    pub(crate) partitions: Vec<u32>,
    /// A header of the row of that number.
    pub(crate) header: Option<(u32, &'static str, &'static str)>,
}

/// `list<emitted>`.
pub(crate) fn emitted(layout: &mut Layout, emitted: &[Emitted]) -> [u8; 8] {
    let mut all = Vec::new();
    for it in emitted {
        let begin = all.len();
        all.extend(words(&[it.output]));
        all.extend(layout.u32s(&it.parents));
        all.extend(layout.string(it.operations.as_bytes()));
        for image in [&it.before, &it.after] {
            let columns: Vec<u8> =
                image.iter().flat_map(|(ordinal, given)| values(layout, *ordinal, given)).collect();
            all.extend(layout.list(&columns, image.len()));
        }
        let streams: Vec<u8> =
            it.streams.iter().flat_map(|stream| layout.string(stream.as_bytes())).collect();
        all.extend(layout.list(&streams, it.streams.len()));
        all.extend(layout.u32s(&it.partitions));
        let headers: Vec<u8> = it
            .header
            .iter()
            .flat_map(|(row, name, value)| {
                let header =
                    [layout.string(name.as_bytes()), layout.string(value.as_bytes())].concat();
                [&words(&[*row])[..], &layout.list(&header, 1)].concat()
            })
            .collect();
        all.extend(layout.list(&headers, it.header.iter().count()));
        assert_eq!(all.len() - begin, 60);
    }
    layout.list(&all, emitted.len())
}
