//! Rows read and set over a batch as the gateway sends it, against the verdict that goes back.

use super::*;
use crate::bindings::exports::offtake::transform::plugin;
use crate::bindings::offtake::transform::types::{self, ColumnData, Packed};
use crate::shape::Told;
use crate::{ColumnInfo, Interest, Output, Schema};

const COLUMNS: [(&str, &str); 8] = [
    ("id", "int8"),
    ("name", "text"),
    ("total", "decimal(38,18)"),
    ("rate", "float8"),
    ("open", "bool"),
    ("raw", "bytes"),
    ("doc", "json"),
    ("seen", "uint8"),
];

fn schema() -> Schema {
    let columns = COLUMNS.map(|(name, logical)| ColumnInfo::new(name, logical));
    Schema::new("public", "orders", columns.to_vec(), &[0])
}

fn packed(values: &[&[u8]]) -> Packed {
    let ends = values.iter().scan(0, |end, value| {
        *end += value.len() as u32;
        Some(*end)
    });
    Packed { offsets: std::iter::once(0).chain(ends).collect(), data: values.concat() }
}

fn texts(values: &[&str]) -> ColumnData {
    let bytes: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
    ColumnData::PackedText(packed(&bytes))
}

fn column(name: &str, presence: &[u8], data: ColumnData) -> types::Column {
    let ordinal = COLUMNS.iter().position(|(known, _)| *known == name);
    let ordinal = ordinal.expect("the table has the column") as u32;
    types::Column { ordinal, presence: presence.to_vec(), data }
}

fn batch(ops: &[u8], before: Vec<types::Column>, after: Vec<types::Column>) -> plugin::Batch {
    let (rows, ops) = (ops.len() as u32, ops.to_vec());
    plugin::Batch { schema: 1, rows, ops, before, after, meta: None, extra: Vec::new() }
}

/// What the gateway is answered when the function is called with each row, the plugin having added a
/// column `note` and an output.
fn answer(
    wire: &plugin::Batch,
    each: impl FnMut(&mut Row<'_, '_>) -> Result<(), Failure>,
) -> Result<plugin::Verdict, Failure> {
    let interest = Interest::none()
        .with_column(ColumnInfo::new("note", "text"))
        .with_output(Output::new("audit", [ColumnInfo::new("id", "int8")]));
    let told = Told::new(schema(), &interest.wire);
    let mut verdict = Verdict::new(&told, wire.rows);
    each_row(&Batch::new(wire, &told.schema), &mut verdict, each)?;
    verdict.finish()
}

/// The rows and texts that a patch sets.
fn patched(patch: &types::Patch) -> (&[u32], Vec<&str>) {
    let ColumnData::PackedText(packed) = &patch.column.data else {
        panic!("the patch has no texts");
    };
    let text = |range: &[u32]| {
        let bytes = &packed.data[range[0] as usize..range[1] as usize];
        std::str::from_utf8(bytes).expect("a text is set")
    };
    (&patch.rows, packed.offsets.windows(2).map(text).collect())
}

fn refusal(outcome: Result<plugin::Verdict, Failure>) -> String {
    outcome.expect_err("it was accepted").message
}

