//! An age file of which a part is there.

use std::io::{self, BufRead, Read, Seek, SeekFrom};

/// A file of `length` bytes of which the header is there, and what follows from `begin` on. Reading
/// anything else is an error.
pub(super) struct Window<'b> {
    header: &'b [u8],
    begin: u64,
    bytes: &'b [u8],
    length: u64,
    position: u64,
}

impl<'b> Window<'b> {
    pub(super) fn new(header: &'b [u8], begin: u64, bytes: &'b [u8], length: u64) -> Self {
        Window {
            header,
            begin,
            bytes,
            length,
            position: 0,
        }
    }

    /// What is there from the position on.
    fn rest(&self) -> io::Result<&'b [u8]> {
        let from = |bytes: &'b [u8], begin: u64| {
            let skipped = usize::try_from(self.position.checked_sub(begin)?).ok()?;
            bytes.get(skipped..).filter(|rest| !rest.is_empty())
        };
        if self.position >= self.length {
            return Ok(&[]);
        }
        from(self.header, 0)
            .or_else(|| from(self.bytes, self.begin))
            .ok_or_else(|| io::Error::other("a read outside of what was fetched"))
    }
}

impl Read for Window<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.rest()?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Window<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.rest()
    }

    fn consume(&mut self, count: usize) {
        self.position = self.position.saturating_add(count as u64);
    }
}

impl Seek for Window<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
