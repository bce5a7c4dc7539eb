//! What an archive holds: the manifest, whose publication commits a backup run.
//!
//! Every manifest lists all its blocks in full, so that no archive depends on another. Fields that
//! this version does not know are ignored; times of the data are milliseconds, times of events RFC
//! 3339.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use super::blocks::Blocks;
use super::codec::ObjectCodec;
use super::digest::Digest;
use super::layout::{ArchiveId, FilePath, Fingerprint, ManifestName};
use super::left_out::{LeftOut, LeftOutKind};
use super::seal;
use crate::error::{Error, Result};
use crate::model::{Millis, Stream, Ulid};
use crate::store::ObjectName;

/// Newest version of the manifest format that this program writes and reads.
pub const MANIFEST_VERSION: u32 = 2;

/// Version of manifests of repositories without replacements (see [`Mended`](super::Mended)). Older
/// programs do not know that a replacement needs packs: their `prune` must refuse to work where
/// there is one.
pub const PLAIN_MANIFEST_VERSION: u32 = 1;

/// The file in a block's object, beside those of the block, that holds its statistics; see
/// [`StoredBlock::statistics`].
pub const STATISTICS_FILE: &str = "narthex.statistics";

/// One committed backup run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Archive {
    /// [`PLAIN_MANIFEST_VERSION`], or [`MANIFEST_VERSION`].
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

/// One block of an archive. What stands here of `meta.json` is a copy for planning; the file is the
/// truth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBlock {
    /// Identity, and the name of its directory.
    pub ulid: Ulid,
    /// Identity of its immutable part.
    pub fingerprint: Fingerprint,
    /// Begin of its range.
    pub min_time: Millis,
    /// End of its range, exclusive.
    pub max_time: Millis,
    /// Compaction level, from 1.
    pub level: u64,
    /// The level-1 blocks its samples come from.
    #[serde(default)]
    pub sources: Vec<Ulid>,
    /// The blocks it was compacted from.
    #[serde(default)]
    pub parents: Vec<Ulid>,
    /// Resolution in milliseconds of a block that holds aggregates, 0 for samples. `None` where
    /// the manifest does not say, and then neither labels nor hints are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Millis>,
    /// Its external labels: cluster, replica, tenant, shard.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub external_labels: BTreeMap<String, String>,
    /// Its compaction hints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// Number of series.
    pub series: u64,
    /// Number of chunks.
    pub chunks: u64,
    /// Number of samples.
    pub samples: u64,
    /// The object that holds it, as it was when it was first stored.
    pub object: StoredObject,
    /// Whether its object also holds [`STATISTICS_FILE`], which is no file of the block.
    #[serde(default, skip_serializing_if = "is_false")]
    pub statistics: bool,
    /// The packs from which the rest of it is rebuilt, if its object is in the dense codec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packs: Vec<StoredObject>,
    /// The object that holds those of its files that have changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<StoredObject>,
    /// All its files, as they were in this run.
    pub files: Vec<StoredFile>,
    /// Directories of the block that hold no file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub empty_dirs: Vec<FilePath>,
    /// What the verifier found in it when it was first stored.
    #[serde(default)]
    pub findings: FindingCounts,
}

/// Most bytes of labels and hints that a manifest repeats of one block.
const MAX_TOLD_BYTES: usize = 4096;

impl StoredBlock {
    /// Takes down what its `meta.json` says of the samples it holds. What is too long for a
    /// manifest is read from the block's object when it matters.
    pub fn tell(&mut self, stream: Stream, hints: &[String]) {
        let texts = stream.labels.iter().flat_map(|(name, value)| [name, value]);
        let texts = texts.chain(hints);
        if texts.map(|text| text.len() + 1).sum::<usize>() <= MAX_TOLD_BYTES {
            self.resolution = Some(stream.resolution);
            self.external_labels = stream.labels;
            self.hints = hints.to_vec();
        }
    }

    /// Total size of its files in bytes.
    pub fn bytes(&self) -> u64 {
        total_bytes(&self.files)
    }

