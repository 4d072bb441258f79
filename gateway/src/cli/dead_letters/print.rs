//! Dead letters as a person or a script reads them. A list never shows a value of a row.

use std::borrow::Cow;

use offtake_proto::v1;
use serde_json::Value;

use super::super::render;
use crate::dead_letter::Letter;

/// The change of a letter, or why it is not shown.
pub enum Change {
    /// As it came.
    Held(Box<v1::Change>, Box<v1::Schema>),
    /// For a person.
    Missing(String),
}

const HEADS: [&str; 8] = ["SEQUENCE", "TIME", "BY", "CODE", "OP", "TABLE", "ROW", "ERROR"];

/// A table of letters. `matched`: how many there are, shown or not.
pub fn table(letters: &[Letter], matched: usize) {
    if letters.is_empty() {
        say!("no dead letters");
        return;
    }
    let rows: Vec<[String; 8]> = letters.iter().map(cells).collect();
    let mut widths = HEADS.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    say!("{}", line(&HEADS.map(str::to_owned), &widths));
    rows.iter().for_each(|row| say!("{}", line(row, &widths)));
    if matched > letters.len() {
        say!("the newest {} of {matched}; --limit 0 lists all", letters.len());
    }
}

fn cells(letter: &Letter) -> [String; 8] {
    let shown = |text: &str| render::visible(text).into_owned();
    [
        letter.sequence.to_string(),
        letter.written(),
        shown(&letter.origin),
        shown(&letter.code),
        shown(&letter.operation),
        shown(&letter.qualified_table()),
        if letter.holds_change { "kept" } else { "-" }.to_owned(),
        shown(&letter.error),
    ]
}

/// The sequence stands right, the last column is as wide as it is.
fn line(cells: &[String; 8], widths: &[usize; 8]) -> String {
    let mut line = String::new();
    for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let is_last = index + 1 == cells.len();
        let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
        match index {
            0 => line.push_str(&format!("{padding}{cell}")),
            _ if is_last => line.push_str(&format!("  {cell}")),
            _ => line.push_str(&format!("  {cell}{padding}")),
        }
    }
    line
}

/// Everything of one letter.
pub fn whole(letter: &Letter, change: &Change) {
    let shown = |text: &str| render::visible(text).into_owned();
    let say = |name: &str, text: &str| say!("  {name:<10} {}", shown(text));
    say!("dead letter {}", letter.sequence);
    say("written", &letter.written());
    say("by", &by(letter));
    say("code", &letter.code);
    say("error", &letter.error);
    match letter.operation.as_str() {
        "m" => say("of", operation("m")),
        other => say("table", &format!("{}, {}", letter.qualified_table(), operation(other))),
    }
    say("stream", &letter.stream);
    let commit = letter.commit_position.as_deref();
    let commit = commit.map_or(String::new(), |commit| format!(", committed at {commit}"));
    say("position", &format!("{}{commit}", letter.position));
    say("key hash", letter.key_hash.as_deref().unwrap_or("there is no key"));
    match change {
        Change::Held(..) => say("change", &change_json(letter, change).to_string()),
        Change::Missing(reason) => say("change", reason),
    }
}

fn by(letter: &Letter) -> Cow<'_, str> {
    match &letter.digest {
        Some(digest) => format!("plugin {}, sha256:{digest}", letter.origin).into(),
        None => {
            format!("{}, at the change with sequence {}", letter.origin, letter.of_sequence).into()
        }
    }
}

fn operation(letter: &str) -> &str {
    match letter {
        "c" => "insert",
        "u" => "update",
        "d" => "delete",
        "r" => "read",
        "t" => "truncate",
        "m" => "logical message",
        other => other,
    }
}

/// Everything of one letter as JSON.
pub fn whole_json(letter: &Letter, change: &Change) -> Value {
    let mut object = letter.json();
    object["change"] = change_json(letter, change);
    if let Change::Missing(reason) = change {
        object["change_missing"] = reason.as_str().into();
    }
    object
}

fn change_json(letter: &Letter, change: &Change) -> Value {
    let Change::Held(change, schema) = change else { return Value::Null };
    let line = render::json_line(change, schema, &letter.stream);
    serde_json::from_str(&line).unwrap_or(Value::String(line))
}
