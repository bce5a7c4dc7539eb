//! What an archive holds: the manifest, whose publication commits a backup run.
//!
//! Every manifest lists all its blocks in full, so that no archive depends on another. Fields that
//! this version does not know are ignored; times of the data are milliseconds, times of events RFC
//! 3339.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use super::blocks::Blocks;
use super::cover::{Cover, ManifestLink, locked};
use super::entries::{EncryptedForm, FindingCounts, StoredBlock, StoredObject};
use super::layout::{ArchiveId, FilePath, ManifestName};
use super::left_out::{LeftOut, LeftOutKind};
use super::logs::StoredWal;
use super::seal;
use crate::error::{Error, Result};
use crate::model::{Millis, Ulid};

/// Version of manifests of repositories with replacements that are not encrypted.
pub const MANIFEST_VERSION: u32 = 2;

/// Version of manifests that are not encrypted of archives whose logs lie in several
/// objects. Older programs know of one only, and their `prune` would delete the others.
pub const PIECES_MANIFEST_VERSION: u32 = 4;

/// Newest version of manifests that this program reads.
pub(super) const NEWEST_MANIFEST_VERSION: u32 = PIECES_MANIFEST_VERSION;

/// Version of manifests of repositories without replacements (see [`Mended`](super::Mended)). Older
/// programs do not know that a replacement needs packs: their `prune` must refuse to work where
/// there is one.
pub const PLAIN_MANIFEST_VERSION: u32 = 1;

/// One committed backup run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Archive {
    /// [`PLAIN_MANIFEST_VERSION`], [`MANIFEST_VERSION`],
    /// [`COVERED_MANIFEST_VERSION`](super::COVERED_MANIFEST_VERSION) or
    /// [`PIECES_MANIFEST_VERSION`].
    pub format_version: u32,
    /// Identity.
    pub id: ArchiveId,
    /// When the run began to read its source.
    #[serde(with = "super::stamp")]
    pub time: Millis,
    /// The machine the source was on.
    pub host: String,
    /// The source's absolute directory.
    pub source: String,
    /// Name of the source, one for each Prometheus server.
    pub source_name: String,
    /// What else the operator wants to know it by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Version of the narthex that wrote it.
    pub narthex_version: String,
    /// Identity of the repository, so that it is not lost with the descriptor; archives of older
    /// programs do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The manifest before it of the same source, where archives are signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<ManifestLink>,
    /// What of the time line it holds.
    pub coverage: Coverage,
    /// All its blocks, by their time.
    pub blocks: Blocks,
    /// WAL and WBL, unless they were left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wal: Option<StoredWal>,
    /// What the source held and the archive does not.
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
    /// What the verifier found, all blocks together.
    #[serde(default)]
    pub findings: FindingCounts,
}

impl Archive {
    /// What it should hold and does not.
    pub fn missed(&self) -> impl Iterator<Item = &LeftOut> {
        self.left_out.iter().filter(|left| left.is_missed())
    }

    /// Whether it says of a block that it is gone, or that everything in it was deleted.
    pub fn tells_gone(&self, ulid: Ulid) -> bool {
        let name = ulid.to_string();
        let mut left_out = self.left_out.iter().filter(|left| left.name == name);
        left_out.any(|left| matches!(left.kind(), LeftOutKind::Gone | LeftOutKind::Emptied))
    }

    /// Whether `narthex repair` made it of what was left.
    pub fn is_reconstructed(&self) -> bool {
        let mut left_out = self.left_out.iter();
        left_out.any(|left| left.kind() == LeftOutKind::Unknown)
    }

    /// The time of its last sample; see [`end_of`].
    pub fn end(&self) -> Option<Millis> {
        end_of(self.blocks.iter(), self.wal.as_ref())
    }
}

/// The time of the last sample of these blocks and logs, as far as manifests tell: a block may end
/// a scrape or two before its range does. `None`, where there are no samples.
pub fn end_of<'a>(
    blocks: impl Iterator<Item = &'a StoredBlock>,
    wal: Option<&StoredWal>,
) -> Option<Millis> {
    let ends = blocks.filter(|block| block.samples > 0);
    let ends = ends.map(|block| block.max_time.saturating_sub(1));
    ends.chain(wal.and_then(StoredWal::end)).max()
}

/// Which time an archive covers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Begin of the first block; `None` when there is no block.
    pub min_time: Option<Millis>,
    /// End of the last block, exclusive.
    pub max_time: Option<Millis>,
    /// Spans between them that no block covers.
    #[serde(default)]
    pub gaps: Vec<ArchiveGap>,
}

/// A span of time without a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveGap {
    /// Its begin.
    pub min_time: Millis,
    /// Its end, exclusive.
    pub max_time: Millis,
}

impl Archive {
    /// Total size of its files in bytes, WAL included.
    pub fn bytes(&self) -> u64 {
        let blocks = self.blocks.iter().map(StoredBlock::bytes);
        let wal = self.wal.iter().map(StoredWal::bytes);
        blocks.chain(wal).fold(0, u64::saturating_add)
    }

