//! Chunks of samples: framing, encodings, segments.
//!
//! [`decode`] lends every sample of a chunk to a visitor and says how the chunk ended ([`Shape`]).
//! It never panics, reads each bit once, allocates only for histogram buckets (bounded by the
//! chunk's size), and reports damage with the offset where decoding stopped; samples before it have
//! been visited.
//!
//! Source of all formats: Prometheus `tsdb/chunkenc`; layouts in `docs/tsdb-format.md`.
//!
//! ```
//! use narthex::chunk::{ChunkKind, Encoding};
//!
//! // The byte before the data of a chunk says how it is encoded.
//! assert_eq!(Encoding::from_byte(1), Encoding::Xor);
//! assert_eq!(Encoding::Xor.kind(), ChunkKind::Floats);
//! ```

#![deny(clippy::wildcard_enum_match_arm)]

mod aggregate;
pub mod encode;
mod encoding;
mod float_histogram;
mod histogram;
mod histogram_layout;
mod owned;
mod segment;
mod segment_writer;
mod start;
mod varbit;
mod window;
mod xor;
mod xor2;
mod xor_column;

pub use aggregate::{Aggregate, Part, aggregates};
pub use encoding::{ChunkKind, Encoder, Encoding, Encodings};
pub use owned::{
    OwnedHistogram, OwnedSample, decode_owned, make_chunks, make_chunks_between_resets,
    oldest_encoding,
};
pub use segment::{ChunkRecord, MAGIC as SEGMENT_MAGIC, SEGMENT_HEADER, Segment};
pub use segment_writer::{
    SEGMENT_LIMIT, SegmentLayout, SegmentWriter, put_record, record_len, segment_header,
};
pub use window::Xor2Writer;

use crate::model::{FloatSample, Millis, Sample};
use crate::raw::{BitReader, Malformed};

/// Section named in errors about a chunk's data.
const DATA: &str = "chunk data";

/// How a decoded chunk looks, apart from its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Samples, as the chunk's header says and as were visited.
    pub samples: u32,
    /// Whether an encoder that takes Prometheus' decisions would have written these bits: shortest
    /// codes, exact windows, minimal varints. Foreign writers may differ legally; so does a
    /// flipped bit whose checksum was made anew.
    pub canonical: bool,
    /// The writer of encoding 4 that alone would have written these bits; nothing where both
    /// would, or none.
    pub xor2_writer: Option<Xor2Writer>,
    /// What stands after the last sample.
    pub tail: Tail,
}

/// What stands after the last sample of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Fewer than 8 zero bits, as written by Prometheus 3.
    Padding,
    /// Padding and one zero byte more, as Prometheus before 3.0 sometimes wrote.
    ExtraZeroByte,
    /// Something else: this many bits that belong to no sample.
    Unexpected {
        /// Number of bits, zero or not.
        bits: u64,
    },
}

/// Decodes a chunk's data (without length, encoding byte and checksum), lending each sample to
/// `visit`.
///
/// `at` is the absolute offset of `data` in its file, for errors.
///
/// # Errors
///
/// [`Malformed`] where decoding had to stop; [`crate::raw::MalformedProblem::Unknown`] for an
/// encoding or histogram schema that this program does not know. Aggregates are no samples:
/// [`aggregates`] takes them apart.
#[inline]
pub fn decode(
    encoding: Encoding,
    data: &[u8],
    at: u64,
    mut visit: impl FnMut(Sample<'_>),
) -> Result<Shape, Malformed> {
    match encoding {
        Encoding::Xor => {
            let each = Each(|sample| visit(Sample::Float(sample)));
            xor::decode(data, at, each).map(|(shape, _)| shape)
        }
        Encoding::Xor2 => xor2::decode(data, at, |sample| visit(Sample::Float(sample))),
        Encoding::Histogram | Encoding::HistogramSt => {
            let with_start = encoding == Encoding::HistogramSt;
            histogram::decode(data, at, with_start, |sample| {
                visit(Sample::Histogram(sample));
            })
        }
        Encoding::FloatHistogram | Encoding::FloatHistogramSt => {
            let with_start = encoding == Encoding::FloatHistogramSt;
            let visit = |sample: crate::model::HistogramSample<'_, u64>| {
                visit(Sample::FloatHistogram(sample));
            };
            float_histogram::decode(data, at, with_start, visit)
        }
        Encoding::Aggregates | Encoding::Unknown(_) => Err(unknown(encoding, at)),
    }
}

/// Takes the samples of a chunk of floats: [`decode_floats`] for inner loops that keep little.
pub trait VisitFloats {
    /// Takes the first sample.
    #[inline]
    fn first(&mut self, sample: FloatSample) {
        self.sample(sample);
    }

    /// Takes the next sample.
    fn sample(&mut self, sample: FloatSample);

    /// Takes `count` samples more with the value of `before`, each `interval` milliseconds after
    /// the one before it.
    #[inline]
    fn repeat(&mut self, before: FloatSample, interval: u64, count: u32) {
        let mut sample = before;
        for _ in 0..count {
            sample.time = sample.time.wrapping_add(interval as Millis);
            self.sample(sample);
        }
    }
}

/// A closure that takes one sample after the other.
struct Each<F>(F);

impl<F: FnMut(FloatSample)> VisitFloats for Each<F> {
    #[inline]
    fn sample(&mut self, sample: FloatSample) {
        (self.0)(sample);
    }
}

