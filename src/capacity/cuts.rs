//! Why a chunk ended where it does.
//!
//! Prometheus' head ends a chunk of floats at 120 samples (at 116 to 240, when that makes the
//! chunks up to the end of a block's range equally long), or when its data nears 1,024 bytes, and
//! never crosses the end of a range. Histogram chunks end at 1,024 bytes, and where a counter
//! was reset or buckets change (Prometheus `tsdb/head_append.go`, `appendPreprocessor`,
//! `histogramsAppendPreprocessor`). Compaction keeps chunks as they are, except where they overlap.
//! What a block shows is therefore enough for a good guess.

use super::walk::ChunkView;
use super::window::Window;
use crate::chunk::counts_per_sample;
use crate::inspect::FULL_CHUNK;
use crate::model::Millis;

/// Range of a level-1 block, at whose end every chunk ends, unless the server was told otherwise.
const BLOCK_RANGE: Millis = 2 * 3_600_000;
/// Data that is longer is full: 1,024 bytes less room for one more sample of 19 bytes.
const FULL_BYTES: usize = 1024 - 19;
/// The shortest chunk when those up to the end of a range are made equally long: four times the 29
/// intervals of its first 30 samples.
const EQUAL_CHUNK: u32 = 4 * 29;

/// Why a chunk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CutReason {
    /// It has 120 samples or more; or a few less, and the next chunk follows at once.
    Full,
    /// Its data is as long as chunks get.
    Size,
    /// The next chunk lies in the next range of two hours.
    RangeEnd,
    /// The next chunk begins with a counter reset.
    CounterReset,
    /// The next chunk has other buckets, or another kind of samples.
    Layout,
    /// No samples for five intervals or more before the next chunk.
    Gap,
    /// The next chunk begins before this one ends.
    Overlap,
    /// It is the series' last chunk, and the block ends there.
    BlockEnd,
    /// It is the series' last chunk, and the block goes on.
    SeriesEnd,
    /// Nothing of this: a restart, a range of other length, another writer.
    Unknown,
}

/// How many chunks end for a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutRow {
    /// The reason.
    pub cut: CutReason,
    /// Chunks.
    pub chunks: u64,
    /// Samples in them.
    pub samples: u64,
    /// Chunks of all reasons.
    pub of_chunks: u64,
}

impl CutReason {
    /// All reasons.
    pub const ALL: [CutReason; 10] = [
        CutReason::Full,
        CutReason::Size,
        CutReason::RangeEnd,
        CutReason::CounterReset,
        CutReason::Layout,
        CutReason::Gap,
        CutReason::Overlap,
        CutReason::BlockEnd,
        CutReason::SeriesEnd,
        CutReason::Unknown,
    ];

    /// A word for it, stable.
    pub fn id(self) -> &'static str {
        match self {
            CutReason::Full => "full",
            CutReason::Size => "size",
            CutReason::RangeEnd => "range-end",
            CutReason::CounterReset => "counter-reset",
            CutReason::Layout => "layout-change",
            CutReason::Gap => "gap",
            CutReason::Overlap => "overlap",
            CutReason::BlockEnd => "block-end",
            CutReason::SeriesEnd => "series-end",
            CutReason::Unknown => "unknown",
        }
    }

    /// What it means.
    pub fn meaning(self) -> &'static str {
        match self {
            CutReason::Full => "120 samples or more, or nearly so",
            CutReason::Size => "more than 1,005 bytes of data",
            CutReason::RangeEnd => "end of a range of two hours",
            CutReason::CounterReset => "a histogram's counter was reset",
            CutReason::Layout => "other buckets, or another kind of samples",
            CutReason::Gap => "no samples for five intervals or more",
            CutReason::Overlap => "the next chunk begins earlier: out of order or compacted",
            CutReason::BlockEnd => "end of the block",
            CutReason::SeriesEnd => "the series ended before the block",
            CutReason::Unknown => "a restart, a shorter range of blocks, or another writer",
        }
    }

    /// Why `chunk` ended, given the one after it, and the block's window.
    pub(super) fn of(
        chunk: &ChunkView<'_>,
        next: Option<&ChunkView<'_>>,
        window: Window,
    ) -> CutReason {
        // A single sample has no distance: the next chunk's is as good.
        let interval = interval(chunk)
            .or_else(|| next.and_then(interval))
            .unwrap_or(window.interval);
        if u64::from(chunk.samples) >= FULL_CHUNK && chunk.record.encoding.is_float() {
            return CutReason::Full;
        }
        if chunk.record.data.len() > FULL_BYTES {
            return CutReason::Size;
        }
        let max = chunk.meta.max_time;
        let Some(next) = next else {
            let rest = window.max.saturating_sub(max);
            return if rest <= interval.saturating_mul(3).max(1) {
                CutReason::BlockEnd
            } else {
                CutReason::SeriesEnd
            };
        };
        if next.meta.min_time <= max {
            return CutReason::Overlap;
        }
        let range = chunk.meta.min_time.div_euclid(BLOCK_RANGE);
        if range != next.meta.min_time.div_euclid(BLOCK_RANGE) {
            return CutReason::RangeEnd;
        }
        if chunk.record.encoding.kind() != next.record.encoding.kind() {
            return CutReason::Layout;
        }
        if next.record.encoding.is_histogram() {
            // The two highest bits behind the count: 2 says that the counter was reset.
            if next.record.data.get(2).is_some_and(|flags| flags >> 6 == 2) {
                return CutReason::CounterReset;
            }
            if counts(chunk) != counts(next) {
                return CutReason::Layout;
            }
        }
        if next.meta.min_time.saturating_sub(max) >= interval.saturating_mul(5) {
            return CutReason::Gap;
        }
        if chunk.record.encoding.is_float() && chunk.samples >= EQUAL_CHUNK {
            return CutReason::Full;
        }
        CutReason::Unknown
    }
}

/// Counts of each sample of a histogram chunk.
fn counts(chunk: &ChunkView<'_>) -> Option<usize> {
    counts_per_sample(chunk.record.encoding, chunk.record.data).ok()
}

/// The average distance of a chunk's samples, if it has several; at least a millisecond.
fn interval(chunk: &ChunkView<'_>) -> Option<Millis> {
    let length = chunk.meta.max_time.saturating_sub(chunk.meta.min_time);
    let gaps = Millis::from(chunk.samples)
        .checked_sub(1)
        .filter(|gaps| *gaps > 0)?;
    Some((length / gaps).max(1))
}
