//! What the series of a block and their chunks are like: one parallel pass over the series entries.

#![deny(clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;
use std::ops::Range;

use rayon::prelude::*;

use super::index_part::SymbolUse;
use super::{Distribution, Faults};
use crate::block::Block;
use crate::chunk::{self, ChunkRecord, Encoding};
use crate::index::{Index, Series};
use crate::model::{ChunkMeta, Millis};
use crate::raw::Malformed;

/// Series entries that one task reads.
const TASK: usize = 1024;

/// Chunks of one encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodingCounts {
    /// Chunks.
    pub chunks: u64,
    /// Samples in them, as their headers say.
    pub samples: u64,
    /// Bytes of their data, without length, encoding byte and checksum.
    pub bytes: u64,
}

/// What one pass over series and chunks finds.
#[derive(Clone, Debug, Default)]
pub struct SeriesCounts {
    /// Series entries that can be read.
    pub series: u64,
    /// Chunks by encoding; only those whose checksum is right.
    pub encodings: BTreeMap<Encoding, EncodingCounts>,
    /// Chunks of a series.
    pub chunks_per_series: Distribution,
    /// Samples of a float chunk.
    pub float_samples: Distribution,
    /// Bytes of a float chunk's data.
    pub float_bytes: Distribution,
    /// Samples of a histogram chunk.
    pub histogram_samples: Distribution,
    /// Bytes of a histogram chunk's data.
    pub histogram_bytes: Distribution,
    /// Buckets of each sample of a histogram chunk.
    pub histogram_buckets: Distribution,
    /// Average distances of samples in chunks, in milliseconds rounded to three digits, with the
    /// samples of these chunks.
    pub intervals: BTreeMap<Millis, u64>,
}

/// A task's share of the counts, and what it found wrong.
#[derive(Default)]
struct Share {
    counts: SeriesCounts,
    faults: Faults,
    series: Series,
}

pub(super) fn series(
    block: &Block,
    index: &Index<'_>,
    used: &SymbolUse,
    faults: &mut Faults,
) -> SeriesCounts {
    let tasks = sound_parts(index, faults, |_| ());
    // Each share holds a few arrays: a handful per thread balance well enough.
    let shares = rayon::current_num_threads() * 8;
    let whole = tasks
        .par_iter()
        .with_min_len(tasks.len().div_ceil(shares))
        .fold(Share::default, |mut share, task| {
            share.read(block, index, used, task);
            share
        })
        .reduce(Share::default, Share::merge);
    faults.merge(whole.faults);
    whole.counts
}

/// Cuts the series section into parts that hold sound entries only; `made` is told of each as soon
/// as it is read.
pub(crate) fn sound_parts(
    index: &Index<'_>,
    faults: &mut Faults,
    mut made: impl FnMut(&Range<u64>),
) -> Vec<Range<u64>> {
    let mut parts = Vec::new();
    let mut push = |part: Range<u64>| {
        made(&part);
        parts.push(part);
    };
    let mut entries = index.sound_series();
    let mut start = entries.position();
    let mut count = 0;
    loop {
        let position = entries.position();
        let Some(entry) = entries.next() else { break };
        match entry {
            Ok(entry) => {
                count += 1;
                if count % TASK == 0 {
                    push(start..entry.end);
                    start = entry.end;
                }
            }
            Err(fault) => {
                push(start..position);
                start = entries.position();
                faults.index(fault);
            }
        }
    }
    push(start..entries.position());
    parts
}

impl Share {
    fn read(&mut self, block: &Block, index: &Index<'_>, used: &SymbolUse, task: &Range<u64>) {
        for entry in index.series_between(task.start, task.end) {
            let read = entry.and_then(|entry| {
                entry.check()?;
                entry.decode(&mut self.series)
            });
            if let Err(fault) = read {
                self.faults.index(fault);
                continue;
            }
            let Share {
                counts,
                faults,
                series,
            } = self;
            counts.series += 1;
            counts.chunks_per_series.record(series.chunks.len() as u64);
            for (name, value) in &series.labels {
                used.mark(*name);
                used.mark(*value);
            }
            for chunk in &series.chunks {
                if let Err(fault) = counts.chunk(block, chunk) {
                    faults.segment(block, chunk.reference.segment(), fault);
                }
            }
        }
    }

    fn merge(mut self, other: Share) -> Share {
        self.faults.merge(other.faults);
        self.counts.merge(&other.counts);
        self
    }
}

impl SeriesCounts {
    /// Chunks of all encodings.
    pub fn chunks(&self) -> u64 {
        self.encodings.values().map(|counts| counts.chunks).sum()
    }

    /// Samples of all encodings.
    pub fn samples(&self) -> u64 {
        self.encodings.values().map(|counts| counts.samples).sum()
    }

    /// The distance of samples that most samples have, and their share of all in chunks of more
    /// than one: a guess at the scrape interval.
    pub fn scrape_interval(&self) -> Option<(Millis, f64)> {
        let all: u64 = self.intervals.values().sum();
        let (interval, samples) = self.intervals.iter().max_by_key(|(_, samples)| **samples)?;
        Some((*interval, *samples as f64 / all as f64))
    }

