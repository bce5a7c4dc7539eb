//! What lies in a repository, and how far it can be relied on without reading it.

use std::collections::BTreeMap;

use super::damage::Damage;
use super::layout::DATA;
use super::trash::Trash;
use super::{Mended, Repository, StoredBlock, StoredObject, original, recipe_packs};
use crate::error::Result;
use crate::store::ObjectName;

/// All that lies there, by one look.
#[derive(Debug, Default)]
pub struct Stock {
    /// Objects that hold data, with their sizes in bytes.
    pub listed: BTreeMap<ObjectName, u64>,
    /// What stands in for others.
    pub mended: Mended,
    /// Marks of damage.
    pub damage: Damage,
    /// What a prune has marked, or is deleting.
    pub trash: Trash,
    /// The packs of replacements, where these are recipes. One that cannot be read is not here.
    recipes: BTreeMap<ObjectName, Vec<ObjectName>>,
    /// How many bytes replacements have for whoever reads them.
    sizes: BTreeMap<ObjectName, u64>,
}

impl Stock {
    /// Lists what there is, and reads which packs replacements need.
    ///
    /// # Errors
    ///
    /// When the store cannot list its objects.
    pub fn look(repository: &Repository) -> Result<Self> {
        Ok(Stock::of(repository, &repository.look()?))
    }

    /// What `seen`, which [`Repository::look`] gave, says; reads which packs replacements need.
    pub(crate) fn of(repository: &Repository, seen: &[(ObjectName, u64)]) -> Self {
        let store = repository.store();
        let is_data = |name: &ObjectName| DATA.iter().any(|it| name.as_str().starts_with(it));
        let listed = seen.iter().filter(|(name, _)| is_data(name));
        let mended = Mended::of(seen.iter().cloned());
        let read = |name: &ObjectName| Some((name.clone(), recipe_packs(store, name).ok()?));
        let names = seen.iter().filter(|(name, _)| original(name).is_some());
        let sizes = names.filter_map(|(name, listed)| {
            let bytes = store.size_of_listed(name, *listed).ok()?;
            Some((name.clone(), bytes))
        });
        let sizes = sizes.collect();
        let names = || seen.iter().map(|(name, _)| name);
        Stock {
            sizes,
            listed: listed.cloned().collect(),
            recipes: mended.names().filter_map(read).collect(),
            mended,
            damage: Damage::of(names()),
            trash: Trash::of(names()),
        }
    }

    /// Whether `object` cannot be relied on: it has a mark of damage, or is gone, or not as long as
    /// it should be.
    pub fn is_spoiled(&self, object: &StoredObject) -> bool {
        self.damage.contains(&object.name)
            || self.listed.get(&object.name) != Some(&object.listed_bytes())
    }

    /// Whether something stands in for `object` that can be relied on. `is_bad` says of packs and
    /// of replacements whether something else than what should be lies there.
    pub fn is_mended(&self, object: &ObjectName, is_bad: &dyn Fn(&ObjectName) -> bool) -> bool {
        let mut mended = self.mended.of_object(object).iter();
        mended.any(|(name, _)| {
            let packs = self.recipes.get(name);
            let is_there = |pack: &ObjectName| {
                self.listed.contains_key(pack) && !self.damage.contains(pack) && !is_bad(pack)
            };
            let is_sound = !self.damage.contains(name) && !is_bad(name);
            is_sound && packs.is_some_and(|packs| packs.iter().all(is_there))
        })
    }

    /// What is spoiled of `block` and lacks a replacement; none if the block can be relied on. What
    /// stands in for the block's object stands in for its packs, too; a pack may also have its
    /// own.
    pub fn broken_of<'b>(
        &self,
        block: &'b StoredBlock,
        is_bad: &dyn Fn(&ObjectName) -> bool,
    ) -> Vec<&'b StoredObject> {
        let spoiled = block.objects().filter(|object| self.is_spoiled(object));
        self.left_of(block, spoiled.collect(), is_bad)
    }

    /// What of `spoiled`, objects of `block` that cannot be relied on, lacks a replacement.
    pub fn left_of<'b>(
        &self,
        block: &'b StoredBlock,
        mut spoiled: Vec<&'b StoredObject>,
        is_bad: &dyn Fn(&ObjectName) -> bool,
    ) -> Vec<&'b StoredObject> {
        if spoiled.is_empty() {
            return spoiled;
        }
        let is_whole = self.is_mended(&block.object.name, is_bad);
        spoiled.retain(|object| {
            if block.sidecar.as_ref() == Some(*object) {
                !self.is_mended(&object.name, is_bad)
            } else {
                !(is_whole || block.packs.contains(object) && self.has_same(object, is_bad))
            }
        });
        spoiled
    }

    /// Whether a replacement of `pack` with the same bytes can be relied on.
    fn has_same(&self, pack: &StoredObject, is_bad: &dyn Fn(&ObjectName) -> bool) -> bool {
        let mut mended = self.mended.of_object(&pack.name).iter();
        mended.any(|(name, _)| {
            let is_as_long = self.sizes.get(name) == Some(&pack.bytes);
            is_as_long && !self.damage.contains(name) && !is_bad(name)
        })
    }
}
