//! What a change of scraping or keeping would save, measured on blocks.
//!
//! [`what_if`] takes the blocks of a directory and some [`Scenario`]s. For series and labels that are dropped it lays out each block anew,
//! index and segments, without writing it: sizes are those that a block of the remaining series has. For a longer interval it thins and
//! encodes the samples of some series, and says how many. Nothing is attributed: bytes that several series share, as symbols, are
//! saved only when the last of them is gone.
//!
//! Memory: for each block that is looked at (as many at a time as there are threads) 16 bytes for each symbol, and for each scenario four
//! more; about 32 bytes for each label pair; and when labels are dropped 24 bytes for each series and 16 for each symbol.

mod block;
mod collide;
mod scenario;
mod snippet;
mod table;
mod thin;
mod unused;

use std::collections::BTreeMap;
use std::path::PathBuf;

use rayon::prelude::*;

pub use collide::{Collision, Collisions};
pub use scenario::{Pattern, Scenario, Selected};
pub use snippet::{Snippet, snippet};
pub use unused::{UnusedMetric, UnusedMetrics, unused};

use crate::block::{Block, Meta};
use crate::dump::Selector;
use crate::error::Error;
use crate::model::Millis;
use crate::raw::Malformed;

/// Milliseconds of a day.
const DAY: f64 = 86_400_000.0;
/// Faults of a block that are kept; further ones are counted only.
const FAULTS_KEPT: usize = 20;
/// Collisions that are kept.
const COLLISIONS_KEPT: usize = 20;

/// What blocks hold, and what each scenario would leave of it.
#[derive(Clone, Debug, Default)]
pub struct WhatIf {
    /// What there is.
    pub present: Amounts,
    /// Milliseconds that the blocks cover; times that several of them cover count once.
    pub covered: Millis,
    /// One for each scenario, in their order.
    pub outcomes: Vec<Outcome>,
    /// What each metric costs.
    pub metrics: BTreeMap<Vec<u8>, MetricCosts>,
    /// What could not be read.
    pub faults: Faults,
}

/// Amounts of a directory's blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Series; one that is in several blocks counts in each.
    pub series: u64,
    /// Samples.
    pub samples: u64,
    /// Bytes of segment files.
    pub chunk_bytes: u64,
    /// Bytes of index files.
    pub index_bytes: u64,
}

impl Amounts {
    /// Bytes of segments and indices.
    pub fn bytes(&self) -> u64 {
        self.chunk_bytes.saturating_add(self.index_bytes)
    }

    fn each(self, other: Amounts, change: fn(u64, u64) -> u64) -> Amounts {
        Amounts {
            series: change(self.series, other.series),
            samples: change(self.samples, other.samples),
            chunk_bytes: change(self.chunk_bytes, other.chunk_bytes),
            index_bytes: change(self.index_bytes, other.index_bytes),
        }
    }

    fn plus(self, other: Amounts) -> Amounts {
        self.each(other, u64::saturating_add)
    }

    fn minus(self, other: Amounts) -> Amounts {
        self.each(other, u64::saturating_sub)
    }

    fn scaled(self, factor: f64) -> Amounts {
        Amounts {
            // A series is there however long its samples are kept.
            series: self.series,
            samples: scaled(self.samples, factor),
            chunk_bytes: scaled(self.chunk_bytes, factor),
            index_bytes: scaled(self.index_bytes, factor),
        }
    }
}

/// `amount` times `factor`, rounded.
fn scaled(amount: u64, factor: f64) -> u64 {
    let product = (amount as f64 * factor).round();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a cast of a float saturates; amounts of bytes are far below"
    )]
    let whole = product as u64;
    whole
}

/// What one scenario does.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The scenario in words.
    pub name: String,
    /// What there is now.
    pub before: Amounts,
    /// What there would be.
    pub after: Amounts,
    /// Milliseconds that what there is covers.
    pub covered: Millis,
    /// Milliseconds that what there would be covers.
    pub covered_after: Millis,
    /// Label sets that would no longer differ; nothing when no labels are dropped.
    pub collisions: Option<Collisions>,
    /// How much an estimate rests on; nothing when all is counted.
    pub measured: Option<Measured>,
}

impl Outcome {
    /// Bytes that would be saved; negative when more would be needed.
    pub fn saved_bytes(&self) -> i64 {
        let bytes = |amounts: &Amounts| i64::try_from(amounts.bytes()).unwrap_or(i64::MAX);
        bytes(&self.before).saturating_sub(bytes(&self.after))
    }

    /// Bytes saved of each day's, as the blocks now cover days.
    pub fn saved_per_day(&self) -> Option<f64> {
        let per_day = |amounts: &Amounts, covered: Millis| {
            (covered > 0).then(|| amounts.bytes() as f64 * DAY / covered as f64)
        };
        Some(per_day(&self.before, self.covered)? - per_day(&self.after, self.covered_after)?)
    }
}

