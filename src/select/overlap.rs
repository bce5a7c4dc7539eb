//! Samples of chunks that overlap in time, waiting to be put in order.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::ops::Range;

use super::sink::Sink;
use super::tally::Tally;
use crate::model::{Millis, Sample};

/// So many bytes may wait. Overlapping chunks of real blocks need a fraction of it; a damaged index
/// in which everything overlaps gets its samples dumped in less perfect order, not kept in memory.
const LIMIT: usize = 64 << 20;

/// Samples of the current series, already formatted: a heap, so that each costs the logarithm of
/// those that wait, however many chunks overlap.
#[derive(Default)]
pub(super) struct Overlap {
    waiting: BinaryHeap<Reverse<Waiting>>,
    bodies: Vec<u8>,
    /// Bytes of `bodies` that were written.
    written: usize,
    /// Samples taken so far.
    taken: u64,
}

/// In order of time; of those with the same time the one from the latest block first, and in it the
/// first one taken.
#[derive(Debug)]
struct Waiting {
    time: Millis,
    block: Reverse<usize>,
    taken: u64,
    body: Range<usize>,
}

impl Waiting {
    fn key(&self) -> (Millis, Reverse<usize>, u64) {
        (self.time, self.block, self.taken)
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Waiting {}

impl Overlap {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bytes that wait.
    fn size(&self) -> usize {
        self.bodies.len() - self.written + self.waiting.len() * size_of::<Waiting>()
    }

    /// Takes a sample of the block at `position`.
    pub(super) fn push(
        &mut self,
        sample: &Sample<'_>,
        position: usize,
        sink: &mut impl Sink,
        tally: &mut Tally,
    ) {
        if self.size() >= LIMIT {
            self.drain_before(None, sink, tally);
        }
        let start = self.bodies.len();
        if sink.body(sample, &mut self.bodies) {
            self.waiting.push(Reverse(Waiting {
                time: sample.time(),
                block: Reverse(position),
                taken: self.taken,
                body: start..self.bodies.len(),
            }));
            self.taken += 1;
        } else {
            self.bodies.truncate(start);
            tally.unsayable += 1;
        }
    }

    /// Writes the samples that no further chunk can come before, one for each time: those before
    /// `limit`, or all.
    pub(super) fn drain_before(
        &mut self,
        limit: Option<Millis>,
        sink: &mut impl Sink,
        tally: &mut Tally,
    ) {
        let mut last = None;
        while let Some(Reverse(first)) = self.waiting.peek()
            && limit.is_none_or(|limit| first.time < limit)
            && let Some(Reverse(sample)) = self.waiting.pop()
        {
            self.written += sample.body.len();
            if last.replace(sample.time) == Some(sample.time) {
                tally.duplicates += 1;
            } else {
                sink.take(
                    sample.time,
                    self.bodies.get(sample.body).unwrap_or_default(),
                );
                tally.samples += 1;
            }
        }
        // Only when that halves them: moving the others each time would make many overlapping
        // chunks cost their square.
        if self.written * 2 >= self.bodies.len() {
            self.compact();
        }
    }

    /// Forgets the bodies of samples that were written.
    fn compact(&mut self) {
        let mut kept = Vec::with_capacity(self.bodies.len() - self.written);
        let mut waiting = std::mem::take(&mut self.waiting).into_vec();
        for Reverse(sample) in &mut waiting {
            let start = kept.len();
            kept.extend_from_slice(self.bodies.get(sample.body.clone()).unwrap_or_default());
            sample.body = start..kept.len();
        }
        self.waiting = BinaryHeap::from(waiting);
        self.bodies = kept;
        self.written = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FloatSample;
    use crate::select::LabelSlices;

    /// Lines of value and time.
    #[derive(Default)]
    struct Lines(Vec<u8>);

    impl Sink for Lines {
        fn begin(&mut self, _labels: &LabelSlices<'_>) {}

        fn body(&mut self, sample: &Sample<'_>, body: &mut Vec<u8>) -> bool {
            let Sample::Float(sample) = sample else {
                return false;
            };
            let value = f64::from_bits(sample.bits);
            body.extend_from_slice(format!("{value} {}\n", sample.time).as_bytes());
            true
        }

        fn take(&mut self, _time: Millis, body: &[u8]) {
            self.0.extend_from_slice(body);
        }

        fn sample(&mut self, _sample: &Sample<'_>) -> bool {
            false
        }

        fn end(&mut self, _labels: &LabelSlices<'_>) {}
    }

    /// Pushes samples as block, time, value; what is written when drained before each of `limits`,
    /// and the tally.
    fn drained(
        samples: &[(usize, Millis, f64)],
        limits: &[Option<Millis>],
    ) -> (Vec<String>, Tally) {
        let (mut tally, mut overlap) = (Tally::default(), Overlap::default());
        let mut lines = Lines::default();
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
            let mut lines = Lines::default();
            overlap.drain_before(*limit, &mut lines, &mut tally);
            pieces.push(String::from_utf8(lines.0).unwrap());
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
        let (mut tally, mut overlap) = (Tally::default(), Overlap::default());
        let mut lines = Lines::default();
        // A body of 24 bytes each.
        for time in 0..3_000_000 {
            let sample = FloatSample {
                time: Millis::MIN + time,
                start: 0,
                bits: 0.1f64.to_bits(),
            };
            overlap.push(&Sample::Float(sample), 0, &mut lines, &mut tally);
            assert!(overlap.size() < LIMIT + 100 && overlap.bodies.len() < 2 * LIMIT);
        }
        assert!(tally.samples > 0 && !overlap.is_empty());
    }

    /// Chunk after chunk that reaches to the end of the series: each of them makes one sample ready
    /// to be written, while all the others wait.
    #[test]
    fn many_chunks_that_overlap_do_not_cost_their_square() {
        const CHUNKS: Millis = 20_000;
        let (mut tally, mut overlap) = (Tally::default(), Overlap::default());
        let mut lines = Lines::default();
        let started = std::time::Instant::now();
        for chunk in 0..CHUNKS {
            for time in [chunk, 10 * CHUNKS + 2 * chunk, 10 * CHUNKS + 2 * chunk + 1] {
                let sample = FloatSample {
                    time,
                    start: 0,
                    bits: 0,
                };
                overlap.push(&Sample::Float(sample), 0, &mut lines, &mut tally);
            }
            overlap.drain_before(Some(chunk + 1), &mut lines, &mut tally);
        }
        assert_eq!(overlap.waiting.len() as Millis, 2 * CHUNKS);
        overlap.drain_before(None, &mut lines, &mut tally);
        let text = String::from_utf8(lines.0).unwrap();
        let times = text
            .lines()
            .map(|line| line.split(' ').nth(1).unwrap().parse::<Millis>().unwrap());
        assert!(times.is_sorted());
        assert_eq!(tally.samples as Millis, 3 * CHUNKS);
        // Moving and sorting what waits for each chunk takes a minute and more.
        assert!(started.elapsed().as_secs() < 10);
    }
}
