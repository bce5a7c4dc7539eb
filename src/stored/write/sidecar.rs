//! Storing what has changed of a block since its immutable part was stored.

use super::{Failure, Miss, OpenBlock, Writer};
use crate::error::ErrorKind;
use crate::model::Ulid;
use crate::repository::portable::{Root, Staged};
use crate::repository::{Fingerprint, StoredFile, StoredObject, mended_object, side_object};
use crate::store::ObjectName;

impl Writer<'_> {
    /// Stores those files of `block` that are `changed`, beside the immutable part of this
    /// `fingerprint`.
    pub(crate) fn put_sidecar(
        &self,
        ulid: Ulid,
        fingerprint: &Fingerprint,
        changed: &[&StoredFile],
        block: &OpenBlock,
    ) -> Result<StoredObject, Failure> {
        // The second name is for the day on which the first is taken by something that is no
        // sidecar of these files.
        for attempt in 0..2 {
            let listing = changed.iter().map(|file| (&file.name, file.sha256));
            let name = side_object(ulid, fingerprint, listing, attempt).map_err(Failure::Store)?;
            if let Some(object) = self.put_or_adopt_sidecar(ulid, &name, changed, block)? {
                return Ok(object);
            }
            if attempt > 0 || self.known.is_spoiled(&name) {
                let name = mended_object(self.store, &name).map_err(Failure::Store)?;
                let staged = self.write_sidecar(ulid, &name, changed, block)?;
                let published = staged.publish().map_err(Failure::Store)?;
                return Ok(published.0);
            }
        }
        Err(Miss::Vanished.into())
    }

    fn write_sidecar(
        &self,
        ulid: Ulid,
        name: &ObjectName,
        changed: &[&StoredFile],
        block: &OpenBlock,
    ) -> Result<Staged, Failure> {
        let sources = changed
            .iter()
            .filter_map(|file| block.get(file.name.as_str()));
        let staged = self.write(name, Root::Block(ulid), &sources.collect::<Vec<_>>())?;
        if staged.files().iter().eq(changed.iter().copied()) {
            Ok(staged)
        } else {
            Err(Miss::Vanished.into())
        }
    }

    /// Writes a sidecar, or takes the one that has its name. `None` when that one is damaged or
    /// about to be deleted.
    fn put_or_adopt_sidecar(
        &self,
        ulid: Ulid,
        name: &ObjectName,
        changed: &[&StoredFile],
        block: &OpenBlock,
    ) -> Result<Option<StoredObject>, Failure> {
        if self.known.is_condemned(name) || self.known.is_spoiled(name) {
            return Ok(None);
        }
        let root = Root::Block(ulid);
        let is_listed = |files: &[StoredFile]| files.iter().eq(changed.iter().copied());
        if !self.known.has_object(name) {
            match self.write_sidecar(ulid, name, changed, block)?.publish() {
                Err(taken) if taken.kind() == ErrorKind::AlreadyExists => {}
                published => {
                    return published
                        .map(|(object, _)| Some(object))
                        .map_err(Failure::Store);
                }
            }
        }
        let read = self.read(name, root)?;
        Ok(read
            .filter(|(_, files)| is_listed(files))
            .map(|(object, _)| object))
    }
}
