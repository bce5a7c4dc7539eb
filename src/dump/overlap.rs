//! Samples of chunks that overlap in time, waiting to be put in order.

use std::cmp::Reverse;
use std::ops::Range;

use super::lines::{Lines, count_unsaid};
use super::tally::Tally;
use crate::model::{Millis, Sample};

/// So much text may wait. Overlapping chunks of real blocks need a fraction of it; a damaged index in which everything
/// overlaps gets its samples dumped in less perfect order, not kept in memory.
const LIMIT: usize = 64 << 20;

/// Samples of the current series, already formatted.
#[derive(Default)]
pub(super) struct Overlap {
    waiting: Vec<Waiting>,
    bodies: Vec<u8>,
}

struct Waiting {
    time: Millis,
    /// Position of its block; the later one wins.
    block: Reverse<usize>,
    body: Range<usize>,
}

impl Overlap {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes a sample of the block at `position`.
    pub(super) fn push(
        &mut self,
        sample: &Sample<'_>,
        position: usize,
        lines: &mut Lines<'_>,
        tally: &mut Tally,
    ) {
        if self.bodies.len() >= LIMIT {
            self.drain_before(None, lines, tally);
        }
        let start = self.bodies.len();
        if lines.format().body(sample, &mut self.bodies) {
            count_unsaid(lines.format(), sample, tally);
            self.waiting.push(Waiting {
                time: sample.time(),
                block: Reverse(position),
                body: start..self.bodies.len(),
            });
        } else {
            tally.unsayable += 1;
        }
    }

    /// Writes the samples that no further chunk can come before, one for each time: those before `limit`, or all.
    pub(super) fn drain_before(
        &mut self,
        limit: Option<Millis>,
        lines: &mut Lines<'_>,
        tally: &mut Tally,
    ) {
        if self.waiting.is_empty() {
            return;
        }
        self.waiting
            .sort_by_key(|sample| (sample.time, sample.block));
        let ready = limit.map_or(self.waiting.len(), |limit| {
            self.waiting.partition_point(|sample| sample.time < limit)
        });
        let mut last = None;
        for sample in self.waiting.drain(..ready) {
            if last.replace(sample.time) == Some(sample.time) {
                tally.duplicates += 1;
            } else {
                lines.line(self.bodies.get(sample.body).unwrap_or_default());
                tally.samples += 1;
            }
        }
        self.compact();
    }

    /// Forgets the bodies of samples that were written.
    fn compact(&mut self) {
        let mut kept = Vec::new();
        for sample in &mut self.waiting {
            let start = kept.len();
            kept.extend_from_slice(self.bodies.get(sample.body.clone()).unwrap_or_default());
            sample.body = start..kept.len();
        }
        self.bodies = kept;
    }
}
