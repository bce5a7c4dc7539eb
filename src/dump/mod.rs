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

use std::collections::BinaryHeap;
use std::io::Write;

pub use format::Format;
pub use problem::{Fault, Lost, Problem};
pub use selector::{Matcher, Selector};
pub use sources::{Sources, Unreadable};
pub use tally::{BlockTally, Tally};

pub(crate) use candidates::Candidates;
pub(crate) use filter::Filter;
pub(crate) use selector::anchored;
pub(crate) use series::{Interval, deleted_intervals};

use crate::block::Block;
use crate::error::Result;
use crate::model::{ChunkMeta, Millis};
use crate::progress::Progress;
use lines::Lines;
use overlap::Overlap;
use series::BlockSeries;

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
    let mut order: Vec<&Block> = blocks.iter().collect();
    order.sort_by_key(|block| (block.meta().min_time, block.meta().ulid));
    let mut run = Run {
        options,
        lines: Lines::new(out, options.format),
        tally: Tally::new(&order),
        report,
    };
    let everything = options.selectors.is_empty();
    let total = order.iter().map(|block| block.chunk_bytes()).sum();
    progress.begin("dump", everything.then_some(total));
    let mut heads = BinaryHeap::with_capacity(order.len());
    for (position, block) in order.iter().enumerate() {
        match BlockSeries::open(block, block.index()?, position, &options.selectors) {
            Ok(series) => run.advance(series, &mut heads),
            Err(fault) => {
                let lost = Lost::Block(block.meta().stats.num_samples);
                run.problem(position, Problem::of_index(block, fault, lost));
            }
        }
    }
    while let Some(first) = heads.pop() {
        let mut same = vec![first];
        while let Some(next) = heads.peek()
            && same
                .first()
                .is_some_and(|first| first.labels() == next.labels())
        {
            same.extend(heads.pop());
        }
        progress.advance(run.series(&same)?);
        for series in same {
            run.advance(series, &mut heads);
        }
    }
    progress.end();
    run.check_promises(&order);
    run.lines.finish()?;
    Ok(run.tally)
}

/// One call of [`dump`].
struct Run<'a, 'o> {
    options: &'a Options,
    lines: Lines<'o>,
    tally: Tally,
    report: &'o mut dyn FnMut(Problem),
}

impl Run<'_, '_> {
    fn problem(&mut self, position: usize, problem: Problem) {
        self.tally.count(position, &problem);
        (self.report)(problem);
    }

    /// Moves on to the next selected series of a block, and puts it among the heads if there is one.
    fn advance<'a>(
        &mut self,
        mut series: BlockSeries<'a>,
        heads: &mut BinaryHeap<BlockSeries<'a>>,
    ) {
        let position = series.position;
        let found = series.advance(&mut |problem| self.problem(position, problem));
        if let Some(block) = self.tally.blocks.get_mut(position) {
            block.series = series.seen;
        }
        if found {
            heads.push(series);
        }
    }

    /// Dumps one series, which stands at the head of `same`, and returns how many bytes of chunks were read.
    fn series(&mut self, same: &[BlockSeries<'_>]) -> Result<u64> {
        let mut chunks: Vec<(ChunkMeta, &BlockSeries<'_>)> = Vec::new();
        for series in same {
            let wanted = series
                .chunks()
                .iter()
                .filter(|chunk| self.options.concerns(chunk));
            chunks.extend(wanted.map(|chunk| (*chunk, series)));
        }
        chunks.sort_by_key(|(chunk, series)| (chunk.min_time, series.position, chunk.reference));
        let Some((_, series)) = chunks.first() else {
            return Ok(0);
        };
        let before = self.tally.samples;
        let mut bytes = 0;
        self.lines.series(series.labels());
        let mut overlap = Overlap::default();
        for (i, (chunk, series)) in chunks.iter().enumerate() {
            let next = chunks.get(i + 1).map(|(next, _)| next.min_time);
            let alone = overlap.is_empty() && next.is_none_or(|next| next > chunk.max_time);
            let into = if alone { None } else { Some(&mut overlap) };
            bytes += self.chunk(chunk, series, into);
            overlap.drain_before(next, &mut self.lines, &mut self.tally);
            self.lines.check()?;
        }
        if self.tally.samples > before {
            self.tally.series += 1;
            self.tally
                .count_labels(series.labels(), self.options.format);
        }
        Ok(bytes)
    }

    /// Dumps the samples of one chunk, directly or into `overlap`, and returns the bytes of its data.
    fn chunk(
        &mut self,
        chunk: &ChunkMeta,
        series: &BlockSeries<'_>,
        mut overlap: Option<&mut Overlap>,
    ) -> u64 {
        let mut range: Option<(Millis, Millis)> = None;
        let mut samples = 0u32;
        let options = self.options;
        let (lines, tally) = (&mut self.lines, &mut self.tally);
        let read = series.decode(chunk, |sample| {
            let time = sample.time();
            samples += 1;
            range = Some((range.map_or(time, |(first, _)| first), time));
            if time < options.since || time > options.until {
                return;
            }
            if is_deleted(series.deleted(), time) {
                tally.deleted += 1;
                return;
            }
            match &mut overlap {
                Some(overlap) => overlap.push(&sample, series.position, lines, tally),
                None => lines.sample(&sample, tally),
            }
        });
        if let Some(block) = self.tally.blocks.get_mut(series.position) {
            block.chunks += 1;
            block.samples += u64::from(samples);
        }
        let (bytes, problem) = match read {
            Ok(data) => (data.len, series.range_problem(chunk, range, data.offset)),
            Err((fault, promised)) => {
                let lost = Lost::Samples(promised.map(|promised| promised.saturating_sub(samples)));
                (0, Some(series.chunk_problem(chunk, fault, lost)))
            }
        };
        if let Some(problem) = problem {
            self.problem(series.position, problem);
        }
        bytes
    }

    /// Compares what was read with what the metadata promises, where everything was asked for.
    fn check_promises(&mut self, blocks: &[&Block]) {
        if !self.options.is_everything() {
            return;
        }
        for (position, block) in blocks.iter().enumerate() {
            let Some(read) = self.tally.blocks.get(position).copied() else {
                continue;
            };
            for problem in read.broken_promises(block) {
                self.problem(position, problem);
            }
        }
    }
}

/// Whether `time` lies in one of the intervals, which are sorted and do not touch.
pub(crate) fn is_deleted(intervals: &[Interval], time: Millis) -> bool {
    let after = intervals.partition_point(|interval| interval.max_time < time);
    intervals
        .get(after)
        .is_some_and(|interval| interval.min_time <= time)
}
