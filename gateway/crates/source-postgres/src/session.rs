//! SQL by the simple query protocol, and COPY out of the server.
//!
//! Enough for catalogue questions, a publication and a snapshot: identifiers and literals are
//! quoted here, results are texts. One statement at a time; a failed one leaves the session usable.

use postgres_protocol::message::frontend;

use crate::SourceError;
use crate::connect::ConnectOptions;
use crate::frame_buffer::RawFrame;
use crate::wire::{Purpose, SQL_MESSAGE_LIMIT, Wire, server_error};

/// A row of a result: texts in the pinned settings' form, `None` for NULL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlRow(Vec<Option<String>>);

impl SqlRow {
    /// The column's text; `None` where it is NULL or not there.
    pub fn get(&self, column: usize) -> Option<&str> {
        self.0.get(column).and_then(Option::as_deref)
    }

    /// The column's text; empty where it is NULL.
    pub fn text(&self, column: usize) -> &str {
        self.get(column).unwrap_or_default()
    }

    /// Whether the column is true.
    pub fn is_true(&self, column: usize) -> bool {
        self.get(column) == Some("t")
    }

    /// The column as a number; `None` where it is NULL or none.
    pub fn number<N: std::str::FromStr>(&self, column: usize) -> Option<N> {
        self.get(column)?.parse().ok()
    }
}

/// A connection for SQL, with the settings pinned that make one value one text.
#[derive(Debug)]
pub struct Session {
    pub(crate) wire: Wire,
}

impl Session {
    /// Connects and logs in.
    ///
    /// # Errors
    /// See [`SourceError::Io`], [`SourceError::Tls`], [`SourceError::Login`].
    pub async fn connect(options: &ConnectOptions) -> Result<Session, SourceError> {
        Ok(Session { wire: Wire::connect(options, Purpose::Sql, SQL_MESSAGE_LIMIT).await? })
    }

    /// As [`Session::connect`], for a COPY with rows of up to that many bytes.
    pub(crate) async fn connect_for_copy(
        options: &ConnectOptions,
        row_limit: usize,
    ) -> Result<Session, SourceError> {
        Ok(Session { wire: Wire::connect(options, Purpose::Sql, row_limit).await? })
    }

    /// As [`Session::connect`], with the replication commands as well.
    pub(crate) async fn connect_for_replication(
        options: &ConnectOptions,
        message_limit: usize,
    ) -> Result<Session, SourceError> {
        Ok(Session { wire: Wire::connect(options, Purpose::Replication, message_limit).await? })
    }

    /// Runs a statement and gives its rows. `doing` is for the error's text.
    ///
    /// # Errors
    /// The server's error, or a broken connection.
    pub async fn query(
        &mut self,
        doing: &'static str,
        sql: &str,
    ) -> Result<Vec<SqlRow>, SourceError> {
        self.wire.put(|out| frontend::query(sql, out))?;
        self.wire.flush().await?;
        let mut rows = Vec::new();
        let mut failure = None;
        loop {
            let frame = self.wire.next().await?;
            match frame.tag {
                b'D' => rows.push(data_row(self.wire.body(frame))?),
                b'E' => failure = Some(server_error(doing, self.wire.body(frame))),
                b'T' | b'C' | b'I' | b'N' | b'S' => {}
                b'Z' => break,
                other => return Err(out_of_place(other)),
            }
            if frame.tag == b'E' && is_fatal(failure.as_ref()) {
                break;
            }
        }
        failure.map_or(Ok(rows), Err)
    }

    /// As [`Session::query`], for a statement with one row.
    ///
    /// # Errors
    /// As [`Session::query`]; no row.
    pub async fn query_one(
        &mut self,
        doing: &'static str,
        sql: &str,
    ) -> Result<SqlRow, SourceError> {
        self.query(doing, sql)
            .await?
            .into_iter()
            .next()
            .ok_or_else(|| SourceError::Protocol(format!("no row came back ({doing})")))
    }