    /// Size of its index and its segments: what packs of it are made of.
    pub fn packable_bytes(&self) -> u64 {
        let files = self.files.iter().filter(|file| file.name.is_immutable());
        files.fold(0, |sum: u64, file| sum.saturating_add(file.bytes))
    }

    /// The objects it needs.
    pub fn objects(&self) -> impl Iterator<Item = &StoredObject> {
        std::iter::once(&self.object)
            .chain(&self.packs)
            .chain(&self.sidecar)
    }

    /// The objects that hold files of it whole: its own and its sidecar.
    pub fn file_objects(&self) -> impl Iterator<Item = &StoredObject> {
        std::iter::once(&self.object).chain(&self.sidecar)
    }

    /// Those of its files that `object`, one that it needs, holds whole.
    pub fn files_from(&self, object: &StoredObject) -> impl Iterator<Item = &StoredFile> {
        let sidecar = self.sidecar.as_ref() == Some(object);
        // A pack holds none, and there may be as many packs as files.
        let holds_any = sidecar || self.object == *object;
        let files = if holds_any { &self.files[..] } else { &[] };
        files
            .iter()
            .filter(move |file| !file.packed && file.sidecar == sidecar)
    }

    /// Those of its files that are rebuilt from its packs.
    pub fn packed_files(&self) -> impl Iterator<Item = &StoredFile> {
        self.files.iter().filter(|file| file.packed)
    }
}

/// WAL and WBL of an archive; names of files begin with `wal/` or `wbl/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredWal {
    /// The object that holds them.
    pub object: StoredObject,
    /// All their files.
    pub files: Vec<StoredFile>,
    /// Time of the first sample in it; `None` when it holds none, or cannot be read.
    #[serde(default)]
    pub min_time: Option<Millis>,
    /// Time of the last sample in it.
    #[serde(default)]
    pub max_time: Option<Millis>,
    /// Samples in it.
    #[serde(default)]
    pub samples: u64,
    /// Those of the samples that the WBL has, which came out of order; `None` where nobody has
    /// counted them, or there is no WBL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wbl_samples: Option<u64>,
    /// Time of the first of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wbl_min_time: Option<Millis>,
    /// Time of the last of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wbl_max_time: Option<Millis>,
    /// Directories without files that a start of Prometheus looks for: the newest checkpoint, or
    /// `wal` beside a WBL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub empty_dirs: Vec<FilePath>,
    /// What keeps a Prometheus from starting on these logs, as a sentence; missing when nothing
    /// does, or nobody has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_problem: Option<String>,
}

impl StoredWal {
    /// Times, both included, between which samples lie that came out of order. Until a compaction
    /// has made a block of them they are in the WBL only, whatever blocks hold their time. Of a
    /// WBL whose samples nobody has counted they may lie anywhere.
    pub fn late_times(&self) -> Option<(Millis, Millis)> {
        if self.wbl_samples.is_some() {
            return self.wbl_min_time.zip(self.wbl_max_time);
        }
        let is_late = |file: &StoredFile| file.name.as_str().starts_with("wbl/") && file.bytes > 0;
        let times = (self.min_time.unwrap_or(Millis::MIN), self.max_time?);
        self.files.iter().any(is_late).then_some(times)
    }

    /// Time of the last sample that a start brings back of it: without a WAL nothing defines the
    /// series of the WBL.
    pub fn end(&self) -> Option<Millis> {
        let has_wal = |file: &StoredFile| file.name.as_str().starts_with("wal/");
        let is_replayed = self.samples > 0 && self.files.iter().any(has_wal);
        self.max_time.filter(|_| is_replayed)
    }

    /// Total size of its files in bytes.
    pub fn bytes(&self) -> u64 {
        total_bytes(&self.files)
    }
}

fn total_bytes(files: &[StoredFile]) -> u64 {
    files
        .iter()
        .fold(0, |sum: u64, file| sum.saturating_add(file.bytes))
}

