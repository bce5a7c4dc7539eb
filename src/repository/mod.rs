//! What is kept and how: the on-disk format of a narthex repository.
//!
//! A [`Repository`] is a [`Store`] with a descriptor. It holds objects with [blocks](portable) and
//! one manifest for each [`Archive`]; publishing the manifest commits a backup run. What was
//! published never changes. `docs/repository-format.md` is the specification.
//!
//! This room does not know what a sample is. Everything it reads is hostile: names are checked
//! where they are parsed ([`FilePath`], [`ObjectName`]), sizes are bounded, and digests are
//! compared.
//!
//! ```
//! use std::sync::Arc;
//!
//! use narthex::repository::Repository;
//! use narthex::repository::check::{CheckDepth, check};
//! use narthex::progress::Silent;
//! use narthex::store::MemoryStore;
//!
//! let repository = Repository::open_or_init(Arc::new(MemoryStore::new()))?;
//! assert!(repository.manifest_names()?.is_empty());
//! let report = check(repository.store(), CheckDepth::Structure, &Silent)?;
//! assert_eq!(report.archives, 0);
//! # Ok::<(), narthex::Error>(())
//! ```

mod blocks;
pub mod check;
pub mod claim;
mod codec;
pub(crate) mod commit;
pub mod copies;
pub mod cover;
pub mod damage;
mod diff;
mod digest;
pub(crate) mod early;
mod entries;
#[cfg(feature = "encryption")]
pub mod keyed;
mod keyring;
mod layout;
pub mod lease;
mod left_out;
pub mod lineage;
pub mod locks;
mod logs;
mod manifest;
mod manifest_cache;
mod marks;
mod mended;
mod parts;
pub mod portable;
mod seal;
mod select;
mod stamp;
pub mod stock;
mod streams;
pub mod trash;
mod versions;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use blocks::Blocks;
pub use codec::ObjectCodec;
pub use cover::{COVERED_MANIFEST_VERSION, ManifestLink};
pub use diff::{BlockChange, Change, Diff, diff};
pub(crate) use digest::digest_of_object;
pub use digest::{Digest, Hasher};
pub use entries::{
    EncryptedForm, FindingCounts, STATISTICS_FILE, StoredBlock, StoredFile, StoredObject,
};
pub use layout::{
    ArchiveId, FilePath, Fingerprint, ManifestName, block_object, block_of_pack, is_data, original,
    pack_object, recipe_object, side_object, wal_object,
};
pub(crate) use layout::{TEMPORARY, is_own_name, is_plain_id};
pub(crate) use left_out::{ASKED_FOR, RECONSTRUCTED, UNKNOWN_SOURCE};
pub use left_out::{LeftOut, LeftOutKind};
pub use logs::{LOG_END_BYTES, LogObjects, LogPart, LogPiece, StoredWal, log_file_of, log_member};
pub use manifest::{
    Archive, ArchiveGap, Coverage, MANIFEST_VERSION, PIECES_MANIFEST_VERSION,
    PLAIN_MANIFEST_VERSION, end_of,
};
pub(crate) use manifest_cache::RememberedManifests;
pub use manifest_cache::{ManifestCache, Missed};
pub(crate) use marks::Marks;
pub use mended::{Mended, RECIPE_FILE, RECIPE_SUFFIX, mended_object, recipe_packs};
pub use parts::{PartName, Parts};
pub(crate) use select::no_manifest;
pub use select::{
    Ahead, Archives, Chosen, Damaged, Latest, Longer, Server, SourceFilter, take_ahead,
};
pub use streams::{ReadMeta, learn_streams, read_meta};

use keyring::encrypted;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Millis, Ulid, now};
use crate::store::{ObjectName, PendingObject, Store};

/// Newest version of the repository format that this program writes and reads: of encrypted
/// repositories in parts.
pub const REPOSITORY_VERSION: u32 = 4;

