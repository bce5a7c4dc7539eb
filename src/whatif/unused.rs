//! Metrics that no rule and no dashboard uses.

use super::{Pattern, SYNTHETIC};
use crate::block::Block;
use crate::capacity::{Analysis, AnalyzeOptions, Analyzer, What};
use crate::error::Result;
use crate::select::Selection;
use crate::units::percent;
use crate::usage::{MetricUse, Usage};

/// The metrics of blocks, held against their uses.
#[derive(Clone, Debug, Default)]
pub struct UnusedMetrics {
    /// Metrics in the blocks.
    pub metrics: u64,
    /// Those that nothing uses, or only a recording rule that nothing uses; those with most bytes
    /// first.
    pub unused: Vec<UnusedMetric>,
    /// Those that only text with variables could mean, which are taken to be used; those with most
    /// bytes first.
    pub guessed: Vec<UnusedMetric>,
}

/// A metric, what it costs, and why it is where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusedMetric {
    /// Its name.
    pub name: String,
    /// Series; one that is in several blocks counts in each.
    pub series: u64,
    /// Samples.
    pub samples: u64,
    /// Bytes of its chunks.
    pub chunk_bytes: u64,
    /// What its series bear of indexes.
    pub index_bytes: u64,
    /// Bytes of all blocks, for shares.
    pub of_bytes: u64,
    /// Who may use it.
    pub usage: MetricUse,
    /// Where it comes from.
    pub origin: MetricOrigin,
}

/// Where a metric comes from, which says how to be rid of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricOrigin {
    /// A target, as far as anybody knows: `metric_relabel_configs` can drop it.
    Scraped,
    /// A recording rule: delete the rule.
    Recorded,
    /// Prometheus itself, at each scrape or for each alert: it cannot be dropped.
    Synthetic,
}

impl MetricOrigin {
    /// The word for it in reports.
    pub fn id(self) -> &'static str {
        match self {
            MetricOrigin::Scraped => "scraped",
            MetricOrigin::Recorded => "recorded",
            MetricOrigin::Synthetic => "synthetic",
        }
    }
}

impl UnusedMetric {
    /// Bytes of chunks and of indexes.
    pub fn bytes(&self) -> u64 {
        self.chunk_bytes.saturating_add(self.index_bytes)
    }

    /// Their share of all bytes, in percent.
    pub fn percent(&self) -> Option<f64> {
        percent(self.bytes() as f64, self.of_bytes)
    }
}

impl UnusedMetrics {
    /// What matches all unused metrics that targets expose; nothing if there are none.
    ///
    /// # Errors
    ///
    /// When they are too many for a regular expression.
    pub fn pattern(&self) -> Result<Option<Pattern>> {
        let scraped = self
            .unused
            .iter()
            .filter(|it| it.origin == MetricOrigin::Scraped);
        let mut names: Vec<_> = scraped.map(|metric| metric.name.as_str()).collect();
        names.sort_unstable();
        if names.is_empty() {
            return Ok(None);
        }
        Pattern::of_names(names).map(Some)
    }
}

/// Finds the metrics of `blocks` that `usage` does not know. What cannot be read is left out;
/// [`what_if`](super::what_if) names it.
pub fn unused(blocks: &[Block], usage: &Usage) -> UnusedMetrics {
    let analysis = analyze(blocks, Selection::default());
    let selectors: Vec<_> = usage.selectors().cloned().collect();
    let mut selected = Vec::new();
    if !selectors.is_empty() {
        let selection = Selection {
            selectors,
            ..Selection::default()
        };
        for group in analyze(blocks, selection).groups(b"__name__", None) {
            if let What::Value(name) = group.what
                && group.series > 0
            {
                selected.push(name);
            }
        }
        selected.sort_unstable();
    }
    let mut found = UnusedMetrics::default();
    for group in analysis.groups(b"__name__", None) {
        let What::Value(name) = group.what else {
            continue;
        };
        found.metrics += 1;
        let used = usage.of(&name);
        if used == MetricUse::Used || selected.binary_search(&name).is_ok() {
            continue;
        }
        let list = match used {
            MetricUse::Pattern(_) => &mut found.guessed,
            MetricUse::Used | MetricUse::Recording(_) | MetricUse::Unused => &mut found.unused,
        };
        list.push(UnusedMetric {
            origin: origin(&name, usage),
            name,
            series: group.series,
            samples: group.samples,
            chunk_bytes: group.chunk_bytes,
            index_bytes: group.index_bytes,
            of_bytes: group.of_bytes,
            usage: used,
        });
    }
    found
}

fn origin(name: &str, usage: &Usage) -> MetricOrigin {
    if SYNTHETIC.contains(&name) {
        MetricOrigin::Synthetic
    } else if usage.is_recorded(name) {
        MetricOrigin::Recorded
    } else {
        MetricOrigin::Scraped
    }
}

fn analyze(blocks: &[Block], selection: Selection) -> Analysis {
    let mut analyzer = Analyzer::new(AnalyzeOptions {
        selection,
        extended: false,
        several_blocks: false,
    });
    for block in blocks {
        // A block without symbols has no metrics that could be named; `what_if` says so.
        let _ = analyzer.add(block);
    }
    analyzer.finish()
}
