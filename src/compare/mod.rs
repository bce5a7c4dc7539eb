//! Two sets of blocks, held against each other.
//!
//! [`compare`] walks both in the order of labels, merges overlapping blocks as a query would,
//! leaves deleted ranges out, and so says what a user of the two would see differ, however the
//! blocks are cut or compacted: by metric, by series, by sample. Each side gets a [`ContentDigest`]
//! that is equal exactly when its series and samples are; `docs/compare.md` says what it is the
//! digest of. [`same_files`] answers the stricter question whether the files are the same bytes,
//! [`chunks_stand_in`] which blocks' chunks are all in another.
//!
//! Memory: what a dump of both sides needs, the samples of one chunk, and one row per metric.
//!
//! ```
//! use narthex::block::Block;
//! use narthex::compare::{Equality, CompareOptions, compare};
//! use narthex::progress::Silent;
//! use narthex::raw::ReadMode;
//! use narthex::select::Selection;
//!
//! let dir = "fixtures/night-1/01M80FJGSDDJPV4DWFG2XR4VJ2";
//! let block = [Block::open(dir.as_ref(), ReadMode::Map)?];
//! let options = CompareOptions { selection: Selection::default(), named: 10 };
//! let found = compare(&block, &block, &options, &Silent, &mut |_, problem| panic!("{problem}"))?;
//! assert_eq!(found.equality(None), Equality::Samples);
//! # Ok::<(), narthex::Error>(())
//! ```

mod canonical;
mod chunks;
mod coverage;
mod files;
mod join;
mod metrics;
mod side;

use crate::block::Block;
use crate::error::Result;
use crate::model::{Labels, Millis};
use crate::progress::Progress;
use crate::select::{ReadProblem, Selection};

pub use canonical::{ContentDigest, Contrast, SampleText};
pub use chunks::chunks_stand_in;
pub use coverage::{Range, not_covered};
pub use files::{Files, same_files};
pub use metrics::{MetricChange, MetricTotals};

/// What to compare, and how much of it to name.
#[derive(Clone, Debug)]
pub struct CompareOptions {
    /// Series, and time.
    pub selection: Selection,
    /// The most series, and the most differing samples, that are named; all are counted.
    pub named: usize,
}

/// One of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SideName {
    /// The first.
    A,
    /// The second.
    B,
}

/// How two sides differ.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// What the first side holds.
    pub a: SideTotals,
    /// What the second side holds.
    pub b: SideTotals,
    /// Every metric, the largest changes first: by samples, then by chunk bytes, then by series.
    pub metrics: Vec<MetricChange>,
    /// Series, by how they differ.
    pub series: SeriesDifferences,
    /// Samples, by how they differ.
    pub samples: SampleCounts,
    /// The first series that only A has.
    pub only_in_a: Vec<NamedSeries>,
    /// The first series that only B has.
    pub only_in_b: Vec<NamedSeries>,
    /// The first samples that differ in series that both sides have.
    pub differences: Vec<Difference>,
    /// Time that blocks of A cover and no block of B does.
    pub covered_by_a: Vec<Range>,
    /// Time that blocks of B cover and no block of A does.
    pub covered_by_b: Vec<Range>,
}

/// What one side holds, after merging.
#[derive(Clone, Debug, Default)]
pub struct SideTotals {
    /// Blocks that were read.
    pub blocks: u64,
    /// Series with samples.
    pub series: u64,
    /// Samples.
    pub samples: u64,
    /// Bytes of the data of the chunks they were read from.
    pub chunk_bytes: u64,
    /// Digest of all series and samples.
    pub content: ContentDigest,
    /// Digest of the label sets alone.
    pub labels: ContentDigest,
    /// Samples left out because they were deleted.
    pub deleted: u64,
    /// Samples left out because another block has one for the same time.
    pub duplicates: u64,
    /// What could not be read, or was not what the block says; blocks that could not be opened are
    /// not among it.
    pub problems: u64,
    /// Series that came after one they should have come before. Then series of the two sides may
    /// not have met, and all counts of differences are too high.
    pub unsorted: u64,
}

/// Series with samples, by how they differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeriesDifferences {
    /// Only A has them.
    pub only_a: u64,
    /// Only B has them.
    pub only_b: u64,
    /// Both have them, and all their samples are equal.
    pub equal: u64,
    /// Both have them, and some sample differs.
    pub different: u64,
    /// Of the different ones, those with more samples in B.
    pub grew: u64,
    /// Of the different ones, those with fewer samples in B.
    pub shrank: u64,
    /// Of the different ones, those whose first or last sample has another time.
    pub other_range: u64,
}

/// Samples of series that both sides have, by how they differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleCounts {
    /// Both sides have them, bit for bit.
    pub equal: u64,
    /// Only A has a sample of that time.
    pub only_a: u64,
    /// Only B has a sample of that time.
    pub only_b: u64,
    /// Both sides have a sample of that time, with another value.
    pub different: u64,
}

/// A series, and what one side has of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedSeries {
    /// Its labels.
    pub labels: Labels,
    /// Its samples.
    pub samples: u64,
    /// Time of the first.
    pub min_time: Millis,
    /// Time of the last.
    pub max_time: Millis,
}

/// A sample that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The series.
    pub labels: Labels,
    /// Time of the sample.
    pub time: Millis,
    /// In what.
    pub contrast: Contrast,
    /// What A has.
    pub a: Option<SampleText>,
    /// What B has.
    pub b: Option<SampleText>,
}

/// How far two sides are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Equality {
    /// Not even the label sets are.
    None,
    /// The series are, by their labels; samples differ. So are two replicas that scrape the same
    /// targets.
    Series,
    /// All samples are, bit for bit, whatever blocks they stand in.
    Samples,
    /// All files are, byte for byte.
    Files,
}

impl Comparison {
    /// How far the two sides are the same, given what [`same_files`] found.
    pub fn equality(&self, files: Option<&Files>) -> Equality {
        if files.is_some_and(|files| files.first_difference.is_none()) {
            Equality::Files
        } else if self.a.content == self.b.content {
            Equality::Samples
        } else if self.a.labels == self.b.labels {
            Equality::Series
        } else {
            Equality::None
        }
    }

    /// Whether anything could not be read, so that nothing is proved.
    pub fn has_problems(&self) -> bool {
        [&self.a, &self.b]
            .iter()
            .any(|side| side.problems > 0 || side.unsorted > 0)
    }
}

/// Compares the samples of the blocks `a` with those of the blocks `b`. What is damaged goes to
/// `report` as soon as it is seen, and is skipped; `progress` is told how many bytes of chunks were
/// read.
///
/// # Errors
///
/// When an index cannot be opened at all. Other damage is no error.
pub fn compare(
    a: &[Block],
    b: &[Block],
    options: &CompareOptions,
    progress: &dyn Progress,
    report: &mut dyn FnMut(SideName, ReadProblem),
) -> Result<Comparison> {
    let total = a.iter().chain(b).map(Block::chunk_bytes).sum();
    let everything = options.selection.selectors.is_empty();
    progress.begin("compare", everything.then_some(total));
    let mut comparison = join::join(a, b, options, progress, report)?;
    progress.end();
    let selection = &options.selection;
    comparison.covered_by_a = not_covered(a, b, selection.range);
    comparison.covered_by_b = not_covered(b, a, selection.range);
    Ok(comparison)
}
