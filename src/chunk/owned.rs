//! Samples that outlive their chunk.

use super::encode::{ChunkEncoder, EncodedChunk, SAMPLES_PER_CHUNK};
use super::{Encoding, Xor2Writer, decode};
use crate::error::Result;
use crate::model::{CounterReset, FloatSample, HistogramLayout, HistogramSample, Millis, Sample};
use crate::raw::Malformed;

/// A sample of a chunk that may become part of another one.
#[derive(Clone, Debug)]
pub enum OwnedSample {
    /// A float.
    Float(FloatSample),
    /// A histogram of integer counts.
    Histogram(Box<OwnedHistogram<i64>>),
    /// A histogram of float counts.
    FloatHistogram(Box<OwnedHistogram<u64>>),
}

/// As [`HistogramSample`]; the counter-reset header belongs to the chunk, and is said with it.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnedHistogram<B> {
    time: Millis,
    start: Millis,
    layout: HistogramLayout,
    sum: u64,
    count: u64,
    zero_count: u64,
    positive: Vec<B>,
    negative: Vec<B>,
}

impl<B: Copy> OwnedHistogram<B> {
    fn of(sample: &HistogramSample<'_, B>) -> Box<Self> {
        Box::new(OwnedHistogram {
            time: sample.time,
            start: sample.start,
            layout: sample.layout.clone(),
            sum: sample.sum,
            count: sample.count,
            zero_count: sample.zero_count,
            positive: sample.positive.to_vec(),
            negative: sample.negative.to_vec(),
        })
    }

    fn lend(&self, counter_reset: CounterReset) -> HistogramSample<'_, B> {
        HistogramSample {
            time: self.time,
            start: self.start,
            counter_reset,
            layout: &self.layout,
            sum: self.sum,
            count: self.count,
            zero_count: self.zero_count,
            positive: &self.positive,
            negative: &self.negative,
        }
    }
}

impl<B: Copy + PartialEq> OwnedHistogram<B> {
    /// Whether both are the same sample. A stale marker is one whatever its chunk is laid out like.
    fn is_same(&self, other: &Self) -> bool {
        let times = |sample: &Self| (sample.time, sample.start, sample.sum);
        let both_stale = [self, other].map(|sample| sample.lend(CounterReset::Unknown).is_stale());
        if both_stale == [true, true] {
            return times(self) == times(other);
        }
        self == other
    }
}

impl From<&Sample<'_>> for OwnedSample {
    fn from(sample: &Sample<'_>) -> Self {
        match sample {
            Sample::Float(sample) => OwnedSample::Float(*sample),
            Sample::Histogram(sample) => OwnedSample::Histogram(OwnedHistogram::of(sample)),
            Sample::FloatHistogram(sample) => {
                OwnedSample::FloatHistogram(OwnedHistogram::of(sample))
            }
        }
    }
}

impl<B: Copy> OwnedHistogram<B> {
    fn is_stale(&self) -> bool {
        self.lend(CounterReset::Unknown).is_stale()
    }
}

impl OwnedHistogram<i64> {
    /// Counts of the buckets, in their order: each is stored as the change from the one before it.
    fn buckets(changes: &[i64]) -> impl Iterator<Item = i64> {
        changes.iter().scan(0_i64, |count, change| {
            *count = count.wrapping_add(*change);
            Some(*count)
        })
    }

    /// Whether a count of `next`, of the same layout, is less than here.
    fn is_reset_by(&self, next: &Self) -> bool {
        let is_less = |before: &[i64], after: &[i64]| {
            let (before, after) = (Self::buckets(before), Self::buckets(after));
            before.zip(after).any(|(before, after)| after < before)
        };
        next.count < self.count
            || next.zero_count < self.zero_count
            || is_less(&self.positive, &next.positive)
            || is_less(&self.negative, &next.negative)
    }
}

impl OwnedHistogram<u64> {
    /// Whether a count of `next`, of the same layout, is less than here.
    fn is_reset_by(&self, next: &Self) -> bool {
        let is_less =
            |(before, after): (&u64, &u64)| f64::from_bits(*after) < f64::from_bits(*before);
        is_less((&self.count, &next.count))
            || is_less((&self.zero_count, &next.zero_count))
            || self.positive.iter().zip(&next.positive).any(is_less)
            || self.negative.iter().zip(&next.negative).any(is_less)
    }
}

impl OwnedSample {
    /// Whether a counter of this histogram was reset before `next`, the sample after it, as a count
    /// that is less than before shows. Nothing is said of floats, of stale markers, and of
    /// histograms of another layout.
    pub fn is_reset_by(&self, next: &Self) -> bool {
        match (self, next) {
            (OwnedSample::Histogram(a), OwnedSample::Histogram(b)) => {
                !a.is_stale() && !b.is_stale() && a.layout == b.layout && a.is_reset_by(b)
            }
            (OwnedSample::FloatHistogram(a), OwnedSample::FloatHistogram(b)) => {
                !a.is_stale() && !b.is_stale() && a.layout == b.layout && a.is_reset_by(b)
            }
            _ => false,
        }
    }

