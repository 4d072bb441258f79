//! Checked reads from a slice: big-endian integers, NUL-terminated names and counted bytes, as the
//! PostgreSQL protocol writes them. Errors name the message that was being read.

use crate::DecodeError;

/// Reads fields of one message, front to back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    message: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], message: &'static str) -> Reader<'a> {
        Reader { rest: bytes, message }
    }

    /// What has not been read.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.truncated())?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline(always)]
    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    #[inline(always)]
    pub(crate) fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    #[inline]
    pub(crate) fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    #[inline(always)]
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| self.truncated())?;
        self.rest = rest;
        Ok(taken)
    }

    /// Bytes with a signed 32-bit count before them, as the protocol counts values.
    #[inline(always)]
    pub(crate) fn counted(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.i32()?;
        let count = usize::try_from(length).map_err(|_| self.field(field, length.into()))?;
        self.bytes(count)
    }

    /// A name up to its NUL.
    pub(crate) fn name(&mut self) -> Result<&'a str, DecodeError> {
        let length =
            self.rest.iter().position(|&byte| byte == 0).ok_or_else(|| self.truncated())?;
        let name = self.bytes(length)?;
        self.u8()?;
        std::str::from_utf8(name).map_err(|_| DecodeError::Name { message: self.message })
    }

    /// Ends the message: nothing may be left.
    #[inline]
    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(DecodeError::Trailing { message: self.message, bytes: self.rest.len() })
    }

    #[cold]
    pub(crate) fn truncated(&self) -> DecodeError {
        DecodeError::Truncated { message: self.message }
    }

    /// The error for a field that cannot have this value.
    #[cold]
    pub(crate) fn field(&self, field: &'static str, value: i64) -> DecodeError {
        DecodeError::Field { message: self.message, field, value }
    }
}