/// Version of encrypted repositories that are not in parts.
const ENCRYPTED_REPOSITORY_VERSION: u32 = 2;

/// Version of repositories in parts that are not encrypted.
const PARTS_REPOSITORY_VERSION: u32 = 3;

/// Version of repositories that are not encrypted.
pub const PLAIN_REPOSITORY_VERSION: u32 = 1;

/// Largest descriptor and manifest that are read, in bytes: a manifest has about 200 for each file.
const MAX_DESCRIPTOR_BYTES: u64 = 1 << 20;
const MAX_MANIFEST_BYTES: u64 = 256 << 20;

/// What `narthex.json` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// [`PLAIN_REPOSITORY_VERSION`]; 2 when it is encrypted, 3 when it is in parts, 4 when both.
    pub format_version: u32,
    /// Identity: 32 random hexadecimal digits.
    pub id: String,
    /// When it was made.
    #[serde(with = "stamp")]
    pub created: Millis,
    /// Fingerprint of the administrator's key, which signs the key documents; `None` where nothing
    /// is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<String>,
    /// Whether it is in [`Parts`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_source: bool,
}

impl Descriptor {
    fn new(admin: Option<String>, by_source: bool) -> Self {
        Descriptor {
            format_version: version_of(admin.is_some(), by_source),
            id: new_id(),
            created: now(),
            admin,
            by_source,
        }
    }

    /// Whether data is encrypted.
    pub fn is_encrypted(&self) -> bool {
        let versions = [ENCRYPTED_REPOSITORY_VERSION, REPOSITORY_VERSION];
        self.admin.is_some() || versions.contains(&self.format_version)
    }
}

fn version_of(is_encrypted: bool, by_source: bool) -> u32 {
    match (is_encrypted, by_source) {
        (false, false) => PLAIN_REPOSITORY_VERSION,
        (true, false) => ENCRYPTED_REPOSITORY_VERSION,
        (false, true) => PARTS_REPOSITORY_VERSION,
        (true, true) => REPOSITORY_VERSION,
    }
}

/// An open repository.
#[derive(Clone, Debug)]
pub struct Repository {
    /// What is in it, for those who have its keys.
    store: Arc<dyn Store>,
    #[cfg(feature = "encryption")]
    keyed: Option<Arc<keyed::KeyedStore>>,
    descriptor: Descriptor,
    trouble: Option<String>,
    part: Option<PartName>,
}

impl Repository {
    /// Makes a new repository in a store that is empty.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` when there is a repository, `Refused` when there is anything else.
    pub fn init(store: Arc<dyn Store>) -> Result<Self> {
        let descriptor = make(&*store, Descriptor::new(None, false))?;
        Ok(Repository::plain(store, descriptor, None))
    }

    fn plain(store: Arc<dyn Store>, descriptor: Descriptor, trouble: Option<String>) -> Self {
        Repository {
            store,
            #[cfg(feature = "encryption")]
            keyed: None,
            descriptor,
            trouble,
            part: None,
        }
    }

    /// Opens the repository in `store`. Writes nothing. Where the descriptor is lost, damaged or
    /// cannot be read and there are archives, the repository is opened without it:
    /// [`Repository::trouble`] says so.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is none, `Unsupported` when it is newer than this program or in
    /// [`Parts`], `Corrupt` when its descriptor is damaged and there is no archive.
    pub fn open(store: Arc<dyn Store>) -> Result<Self> {
        Parts::open(store)?.whole()
    }

