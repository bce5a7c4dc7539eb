//! What a manifest says of one block: its files, and the objects that hold them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::codec::ObjectCodec;
use super::digest::Digest;
use super::layout::{FilePath, Fingerprint};
use crate::error::Result;
use crate::model::{Millis, Stream, Ulid};
use crate::store::{ObjectName, Store, StoredForm};

/// The file in a block's object, beside those of the block, that holds its statistics; see
/// [`StoredBlock::statistics`].
pub const STATISTICS_FILE: &str = "narthex.statistics";

/// The severity, as `narthex verify` calls it, of findings that are legal.
pub(super) const NOTE: &str = "note";

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

pub(super) fn total_bytes(files: &[StoredFile]) -> u64 {
    files
        .iter()
        .fold(0, |sum: u64, file| sum.saturating_add(file.bytes))
}

/// An object and what is needed to trust it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Described", into = "Described")]
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
    /// Size and digest of what lies in the store, where that is not the bytes but their encrypted
    /// form.
    pub encrypted: Option<EncryptedForm>,
}

/// What an object is where it lies encrypted: what can be proved without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EncryptedForm {
    /// Its size in bytes.
    pub bytes: u64,
    /// Digest of its bytes.
    pub sha256: Digest,
}

/// A [`StoredObject`] as it stands in manifests: without objects in the object, so that tools that
/// work by lines can read it.
#[derive(Serialize, Deserialize)]
struct Described {
    name: ObjectName,
    codec: ObjectCodec,
    bytes: u64,
    sha256: Digest,
    raw_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stored_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stored_sha256: Option<Digest>,
}

impl From<Described> for StoredObject {
    fn from(object: Described) -> Self {
        let form = object.stored_bytes.zip(object.stored_sha256);
        StoredObject {
            name: object.name,
            codec: object.codec,
            bytes: object.bytes,
            sha256: object.sha256,
            raw_bytes: object.raw_bytes,
            encrypted: form.map(|(bytes, sha256)| EncryptedForm { bytes, sha256 }),
        }
    }
}

impl From<StoredObject> for Described {
    fn from(object: StoredObject) -> Self {
        Described {
            name: object.name,
            codec: object.codec,
            bytes: object.bytes,
            sha256: object.sha256,
            raw_bytes: object.raw_bytes,
            stored_bytes: object.encrypted.map(|form| form.bytes),
            stored_sha256: object.encrypted.map(|form| form.sha256),
        }
    }
}

impl From<StoredForm> for EncryptedForm {
    fn from(form: StoredForm) -> Self {
        EncryptedForm {
            bytes: form.bytes,
            sha256: Digest::from(form.sha256),
        }
    }
}

impl StoredObject {
    /// Bytes that it takes in the store: what a listing says of it.
    pub fn listed_bytes(&self) -> u64 {
        self.encrypted.map_or(self.bytes, |form| form.bytes)
    }

    /// Size and digest of what lies in the store.
    pub(crate) fn stored_form(&self) -> (u64, Digest) {
        let own = (self.bytes, self.sha256);
        self.encrypted.map_or(own, |form| (form.bytes, form.sha256))
    }

    /// Its name and how many bytes it takes in the store.
    pub fn listed(&self) -> (ObjectName, u64) {
        (self.name.clone(), self.listed_bytes())
    }

    /// The same object, with the form in which it lies in `store`.
    ///
    /// # Errors
    ///
    /// When it cannot be read: where objects are encrypted all of it is.
    pub(crate) fn lying_in(self, store: &dyn Store) -> Result<Self> {
        let encrypted = store.stored_form(&self.name)?.map(EncryptedForm::from);
        Ok(StoredObject { encrypted, ..self })
    }

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
        let counts = counts.filter(|(severity, _)| *severity != NOTE);
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
