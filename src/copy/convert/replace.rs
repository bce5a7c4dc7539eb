//! What an archive of the repository copied to has lost, and no object of the other one has under
//! this name: stored anew from the files, to stand in for it.

use std::collections::BTreeSet;

use super::known::codec_of;
use super::unpack::Unpacked;
use super::{Converter, is_one_file};
use crate::error::Result;
use crate::repository::{StoredBlock, StoredFile, StoredObject, original};
use crate::store::ObjectName;
use crate::stored::write::Held;

/// What an archive of the repository copied to has lost of a block, which is in other objects where
/// it is copied from.
pub(in crate::copy) struct Lost {
    /// The block as the archive there has it.
    pub(in crate::copy) there: StoredBlock,
    /// The same block where it is copied from.
    pub(in crate::copy) block: StoredBlock,
    /// The objects that are lost.
    pub(in crate::copy) objects: BTreeSet<ObjectName>,
}

/// What stands in for lost objects.
pub(in crate::copy) enum Replacement {
    /// These objects do.
    Made(BTreeSet<ObjectName>),
    /// Why nothing does.
    Missing(String),
}

impl Converter<'_, '_> {
    /// Stores anew what an archive that is there has lost of a block.
    ///
    /// # Errors
    ///
    /// As [`Converter::convert`].
    pub(in crate::copy) fn replace(&mut self, lost: &Lost) -> Result<Replacement> {
        let Lost {
            there,
            block,
            objects,
        } = lost;
        let side = there
            .sidecar
            .as_ref()
            .filter(|it| objects.contains(&it.name));
        let holds_lost = objects.len() > usize::from(side.is_some());
        if holds_lost && self.replacement(there).is_none() {
            let unpacked = match self.unpack(block)? {
                Ok(unpacked) => unpacked,
                Err(why) => return Ok(Replacement::Missing(why)),
            };
            let codec = codec_of(there).unwrap_or_default();
            let Some(held) = self.store(block, &unpacked.open()?, codec)? else {
                let why = format!("block {} does not fit the dense codec any more", block.ulid);
                return Ok(Replacement::Missing(why));
            };
            let own = original(&there.object.name).unwrap_or_else(|| there.object.name.clone());
            if original(&held.object.name) != Some(own) {
                let why = format!("the name of {} is taken", there.object.name);
                return Ok(Replacement::Missing(why));
            }
            self.blocks += 1;
            self.bytes = self.bytes.saturating_add(block.bytes());
            self.replaced.push((there.clone(), held));
        }
        let mut by = BTreeSet::new();
        if holds_lost && let Some(held) = self.replacement(there) {
            let own = held.packs.iter().chain([&held.object]);
            by.extend(own.map(|object| object.name.clone()));
        }
        if let Some(side) = side {
            match self.replace_sidecar(side, there, block)? {
                Ok(name) => by.insert(name),
                Err(why) => return Ok(Replacement::Missing(why)),
            };
        }
        Ok(Replacement::Made(by))
    }

    /// Stores anew what `side`, the sidecar of `there`, held. Gives its name, or says why not.
    fn replace_sidecar(
        &mut self,
        side: &StoredObject,
        there: &StoredBlock,
        block: &StoredBlock,
    ) -> Result<Result<ObjectName, String>> {
        if let Some(known) = self.sidecars.get(&side.name) {
            return Ok(Ok(known.clone()));
        }
        let is_beside = |file: &StoredFile| there.files_from(side).any(|it| it.name == file.name);
        let changed: Vec<_> = block.files.iter().filter(|file| is_beside(file)).collect();
        let unpacked = Unpacked::some(self.carrier.copies()?, block, &changed)?;
        let unpacked = match self.read(block, unpacked) {
            Ok(unpacked) => unpacked,
            Err(why) => return Ok(Err(why)),
        };
        let made = self.put_sidecar(there, &changed, &unpacked.open()?)?;
        self.sidecars.insert(side.name.clone(), made.name.clone());
        Ok(Ok(made.name))
    }

    /// What was stored to stand in for the object of `there`, if it holds the files that are read
    /// from that one.
    fn replacement(&self, there: &StoredBlock) -> Option<&Held> {
        let holds = |held: &Held| {
            let mut own = there.files.iter().filter(|file| !file.sidecar);
            own.all(|file| held.files.iter().any(|held| is_one_file(held, file)))
        };
        let mut replaced = self.replaced.iter();
        let found = replaced.find(|(known, held)| {
            known.object.name == there.object.name && known.packs == there.packs && holds(held)
        });
        found.map(|(_, held)| held)
    }
}
