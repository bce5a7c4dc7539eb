//! Objects that are there already: taken for the block's own where they give what it is, else
//! suspected.

use super::{Attempt, own_files};
use crate::dense::digests;
use crate::error::{ErrorKind, Result};
use crate::progress::Silent;
use crate::repository::portable::Root;
use crate::repository::{
    Digest, EncryptedForm, Fingerprint, ObjectCodec, STATISTICS_FILE, StoredFile, StoredObject,
    block_of_pack, digest_of_object,
};
use crate::store::ObjectName;
use crate::stored::write::{
    Examine, Failure, Held, IsProved, Miss, NewBlock, Writer, if_there, immutable_digests,
    is_same_part,
};

impl Writer<'_> {
    /// Takes a recipe object that a run has left which died, if it and its pack hold the same
    /// block.
    pub(super) fn adopt_dense(
        &self,
        name: &ObjectName,
        fingerprint: &Fingerprint,
        block: &NewBlock<'_>,
        examine: &Examine<'_>,
    ) -> Result<Attempt, Failure> {
        let root = Root::Block(block.ulid);
        let Some((object, files)) = self.read(name, root)? else {
            return Ok(Attempt::Damaged);
        };
        let Ok((names, packed_files)) = digests(self.store, name, block.ulid, &Silent) else {
            return Ok(Attempt::Damaged);
        };
        let statistics = files
            .iter()
            .any(|file| file.name.as_str() == STATISTICS_FILE);
        let files = own_files(files, packed_files);
        let here = immutable_digests(block.open).map_err(Miss::from)?;
        if !is_same_part(&here, &files) {
            return Ok(Attempt::Taken);
        }
        let mut packs = Vec::with_capacity(names.len());
        for name in names {
            let Some(pack) = self.adopt_pack(name, &files)? else {
                return Ok(Attempt::Damaged);
            };
            packs.push(pack);
        }
        let verified = examine(IsProved::No)?.unless_vanished(block.open)?;
        self.progress.advance(block.open.bytes());
        Ok(Attempt::Held(Box::new(Held {
            fingerprint: fingerprint.clone(),
            object: object.in_dense_codec(),
            statistics,
            packs,
            files,
            findings: verified.findings,
        })))
    }

    /// What a manifest says of a pack, also of one that none has described so far; `None` when it
    /// is gone, or about to be.
    pub(super) fn adopt_pack(
        &self,
        name: ObjectName,
        files: &[StoredFile],
    ) -> Result<Option<StoredObject>, Failure> {
        if self.known.is_condemned(&name) {
            return Ok(None);
        }
        if let Some(known) = self.known.pack(&name) {
            return Ok(Some(known.clone()));
        }
        // What lies there is not what archives expect: whoever described it anew would contradict
        // them.
        if self.known.is_spoiled(&name) {
            return Ok(None);
        }
        let settled = if_there(self.store.settle(&name))?;
        let hashed = self.hash(&name).ok();
        let hashed = hashed.zip(self.store.stored_form(&name).ok());
        Ok(settled.zip(hashed).map(|((), ((bytes, sha256), form))| {
            // It may have been made of another block.
            let told = block_of_pack(&name).and_then(|ulid| self.known.packable_bytes(ulid));
            let packed = files.iter().filter(|file| file.packed);
            StoredObject {
                name,
                codec: ObjectCodec::Pack,
                bytes,
                sha256,
                raw_bytes: told.unwrap_or_else(|| packed.map(|file| file.bytes).sum()),
                encrypted: form.map(EncryptedForm::from),
            }
        }))
    }

    /// Finds out which of `packs` are damaged. One that the disk cannot read is: if the whole store
    /// had failed, the block could not be stored again either.
    pub(super) fn suspect(&self, packs: &[StoredObject]) {
        for pack in packs {
            // One failure of a disk or of a network proves nothing.
            let found = self.hash(&pack.name);
            let found = match found.or_else(|_| self.hash(&pack.name)) {
                Ok(found) if found == (pack.bytes, pack.sha256) => continue,
                Ok((bytes, sha256)) => format!(
                    "expected {} bytes with SHA-256 {}, found {bytes} with {sha256}",
                    pack.bytes, pack.sha256
                ),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    "expected an object, found none".to_owned()
                }
                // A network that fails says nothing of what lies there, nor does a key that is lacking.
                Err(error) if error.kind() == ErrorKind::Io && self.store.is_far() => continue,
                Err(error) if error.kind() == ErrorKind::Locked => continue,
                Err(error) => format!(
                    "expected {} bytes that can be read: {}",
                    pack.bytes,
                    error.chain()
                ),
            };
            self.suspects().insert(pack.name.clone(), found);
        }
    }

    /// Size and digest of an object.
    pub(super) fn hash(&self, name: &ObjectName) -> Result<(u64, Digest)> {
        let bytes = self.store.size(name)?;
        let found = digest_of_object(self.store, name, bytes, |_| ())?;
        Ok((bytes, found))
    }
}
