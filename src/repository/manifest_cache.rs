//! What this machine remembers of manifests, so that a nightly run reads the new ones only.
//!
//! Manifests never change and each has a name of its own, so what was read or written once is true
//! for as long as the name is there. Most blocks of one night stand in the manifest of the next as
//! they are: they are kept once. The file is sealed, and bound to the repository and to the program
//! that wrote it; one that is not as it should be counts for nothing. So it saves time, and losing
//! it costs time, never data. Its format is nobody else's business, and may change.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::layout::{Fingerprint, ManifestName, is_data, is_plain_id};
use super::select::{Archives, Damaged, SourceFilter};
use super::{Archive, Blocks, Repository, StoredBlock, seal};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Ulid;
use crate::raw::read_bounded;
use crate::store::ObjectName;

/// To be raised with every change of what is kept.
const CACHE_VERSION: u32 = 1;

/// Name of the file.
const FILE: &str = "manifests.json";

/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// A file of manifests that were read, or none.
#[derive(Clone, Debug, Default)]
pub struct ManifestCache {
    path: Option<PathBuf>,
    repository: String,
}

/// The content of the file.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    format_version: u32,
    narthex_version: String,
    repository: String,
    /// Blocks as manifests describe them, each once.
    blocks: Vec<Arc<StoredBlock>>,
    manifests: Vec<Manifest>,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    name: ObjectName,
    /// Its size as it is listed, in bytes.
    bytes: u64,
    /// What it says, but for the blocks.
    archive: Archive,
    /// Where these are among all.
    blocks: Vec<usize>,
}

impl ManifestCache {
    /// The cache in `dir`, of the repository whose [`local_id`](Repository::local_id) is
    /// `repository`; the directory is made when it is needed.
    pub fn new(dir: &Path, repository: &str) -> Self {
        let path = dir.join(repository).join(FILE);
        ManifestCache {
            path: Some(path).filter(|_| is_plain_id(repository)),
            repository: repository.to_owned(),
        }
    }

    /// All archives of `repository`, as [`Repository::archives`] gives them. Reads the manifests
    /// that are not remembered, and remembers them.
    ///
    /// # Errors
    ///
    /// When the store cannot list its objects; `Refused` when manifests are remembered, and none is
    /// there.
    pub fn archives(&self, repository: &Repository) -> Result<Archives> {
        self.load().archives(repository, &repository.look()?)
    }

    /// What is missed in `repository`, of which manifests are remembered and none is there any
    /// more. Nothing is written.
    ///
    /// # Errors
    ///
    /// When the store cannot list its objects.
    pub fn missed(&self, repository: &Repository) -> Result<Option<Missed>> {
        let manifests = self.load().kept.manifests.len();
        if !self.is_of(repository) || manifests == 0 || !repository.manifest_names()?.is_empty() {
            return Ok(None);
        }
        let objects = repository.data_objects()?;
        let has_data = objects.iter().any(|(name, _)| is_data(name));
        Ok(Some(Missed {
            manifests,
            has_data,
        }))
    }

    /// Refuses to begin anew in `repository` where something is [`missed`](Self::missed).
    ///
    /// # Errors
    ///
    /// `Refused`; when the store cannot list its objects.
    pub(crate) fn refuse_missed(&self, repository: &Repository) -> Result<()> {
        match self.missed(repository)? {
            Some(missed) => Err(missed.refused(repository)),
            None => Ok(()),
        }
    }

