//! What only the samples themselves can say: distances in time, and how many bits times and values
//! take.

#![deny(clippy::wildcard_enum_match_arm)]

use std::collections::HashMap;

use super::costs::PairId;
use super::walk::ChunkView;
use crate::chunk::{ChunkRecord, Encoding, Tail, VisitFloats, aggregates, decode, decode_floats};
use crate::inspect::{Distribution, three_digits};
use crate::model::{FloatSample, Millis};
use crate::raw::Malformed;
use crate::raw::varint::{uvarint_len, zigzag};

/// Distances below this, in milliseconds, are counted in an array before they go to the map:
/// scrapes come a little early or late, so that a series has a few dozen of them.
const NEAR: usize = 1 << 16;

/// Bits of the samples of chunks of encoding XOR, in which times and values are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bits {
    /// Samples.
    pub samples: u64,
    /// Bits of their times.
    pub time: u64,
    /// Bits of their values, and of the padding at each chunk's end.
    pub value: u64,
}

/// What was found in samples.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    pub(super) bits: Bits,
    /// Distances of samples, rounded to three digits, by job.
    pub(super) distances: HashMap<(Option<PairId>, u64), u64>,
    /// Buckets of each sample of a histogram chunk.
    pub(super) buckets: Distribution,
    /// How often each distance occurs in a series.
    near: Vec<u64>,
    /// Those of them that do.
    met: Vec<u64>,
}

impl Decoded {
    /// Reads all samples of a series' chunks.
    pub(super) fn series(
        &mut self,
        chunks: &[ChunkView<'_>],
        job: Option<PairId>,
        fault: &mut impl FnMut(usize, Malformed),
    ) {
        let mut before: Option<Millis> = None;
        for chunk in chunks {
            if let Some(distance) = before.and_then(|before| distance(before, chunk.meta.min_time))
            {
                self.count(job, distance, 1);
            }
            before = Some(before.unwrap_or(Millis::MIN).max(chunk.meta.max_time));
            if let Err(malformed) = self.chunk(chunk, job) {
                fault(chunk.meta.reference.segment(), malformed);
            }
        }
        for distance in self.met.drain(..) {
            let slot = usize::try_from(distance)
                .ok()
                .and_then(|at| self.near.get_mut(at));
            let count = slot.map_or(0, std::mem::take);
            let rounded = three_digits(distance);
            *self.distances.entry((job, rounded)).or_default() += count;
        }
    }

    /// Counts the distance between the last sample of a series in earlier blocks and its first in
    /// this one. Where blocks overlap there is none.
    pub(super) fn seam(&mut self, job: Option<PairId>, before: Millis, first: Millis) {
        if let Some(distance) = distance(before, first) {
            let key = (job, three_digits(distance));
            *self.distances.entry(key).or_default() += 1;
        }
    }

    fn chunk(&mut self, chunk: &ChunkView<'_>, job: Option<PairId>) -> Result<(), Malformed> {
        let record = &chunk.record;
        if record.encoding == Encoding::Xor {
            let (shape, times) = decode_floats(
                record.encoding,
                record.data,
                record.data_offset,
                Times {
                    decoded: self,
                    job,
                    seen: 0,
                    time: 0,
                    delta: 0,
                    bits: 0,
                    run: 0,
                },
            )?;
            let time = times.finish();
            let behind = match shape.tail {
                Tail::Padding => 0,
                Tail::ExtraZeroByte => 8,
                Tail::Unexpected { bits } => bits,
            };
            let all = (record.data.len() as u64)
                .saturating_sub(2)
                .saturating_mul(8);
            self.bits.samples += u64::from(shape.samples);
            self.bits.time += time;
            self.bits.value += all.saturating_sub(time).saturating_sub(behind);
            return Ok(());
        }
        if record.encoding == Encoding::Aggregates {
            return self.aggregates(record, job);
        }
        let mut before = None;
        let mut most = 0;
        decode(record.encoding, record.data, record.data_offset, |sample| {
            let time = sample.time();
            if let Some(distance) = before.and_then(|before| distance(before, time)) {
                self.count(job, distance, 1);
            }
            before = Some(time);
            most = most.max(sample.buckets() as u64);
        })?;
        if record.encoding.is_histogram() {
            self.buckets.record(most);
        }
        Ok(())
    }

    /// Reads all aggregates of a chunk; the distances are those of the first.
    fn aggregates(
        &mut self,
        record: &ChunkRecord<'_>,
        job: Option<PairId>,
    ) -> Result<(), Malformed> {
        let parts = aggregates(record.data, record.data_offset)?;
        for (at, part) in parts.iter().enumerate() {
            let mut before = None;
            decode(part.encoding, part.data, part.offset, |sample| {
                let last = before.replace(sample.time());
                if at == 0
                    && let Some(distance) = last.and_then(|last| distance(last, sample.time()))
                {
                    self.count(job, distance, 1);
                }
            })?;
        }
        Ok(())
    }

    #[inline]
    fn count(&mut self, job: Option<PairId>, distance: u64, more: u64) {
        if self.near.is_empty() {
            self.near = vec![0; NEAR];
        }
        let slot = usize::try_from(distance)
            .ok()
            .and_then(|at| self.near.get_mut(at));
        let Some(slot) = slot else {
            *self
                .distances
                .entry((job, three_digits(distance)))
                .or_default() += more;
            return;
        };
        if *slot == 0 {
            self.met.push(distance);
        }
        *slot += more;
    }

    pub(super) fn merge(&mut self, other: Decoded) {
        self.bits.add(other.bits);
        self.buckets.merge(&other.buckets);
        for (key, count) in other.distances {
            *self.distances.entry(key).or_default() += count;
        }
    }
}

impl Bits {
    pub(super) fn add(&mut self, other: Bits) {
        self.samples += other.samples;
        self.time += other.time;
        self.value += other.value;
    }
}

fn distance(before: Millis, time: Millis) -> Option<u64> {
    time.checked_sub(before)
        .filter(|distance| *distance > 0)
        .map(Millis::unsigned_abs)
}

/// Counts the bits of a chunk's times as its encoder wrote them, and their distances.
struct Times<'a> {
    decoded: &'a mut Decoded,
    job: Option<PairId>,
    seen: u32,
    time: Millis,
    delta: u64,
    bits: u64,
    /// Samples at the distance `delta` that are not counted yet.
    run: u64,
}