/// An object and what is needed to trust it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StoredObject {
    /// Its name in the store.
    pub name: ObjectName,
    /// How it is encoded.
    pub codec: ObjectCodec,
    /// Its size in bytes.
    pub bytes: u64,
    /// Digest of its bytes.
    pub sha256: Digest,
    /// Size of what it decodes to, in bytes.
    pub raw_bytes: u64,
}

impl StoredObject {
    /// The same object, whose files are only part of what can be made of it.
    #[must_use]
    pub fn in_dense_codec(self) -> Self {
        StoredObject {
            codec: ObjectCodec::Dense,
            ..self
        }
    }
}

/// One file of a block, or of the WAL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StoredFile {
    /// Its name below the block, or below the data directory.
    pub name: FilePath,
    /// Its size in bytes.
    pub bytes: u64,
    /// Digest of its bytes.
    pub sha256: Digest,
    /// Whether it comes from the block's sidecar, and not from the block's own object.
    #[serde(default, skip_serializing_if = "is_false")]
    pub sidecar: bool,
    /// Whether no object holds it whole: it is rebuilt from the block's packs.
    #[serde(default, skip_serializing_if = "is_false")]
    pub packed: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes what it asks about by reference"
)]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// How many findings there are of each severity and of each kind, by the names `narthex verify`
/// gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingCounts {
    /// By severity.
    #[serde(default)]
    pub by_severity: BTreeMap<String, u64>,
    /// By kind.
    #[serde(default)]
    pub by_kind: BTreeMap<String, u64>,
}

impl FindingCounts {
    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.by_severity.is_empty() && self.by_kind.is_empty()
    }

    /// How many of them are more than notes.
    pub fn problems(&self) -> u64 {
        let counts = self.by_severity.iter();
        let counts = counts.filter(|(severity, _)| *severity != super::lineage::NOTE);
        counts.fold(0, |sum: u64, (_, count)| sum.saturating_add(*count))
    }

    /// How many findings there are.
    pub fn total(&self) -> u64 {
        let counts = self.by_kind.values();
        counts.fold(0, |sum: u64, count| sum.saturating_add(*count))
    }

    /// So many findings of each kind, with the kind's name and its severity.
    pub fn of(counts: impl IntoIterator<Item = (&'static str, String, u64)>) -> Self {
        let mut sum = FindingCounts::default();
        for (kind, severity, count) in counts {
            *sum.by_severity.entry(severity).or_default() += count;
            *sum.by_kind.entry(kind.to_owned()).or_default() += count;
        }
        sum
    }

    /// Adds the counts of `other`.
    pub fn add(&mut self, other: &FindingCounts) {
        for (sum, counts) in [
            (&mut self.by_severity, &other.by_severity),
            (&mut self.by_kind, &other.by_kind),
        ] {
            for (name, count) in counts {
                let total = sum.entry(name.clone()).or_default();
                *total = total.saturating_add(*count);
            }
        }
    }
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
        let objects = self.objects().map(|(_, object)| object.bytes);
        objects.fold(0, u64::saturating_add)
    }

    /// The objects it needs, with the block each belongs to; the WAL's belongs to none.
    pub fn objects(&self) -> impl Iterator<Item = (Option<Ulid>, &StoredObject)> {
        let blocks = self
            .blocks
            .iter()
            .flat_map(|block| block.objects().map(|object| (Some(block.ulid), object)));
        blocks.chain(self.wal.iter().map(|wal| (None, &wal.object)))
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
        let archive: Archive = seal::from_bytes(bytes, MANIFEST_VERSION)?;
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
        Ok(archive)
    }

    /// Refuses an object that two blocks take files from, or a block twice, or that is named twice
    /// as a pack: it can be no such thing, and whoever reads it for each would be at it for
    /// ever. Packs may be shared among blocks.
    fn refuse_shared_objects(&self) -> Result<()> {
        let blocks = self.blocks.iter();
        let of_files = blocks
            .flat_map(StoredBlock::file_objects)
            .chain(self.wal.iter().map(|wal| &wal.object));
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