    /// What is wrong with the descriptor, if the repository had to be opened without it. What the
    /// descriptor says is then from elsewhere: from one that stands in for it, or from the
    /// archives; its id is empty where nothing tells it.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Writes the descriptor anew, if it is lost; or one that stands in for it, if it is damaged.
    /// Gives the name of what was written; nothing is overwritten. Where nothing in the
    /// repository tells its id, it is `likely`, or else a new one.
    ///
    /// # Errors
    ///
    /// `Refused`, where it is in [`Parts`] and nothing tells its id, which their names are made of;
    /// when the store fails.
    pub fn mend_descriptor(&mut self, likely: Option<&str>) -> Result<Option<ObjectName>> {
        if self.trouble.is_none() || has_mended_descriptor(self.store())? {
            return Ok(None);
        }
        let mut descriptor = self.descriptor.clone();
        if descriptor.id.is_empty() {
            if descriptor.by_source && likely.is_none() {
                return Err(Error::refused(format!(
                    "no archive in {} can be read that says which repository it is, and without that no part is found",
                    self.store().describe()
                ))
                .advise("bring narthex.json back from a copy"));
            }
            descriptor.id = likely.map_or_else(new_id, str::to_owned);
        }
        let mut name = descriptor_name()?;
        let content = seal::to_bytes(&descriptor)?;
        match self.store.put(&name, &content) {
            Err(taken) if taken.kind() == ErrorKind::AlreadyExists => {
                name = mended_object(self.store(), &name)?;
                self.store.put(&name, &content)?;
            }
            put => put?,
        }
        self.descriptor = descriptor;
        Ok(Some(name))
    }

    /// Opens the repository in `store`, or makes one when the store is empty.
    ///
    /// # Errors
    ///
    /// As [`Parts::open_or_init`]; `Unsupported` where it is in parts.
    pub fn open_or_init(store: Arc<dyn Store>) -> Result<Self> {
        Parts::open_or_init(store)?.whole()
    }

    /// Where its objects are.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// What its descriptor says.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// What files of this machine about it are called.
    pub fn local_id(&self) -> String {
        let part = self.part.as_ref().map_or("", PartName::as_str);
        format!("{}{part}", self.descriptor.id)
    }

    /// The version that its manifests have, where something stands in for a damaged object or not,
    /// and of an archive with the logs `wal`.
    pub fn manifest_version(&self, has_mended: bool, wal: Option<&StoredWal>) -> u32 {
        let in_pieces = |wal: &StoredWal| matches!(wal.held, LogObjects::Pieces(_));
        if self.is_encrypted() {
            COVERED_MANIFEST_VERSION
        } else if wal.is_some_and(in_pieces) {
            PIECES_MANIFEST_VERSION
        } else if has_mended {
            MANIFEST_VERSION
        } else {
            PLAIN_MANIFEST_VERSION
        }
    }

    /// Publishes the manifest of `archive`: the commit point of a backup run. Every object it names
    /// must have been published before. Beside a prune that is not enough: see [`claim`].
    pub fn commit(&self, archive: &Archive) -> Result<ObjectName> {
        self.stage(archive)?.publish()?;
        archive.manifest_name()?.object()
    }

    /// Writes the manifest of `archive`; publishing it is [`Repository::commit`].
    pub fn stage(&self, archive: &Archive) -> Result<Box<dyn PendingObject>> {
        self.refuse_misplaced(archive)?;
        let name = archive.manifest_name()?.object()?;
        self.store.stage(&name, &archive.to_bytes()?)
    }

    /// What lies where blocks, packs, logs and replacements are kept, and its size, whether an
    /// archive names it or not.
    pub fn data_objects(&self) -> Result<Vec<(ObjectName, u64)>> {
        self.store.list_many(&layout::DATA)
    }

    /// Names and sizes of all that a backup, a repair or a restore goes by: manifests, data, marks
    /// of damage, and what a prune is deleting.
    pub(crate) fn look(&self) -> Result<Vec<(ObjectName, u64)>> {
        // Manifests first: what they name was there before them.
        let mut all = vec![layout::ARCHIVES];
        all.extend(layout::DATA);
        all.extend([layout::DAMAGE, layout::TRASH]);
        self.store.list_many(&all)
    }