    /// Remembers nothing any more: the archives were forgotten on purpose, and are not to be
    /// missed.
    ///
    /// # Errors
    ///
    /// When the file cannot be removed.
    pub fn clear(&self) -> Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove", path, error))
            }
            _ => Ok(()),
        }
    }

    /// Whether manifests of `repository` are remembered here.
    fn is_of(&self, repository: &Repository) -> bool {
        self.path.is_some() && self.repository == repository.local_id()
    }

    /// What is remembered of the manifests.
    pub(crate) fn load(&self) -> RememberedManifests {
        let read = || {
            let bytes = read_bounded(self.path.as_ref()?, MAX_BYTES).ok()?;
            let kept: Kept = seal::from_bytes(&bytes, CACHE_VERSION).ok()?;
            let is_own = kept.format_version == CACHE_VERSION
                && kept.repository == self.repository
                && kept.narthex_version == env!("CARGO_PKG_VERSION");
            is_own.then_some(kept)
        };
        RememberedManifests {
            kept: read().unwrap_or_default(),
            cache: self.clone(),
        }
    }

    /// Remembers the manifest of `archive`, which was committed just now: the next run need not
    /// read it. Where it is not stored as it is written, nothing is remembered.
    pub(crate) fn add(&self, repository: &Repository, archive: &Archive) {
        if !repository.is_encrypted() && self.is_of(repository) {
            // Whatever goes wrong, it is read when it is needed.
            let _ = self.with(self.load().kept, archive);
        }
    }

    fn with(&self, kept: Kept, archive: &Archive) -> Option<()> {
        let name = archive.manifest_name().ok()?.object().ok()?;
        let written = archive.to_bytes().ok()?;
        let mut archive = Archive::from_bytes(&written).ok()?;
        let blocks = std::mem::take(&mut archive.blocks);
        let mut table = Table::default();
        let mut manifests = kept.manifests;
        for manifest in &mut manifests {
            let own = manifest.blocks.iter().map(|at| kept.blocks.get(*at));
            manifest.blocks = table.take(own.collect::<Option<Vec<_>>>()?);
        }
        manifests.push(Manifest {
            name,
            bytes: written.len() as u64,
            archive,
            blocks: table.take(blocks.shared()),
        });
        self.save(&Kept::new(self.repository.clone(), table, manifests))
    }

    fn save(&self, kept: &Kept) -> Option<()> {
        let path = self.path.as_ref()?;
        let dir = path.parent()?;
        let mut making = fs::DirBuilder::new();
        making.recursive(true).mode(0o700).create(dir).ok()?;
        let mut file = tempfile::Builder::new()
            .prefix("new-")
            .tempfile_in(dir)
            .ok()?;
        file.write_all(&seal::to_bytes(kept).ok()?).ok()?;
        file.persist(path).ok()?;
        Some(())
    }
}

/// All manifests of a repository, which are not there any more: those that archive its data, as of
/// a disk that is not mounted, or the data as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    manifests: usize,
    has_data: bool,
}

impl Missed {
    fn refused(self, repository: &Repository) -> Error {
        let place = repository.store().describe();
        Error::refused(format!("{place}: {self}")).advise(
            "if all archives were forgotten on purpose, the same command with --no-cache once says so; a part whose directory was renamed, narthex check names",
        )
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.manifests;
        write!(
            f,
            "expected the {count} manifests that were in archives/ the last time, found none"
        )?;
        f.write_str(if self.has_data {
            " beside the objects of their blocks: is a disk not mounted? What a backup adds now would be all that a prune keeps"
        } else {
            ", and no data: who has removed it, or is a disk not mounted?"
        })
    }
}

/// What a machine remembers of the manifests of a repository.
pub(crate) struct RememberedManifests {
    kept: Kept,
    cache: ManifestCache,
}

