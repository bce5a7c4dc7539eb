//! The end of the pipe: what becomes of the frames of an object that is read from begin to end.

use std::collections::BTreeSet;

use super::super::Root;
use super::super::buffer::Buffer;
use super::super::tar_read::{Entries, TarParser};
use super::super::visitor::Visitor;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::repository::digest::{Digest, Hasher};
use crate::repository::entries::StoredFile;
use crate::repository::layout::FilePath;

/// A frame, compressed and raw.
pub(super) struct Both {
    pub(super) compressed: Vec<u8>,
    pub(super) raw: Buffer,
}

/// Takes frames in order.
pub(super) struct Consumer<'v> {
    sha256: Hasher,
    parser: TarParser,
    files: Files<'v>,
    progress: &'v dyn Progress,
}

impl<'v> Consumer<'v> {
    pub(super) fn new(
        root: Root,
        visitor: &'v mut dyn Visitor,
        progress: &'v dyn Progress,
    ) -> Self {
        Consumer {
            sha256: Hasher::default(),
            parser: TarParser::new(root),
            files: Files::new(visitor),
            progress,
        }
    }

    /// Digest of the object, which ends with `table`, and its files, once all frames are taken.
    pub(super) fn finish(mut self, table: &[u8]) -> Result<(Digest, Vec<StoredFile>)> {
        self.parser.finish()?;
        self.sha256.update(table);
        Ok((self.sha256.finish(), self.files.done))
    }

    pub(super) fn take(&mut self, frames: &[Both]) -> Result<()> {
        let (sha256, parser, files) = (&mut self.sha256, &mut self.parser, &mut self.files);
        let progress = self.progress;
        let hash = || {
            for frame in frames {
                sha256.update(&frame.compressed);
            }
        };
        let pass_on = || {
            frames.iter().try_for_each(|frame| {
                parser.push(&frame.raw, files)?;
                progress.advance(frame.raw.len() as u64);
                Ok(())
            })
        };
        rayon::join(hash, pass_on).1
    }
}

/// Hashes files and passes them on.
struct Files<'v> {
    visitor: &'v mut dyn Visitor,
    current: Option<(FilePath, u64, Hasher)>,
    names: BTreeSet<FilePath>,
    done: Vec<StoredFile>,
}

impl<'v> Files<'v> {
    fn new(visitor: &'v mut dyn Visitor) -> Self {
        Files {
            visitor,
            current: None,
            names: BTreeSet::new(),
            done: Vec::new(),
        }
    }
}

impl Entries for Files<'_> {
    fn begin(&mut self, name: FilePath, bytes: u64) -> Result<()> {
        if !self.names.insert(name.clone()) {
            return Err(Error::corrupt(format!(
                "expected file {name} once, found it again"
            )));
        }
        self.visitor.begin(&name, bytes)?;
        self.current = Some((name, bytes, Hasher::default()));
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        let visitor = &mut *self.visitor;
        match &mut self.current {
            Some((_, _, hasher)) => rayon::join(|| hasher.update(bytes), || visitor.data(bytes)).1,
            None => visitor.data(bytes),
        }
    }

    fn end(&mut self) -> Result<()> {
        let Some((name, bytes, hasher)) = self.current.take() else {
            return Ok(());
        };
        let sha256 = hasher.finish();
        self.visitor.end(&name, sha256)?;
        self.done.push(StoredFile {
            name,
            bytes,
            sha256,
            sidecar: false,
            packed: false,
        });
        Ok(())
    }
}
