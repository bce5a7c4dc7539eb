//! Where the bytes of a repository are: by codec, and for packs by what is in them.

use std::collections::{BTreeMap, BTreeSet};

use super::stored_pack::StoredPack;
use crate::error::{Error, Result};
use crate::pack::Pack;
use crate::progress::Progress;
use crate::repository::{Archive, LogObjects, Mended, ObjectCodec, StoredObject};
use crate::store::{ObjectName, Store};

/// What blocks and logs in one codec take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodecStats {
    /// The codec: `dense`, `portable`; `wal` for logs, which are always portable; `mended` for
    /// what stands in for damaged objects.
    pub codec: String,
    /// Distinct blocks in it, or objects of logs.
    pub items: u64,
    /// Size of their files in bytes, each counted once.
    pub raw_bytes: u64,
    /// Size of the objects that hold them, in bytes.
    pub stored_bytes: u64,
    /// Samples in them.
    pub samples: u64,
}

/// What one kind of column takes in all packs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartStats {
    /// What it is.
    pub name: &'static str,
    /// Bytes it takes.
    pub bytes: u64,
    /// Bytes of all packs.
    pub of_bytes: u64,
    /// Samples in all packs.
    pub of_samples: u64,
}

/// What a repository consists of.
#[derive(Debug, Default)]
pub struct DenseStats {
    /// Number of archives.
    pub archives: u64,
    /// Size of the files of all archives in bytes, as often as archives hold them.
    pub logical_bytes: u64,
    /// By codec.
    pub codecs: Vec<CodecStats>,
    /// What packs consist of, largest first.
    pub parts: Vec<PartStats>,
    /// What is wrong with packs that cannot be read: they are in no part.
    pub unread: Vec<Error>,
}

impl DenseStats {
    /// Adds what another repository consists of, which shares nothing with this one.
    pub fn absorb(&mut self, other: DenseStats) {
        self.archives += other.archives;
        self.logical_bytes = self.logical_bytes.saturating_add(other.logical_bytes);
        for codec in other.codecs {
            match self.codecs.iter_mut().find(|own| own.codec == codec.codec) {
                None => self.codecs.push(codec),
                Some(own) => {
                    own.items += codec.items;
                    own.raw_bytes = own.raw_bytes.saturating_add(codec.raw_bytes);
                    own.stored_bytes = own.stored_bytes.saturating_add(codec.stored_bytes);
                    own.samples = own.samples.saturating_add(codec.samples);
                }
            }
        }
        self.codecs.sort_by(|a, b| a.codec.cmp(&b.codec));
        let all = |parts: &[PartStats]| {
            parts
                .first()
                .map_or((0, 0), |it| (it.of_bytes, it.of_samples))
        };
        let (own, theirs) = (all(&self.parts), all(&other.parts));
        for part in other.parts {
            match self.parts.iter_mut().find(|own| own.name == part.name) {
                None => self.parts.push(part),
                Some(own) => own.bytes = own.bytes.saturating_add(part.bytes),
            }
        }
        for part in &mut self.parts {
            part.of_bytes = own.0.saturating_add(theirs.0);
            part.of_samples = own.1.saturating_add(theirs.1);
        }
        sort(&mut self.parts);
        self.unread.extend(other.unread);
    }
}

fn sort(parts: &mut [PartStats]) {
    parts.sort_by_key(|part| (std::cmp::Reverse(part.bytes), part.name));
}

/// Adds up what `archives` need of `store`. With `parts`, every pack is read.
///
/// # Errors
///
/// When replacements cannot be listed.
pub fn stats(
    store: &dyn Store,
    archives: &[Archive],
    parts: bool,
    progress: &dyn Progress,
) -> Result<DenseStats> {
    let mut codecs: BTreeMap<&str, CodecStats> = BTreeMap::new();
    let mut seen: BTreeSet<&ObjectName> = BTreeSet::new();
    let mut packs: Vec<&StoredObject> = Vec::new();
    let mut logical_bytes = 0u64;
    for archive in archives {
        logical_bytes = logical_bytes.saturating_add(archive.bytes());
        for block in &archive.blocks {
            let codec = codecs.entry(block.object.codec.as_str()).or_default();
            if seen.insert(&block.object.name) {
                codec.items += 1;
                codec.raw_bytes = codec.raw_bytes.saturating_add(block.bytes());
                codec.samples = codec.samples.saturating_add(block.samples);
                codec.stored_bytes += block.object.listed_bytes();
            }
            for object in block.packs.iter().chain(&block.sidecar) {
                if seen.insert(&object.name) {
                    codec.stored_bytes += object.listed_bytes();
                    packs.extend(Some(object).filter(|object| object.codec == ObjectCodec::Pack));
                }
            }
        }
        if let Some(wal) = &archive.wal {
            let codec = codecs.entry("wal").or_default();
            for (object, piece) in wal.objects().zip(wal.pieces().iter()) {
                if !seen.insert(&object.name) {
                    continue;
                }
                codec.items += 1;
                codec.stored_bytes += object.listed_bytes();
                let bytes = piece.parts.iter().map(|part| part.bytes);
                codec.raw_bytes = bytes.fold(codec.raw_bytes, u64::saturating_add);
                let samples = match &wal.held {
                    LogObjects::One(_) => wal.samples,
                    LogObjects::Pieces(_) => piece.samples(),
                };
                codec.samples = codec.samples.saturating_add(samples);
            }
        }
    }
    let mended = Mended::list(store)?;
    for (_, bytes) in seen.iter().flat_map(|name| mended.of_object(name)) {
        let codec = codecs.entry("mended").or_default();
        codec.items += 1;
        codec.stored_bytes = codec.stored_bytes.saturating_add(*bytes);
    }
    let mut unread = Vec::new();
    let named = codecs.into_iter().map(|(codec, stats)| CodecStats {
        codec: codec.to_owned(),
        ..stats
    });
    Ok(DenseStats {
        archives: archives.len() as u64,
        logical_bytes,
        codecs: named.collect(),
        parts: if parts {
            part_stats(store, &packs, &mut unread, progress)
        } else {
            Vec::new()
        },
        unread,
    })
}

fn part_stats(
    store: &dyn Store,
    packs: &[&StoredObject],
    unread: &mut Vec<Error>,
    progress: &dyn Progress,
) -> Vec<PartStats> {
    let mut of_bytes = packs.iter().map(|pack| pack.bytes).sum();
    progress.begin("reading packs", Some(of_bytes));
    let mut of_samples = 0;
    let mut sums: BTreeMap<&'static str, u64> = BTreeMap::new();
    for object in packs {
        let stored = StoredPack::new(store, &object.name, object.bytes);
        let read = Pack::open(&stored).and_then(|pack| Ok((pack.parts()?, pack.samples())));
        let (parts, samples) = match read {
            Ok(read) => read,
            Err(error) => {
                unread.push(error.context(format!("object {}", object.name)));
                of_bytes -= object.bytes;
                continue;
            }
        };
        of_samples += samples;
        for (name, bytes) in parts {
            *sums.entry(name).or_default() += bytes;
        }
        progress.advance(object.bytes);
    }
    progress.end();
    let parts = sums.into_iter().filter(|(_, bytes)| *bytes > 0);
    let mut parts: Vec<_> = parts
        .map(|(name, bytes)| PartStats {
            name,
            bytes,
            of_bytes,
            of_samples,
        })
        .collect();
    sort(&mut parts);
    parts
}