impl RememberedManifests {
    /// Whether nothing is.
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.manifests.is_empty()
    }

    /// The newest archive that is remembered of those that `filter` lets through. It may be gone,
    /// and there may be newer ones.
    pub(crate) fn newest(&self, filter: &SourceFilter) -> Option<Archive> {
        let manifests = self.kept.manifests.iter();
        let own = manifests.filter(|manifest| filter.matches(&manifest.archive));
        let newest = own.max_by_key(|manifest| manifest.archive.time)?;
        Some(newest.whole(&self.kept.blocks))
    }

    /// All archives of `repository`, of which [`Repository::look`] has `seen` this, as
    /// [`ManifestCache::archives`] gives them.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn archives(
        self,
        repository: &Repository,
        seen: &[(ObjectName, u64)],
    ) -> Result<Archives> {
        let RememberedManifests { kept: old, cache } = self;
        let is_manifest = |name: &ObjectName| ManifestName::parse(name).is_some();
        let listed = seen.iter().filter(|(name, _)| is_manifest(name));
        if !cache.is_of(repository) {
            return repository.read_listed(&listed.cloned().collect::<Vec<_>>());
        }
        let store = repository.store();
        let mut remembered: BTreeMap<_, _> = old
            .manifests
            .into_iter()
            .map(|manifest| ((manifest.name.clone(), manifest.bytes), manifest))
            .collect();
        let listed: Vec<_> = listed.collect();
        if !remembered.is_empty() && listed.is_empty() {
            let missed = Missed {
                manifests: remembered.len(),
                has_data: seen.iter().any(|(name, _)| is_data(name)),
            };
            return Err(missed.refused(repository));
        }
        let is_new = |it: &&&(ObjectName, u64)| !remembered.contains_key(**it);
        let soon: Vec<_> = listed
            .iter()
            .filter(is_new)
            .map(|it| (*it).clone())
            .collect();
        store.expect(&soon);
        let mut table = Table::default();
        let (mut manifests, mut damaged) = (Vec::new(), Vec::new());
        let mut is_news = false;
        for (name, bytes) in listed.into_iter().cloned() {
            let known = remembered.remove(&(name.clone(), bytes));
            let known = known.and_then(|mut known| {
                let blocks = known.blocks.iter().map(|at| old.blocks.get(*at));
                let blocks = blocks.collect::<Option<Vec<_>>>()?;
                known.blocks = table.take(blocks);
                Some(known)
            });
            if let Some(known) = known {
                manifests.push(known);
                continue;
            }
            is_news = true;
            match repository.read_own(&name) {
                Ok(None) => {}
                Ok(Some(mut archive)) => {
                    let blocks = std::mem::take(&mut archive.blocks);
                    manifests.push(Manifest {
                        name,
                        bytes,
                        archive,
                        blocks: table.take(blocks.shared()),
                    });
                }
                // Forgotten since it was listed.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => damaged.push(Damaged { name, error }),
            }
        }
        let kept = Kept::new(cache.repository.clone(), table, manifests);
        if is_news || !remembered.is_empty() {
            // Whatever goes wrong, they are read anew when they are needed.
            let _ = cache.save(&kept);
        }
        Ok(kept.into_archives(damaged))
    }
}

impl Kept {
    fn new(repository: String, table: Table, manifests: Vec<Manifest>) -> Self {
        Kept {
            format_version: CACHE_VERSION,
            narthex_version: env!("CARGO_PKG_VERSION").to_owned(),
            repository,
            blocks: table.blocks,
            manifests,
        }
    }

    fn into_archives(self, damaged: Vec<Damaged>) -> Archives {
        let manifests = self.manifests.iter();
        let whole = manifests.map(|manifest| manifest.whole(&self.blocks));
        Archives::of(whole.collect(), damaged)
    }
}

impl Manifest {
    /// All of it; `blocks` are those of all.
    fn whole(&self, blocks: &[Arc<StoredBlock>]) -> Archive {
        let own = self.blocks.iter().filter_map(|at| blocks.get(*at));
        Archive {
            blocks: Blocks::of_shared(own.cloned().collect()),
            ..self.archive.clone()
        }
    }
}

/// Blocks, each once.
#[derive(Default)]
struct Table {
    blocks: Vec<Arc<StoredBlock>>,
    /// Where those are that may be the same.
    alike: HashMap<(Ulid, Fingerprint), Vec<usize>>,
}

