//! What all archives say, and what of it does not lie there as they say.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::model::{Millis, Ulid};
use crate::repository::lineage::is_damaged;
use crate::repository::stock::Stock;
use crate::repository::{
    Archive, Archives, Damaged, FilePath, LogPart, LogPiece, ManifestCache, RememberedManifests,
    Repository, StoredBlock, StoredObject, StoredWal, recipe_packs,
};
use crate::store::{ObjectName, Store};

/// All archives of a repository, by one look, and what lies there.
#[derive(Debug, Default)]
pub struct Catalog {
    pub(super) archives: Vec<Archive>,
    /// Manifests that could not be read.
    pub(super) unread: Vec<Damaged>,
    pub(super) stock: Stock,
    /// Where each block is: positions of archives, and in them.
    by_ulid: BTreeMap<Ulid, Vec<(usize, usize)>>,
    /// Put together when it is asked for, which a healthy night does not.
    by_object: OnceCell<Needs>,
    /// What archives name that are none of these.
    named_elsewhere: BTreeSet<ObjectName>,
}

/// Who needs each object: positions of archives and of blocks in them, or of no block for the logs.
type Needs = BTreeMap<ObjectName, Vec<(usize, Option<usize>)>>;

/// An object of logs, and what archives take of it, by file and offset.
type BrokenLog<'c> = (&'c StoredObject, BTreeMap<(FilePath, u64), LogPart>);

impl Catalog {
    /// Reads every manifest, as far as `cache` does not remember it. Those that cannot be read are
    /// the business of `check` and of `repair`.
    ///
    /// # Errors
    ///
    /// When the store cannot list its objects.
    pub fn read(repository: &Repository, cache: &ManifestCache) -> Result<Self> {
        Self::of(repository, cache.load(), &repository.look()?)
    }

    /// The same of what [`Repository::look`] has `seen`, and what was remembered of manifests.
    ///
    /// # Errors
    ///
    /// As [`Catalog::read`].
    pub(crate) fn of(
        repository: &Repository,
        remembered: RememberedManifests,
        seen: &[(ObjectName, u64)],
    ) -> Result<Self> {
        let Archives { archives, damaged } = remembered.archives(repository, seen)?;
        let mut catalog = Catalog {
            archives,
            unread: damaged,
            ..Catalog::default()
        };
        for (number, archive) in catalog.archives.iter().enumerate() {
            for (at, block) in archive.blocks.iter().enumerate() {
                let places = catalog.by_ulid.entry(block.ulid).or_default();
                places.push((number, at));
            }
        }
        catalog.stock = Stock::of(repository, seen);
        Ok(catalog)
    }

    /// The archives, and those manifests that could not be read.
    pub fn archives(&self) -> (&[Archive], &[Damaged]) {
        (&self.archives, &self.unread)
    }

    /// Every block, once for each way it is stored: the first of the archives in a row that say the
    /// same.
    fn distinct(&self) -> impl Iterator<Item = &StoredBlock> {
        self.by_ulid.keys().flat_map(|ulid| {
            let mut before = None;
            self.words(*ulid).filter(move |word| {
                let is_new =
                    before.is_none_or(|before: &StoredBlock| !before.objects().eq(word.objects()));
                before = Some(*word);
                is_new
            })
        })
    }

    fn needs(&self) -> &Needs {
        self.by_object.get_or_init(|| {
            let mut needs = Needs::new();
            for (number, archive) in self.archives.iter().enumerate() {
                for (at, block) in archive.blocks.iter().enumerate() {
                    for object in block.objects() {
                        let needing = needs.entry(object.name.clone()).or_default();
                        needing.push((number, Some(at)));
                    }
                }
                for object in archive.wal.iter().flat_map(StoredWal::objects) {
                    let needing = needs.entry(object.name.clone()).or_default();
                    needing.push((number, None));
                }
            }
            needs
        })
    }

