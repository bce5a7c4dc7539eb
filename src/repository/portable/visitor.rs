//! Who receives the files of an object.

use crate::error::Result;
use crate::repository::digest::Digest;
use crate::repository::layout::FilePath;

/// Receives the files of an object as they are read.
pub trait Visitor: Send {
    /// A file of `bytes` bytes begins.
    fn begin(&mut self, name: &FilePath, bytes: u64) -> Result<()>;
    /// More bytes of it.
    fn data(&mut self, bytes: &[u8]) -> Result<()>;
    /// It has ended; `sha256` is the digest of the bytes that were passed on.
    fn end(&mut self, name: &FilePath, sha256: Digest) -> Result<()>;
}

/// Wants to see nothing: for proofs.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoVisitor;

impl Visitor for NoVisitor {
    fn begin(&mut self, _name: &FilePath, _bytes: u64) -> Result<()> {
        Ok(())
    }

    fn data(&mut self, _bytes: &[u8]) -> Result<()> {
        Ok(())
    }

    fn end(&mut self, _name: &FilePath, _sha256: Digest) -> Result<()> {
        Ok(())
    }
}
