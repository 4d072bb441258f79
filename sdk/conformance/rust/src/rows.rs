//! The actions on rows as a whole.

use std::fmt::Write as _;

use offtake_sdk::{
    Batch, Failure, Field, Image, Metadata, Operation, TextWriter, Value, Verdict, each_newest,
};

use crate::{image_of, missing};

fn letter(operation: Operation) -> char {
    match operation {
        Operation::Create => 'c',
        Operation::Update => 'u',
        Operation::Delete => 'd',
        Operation::Read => 'r',
        Operation::Truncate => 't',
        Operation::Message => 'm',
        Operation::Other(letter) => letter.into(),
    }
}

fn metadata<'a>(batch: &Batch<'a>) -> Result<&'a Metadata, Failure> {
    batch.metadata().ok_or_else(|| Failure::permanent("no metadata was sent"))
}

/// What a list has for a row, which is something for every row.
fn at<T: Copy>(list: &[T], row: u32) -> Result<T, Failure> {
    let none = || Failure::permanent("the metadata is too short");
    list.get(row as usize).copied().ok_or_else(none)
}

// ---- add

pub(crate) fn add(batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
    if batch.schema().is_message() {
        return Ok(());
    }
    for (row, operation) in (0..).zip(batch.operations()) {
        if operation == Operation::Truncate {
            continue;
        }
        let seen = verdict
            .column(image_of(operation), "seen")
            .ok_or_else(|| Failure::permanent("there is no column seen"))?;
        let mut out = verdict.write_text(seen, row);
        write_metadata(&mut out, metadata(batch)?, row, operation)?;
        for (image, name) in [(Image::After, "after"), (Image::Before, "before")] {
            for info in &batch.schema().columns {
                let Some(column) = batch.column(image, &info.name)? else { continue };
                push(&mut out, format_args!(" {name}.{}=", info.name));
                match missing(column.field(row)) {
                    Ok(value) => write_value(&mut out, value),
                    Err(word) => out.push_str(word),
                }
            }
        }
    }
    Ok(())
}

fn push(out: &mut TextWriter<'_>, text: std::fmt::Arguments<'_>) {
    // A text writer takes everything.
    let _ = out.write_fmt(text);
}

fn write_metadata(
    out: &mut TextWriter<'_>,
    of: &Metadata,
    row: u32,
    operation: Operation,
) -> Result<(), Failure> {
    let headers = of.headers.iter().find(|headers| headers.row == row);
    let headers = headers.map_or(&[][..], |headers| &headers.headers);
    push(
        out,
        format_args!(
            "{} position={} snapshot={} committed={} transaction={} order={} headers={}",
            letter(operation),
            of.position(row),
            at(&of.snapshot, row)?,
            at(&of.commit_times, row)?,
            of.transaction(row).unwrap_or_default(),
            at(&of.transaction_order, row)?,
            headers.len(),
        ),
    );
    for header in headers {
        push(out, format_args!(" {}=", header.name));
        write_bytes(out, 'b', &header.value);
    }
    Ok(())
}

fn write_value(out: &mut TextWriter<'_>, value: Value<'_>) {
    match value {
        Value::Boolean(value) => push(out, format_args!("{value}")),
        Value::Integer(value) => push(out, format_args!("i:{value}")),
        Value::Unsigned(value) => push(out, format_args!("u:{value}")),
        Value::Float(value) if value.is_nan() => out.push_str("f:nan"),
        Value::Float(value) => push(out, format_args!("f:{:016x}", value.to_bits())),
        Value::Text(text) if text.len() <= 64 => push(out, format_args!("t:{text}")),
        Value::Text(text) => write_bytes(out, 't', text.as_bytes()),
        Value::Bytes(bytes) => write_bytes(out, 'b', bytes),
    }
}

fn write_bytes(out: &mut TextWriter<'_>, letter: char, bytes: &[u8]) {
    if bytes.len() > 64 {
        let hash = bytes.iter().fold(0x811c_9dc5_u32, |hash, &byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        return push(out, format_args!("{letter}#{}:{hash:08x}", bytes.len()));
    }
    push(out, format_args!("{letter}:"));
    for byte in bytes {
        push(out, format_args!("{byte:02x}"));
    }
}

// ---- fan-out, route, fail

pub(crate) fn fan_out(batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
    let of = metadata(batch)?;
    for (row, operation) in (0..).zip(batch.operations()) {
        let deleted = operation == Operation::Delete;
        let name = letter(operation).to_string();
        let order = at(&of.transaction_order, row)?;
        let emitted = if deleted { Operation::Delete } else { Operation::Create };
        let mut emission = verdict.emit(0, row, emitted);
        emission.set("operation", Value::Text(&name));
        if operation != Operation::Update {
            emission.set("position", Value::Bytes(of.position(row).as_bytes()));
        }
        emission
            .set("committed", Value::Integer(at(&of.commit_times, row)?))
            .set("order", Value::Unsigned(order))
            .set("created", Value::Boolean(operation == Operation::Create))
            .set("half", Value::Float(order as f64 / 2.0));
        if deleted {
            emission.on_stream("seen.deleted");
        }
        emission.set_partition((order % 3) as u32).set_header("operation", name.as_bytes());
    }
    Ok(())
}

/// Whether a stream may be called so.
fn names_a_stream(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=249).contains(&text.len())
        && text.bytes().all(fits)
        && text.bytes().any(|byte| byte != b'.')
}

pub(crate) fn route(
    batch: &Batch<'_>,
    verdict: &mut Verdict<'_>,
    [stream, partition, header]: [Option<&str>; 3],
) -> Result<(), Failure> {
    each_newest(batch, verdict, |row| {
        if let Some(name) = stream
            && let Field::Value(Value::Text(text)) = row.field(name)?
            && names_a_stream(text)
        {
            row.set_stream(text);
        }
        if let Some(name) = partition
            && let Field::Value(Value::Integer(number)) = row.field(name)?
        {
            row.set_partition(number as u32);
        }
        let Some(name) = header else { return Ok(()) };
        match row.field(name)? {
            Field::Value(Value::Text(text)) => row.set_header(name, text.as_bytes()),
            Field::Value(Value::Bytes(bytes)) => row.set_header(name, bytes),
            _ => {}
        }
        Ok(())
    })?;
    for headers in &metadata(batch)?.headers {
        if headers.headers.iter().any(|header| header.name == "remove-me") {
            verdict.remove_header(headers.row, "remove-me");
        }
    }
    Ok(())
}

/// The failure that a row asks for, if it does.
fn asked_for(batch: &Batch<'_>, row: u32) -> Result<Option<Failure>, Failure> {
    for image in [Image::After, Image::Before] {
        for info in &batch.schema().columns {
            let Some(column) = batch.column(image, &info.name)? else { continue };
            let message = || format!("column {} asks for it", info.name);
            match column.field(row).value() {
                Some(Value::Text("fail")) => return Ok(Some(Failure::permanent(message()))),
                Some(Value::Text("retry")) => return Ok(Some(Failure::transient(message()))),
                _ => {}
            }
        }
    }
    Ok(None)
}

pub(crate) fn fail(
    batch: &Batch<'_>,
    verdict: &mut Verdict<'_>,
    whole: bool,
) -> Result<(), Failure> {
    for row in 0..batch.rows() {
        let Some(failure) = asked_for(batch, row)? else { continue };
        if whole {
            return Err(failure);
        }
        verdict.fail(row, failure);
    }
    Ok(())
}