    /// The sample, to be read; what the header of its chunk said of counter resets is not known any
    /// more.
    pub fn lend(&self) -> Sample<'_> {
        self.lend_after(CounterReset::Unknown)
    }

    fn lend_after(&self, counter_reset: CounterReset) -> Sample<'_> {
        match self {
            OwnedSample::Float(sample) => Sample::Float(*sample),
            OwnedSample::Histogram(sample) => Sample::Histogram(sample.lend(counter_reset)),
            OwnedSample::FloatHistogram(sample) => {
                Sample::FloatHistogram(sample.lend(counter_reset))
            }
        }
    }

    /// When it was taken.
    pub fn time(&self) -> Millis {
        match self {
            OwnedSample::Float(sample) => sample.time,
            OwnedSample::Histogram(sample) => sample.time,
            OwnedSample::FloatHistogram(sample) => sample.time,
        }
    }

    /// Whether both are the same sample, whatever counter-reset header their chunks have.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (OwnedSample::Float(a), OwnedSample::Float(b)) => a == b,
            (OwnedSample::Histogram(a), OwnedSample::Histogram(b)) => a.is_same(b),
            (OwnedSample::FloatHistogram(a), OwnedSample::FloatHistogram(b)) => a.is_same(b),
            _ => false,
        }
    }

    /// Appends it to the chunk that `encoder` makes, whose header says `counter_reset`.
    ///
    /// # Errors
    ///
    /// As [`ChunkEncoder::push`].
    pub fn push(&self, encoder: &mut ChunkEncoder, counter_reset: CounterReset) -> Result<()> {
        encoder.push(&self.lend_after(counter_reset))
    }
}

/// The encoding of Prometheus that holds `sample`, the oldest of them.
pub fn oldest_encoding(sample: &Sample<'_>) -> Encoding {
    match sample {
        Sample::Float(sample) if sample.start == 0 => Encoding::Xor,
        Sample::Float(_) => Encoding::Xor2,
        Sample::Histogram(sample) if sample.start == 0 => Encoding::Histogram,
        Sample::Histogram(_) => Encoding::HistogramSt,
        Sample::FloatHistogram(sample) if sample.start == 0 => Encoding::FloatHistogram,
        Sample::FloatHistogram(_) => Encoding::FloatHistogramSt,
    }
}

/// Appends the samples of a chunk to `out`, and says what counter-reset header it has and, if it is
/// of encoding 4, who may have written it.
///
/// # Errors
///
/// Where the chunk is damaged.
pub fn decode_owned(
    encoding: Encoding,
    data: &[u8],
    out: &mut Vec<OwnedSample>,
) -> std::result::Result<(CounterReset, Xor2Writer), Malformed> {
    let mut header = CounterReset::Unknown;
    let shape = decode(encoding, data, 0, |sample| {
        out.push(match sample {
            Sample::Float(sample) => OwnedSample::Float(sample),
            Sample::Histogram(sample) => {
                header = sample.counter_reset;
                OwnedSample::Histogram(OwnedHistogram::of(&sample))
            }
            Sample::FloatHistogram(sample) => {
                header = sample.counter_reset;
                OwnedSample::FloatHistogram(OwnedHistogram::of(&sample))
            }
        });
    })?;
    Ok((header, shape.xor2_writer.unwrap_or_default()))
}

/// Chunks that hold `samples`, as few as do. Those of histograms say `counter_reset` in their
/// headers.
///
/// # Errors
///
/// When no encoding holds one.
pub fn make_chunks(
    samples: &[OwnedSample],
    counter_reset: CounterReset,
) -> Result<Vec<EncodedChunk>> {
    let mut chunks = Vec::new();
    let mut open: Option<ChunkEncoder> = None;
    for sample in samples {
        let encoding = oldest_encoding(&sample.lend());
        let fits = |encoder: &ChunkEncoder| {
            encoder.encoding() == encoding && encoder.samples() < SAMPLES_PER_CHUNK
        };
        if let Some(encoder) = open.as_mut().filter(|encoder| fits(encoder))
            && sample.push(encoder, counter_reset).is_ok()
        {
            continue;
        }
        chunks.extend(open.take().map(ChunkEncoder::finish));
        let mut encoder = ChunkEncoder::new(encoding)?;
        sample.push(&mut encoder, counter_reset)?;
        open = Some(encoder);
    }
    chunks.extend(open.map(ChunkEncoder::finish));
    Ok(chunks)
}

/// The same, with a new chunk wherever a counter was reset: a query takes for granted that none is
/// within a chunk.
///
/// # Errors
///
/// As [`make_chunks`].
pub fn make_chunks_between_resets(
    samples: &[OwnedSample],
    counter_reset: CounterReset,
) -> Result<Vec<EncodedChunk>> {
    let is_gauge = counter_reset == CounterReset::Gauge;
    let mut chunks = Vec::new();
    for run in samples.chunk_by(|sample, next| is_gauge || !sample.is_reset_by(next)) {
        chunks.extend(make_chunks(run, counter_reset)?);
    }
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Span;

    /// A histogram with so many observations in its only bucket.
    fn observed(time: Millis, count: u64) -> OwnedSample {
        let layout = HistogramLayout {
            positive: vec![Span {
                offset: 0,
                length: 1,
            }],
            ..HistogramLayout::default()
        };
        let sample = HistogramSample {
            time,
            start: 0,
            counter_reset: CounterReset::Unknown,
            layout: &layout,
            sum: 0,
            count,
            zero_count: 0,
            positive: &[count as i64],
            negative: &[],
        };
        OwnedSample::from(&Sample::Histogram(sample))
    }

    #[test]
    fn a_chunk_of_a_counter_ends_where_it_was_reset_and_one_of_a_gauge_goes_on() {
        let counts = [3, 5, 5, 2, 4, 1];
        let samples: Vec<_> = (1..)
            .zip(counts)
            .map(|(time, n)| observed(time, n))
            .collect();
        let begins = |header| -> Vec<Millis> {
            let made = make_chunks_between_resets(&samples, header).unwrap();
            made.iter().map(|chunk| chunk.min_time).collect()
        };
        assert_eq!(begins(CounterReset::Unknown), [1, 4, 6]);
        assert_eq!(begins(CounterReset::Gauge), [1]);
    }
}
