//! Asking the server to give up what a session waits for there.
//!
//! A walsender that waits for other transactions does not notice that its client is gone: it stays,
//! with its slot and everything that the slot holds back, until they end. The request goes over a
//! connection of its own, with TLS where the session has it, and has no answer.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::connect::ConnectOptions;
use crate::wire;

/// What stands in the place of a protocol version.
const CANCEL_REQUEST: i32 = 80_877_102;
/// How long asking may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a session is known by at the server.
#[derive(Clone, Debug)]
pub(crate) struct Canceller {
    /// Process and secret, as the server sent them.
    pub(crate) key: Vec<u8>,
    /// Whether the session has TLS.
    pub(crate) is_encrypted: bool,
}

impl Canceller {
    /// Asks the server to give up what the session waits for. Where it cannot be asked it goes on by
    /// itself, as it would without.
    pub(crate) async fn cancel(&self, options: &ConnectOptions) {
        let asked = async {
            let mut transport = wire::open(options, self.is_encrypted).await.ok()?;
            transport.write_all(&request(&self.key)).await.ok()?;
            transport.flush().await.ok()?;
            // The server closes the connection once it has passed the request on.
            transport.read(&mut [0; 1]).await.ok()
        };
        if tokio::time::timeout(PATIENCE, asked).await.is_err() {
            tracing::debug!("the server could not be asked to cancel in time");
        }
    }
}

fn request(key: &[u8]) -> Vec<u8> {
    let length = i32::try_from(key.len() + 8).unwrap_or(i32::MAX);
    [&length.to_be_bytes()[..], &CANCEL_REQUEST.to_be_bytes(), key].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_as_the_protocol_has_it() {
        let mut expected = bytes::BytesMut::new();
        postgres_protocol::message::frontend::cancel_request(77, -5, &mut expected);
        let key = [77_i32.to_be_bytes(), (-5_i32).to_be_bytes()].concat();
        assert_eq!(request(&key), &expected[..]);
    }
}
