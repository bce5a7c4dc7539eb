//! A cheap look at the source: what it holds, and enough of every block to know whether it is
//! stored already.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::hooks::{Hooks, Moment};
use crate::block::{self, DataDir, DirKind, EntryKind, Meta};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{MAX_META_BYTES, Millis, Ulid};
use crate::raw::Links;
use crate::repository::{Fingerprint, StoredBlock, StoredFile};
use crate::stored::write::{Listing, Miss, OpenBlock, fingerprint};
use crate::wal::Log;

/// What a look at the source tells.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Its blocks, except those that were to be passed over.
    pub(super) blocks: Vec<BlockSurvey>,
    /// Whether it is a Prometheus snapshot.
    pub(super) is_snapshot: bool,
    /// Whether a block vanished while it was looked at.
    pub(super) vanished: bool,
    /// Blocks that are there and cannot be read, by name.
    pub(super) unreadable: BTreeMap<String, Error>,
    /// What is not archived, by name, with the reason.
    pub(super) left_out: BTreeMap<String, &'static str>,
}

impl Survey {
    /// The end of the newest block that was not made of out-of-order samples.
    pub(super) fn in_order_end(&self) -> Option<Millis> {
        let metas = self.blocks.iter().filter_map(|block| block.meta.as_ref());
        let in_order = metas.filter(|meta| meta.is_in_order());
        in_order.map(|meta| meta.max_time).max()
    }
}

/// Where a block is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Its identity in the repository: the name of its directory.
    pub(super) ulid: Ulid,
    /// Its directory.
    pub(super) dir: PathBuf,
    /// Whether that is a symbolic link, so that Prometheus does not see the block.
    pub(super) is_link: bool,
    /// Whether it is what the user named, and not found in a data directory.
    pub(super) is_given: bool,
}

impl Found {
    /// Opens the block.
    pub(super) fn open(&self, links: Links) -> Result<OpenBlock, Miss> {
        if self.is_given {
            OpenBlock::open_given(&self.dir, links)
        } else {
            OpenBlock::open(&self.dir, links)
        }
    }
}

/// What a look at a block tells.
#[derive(Clone, Debug)]
pub(super) struct BlockSurvey {
    /// Where it is.
    pub(super) found: Found,
    /// Identity of its immutable part.
    pub(super) fingerprint: Fingerprint,
    /// What its `meta.json` says; `None` when there is none that can be read.
    pub(super) meta: Option<Meta>,
    /// Its files that may change, with the digests they have now.
    pub(super) mutable: Vec<StoredFile>,
    /// Length of all its files together, in bytes.
    pub(super) bytes: u64,
    /// Names of all that is in its directory.
    pub(super) listing: Listing,
}

impl BlockSurvey {
    /// Looks at an open block.
    pub(super) fn of(found: Found, block: &OpenBlock) -> Result<Self> {
        let mutable = block.files.iter().filter(|file| !file.name.is_immutable());
        let mutable = mutable.map(|file| {
            Ok(StoredFile {
                name: file.name.clone(),
                bytes: file.bytes,
                sha256: file.digest()?,
                sidecar: false,
                packed: false,
            })
        });
        Ok(BlockSurvey {
            found,
            fingerprint: fingerprint(block)?,
            meta: read_meta(block)?,
            mutable: mutable.collect::<Result<_>>()?,
            bytes: block.bytes(),
            listing: block.listing.clone(),
        })
    }

    /// The block's identity.
    pub(super) fn ulid(&self) -> Ulid {
        self.found.ulid
    }

    /// The time it covers, as far as its `meta.json` says it.
    pub(super) fn range(&self) -> (Millis, Millis) {
        let told = self
            .meta
            .as_ref()
            .map(|meta| (meta.min_time, meta.max_time));
        told.unwrap_or((Millis::MIN, Millis::MAX))
    }

    /// `stored`, which is this block, with what its `meta.json` says of the samples it holds: an
    /// archive made by an earlier version does not.
    pub(super) fn tell(&self, mut stored: StoredBlock) -> StoredBlock {
        let Some(meta) = &self.meta else {
            return stored;
        };
        stored.tell(meta.stream(), &meta.compaction.hints);
        stored
    }

    /// The blocks it was compacted from; the all-zero ULID of out-of-order blocks is none.
    pub(super) fn parents(&self) -> Vec<Ulid> {
        let parents = self.meta.iter().flat_map(|meta| &meta.compaction.parents);
        let parents = parents.map(|parent| parent.ulid);
        parents.filter(|parent| *parent != Ulid::ZERO).collect()
    }
}

