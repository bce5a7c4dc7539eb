//! What is new, what is known. Nothing here reads or writes.

use std::collections::{BTreeMap, BTreeSet};

use super::survey::BlockSurvey;
use crate::model::{Succession, Ulid};
use crate::repository::damage::Damage;
use crate::repository::lineage::{is_damaged, kin};
use crate::repository::trash::Trash;
use crate::repository::{
    Archive, StoredBlock, StoredFile, StoredObject, block_object, recipe_object,
};
use crate::store::ObjectName;
use crate::stored::write::{Holdings, deep_fingerprint};

/// What has to be done for a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// It is stored as it is.
    Keep(StoredBlock),
    /// Its immutable part is stored; files that may change have changed.
    Refresh(StoredBlock),
    /// It is not stored, or nothing says how; or what is stored is damaged, and the source may have
    /// been mended.
    Store,
}

/// How a block of an archive compares with what the repository held before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It was archived before, as it is.
    None,
    /// It was archived before, with other `meta.json`, tombstones or foreign files.
    Updated,
    /// No archive that was looked at has it.
    New,
}

/// What a repository holds of blocks.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Sizes of the objects that exist.
    objects: BTreeMap<ObjectName, u64>,
    /// What is about to be deleted.
    trash: Trash,
    /// What was seen damaged, before this run or in it.
    damaged: BTreeSet<ObjectName>,
    /// What manifests say of blocks, the latest word last.
    blocks: BTreeMap<Ulid, Vec<StoredBlock>>,
    /// Blocks that this run has stored.
    fresh: Vec<StoredBlock>,
}

impl Known {
    /// Knows that these objects exist, and nothing of what is in them; which of them `trash`
    /// condemns, and which were seen damaged.
    pub(super) fn new(
        objects: impl IntoIterator<Item = (ObjectName, u64)>,
        trash: Trash,
        damage: &Damage,
    ) -> Self {
        Known {
            objects: objects.into_iter().collect(),
            trash,
            damaged: damage.objects().cloned().collect(),
            ..Known::default()
        }
    }

    /// Takes in what an archive says, as an older word than what is known already.
    pub(super) fn learn(&mut self, archive: &Archive) {
        for block in &archive.blocks {
            let words = self.blocks.entry(block.ulid).or_default();
            words.insert(0, block.clone());
        }
    }

    /// Does not rely on `objects` any more: they turned out to be damaged.
    pub(super) fn distrust<'o>(&mut self, objects: impl IntoIterator<Item = &'o ObjectName>) {
        self.damaged.extend(objects.into_iter().cloned());
        let damaged = &self.damaged;
        let is_sound = |block: &StoredBlock| {
            let mut objects = block.objects();
            !objects.any(|object| damaged.contains(&object.name))
        };
        self.fresh.retain(is_sound);
    }

    /// Takes in a block that this run has stored: others may repeat its samples.
    pub(super) fn take_in(&mut self, block: StoredBlock) {
        self.fresh.push(block);
    }

    /// The latest words on blocks that are stored in packs, all of which are there.
    pub(super) fn held(&self) -> impl Iterator<Item = &StoredBlock> {
        let is_held = |word: &&StoredBlock| word.packs.iter().all(|pack| self.holds(Some(pack)));
        let words = self.blocks.values();
        let told = words.filter_map(move |words| words.iter().rev().find(is_held));
        let held = self.fresh.iter().chain(told);
        held.filter(|word| !word.packs.is_empty())
    }

    /// What has to be done for `block`.
    pub(super) fn decide(&self, block: &BlockSurvey) -> Action {
        match self.find(block) {
            Some(stored) if is_damaged(stored) => Action::Store,
            // It is kept as it was, and what is wrong with it has to be found out.
            Some(stored) if block.meta.is_none() => Action::Refresh(stored.clone()),
            Some(stored) if is_current(stored, block) && self.holds(stored.sidecar.as_ref()) => {
                Action::Keep(stored.clone())
            }
            Some(stored) => Action::Refresh(stored.clone()),
            None => Action::Store,
        }
    }

    /// The latest word on a block with this immutable part that says which time it covers: for the
    /// day on which its `meta.json` is gone.
    pub(super) fn told(&self, block: &BlockSurvey) -> Option<&StoredBlock> {
        let words = self.blocks.get(&block.ulid())?;
        words
            .iter()
            .rfind(|word| is_same(word, block) && word.min_time < word.max_time)
    }

    /// Whether an object seems to hold `block`, and no archive learned so far tells of it.
    pub(super) fn is_riddle(&self, block: &BlockSurvey) -> bool {
        let names = [
            block_object(block.ulid(), &block.fingerprint),
            recipe_object(block.ulid(), &block.fingerprint),
        ];
        let mut names = names.into_iter().flatten();
        self.find(block).is_none() && names.any(|name| self.has_object(&name))
    }

    /// How a block that is now archived compares with what was known.
    pub(super) fn change(&self, block: &StoredBlock) -> Change {
        let mut words = self.blocks.get(&block.ulid).into_iter().flatten();
        match words.rfind(|stored| stored.object == block.object) {
            None => Change::New,
            Some(stored) if stored.files == block.files => Change::None,
            Some(_) => Change::Updated,
        }
    }

    /// The latest word on a block with this immutable part, if its object is there.
    fn find(&self, block: &BlockSurvey) -> Option<&StoredBlock> {
        let words = self.blocks.get(&block.ulid())?;
        let is_held = |word: &StoredBlock| {
            let mut objects = std::iter::once(&word.object).chain(&word.packs);
            objects.all(|object| self.holds(Some(object)))
        };
        words
            .iter()
            .rfind(|word| is_same(word, block) && is_held(word))
    }

    /// Whether the object, if there is to be one, is as long as it was when it was stored, was not
    /// seen damaged, and will stay.
    pub(super) fn holds(&self, object: Option<&StoredObject>) -> bool {
        object.is_none_or(|object| {
            self.objects.get(&object.name) == Some(&object.listed_bytes())
                && !self.is_condemned(&object.name)
                && !self.damaged.contains(&object.name)
        })
    }
}

