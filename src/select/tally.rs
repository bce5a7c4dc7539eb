//! What was read, left out and lost.

use super::problem::{Fault, Lost, ReadProblem};
use crate::block::Block;

/// The counts of one walk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Series of which samples were taken.
    pub series: u64,
    /// Samples taken.
    pub samples: u64,
    /// Samples that whoever took the others has no words for: native histograms in OpenMetrics.
    pub unsayable: u64,
    /// Samples left out because they were deleted.
    pub deleted: u64,
    /// Samples left out because another block has one for the same time.
    pub duplicates: u64,
    /// Chunks that could not be read to their end.
    pub lost_chunks: u64,
    /// Samples known to be in them, and in blocks that could not be read at all.
    pub lost_samples: u64,
    /// Series that could not be read; part of the index that cannot be read counts as one.
    pub lost_series: u64,
    /// Everything that went wrong, whether something was lost or not.
    pub problems: u64,
    /// Per block, by the beginning of its range.
    pub blocks: Vec<BlockTally>,
}

/// What was read of one block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockTally {
    /// Series entries read, selected or not.
    pub series: u64,
    /// Chunks looked into, damaged ones included.
    pub chunks: u64,
    /// Samples decoded, deleted ones and duplicates included.
    pub samples: u64,
    /// Samples known to be lost in damaged chunks.
    pub lost: u64,
}

impl Tally {
    pub(super) fn new(blocks: &[&Block]) -> Self {
        Tally {
            blocks: vec![BlockTally::default(); blocks.len()],
            ..Tally::default()
        }
    }

    /// Whether anything that was asked for is missing, or was not what the block says.
    pub fn has_problems(&self) -> bool {
        self.problems > 0 || self.unsayable > 0
    }

    /// Counts a problem of the block at `position`.
    pub(super) fn count(&mut self, position: usize, problem: &ReadProblem) {
        self.problems += 1;
        match problem.lost {
            Lost::Nothing => {}
            Lost::Samples(samples) => {
                let samples = u64::from(samples.unwrap_or(0));
                self.lost_chunks += 1;
                self.lost_samples += samples;
                if let Some(block) = self.blocks.get_mut(position) {
                    block.lost += samples;
                }
            }
            Lost::Series | Lost::SeriesUnknown => self.lost_series += 1,
            Lost::Block(samples) => self.lost_samples = self.lost_samples.saturating_add(samples),
        }
    }
}

impl BlockTally {
    /// Where the counts differ from those in the metadata.
    pub(super) fn broken_promises(self, block: &Block) -> impl Iterator<Item = ReadProblem> {
        let stats = block.meta().stats;
        let is_downsampled = block.meta().downsampled().is_some();
        [
            ("series", stats.num_series, self.series),
            ("chunks", stats.num_chunks, self.chunks),
            ("samples", stats.num_samples, self.samples + self.lost),
        ]
        .into_iter()
        // Writers do not agree on what a sample is among aggregates.
        .filter(move |(things, ..)| !is_downsampled || *things != "samples")
        .filter(|(_, promised, found)| promised != found)
        .map(|(things, promised, found)| {
            let fault = Fault::Promise {
                things,
                promised,
                found,
            };
            ReadProblem::of_meta(block, fault)
        })
    }
}
