//! What must be known of a data directory, and assumed of the server, to foretell a start.

#![deny(clippy::wildcard_enum_match_arm)]

use std::path::PathBuf;

use super::DEFAULT_RETENTION;
use super::release::Release;
use crate::block::Meta;
use crate::chunk::{Encoding, Encodings};
use crate::model::{Millis, Ulid};
use crate::wal::RecordType;

/// The server that would be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assumptions {
    /// Its release.
    pub release: Release,
    /// `--storage.tsdb.retention.time`, in milliseconds; without one nothing goes for its age.
    pub retention: Option<Millis>,
    /// `--storage.tsdb.retention.size`, in bytes; without one nothing goes for its size.
    pub retention_size: Option<u64>,
    /// The time of the start; without it nothing is from the future.
    pub now: Option<Millis>,
}

impl Default for Assumptions {
    fn default() -> Self {
        Assumptions {
            release: Release::NEWEST,
            retention: Some(DEFAULT_RETENTION),
            retention_size: None,
            now: None,
        }
    }
}

/// Whether a start opens a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opens {
    /// It does.
    Yes,
    /// It logs a line and goes on without it.
    LeftOut,
    /// It fails to, and therefore ends, unless a block that was compacted from this one replaces
    /// it. The words say why.
    Fails(String),
}

/// One block.
#[derive(Clone, Debug)]
pub struct BlockFacts {
    /// Its directory.
    pub dir: PathBuf,
    /// Its identity: what `meta.json` says, or else the name of the directory.
    pub ulid: Option<Ulid>,
    /// What `meta.json` says, if it can be read.
    pub meta: Option<Meta>,
    /// Size of its files as the size rule of retention counts them, in bytes.
    pub bytes: u64,
    /// Times of its first and last sample, by its index.
    pub times: Option<(Millis, Millis)>,
    /// The encodings of its chunks.
    pub encodings: Encodings,
    /// Whether a start opens it.
    pub opens: Opens,
}

impl BlockFacts {
    /// Whether it holds aggregates of Thanos, be it that its metadata say so or its chunks.
    pub fn is_aggregate(&self) -> bool {
        let is_said = self
            .meta
            .as_ref()
            .is_some_and(|meta| meta.downsampled().is_some());
        is_said || self.encodings.contains(Encoding::Aggregates)
    }
}

/// A log, as far as a start replays it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayFacts {
    /// Times of its oldest and newest sample.
    pub times: Option<(Millis, Millis)>,
    /// Samples in it.
    pub samples: u64,
    /// The types of its records.
    pub records: Vec<RecordType>,
    /// Whether any of its records is compressed with Zstandard.
    pub zstd: bool,
    /// The time before which its newest checkpoint says that samples are in blocks.
    pub min_valid_time: Option<Millis>,
    /// Whether the fragments of any record disagree about its compression.
    pub mixed: bool,
    /// Whether they disagree about zstd alone.
    pub mixed_zstd: bool,
    /// Whether it deletes whole series that were stale.
    pub gone: bool,
    /// Where damage ends the replay, and what stands behind it.
    pub cut: Option<LogCut>,
    /// Samples that are neither in a block nor replayed, because they are older than the end of a
    /// block or than what the checkpoint says; and their times.
    pub hidden: Option<(u64, Millis, Millis)>,
}

/// What a start cuts off a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogCut {
    /// The damaged segment.
    pub path: PathBuf,
    /// Sound samples behind the damage, and their times.
    pub dropped: (u64, Option<(Millis, Millis)>),
}

/// How far a start comes before something ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The logs and `chunks_head` are opened: nothing has been deleted yet but what interrupted
    /// writers left.
    Opening,
    /// The blocks are opened: none has been deleted yet.
    Blocks,
    /// The logs are replayed: blocks beyond retention are gone.
    Replay,
}

/// Something that ends a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// How far the start comes.
    pub stage: Stage,
    /// The file or directory.
    pub path: PathBuf,
    /// What is wrong with it, as the id of a finding.
    pub what: String,
}

/// What is known of a data directory.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Its blocks.
    pub blocks: Vec<BlockFacts>,
    /// Its WAL.
    pub wal: Option<ReplayFacts>,
    /// Its WBL.
    pub wbl: Option<ReplayFacts>,
    /// Times of the first and the last sample that came in order, among the chunks of
    /// `chunks_head` whose series the WAL defines.
    pub head_chunks: Option<(Millis, Millis)>,
    /// Times of the first and the last sample that came late in `chunks_head`.
    pub late_chunks: Option<(Millis, Millis)>,
    /// Bytes of WAL, WBL and `chunks_head`, which the size rule of retention counts before any
    /// block.
    pub head_bytes: u64,
    /// What interrupted writers left and a start removes.
    pub leftovers: Vec<PathBuf>,
    /// What of the head's own files a start drops and rebuilds from the logs, in words.
    pub rebuilt: Vec<(PathBuf, String)>,
    /// What ends the start.
    pub obstacles: Vec<Obstacle>,
}
