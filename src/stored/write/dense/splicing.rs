//! What of a block is stored already, in packs of other blocks.

use crate::dense::Recipe;
use crate::model::{Millis, Ulid};
use crate::pack::{BlockBytes, PackSelection, SplicePlan, plan};
use crate::repository::{Fingerprint, StoredObject, mended_object, pack_object};
use crate::store::ObjectName;
use crate::stored::write::{Failure, NewBlock, Writer};

/// A pack of which a block needs fewer than one chunk in so many is left alone: it would have to be
/// read for little.
const MIN_SHARE: u64 = 16;

impl Writer<'_> {
    /// How the block follows from packs that are stored already; `None` if it has nothing in common
    /// with any.
    pub(super) fn splice(
        &self,
        block: &NewBlock<'_>,
        source: &BlockBytes<'_>,
    ) -> Option<(Vec<StoredObject>, SplicePlan)> {
        let mut packs = block.relatives.clone();
        packs.retain(|pack| !self.suspects().contains_key(&pack.name));
        while !packs.is_empty() {
            let (plan, useful) = self.plan_over(&packs, block.range, source)?;
            if useful.iter().all(|useful| *useful) {
                return Recipe::can_have(&plan.splice).then_some((packs, plan));
            }
            let mut useful = useful.into_iter();
            packs.retain(|_| useful.next().unwrap_or(false));
        }
        None
    }

    /// How the block follows from `packs`, and which of them are of use: with others among them the
    /// plan is not to be carried out.
    ///
    /// A pack that is damaged, gone or of a newer version is of none; and so is one of which
    /// nothing can be remembered, as the disk is full. That costs bytes, not the backup: a
    /// store that fails altogether does so again when the block is written.
    fn plan_over(
        &self,
        packs: &[StoredObject],
        range: (Millis, Millis),
        source: &BlockBytes<'_>,
    ) -> Option<(SplicePlan, Vec<bool>)> {
        let entries = packs
            .iter()
            .map(|pack| self.cache.recall(self.store, pack).ok());
        let entries: Vec<_> = entries.collect();
        let known = entries.iter().map(|entry| entry.as_ref()?.known().ok());
        let known: Vec<_> = known.collect();
        let mut useful: Vec<bool> = known.iter().map(Option::is_some).collect();
        let mut known: Vec<_> = known.into_iter().flatten().collect();
        let plan = plan(source, range, &mut known).ok()?.ok()?;
        let mut uses = plan.uses.iter();
        for is_useful in useful.iter_mut().filter(|is_known| **is_known) {
            *is_useful = uses
                .next()
                .is_some_and(|uses| uses.taken * MIN_SHARE > uses.offered);
        }
        Some((plan, useful))
    }

    /// The name of a pack that holds what `packs` lack of a block. Another night, with other packs,
    /// it is another.
    pub(super) fn own_pack(
        &self,
        ulid: Ulid,
        fingerprint: &Fingerprint,
        packs: &[StoredObject],
        selection: &PackSelection,
    ) -> Result<ObjectName, Failure> {
        let mut identity = fingerprint.as_str().as_bytes().to_vec();
        for pack in packs {
            identity.extend_from_slice(pack.sha256.as_bytes());
        }
        identity.extend(selection.identity());
        loop {
            let name = pack_object(ulid, &Fingerprint::of(&identity)).map_err(Failure::Store)?;
            // What is damaged or was lost is replaced, perhaps by the same bytes.
            if self.known.is_spoiled(&name) {
                return mended_object(self.store, &name).map_err(Failure::Store);
            }
            // What is about to be deleted is not to be stored again under its name.
            if !self.known.is_condemned(&name) {
                return Ok(name);
            }
            identity.push(0);
        }
    }
}
