//! Dead letters as a running gateway serves them: an ordinary subscription that ends where the log
//! ended when it began.

use std::collections::HashMap;

use offtake_proto::v1;
use offtake_proto::v1::frame::Control;
use offtake_proto::v1::offtake_client::OfftakeClient;
use offtake_proto::v1::subscribe_request::Start;
use prost::Message;

use crate::dead_letter::Letter;
use crate::pipeline::{Halt, chain_text};

/// Nobody answers at the address.
pub const UNREACHABLE: &str = "DEAD_LETTERS_UNREACHABLE";
/// Larger than any message of a gateway.
const MESSAGE_BYTES: usize = 64 << 20;

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    address: String,
}

/// Connects anew: the client's type is the library's, which only the gRPC crate names.
macro_rules! connect {
    ($gateway:expr) => {
        OfftakeClient::connect(format!("http://{}", $gateway.address))
            .await
            .map_err(|error| unreachable(&$gateway.address, &chain_text(&error)))
            .map(|client| client.max_decoding_message_size(MESSAGE_BYTES))
    };
}

impl Gateway {
    /// The one at that address.
    pub fn at(address: String) -> Gateway {
        Gateway { address }
    }

    /// Gives the letters of a stream after a sequence, up to what the log holds now or until `take`
    /// says that it was enough. A sequence that retention has passed begins at the first that is
    /// left.
    ///
    /// # Errors
    /// The gateway refuses or breaks off.
    pub async fn read(
        &self,
        stream: &str,
        after: u64,
        take: &mut dyn FnMut(Letter) -> bool,
    ) -> Result<(), Halt> {
        let mut client = connect!(self)?;
        let streams = vec![stream.to_owned()];
        let described = v1::DescribeRequest { streams: streams.clone(), ..Default::default() };
        let described = client
            .describe(described)
            .await
            .map_err(|status| refused(status.message()))?
            .into_inner();
        let earliest = described.earliest.map_or(0, |cursor| cursor.sequence);
        let Some(latest) = described.latest else { return Ok(()) };
        let start = match after > earliest {
            true if after >= latest.sequence => return Ok(()),
            true => Start::After(v1::Cursor { token: latest.token, sequence: after }),
            false => Start::Earliest(true),
        };
        let request = v1::SubscribeRequest { streams, start: Some(start), ..Default::default() };
        let mut frames = client
            .subscribe(request)
            .await
            .map_err(|status| refused(status.message()))?
            .into_inner();
        let mut reading = Reading { schemas: HashMap::new(), parts: Vec::new(), take };
        loop {
            let frame = frames
                .message()
                .await
                .map_err(|status| refused(status.message()))?
                .ok_or_else(|| broken("the connection to the gateway broke".to_owned()))?;
            let (covered, wants_more) = reading.frame(frame)?;
            if !wants_more || covered >= latest.sequence {
                return Ok(());
            }
        }
    }

    /// A schema of the log; `None`: it has none of that number.
    ///
    /// # Errors
    /// The gateway refuses.
    pub async fn schema(&self, id: u32) -> Result<Option<v1::Schema>, Halt> {
        // Of the streams none is asked for: no name has a space.
        let request = v1::DescribeRequest { streams: vec![" ".to_owned()], schema_ids: vec![id] };
        let reply = connect!(self)?
            .describe(request)
            .await
            .map_err(|status| refused(status.message()))?
            .into_inner();
        Ok(reply.schemas.into_iter().find(|schema| schema.id == id))
    }
}

fn unreachable(address: &str, cause: &str) -> Halt {
    Halt::new(
        UNREACHABLE,
        format!("no gateway answers at {address}: {cause}"),
        "start it with `offtake run`, or name its address with --address",
    )
}

fn refused(message: &str) -> Halt {
    Halt::new(
        "DEAD_LETTERS_REFUSED",
        format!("the gateway refused: {message}"),
        "correct what the message names, or run the command again",
    )
}

fn broken(cause: String) -> Halt {
    Halt::new("DEAD_LETTERS_ENDED", cause, "run the command again when the gateway runs")
}

struct Reading<'t> {
    schemas: HashMap<u32, v1::Schema>,
    parts: Vec<u8>,
    take: &'t mut dyn FnMut(Letter) -> bool,
}

impl Reading<'_> {
    /// Takes a frame and gives what is covered up to now, and whether more is wanted.
    fn frame(&mut self, frame: v1::Frame) -> Result<(u64, bool), Halt> {
        let mut covered = 0;
        match frame.control {
            Some(Control::Schema(schema)) => {
                self.schemas.insert(schema.id, schema);
            }
            Some(Control::Part(part)) => {
                self.parts.extend_from_slice(&part.bytes);
                if part.index + 1 == part.of {
                    let whole = std::mem::take(&mut self.parts);
                    let change = v1::Change::decode(whole.as_slice()).map_err(|error| {
                        Halt::new(
                            "DEAD_LETTERS_MALFORMED",
                            format!("the gateway sent a change that cannot be read: {error}"),
                            "report this as a defect",
                        )
                    })?;
                    return Ok((change.sequence, self.change(&change)));
                }
            }
            Some(Control::Progress(progress)) => covered = progress.sequence,
            Some(Control::Ended(ended)) => {
                return Err(broken(format!(
                    "the subscription ended: {}: {}",
                    ended.code, ended.text
                )));
            }
            _ => {}
        }
        for change in &frame.changes {
            covered = covered.max(change.sequence);
            if !self.change(change) {
                return Ok((covered, false));
            }
        }
        Ok((covered, true))
    }

    fn change(&mut self, change: &v1::Change) -> bool {
        let letter =
            self.schemas.get(&change.schema).and_then(|schema| Letter::read(change, schema));
        letter.is_none_or(|letter| (self.take)(letter))
    }
}
