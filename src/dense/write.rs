//! Packing a block into a repository.

use std::io::Write;

use crate::error::Result;
use crate::pack::{BlockBytes, PackSelection, Packed, Unpackable, write_part};
use crate::repository::{Digest, EncryptedForm, Hasher, ObjectCodec, StoredObject};
use crate::store::{ObjectName, PendingObject, Store};

/// A pack that is written and proved, but not published yet.
#[must_use = "nothing is stored before it is published"]
pub struct StagedPack {
    pending: Box<dyn PendingObject>,
    object: StoredObject,
    packed: Packed,
}

impl std::fmt::Debug for StagedPack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StagedPack").field(&self.object).finish()
    }
}

impl StagedPack {
    /// The object, as it will be.
    pub fn object(&self) -> &StoredObject {
        &self.object
    }

    /// What is in it.
    pub fn packed(&self) -> &Packed {
        &self.packed
    }

    /// Publishes the pack.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` when the name is taken. The same block always makes the same pack: compare
    /// digests.
    pub fn publish(self) -> Result<StoredObject> {
        self.pending.publish()?;
        Ok(self.object)
    }
}

/// Packs `block`, or a selection of it, as the object `name`; `digests` receives what is to be
/// remembered of its series, and `copy` the bytes of the pack; `advance` hears how many bytes of
/// chunks are done.
///
/// # Errors
///
/// When the store fails. That a block cannot be packed is no error.
pub fn stage_pack(
    store: &dyn Store,
    name: &ObjectName,
    block: &BlockBytes<'_>,
    selection: Option<&PackSelection>,
    digests: &mut dyn Write,
    copy: Option<&mut dyn Write>,
    advance: &(dyn Fn(u64) + Sync),
) -> Result<Result<StagedPack, Unpackable>> {
    let mut out = Hashing {
        pending: store.create(name)?,
        copy,
        sha256: Hasher::default(),
    };
    let packed = match write_part(block, selection, &mut out, digests, advance)
        .map_err(|e| e.context(format!("object {name}")))?
    {
        Ok(packed) => packed,
        Err(why) => return Ok(Err(why)),
    };
    let segments = block.segments.iter().map(|segment| segment.len() as u64);
    let form = out.pending.finish()?;
    let object = StoredObject {
        name: name.clone(),
        codec: ObjectCodec::Pack,
        bytes: packed.bytes,
        sha256: out.finish(),
        raw_bytes: segments.sum::<u64>() + block.index.len() as u64,
        encrypted: form.map(EncryptedForm::from),
    };
    Ok(Ok(StagedPack {
        pending: out.pending,
        object,
        packed,
    }))
}

/// Hashes what it passes on.
struct Hashing<'c> {
    pending: Box<dyn PendingObject>,
    copy: Option<&'c mut dyn Write>,
    sha256: Hasher,
}

impl Hashing<'_> {
    fn finish(&mut self) -> Digest {
        std::mem::take(&mut self.sha256).finish()
    }
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.pending.write(bytes)?;
        let bytes = bytes.get(..written).unwrap_or(bytes);
        self.sha256.update(bytes);
        if let Some(copy) = &mut self.copy {
            copy.write_all(bytes)?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.pending.flush()
    }
}