/// How much an estimate of a longer interval rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Series whose interval is shorter.
    pub series: u64,
    /// Series of these that were encoded anew.
    pub measured_series: u64,
    /// Bytes of all their chunks.
    pub bytes: u64,
    /// Bytes of the chunks that were encoded anew.
    pub measured_bytes: u64,
}

/// What the series of one metric take by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetricCosts {
    /// Series; one that is in several blocks counts in each.
    pub series: u64,
    /// Samples.
    pub samples: u64,
    /// Bytes of their chunks.
    pub chunk_bytes: u64,
    /// Bytes of their entries in the index, and of the postings that name them.
    pub index_bytes: u64,
    /// Whether a selector of those that were asked for selects one of its series.
    pub selected: bool,
}

/// What could not be read.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The first of each block, with the file.
    pub first: Vec<(PathBuf, Malformed)>,
    /// How many there are; chunks and series that are damaged are not part of any amount but the sizes of files.
    pub count: u64,
    /// Series entries that cannot be read, as far as one can be told from the next.
    pub series: u64,
    /// Chunks that cannot be read.
    pub chunks: u64,
    /// Blocks that cannot be read at all.
    pub blocks: Vec<String>,
}

impl Faults {
    fn merge(&mut self, other: Faults) {
        self.first.extend(other.first);
        self.count += other.count;
        self.series += other.series;
        self.chunks += other.chunks;
        self.blocks.extend(other.blocks);
    }

    fn push(&mut self, file: PathBuf, fault: Malformed) {
        self.count += 1;
        if self.first.len() < FAULTS_KEPT {
            self.first.push((file, fault));
        }
    }

    /// Whether anything is missing.
    pub fn is_any(&self) -> bool {
        self.count > 0 || !self.blocks.is_empty()
    }
}

/// Measures what each of `scenarios` would leave of `blocks`, which no other block supersedes. `selectors` are looked for in all series
/// ([`MetricCosts::selected`]).
///
/// Damage is no error: it goes to [`WhatIf::faults`].
pub fn what_if(blocks: &[Block], scenarios: &[Scenario], selectors: &[Selector]) -> WhatIf {
    let each: Vec<_> = blocks
        .par_iter()
        .map(|block| block::measure(block, scenarios, selectors))
        .collect();
    let covered = covered(blocks.iter().map(Block::meta));
    let mut whole = WhatIf {
        covered,
        outcomes: scenarios.iter().map(|scenario| Outcome::of(scenario)).collect(),
        ..WhatIf::default()
    };
    let mut groups: Vec<collide::Groups> = Vec::new();
    groups.resize_with(scenarios.len(), collide::Groups::default);
    for (block, measured) in blocks.iter().zip(each) {
        match measured {
            Ok(measured) => whole.add(measured, &mut groups),
            Err(error) => {
                let error = error.context(block.dir().display().to_string());
                whole.faults.blocks.push(Error::chain(&error).to_string());
            }
        }
    }
    for ((outcome, scenario), groups) in whole.outcomes.iter_mut().zip(scenarios).zip(groups) {
        outcome.before = whole.present;
        if !scenario.drop_labels.is_empty() {
            outcome.collisions = Some(groups.finish());
        }
        outcome.covered = covered;
        outcome.covered_after = covered;
        if let Some(retention) = scenario.retention.filter(|_| covered > 0) {
            outcome.after = outcome.after.scaled(retention as f64 / covered as f64);
            outcome.covered_after = retention;
        }
    }
    whole
}

impl WhatIf {
    fn add(&mut self, block: block::Measured, groups: &mut [collide::Groups]) {
        self.present = self.present.plus(block.present);
        for (name, costs) in block.metrics {
            let sum = self.metrics.entry(name).or_default();
            sum.series += costs.series;
            sum.samples += costs.samples;
            sum.chunk_bytes += costs.chunk_bytes;
            sum.index_bytes += costs.index_bytes;
            sum.selected |= costs.selected;
        }
        for ((outcome, groups), share) in self.outcomes.iter_mut().zip(groups).zip(block.shares) {
            outcome.after = outcome.after.plus(share.after);
            if let (Some(sum), Some(more)) = (&mut outcome.measured, share.measured) {
                sum.series += more.series;
                sum.measured_series += more.measured_series;
                sum.bytes += more.bytes;
                sum.measured_bytes += more.measured_bytes;
            }
            groups.merge(share.groups);
        }
        self.faults.merge(block.faults);
    }
}

impl Outcome {
    fn of(scenario: &Scenario) -> Self {
        Outcome {
            name: scenario.to_string(),
            measured: scenario.interval.map(|_| Measured::default()),
            ..Outcome::default()
        }
    }
}

/// Milliseconds that blocks with this metadata cover.
fn covered<'a>(metas: impl Iterator<Item = &'a Meta>) -> Millis {
    let mut ranges: Vec<_> = metas.map(|meta| (meta.min_time, meta.max_time)).collect();
    ranges.sort_unstable();
    let (mut covered, mut end) = (0i64, Millis::MIN);
    for (min, max) in ranges {
        let begin = min.max(end);
        covered = covered.saturating_add(max.saturating_sub(begin).max(0));
        end = end.max(max);
    }
    covered
}
