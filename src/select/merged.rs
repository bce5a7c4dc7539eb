//! Series of several blocks, merged as a query would merge them, one chunk at a time.

use std::collections::BinaryHeap;

use super::deleted::is_deleted;
use super::overlap::Overlap;
use super::problem::{Lost, ReadProblem};
use super::series::BlockSeries;
use super::sink::Sink;
use super::tally::Tally;
use super::view::View;
use super::{LabelSlices, Selection};
use crate::block::Block;
use crate::error::Result;
use crate::model::{ChunkMeta, Millis};

/// Stands at one series of several blocks, which is read chunk by chunk.
pub(crate) struct Walk<'a, S> {
    selection: &'a Selection,
    blocks: Vec<&'a Block>,
    heads: BinaryHeap<BlockSeries<'a>>,
    /// The series as each block has it.
    same: Vec<BlockSeries<'a>>,
    /// Its chunks in the order of their time, with the position in `same`.
    chunks: Vec<(ChunkMeta, usize)>,
    /// Chunks that were read.
    read: usize,
    /// Samples taken before the series began.
    before: u64,
    overlap: Overlap,
    pub(crate) tally: Tally,
    pub(crate) sink: S,
}

impl<'a, S: Sink> Walk<'a, S> {
    /// Stands before the first series of `blocks`.
    ///
    /// # Errors
    ///
    /// When an index cannot be opened at all. Other damage goes to `report`.
    pub(crate) fn open(
        blocks: &'a [Block],
        selection: &'a Selection,
        sink: S,
        report: &mut dyn FnMut(ReadProblem),
    ) -> Result<Self> {
        let mut order: Vec<&Block> = blocks.iter().collect();
        order.sort_by_key(|block| (block.meta().min_time, block.meta().ulid));
        let mut walk = Walk {
            selection,
            heads: BinaryHeap::with_capacity(order.len()),
            same: Vec::new(),
            chunks: Vec::new(),
            read: 0,
            before: 0,
            overlap: Overlap::default(),
            tally: Tally::new(&order),
            sink,
            blocks: order,
        };
        for position in 0..walk.blocks.len() {
            let Some(&block) = walk.blocks.get(position) else {
                break;
            };
            for view in View::of(block) {
                let (index, selectors) = (block.index()?, &selection.selectors);
                match BlockSeries::open(block, index, position, view, selectors) {
                    Ok(series) => walk.advance(series, report),
                    Err(fault) => {
                        let lost = Lost::Block(block.meta().stats.num_samples);
                        walk.problem(position, ReadProblem::of_index(block, fault, lost), report);
                        break;
                    }
                }
            }
        }
        Ok(walk)
    }

    /// Moves to the next series that may have samples; `false` when there is none. What was not
    /// read of the series before is skipped.
    pub(crate) fn next_series(&mut self, report: &mut dyn FnMut(ReadProblem)) -> bool {
        loop {
            for series in std::mem::take(&mut self.same) {
                self.advance(series, report);
            }
            let Some(first) = self.heads.pop() else {
                return false;
            };
            self.same.push(first);
            while let Some(next) = self.heads.peek()
                && self.key() == next.key()
            {
                self.same.extend(self.heads.pop());
            }
            self.list_chunks();
            if !self.chunks.is_empty() {
                self.before = self.tally.samples;
                if let Some(series) = self.same.first() {
                    self.sink.begin(series.labels());
                }
                return true;
            }
        }
    }

    /// What decides which series come first, for all walks alike.
    pub(crate) fn key(&self) -> (View, &LabelSlices<'a>) {
        self.same
            .first()
            .map_or((View::default(), &[]), BlockSeries::key)
    }

    /// Labels of the series.
    pub(crate) fn labels(&self) -> &[(&'a [u8], &'a [u8])] {
        self.same.first().map_or(&[], BlockSeries::labels)
    }