/// Decodes a chunk of floats as [`decode`] does, and hands `visit` back.
///
/// # Errors
///
/// As [`decode`]; any encoding that is not one of floats is unknown here.
#[inline]
pub fn decode_floats<V: VisitFloats>(
    encoding: Encoding,
    data: &[u8],
    at: u64,
    mut visit: V,
) -> Result<(Shape, V), Malformed> {
    match encoding {
        Encoding::Xor => xor::decode(data, at, visit),
        Encoding::Xor2 => {
            let mut is_first = true;
            let shape = xor2::decode(data, at, |sample| {
                if std::mem::take(&mut is_first) {
                    visit.first(sample);
                } else {
                    visit.sample(sample);
                }
            });
            shape.map(|shape| (shape, visit))
        }
        Encoding::Histogram
        | Encoding::FloatHistogram
        | Encoding::HistogramSt
        | Encoding::FloatHistogramSt
        | Encoding::Aggregates
        | Encoding::Unknown(_) => Err(unknown(encoding, at)),
    }
}

/// The number of samples that the header of a chunk promises, without decoding; of aggregates the
/// number of spans of time.
///
/// # Errors
///
/// When the data is shorter than the header, or the encoding is unknown.
pub fn promised_samples(encoding: Encoding, data: &[u8], at: u64) -> Result<u32, Malformed> {
    if encoding == Encoding::Aggregates {
        return aggregate::promised(data, at);
    }
    let count = u32::from(crate::raw::Reader::new(data, at, DATA).u16()?);
    match encoding {
        Encoding::Xor | Encoding::Xor2 | Encoding::Histogram | Encoding::FloatHistogram => {
            Ok(count)
        }
        Encoding::HistogramSt | Encoding::FloatHistogramSt => Ok(count & start::COUNT_MASK),
        Encoding::Aggregates | Encoding::Unknown(_) => Err(unknown(encoding, at)),
    }
}

/// How many counts each sample of a chunk has that is not stale: none if it is of floats; else
/// count, zero count and buckets.
///
/// # Errors
///
/// When the beginning of the data is damaged, or the encoding is unknown.
pub fn counts_per_sample(encoding: Encoding, data: &[u8]) -> Result<usize, Malformed> {
    let layout = read_layout(encoding, data)?;
    Ok(layout.map_or(0, |read| {
        read.positive
            .saturating_add(read.negative)
            .saturating_add(2)
    }))
}

/// How many numbers each sample of a chunk has that outlives its chunk: none beside time and value
/// if it is of floats; else its counts, as [`counts_per_sample`] says, and what its layout consists
/// of.
///
/// # Errors
///
/// As [`counts_per_sample`].
pub(crate) fn numbers_per_sample(encoding: Encoding, data: &[u8]) -> Result<usize, Malformed> {
    let layout = read_layout(encoding, data)?;
    Ok(layout.map_or(0, |read| {
        let spans = read.layout.positive.len() + read.layout.negative.len();
        let counts = read.positive.saturating_add(read.negative);
        counts.saturating_add(2 + 2 * spans + read.layout.custom_bounds.len())
    }))
}

/// The layout of a chunk of histograms; `None` if it is of floats.
fn read_layout(
    encoding: Encoding,
    data: &[u8],
) -> Result<Option<histogram_layout::ReadLayout>, Malformed> {
    match encoding {
        Encoding::Xor | Encoding::Xor2 => Ok(None),
        Encoding::Histogram
        | Encoding::FloatHistogram
        | Encoding::HistogramSt
        | Encoding::FloatHistogramSt => {
            let mut reader = crate::raw::Reader::new(data, 0, DATA);
            // The header is as long in either form.
            histogram_layout::Header::read(&mut reader, false)?;
            let mut bits = BitReader::new(reader.rest());
            histogram_layout::read_layout(&mut bits, reader.offset()).map(Some)
        }
        Encoding::Aggregates | Encoding::Unknown(_) => Err(unknown(encoding, 0)),
    }
}

#[cold]
fn unknown(encoding: Encoding, at: u64) -> Malformed {
    let byte = i64::from(encoding.byte());
    Malformed::unknown("chunk", at, "chunk encoding", byte)
}

/// What was expected where a chunk ends too early: the `what` of the
/// [`MalformedProblem`](crate::raw::MalformedProblem).
pub const ANOTHER_SAMPLE: &str = "another sample";

/// The bit stream of a chunk ended inside a sample.
#[cold]
fn exhausted(bits: &BitReader<'_>, at: u64) -> Malformed {
    exhausted_at(at + bits.position() / 8)
}

#[cold]
fn exhausted_at(offset: u64) -> Malformed {
    Malformed::unexpected(
        DATA,
        offset,
        ANOTHER_SAMPLE,
        "as counted in the header",
        "the end of the chunk",
    )
}

/// What is left once the last sample has been read.
fn tail(bits: &BitReader<'_>) -> Tail {
    let mut rest = *bits;
    let left = rest.remaining();
    if left >= 16 {
        return Tail::Unexpected { bits: left };
    }
    match u32::try_from(left).ok().and_then(|left| rest.bits(left)) {
        Some(0) if left < 8 => Tail::Padding,
        Some(0) => Tail::ExtraZeroByte,
        _ => Tail::Unexpected { bits: left },
    }
}

#[cfg(test)]
mod tests;