    fn chunk(&mut self, block: &Block, chunk: &ChunkMeta) -> Result<(), Malformed> {
        let record = block.chunk(chunk.reference)?;
        let counts = self.encodings.entry(record.encoding).or_default();
        counts.chunks += 1;
        counts.bytes += record.data.len() as u64;
        let samples = u64::from(chunk::promised_samples(
            record.encoding,
            record.data,
            record.data_offset,
        )?);
        counts.samples += samples;
        self.sizes(&record, samples);
        if let Some(interval) = average_distance(chunk, samples) {
            *self.intervals.entry(interval).or_default() += samples;
        }
        if record.encoding == Encoding::Aggregates {
            check_aggregates(&record)?;
        }
        if record.encoding.is_histogram() {
            self.histogram_buckets.record(buckets(&record)?);
        }
        Ok(())
    }

    /// Counts a chunk of so many samples, without looking at its data, all but
    /// [`SeriesCounts::intervals`].
    pub(crate) fn add(&mut self, record: &ChunkRecord<'_>, samples: u64) {
        let counts = self.encodings.entry(record.encoding).or_default();
        counts.chunks += 1;
        counts.bytes += record.data.len() as u64;
        counts.samples += samples;
        self.sizes(record, samples);
    }

    fn sizes(&mut self, record: &ChunkRecord<'_>, samples: u64) {
        let bytes = record.data.len() as u64;
        if record.encoding.is_float() {
            self.float_samples.record(samples);
            self.float_bytes.record(bytes);
        } else if record.encoding.is_histogram() {
            self.histogram_samples.record(samples);
            self.histogram_bytes.record(bytes);
        }
    }

    pub(crate) fn merge(&mut self, other: &SeriesCounts) {
        self.series += other.series;
        for (encoding, more) in &other.encodings {
            let counts = self.encodings.entry(*encoding).or_default();
            counts.chunks += more.chunks;
            counts.samples += more.samples;
            counts.bytes += more.bytes;
        }
        for (interval, samples) in &other.intervals {
            *self.intervals.entry(*interval).or_default() += samples;
        }
        self.chunks_per_series.merge(&other.chunks_per_series);
        self.float_samples.merge(&other.float_samples);
        self.float_bytes.merge(&other.float_bytes);
        self.histogram_samples.merge(&other.histogram_samples);
        self.histogram_bytes.merge(&other.histogram_bytes);
        self.histogram_buckets.merge(&other.histogram_buckets);
    }
}

/// Whether all that a chunk of aggregates holds can be decoded.
pub(crate) fn check_aggregates(record: &ChunkRecord<'_>) -> Result<(), Malformed> {
    for part in chunk::aggregates(record.data, record.data_offset)? {
        chunk::decode(part.encoding, part.data, part.offset, |_| {})?;
    }
    Ok(())
}

/// Buckets of a histogram chunk's samples; a stale marker among them has none.
fn buckets(record: &ChunkRecord<'_>) -> Result<u64, Malformed> {
    let mut most = 0;
    chunk::decode(record.encoding, record.data, record.data_offset, |sample| {
        most = most.max(sample.buckets() as u64);
    })?;
    Ok(most)
}

/// The average distance of a chunk's samples, rounded to three digits: scrapes come a little early
/// or late.
pub(crate) fn average_distance(chunk: &ChunkMeta, samples: u64) -> Option<Millis> {
    let length = chunk
        .max_time
        .checked_sub(chunk.min_time)
        .filter(|length| *length > 0)?;
    let gaps = samples.checked_sub(1).filter(|gaps| *gaps > 0)?;
    Millis::try_from(three_digits(
        length.unsigned_abs().saturating_add(gaps / 2) / gaps,
    ))
    .ok()
}

/// A number rounded to three digits.
pub(crate) fn three_digits(number: u64) -> u64 {
    let mut unit = 1u64;
    while number / unit >= 1000 {
        unit *= 10;
    }
    number.saturating_add(unit / 2) / unit * unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ChunkRef;

    #[test]
    fn distances_are_rounded_to_three_digits() {
        let distance = |length: Millis, samples: u64| {
            let chunk = ChunkMeta {
                min_time: -5,
                max_time: length - 5,
                reference: ChunkRef(0),
            };
            average_distance(&chunk, samples)
        };
        assert_eq!(distance(119 * 15_000 + 40, 120), Some(15_000));
        assert_eq!(distance(119 * 15_000 - 40, 120), Some(15_000));
        assert_eq!(distance(119 * 500 + 30, 120), Some(500));
        assert_eq!(distance(59_999, 2), Some(60_000));
        assert_eq!(distance(126_049, 2), Some(126_000));
        assert_eq!(distance(0, 1), None);
        assert_eq!(distance(0, 2), None);
        assert_eq!(distance(1, 1), None);
        let wide = ChunkMeta {
            min_time: Millis::MIN,
            max_time: Millis::MAX,
            reference: ChunkRef(0),
        };
        assert_eq!(average_distance(&wide, 2), None);
    }
}
