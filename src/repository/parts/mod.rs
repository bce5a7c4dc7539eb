//! Repositories in parts: one for each source, below a prefix of its own.
//!
//! A repository that hundreds of servers share is kept in parts: what each source has archived
//! lies below `sources/<part>/`, as a whole repository does, with archives, objects, claims and
//! marks of its own. Descriptor and lists of keys are those of all. So a backup lists and reads
//! what is its own, however many others there are, and no server waits for another one's prune.
//! Nothing is shared between parts: two servers hold no block of the same ULID.
//!
//! [`Parts`] is what lies at an address, in parts or not; a [`Repository`] is one of the parts, or
//! all of it.
//!
//! ```
//! use std::sync::Arc;
//!
//! use narthex::repository::Parts;
//! use narthex::store::MemoryStore;
//!
//! let parts = Parts::init_by_source(Arc::new(MemoryStore::new()))?;
//! let own = parts.of_source("prometheus-0")?;
//! assert!(own.manifest_names()?.is_empty());
//! # Ok::<(), narthex::Error>(())
//! ```

mod choose;

use std::fmt;
use std::sync::Arc;

use super::layout::{ARCHIVES, DESCRIPTOR, SOURCES};
use super::select::read_manifest;
use super::{Archive, Descriptor, ManifestName, Repository, UNKNOWN_SOURCE, find, make, versions};
use crate::error::{Error, ErrorKind, Result};
use crate::repository::digest::{Digest, is_hex};
use crate::store::{ObjectName, ScopedStore, Store};

/// How names begin that mean the same in all parts: of the descriptor and of the lists of keys.
const SHARED: &[&str] = &[DESCRIPTOR, "keys/"];

/// Hexadecimal digits of a [`PartName`].
const PART_DIGITS: usize = 16;

/// Which part it is: 16 hexadecimal digits, which say nothing of the source to whoever does not
/// know its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartName(String);

impl PartName {
    /// The part of the source `source_name` in the repository with this `id`: the first 16 digits
    /// of the SHA-256 digest of `narthex part`, the id and the name, with a newline between them.
    pub fn of(id: &str, source_name: &str) -> Self {
        let digest = Digest::of(format!("narthex part\n{id}\n{source_name}").as_bytes());
        let mut text = digest.to_string();
        text.truncate(PART_DIGITS);
        PartName(text)
    }

