//! What is rebuilt from packs: by the block's own recipe, by that of a replacement, or by that of a
//! block it was compacted into.

use std::collections::BTreeSet;

use super::choice::choices;
use super::proof::Proof;
use super::{Fetch, Sink, damage};
use crate::dense::{Cache, derive, read_extracted, read_packed};
use crate::error::Result;
use crate::progress::Silent;
use crate::repository::copies::{Place, Redirected, Trust};
use crate::repository::lineage::{atoms, stream};
use crate::repository::portable::Root;
use crate::repository::{Digest, ObjectCodec, StoredBlock, StoredObject, original, recipe_packs};
use crate::store::ObjectName;
use crate::stored::recipe_of;

impl Fetch<'_> {
    /// Takes what can be rebuilt of `block`.
    pub(super) fn take_packs(
        &mut self,
        block: &StoredBlock,
        is_own: bool,
        segments: &mut dyn Sink,
        index: &mut dyn Sink,
    ) -> Result<()> {
        if !self.needs(&block.files) {
            return Ok(());
        }
        for recipe in self.copies.places(&block.object) {
            let mut rebuilt = block.clone();
            if recipe.trust == Trust::Mended {
                // A replacement holds the whole block, in itself or by a recipe of its own.
                let before = self.done.len();
                let root = Root::Block(block.ulid);
                let read = self.take_place(&block.object, &recipe, root, &[], segments);
                if self.done.len() > before && !self.from.contains(&recipe.to_string()) {
                    self.from.push(recipe.to_string());
                }
                if segments.has_failed() {
                    return read;
                }
                match read.and_then(|()| self.packs_of(&recipe)) {
                    Ok(packs) => rebuilt.packs = packs,
                    Err(error) => self.fail_place(&recipe, error),
                }
                rebuilt.files.iter_mut().for_each(|file| file.packed = true);
            }
            if rebuilt.packs.is_empty() || !self.needs(rebuilt.packed_files()) {
                continue;
            }
            self.rebuild(&rebuilt, &recipe, is_own, segments, index)?;
            if !self.needs(&block.files) {
                break;
            }
        }
        Ok(())
    }

    /// Takes what can be rebuilt of `block` without its recipe: from its own packs, or from those
    /// of a block that it was compacted into. Gives the samples of floats and of histograms
    /// that it has.
    pub(super) fn take_derived(
        &mut self,
        block: &StoredBlock,
        segments: &mut dyn Sink,
        index: &mut dyn Sink,
    ) -> Result<[u64; 2]> {
        let unknown = [block.samples, 0];
        let rebuilt = block.files.iter().filter(|file| file.name.is_immutable());
        if !self.needs(rebuilt) {
            return Ok(unknown);
        }
        let copies = self.copies;
        let sound = |pack: &StoredObject| {
            let places = copies.places(pack).into_iter();
            let mut sound =
                places.filter(|place| !matches!(place.trust, Trust::Mended | Trust::Damaged));
            sound.next().map(|place| (place.name, place.bytes))
        };
        let all = |block: &StoredBlock| block.packs.iter().map(sound).collect::<Option<Vec<_>>>();
        let (wanted, own_stream) = (atoms(block), stream(block));
        let mut tried: BTreeSet<Vec<&ObjectName>> = BTreeSet::new();
        // Whatever holds all atoms holds the one that the fewest blocks hold.
        let holders = wanted.iter().map(|atom| copies.holders(*atom));
        let others = holders.min_by_key(Vec::len).unwrap_or_default();
        let others = others.into_iter().filter(|other| {
            let holds = other.ulid != block.ulid
                && stream(other) == own_stream
                && wanted.is_subset(&atoms(other));
            holds && tried.insert(other.packs.iter().map(|pack| &pack.name).collect())
        });
        let (store, cache) = (copies.store(), Cache::default());
        let own = recipe_of(copies, block);
        let (packs, others) = (all(block), others.filter_map(all));
        let found = derive(store, &cache, block, own.as_ref(), packs, others);
        let (extracted, packs) = match found {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(unknown),
            Err(error) => {
                self.fail(error);
                return Ok(unknown);
            }
        };
        let mut proofs = (
            Proof::new(&self.wanted, &self.done, segments),
            Proof::new(&self.wanted, &self.done, index),
        );
        let read = read_extracted(
            store,
            &extracted,
            &packs,
            &mut proofs.0,
            &mut proofs.1,
            &Silent,
        );
        let proved = (proofs.0.finish(), proofs.1.finish());
        if segments.has_failed() || index.has_failed() {
            read?;
        }
        let mut proved = (proved.0?, proved.1?);
        proved.0.append(&mut proved.1);
        if !proved.0.is_empty() {
            self.from
                .extend(packs.iter().map(|(name, _)| name.to_string()));
        }
        self.done.extend(proved.0);
        Ok(extracted.samples.unwrap_or(unknown))
    }

    /// Carries out the recipe in `recipe` over the packs of `block`, each read wherever it is
    /// sound.
    fn rebuild(
        &mut self,
        block: &StoredBlock,
        recipe: &Place,
        is_own: bool,
        segments: &mut dyn Sink,
        index: &mut dyn Sink,
    ) -> Result<()> {
        let mut store = Redirected::new(self.copies.store());
        store.redirect(&block.object.name, recipe.clone());
        let places = block.packs.iter().map(|pack| self.copies.places(pack));
        let places: Vec<_> = places.collect();
        for (pack, places) in block.packs.iter().zip(&places) {
            if !matches!(places.first(), Some(place) if place.trust == Trust::Sound) {
                self.fail(damage(pack, self.copies));
            }
        }
        let mut first = None;
        for choice in choices(&places) {
            let mut block = block.clone();
            for (pack, place) in block.packs.iter_mut().zip(&choice) {
                pack.bytes = place.bytes;
                store.redirect(&pack.name, (*place).clone());
            }
            let mut proofs = (
                Proof::new(&self.wanted, &self.done, segments),
                Proof::new(&self.wanted, &self.done, index),
            );
            let read = read_packed(&store, &block, &mut proofs.0, &mut proofs.1, &Silent);
            let proved = (proofs.0.finish(), proofs.1.finish());
            if segments.has_failed() || index.has_failed() {
                return read;
            }
            let mut proved = (proved.0?, proved.1?);
            proved.0.append(&mut proved.1);
            if !proved.0.is_empty() {
                let used = choice.into_iter().chain([recipe]);
                let used = used.filter(|place| !is_own || place.trust != Trust::Sound);
                for place in used.map(Place::to_string) {
                    if !self.from.contains(&place) {
                        self.from.push(place);
                    }
                }
            }
            self.done.extend(proved.0);
            if let Err(error) = read {
                first.get_or_insert(error);
            }
            if !self.needs(block.packed_files()) {
                if let Some(error) = first {
                    self.fail(error);
                }
                return Ok(());
            }
        }
        let mut lost = block.packs.iter().zip(&places);
        let lost = lost.find(|(_, places)| places.is_empty());
        let lost = lost.map(|(pack, _)| damage(pack, self.copies));
        if let Some(error) = first.or(lost) {
            self.fail_packs(block, &places);
            self.fail_place(recipe, error);
        }
        Ok(())
    }

    /// Takes note of the packs on which it may lie that `block` is not rebuilt: replacements that
    /// no manifest knows, and that are no copies of what they stand in for.
    fn fail_packs(&mut self, block: &StoredBlock, places: &[Vec<Place>]) {
        let told = block.packs.iter().map(|pack| &pack.name);
        let read = places.iter().flatten().map(|place| &place.name);
        for name in told.chain(read) {
            let Some(replaced) = original(name) else {
                continue;
            };
            let known = self.copies.pack(&replaced);
            let is_copy = known.is_some_and(|known| self.copies.is_copy(name, known));
            if self.copies.pack(name).is_none() && !is_copy {
                let failed = self.failed.entry(name.clone());
                failed
                    .or_insert_with(|| format!("block {} does not come back from it", block.ulid));
            }
        }
    }

    /// The packs that the recipe in `place` names, as some archive knows them, or as they are.
    fn packs_of(&self, place: &Place) -> Result<Vec<StoredObject>> {
        let names = recipe_packs(self.copies.store(), &place.name)?;
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let described = names.iter().map(|name| match self.copies.pack(name) {
            Some(pack) => Ok(pack.clone()),
            // No manifest says what it should be: the files that come out of it are the proof.
            None => Ok(StoredObject {
                name: name.clone(),
                codec: ObjectCodec::Pack,
                bytes: self.copies.bytes(name)?,
                sha256: Digest::of(b""),
                raw_bytes: 0,
                encrypted: None,
            }),
        });
        described.collect()
    }
}
