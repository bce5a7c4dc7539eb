//! Where content is found when the object that a manifest names does not give it.
//!
//! Nothing here is asked for, or read, before something turns out to be damaged, except one listing
//! of the marks of damage. Each object is read through once by each thread that asks at the same
//! time, to compute its digest, however many others might be looked for in it.

mod redirect;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

pub use redirect::Redirected;

use super::damage::Damage;
use super::digest::{Digest, digest_of_object};
use super::layout::DATA;
use super::lineage::atoms;
use super::{
    Archive, Archives, Mended, Repository, StoredBlock, StoredObject, learn_streams, read_meta,
    versions,
};
use crate::error::{Error, Result};
use crate::model::Ulid;
use crate::store::{ObjectName, Store};

/// Most replacements of one object that are tried.
const MAX_MENDED: usize = 4;

/// Most lengths for which the digest of one object is computed.
const MAX_LENGTHS: usize = 3;

/// Most blocks of one ULID that are tried.
const MAX_VARIANTS: usize = 64;

/// Most blocks that are known to hold one atom.
const MAX_HOLDERS: usize = 256;

/// All that a repository holds, for whoever finds something of it damaged.
#[derive(Debug)]
pub struct Copies {
    repository: Repository,
    damage: Damage,
    archives: OnceLock<ByUlid>,
    /// Of each atom the places of blocks that hold it, the latest first.
    holders: OnceLock<HashMap<Ulid, Vec<(usize, usize)>>>,
    packs: OnceLock<BTreeMap<ObjectName, StoredObject>>,
    listed: OnceLock<Listed>,
    digests: Mutex<BTreeMap<ObjectName, Digests>>,
    /// Objects of which an older version is read, with the bytes each takes there.
    older: Mutex<BTreeMap<ObjectName, u64>>,
}

/// All archives, and where each block is in them.
#[derive(Debug, Default)]
struct ByUlid {
    archives: Archives,
    /// Why they could not be listed.
    failed: Option<Error>,
    /// Positions of archives, and of blocks in them; the latest first.
    blocks: BTreeMap<Ulid, Vec<(usize, usize)>>,
}

/// What lies in the store.
#[derive(Debug, Default)]
struct Listed {
    by_bytes: BTreeMap<u64, Vec<ObjectName>>,
    bytes: BTreeMap<ObjectName, u64>,
    mended: Mended,
    /// What could not be listed, and why.
    failed: Vec<(&'static str, Error)>,
}

/// Digests of the first so many bytes of an object; `None` for what cannot be read.
type Digests = Vec<(u64, Option<Digest>)>;

/// Where the content of an object may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The object that is read.
    pub name: ObjectName,
    /// How many of its bytes, from the first on.
    pub bytes: u64,
    /// Why it is believed to hold the content.
    pub trust: Trust,
}

/// Why a [`Place`] is believed to hold the content of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It is the object, and its bytes are those that the manifest says.
    Sound,
    /// The object's first bytes are those that the manifest says; others follow them.
    TooLong,
    /// An older version of it is, which the store has kept.
    Older,
    /// Another object has these bytes.
    Elsewhere,
    /// It was written to replace the object. Whatever comes out of it must be proved.
    Mended,
    /// It is the object, and damaged: parts of it may be sound. Whatever comes out of it must be
    /// proved.
    Damaged,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.trust {
            Trust::TooLong => write!(f, "the first {} bytes of {}", self.bytes, self.name),
            Trust::Older => write!(f, "an older version of {}", self.name),
            Trust::Damaged => write!(f, "what is sound of {}", self.name),
            Trust::Sound | Trust::Elsewhere | Trust::Mended => write!(f, "{}", self.name),
        }
    }
}