    /// Reads the name of a directory; `None` when it is that of no part.
    pub(super) fn parse(dir: &str) -> Option<Self> {
        is_hex(dir, PART_DIGITS).then(|| PartName(dir.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether archives of `source_name` belong into this part of the repository `id`. Of those
    /// that are made of what was left it is not always known whose they are.
    pub(super) fn takes(&self, id: &str, source_name: &str) -> bool {
        self.is_unknown(source_name) || PartName::of(id, source_name) == *self
    }

    /// What the source of this part is called in archives that are made of what was left, where it
    /// is not known: `reconstructed-` and the part.
    pub(crate) fn unknown_source(&self) -> String {
        format!("{UNKNOWN_SOURCE}-{self}")
    }

    /// The part whose [`unknown_source`](Self::unknown_source) is `source_name`.
    fn of_unknown(source_name: &str) -> Option<Self> {
        let part = source_name
            .strip_prefix(UNKNOWN_SOURCE)?
            .strip_prefix('-')?;
        PartName::parse(part)
    }

    /// Whether `source_name` says nothing of the source of this part.
    fn is_unknown(&self, source_name: &str) -> bool {
        source_name == UNKNOWN_SOURCE || source_name == self.unknown_source()
    }

    /// Refuses an archive that does not belong into this part of the repository `id`.
    ///
    /// # Errors
    ///
    /// `Refused`.
    pub(super) fn refuse_misplaced(&self, id: &str, archive: &Archive) -> Result<()> {
        if self.takes(id, &archive.source_name) {
            return Ok(());
        }
        Err(Error::refused(format!(
            "archive {} of source {:?} lies among those of another one, in {SOURCES}{self}: it belongs into {SOURCES}{}, so somebody has put it there, or has renamed the directory",
            archive.id.short(),
            archive.source_name,
            PartName::of(id, &archive.source_name)
        )))
    }

    /// Where it lies in the whole repository.
    fn dir(&self) -> Result<ObjectName> {
        ObjectName::new(format!("{SOURCES}{self}"))
    }
}

impl fmt::Display for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A repository that may be in parts.
#[derive(Clone, Debug)]
pub struct Parts {
    /// All of it; where it is in parts, what they share.
    root: Repository,
}

impl Parts {
    /// Makes a new repository that is not in parts, in a store that is empty.
    ///
    /// # Errors
    ///
    /// As [`Repository::init`].
    pub fn init(store: Arc<dyn Store>) -> Result<Self> {
        Repository::init(store).map(Parts::of_root)
    }

    /// Makes a new repository in parts, in a store that is empty.
    ///
    /// # Errors
    ///
    /// As [`Repository::init`].
    pub fn init_by_source(store: Arc<dyn Store>) -> Result<Self> {
        let descriptor = make(&*store, Descriptor::new(None, true))?;
        let root = Repository::plain(store, descriptor, None);
        Ok(Parts::of_root(root))
    }

    /// Opens the repository in `store`, in parts or not, as [`Repository::open`] does.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn open(store: Arc<dyn Store>) -> Result<Self> {
        let (descriptor, trouble) = find(&*store)?;
        if descriptor.is_encrypted() {
            return Err(super::encrypted(&*store));
        }
        if !descriptor.by_source {
            versions::settle(&*store, ARCHIVES, true)?;
        }
        let root = Repository::plain(store, descriptor, trouble);
        Ok(Parts::of_root(root))
    }

    /// Opens the repository in `store`, or makes one that is not in parts when the store is empty.
    ///
    /// # Errors
    ///
    /// As [`Parts::open`] and [`Parts::init`].
    pub fn open_or_init(store: Arc<dyn Store>) -> Result<Self> {
        match Self::open(Arc::clone(&store)) {
            Err(none) if none.kind() == ErrorKind::NotFound => {
                match Self::init(Arc::clone(&store)) {
                    // Another run has made it meanwhile.
                    Err(e) if e.kind() == ErrorKind::AlreadyExists => Self::open(store),
                    // It is not empty, and no repository: the first error says so.
                    Err(e) if e.kind() == ErrorKind::Refused => Err(none),
                    made => made,
                }
            }
            opened => opened,
        }
    }

    /// What was opened as a whole.
    pub(super) fn of_root(root: Repository) -> Self {
        Parts { root }
    }

    /// What all parts share: descriptor and keys. Where it is not in parts, all of it.
    pub fn root(&self) -> &Repository {
        &self.root
    }

    /// The same, to mend it.
    pub fn root_mut(&mut self) -> &mut Repository {
        &mut self.root
    }

    /// Whether it is in parts.
    pub fn is_by_source(&self) -> bool {
        self.root.descriptor.by_source
    }

    /// The repository, where it is not in parts.
    ///
    /// # Errors
    ///
    /// `Unsupported`, where it is.
    pub fn whole(self) -> Result<Repository> {
        self.root.refuse_root()?;
        Ok(self.root)
    }

    /// Where archives of the source `source_name` are: its part, which may hold nothing yet.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub fn of_source(&self, source_name: &str) -> Result<Repository> {
        if !self.is_by_source() {
            return Ok(self.root.clone());
        }
        // Where they were made; a copy has them in a part that is called after this name.
        if let Some(part) = PartName::of_unknown(source_name)
            && self.root.stored().dirs(SOURCES)?.contains(&part.0)
        {
            return self.part(part);
        }
        self.part(PartName::of(&self.root.descriptor.id, source_name))
    }

    /// The part for the same source as `part` of another repository. The id of a repository makes
    /// names of parts; so one that was copied from another has others.
    ///
    /// # Errors
    ///
    /// `NotFound`, when nothing in `part` says whose it is; when a store fails.
    pub fn counterpart(&self, part: &Repository) -> Result<Repository> {
        if !self.is_by_source() {
            return Ok(self.root.clone());
        }
        if part.part.is_some() && part.descriptor.id == self.root.descriptor.id {
            let name = part.part.clone();
            return name.map_or_else(|| Ok(self.root.clone()), |name| self.part(name));
        }
        self.of_source(&part.source_name()?)
    }

    /// Opens the part `name`.
    fn part(&self, name: PartName) -> Result<Repository> {
        let root = &self.root;
        let scoped = ScopedStore::new(root.raw(), &name.dir()?, SHARED);
        let scoped: Arc<dyn Store> = Arc::new(scoped);
        let mut part = Repository::plain(scoped, root.descriptor.clone(), None);
        part.part = Some(name);
        part.keyed_as(root)
    }
}

/// Whether all parts have what is called so.
pub(super) fn is_shared(name: &str) -> bool {
    SHARED.iter().any(|shared| name.starts_with(shared))
}

impl Repository {
    /// Which part of a repository it is; `None` where that is not in parts.
    pub fn part(&self) -> Option<&PartName> {
        self.part.as_ref()
    }