impl Times<'_> {
    fn finish(mut self) -> u64 {
        self.flush();
        self.bits
    }

    fn flush(&mut self) {
        if self.run > 0 && self.delta > 0 && i64::try_from(self.delta).is_ok() {
            self.decoded.count(self.job, self.delta, self.run);
        }
        self.run = 0;
    }
}

impl VisitFloats for Times<'_> {
    #[inline]
    fn sample(&mut self, sample: FloatSample) {
        let delta = sample.time.wrapping_sub(self.time) as u64;
        self.time = sample.time;
        self.seen = self.seen.saturating_add(1);
        match self.seen {
            1 => {
                self.bits += 8 * uvarint_len(zigzag(sample.time));
                return;
            }
            2 => self.bits += 8 * uvarint_len(delta),
            _ => self.bits += time_bits(delta.wrapping_sub(self.delta) as i64),
        }
        if delta != self.delta {
            self.flush();
            self.delta = delta;
        }
        self.run += 1;
    }

    #[inline]
    fn repeat(&mut self, before: FloatSample, interval: u64, count: u32) {
        if self.seen >= 2 && interval == self.delta {
            self.seen = self.seen.saturating_add(count);
            self.time = before
                .time
                .wrapping_add((interval.wrapping_mul(u64::from(count))) as Millis);
            self.bits += u64::from(count);
            self.run += u64::from(count);
            return;
        }
        let mut sample = before;
        for _ in 0..count {
            sample.time = sample.time.wrapping_add(interval as Millis);
            self.sample(sample);
        }
    }
}

/// Bits of a time as a delta of deltas (Prometheus `tsdb/chunkenc/xor.go`, `Append`).
#[inline]
fn time_bits(change: i64) -> u64 {
    let fits = |bits: u32| (-((1i64 << (bits - 1)) - 1)..=1i64 << (bits - 1)).contains(&change);
    match change {
        0 => 1,
        _ if fits(14) => 16,
        _ if fits(17) => 20,
        _ if fits(20) => 24,
        _ => 68,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_times_have_the_lengths_of_the_encoder() {
        for (change, bits) in [
            (0, 1),
            (-8191, 16),
            (8192, 16),
            (8193, 20),
            (-8192, 20),
            (65536, 20),
            (65537, 24),
            (524_288, 24),
            (524_289, 68),
            (i64::MIN, 68),
        ] {
            assert_eq!(time_bits(change), bits, "{change}");
        }
    }
}