impl Copies {
    /// Lists the marks of damage of `repository`, and nothing else.
    ///
    /// # Errors
    ///
    /// When they cannot be listed.
    pub fn new(repository: &Repository) -> Result<Self> {
        Ok(Copies {
            damage: Damage::list(repository.store())?,
            repository: repository.clone(),
            archives: OnceLock::new(),
            holders: OnceLock::new(),
            packs: OnceLock::new(),
            listed: OnceLock::new(),
            digests: Mutex::default(),
            older: Mutex::default(),
        })
    }

    /// Where the objects are.
    pub fn store(&self) -> &dyn Store {
        self.repository.store()
    }

    /// Whether somebody found `object` damaged.
    pub fn is_marked(&self, object: &ObjectName) -> bool {
        self.damage.contains(object)
    }

    /// Whether an object that `block` needs has a mark of damage.
    pub fn distrusts(&self, block: &StoredBlock) -> bool {
        !self.damage.is_empty() && block.objects().any(|object| self.is_marked(&object.name))
    }

    /// All archives that can be read, oldest first; none when they cannot be listed.
    pub fn archives(&self) -> &[Archive] {
        &self.by_ulid().archives.archives
    }

    /// The names of the sources of which archives have the block `ulid`.
    pub fn sources_of(&self, ulid: Ulid) -> BTreeSet<&str> {
        let known = self.by_ulid();
        let places = known.blocks.get(&ulid).into_iter().flatten();
        let archives = places.filter_map(|(archive, _)| known.archives.archives.get(*archive));
        archives.map(|archive| &*archive.source_name).collect()
    }

    /// Blocks of which the manifests say that they hold `atom`, each way they are stored once, the
    /// latest first. At most 256.
    pub fn holders(&self, atom: Ulid) -> Vec<&StoredBlock> {
        let archives = self.archives();
        let holders = self.holders.get_or_init(|| {
            let mut seen = HashSet::new();
            let mut holders: HashMap<Ulid, Vec<(usize, usize)>> = HashMap::new();
            for (number, archive) in archives.iter().enumerate().rev() {
                for (at, block) in archive.blocks.iter().enumerate() {
                    let packs: Vec<_> = block.packs.iter().map(|pack| &pack.name).collect();
                    if !seen.insert((block.ulid, &block.object.name, packs)) {
                        continue;
                    }
                    for atom in atoms(block) {
                        let holders = holders.entry(atom).or_default();
                        if holders.len() < MAX_HOLDERS {
                            holders.push((number, at));
                        }
                    }
                }
            }
            holders
        });
        let places = holders.get(&atom).into_iter().flatten();
        let block = |(archive, block): &(usize, usize)| archives.get(*archive)?.blocks.get(*block);
        places.filter_map(block).collect()
    }

    /// What the latest archive that knows the pack `name` says of it.
    pub fn pack(&self, name: &ObjectName) -> Option<&StoredObject> {
        let packs = self.packs.get_or_init(|| {
            let blocks = self.archives().iter().flat_map(|archive| &archive.blocks);
            let packs = blocks.flat_map(|block| &block.packs);
            packs
                .map(|pack| (pack.name.clone(), pack.clone()))
                .collect()
        });
        packs.get(name)
    }

    fn by_ulid(&self) -> &ByUlid {
        self.archives.get_or_init(|| {
            let (mut archives, failed) = match self.repository.archives() {
                Ok(archives) => (archives, None),
                Err(error) => (Archives::default(), Some(error)),
            };
            // Which samples of their sources blocks hold, manifests of earlier versions do not say.
            // What cannot be read stays unknown.
            let all = archives.archives.iter().flat_map(|archive| &archive.blocks);
            let unknown = all.filter(|block| block.resolution.is_none());
            let unknown = unknown.map(|block| block.ulid).collect();
            let read = |block: &StoredBlock| read_meta(self.store(), block);
            learn_streams(&read, &mut archives.archives, &unknown);
            let mut blocks: BTreeMap<Ulid, Vec<_>> = BTreeMap::new();
            for (number, archive) in archives.archives.iter().enumerate().rev() {
                for (at, block) in archive.blocks.iter().enumerate() {
                    blocks.entry(block.ulid).or_default().push((number, at));
                }
            }
            ByUlid {
                archives,
                failed,
                blocks,
            }
        })
    }

