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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::format::Format;
    use crate::model::FloatSample;

    /// Pushes samples as block, time, value; what is written when drained before each of `limits`, and the tally.
    fn drained(
        samples: &[(usize, Millis, f64)],
        limits: &[Option<Millis>],
    ) -> (Vec<String>, Tally) {
        let (mut tally, mut overlap) = (Tally::default(), Overlap::default());
        let mut ignored = Vec::new();
        let mut lines = Lines::new(&mut ignored, Format::Text);
        for (block, time, value) in samples {
            let sample = FloatSample {
                time: *time,
                start: 0,
                bits: value.to_bits(),
            };
            overlap.push(&Sample::Float(sample), *block, &mut lines, &mut tally);
        }
        let mut pieces = Vec::new();
        for limit in limits {
            let mut out = Vec::new();
            let mut lines = Lines::new(&mut out, Format::Text);
            overlap.drain_before(*limit, &mut lines, &mut tally);
            lines.finish().unwrap();
            pieces.push(String::from_utf8(out).unwrap());
        }
        (pieces, tally)
    }

    #[test]
    fn samples_come_in_order_once_and_from_the_later_block() {
        let samples = [
            (0, 10, 1.0),
            (0, 20, 2.0),
            (0, 30, 3.0),
            (1, 15, 4.0),
            (1, 20, 5.0),
            (2, 20, 6.0),
        ];
        let (pieces, tally) = drained(&samples, &[None]);
        assert_eq!(pieces, ["1 10\n4 15\n6 20\n3 30\n"]);
        assert_eq!((tally.samples, tally.duplicates), (4, 2));
    }

    #[test]
    fn samples_wait_until_nothing_can_come_before_them() {
        let samples = [(0, 30, 3.0), (0, 10, 1.0), (1, 20, 2.0)];
        let (pieces, _) = drained(&samples, &[Some(10), Some(20), Some(20), None]);
        assert_eq!(pieces, ["", "1 10\n", "", "2 20\n3 30\n"]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let (mut out, mut tally, mut overlap) = (Vec::new(), Tally::default(), Overlap::default());
        let mut lines = Lines::new(&mut out, Format::Text);
        // A body of 24 bytes each.
        for time in 0..3_000_000 {
            let sample = FloatSample {
                time: Millis::MIN + time,
                start: 0,
                bits: 0.1f64.to_bits(),
            };
            overlap.push(&Sample::Float(sample), 0, &mut lines, &mut tally);
            assert!(overlap.bodies.len() < LIMIT + 24);
        }
        assert!(tally.samples > 0 && !overlap.is_empty());
    }
}