    /// Name of the source of the newest archive that can be read; where no archive of a part says
    /// it, what these are called that are made of what was left.
    ///
    /// # Errors
    ///
    /// `NotFound`, when there is none; when the store fails.
    pub fn source_name(&self) -> Result<String> {
        let mut unknown = None;
        for name in self.manifest_names()?.iter().rev() {
            match self.archive(name) {
                Ok(archive) => {
                    let name = archive.source_name;
                    if self
                        .part
                        .as_ref()
                        .is_none_or(|part| !part.is_unknown(&name))
                    {
                        return Ok(name);
                    }
                    unknown = unknown.or(Some(name));
                }
                Err(error) if [ErrorKind::Io, ErrorKind::Locked].contains(&error.kind()) => {
                    return Err(error);
                }
                Err(_) => {}
            }
        }
        unknown.ok_or_else(|| {
            let place = self.store().describe();
            Error::not_found(format!("no archive in {place} says of which source it is"))
        })
    }

    /// What `name` is called in the whole repository.
    pub fn full_name(&self, name: &str) -> String {
        match &self.part {
            Some(part) if !is_shared(name) => format!("{SOURCES}{part}/{name}"),
            _ => name.to_owned(),
        }
    }

    /// The same of an object; one whose name would be too long keeps it.
    pub fn full_object(&self, name: &ObjectName) -> ObjectName {
        ObjectName::new(self.full_name(name.as_str())).unwrap_or_else(|_| name.clone())
    }

    /// The archive `name`, and why it does not belong here; `None` where it does, or cannot be
    /// read.
    pub(crate) fn misplaced(&self, name: &ObjectName) -> Option<(Archive, Error)> {
        self.part.as_ref()?;
        let archive = read_manifest(self.store(), name).ok()?;
        let error = self.refuse_misplaced(&archive).err()?;
        Some((archive, error))
    }

    /// Whether archives of `source_name` belong here.
    pub(super) fn is_of_part(&self, source_name: &str) -> bool {
        let part = self.part.as_ref();
        part.is_none_or(|part| part.takes(&self.descriptor.id, source_name))
    }

    /// Refuses an archive of another source than this part is of.
    pub(super) fn refuse_misplaced(&self, archive: &Archive) -> Result<()> {
        self.refuse_root()?;
        match &self.part {
            Some(part) => part.refuse_misplaced(&self.descriptor.id, archive),
            None => Ok(()),
        }
    }

    /// Refuses what the parts of a repository share: no archive lies there.
    ///
    /// # Errors
    ///
    /// `Unsupported`.
    pub(super) fn refuse_root(&self) -> Result<()> {
        if self.part.is_some() || !self.descriptor.by_source {
            return Ok(());
        }
        Err(in_parts(self.stored()))
    }
}

/// The error for whoever takes a repository in parts for one that is not.
pub(super) fn in_parts(store: &dyn Store) -> Error {
    Error::unsupported(format!(
        "the repository in {} is in parts, one for each source: there is no single one to open",
        store.describe()
    ))
}

/// The parts in `store` that hold manifests, each with the names of these.
pub(super) fn found_in(store: &dyn Store) -> Result<Vec<(PartName, Vec<ObjectName>)>> {
    let mut found = Vec::new();
    for part in store
        .dirs(SOURCES)?
        .iter()
        .filter_map(|dir| PartName::parse(dir))
    {
        let dir = format!("{SOURCES}{part}/");
        let listed = store.list(&format!("{dir}{ARCHIVES}"))?.into_iter();
        let is_manifest = |name: &ObjectName| {
            let own = name.as_str().strip_prefix(&dir).map(ObjectName::new);
            own.is_some_and(|own| own.is_ok_and(|own| ManifestName::parse(&own).is_some()))
        };
        let names: Vec<_> = listed.map(|(name, _)| name).filter(is_manifest).collect();
        if !names.is_empty() {
            found.push((part, names));
        }
    }
    Ok(found)
}
