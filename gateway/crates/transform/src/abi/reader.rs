//! Reads a frame that a plugin wrote. Every length is checked against what is there before anything
//! is read or made room for.
//!
//! What is made of a frame may be larger than the frame (an empty text of four bytes is a string of
//! twenty-four), so its size in the host's memory is counted too, against the limit that a
//! component's answers have.

/// Why a plugin's frame or answer cannot be read. The texts tell of places and numbers, not of
/// contents.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// It is not laid out as it must be.
    #[error("{0}")]
    Malformed(String),
    /// It is larger than `output_bytes` allows.
    #[error("it is larger than it may be")]
    TooLarge,
}

pub(super) type Read<T> = Result<T, Unreadable>;

pub(super) fn malformed(message: impl Into<String>) -> Unreadable {
    Unreadable::Malformed(message.into())
}

/// A place in a frame that moves on with what is read.
pub(super) struct Reader<'a> {
    frame: &'a [u8],
    at: usize,
    /// Where the part ends that is read now: the frame or a section's body.
    end: usize,
    /// Bytes of the host's memory that may still be made of it.
    budget: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(frame: &'a [u8], budget: usize) -> Reader<'a> {
        Reader { frame, at: 0, end: frame.len(), budget }
    }

    pub(super) fn remaining(&self) -> usize {
        self.end - self.at
    }

    /// Reads a part of so many bytes on its own, which must use it up.
    pub(super) fn part<T>(
        &mut self,
        length: u32,
        read: impl FnOnce(&mut Reader<'a>) -> Read<T>,
    ) -> Read<T> {
        let length = self.available(length.into())?;
        let outer = std::mem::replace(&mut self.end, self.at + length);
        let value = read(self)?;
        self.finish()?;
        self.end = outer;
        Ok(value)
    }

    /// Refuses what is left over.
    pub(super) fn finish(&self) -> Read<()> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(malformed(format!("{left} bytes too many before byte {}", self.end))),
        }
    }

    /// Skips what pads up to a multiple of `alignment`, counted from the frame's start.
    pub(super) fn align(&mut self, alignment: usize) -> Read<()> {
        let padding = self.at.next_multiple_of(alignment) - self.at;
        self.bytes(padding as u64).map(|_| ())
    }

    pub(super) fn bytes(&mut self, length: u64) -> Read<&'a [u8]> {
        let length = self.available(length)?;
        let bytes = &self.frame[self.at..self.at + length];
        self.at += length;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Read<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let bytes = self.bytes(N as u64)?;
        bytes.try_into().map_err(|_| malformed("a number is cut off"))
    }

    /// 0 or 1.
    pub(super) fn flag(&mut self) -> Read<bool> {
        match self.u32()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(malformed(format!("{other} where 0 or 1 must be"))),
        }
    }

    /// A number of elements that follow, each of at least `least` bytes; `size` is what one takes in
    /// the host's memory, without what it points to.
    pub(super) fn count(&mut self, least: u64, size: usize) -> Read<usize> {
        let count = self.u32()?;
        self.room(count.into(), least, size)
    }

    /// So many elements, where the number is known; see [`Reader::count`].
    pub(super) fn room(&mut self, count: u64, least: u64, size: usize) -> Read<usize> {
        self.available(count.saturating_mul(least))?;
        let count = usize::try_from(count).map_err(|_| Unreadable::TooLarge)?;
        self.spend(count.saturating_mul(size))?;
        Ok(count)
    }

    pub(super) fn u32s(&mut self, count: u64) -> Read<Vec<u32>> {
        self.numbers(count, u32::from_le_bytes)
    }

    /// Numbers one after the other.
    pub(super) fn numbers<T, const N: usize>(
        &mut self,
        count: u64,
        number: impl Fn([u8; N]) -> T,
    ) -> Read<Vec<T>> {
        let length = self.room(count, N as u64, size_of::<T>())? * N;
        let bytes = self.bytes(length as u64)?;
        Ok(bytes.as_chunks().0.iter().map(|bytes| number(*bytes)).collect())
    }

    /// Bytes of a known number, copied.
    pub(super) fn copied(&mut self, length: u64) -> Read<Vec<u8>> {
        self.room(length, 1, 1)?;
        self.bytes(length).map(<[u8]>::to_vec)
    }

    /// Length, bytes, padding to four.
    pub(super) fn text_bytes(&mut self) -> Read<Vec<u8>> {
        let length = self.u32()?;
        let bytes = self.copied(length.into())?;
        self.align(4)?;
        Ok(bytes)
    }

    pub(super) fn text(&mut self) -> Read<String> {
        String::from_utf8(self.text_bytes()?).map_err(|_| malformed("a text is no UTF-8"))
    }

    fn spend(&mut self, bytes: usize) -> Read<()> {
        self.budget = self.budget.checked_sub(bytes).ok_or(Unreadable::TooLarge)?;
        Ok(())
    }

    /// The length, if there is as much.
    fn available(&self, length: u64) -> Read<usize> {
        usize::try_from(length).ok().filter(|&length| length <= self.remaining()).ok_or_else(|| {
            malformed(format!(
                "{length} bytes are announced at byte {}, and {} follow",
                self.at,
                self.remaining()
            ))
        })
    }
}
