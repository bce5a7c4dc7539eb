//! The vocabulary all rooms share: identities, references, labels, samples, the clock. No other
//! I/O, no format.
//!
//! ```
//! use narthex::model::{TimeRange, Ulid};
//!
//! let block: Ulid = "01M80FJGSDDJPV4DWFG2XR4VJ2".parse()?;
//! assert_eq!(block.time() / 1000, 1_795_312_665);
//! // Times are milliseconds since 1970; the end of a range is not in it.
//! let hour = TimeRange { since: 0, until: 3_600_000 };
//! assert!(hour.contains(0) && !hour.contains(3_600_000));
//! # Ok::<(), narthex::Error>(())
//! ```

mod clock;
mod histogram;
mod kin;
mod labels;
mod limits;
mod range;
mod stream;
mod succession;
mod ulid;

pub use self::ulid::Ulid;
pub use clock::{millis_of, now};
pub use histogram::{CounterReset, HistogramLayout, HistogramSample, Span};
pub use kin::{Family, Held, Kin, KinContent, families, inherit_atoms};
pub use labels::{Label, Labels};
pub use limits::{MAX_META_BYTES, MAX_TOMBSTONES_BYTES};
pub use range::TimeRange;
pub use stream::{SHARD_LABEL, Shard, Stream};
pub use succession::Succession;

use std::fmt;

/// A point in time, or a span of it, in milliseconds; points count from the Unix epoch and may be
/// negative.
pub type Millis = i64;

/// The bit pattern that marks a series as stale, a signalling NaN. Values are handled as bits so
/// that it and every other NaN payload survive (Prometheus `model/value/value.go`).
pub const STALE_NAN: u64 = 0x7ff0_0000_0000_0002;

/// Where a series entry stands: its offset in the index divided by 16 (format version 1: the offset
/// itself).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesRef(pub u64);

/// Where a chunk stands: segment number, counted from 0, in the high 32 bits, offset in the low 32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkRef(pub u64);

impl ChunkRef {
    /// The reference to `offset` in the segment that has position `segment` (file `000001` is 0).
    pub fn new(segment: u32, offset: u32) -> Self {
        ChunkRef(u64::from(segment) << 32 | u64::from(offset))
    }

    /// Position of the segment, counted from 0.
    pub fn segment(self) -> usize {
        usize::try_from(self.0 >> 32).unwrap_or(usize::MAX)
    }

    /// Offset of the chunk record in its segment, in bytes.
    pub fn offset(self) -> u64 {
        self.0 & 0xffff_ffff
    }
}

impl fmt::Display for ChunkRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:06}:{}",
            self.segment().saturating_add(1),
            self.offset()
        )
    }
}

impl fmt::Display for SeriesRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a series entry says of one chunk: a closed range of time and where the chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkMeta {
    /// Time of the first sample.
    pub min_time: Millis,
    /// Time of the last sample.
    pub max_time: Millis,
    /// Where the chunk stands.
    pub reference: ChunkRef,
}

/// One decoded sample, lent for the time of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sample<'a> {
    /// A float sample.
    Float(FloatSample),
    /// A native histogram with integer counts; its buckets are deltas between neighbours.
    Histogram(HistogramSample<'a, i64>),
    /// A native histogram with float counts (IEEE-754 bits); its buckets are absolute.
    FloatHistogram(HistogramSample<'a, u64>),
}

impl Sample<'_> {
    /// Time of the sample.
    pub fn time(&self) -> Millis {
        match self {
            Sample::Float(sample) => sample.time,
            Sample::Histogram(sample) => sample.time,
            Sample::FloatHistogram(sample) => sample.time,
        }
    }

    /// Buckets of a histogram; a float has none, and neither has a stale marker among histograms.
    pub fn buckets(&self) -> usize {
        match self {
            Sample::Float(_) => 0,
            Sample::Histogram(sample) => sample.positive.len() + sample.negative.len(),
            Sample::FloatHistogram(sample) => sample.positive.len() + sample.negative.len(),
        }
    }
}

/// A float sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FloatSample {
    /// Time of the sample.
    pub time: Millis,
    /// Start timestamp, the time its counter began; 0 when there is none.
    pub start: Millis,
    /// IEEE-754 bits of the value.
    pub bits: u64,
}

impl FloatSample {
    /// The value. Passing it through floating-point registers may lose NaN payloads: compare
    /// `bits`.
    pub fn value(&self) -> f64 {
        f64::from_bits(self.bits)
    }
}
