//! The copy-both connection: the server's stream in, our status out, at the same time.
//!
//! Frames are walked in the read buffer where they lie. Status messages are written whether or not
//! anything is read, so a consumer that is slow never costs the connection.

use bytes::BufMut;
use offtake_change::Lsn;
use offtake_pgoutput::{Frame, StandbyStatusUpdate};

use crate::SourceError;
use crate::assemble::PROTOCOL_VERSION;
use crate::frame_buffer::RawFrame;
use crate::session::{Session, quote_identifier};
use crate::wire::{Wire, server_error};

/// A stream of changes.
#[derive(Debug)]
pub(crate) struct ReplicationStream {
    wire: Wire,
}

impl ReplicationStream {
    /// Asks for the changes that commit at or after `start`.
    pub(crate) async fn start(
        mut session: Session,
        slot: &str,
        publication: &str,
        messages: bool,
        start: Lsn,
    ) -> Result<ReplicationStream, SourceError> {
        // The option's value is a list of identifiers inside a literal.
        let publications = quote_identifier(publication).replace('\'', "''");
        let sql = format!(
            "START_REPLICATION SLOT {} LOGICAL {start} (proto_version '{PROTOCOL_VERSION}', \
             publication_names '{publications}', messages '{messages}')",
            quote_identifier(slot),
        );
        session.start_copy_both(&sql).await?;
        Ok(ReplicationStream { wire: session.wire })
    }

    /// The next frame that is already here, left in place until [`ReplicationStream::consume`].
    pub(crate) fn peek(&mut self) -> Result<Option<(RawFrame, Frame<'_>)>, SourceError> {
        loop {
            let Some(frame) = self.wire.peek()? else { return Ok(None) };
            match frame.tag {
                b'd' => break,
                b'E' => return Err(server_error("stream changes", self.wire.body(frame))),
                b'N' => {
                    let notice = server_error("stream changes", self.wire.body(frame));
                    if is_publication_skipped(&notice) {
                        return Err(notice);
                    }
                    self.wire.input.consume(frame);
                }
                b'S' => self.wire.input.consume(frame),
                // The server ends the stream when it shuts down in good order.
                b'c' | b'C' | b'Z' => {
                    return Err(server_ended());
                }
                other => {
                    return Err(SourceError::Protocol(format!("tag 0x{other:02x} in the stream")));
                }
            }
        }
        let Some(frame) = self.wire.peek()? else { return Ok(None) };
        let parsed = Frame::parse(self.wire.body(frame))
            .map_err(|error| SourceError::Decode { lsn: Lsn::ZERO, error })?;
        Ok(Some((frame, parsed)))
    }

    /// Steps over the frame that was peeked.
    pub(crate) fn consume(&mut self, frame: RawFrame) {
        self.wire.input.consume(frame);
    }

    /// Reads from the network once. May be dropped and called again without losing a byte.
    pub(crate) async fn fill(&mut self) -> Result<usize, SourceError> {
        self.wire.fill().await
    }

    /// Whether a read gives what arrived, and not one record of it (TLS).
    pub(crate) fn reads_all(&self) -> bool {
        !self.wire.is_encrypted()
    }

    /// Sends a status message.
    pub(crate) async fn send(&mut self, status: &StandbyStatusUpdate) -> Result<(), SourceError> {
        let encoded = status.encode();
        self.wire.put(|out| {
            out.put_u8(b'd');
            out.put_i32(4 + StandbyStatusUpdate::ENCODED_BYTES as i32);
            out.put_slice(&encoded);
            Ok(())
        })?;
        self.wire.flush().await
    }

    /// Ends the connection, so that the slot is free at once.
    pub(crate) async fn close(self) {
        self.wire.close().await;
    }
}

fn server_ended() -> SourceError {
    SourceError::Io {
        address: "the server".to_owned(),
        error: std::io::Error::new(
            std::io::ErrorKind::ConnectionAborted,
            "it ended the stream, as it does when it shuts down",
        ),
    }
}

/// From version 18 on a server that does not find the publication at a place of its log only warns,
/// and sends nothing: what is written from there on would be lost without a word. Earlier ones end the
/// stream with an error.
fn is_publication_skipped(notice: &SourceError) -> bool {
    matches!(notice, SourceError::Server { error, .. } if error.sqlstate == "55000")
}
