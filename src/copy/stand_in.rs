//! Blocks and logs whose objects are damaged where they are copied from, and come back from
//! replacements there: other bytes with the same files.

use std::collections::{BTreeMap, BTreeSet};

use super::bring::{Brought, Carrier};
use super::problem::CopyProblemKind;
use crate::error::Result;
use crate::repository::copies::Copies;
use crate::repository::{
    Archive, Mended, ObjectCodec, StoredBlock, StoredObject, StoredWal, mended_object, original,
    recipe_packs,
};
use crate::store::ObjectName;
use crate::stored::{missing_of_block, missing_of_logs};

/// Most replacements of one object that are copied.
const MAX_REPLACEMENTS: usize = 4;

/// What was copied to stand in for what is missing.
#[derive(Clone, Debug, Default)]
pub(super) struct StandIns {
    /// Replacements, and the packs they need.
    pub(super) objects: BTreeSet<ObjectName>,
    /// What could not be brought, and need not be there.
    pub(super) replaced: BTreeSet<ObjectName>,
}

impl Carrier<'_> {
    /// Copies replacements of those objects of `block` that are `missing`, and proves that the
    /// block comes back from the repository copied to. `None` where it does not.
    ///
    /// # Errors
    ///
    /// When the repository copied to fails.
    pub(super) fn stand_in_for_block(
        &self,
        block: &StoredBlock,
        missing: &BTreeMap<ObjectName, String>,
    ) -> Result<Option<StandIns>> {
        let is_missing = |object: &&StoredObject| missing.contains_key(&object.name);
        let lacking: Vec<_> = block.objects().filter(is_missing).collect();
        let mut stand_ins = StandIns::default();
        for object in &lacking {
            let is_sidecar = block.sidecar.as_ref() == Some(*object);
            // What stands in for the object of a block stands in for its packs, too.
            let whole = if is_sidecar { *object } else { &block.object };
            if !self.copy_replacements(whole, &mut stand_ins)? {
                return Ok(None);
            }
        }
        let lost = missing_of_block(&Copies::new(self.to)?, block)?;
        if !lost.files.is_empty() {
            return Ok(None);
        }
        self.replaced(&lacking, missing, &mut stand_ins);
        Ok(Some(stand_ins))
    }

    /// The same of the logs of `archive`.
    ///
    /// # Errors
    ///
    /// When the repository copied to fails.
    pub(super) fn stand_in_for_logs(
        &self,
        archive: &Archive,
        wal: &StoredWal,
        missing: &BTreeMap<ObjectName, String>,
    ) -> Result<Option<StandIns>> {
        let is_missing = |object: &&StoredObject| missing.contains_key(&object.name);
        let lacking: Vec<_> = wal.objects().filter(is_missing).collect();
        let mut stand_ins = StandIns::default();
        for object in &lacking {
            if !self.copy_replacements(object, &mut stand_ins)? {
                return Ok(None);
            }
        }
        let lost = missing_of_logs(&Copies::new(self.to)?, wal, &archive.source_name)?;
        if !lost.files.is_empty() {
            return Ok(None);
        }
        self.replaced(&lacking, missing, &mut stand_ins);
        Ok(Some(stand_ins))
    }

    fn replaced(
        &self,
        lacking: &[&StoredObject],
        missing: &BTreeMap<ObjectName, String>,
        stand_ins: &mut StandIns,
    ) {
        let from = self.from.store().describe();
        for object in lacking {
            let name = &object.name;
            let why = missing.get(name).map_or("", String::as_str);
            let detail = format!(
                "{name} is damaged or gone in {from} ({why}); what archives need of it comes back from replacements, which are copied"
            );
            self.tell(CopyProblemKind::ObjectReplaced.at(name.as_str(), detail));
            stand_ins.replaced.insert(name.clone());
        }
    }

    /// Copies what stands in for `object`, with the packs that it needs; whether there is anything.
    /// What of it cannot be read is passed over: what was copied is proved as a whole.
    fn copy_replacements(&self, object: &StoredObject, stand_ins: &mut StandIns) -> Result<bool> {
        let mut is_any = false;
        let copies = self.copies()?;
        let mended = Mended::list(self.from.store())?;
        let all = mended.of_object(&object.name).iter();
        let usable = all.filter(|(name, _)| !copies.is_marked(name));
        for (name, bytes) in usable.take(MAX_REPLACEMENTS) {
            let Ok(packs) = recipe_packs(self.from.store(), name) else {
                continue;
            };
            let Some(described) = self.describe(name, *bytes) else {
                continue;
            };
            let Some(own) = self.copy_one(&described)? else {
                continue;
            };
            stand_ins.objects.insert(own);
            is_any = true;
            for pack in packs {
                let told = copies.pack(&pack).cloned();
                let described = told.or_else(|| {
                    let bytes = self.from.store().size(&pack).ok()?;
                    self.describe(&pack, bytes)
                });
                let Some(described) = described else {
                    continue;
                };
                match self.bring(&described)? {
                    Brought::Sound => stand_ins.objects.insert(pack),
                    Brought::Replaced(by) => stand_ins.objects.insert(by),
                    Brought::Missing(_) => false,
                };
            }
        }
        Ok(is_any)
    }

    /// Copies a replacement under a new name. Gives its name.
    fn copy_one(&self, described: &StoredObject) -> Result<Option<ObjectName>> {
        let original = original(&described.name).unwrap_or_else(|| described.name.clone());
        let wanted = StoredObject {
            name: original,
            ..described.clone()
        };
        if let Some(known) = self.known_replacement(&wanted)? {
            return Ok(Some(known));
        }
        let name = mended_object(self.to.store(), &wanted.name)?;
        Ok(self.send_as(described, &name)?.then_some(name))
    }

    /// An object that no archive describes, as it is now.
    fn describe(&self, name: &ObjectName, bytes: u64) -> Option<StoredObject> {
        let sha256 = self.digest(name, bytes).ok()?;
        Some(StoredObject {
            name: name.clone(),
            codec: ObjectCodec::Pack,
            bytes,
            sha256,
            raw_bytes: 0,
            encrypted: None,
        })
    }
}