    /// What could not be looked through so far, and may hold what was looked for: places that
    /// cannot be listed, archives that cannot be read.
    pub fn unsearched(&self) -> Option<String> {
        let places = self.listed.get().map_or(&[][..], |listed| &listed.failed);
        let place = places.iter().map(|(_, error)| error).next();
        let archives = || {
            let known = self.archives.get()?;
            let unread = known.archives.damaged.iter().map(|damaged| &damaged.error);
            known.failed.iter().chain(unread).next()
        };
        let found = place.or_else(archives)?;
        Some(format!(
            "not all of the repository could be searched: {}",
            found.chain()
        ))
    }

    /// What archives say of the block `ulid`, each way it is stored once: those without a mark of
    /// damage first, then the latest first. At most 64.
    pub fn variants(&self, ulid: Ulid) -> Vec<&StoredBlock> {
        let mut variants: Vec<&StoredBlock> = Vec::new();
        let known = self.by_ulid();
        let places = known.blocks.get(&ulid).into_iter().flatten();
        let archives = &known.archives.archives;
        let block = |(archive, block): &(usize, usize)| archives.get(*archive)?.blocks.get(*block);
        for block in places.filter_map(block) {
            let is_new = |known: &&StoredBlock| !is_stored_alike(known, block);
            if variants.len() == MAX_VARIANTS {
                break;
            }
            if variants.iter().all(is_new) {
                variants.push(block);
            }
        }
        variants.sort_by_key(|block| self.distrusts(block));
        variants
    }

    /// Whether `object` is what its manifest says, to the last byte, and has no mark of damage.
    /// Reads it.
    pub fn is_sound(&self, object: &StoredObject) -> bool {
        !self.is_marked(&object.name) && self.is_copy(&object.name, object)
    }

    /// Whether the object `name` has the bytes that `object` should have. Reads it.
    pub fn is_copy(&self, name: &ObjectName, object: &StoredObject) -> bool {
        self.bytes(name).ok() == Some(object.bytes)
            && self.digest(name, object.bytes) == Some(object.sha256)
    }

    /// Where the content of `object` may be read, most trusted first. Reads the object, and others
    /// of its size.
    pub fn places(&self, object: &StoredObject) -> Vec<Place> {
        let listed = self.listed();
        let mut places = Vec::new();
        let own = self.listed_bytes(&object.name).ok();
        let place = |name: &ObjectName, bytes, trust| Place {
            name: name.clone(),
            bytes,
            trust,
        };
        let is = |name: &ObjectName| self.digest(name, object.bytes) == Some(object.sha256);
        let mut is_whole = false;
        if let Some(own) = own.filter(|own| *own >= object.listed_bytes()) {
            is_whole = is(&object.name);
            if is_whole {
                let trust = if own == object.listed_bytes() {
                    Trust::Sound
                } else {
                    Trust::TooLong
                };
                places.push(place(&object.name, object.bytes, trust));
            }
        }
        if !is_whole && self.read_older(object) {
            is_whole = true;
            places.push(place(&object.name, object.bytes, Trust::Older));
        }
        if !is_whole {
            let same_size = listed.by_bytes.get(&object.listed_bytes());
            let same_size = same_size.into_iter().flatten();
            let mut others = same_size.filter(|name| **name != object.name);
            if let Some(other) = others.find(|name| is(name)) {
                places.push(place(other, object.bytes, Trust::Elsewhere));
            }
        }
        let mut mended: Vec<_> = listed.mended.of_object(&object.name).iter().collect();
        mended.sort_by_key(|(name, _)| self.is_marked(name));
        let mended = mended.into_iter().take(MAX_MENDED);
        let plain = |name: &ObjectName, listed| self.store().size_of_listed(name, listed).ok();
        let mended = mended.filter_map(|(name, listed)| Some((name, plain(name, *listed)?)));
        places.extend(mended.map(|(name, bytes)| place(name, bytes, Trust::Mended)));
        let own = own.filter(|_| !is_whole);
        if let Some(own) = own.and_then(|own| plain(&object.name, own)) {
            places.push(place(&object.name, own, Trust::Damaged));
        }
        places
    }

