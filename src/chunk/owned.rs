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

impl OwnedSample {
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

    /// The encoding of Prometheus that holds it, the oldest of them.
    fn encoding(&self) -> Encoding {
        match self {
            OwnedSample::Float(sample) if sample.start == 0 => Encoding::Xor,
            OwnedSample::Float(_) => Encoding::Xor2,
            OwnedSample::Histogram(sample) if sample.start == 0 => Encoding::Histogram,
            OwnedSample::Histogram(_) => Encoding::HistogramSt,
            OwnedSample::FloatHistogram(sample) if sample.start == 0 => Encoding::FloatHistogram,
            OwnedSample::FloatHistogram(_) => Encoding::FloatHistogramSt,
        }
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
        let fits = |encoder: &ChunkEncoder| {
            encoder.encoding() == sample.encoding() && encoder.samples() < SAMPLES_PER_CHUNK
        };
        if let Some(encoder) = open.as_mut().filter(|encoder| fits(encoder))
            && sample.push(encoder, counter_reset).is_ok()
        {
            continue;
        }
        chunks.extend(open.take().map(ChunkEncoder::finish));
        let mut encoder = ChunkEncoder::new(sample.encoding())?;
        sample.push(&mut encoder, counter_reset)?;
        open = Some(encoder);
    }
    chunks.extend(open.map(ChunkEncoder::finish));
    Ok(chunks)
}
