//! Where an index is written to: counts the bytes, and keeps the checksum of the section being
//! written.

use std::io::Write;

use super::SERIES_ALIGNMENT;
use crate::error::{Error, ErrorKind, Result};
use crate::raw::crc32c_append;

/// No index is longer, because series references have 32 bits.
const MAX_LEN: u64 = SERIES_ALIGNMENT * u32::MAX as u64;

/// A writer that knows its position.
#[derive(Debug)]
pub(super) struct Output<W> {
    inner: W,
    position: u64,
    crc: u32,
}

impl<W: Write> Output<W> {
    pub(super) fn new(inner: W) -> Self {
        Output {
            inner,
            position: 0,
            crc: 0,
        }
    }

    /// Offset of the next byte.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.position += bytes.len() as u64;
        if self.position > MAX_LEN {
            return Err(Error::invalid(
                "expected an index of less than 64 GiB, the range of series references",
            ));
        }
        self.crc = crc32c_append(self.crc, bytes);
        self.inner
            .write_all(bytes)
            .map_err(|e| Error::new(ErrorKind::Io, "cannot write the index").with_source(e))
    }

    pub(super) fn put_u32(&mut self, value: u32) -> Result<()> {
        self.put(&value.to_be_bytes())
    }

    /// Zeros up to the next multiple of `alignment`.
    pub(super) fn pad(&mut self, alignment: u64) -> Result<()> {
        while !self.position.is_multiple_of(alignment) {
            self.put(&[0])?;
        }
        Ok(())
    }

    /// Begins a section whose content has `len` bytes: writes the length, and starts the checksum
    /// behind it.
    pub(super) fn begin_section(&mut self, len: u64) -> Result<()> {
        self.put_u32(count(len)?)?;
        self.begin_checksum();
        Ok(())
    }

    pub(super) fn begin_checksum(&mut self) {
        self.crc = 0;
    }

    pub(super) fn put_checksum(&mut self) -> Result<()> {
        self.put_u32(self.crc)
    }

    pub(super) fn into_inner(self) -> W {
        self.inner
    }
}

/// A length or a count as the index stores it.
pub(super) fn count(number: u64) -> Result<u32> {
    u32::try_from(number).map_err(|_| {
        Error::invalid(format!(
            "expected a section of the index below 4 GiB, found {number} bytes or entries"
        ))
    })
}