impl Holdings for Known {
    fn has_object(&self, name: &ObjectName) -> bool {
        self.objects.contains_key(name)
    }

    fn is_condemned(&self, name: &ObjectName) -> bool {
        self.trash.is_condemned(name)
    }

    fn is_spoiled(&self, object: &ObjectName) -> bool {
        let words = self.blocks.values().flatten();
        let mut named = words.flat_map(StoredBlock::objects);
        let found = self.objects.get(object);
        self.damaged.contains(object)
            || named.any(|word| word.name == *object && found != Some(&word.listed_bytes()))
    }

    fn pack(&self, name: &ObjectName) -> Option<&StoredObject> {
        let blocks = self.fresh.iter().chain(self.blocks.values().flatten());
        let mut packs = blocks.flat_map(|block| &block.packs);
        packs.find(|pack| pack.name == *name && self.holds(Some(pack)))
    }

    fn packable_bytes(&self, ulid: Ulid) -> Option<u64> {
        let word = self.blocks.get(&ulid)?.last()?;
        Some(word.packable_bytes())
    }
}

/// Whether the immutable parts are the same.
fn is_same(stored: &StoredBlock, block: &BlockSurvey) -> bool {
    let files = stored.files.iter().map(|file| (&file.name, file.sha256));
    stored.fingerprint == block.fingerprint
        || stored.fingerprint == deep_fingerprint(&block.fingerprint, files)
}

/// Whether the files that may change, and the empty directories, are the same too.
fn is_current(stored: &StoredBlock, block: &BlockSurvey) -> bool {
    let content = |file: &StoredFile| (file.name.clone(), file.sha256);
    let mutable = stored.files.iter().filter(|file| !file.name.is_immutable());
    let before: BTreeSet<_> = mutable.map(content).collect();
    let now: BTreeSet<_> = block.mutable.iter().map(content).collect();
    before == now && stored.empty_dirs == block.listing.empty_dirs
}

/// The blocks that Prometheus would delete when it loads `blocks`, each with the children because
/// of which it would. A damaged child supersedes nothing: its parents may be all that is left of
/// its samples.
pub(super) fn superseded<'a>(
    blocks: impl IntoIterator<Item = &'a StoredBlock>,
) -> BTreeMap<Ulid, BTreeSet<Ulid>> {
    let mut children: BTreeMap<Ulid, BTreeSet<Ulid>> = BTreeMap::new();
    for child in blocks.into_iter().filter(|block| !is_damaged(block)) {
        for parent in &child.parents {
            if *parent != Ulid::ZERO && *parent != child.ulid {
                children.entry(*parent).or_default().insert(child.ulid);
            }
        }
    }
    children
}

/// Who takes the place of whom among `blocks`, by what they say they hold. A damaged child takes
/// nobody's.
pub(super) fn succession<'a>(blocks: impl IntoIterator<Item = &'a StoredBlock>) -> Succession {
    let sound = blocks.into_iter().filter(|block| !is_damaged(block));
    Succession::of(sound.map(kin))
}