    /// Whether no archive needs anything that is spoiled, as it was seen.
    pub(super) fn is_whole(&self) -> bool {
        let logs = self.archives.iter().filter_map(|it| it.wal.as_ref());
        let of_blocks = self.distinct().flat_map(StoredBlock::objects);
        let mut objects = of_blocks.chain(logs.flat_map(StoredWal::objects));
        objects.all(|object| !self.is_spoiled(object))
    }

    /// What lies there, as it was last listed.
    pub fn stock(&self) -> &Stock {
        &self.stock
    }

    /// Lists anew what lies there.
    ///
    /// # Errors
    ///
    /// As [`Catalog::read`].
    pub fn look_again(&mut self, repository: &Repository) -> Result<()> {
        self.stock = Stock::look(repository)?;
        Ok(())
    }

    /// Whether `object` cannot be relied on: [`Stock::is_spoiled`].
    pub(super) fn is_spoiled(&self, object: &StoredObject) -> bool {
        self.stock.is_spoiled(object)
    }

    /// Every object that some archive needs, that cannot be relied on, and that nothing stands in
    /// for.
    pub(super) fn spoiled_objects(&self) -> Vec<&StoredObject> {
        let mut seen = BTreeSet::new();
        let objects = self.archives.iter().flat_map(Archive::objects);
        let objects = objects.map(|(_, object)| object);
        objects
            .filter(|object| self.is_spoiled(object) && !self.is_mended(&object.name))
            .filter(|object| seen.insert(&object.name))
            .collect()
    }

    /// Whether something stands in for the object that can be relied on.
    fn is_mended(&self, object: &ObjectName) -> bool {
        self.stock.is_mended(object, &|pack| self.is_bad(pack))
    }

    /// Whether some archive expects another object than the one that lies there.
    pub(super) fn is_bad(&self, object: &ObjectName) -> bool {
        let mut words = self.descriptions(object);
        words.any(|word| self.is_spoiled(word))
    }

    /// Every block that rests on something spoiled which nothing stands in for, once for each way
    /// it is stored; and what that is.
    pub(super) fn broken_blocks(&self) -> Vec<(&StoredBlock, Vec<&StoredObject>)> {
        let mut seen = BTreeSet::new();
        let mut broken = Vec::new();
        for block in self.distinct() {
            let objects: Vec<_> = block.objects().map(|object| &object.name).collect();
            if !seen.insert((block.ulid, objects)) {
                continue;
            }
            let left = self.stock.broken_of(block, &|pack| self.is_bad(pack));
            if !left.is_empty() {
                broken.push((block, left));
            }
        }
        broken
    }

    /// Whether `block`, as it is stored or as another archive has it, lies in objects of which none
    /// is in `broken`, or in what stands in for those.
    pub(super) fn is_stored(&self, block: &StoredBlock, broken: &BTreeSet<ObjectName>) -> bool {
        let is_bad = |pack: &ObjectName| broken.contains(pack) || self.is_bad(pack);
        let mut words = std::iter::once(block).chain(self.words(block.ulid));
        words.any(|word| {
            let spoiled = word
                .objects()
                .filter(|object| broken.contains(&object.name));
            word.fingerprint == block.fingerprint
                && self
                    .stock
                    .left_of(word, spoiled.collect(), &is_bad)
                    .is_empty()
        })
    }

    /// Every object of logs that is spoiled and has nothing that stands in for it, with all that
    /// archives take of it.
    pub fn broken_logs(&self) -> Vec<LogPiece> {
        let mut broken: BTreeMap<&ObjectName, BrokenLog<'_>> = BTreeMap::new();
        for wal in self.archives.iter().filter_map(|it| it.wal.as_ref()) {
            let is_broken =
                |object: &&StoredObject| self.is_spoiled(object) && !self.is_mended(&object.name);
            let spoiled: BTreeMap<_, _> = wal
                .objects()
                .filter(is_broken)
                .map(|object| (&object.name, object))
                .collect();
            if spoiled.is_empty() {
                continue;
            }
            for piece in wal.pieces().iter() {
                if let Some((name, object)) = spoiled.get_key_value(&piece.object.name) {
                    let (_, parts) = broken
                        .entry(name)
                        .or_insert_with(|| (object, BTreeMap::new()));
                    let own = piece.parts.iter();
                    parts.extend(own.map(|part| ((part.name.clone(), part.from), part.clone())));
                }
            }
        }
        let broken = broken.into_values();
        broken
            .map(|(object, parts)| LogPiece {
                object: object.clone(),
                parts: parts.into_values().collect(),
            })
            .collect()
    }