fn read_meta(block: &OpenBlock) -> Result<Option<Meta>> {
    match block.get("meta.json") {
        Some(file) if file.bytes <= MAX_META_BYTES => {
            Ok(Meta::parse(&file.read_at(0, file.bytes)?).ok())
        }
        _ => Ok(None),
    }
}

/// Looks at the directory `dir` and at all blocks in it, except those in `known`.
pub(super) fn survey(
    dir: &Path,
    known: &BTreeSet<Ulid>,
    links: Links,
    hooks: &dyn Hooks,
) -> Result<Survey> {
    let scanned = DataDir::scan(dir)?;
    hooks.reached(Moment::Listed);
    let mut survey = Survey {
        is_snapshot: scanned.place() == DirKind::PrometheusSnapshot,
        ..Survey::default()
    };
    let mut found = BTreeMap::new();
    for entry in scanned.entries() {
        match (entry.kind.is_block(), left_out(entry.kind)) {
            (true, _) => {
                let block = locate(entry, dir)?;
                // Two spellings of one ULID: Prometheus' own comes first.
                if let Entry::Vacant(place) = found.entry(block.ulid) {
                    place.insert(block);
                } else {
                    let reason = "another spelling of a block that is archived";
                    survey.left_out.insert(entry.name(), reason);
                }
            }
            (false, Some(_)) if entry.is_lost_block() => {
                let nothing =
                    Error::new(ErrorKind::Io, "expected a block, found a link to nothing");
                survey.unreadable.insert(entry.name(), nothing);
            }
            // No directory, and said with the logs.
            (false, Some(_))
                if [Log::Wal, Log::Wbl]
                    .map(Log::name)
                    .contains(&&*entry.name()) => {}
            (false, Some(reason)) => {
                survey.left_out.insert(entry.name(), reason);
            }
            (false, None) => {}
        }
    }
    found.retain(|ulid, _| !known.contains(ulid));
    let looks = found
        .into_par_iter()
        .map(|(ulid, found)| (ulid, look(found, links)));
    for (ulid, look) in looks.collect::<Vec<_>>() {
        match look {
            Ok(block)
                if block
                    .meta
                    .as_ref()
                    .is_some_and(|meta| meta.compaction.deletable) =>
            {
                let reason = "everything in it was deleted; Prometheus is about to remove it";
                survey.left_out.insert(ulid.to_string(), reason);
            }
            Ok(block) => survey.blocks.push(block),
            Err(Miss::Vanished) => survey.vanished = true,
            Err(Miss::Unreadable(error)) => {
                survey.unreadable.insert(ulid.to_string(), error);
            }
        }
    }
    Ok(survey)
}

fn look(found: Found, links: Links) -> Result<BlockSurvey, Miss> {
    let block = found.open(links)?;
    Ok(BlockSurvey::of(found, &block)?)
}

/// A block given by itself may lie in a directory of any name; then its metadata says what it is.
fn locate(entry: &block::DirEntry, source: &Path) -> Result<Found> {
    let nameless = || {
        Error::invalid(format!(
            "expected a block in a directory named by its ULID, found {}",
            entry.path.display()
        ))
    };
    let ulid = if let Some(ulid) = entry.ulid {
        ulid
    } else {
        let meta = std::fs::read(entry.path.join("meta.json")).map_err(|_| nameless())?;
        Meta::parse(&meta).map_err(|_| nameless())?.ulid
    };
    Ok(Found {
        ulid,
        dir: entry.path.clone(),
        is_link: entry.kind == EntryKind::SymlinkedBlock,
        is_given: entry.path == source,
    })
}

/// Why an entry is not archived; `None` for what is.
fn left_out(kind: EntryKind) -> Option<&'static str> {
    match kind {
        EntryKind::BeingCreated => Some("a block that was being written"),
        EntryKind::BeingDeleted => Some("a block that was being deleted"),
        EntryKind::Temporary => Some("left by an interrupted writer"),
        EntryKind::ChunksHead | EntryKind::ChunkSnapshot => Some("the WAL rebuilds it"),
        EntryKind::Snapshots => Some("Prometheus snapshots are copies"),
        EntryKind::Lock | EntryKind::QueryLog => Some("means nothing without the server"),
        EntryKind::Sandbox => Some("left by a reader that was killed"),
        EntryKind::Foreign => Some("nothing that Prometheus knows"),
        EntryKind::Block
        | EntryKind::MisspelledBlock
        | EntryKind::SymlinkedBlock
        | EntryKind::Head
        | EntryKind::Wal
        | EntryKind::Wbl => None,
    }
}
