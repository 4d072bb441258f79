//! The replication stream's own frames, inside `CopyData`: what the server sends (`XLogData`,
//! keepalive) and what the client answers (standby status update).

use crate::DecodeError;
use crate::reader::Reader;

/// A `CopyData` payload from the server, see "Streaming Replication Protocol".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// `w`: a piece of the log; for logical replication one message of the output plugin.
    XLogData(XLogData<'a>),
    /// `k`: a sign of life.
    Keepalive(Keepalive),
}

/// Log data with its place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct XLogData<'a> {
    /// LSN where the data begins; the change's own position.
    pub wal_start: u64,
    /// The server's current end of its log.
    pub wal_end: u64,
    /// The server's clock, microseconds since the PostgreSQL epoch.
    pub server_time: i64,
    /// The message; read it with [`crate::Protocol::decode`].
    pub payload: &'a [u8],
}

impl std::fmt::Debug for XLogData<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The payload holds row values and is not shown.
        out.debug_struct("XLogData")
            .field("wal_start", &self.wal_start)
            .field("wal_end", &self.wal_end)
            .field("server_time", &self.server_time)
            .field("payload_bytes", &self.payload.len())
            .finish()
    }
}

/// The server's sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// How far the server has sent: everything committed before it was sent.
    pub wal_end: u64,
    /// The server's clock, microseconds since the PostgreSQL epoch.
    pub server_time: i64,
    /// The client is to answer at once, or the server ends the connection.
    pub reply_requested: bool,
}

impl<'a> Frame<'a> {
    /// Reads one frame.
    ///
    /// # Errors
    /// An unknown tag ([`DecodeError::UnknownMessage`]) or a frame that is not whole.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Frame<'a>, DecodeError> {
        let (&tag, body) =
            bytes.split_first().ok_or(DecodeError::Truncated { message: "replication frame" })?;
        match tag {
            b'w' => {
                let mut reader = Reader::new(body, "XLogData");
                Ok(Frame::XLogData(XLogData {
                    wal_start: reader.u64()?,
                    wal_end: reader.u64()?,
                    server_time: reader.i64()?,
                    payload: reader.rest(),
                }))
            }
            b'k' => {
                let mut reader = Reader::new(body, "Primary keepalive message");
                let keepalive = Keepalive {
                    wal_end: reader.u64()?,
                    server_time: reader.i64()?,
                    reply_requested: reader.u8()? != 0,
                };
                reader.end()?;
                Ok(Frame::Keepalive(keepalive))
            }
            _ => Err(DecodeError::UnknownMessage { tag, length: bytes.len(), version: 0 }),
        }
    }
}

/// The client's answer: how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandbyStatusUpdate {
    /// Just past the last byte received.
    pub written: u64,
    /// Just past the last byte that is durable; the server may forget what lies before.
    pub flushed: u64,
    /// Just past the last byte applied.
    pub applied: u64,
    /// The client's clock, microseconds since the PostgreSQL epoch.
    pub client_time: i64,
    /// Asks the server to answer with a keepalive at once.
    pub reply_requested: bool,
}

impl StandbyStatusUpdate {
    /// Bytes of the encoded update.
    pub const ENCODED_BYTES: usize = 34;

    /// The `CopyData` payload.
    pub fn encode(&self) -> [u8; StandbyStatusUpdate::ENCODED_BYTES] {
        let mut bytes = [0; StandbyStatusUpdate::ENCODED_BYTES];
        bytes[0] = b'r';
        bytes[1..9].copy_from_slice(&self.written.to_be_bytes());
        bytes[9..17].copy_from_slice(&self.flushed.to_be_bytes());
        bytes[17..25].copy_from_slice(&self.applied.to_be_bytes());
        bytes[25..33].copy_from_slice(&self.client_time.to_be_bytes());
        bytes[33] = self.reply_requested.into();
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xlog_data() -> Vec<u8> {
        let mut bytes = vec![b'w'];
        bytes.extend_from_slice(&0x16_B374_D848_u64.to_be_bytes());
        bytes.extend_from_slice(&0x16_B374_D900_u64.to_be_bytes());
        bytes.extend_from_slice(&7_i64.to_be_bytes());
        bytes.extend_from_slice(b"payload");
        bytes
    }

    #[test]
    fn log_data_carries_place_time_and_payload() {
        let bytes = xlog_data();
        let Ok(Frame::XLogData(data)) = Frame::parse(&bytes) else { panic!("no log data") };
        assert_eq!(data.wal_start, 0x16_B374_D848);
        assert_eq!(data.wal_end, 0x16_B374_D900);
        assert_eq!(data.server_time, 7);
        assert_eq!(data.payload, b"payload");
        assert!(!format!("{data:?}").contains("112"), "the payload is not shown");
    }

    #[test]
    fn a_keepalive_says_whether_it_wants_an_answer() {
        let mut bytes = vec![b'k'];
        bytes.extend_from_slice(&1_u64.to_be_bytes());
        bytes.extend_from_slice(&2_i64.to_be_bytes());
        bytes.push(1);
        let expected = Keepalive { wal_end: 1, server_time: 2, reply_requested: true };
        assert_eq!(Frame::parse(&bytes), Ok(Frame::Keepalive(expected)));
        for end in 0..bytes.len() {
            assert!(Frame::parse(&bytes[..end]).is_err(), "cut at {end}");
        }
        bytes.push(0);
        assert_eq!(Frame::parse(&bytes).unwrap_err().code(), "PG_MALFORMED_MESSAGE");
    }

    #[test]
    fn a_frame_cut_in_its_head_is_an_error() {
        let bytes = xlog_data();
        for end in 0..25 {
            assert!(Frame::parse(&bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn an_unknown_frame_says_its_tag_and_length() {
        let error = Frame::parse(b"zxx").unwrap_err();
        assert_eq!(error, DecodeError::UnknownMessage { tag: b'z', length: 3, version: 0 });
        assert_eq!(error.code(), "PG_UNKNOWN_MESSAGE");
    }

    #[test]
    fn a_status_update_has_the_documented_layout() {
        let update = StandbyStatusUpdate {
            written: 1,
            flushed: 2,
            applied: 3,
            client_time: -1,
            reply_requested: true,
        };
        let mut expected = vec![b'r'];
        for lsn in 1..=3_u64 {
            expected.extend_from_slice(&lsn.to_be_bytes());
        }
        expected.extend_from_slice(&[0xff; 8]);
        expected.push(1);
        assert_eq!(update.encode().as_slice(), expected);
    }
}
