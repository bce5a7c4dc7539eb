//! Samples out of blocks, as text.
//!
//! [`dump`] writes every sample that a Prometheus querier would return for the same blocks: series in label order across
//! blocks, each timestamp once, deleted ranges left out. Unlike a querier it does not stop at damage: what
//! cannot be read is reported as a [`Problem`], skipped and counted, and at the end the counts are held against what
//! the blocks' metadata promises.
//!
//! Memory: one series entry per block, and the chunks of one series that overlap in time.

mod candidates;
mod filter;
mod format;
mod lines;
mod overlap;
mod problem;
mod selector;
mod series;
mod sources;
mod tally;
mod view;
mod walk;

use std::io::Write;

pub use format::Format;
pub use problem::{Fault, Lost, Problem};
pub use selector::{Matcher, Selector};
pub use sources::{Sources, Unreadable};
pub use tally::{BlockTally, Tally};
pub use view::{AGGREGATE_LABEL, RESOLUTION_LABEL};

pub(crate) use candidates::Candidates;
pub(crate) use filter::Filter;
pub(crate) use format::LabelSlices;
pub(crate) use selector::anchored;
pub(crate) use series::{BlockSeries, Interval, deleted_intervals};
pub(crate) use view::View;
pub(crate) use walk::{Sink, Walk};

use crate::block::Block;
use crate::error::Result;
use crate::model::{ChunkMeta, Millis};
use crate::progress::Progress;
use lines::Lines;

/// What to dump, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// A series is dumped when any of these selects it; without any, all are.
    pub selectors: Vec<Selector>,
    /// First millisecond.
    pub since: Millis,
    /// Last millisecond.
    pub until: Millis,
    /// What lines look like.
    pub format: Format,
}

impl Default for Options {
    /// Everything, as text.
    fn default() -> Self {
        Options {
            selectors: Vec::new(),
            since: Millis::MIN,
            until: Millis::MAX,
            format: Format::default(),
        }
    }
}

impl Options {
    /// Whether every sample of a block is asked for.
    fn is_everything(&self) -> bool {
        self.selectors.is_empty() && self.since == Millis::MIN && self.until == Millis::MAX
    }

    /// Whether a chunk may hold samples that are asked for.
    fn concerns(&self, chunk: &ChunkMeta) -> bool {
        chunk.max_time >= self.since && chunk.min_time <= self.until
    }
}

/// Writes the samples of `blocks` to `out`. What is damaged goes to `report`, as soon as it is seen; `progress` is told how many
/// bytes of chunks were read.
///
/// Blocks of aggregates are dumped as series of their own, behind those of samples: with the labels [`AGGREGATE_LABEL`] and [`RESOLUTION_LABEL`] beside
/// those that they have.
///
/// Where blocks overlap and hold different samples for the same time, the block that begins later wins.
///
/// # Errors
///
/// When `out` cannot be written to. Damage is no error.
pub fn dump(
    blocks: &[Block],
    options: &Options,
    out: &mut dyn Write,
    progress: &dyn Progress,
    report: &mut dyn FnMut(Problem),
) -> Result<Tally> {
    let everything = options.selectors.is_empty();
    let total = blocks.iter().map(Block::chunk_bytes).sum();
    progress.begin("dump", everything.then_some(total));
    let mut walk = Walk::open(blocks, options, Lines::new(out, options.format), report)?;
    while walk.next_series(report) {
        let mut bytes = 0;
        while let Some(read) = walk.step(report) {
            bytes += read;
            walk.sink.check()?;
        }
        progress.advance(bytes);
    }
    progress.end();
    walk.check_promises(report);
    walk.sink.finish()?;
    Ok(walk.tally)
}

/// Whether `time` lies in one of the intervals, which are sorted and do not touch.
pub(crate) fn is_deleted(intervals: &[Interval], time: Millis) -> bool {
    let after = intervals.partition_point(|interval| interval.max_time < time);
    intervals
        .get(after)
        .is_some_and(|interval| interval.min_time <= time)
}