    /// Reads from now on that older version of `object` which is what the manifest says, if the
    /// store has one. What it cannot say is the same as none.
    fn read_older(&self, object: &StoredObject) -> bool {
        let older = || self.older.lock().unwrap_or_else(PoisonError::into_inner);
        if older().contains_key(&object.name) {
            return false;
        }
        let stored = self.repository.stored();
        let (bytes, sha256) = object.stored_form();
        let found = versions::read_right(stored, &object.name, bytes, sha256);
        let is_found = found.unwrap_or(false);
        if is_found {
            older().insert(object.name.clone(), bytes);
            let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
            digests.insert(
                object.name.clone(),
                vec![(object.bytes, Some(object.sha256))],
            );
        }
        is_found
    }

    /// How many bytes the object `name` has. One that lies where nothing can be listed is asked for
    /// by its name.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is none.
    pub fn bytes(&self, name: &ObjectName) -> Result<u64> {
        let listed = self.listed_bytes(name)?;
        self.store().size_of_listed(name, listed)
    }

    /// How many bytes the object `name` takes in the store.
    pub(crate) fn listed_bytes(&self, name: &ObjectName) -> Result<u64> {
        let older = self.older.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = older.get(name) {
            return Ok(*bytes);
        }
        drop(older);
        let listed = self.listed();
        if let Some(bytes) = listed.bytes.get(name) {
            return Ok(*bytes);
        }
        let mut failed = listed.failed.iter();
        if failed.any(|(prefix, _)| name.as_str().starts_with(prefix)) {
            return self.store().stored_size(name);
        }
        Err(Error::not_found(format!("object {name} does not exist")))
    }

    fn listed(&self) -> &Listed {
        self.listed.get_or_init(|| {
            let mut listed = Listed::default();
            let mut objects = Vec::new();
            for prefix in DATA {
                match self.store().list(prefix) {
                    Ok(mut found) => objects.append(&mut found),
                    Err(error) => listed.failed.push((prefix, error)),
                }
            }
            listed.mended = Mended::of(objects.iter().cloned());
            for (name, bytes) in objects {
                listed.by_bytes.entry(bytes).or_default().push(name.clone());
                listed.bytes.insert(name, bytes);
            }
            listed
        })
    }

    /// The digest of the first `bytes` bytes of an object; `None` when they cannot be read.
    fn digest(&self, name: &ObjectName, bytes: u64) -> Option<Digest> {
        let lock = || self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(name) {
            if let Some((_, digest)) = known.iter().find(|(of, _)| *of == bytes) {
                return *digest;
            }
            // Manifests may claim any number of lengths for one object, and none is worth reading
            // it once more.
            if known.len() >= MAX_LENGTHS {
                return None;
            }
        }
        let digest = digest_of_object(self.store(), name, bytes, |_| ()).ok();
        let mut known = lock();
        let known = known.entry(name.clone()).or_default();
        // Another thread may have read it meanwhile.
        if known.iter().all(|(of, _)| *of != bytes) {
            known.push((bytes, digest));
        }
        digest
    }
}

/// Whether two archives mean the same objects and files by these.
pub fn is_stored_alike(one: &StoredBlock, other: &StoredBlock) -> bool {
    one.ulid == other.ulid
        && one.object == other.object
        && one.sidecar == other.sidecar
        && one.packs == other.packs
        && one.files == other.files
}