    /// Whether an archive needs `object`.
    pub(super) fn is_named(&self, object: &ObjectName) -> bool {
        self.needs().contains_key(object) || self.named_elsewhere.contains(object)
    }

    /// Takes what `archive`, which is none of these, names as needed: it is nothing that is left of
    /// a lost one.
    pub(super) fn take_as_named(&mut self, archive: &Archive) {
        let names = archive.objects().map(|(_, object)| object.name.clone());
        self.named_elsewhere.extend(names);
    }

    /// Whether `object`, or a pack of the recipe in it, has a mark of damage.
    pub(super) fn is_marked(&self, store: &dyn Store, object: &ObjectName) -> bool {
        let is_marked = |name: &ObjectName| self.stock.damage.contains(name);
        let mut packs = recipe_packs(store, object).unwrap_or_default().into_iter();
        is_marked(object) || packs.any(|pack| is_marked(&pack))
    }

    /// All that archives say of a block.
    pub fn words(&self, ulid: Ulid) -> impl Iterator<Item = &StoredBlock> {
        let places = self.by_ulid.get(&ulid).into_iter().flatten();
        places.filter_map(|(number, at)| self.archives.get(*number)?.blocks.get(*at))
    }

    /// The newest archive that holds a block of this ULID, and what it says of it.
    pub fn newest_holding(&self, ulid: Ulid) -> Option<(&Archive, &StoredBlock)> {
        let (number, at) = self.by_ulid.get(&ulid)?.last()?;
        let archive = self.archives.get(*number)?;
        Some((archive, archive.blocks.get(*at)?))
    }

    /// As [`Catalog::newest_holding`], of those that hold it undamaged.
    pub fn newest_sound(&self, ulid: Ulid) -> Option<(&Archive, &StoredBlock)> {
        let places = self.by_ulid.get(&ulid)?.iter().rev();
        let mut held = places.filter_map(|(number, at)| {
            let archive = self.archives.get(*number)?;
            Some((archive, archive.blocks.get(*at)?))
        });
        held.find(|(_, block)| !is_damaged(block))
    }

    /// The archives of the source of `newest`, none of them later than that, newest first.
    pub fn up_to<'c>(&'c self, newest: &Archive) -> impl Iterator<Item = &'c Archive> + Clone {
        let is_of = |archive: &&Archive| {
            archive.source_name == newest.source_name && archive.time <= newest.time
        };
        self.archives.iter().rev().filter(is_of)
    }

    /// The archives that need `object`, each with the block it is for; with none for the logs.
    pub(super) fn needing(
        &self,
        object: &str,
    ) -> impl Iterator<Item = (&Archive, Option<&StoredBlock>)> {
        let name = ObjectName::new(object).ok();
        let places = name.and_then(|name| self.needs().get(&name));
        places.into_iter().flatten().filter_map(|(number, at)| {
            let archive = self.archives.get(*number)?;
            match at {
                Some(at) => Some((archive, Some(archive.blocks.get(*at)?))),
                None => Some((archive, None)),
            }
        })
    }

    /// What archives say of `object`.
    pub(super) fn descriptions(&self, object: &ObjectName) -> impl Iterator<Item = &StoredObject> {
        let needing = self.needing(object.as_str());
        let all = needing.flat_map(|(archive, block)| match block {
            Some(block) => block.objects().collect::<Vec<_>>(),
            None => archive.wal.iter().flat_map(StoredWal::objects).collect(),
        });
        let name = object.clone();
        all.filter(move |described| described.name == name)
    }

    /// The range of time of a block that some archive knows.
    pub(super) fn range_of(&self, ulid: Ulid) -> Option<(Millis, Millis)> {
        let known = self.words(ulid).next()?;
        Some((known.min_time, known.max_time))
    }
}