    /// Which blocks are stored, in the portable codec, and the size of the object that holds each.
    /// One listing, nothing is read: an object may be stored without belonging to any archive,
    /// when the run that wrote it died.
    pub fn stored_blocks(&self) -> Result<BTreeMap<(Ulid, Fingerprint), u64>> {
        let objects = self.store.list(layout::BLOCKS)?;
        let blocks = objects
            .iter()
            .filter_map(|(name, bytes)| Some((layout::parse_block_object(name)?, *bytes)));
        Ok(blocks.collect())
    }
}

/// Says to `store` that the objects of `blocks` will be read soon, those of the largest first, as
/// [`portable::spread`] does.
pub(crate) fn expect_blocks(store: &dyn Store, blocks: &[&StoredBlock]) {
    let mut blocks = blocks.to_vec();
    blocks.sort_by_cached_key(|block| std::cmp::Reverse(block.bytes()));
    let objects = blocks.into_iter().flat_map(StoredBlock::objects);
    let objects: Vec<_> = objects.map(StoredObject::listed).collect();
    store.expect(&objects);
}

/// The descriptor of the repository in `store`, and what is wrong where it stands in for a lost or
/// damaged one.
pub(crate) fn find(store: &dyn Store) -> Result<(Descriptor, Option<String>)> {
    let found = find_current(store);
    // The answer says whether there are older versions.
    if versions::settle_descriptor(store)? {
        return find_current(store);
    }
    found
}

fn find_current(store: &dyn Store) -> Result<(Descriptor, Option<String>)> {
    let mut read = try_descriptor(store);
    if let Err(missing) = &read
        && missing.kind() == ErrorKind::NotFound
    {
        let (is_vacant, explained) = no_descriptor(store)?;
        // Nothing stands in for it where there is nothing.
        if is_vacant {
            return Err(explained);
        }
        // Another run may have made it between the two looks.
        read = match try_descriptor(store) {
            Err(missing) if missing.kind() == ErrorKind::NotFound => Err(explained),
            read => read,
        };
    }
    let error = match read {
        Ok(descriptor) => return Ok((descriptor, None)),
        Err(error) => error,
    };
    let may_stand_in = [ErrorKind::NotFound, ErrorKind::Corrupt, ErrorKind::Io];
    if !may_stand_in.contains(&error.kind()) {
        return Err(error);
    }
    // Where the whole store fails, the first failure says so.
    match find_descriptor(store) {
        Ok(Some(found)) => Ok((found, Some(error.chain()))),
        _ => Err(error),
    }
}

/// Publishes the descriptor of a new repository in a store that is empty.
fn make(store: &dyn Store, descriptor: Descriptor) -> Result<Descriptor> {
    if !store.is_vacant()? {
        return Err(match read_descriptor(store) {
            Err(e) if e.kind() == ErrorKind::NotFound => Error::refused(format!(
                "expected an empty directory for a new repository, found other files in {}",
                store.describe()
            )),
            _ => already_initialised(store),
        });
    }
    match store.put(&descriptor_name()?, &seal::to_bytes(&descriptor)?) {
        Ok(()) => Ok(descriptor),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Err(already_initialised(store)),
        Err(e) => Err(e),
    }
}

fn descriptor_name() -> Result<ObjectName> {
    ObjectName::new(layout::DESCRIPTOR)
}

fn new_id() -> String {
    format!("{}{}", ArchiveId::random(), ArchiveId::random())
}

/// Most manifests that are asked for the id of their repository: of all, and of one part.
const MAX_ASKED: usize = 1_000;
const MAX_ASKED_OF_PART: usize = 3;