impl Table {
    /// Puts `blocks` in, and says where they are.
    fn take<'b>(&mut self, blocks: impl IntoIterator<Item = &'b Arc<StoredBlock>>) -> Vec<usize> {
        let blocks = blocks.into_iter();
        blocks.map(|block| self.place_of(block)).collect()
    }

    fn place_of(&mut self, block: &Arc<StoredBlock>) -> usize {
        let key = (block.ulid, block.fingerprint.clone());
        let alike = self.alike.entry(key).or_default();
        let known = alike.iter().find(|at| {
            let known = self.blocks.get(**at);
            known.is_some_and(|known| Arc::ptr_eq(known, block) || known == block)
        });
        if let Some(at) = known {
            return *at;
        }
        let at = self.blocks.len();
        alike.push(at);
        self.blocks.push(Arc::clone(block));
        at
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;
    use crate::store::LocalStore;

    /// A copy of the repository `fixtures/repositories/v2/repository`, and a place for the cache.
    fn copy() -> (tempfile::TempDir, Repository, ManifestCache) {
        let dir = tempfile::tempdir().unwrap();
        let fixture = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/fixtures/repositories/v2/repository"
        );
        let (repo, archives) = (dir.path().join("repo"), dir.path().join("repo/archives"));
        fs::create_dir_all(&archives).unwrap();
        let descriptor = Path::new(fixture).join("narthex.json");
        fs::copy(descriptor, repo.join("narthex.json")).unwrap();
        for entry in fs::read_dir(Path::new(fixture).join("archives")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), archives.join(entry.file_name())).unwrap();
        }
        let repository = Repository::open(Arc::new(LocalStore::new(&repo))).unwrap();
        let cache = ManifestCache::new(&dir.path().join("cache"), &repository.descriptor().id);
        (dir, repository, cache)
    }

    fn assert_same(cache: &ManifestCache, repository: &Repository) {
        let (found, wanted) = (
            cache.archives(repository).unwrap(),
            repository.archives().unwrap(),
        );
        assert_eq!(found.archives, wanted.archives);
        let names = |all: &[Damaged]| all.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&found.damaged), names(&wanted.damaged));
    }

    #[test]
    fn what_is_remembered_is_what_the_manifests_say() {
        let (_dir, repository, cache) = copy();
        assert!(repository.archives().unwrap().archives.len() > 1);
        for _ in 0..2 {
            assert_same(&cache, &repository);
        }
        let kept = cache.load().kept;
        let named: usize = kept.manifests.iter().map(|one| one.blocks.len()).sum();
        assert!(
            kept.blocks.len() < named,
            "blocks of two nights are kept once"
        );
        // One is forgotten.
        let first = &repository.manifest_names().unwrap()[0];
        repository.store().delete(&first.object().unwrap()).unwrap();
        assert_same(&cache, &repository);
    }

    #[test]
    fn a_manifest_that_is_not_as_long_as_it_was_is_read_again() {
        let (dir, repository, cache) = copy();
        assert_same(&cache, &repository);
        let name = repository.manifest_names().unwrap()[0].object().unwrap();
        let path = dir.path().join("repo").join(name.as_str());
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(100);
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        assert_eq!(cache.archives(&repository).unwrap().damaged.len(), 1);
        assert_same(&cache, &repository);
    }

    #[test]
    fn manifests_that_are_all_out_of_sight_are_missed() {
        let (dir, repository, cache) = copy();
        assert_same(&cache, &repository);
        let archives = dir.path().join("repo/archives");
        fs::rename(&archives, dir.path().join("elsewhere")).unwrap();
        // Without any data, too.
        let refused = cache.archives(&repository).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused);
        let missed = cache.missed(&repository).unwrap().unwrap();
        assert!(missed.to_string().contains("and no data"), "{missed}");
        let object = ObjectName::new("wal/0123456789abcdef.tar.zst").unwrap();
        repository.store().put(&object, b"some").unwrap();
        let refused = cache.archives(&repository).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused);
        assert!(refused.chain().contains("beside the objects"), "{refused}");
        fs::rename(dir.path().join("elsewhere"), &archives).unwrap();
        assert_same(&cache, &repository);
        assert_eq!(cache.missed(&repository).unwrap(), None);
    }

    #[test]
    fn a_cache_that_is_damaged_or_of_another_repository_counts_for_nothing() {
        let (dir, repository, cache) = copy();
        assert_same(&cache, &repository);
        let path = cache.path.clone().unwrap();
        let sound = fs::read(&path).unwrap();
        let id = &repository.descriptor().id;
        assert!(!cache.load().kept.manifests.is_empty());
        // What is in its place and of another repository.
        let another = ManifestCache::new(&dir.path().join("cache"), "another");
        fs::create_dir(dir.path().join("cache/another")).unwrap();
        fs::copy(&path, another.path.as_ref().unwrap()).unwrap();
        assert!(another.load().kept.manifests.is_empty());
        for at in [10, sound.len() / 2, sound.len() - 10] {
            let mut flipped = sound.clone();
            flipped[at] ^= 1;
            fs::write(&path, flipped).unwrap();
            assert!(cache.load().kept.manifests.is_empty());
            assert_same(&cache, &repository);
        }
        // A pipe is not waited for, and what has no end is not read.
        fs::remove_file(&path).unwrap();
        mkfifoat(CWD, &path, Mode::RWXU).unwrap();
        assert!(cache.load().kept.manifests.is_empty());
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert!(cache.load().kept.manifests.is_empty());
        assert_same(&cache, &repository);
        assert!(!cache.load().kept.manifests.is_empty(), "it was replaced");
        // One that cannot be written costs nothing but time.
        let nowhere = ManifestCache::new(&dir.path().join("repo/narthex.json"), id);
        assert_same(&nowhere, &repository);
        assert!(ManifestCache::new(dir.path(), "../x").path.is_none());
    }
}