    /// Total size of the objects it needs, in bytes, whoever else needs them.
    pub fn stored_bytes(&self) -> u64 {
        let objects = self.objects().map(|(_, object)| object.listed_bytes());
        objects.fold(0, u64::saturating_add)
    }

    /// Takes its objects as they lie where it was read: in a repository that is not encrypted they
    /// are in clear, also where everything was decrypted by hand that had been encrypted before.
    pub(crate) fn as_it_lies(&mut self, is_encrypted: bool) {
        if !is_encrypted {
            self.lie_as(|_| None);
        }
    }

    /// Says of each object the `form` in which it lies in the store, none where it is in clear.
    pub(crate) fn lie_as(&mut self, form: impl Fn(&StoredObject) -> Option<EncryptedForm>) {
        let is_other = |object: &StoredObject| object.encrypted != form(object);
        let describe = |object: &mut StoredObject| object.encrypted = form(object);
        let changed = |block: &StoredBlock| block.objects().any(is_other);
        for block in self.blocks.iter_mut_where(changed) {
            describe(&mut block.object);
            block.packs.iter_mut().for_each(describe);
            block.sidecar.iter_mut().for_each(describe);
        }
        if let Some(wal) = &mut self.wal {
            wal.objects_mut().for_each(describe);
        }
    }

    /// The objects it needs, with the block each belongs to; the WAL's belongs to none.
    pub fn objects(&self) -> impl Iterator<Item = (Option<Ulid>, &StoredObject)> {
        let blocks = self
            .blocks
            .iter()
            .flat_map(|block| block.objects().map(|object| (Some(block.ulid), object)));
        let logs = self.wal.iter().flat_map(StoredWal::objects);
        blocks.chain(logs.map(|object| (None, object)))
    }

    /// The name of its manifest.
    pub fn manifest_name(&self) -> Result<ManifestName> {
        ManifestName::new(self.time, &self.id)
    }

    /// The bytes of its manifest.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        seal::to_bytes(self)
    }

    /// Reads a manifest.
    ///
    /// # Errors
    ///
    /// `Unsupported` for a newer version, `Corrupt` when the seal is broken or the content makes no
    /// sense.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let archive: Result<Archive> = seal::from_bytes(bytes, NEWEST_MANIFEST_VERSION);
        let archive = archive.map_err(|error| match Cover::read(bytes) {
            Ok(Some(_)) => locked(),
            _ => error,
        })?;
        let mut ulids = BTreeSet::new();
        archive.refuse_shared_objects()?;
        for block in &archive.blocks {
            if !ulids.insert(block.ulid) {
                let ulid = block.ulid;
                return Err(Error::corrupt(format!(
                    "expected block {ulid} once, found it twice"
                )));
            }
            refuse_clashes(
                block
                    .files
                    .iter()
                    .map(|file| &file.name)
                    .chain(&block.empty_dirs),
            )?;
            if block.packs.is_empty() && block.packed_files().next().is_some() {
                return Err(Error::corrupt(format!(
                    "expected a pack of block {}, found none",
                    block.ulid
                )));
            }
            if block.sidecar.is_none() && block.files.iter().any(|file| file.sidecar) {
                return Err(Error::corrupt(format!(
                    "expected a sidecar of block {}, found none",
                    block.ulid
                )));
            }
        }
        refuse_clashes(
            archive
                .wal
                .iter()
                .flat_map(|wal| &wal.files)
                .map(|file| &file.name),
        )?;
        archive.wal.iter().try_for_each(StoredWal::refuse_holes)?;
        Ok(archive)
    }

    /// Refuses an object that two blocks take files from, or a block twice, or that is named twice
    /// as a pack: it can be no such thing, and whoever reads it for each would be at it for
    /// ever. Packs may be shared among blocks.
    fn refuse_shared_objects(&self) -> Result<()> {
        let blocks = self.blocks.iter();
        let of_files = blocks
            .flat_map(StoredBlock::file_objects)
            .chain(self.wal.iter().flat_map(StoredWal::objects));
        refuse_twice(of_files)?;
        self.blocks
            .iter()
            .try_for_each(|block| refuse_twice(&block.packs))
    }
}

fn refuse_twice<'a>(objects: impl IntoIterator<Item = &'a StoredObject>) -> Result<()> {
    let mut names = HashSet::new();
    for object in objects {
        if !names.insert(&object.name) {
            let name = &object.name;
            return Err(Error::corrupt(format!(
                "expected object {name} in one place, found it in two"
            )));
        }
    }
    Ok(())
}

/// Refuses paths of which one names the same file as another, or a directory that another takes for
/// a file.
fn refuse_clashes<'a>(paths: impl Iterator<Item = &'a FilePath>) -> Result<()> {
    let mut sorted: Vec<_> = paths.map(FilePath::as_str).collect();
    // `/` sorts before whatever else a name may go on with only among components.
    sorted.sort_by(|a, b| a.split('/').cmp(b.split('/')));
    for pair in sorted.windows(2) {
        if let [above, below] = pair
            && below
                .strip_prefix(above)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        {
            return Err(Error::corrupt(format!(
                "expected distinct files, found {above} and {below}"
            )));
        }
    }
    Ok(())
}
