//! What lies in the repository copied to, and how far it counts.

use std::collections::{BTreeMap, BTreeSet};

use super::same::is_same_bytes;
use crate::error::Result;
use crate::model::Ulid;
use crate::repository::stock::Stock;
use crate::repository::{
    Archive, ArchiveId, Archives, Damaged, EncryptedForm, ManifestCache, ManifestName, ObjectCodec,
    Repository, StoredBlock, StoredObject, StoredWal,
};
use crate::store::ObjectName;
use crate::stored::write::Holdings;

/// What is known of an object before anything of it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// An archive there names it with this digest, and nothing speaks against it.
    There,
    /// Something of its name and size is there, and no archive says what: a run died.
    Unproven,
    /// Nothing has its name.
    Free,
    /// Its name is taken: by something damaged, by other bytes, by what is being deleted, or by
    /// what archives there say of an encrypted object that is gone.
    Taken,
}

/// All that lies there, by one look; nothing where there is no repository yet.
#[derive(Default)]
pub(super) struct Shelf {
    pub(super) stock: Stock,
    pub(super) archives: Vec<Archive>,
    /// Manifests that cannot be read.
    pub(super) damaged: Vec<Damaged>,
    /// Manifests that are there, and were not read: this machine cannot.
    closed: BTreeSet<ObjectName>,
    by_id: BTreeMap<ArchiveId, usize>,
    /// What the archives say of each object.
    told: BTreeMap<ObjectName, Vec<StoredObject>>,
}

impl Shelf {
    /// Looks at `repository`.
    ///
    /// # Errors
    ///
    /// When the store cannot list its objects.
    pub(super) fn look(repository: &Repository, cache: &ManifestCache) -> Result<Self> {
        let seen = repository.look()?;
        let Archives { archives, damaged } = cache.load().archives(repository, &seen)?;
        let mut told: BTreeMap<ObjectName, Vec<StoredObject>> = BTreeMap::new();
        for (_, object) in archives.iter().flat_map(Archive::objects) {
            let words = told.entry(object.name.clone()).or_default();
            if !words.contains(object) {
                words.push(object.clone());
            }
        }
        let mut closed: BTreeSet<_> = seen.iter().map(|(name, _)| name.clone()).collect();
        closed.retain(|name| !repository.can_read() && ManifestName::parse(name).is_some());
        for name in damaged.iter().map(|damaged| &damaged.name) {
            closed.remove(name);
        }
        for archive in &archives {
            closed.remove(&archive.manifest_name()?.object()?);
        }
        let ids = archives.iter().enumerate();
        Ok(Shelf {
            closed,
            by_id: ids.map(|(at, archive)| (archive.id.clone(), at)).collect(),
            stock: Stock::of(repository, &seen),
            archives,
            damaged,
            told,
        })
    }

    /// The archive of this id.
    pub(super) fn archive(&self, id: &ArchiveId) -> Option<&Archive> {
        self.archives.get(*self.by_id.get(id)?)
    }

    /// Whether the manifest `name` is there, and this machine cannot read it.
    pub(super) fn is_closed(&self, name: &ObjectName) -> bool {
        self.closed.contains(name)
    }

    /// What is known of `object`.
    pub(super) fn know(&self, object: &StoredObject) -> Known {
        let name = &object.name;
        if self.stock.trash.is_condemned(name) {
            return Known::Taken;
        }
        if !self.stock.listed.contains_key(name) {
            // Encrypted anew it will not be what archives here say that it is.
            let mut words = self.told.get(name).into_iter().flatten();
            let was_encrypted = words.any(|word| word.encrypted.is_some());
            return if was_encrypted {
                Known::Taken
            } else {
                Known::Free
            };
        }
        // How it is stored here only the archives here know.
        match self.told.get(name) {
            None if self.stock.damage.contains(name) => Known::Taken,
            None => Known::Unproven,
            Some(words) => {
                let mut same = words.iter().filter(|word| is_same_bytes(word, object));
                if same.any(|word| !self.stock.is_spoiled(word)) {
                    Known::There
                } else {
                    Known::Taken
                }
            }
        }
    }

    /// Whether an archive there names `object`.
    pub(super) fn is_told(&self, object: &ObjectName) -> bool {
        self.told.contains_key(object)
    }

    /// Whether an archive there says of `object` just this, the form in which it lies included.
    pub(super) fn describes(&self, object: &StoredObject) -> bool {
        let words = self.told.get(&object.name);
        words.is_some_and(|words| words.contains(object))
    }

    /// The form in which `object` is stored here, as archives say.
    pub(super) fn form_of(&self, object: &StoredObject) -> Option<EncryptedForm> {
        let words = self.told.get(&object.name)?;
        let mut same = words.iter().filter(|word| is_same_bytes(word, object));
        same.find(|word| !self.stock.is_spoiled(word))?.encrypted
    }

    /// Replacements of `object` that may have its bytes, with nothing that speaks against them, and
    /// how many bytes each takes.
    pub(super) fn replacements(&self, object: &StoredObject) -> Vec<(&ObjectName, u64)> {
        let mended = self.stock.mended.of_object(&object.name).iter();
        let is_usable = |name: &ObjectName| {
            !self.stock.damage.contains(name) && !self.stock.trash.is_condemned(name)
        };
        mended
            .filter(|(name, _)| is_usable(name))
            .map(|(name, listed)| (name, *listed))
            .collect()
    }

    /// What of an archive that is there cannot be relied on, and has nothing that stands in for it;
    /// each object once.
    pub(super) fn lacks<'a>(&self, archive: &'a Archive) -> Vec<&'a StoredObject> {
        let is_bad = |name: &ObjectName| {
            let words = self.told.get(name);
            words.is_some_and(|words| words.iter().any(|word| self.stock.is_spoiled(word)))
        };
        let blocks = archive.blocks.iter();
        let of_blocks = blocks.flat_map(|block: &StoredBlock| self.stock.broken_of(block, &is_bad));
        let logs = archive.wal.iter().flat_map(StoredWal::objects);
        let of_logs = logs.filter(|object| {
            self.stock.is_spoiled(object) && !self.stock.is_mended(&object.name, &is_bad)
        });
        let mut seen = BTreeSet::new();
        of_blocks
            .chain(of_logs)
            .filter(|object| seen.insert(&object.name))
            .collect()
    }
}

impl Holdings for Shelf {
    fn has_object(&self, name: &ObjectName) -> bool {
        self.stock.listed.contains_key(name)
    }

    fn is_condemned(&self, name: &ObjectName) -> bool {
        self.stock.trash.is_condemned(name)
    }

    fn is_spoiled(&self, object: &ObjectName) -> bool {
        let words = self.told.get(object);
        let mut words = words.into_iter().flatten();
        self.stock.damage.contains(object) || words.any(|word| self.stock.is_spoiled(word))
    }

    fn pack(&self, name: &ObjectName) -> Option<&StoredObject> {
        let words = self.told.get(name)?.iter();
        let mut packs = words.filter(|word| word.codec == ObjectCodec::Pack);
        packs.find(|pack| !self.stock.is_spoiled(pack))
    }

    fn packable_bytes(&self, ulid: Ulid) -> Option<u64> {
        let blocks = self
            .archives
            .iter()
            .rev()
            .flat_map(|archive| &archive.blocks);
        let mut blocks = blocks.filter(|block| block.ulid == ulid);
        blocks.next().map(StoredBlock::packable_bytes)
    }
}