/// What the descriptor said, from what stands in for it, or from manifests; `None` when there is
/// neither.
fn find_descriptor(store: &dyn Store) -> Result<Option<Descriptor>> {
    for (name, _) in Mended::list(store)?.of_object(&descriptor_name()?) {
        if let Ok(found) = read_sealed(store, name) {
            return Ok(Some(found));
        }
    }
    let is_manifest = |(name, _): &(ObjectName, u64)| ManifestName::parse(name).is_some();
    let mut listed = store.list(layout::ARCHIVES)?;
    listed.retain(is_manifest);
    let parts = if listed.is_empty() {
        parts::found_in(store)?
    } else {
        Vec::new()
    };
    let by_source = !parts.is_empty();
    if listed.is_empty() && !by_source {
        return Ok(None);
    }
    let names = listed.into_iter().rev().map(|(name, _)| (None, name));
    let mut names: Vec<_> = names.take(MAX_ASKED).collect();
    for (part, archives) in parts {
        let left = MAX_ASKED.saturating_sub(names.len()).min(MAX_ASKED_OF_PART);
        let newest = archives.into_iter().rev().take(left);
        names.extend(newest.map(|name| (Some(part.clone()), name)));
    }
    let told = names.into_iter().find_map(|(part, name)| {
        let bytes = store.get(&name, MAX_MANIFEST_BYTES).ok()?;
        if let Ok(Some(cover)) = cover::Cover::read(&bytes) {
            return Some((cover.repository, cover.time, true));
        }
        let archive = Archive::from_bytes(&bytes).ok()?;
        let id = archive.repository.filter(|id| !id.is_empty())?;
        // Whoever puts an archive somewhere else does not say what all the others belong to.
        let is_own = part.is_none_or(|part| part == PartName::of(&id, &archive.source_name));
        is_own.then_some((id, archive.time, false))
    });
    let (id, created, is_encrypted) = told.unwrap_or_default();
    Ok(Some(Descriptor {
        format_version: version_of(is_encrypted, by_source),
        id,
        created,
        admin: None,
        by_source,
    }))
}

/// Whether something sound stands in for the descriptor.
pub(crate) fn has_mended_descriptor(store: &dyn Store) -> Result<bool> {
    let mended = Mended::list(store)?;
    let mut names = mended.of_object(&descriptor_name()?).iter();
    Ok(names.any(|(name, _)| read_sealed(store, name).is_ok()))
}

fn read_sealed(store: &dyn Store, name: &ObjectName) -> Result<Descriptor> {
    seal::from_bytes(&store.get(name, MAX_DESCRIPTOR_BYTES)?, REPOSITORY_VERSION)
}

fn already_initialised(store: &dyn Store) -> Error {
    Error::new(
        ErrorKind::AlreadyExists,
        format!("{} is a repository already", store.describe()),
    )
}

fn read_descriptor(store: &dyn Store) -> Result<Descriptor> {
    match try_descriptor(store) {
        Err(missing) if missing.kind() == ErrorKind::NotFound => Err(no_descriptor(store)?.1),
        read => read,
    }
}

/// Whether no descriptor is in `store`, which answers.
#[cfg(feature = "cli")]
pub(crate) fn is_without_descriptor(store: &dyn Store) -> bool {
    try_descriptor(store).is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// Whether there is nothing at all in `store`, in which no descriptor was found; and the error
/// that says so.
fn no_descriptor(store: &dyn Store) -> Result<(bool, Error)> {
    let place = store.describe();
    let is_vacant = store.is_vacant().map_err(|error| {
        error.context(format!(
            "cannot tell whether there is a repository in {place}"
        ))
    })?;
    let doubt = if store.is_far() {
        "is the address right, and the endpoint?"
    } else {
        "is the path right, and its disk mounted?"
    };
    let message = if is_vacant {
        format!("there is no repository in {place}: {doubt} narthex init makes a new one")
    } else {
        format!(
            "{place} is not empty and is no repository, for it has no {}: {doubt}",
            layout::DESCRIPTOR
        )
    };
    Ok((is_vacant, Error::not_found(message)))
}

fn try_descriptor(store: &dyn Store) -> Result<Descriptor> {
    let name = descriptor_name()?;
    let bytes = store.get(&name, MAX_DESCRIPTOR_BYTES)?;
    seal::from_bytes(&bytes, REPOSITORY_VERSION)
        .map_err(|e| e.context(format!("{name} of the repository in {}", store.describe())))
}
