//! What a change of scraping or keeping would save, measured on blocks.
//!
//! [`what_if`] takes the blocks of a directory and some [`Scenario`]s. For series and labels that
//! are dropped it lays out each block anew, index and segments, without writing it: sizes are those
//! that a block of the remaining series has. For a longer interval it thins and encodes the samples
//! of some series, and says how many. Nothing is attributed: bytes that several series share, as
//! symbols, are saved only when the last of them is gone.
//!
//! Relabeling does not see what Prometheus makes itself (`up`, `scrape_duration_seconds` …,
//! `ALERTS`): such series keep their labels and stay. Results of recording rules are not told from
//! other metrics here.
//!
//! Memory: for each block that is looked at (as many at a time as there are threads) 24 bytes for
//! each label pair, and for each scenario 20 more and four for each symbol; when labels are
//! dropped, 24 bytes for each series and 16 for each symbol, and the chunks' entries of
//! those series that get the same labels.
//!
//! ```
//! use narthex::block::Block;
//! use narthex::raw::ReadMode;
//! use narthex::whatif::{Scenario, what_if};
//!
//! let dir = "fixtures/night-1/01M80FJGSDDJPV4DWFG2XR4VJ2";
//! let blocks = [Block::open(dir.as_ref(), ReadMode::Map)?];
//! let without = Scenario { drop_metrics: vec!["go_.*".parse()?], ..Scenario::default() };
//! let answer = what_if(&blocks, &[without]);
//! assert_eq!(answer.outcomes.len(), 1);
//! # Ok::<(), narthex::Error>(())
//! ```

mod block;
mod collide;
mod fate;
mod layout;
mod scenario;
mod snippet;
mod sources;
mod thin;
mod unused;

use std::path::PathBuf;

use rayon::prelude::*;

pub use collide::{Collision, Collisions};
pub use scenario::{Pattern, Scenario, Selected};
pub use snippet::{Snippet, snippet};
pub use sources::{CountedBlocks, Superseded};
pub use unused::{MetricOrigin, UnusedMetric, UnusedMetrics, unused};

use crate::block::{Block, Meta};
use crate::inspect::Faults;
use crate::model::Millis;
use crate::raw::Malformed;
use crate::units::percent;

/// Metrics that Prometheus makes itself, at each scrape or for each alert. `metric_relabel_configs`
/// never see them.
const SYNTHETIC: [&str; 11] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
    "scrape_native_histogram_bucket_limit",
    "ALERTS",
    "ALERTS_FOR_STATE",
];

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
    pub present: BlockAmounts,
    /// Milliseconds that the blocks cover; times that several of them cover count once.
    pub covered: Millis,
    /// One for each scenario, in their order.
    pub outcomes: Vec<ScenarioOutcome>,
    /// What could not be read.
    pub missing: UncountedParts,
}

/// Amounts of a directory's blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockAmounts {
    /// Series; one that is in several blocks counts in each.
    pub series: u64,
    /// Samples.
    pub samples: u64,
    /// Bytes of segment files.
    pub chunk_bytes: u64,
    /// Bytes of index files.
    pub index_bytes: u64,
}

impl BlockAmounts {
    /// Bytes of segments and indices.
    pub fn bytes(&self) -> u64 {
        self.chunk_bytes.saturating_add(self.index_bytes)
    }

    fn each(self, other: BlockAmounts, change: fn(u64, u64) -> u64) -> BlockAmounts {
        BlockAmounts {
            series: change(self.series, other.series),
            samples: change(self.samples, other.samples),
            chunk_bytes: change(self.chunk_bytes, other.chunk_bytes),
            index_bytes: change(self.index_bytes, other.index_bytes),
        }
    }

    fn plus(self, other: BlockAmounts) -> BlockAmounts {
        self.each(other, u64::saturating_add)
    }

    fn minus(self, other: BlockAmounts) -> BlockAmounts {
        self.each(other, u64::saturating_sub)
    }