    /// Begins a `COPY ... TO STDOUT`; read it with [`Session::copy_line`] to its end.
    pub(crate) async fn copy_out(
        &mut self,
        doing: &'static str,
        sql: &str,
    ) -> Result<(), SourceError> {
        self.wire.put(|out| frontend::query(sql, out))?;
        self.wire.flush().await?;
        loop {
            let frame = self.wire.next().await?;
            match frame.tag {
                b'H' => return Ok(()),
                b'E' => return Err(server_error(doing, self.wire.body(frame))),
                b'N' | b'S' => {}
                other => return Err(out_of_place(other)),
            }
        }
    }

    /// The next line of a COPY; `None` at its end. The line stays readable until the next call.
    pub(crate) async fn copy_line(
        &mut self,
        doing: &'static str,
    ) -> Result<Option<RawFrame>, SourceError> {
        loop {
            let frame = self.wire.next().await?;
            match frame.tag {
                b'd' => return Ok(Some(frame)),
                b'c' | b'C' | b'N' | b'S' => {}
                b'Z' => return Ok(None),
                b'E' => return Err(server_error(doing, self.wire.body(frame))),
                other => return Err(out_of_place(other)),
            }
        }
    }

    /// Runs `START_REPLICATION`; afterwards the connection is a stream in both directions.
    pub(crate) async fn start_copy_both(&mut self, sql: &str) -> Result<(), SourceError> {
        self.wire.put(|out| frontend::query(sql, out))?;
        self.wire.flush().await?;
        loop {
            let frame = self.wire.next().await?;
            match frame.tag {
                b'W' => return Ok(()),
                b'E' => return Err(server_error("start the stream", self.wire.body(frame))),
                b'N' | b'S' => {}
                other => return Err(out_of_place(other)),
            }
        }
    }

    /// Ends the session.
    pub async fn close(self) {
        self.wire.close().await;
    }
}

/// After a fatal error the server says nothing more.
fn is_fatal(failure: Option<&SourceError>) -> bool {
    matches!(failure, Some(SourceError::Server { error, .. }) if error.severity != "ERROR")
}

fn out_of_place(tag: u8) -> SourceError {
    SourceError::Protocol(format!("tag 0x{tag:02x} out of place"))
}

fn data_row(mut body: &[u8]) -> Result<SqlRow, SourceError> {
    let cut = || SourceError::Protocol("a result row is cut".to_owned());
    let (count, rest) = body.split_first_chunk::<2>().ok_or_else(cut)?;
    body = rest;
    let mut columns = Vec::with_capacity(usize::from(u16::from_be_bytes(*count)).min(64));
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, rest) = body.split_first_chunk::<4>().ok_or_else(cut)?;
        body = rest;
        let length = i32::from_be_bytes(*length);
        if length < 0 {
            columns.push(None);
            continue;
        }
        let (value, rest) =
            body.split_at_checked(usize::try_from(length).map_err(|_| cut())?).ok_or_else(cut)?;
        body = rest;
        columns.push(Some(String::from_utf8_lossy(value).into_owned()));
    }
    Ok(SqlRow(columns))
}

/// A name as SQL writes it.
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A qualified name as SQL writes it.
pub fn quote_table(namespace: &str, table: &str) -> String {
    format!("{}.{}", quote_identifier(namespace), quote_identifier(table))
}

/// A text as SQL writes it, whatever `standard_conforming_strings` says.
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!(" E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_cannot_leave_their_quotes() {
        assert_eq!(quote_table("a", "x\"; DROP"), "\"a\".\"x\"\"; DROP\"");
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal("a\\'b"), " E'a\\\\''b'");
    }

    #[test]
    fn a_cut_row_is_an_error() {
        let body = b"\x00\x02\xff\xff\xff\xff\x00\x00\x00\x01x";
        assert_eq!(data_row(body).unwrap(), SqlRow(vec![None, Some("x".to_owned())]));
        for end in 0..body.len() {
            assert!(data_row(&body[..end]).is_err(), "cut at {end}");
        }
    }
}
