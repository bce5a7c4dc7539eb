//! Storing a block in the portable codec: all of its files in one object.

use super::{
    Failure, Held, Miss, NewBlock, OpenBlock, Verified, Writer, deep_fingerprint,
    immutable_digests, is_same_part,
};
use crate::error::ErrorKind;
use crate::repository::portable::Root;
use crate::repository::{STATISTICS_FILE, StoredFile, StoredObject, block_object, mended_object};
use crate::store::ObjectName;

impl Writer<'_> {
    /// Makes sure that the repository holds the immutable part of `block`, in one object with all
    /// of its files.
    pub(super) fn store_portably(
        &self,
        block: &NewBlock<'_>,
        verified: Verified,
    ) -> Result<Held, Failure> {
        let Verified {
            findings,
            statistics,
            ..
        } = verified;
        let held = |fingerprint, (object, mut files)| Held {
            fingerprint,
            object,
            statistics: take_statistics(&mut files, block.open),
            packs: Vec::new(),
            files,
            findings,
        };
        let extra: Vec<_> = statistics
            .into_iter()
            .map(|bytes| (STATISTICS_FILE, bytes))
            .collect();
        let cheap = block.fingerprint;
        let name = block_object(block.ulid, cheap).map_err(Failure::Store)?;
        if let Some(parts) = self.put_or_adopt(&name, block, &extra)? {
            return Ok(held(cheap.clone(), parts));
        }
        let mut taken = (cheap.clone(), name);
        if !self.known.is_spoiled(&taken.1) {
            // The name is taken by something else: one of the two is damaged where the fingerprint
            // does not look.
            let digests = immutable_digests(block.open).map_err(Miss::from)?;
            let names = digests.iter().map(|(file, sha256)| (&file.name, *sha256));
            let deep = deep_fingerprint(cheap, names);
            let name = block_object(block.ulid, &deep).map_err(Failure::Store)?;
            if let Some(parts) = self.put_or_adopt(&name, block, &extra)? {
                return Ok(held(deep, parts));
            }
            taken = (deep, name);
        }
        let replacement = mended_object(self.store, &taken.1).map_err(Failure::Store)?;
        let root = Root::Block(block.ulid);
        let files: Vec<_> = block.open.files.iter().collect();
        let written = self.write_with(&replacement, root, &files, &extra)?;
        let parts = written.publish().map_err(Failure::Store)?;
        Ok(held(taken.0, parts))
    }

    /// Writes the object of a block; or takes the one that has its name, if it holds the same
    /// immutable part: a run that died may have left it. `None` when it holds something else,
    /// or is about to be deleted.
    fn put_or_adopt(
        &self,
        name: &ObjectName,
        block: &NewBlock<'_>,
        extra: &[(&str, Vec<u8>)],
    ) -> Result<Option<(StoredObject, Vec<StoredFile>)>, Failure> {
        // Of what is spoiled archives say something else.
        if self.known.is_condemned(name) || self.known.is_spoiled(name) {
            return Ok(None);
        }
        let root = Root::Block(block.ulid);
        if !self.known.has_object(name) {
            let files: Vec<_> = block.open.files.iter().collect();
            match self.write_with(name, root, &files, extra)?.publish() {
                Err(taken) if taken.kind() == ErrorKind::AlreadyExists => {}
                published => return published.map(Some).map_err(Failure::Store),
            }
        }
        let Some((object, files)) = self.read(name, root)? else {
            return Ok(None);
        };
        let here = immutable_digests(block.open).map_err(Miss::from)?;
        let same = is_same_part(&here, &files);
        if same {
            self.progress.advance(block.open.bytes());
        }
        Ok(same.then_some((object, files)))
    }
}

/// Takes the file of statistics out of the files of an object that holds `block`, unless it is one
/// of the block's; whether it was there.
fn take_statistics(files: &mut Vec<StoredFile>, block: &OpenBlock) -> bool {
    let all = files.len();
    if block.get(STATISTICS_FILE).is_none() {
        files.retain(|file| file.name.as_str() != STATISTICS_FILE);
    }
    files.len() < all
}
