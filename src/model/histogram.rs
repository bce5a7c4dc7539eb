//! Native histograms as Prometheus' chunks hold them.

use super::{Millis, STALE_NAN};

/// A run of consecutive buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first span: index of its first bucket. Others: buckets skipped since the span before.
    pub offset: i64,
    /// Number of buckets.
    pub length: u64,
}

/// The counter-reset header of a histogram chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterReset {
    /// Nothing is known about a reset before the chunk's first sample.
    Unknown,
    /// There was none.
    NotReset,
    /// There was one.
    Reset,
    /// The chunk holds gauge histograms.
    Gauge,
}

impl CounterReset {
    /// As the two bits of a chunk's header.
    pub fn bits(self) -> u8 {
        match self {
            CounterReset::Unknown => 0,
            CounterReset::NotReset => 1,
            CounterReset::Reset => 2,
            CounterReset::Gauge => 3,
        }
    }

    /// What the last two bits of `bits` stand for.
    pub fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => CounterReset::Unknown,
            1 => CounterReset::NotReset,
            2 => CounterReset::Reset,
            _ => CounterReset::Gauge,
        }
    }
}

/// What all samples of a histogram chunk share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistogramLayout {
    /// Resolution: −4 … 8 for exponential buckets (up to 52 are reserved), −53 for custom bounds.
    pub schema: i64,
    /// IEEE-754 bits of the width of the zero bucket.
    pub zero_threshold: u64,
    /// Populated buckets on the positive side.
    pub positive: Vec<Span>,
    /// Populated buckets on the negative side.
    pub negative: Vec<Span>,
    /// IEEE-754 bits of the upper bounds, for schema −53 only.
    pub custom_bounds: Vec<u64>,
}

/// One histogram sample, lent by a decoder. `B` is `i64` for integer histograms, whose buckets are
/// deltas between neighbours, and `u64` for float histograms, whose counts and buckets are IEEE-754
/// bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HistogramSample<'a, B> {
    /// Time of the sample.
    pub time: Millis,
    /// Start timestamp; 0 when there is none.
    pub start: Millis,
    /// The chunk's counter-reset header.
    pub counter_reset: CounterReset,
    /// The chunk's layout.
    pub layout: &'a HistogramLayout,
    /// IEEE-754 bits of the sum of observations.
    pub sum: u64,
    /// Number of observations (float histograms: its bits).
    pub count: u64,
    /// Observations in the zero bucket (float histograms: its bits).
    pub zero_count: u64,
    /// Positive buckets, in the order of the spans.
    pub positive: &'a [B],
    /// Negative buckets, in the order of the spans.
    pub negative: &'a [B],
}

impl<B> HistogramSample<'_, B> {
    /// Whether the sample only marks the series as stale; then it has no counts and no buckets.
    pub fn is_stale(&self) -> bool {
        self.sum == STALE_NAN
    }
}