#[test]
fn every_kind_of_value_is_read_without_loss() {
    let digits = "12345678901234567890.123456789012345678";
    let after = vec![
        column("id", &[], ColumnData::Int64(vec![i64::MAX])),
        column("name", &[], texts(&["Zoë"])),
        column("total", &[], texts(&[digits])),
        column("rate", &[], ColumnData::Float64(vec![f64::NAN])),
        column("open", &[], ColumnData::Boolean(vec![1])),
        column("raw", &[], ColumnData::PackedBytes(packed(&[&[0, 255]]))),
        column("doc", &[], texts(&[r#"{"n": 1.50}"#])),
        column("seen", &[], ColumnData::Uint64(vec![u64::MAX])),
    ];
    let mut called = 0;
    let wire = batch(b"c", Vec::new(), after);
    let answered = answer(&wire, |row| {
        called += 1;
        assert_eq!(row.integer("id")?, Field::Value(i64::MAX));
        assert_eq!(row.text("name")?, Field::Value("Zoë"));
        assert_eq!(row.text("total")?, Field::Value(digits));
        assert!(row.float("rate")?.value().is_some_and(f64::is_nan));
        assert_eq!(row.boolean("open")?, Field::Value(true));
        assert_eq!(row.bytes("raw")?, Field::Value(&[0, 255][..]));
        let number = Json::Number("1.50".to_owned());
        assert_eq!(row.json("doc")?, Field::Value(Json::Object(vec![("n".to_owned(), number)])));
        assert_eq!(row.unsigned("seen")?, Field::Value(u64::MAX));
        assert_eq!(row.field("id")?, Field::Value(Value::Integer(i64::MAX)));
        Ok(())
    });
    let verdict = answered.expect("it is accepted");
    assert_eq!(called, 1);
    assert!(verdict.set.is_empty() && verdict.drop.is_empty() && verdict.failures.is_empty());
}

#[test]
fn null_unchanged_absent_and_a_column_that_the_table_lacks_are_told_apart() {
    let after = vec![column("doc", &[1, 2, 3, 0], texts(&["", "", "", "null"]))];
    let wire = batch(b"uudu", Vec::new(), after);
    let mut found = Vec::new();
    let answered = answer(&wire, |row| {
        assert_eq!(row.text("nothing")?, Field::Absent);
        let text = match row.after().text("doc")? {
            Field::Value(text) => Field::Value(text.to_owned()),
            Field::Null => Field::Null,
            Field::Unchanged => Field::Unchanged,
            Field::Absent => Field::Absent,
        };
        found.push((text, row.after().json("doc")?));
        Ok(())
    });
    answered.expect("it is accepted");
    let expected = [
        (Field::Null, Field::Null),
        (Field::Unchanged, Field::Unchanged),
        (Field::Absent, Field::Absent),
        (Field::Value("null".to_owned()), Field::Value(Json::Null)),
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_is_set_row_by_row_is_one_patch_a_column_and_image() {
    let before = vec![column("name", &[3, 0, 0], texts(&["", " b ", " c "]))];
    let after = vec![column("name", &[0, 0, 3], texts(&[" a ", " bb ", ""]))];
    let wire = batch(b"cud", before, after);
    let answered = answer(&wire, |row| {
        if let Field::Value(name) = row.text("name")? {
            row.set("name", name.trim());
        }
        if !row.is_newest() {
            return Ok(());
        }
        let note = match row.operation() {
            Operation::Create => "created",
            Operation::Delete => "deleted",
            _ => "changed",
        };
        row.write_text("note").push_str(note);
        Ok(())
    });
    let verdict = answered.expect("it is accepted");
    let mut found = Vec::new();
    for patch in &verdict.set {
        let before = matches!(patch.image, types::Image::Before);
        found.push((before, patch.column.ordinal, patched(patch)));
    }
    found.sort();
    let expected = [
        (false, 1, (&[0, 1][..], vec!["a", "bb"])),
        (false, 8, (&[0, 1][..], vec!["created", "changed"])),
        (true, 1, (&[1, 2][..], vec!["b", "c"])),
        (true, 8, (&[2][..], vec!["deleted"])),
    ];
    assert_eq!(found, expected);
}

#[test]
fn every_kind_of_value_is_set_and_fields_without_one() {
    let wire = batch(b"cu", Vec::new(), Vec::new());
    let answered = answer(&wire, |row| {
        if row.index() == 0 {
            row.set("id", i64::MIN);
            row.set("rate", f64::INFINITY);
            row.set("open", true);
            row.set("raw", &[7_u8][..]);
            row.set("seen", u64::MAX);
            row.set("name", &format!("{}.", row.index()));
        } else {
            row.set("id", 5);
            row.set_null("name");
            row.set_field("raw", Field::Unchanged);
        }
        Ok(())
    });
    let verdict = answered.expect("it is accepted");
    let set = |name: &str| {
        let ordinal = COLUMNS.iter().position(|(known, _)| *known == name);
        let of = |patch: &&types::Patch| Some(patch.column.ordinal as usize) == ordinal;
        verdict.set.iter().find(of).map(|patch| &patch.column).expect("the column is set")
    };
    assert!(matches!(&set("id").data, ColumnData::Int64(values) if *values == [i64::MIN, 5]));
    let infinite = [f64::INFINITY];
    assert!(matches!(&set("rate").data, ColumnData::Float64(values) if *values == infinite));
    assert!(matches!(&set("open").data, ColumnData::Boolean(values) if *values == [1]));
    assert!(matches!(&set("seen").data, ColumnData::Uint64(values) if *values == [u64::MAX]));
    assert!(matches!(&set("raw").data, ColumnData::PackedBytes(packed) if packed.data == [7]));
    assert_eq!(set("raw").presence, [0, 2]);
    assert!(matches!(&set("name").data, ColumnData::PackedText(packed) if packed.data == b"0."));
    assert_eq!(set("name").presence, [0, 1]);
}

#[test]
fn what_becomes_of_a_row_as_a_whole_is_said_of_that_row_alone() {
    let wire = batch(b"cuu", Vec::new(), Vec::new());
    let answered = answer(&wire, |row| {
        match row.index() {
            0 => row.drop_row(),
            1 => {
                row.set_stream("late");
                row.set_partition(7);
                row.set_header("via", b"row");
                row.remove_header("old");
                row.set_operation(Operation::Create);
            }
            _ => {
                row.emit(0, Operation::Create).set("id", Value::Integer(3));
            }
        }
        Ok(())
    });
    let verdict = answered.expect("it is accepted");
    assert_eq!(verdict.drop, [0]);
    assert!(verdict.routes.iter().all(|route| route.rows == [1]));
    assert!(verdict.routes.iter().any(|route| route.stream.as_deref() == Some("late")));
    assert!(verdict.routes.iter().any(|route| route.partitions == [7]));
    let added = |header: &types::Header| header.name == "via" && header.value == b"row";
    assert!(verdict.routes.iter().any(|route| route.add_headers.iter().any(added)));
    assert!(verdict.routes.iter().any(|route| route.remove_headers == ["old"]));
    assert!(matches!(verdict.ops[..], [types::OpChange { row: 1, op: b'c' }]));
    assert!(matches!(&verdict.emit[..], [emitted] if emitted.parents == [2]));
}

#[test]
fn an_error_fails_its_row_alone_even_where_the_row_was_to_be_dropped() {
    let after = vec![column("doc", &[], texts(&["1", "{secret", "3"]))];
    let wire = batch(b"ccc", Vec::new(), after);
    let answered = answer(&wire, |row| {
        row.drop_row();
        row.json("doc").map(|_| ())
    });
    let verdict = answered.expect("it is accepted");
    assert_eq!(verdict.drop, [0, 2]);
    let [failure] = &verdict.failures[..] else { panic!("one row fails") };
    assert_eq!(failure.row, 1);
    assert_eq!(
        failure.failure.message,
        "column doc was read as JSON: expected a name in quotes at byte 1"
    );
}

#[test]
fn a_column_that_was_not_asked_for_cannot_be_read() {
    let wire = batch(b"u", Vec::new(), vec![column("id", &[], ColumnData::Int64(vec![1]))]);
    let answered = answer(&wire, |row| row.before().integer("id").map(|_| ()));
    let verdict = answered.expect("it is accepted");
    let message = "column id of the before image was read, and was not asked for";
    assert!(matches!(&verdict.failures[..], [one] if one.failure.message == message));
}

#[test]
fn a_column_cannot_be_read_as_another_kind_also_where_it_is_null() {
    let wire = batch(b"u", Vec::new(), vec![column("id", &[1], ColumnData::Int64(vec![0]))]);
    let verdict = answer(&wire, |row| row.text("id").map(|_| ())).expect("it is accepted");
    let message = "column id is of kind int64, and was read as text";
    assert!(matches!(&verdict.failures[..], [one] if one.failure.message == message));
}

#[test]
fn a_column_that_does_not_leave_as_it_is_set_fails_the_call() {
    let wire = batch(b"c", Vec::new(), Vec::new());
    let set = |column: &'static str| {
        move |row: &mut Row<'_, '_>| {
            row.set(column, "x");
            Ok(())
        }
    };
    assert_eq!(refusal(answer(&wire, set("nmae"))), "column nmae was set, and does not leave");
    let message = "column id is of kind int64, and was set to text";
    assert_eq!(refusal(answer(&wire, set("id"))), message);
    let written = answer(&wire, |row| {
        row.write_text("nmae").push_str("x");
        row.set_null("nmae");
        Ok(())
    });
    assert_eq!(refusal(written), "column nmae was set, and does not leave");
    let twice = answer(&wire, |row| {
        row.set("name", "x");
        row.set("name", "y");
        Ok(())
    });
    assert_eq!(refusal(twice), "column name of one row was set twice");
}

#[test]
fn every_image_is_visited_and_what_is_set_is_set_in_both() {
    let before = vec![column("name", &[3, 0, 0], texts(&["", "old", "gone"]))];
    let after = vec![column("name", &[0, 0, 3], texts(&["new", "newer", ""]))];
    let wire = batch(b"cud", before, after);
    let mut visits = Vec::new();
    let verdict = answer(&wire, |row| {
        visits.push((row.index(), row.image().side() == Image::Before, row.is_newest()));
        row.set("name", "***");
        Ok(())
    });
    let verdict = verdict.unwrap();
    let newest = true;
    assert_eq!(
        visits,
        [(0, false, newest), (1, true, !newest), (1, false, newest), (2, true, newest)]
    );
    let mut rows: Vec<_> = verdict
        .set
        .iter()
        .map(|patch| (matches!(patch.image, types::Image::Before), patched(patch).0.to_vec()))
        .collect();
    rows.sort_unstable();
    assert_eq!(rows, [(false, vec![0, 1]), (true, vec![1, 2])]);
}

#[test]
fn what_is_of_the_whole_change_is_said_once_or_refused() {
    let before = vec![column("id", &[0], ColumnData::Int64(vec![1]))];
    let after = vec![column("id", &[0], ColumnData::Int64(vec![2]))];
    let wire = batch(b"u", before, after);
    let refused = refusal(answer(&wire, |row| {
        row.set_stream("elsewhere");
        Ok(())
    }));
    assert!(refused.contains("not its newest"), "{refused}");
    let mut streams = 0;
    let verdict = answer(&wire, |row| {
        if row.is_newest() {
            row.set_stream("elsewhere");
            streams += 1;
        }
        Ok(())
    });
    assert_eq!((verdict.unwrap().routes.len(), streams), (1, 1));
}