    /// Reads the next chunk of the series, and returns how many bytes its data are; `None` when
    /// there is none.
    pub(crate) fn step(&mut self, report: &mut dyn FnMut(ReadProblem)) -> Option<u64> {
        let &(chunk, same) = self.chunks.get(self.read)?;
        self.read += 1;
        let next = self.chunks.get(self.read).map(|(next, _)| next.min_time);
        let alone = self.overlap.is_empty() && next.is_none_or(|next| next > chunk.max_time);
        let bytes = self.chunk(&chunk, same, !alone, report);
        self.overlap
            .drain_before(next, &mut self.sink, &mut self.tally);
        if next.is_none()
            && self.tally.samples > self.before
            && let Some(series) = self.same.first()
        {
            self.tally.series += 1;
            self.sink.end(series.labels());
        }
        Some(bytes)
    }

    /// Compares what was read with what the metadata promises, where everything was asked for.
    pub(crate) fn check_promises(&mut self, report: &mut dyn FnMut(ReadProblem)) {
        if !self.selection.is_everything() {
            return;
        }
        for (position, block) in self.blocks.clone().into_iter().enumerate() {
            let Some(read) = self.tally.blocks.get(position).copied() else {
                continue;
            };
            for problem in read.broken_promises(block) {
                self.problem(position, problem, report);
            }
        }
    }

    fn problem(
        &mut self,
        position: usize,
        problem: ReadProblem,
        report: &mut dyn FnMut(ReadProblem),
    ) {
        self.tally.count(position, &problem);
        report(problem);
    }

    /// Moves on to the next selected series of a block, and puts it among the heads if there is
    /// one.
    fn advance(&mut self, mut series: BlockSeries<'a>, report: &mut dyn FnMut(ReadProblem)) {
        let position = series.position;
        let is_first = series.is_first();
        let found = series.advance(&mut |problem| {
            if is_first {
                self.problem(position, problem, report);
            }
        });
        if let Some(block) = self.tally.blocks.get_mut(position)
            && is_first
        {
            block.series = series.seen();
        }
        if found {
            self.heads.push(series);
        }
    }

    fn list_chunks(&mut self) {
        self.chunks.clear();
        self.read = 0;
        for (position, series) in self.same.iter().enumerate() {
            let chunks = series.chunks().iter();
            let wanted = chunks.filter(|chunk| self.selection.concerns(chunk));
            self.chunks.extend(wanted.map(|chunk| (*chunk, position)));
        }
        let block = |same: usize| self.same.get(same).map(|series| series.position);
        self.chunks
            .sort_by_key(|(chunk, same)| (chunk.min_time, block(*same), chunk.reference));
    }

    /// Takes the samples of one chunk, directly or by way of the overlap, and returns the bytes of
    /// its data.
    fn chunk(
        &mut self,
        chunk: &ChunkMeta,
        same: usize,
        overlaps: bool,
        report: &mut dyn FnMut(ReadProblem),
    ) -> u64 {
        let Some(series) = self.same.get(same) else {
            return 0;
        };
        let mut found: Option<(Millis, Millis)> = None;
        let mut samples = 0u32;
        let (range, sink) = (self.selection.range, &mut self.sink);
        let (tally, overlap) = (&mut self.tally, &mut self.overlap);
        let position = series.position;
        let read = series.decode(chunk, |sample| {
            let time = sample.time();
            samples += 1;
            found = Some((found.map_or(time, |(first, _)| first), time));
            if !range.contains(time) {
                return;
            }
            if is_deleted(series.deleted(), time) {
                tally.deleted += 1;
                return;
            }
            if overlaps {
                overlap.push(&sample, position, sink, tally);
            } else if sink.sample(&sample) {
                tally.samples += 1;
            } else {
                tally.unsayable += 1;
            }
        });
        if let Some(block) = tally.blocks.get_mut(position)
            && series.is_first()
        {
            block.chunks += 1;
            block.samples += u64::from(samples);
        }
        let (bytes, problem) = match read {
            Ok(data) => (data.len, series.range_problem(chunk, found, data.offset)),
            Err((fault, promised)) => {
                let lost = Lost::Samples(promised.map(|promised| promised.saturating_sub(samples)));
                (0, Some(series.chunk_problem(chunk, fault, lost)))
            }
        };
        if let Some(problem) = problem {
            self.problem(position, problem, report);
        }
        bytes
    }
}
