//! The account of what was proved.

use std::collections::{BTreeMap, BTreeSet};

use super::sink::Sink;
use crate::error::{Error, Result};
use crate::repository::portable::Visitor;
use crate::repository::{Digest, FilePath, StoredFile};

/// Passes on files that are wanted and have not come, and keeps account of those that were proved.
pub(super) struct Proof<'p> {
    wanted: &'p BTreeMap<&'p FilePath, &'p StoredFile>,
    before: &'p BTreeSet<FilePath>,
    sink: &'p mut dyn Sink,
    current: Option<&'p StoredFile>,
    /// Bytes of it that have come.
    bytes: u64,
    proved: BTreeSet<FilePath>,
}

impl<'p> Proof<'p> {
    pub(super) fn new(
        wanted: &'p BTreeMap<&'p FilePath, &'p StoredFile>,
        before: &'p BTreeSet<FilePath>,
        sink: &'p mut dyn Sink,
    ) -> Self {
        Proof {
            wanted,
            before,
            sink,
            current: None,
            bytes: 0,
            proved: BTreeSet::new(),
        }
    }

    /// What was proved; a file that has begun and not ended is forgotten.
    pub(super) fn finish(self) -> Result<BTreeSet<FilePath>> {
        if self.current.is_some() {
            self.sink.abandon()?;
        }
        Ok(self.proved)
    }
}

impl Visitor for Proof<'_> {
    fn begin(&mut self, name: &FilePath, bytes: u64) -> Result<()> {
        let wanted = self.wanted.get(name).copied();
        let wanted = wanted.filter(|file| {
            file.bytes == bytes
                && !self.before.contains(name)
                && !self.proved.contains(name)
                && self.sink.takes(name)
        });
        if let Some(file) = wanted {
            self.sink.begin(name, file.bytes)?;
            self.current = Some(file);
            self.bytes = 0;
        }
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        match self.current {
            Some(_) => {
                self.bytes = self.bytes.saturating_add(bytes.len() as u64);
                self.sink.data(bytes)
            }
            None => Ok(()),
        }
    }

    fn end(&mut self, name: &FilePath, sha256: Digest) -> Result<()> {
        let Some(file) = self.current.take() else {
            return Ok(());
        };
        if file.sha256 != sha256 || file.bytes != self.bytes {
            self.sink.abandon()?;
            return Err(Error::corrupt(format!(
                "expected file {name} to be {} bytes with SHA-256 {}, found {} with {sha256}",
                file.bytes, file.sha256, self.bytes
            )));
        }
        self.sink.end(name, sha256)?;
        self.proved.insert(name.clone());
        Ok(())
    }
}