    fn scaled(self, factor: f64) -> BlockAmounts {
        BlockAmounts {
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
pub struct ScenarioOutcome {
    /// The scenario in words.
    pub name: String,
    /// What there is now.
    pub before: BlockAmounts,
    /// What there would be.
    pub after: BlockAmounts,
    /// Milliseconds that what there is covers.
    pub covered: Millis,
    /// Milliseconds that what there would be covers.
    pub covered_after: Millis,
    /// Label sets that would no longer differ; nothing when no labels are dropped.
    pub collisions: Option<Collisions>,
    /// How much an estimate rests on; nothing when all is counted.
    pub measured: Option<Measured>,
}

impl ScenarioOutcome {
    /// Whether the change does nothing to these blocks.
    pub fn is_idle(&self) -> bool {
        let kept = (self.before, self.covered) == (self.after, self.covered_after);
        kept && self.collisions.as_ref().is_none_or(|it| it.groups == 0)
    }

    /// Whether bytes are saved, or samples or series go.
    pub fn saves(&self) -> bool {
        self.saved(BlockAmounts::bytes) > 0
            || self.saved(|it| it.samples) > 0
            || self.saved(|it| it.series) > 0
    }

    /// Whether more bytes are needed.
    pub fn costs(&self) -> bool {
        self.saved(BlockAmounts::bytes) < 0
    }

    /// What would be saved of an amount; negative when more would be needed.
    pub fn saved(&self, amount: fn(&BlockAmounts) -> u64) -> i64 {
        let signed = |amounts| i64::try_from(amount(amounts)).unwrap_or(i64::MAX);
        signed(&self.before).saturating_sub(signed(&self.after))
    }

    /// The share of all bytes that would be saved, in percent.
    pub fn saved_percent(&self) -> Option<f64> {
        percent(self.saved(BlockAmounts::bytes) as f64, self.before.bytes())
    }

    /// Bytes saved of each day's, as the blocks now cover days.
    pub fn saved_per_day(&self) -> Option<i64> {
        let per_day = |amounts: &BlockAmounts, covered: Millis| {
            let days = covered as f64 / DAY;
            (covered > 0).then(|| scaled(amounts.bytes(), 1.0 / days))
        };
        let signed = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        let before = per_day(&self.before, self.covered)?;
        let after = per_day(&self.after, self.covered_after)?;
        Some(signed(before).saturating_sub(signed(after)))
    }
}

impl Measured {
    /// The share of the bytes that was encoded anew, in percent.
    pub fn percent(&self) -> Option<f64> {
        percent(self.measured_bytes as f64, self.bytes)
    }

    fn add(&mut self, other: Measured) {
        self.series += other.series;
        self.measured_series += other.measured_series;
        self.bytes += other.bytes;
        self.measured_bytes += other.measured_bytes;
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

/// What could not be read.
#[derive(Clone, Debug, Default)]
pub struct UncountedParts {
    /// The first faults of each block, with the file.
    pub first: Vec<(PathBuf, Malformed)>,
    /// How many there are. Series and chunks that are damaged are part of the sizes of files and
    /// of nothing else: they are taken to stay.
    pub count: u64,
    /// Blocks that cannot be read at all, each with the reason.
    pub blocks: Vec<String>,
}

impl UncountedParts {
    /// Whether there is anything.
    pub fn is_any(&self) -> bool {
        self.count > 0 || !self.blocks.is_empty()
    }

    fn add(&mut self, block: &Block, faults: Faults) {
        self.count += faults.count;
        let index = block.files().index();
        let first = faults.first.into_iter().take(FAULTS_KEPT);
        let first = first.map(|(file, fault)| (file.unwrap_or_else(|| index.clone()), fault));
        self.first.extend(first);
    }
}

/// Measures what each of `scenarios` would leave of `blocks`, which no other block supersedes.
///
/// Damage is no error: it goes to [`WhatIf::missing`].
pub fn what_if(blocks: &[Block], scenarios: &[Scenario]) -> WhatIf {
    let each: Vec<_> = blocks
        .par_iter()
        .map(|block| block::measure(block, scenarios))
        .collect();
    let covered = covered(blocks.iter().map(Block::meta));
    let mut whole = WhatIf {
        covered,
        outcomes: scenarios.iter().map(ScenarioOutcome::of).collect(),
        ..WhatIf::default()
    };
    let mut groups: Vec<collide::Groups> = Vec::new();
    groups.resize_with(scenarios.len(), collide::Groups::default);
    for (block, measured) in blocks.iter().zip(each) {
        match measured {
            Ok(measured) => whole.add(block, measured, &mut groups),
            Err(error) => whole.missing.blocks.push(error.chain()),
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

/// Those of the single changes among `scenarios`, which are those of `what_if`, that save
/// something, as one: what is worth being configured. How long samples are kept is set elsewhere,
/// and stays what it is.
pub fn worthwhile(what_if: &WhatIf, scenarios: &[Scenario]) -> Scenario {
    let mut all = Scenario::default();
    for (outcome, scenario) in what_if.outcomes.iter().zip(scenarios) {
        if scenario.changes() != 1 || scenario.title.is_some() {
            continue;
        }
        if scenario.retention.is_some() {
            all.retention = scenario.retention;
        } else if outcome.saves() {
            all.drop_metrics
                .extend(scenario.drop_metrics.iter().cloned());
            all.drop_series.extend(scenario.drop_series.iter().cloned());
            all.drop_labels.extend(scenario.drop_labels.iter().cloned());
            all.interval = all.interval.or(scenario.interval);
            if !scenario.within.is_empty() {
                all.within.clone_from(&scenario.within);
            }
        }
    }
    all
}

impl WhatIf {
    /// Whether any change does nothing to these blocks.
    pub fn is_any_idle(&self) -> bool {
        self.outcomes.iter().any(ScenarioOutcome::is_idle)
    }

    /// Whether series would collide in any scenario.
    pub fn collides(&self) -> bool {
        let mut collisions = self.outcomes.iter().filter_map(|it| it.collisions.as_ref());
        collisions.any(|collisions| collisions.groups > 0)
    }

    fn add(&mut self, block: &Block, share: block::BlockShare, groups: &mut [collide::Groups]) {
        self.present = self.present.plus(share.present);
        for ((outcome, groups), share) in self.outcomes.iter_mut().zip(groups).zip(share.shares) {
            outcome.after = outcome.after.plus(share.after);
            if let Some(sum) = &mut outcome.measured {
                sum.add(share.measured);
            }
            groups.merge(share.groups);
        }
        self.missing.add(block, share.faults);
    }
}

impl ScenarioOutcome {
    fn of(scenario: &Scenario) -> Self {
        ScenarioOutcome {
            name: scenario.to_string(),
            measured: scenario.interval.map(|_| Measured::default()),
            ..ScenarioOutcome::default()
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
