//! Write-ahead logs: the `wal/` and `wbl/` directories of a data directory.
//!
//! A log is a row of numbered segments, and for the WAL a checkpoint that replaces its oldest ones.
//! A segment is cut into pages of 32 KiB, a page into fragments with a CRC-32C each; fragments make
//! up records, which may be compressed as a whole. The formats are those of Prometheus' `tsdb/wlog`
//! and `tsdb/record`.
//!
//! * [`LogListing`] says what a log directory holds, by names alone, and what of it Prometheus
//!   would replay.
//! * [`Records`] reads the records of one segment, [`RawRecord::decode`] turns one into a typed
//!   [`LogRecord`].
//! * [`summarize`] reads a whole log and says what is in it, where it is damaged and what
//!   Prometheus will do about that; [`follow`] says as well which entries belong to no series.
//! * [`Logs`] reads both logs of a data directory that way.
//!
//! # Hostile input
//!
//! Any bytes may stand in a segment. Reading ends with the first damage: what follows it has no
//! known borders. One record is held at a time; a record that is not compressed is at most as long
//! as its segment, and a compressed one is refused when it would grow beyond [`MAX_RECORD_BYTES`].
//! Which series are defined is kept in pages of bits, of which there are at most so many; what then
//! does not fit is said not to have been followed.
//!
//! ```
//! use narthex::raw::ReadMode;
//! use narthex::wal::{Log, summarize_dir};
//!
//! let log = summarize_dir("fixtures/night-1/wal".as_ref(), Log::Wal, ReadMode::Read)?;
//! assert!(log.problems.is_empty());
//! println!("{} bytes in {} segments", log.bytes(), log.segments.len());
//! # Ok::<(), narthex::Error>(())
//! ```

mod ahead;
mod checkpoint;
mod compression;
mod contents;
mod follow;
mod frame;
mod listing;
mod logs;
mod oddity;
mod page;
mod problem;
mod record;
mod refs;
mod segment;
mod summary;
mod watch;
#[cfg(test)]
pub(crate) mod writer;

pub use checkpoint::Replay;
pub use compression::{Compression, MAX_RECORD_BYTES};
pub use contents::Contents;
pub use follow::{Follow, Undefined};
pub(crate) use frame::Framer;
pub use listing::{Checkpoint, EntryType, Extra, LogEntry, LogListing, SegmentFile};
pub use logs::{LogFacts, Logs};
pub use oddity::{Oddities, Oddity, Seen};
pub use page::{Broken, PAGE_BYTES};
pub use problem::{Later, LogConsequence, LogProblem, ProblemKind};
pub use record::{
    Decode, Entries, ExemplarEntry, Exemplars, HeadChunkRef, HeadSeriesRef, HistogramEntry,
    Histograms, LabelPairs, LogRecord, LoggedSamples, LoggedSeries, LoggedTombstones, MarkerEntry,
    Markers, MetadataEntry, MetadataList, RecordType, SampleEntry, SeriesList, TombstoneEntry,
};
pub(crate) use record::{HistogramCounts, StampReader, write_histogram, write_labels};
pub use segment::{RawRecord, Records};
pub use summary::{End, SegmentSummary, Summary, follow, summarize, summarize_dir};
pub use watch::{Differences, HeadSpan, ReplayTally, Snapshot, Watch};

/// Which of the two logs a directory is. They share the container, not the rules of replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Log {
    /// The write-ahead log, `wal/`: everything that was ingested. Replay starts at the newest
    /// checkpoint.
    Wal,
    /// The write-behind log, `wbl/`: out-of-order samples only. It has no checkpoints and may start
    /// anywhere.
    Wbl,
}

impl Log {
    /// The name of its directory.
    pub fn name(self) -> &'static str {
        match self {
            Log::Wal => "wal",
            Log::Wbl => "wbl",
        }
    }
}
