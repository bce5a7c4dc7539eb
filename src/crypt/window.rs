//! An age file of which a part is there.

use std::io::{self, BufRead, Read, Seek, SeekFrom};

/// Bytes of the nonce behind the header of an age file.
pub(super) const NONCE: usize = 16;

/// A file of `length` bytes of which header and nonce are there, and what follows from `begin` on.
/// Reading anything else is an error.
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

    /// A file that ends behind its header and nonce.
    pub(super) fn header(header: &'b [u8]) -> Self {
        let length = header.len() as u64;
        Self::new(header, length, &[], length)
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

    /// The whole header at once, instead of one line: the reader of headers begins anew with every
    /// line, which takes minutes for one with thousands of them.
    fn read_until(&mut self, _: u8, into: &mut Vec<u8>) -> io::Result<usize> {
        let text = self.header.len().saturating_sub(NONCE);
        let begun = usize::try_from(self.position).unwrap_or(text);
        let rest = self.header.get(begun..text).unwrap_or_default();
        into.extend_from_slice(rest);
        self.consume(rest.len());
        Ok(rest.len())
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
