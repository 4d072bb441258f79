//! Golden files: the bytes of messages, most of them captured from a server, and what the decoder
//! makes of them. `REWRITE_GOLDEN=1 cargo test` writes the outputs anew; review the difference.
//!
//! In a file, `protocol N` (with ` parallel` where streaming is parallel) opens a session, `> hex`
//! is one message of it, and the lines up to the next empty line are its rendering.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::Path;

use offtake_pgoutput::{DecodeError, Message, OldTuple, Protocol, Tuple, TupleValue};

fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2), "odd number of hexadecimal digits");
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn render_tuple(name: &str, tuple: Tuple<'_>, out: &mut String) {
    for (ordinal, value) in tuple.values().enumerate() {
        let shown = match value {
            TupleValue::Null => "null".to_owned(),
            TupleValue::Unchanged => "unchanged".to_owned(),
            TupleValue::Text(text) => format!("text {:?}", String::from_utf8_lossy(text)),
            TupleValue::Binary(bytes) => format!("binary {bytes:02x?}"),
        };
        writeln!(out, "  {name}[{ordinal}] {shown}").unwrap();
    }
}

fn render_old(old: OldTuple<'_>, out: &mut String) {
    match old {
        OldTuple::Key(tuple) => render_tuple("key", tuple, out),
        OldTuple::Row(tuple) => render_tuple("old", tuple, out),
    }
}

fn render(result: Result<Message<'_>, DecodeError>) -> String {
    let mut out = String::new();
    let message = match result {
        Ok(message) => message,
        Err(error) => return format!("error {}: {error}\n", error.code()),
    };
    match message {
        Message::Insert(insert) => {
            writeln!(out, "Insert xid {:?} relation {}", insert.xid, insert.relation).unwrap();
            render_tuple("new", insert.new, &mut out);
        }
        Message::Update(update) => {
            writeln!(out, "Update xid {:?} relation {}", update.xid, update.relation).unwrap();
            if let Some(old) = update.old {
                render_old(old, &mut out);
            }
            render_tuple("new", update.new, &mut out);
        }
        Message::Delete(delete) => {
            writeln!(out, "Delete xid {:?} relation {}", delete.xid, delete.relation).unwrap();
            render_old(delete.old, &mut out);
        }
        Message::Relation(relation) => {
            writeln!(
                out,
                "Relation xid {:?} {} {:?}.{:?} identity {:?}",
                relation.xid,
                relation.id,
                relation.namespace,
                relation.name,
                relation.replica_identity
            )
            .unwrap();
            for column in relation.columns() {
                writeln!(out, "  {column:?}").unwrap();
            }
        }
        Message::Message(message) => {
            writeln!(out, "{message:?}").unwrap();
            writeln!(out, "  content {:?}", String::from_utf8_lossy(message.content)).unwrap();
        }
        other => writeln!(out, "{other:?}").unwrap(),
    }
    out
}

fn session(line: &str) -> Protocol {
    let mut words = line.split_whitespace().skip(1);
    let version = words.next().and_then(|word| word.parse().ok()).expect("a version");
    let protocol = Protocol::new(version).unwrap();
    match words.next() {
        None => protocol,
        Some("parallel") => protocol.with_parallel_streaming().unwrap(),
        Some(other) => panic!("unknown option {other}"),
    }
}

fn rendered_anew(text: &str) -> (String, usize) {
    let mut protocol = None;
    let (mut out, mut cases, mut in_output) = (String::new(), 0, false);
    for line in text.lines() {
        if line.is_empty() {
            in_output = false;
        }
        if in_output {
            continue;
        }
        out.push_str(line);
        out.push('\n');
        if line.starts_with("protocol ") {
            protocol = Some(session(line));
        } else if let Some(hex) = line.strip_prefix("> ") {
            let protocol: &mut Protocol = protocol.as_mut().expect("a session before a message");
            out.push_str(&render(protocol.decode(&unhex(hex))));
            in_output = true;
            cases += 1;
        }
    }
    (out, cases)
}

fn check(file: &str, least_cases: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let (rendered, cases) = rendered_anew(&text);
    assert!(cases >= least_cases, "{file} has {cases} cases only");
    if std::env::var_os("REWRITE_GOLDEN").is_some() {
        std::fs::write(&path, rendered).unwrap();
        return;
    }
    for (number, (expected, found)) in text.lines().zip(rendered.lines()).enumerate() {
        assert_eq!(found, expected, "{file}, line {}", number + 1);
    }
    assert_eq!(rendered, text, "{file}");
}

#[test]
fn captured_messages_of_protocol_1_decode_as_recorded() {
    check("protocol_1.txt", 40);
}

#[test]
fn captured_binary_values_decode_as_recorded() {
    check("binary.txt", 3);
}

#[test]
fn captured_two_phase_and_streamed_messages_decode_as_recorded() {
    check("protocol_3.txt", 20);
}

#[test]
fn constructed_messages_decode_as_recorded() {
    check("constructed.txt", 20);
}
