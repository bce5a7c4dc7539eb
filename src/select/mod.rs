//! What is asked for, and the reading of it: which blocks, which series, which samples.
//!
//! A [`Selection`] says which series and which time. [`SelectedBlocks`] opens the blocks of a
//! directory that count. A `Walk` merges the series of several blocks as a query would: in the
//! order of their labels, each time once, deleted ranges left out. Unlike a querier it does not
//! stop at damage: what cannot be read is reported as a [`ReadProblem`], skipped and counted.
//!
//! Memory: one series entry per block, and the chunks of one series that overlap in time.

mod blocks;
mod candidates;
mod cursor;
mod deleted;
mod filter;
mod merged;
mod overlap;
mod problem;
pub(crate) mod promql;
mod samples;
mod selector;
mod series;
mod sink;
mod tally;
mod view;

pub use blocks::{SelectedBlocks, UnreadableBlock};
pub use problem::{Fault, Lost, ReadKind, ReadProblem};
pub use samples::{Samples, SeriesSamples};
pub use selector::{Matcher, Selector};
pub use tally::{BlockTally, Tally};
pub use view::{AGGREGATE_LABEL, RESOLUTION_LABEL};

pub(crate) use candidates::Candidates;
pub(crate) use cursor::SeriesCursor;
pub(crate) use deleted::{Interval, intervals_of, is_deleted};
pub(crate) use filter::Filter;
pub(crate) use merged::Walk;
pub(crate) use selector::{METRIC_NAME, anchored};
pub(crate) use series::BlockSeries;
pub(crate) use sink::Sink;
pub(crate) use view::View;

use crate::block::Meta;
use crate::model::{ChunkMeta, Millis, TimeRange};

/// Labels of a series as name and value, borrowed from the index.
pub(crate) type LabelSlices<'a> = [(&'a [u8], &'a [u8])];

/// Which series are asked for, and which time.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// A series is asked for when any of these selects it; without any, all are.
    pub selectors: Vec<Selector>,
    /// The time that is asked for.
    pub range: TimeRange,
}

impl Selection {
    /// The series of any of `selectors`, or all, from `since` on and before `until`, in
    /// milliseconds.
    pub fn new(since: Millis, until: Millis, selectors: Vec<Selector>) -> Self {
        Selection {
            selectors,
            range: TimeRange { since, until },
        }
    }

    /// Whether every sample of every block is asked for.
    pub fn is_everything(&self) -> bool {
        self.selectors.is_empty() && self.range == TimeRange::ALL
    }

    /// Whether a chunk may hold samples of the time that is asked for.
    pub fn concerns(&self, chunk: &ChunkMeta) -> bool {
        self.range.overlaps(chunk.min_time, chunk.max_time)
    }

    /// Whether samples from `first` to `last`, both included, of a series of these labels may be
    /// asked for.
    pub fn concerns_series(&self, labels: &LabelSlices<'_>, first: Millis, last: Millis) -> bool {
        let mut selectors = self.selectors.iter();
        let selected = self.selectors.is_empty() || selectors.any(|one| one.selects(labels));
        selected && self.range.overlaps(first, last)
    }

    /// Whether every sample of every block from `min_time` to `max_time` (exclusive) is asked for.
    pub fn covers_block(&self, min_time: Millis, max_time: Millis) -> bool {
        self.selectors.is_empty() && self.range.covers_block(min_time, max_time)
    }

    /// What is asked for of the block that `meta` describes: samples outside a block's own range
    /// are found by no query, and a compaction drops them.
    pub(crate) fn within(&self, meta: &Meta) -> Selection {
        Selection {
            selectors: self.selectors.clone(),
            range: self.range.within(meta.min_time, meta.max_time),
        }
    }
}
