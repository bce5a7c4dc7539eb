//! The head as data: what a start of Prometheus makes of the logs of a data directory, as a block.
//!
//! The newest hours of a server are in no block. They are in its logs, in the order in which they
//! came, and a start of the server replays them. [`Head`] does the same, and [`Head::write_block`]
//! writes what comes out as one block, which every room reads like any other: each series once, its
//! samples in the order of time, what was deleted left out.
//!
//! * Of the WAL, the newest checkpoint and what follows it is replayed. Samples before the end of
//!   the newest block are in that, and passed over; so are samples that are not later than the last
//!   of their series, and those of series that nothing defines.
//! * Samples that came late are in the WBL. They are merged as a query merges them; of late samples
//!   of one time the first counts.
//! * Damage ends a log, as it does in a start: what is before it counts.
//!
//! Source: Prometheus `tsdb/head_wal.go`.
//!
//! Memory: the labels of all series, and one open chunk for each series; while the block is
//! written, the chunks of one series. Chunks that are full go into a temporary file.
//!
//! ```
//! use narthex::block::Block;
//! use narthex::progress::Silent;
//! use narthex::raw::ReadMode;
//! use narthex::replay::Head;
//!
//! let head = Head::read("fixtures/night-1".as_ref(), ReadMode::Map, &Silent)?;
//! let target = tempfile::tempdir().map_err(|e| narthex::Error::io("make", "/tmp".as_ref(), e))?;
//! let ulid = head.ulid();
//! let dir = head.write_block(target.path(), ulid)?.expect("a log with samples");
//! let block = Block::open(&dir, ReadMode::Map)?;
//! assert!(block.meta().stats.num_samples > 0);
//! # Ok::<(), narthex::Error>(())
//! ```

mod chunks;
mod gather;
mod late;
mod logs;
mod series;
mod spool;
mod write;

use std::path::{Path, PathBuf};

use crate::block::DataDir;
use crate::error::Result;
use crate::model::{Millis, Ulid};
use crate::progress::Progress;
use crate::raw::ReadMode;
use logs::Replay;

pub(crate) use gather::Gathered;
pub(crate) use logs::{is_sound, plain};
pub(crate) use series::SeriesId;

/// How often a log is read anew that a running server has shortened meanwhile.
const MAX_TRIES: u32 = 5;

/// A hole before the head is one from this length on, in milliseconds.
const MIN_HOLE: Millis = 60_000;

/// What the logs of a data directory hold that no block does.
#[derive(Debug)]
pub struct Head {
    replay: Replay,
    facts: HeadFacts,
}

/// What was found in the logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeadFacts {
    /// Series with samples.
    pub series: u64,
    /// Samples that a start keeps, those included that came late, also if their time has another
    /// one, and those that were deleted.
    pub samples: u64,
    /// Times of the first and the last of them.
    pub times: Option<(Millis, Millis)>,
    /// Samples, exemplars and metadata whose series nothing defines: a start passes them over.
    pub unknown: u64,
    /// What ends a log before its end, in words: what follows it is lost to a start.
    pub broken: Vec<String>,
    /// The time before which samples of the WAL are in blocks, in milliseconds; [`Millis::MIN`]
    /// where there is no block.
    pub since: Millis,
}

/// The head as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedHead {
    /// Times of its first and its last sample.
    pub times: (Millis, Millis),
    /// The hole between the end of the newest block that was not made of late samples and its first
    /// sample, where there is one, in milliseconds.
    pub gap: Option<Millis>,
    /// Series with samples; `None` where the logs were not read.
    pub series: Option<u64>,
    /// Samples; `None` where the logs were not read.
    pub samples: Option<u64>,
    /// Bytes of the logs that a start reads.
    pub bytes: u64,
}

impl ListedHead {
    /// That of which `facts` were found in `bytes` bytes of logs; `None` where no sample was.
    pub fn of(facts: &HeadFacts, bytes: u64) -> Option<Self> {
        let times = facts.times?;
        Some(ListedHead {
            times,
            gap: hole(Some(facts.since), times.0),
            series: Some(facts.series),
            samples: Some(facts.samples),
            bytes,
        })
    }
}

/// The hole between blocks that end at `end` and a head that begins at `begin`. Blocks end up to a
/// scrape interval before it.
pub(crate) fn hole(end: Option<Millis>, begin: Millis) -> Option<Millis> {
    let end = end.filter(|end| *end != Millis::MIN)?;
    let hole = begin.saturating_sub(end);
    (hole >= MIN_HOLE).then_some(hole)
}

impl Head {
    /// Replays the logs of the data directory `dir`. A server may run on it.
    ///
    /// # Errors
    ///
    /// When the directory or a log cannot be listed, a segment cannot be read, or the temporary
    /// file cannot be written. Damage is none: [`HeadFacts::broken`] says it.
    pub fn read(dir: &Path, mode: ReadMode, progress: &dyn Progress) -> Result<Self> {
        let mut tries = 1;
        loop {
            let end = DataDir::scan(dir)?.in_order_end();
            let read = Replay::read(dir, end.unwrap_or(Millis::MIN), mode, progress);
            // A server that runs has made a block of what was there, or a checkpoint.
            let again = match &read {
                Err(error) => error.kind() == crate::error::ErrorKind::NotFound,
                Ok(_) => DataDir::scan(dir)?.in_order_end() != end,
            };
            if again && tries < MAX_TRIES {
                tries += 1;
                continue;
            }
            return read.map(Head::of);
        }
    }

    /// Replays the logs in `dir`, which stand beside blocks that are not there: these end at
    /// `since`.
    ///
    /// # Errors
    ///
    /// As [`Head::read`].
    pub fn of_logs(
        dir: &Path,
        since: Option<Millis>,
        mode: ReadMode,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let read = Replay::read(dir, since.unwrap_or(Millis::MIN), mode, progress);
        read.map(Head::of)
    }

    fn of(replay: Replay) -> Self {
        let facts = replay.facts();
        Head { replay, facts }
    }

    /// A name for the block that is the same for the same records and samples, and another for
    /// others: of the time of the newest sample, their number and a digest of all records.
    pub fn ulid(&self) -> Ulid {
        let newest = self.facts.times.map_or(0, |(_, newest)| newest);
        let digest = u128::from(self.replay.digest) << 16;
        Ulid::from_parts(newest, digest ^ u128::from(self.facts.samples))
    }

    /// What was found.
    pub fn facts(&self) -> &HeadFacts {
        &self.facts
    }

    /// Writes the block `ulid` into the directory `parent`, and returns its directory; `None` where
    /// the logs hold no sample that counts.
    ///
    /// # Errors
    ///
    /// When the temporary file cannot be read, or the block cannot be written.
    pub fn write_block(self, parent: &Path, ulid: Ulid) -> Result<Option<PathBuf>> {
        let Some(times) = self.facts.times else {
            return Ok(None);
        };
        let written = write::write_block(self.replay, times, parent, ulid)?;
        Ok(written.map(|(dir, _)| dir))
    }
}
