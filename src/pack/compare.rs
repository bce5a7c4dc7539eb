//! Proving what is written without keeping it.

use std::io::{self, Write};

/// Compares what is written to it with what is expected; writing anything else fails.
#[derive(Clone, Copy, Debug)]
pub struct Compare<'a> {
    /// What is still to come.
    rest: &'a [u8],
}

impl<'a> Compare<'a> {
    /// Expects `all`.
    pub fn new(all: &'a [u8]) -> Self {
        Compare { rest: all }
    }

    /// Whether everything has been written.
    pub fn is_complete(&self) -> bool {
        self.rest.is_empty()
    }
}

impl Write for Compare<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let rest = self.rest.strip_prefix(bytes);
        self.rest = rest.ok_or_else(|| io::Error::other("what was rebuilt differs"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
