//! The read buffer of a connection: protocol frames are found and read in place.
//!
//! One growing allocation a connection; a frame is a range of it, valid until the next fill. A
//! frame over the limit is an error before memory is taken for it.

use tokio::io::{AsyncRead, AsyncReadExt};

/// What a read asks the system for at once.
const BUFFER_BYTES: usize = 256 * 1024;
/// A buffer that a large message made larger than this is given back once it is read.
const KEEP_BYTES: usize = 4 * BUFFER_BYTES;
/// Tag and length.
const HEAD_BYTES: usize = 5;

/// A frame's tag and where its body lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawFrame {
    pub(crate) tag: u8,
    start: usize,
    end: usize,
}

/// A frame that is larger than the limit, or has an impossible length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameError {
    TooLarge { bytes: usize },
    Length(i32),
}

#[derive(Debug)]
pub(crate) struct FrameBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes of the frame that is not whole yet, head included.
    wanted: usize,
    limit: usize,
}

impl FrameBuffer {
    pub(crate) fn new(limit: usize) -> FrameBuffer {
        FrameBuffer { bytes: Vec::new(), start: 0, end: 0, wanted: 0, limit }
    }

    /// Largest body taken from now on.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Takes the next whole frame out of what was read.
    #[cfg(test)]
    pub(crate) fn next(&mut self) -> Result<Option<RawFrame>, FrameError> {
        let frame = self.peek()?;
        if let Some(frame) = frame {
            self.start = frame.end;
        }
        Ok(frame)
    }

    /// The next whole frame, which stays where it is.
    pub(crate) fn peek(&mut self) -> Result<Option<RawFrame>, FrameError> {
        let held = &self.bytes[self.start..self.end];
        let Some((head, _)) = held.split_first_chunk::<HEAD_BYTES>() else {
            self.wanted = HEAD_BYTES;
            return Ok(None);
        };
        let [tag, length @ ..] = *head;
        let length = i32::from_be_bytes(length);
        // The length counts itself and not the tag.
        let body = usize::try_from(length)
            .ok()
            .and_then(|length| length.checked_sub(4))
            .ok_or(FrameError::Length(length))?;
        if body > self.limit {
            return Err(FrameError::TooLarge { bytes: body });
        }
        let whole = HEAD_BYTES + body;
        if held.len() < whole {
            self.wanted = whole;
            return Ok(None);
        }
        let start = self.start + HEAD_BYTES;
        Ok(Some(RawFrame { tag, start, end: start + body }))
    }

    /// Steps over a frame that was peeked.
    pub(crate) fn consume(&mut self, frame: RawFrame) {
        self.start = frame.end;
    }

    /// A frame's body. Only for frames taken since the last fill.
    pub(crate) fn body(&self, frame: RawFrame) -> &[u8] {
        self.bytes.get(frame.start..frame.end).unwrap_or_default()
    }

    /// Reads more from the network and gives the number of bytes. May be dropped and called again
    /// without losing one.
    pub(crate) async fn fill(
        &mut self,
        transport: &mut (impl AsyncRead + Unpin),
    ) -> std::io::Result<usize> {
        self.make_room();
        let read = transport.read(&mut self.bytes[self.end..]).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.end += read;
        Ok(read)
    }

    fn make_room(&mut self) {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            if self.bytes.len() > KEEP_BYTES && self.wanted <= BUFFER_BYTES {
                self.bytes = Vec::new();
            }
        }
        let needed = self.wanted.max(BUFFER_BYTES);
        if self.start > 0
            && (self.start + self.wanted > self.bytes.len() || self.end == self.bytes.len())
        {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.bytes.len() < needed {
            self.bytes.resize(needed, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag];
        bytes.extend_from_slice(&(body.len() as i32 + 4).to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    #[tokio::test]
    async fn frames_come_out_whole_however_they_arrive() {
        let mut sent = Vec::new();
        for size in [0, 1, 300_000, 5, 2_000_000, 0, 17] {
            sent.extend(frame(b'd', &vec![size as u8; size]));
        }
        for piece in [1_000_000, 4_096, 65_537] {
            let mut buffer = FrameBuffer::new(10_000_000);
            let mut sizes = Vec::new();
            for mut part in sent.chunks(piece) {
                while !part.is_empty() {
                    buffer.fill(&mut part).await.unwrap();
                    while let Some(frame) = buffer.next().unwrap() {
                        let body = buffer.body(frame);
                        assert!(body.iter().all(|&byte| byte == body.len() as u8));
                        sizes.push(body.len());
                    }
                }
            }
            assert_eq!(sizes, [0, 1, 300_000, 5, 2_000_000, 0, 17]);
        }
    }

    #[tokio::test]
    async fn a_frame_over_the_limit_is_refused_before_memory_is_taken() {
        let mut buffer = FrameBuffer::new(100);
        let head = [b'd', 0x7f, 0xff, 0xff, 0xff];
        buffer.fill(&mut &head[..]).await.unwrap();
        assert_eq!(buffer.next().unwrap_err(), FrameError::TooLarge { bytes: 0x7fff_fffb });
        assert_eq!(buffer.bytes.len(), BUFFER_BYTES);
        let mut buffer = FrameBuffer::new(100);
        buffer.fill(&mut &[b'd', 0, 0, 0, 3][..]).await.unwrap();
        assert_eq!(buffer.next().unwrap_err(), FrameError::Length(3));
        assert!(buffer.fill(&mut &b""[..]).await.is_err(), "the end of the stream is an error");
    }
}
