//! Which label drives a metric: different values of each label among the series of the largest
//! metrics.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::identity::hash;
use super::pairs::PairTally;
use super::walk::Walked;
use crate::index::{Postings, Series};
use crate::select::Filter;

/// Metrics of a block that are looked at; of further blocks, those of earlier ones as well.
pub(super) const METRICS: usize = 20;
/// Metrics of all blocks.
const METRICS_KEPT: usize = 200;

/// Label names of a metric that are counted; each takes a bit for each symbol.
const NAMES: usize = 256;

/// Values of each label of some metrics, as hashes of 64 bits: among a million values two share one
/// with a probability of 3 in 10⁸.
#[derive(Clone, Debug, Default)]
pub(super) struct Cross {
    metrics: BTreeMap<Box<[u8]>, Metric>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Metric {
    pub(super) series: u64,
    pub(super) labels: BTreeMap<Box<[u8]>, Label>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Label {
    pub(super) values: HashSet<u64>,
    pub(super) series: u64,
}

/// One label of one metric while a block is read: a bit for each symbol.
struct Seen {
    bits: Vec<u64>,
    series: u64,
}

impl Cross {
    /// Adds the metrics of a block that have most series, and those that had in a block before.
    pub(super) fn add(&mut self, walked: Walked<'_>, tallies: &[PairTally]) {
        let costs = walked.costs;
        let Some(name) = costs.find_name(b"__name__") else {
            return;
        };
        let mut largest = BTreeSet::new();
        for (id, pair) in (0u32..).zip(costs.pairs()) {
            let series = tallies.get(id as usize).map_or(0, |tally| tally.series);
            if pair.name == name && series > 0 {
                largest.insert((std::cmp::Reverse(series), pair.value));
                if largest.len() > METRICS {
                    largest.pop_last();
                }
            }
        }
        let wanted: BTreeSet<&[u8]> = largest
            .iter()
            .filter_map(|(_, value)| costs.symbols().at(*value as usize))
            .collect();
        let known: BTreeSet<Box<[u8]>> = self.metrics.keys().cloned().collect();
        let Ok(table) = walked.index.postings_table() else {
            return;
        };
        for entry in table.iter().map_while(Result::ok) {
            let is_new = || wanted.contains(entry.value) && self.metrics.len() < METRICS_KEPT;
            if entry.name != b"__name__" || !(known.contains(entry.value) || is_new()) {
                continue;
            }
            // A damaged list may name any series; it is among the faults already.
            let list = walked.index.postings_section(entry.list).ok();
            let list = list.filter(|list| list.checksum.is_ok());
            if let Some(list) = list.and_then(|list| Postings::read(&list).ok()) {
                self.metric(walked, entry.value, &list);
            }
        }
    }

    fn metric(&mut self, walked: Walked<'_>, metric: &[u8], list: &Postings<'_>) {
        let symbols = walked.costs.symbols();
        let words = symbols.len().div_ceil(64);
        let mut filter = Filter::new(&walked.selection.selectors, symbols);
        let mut series = Series::default();
        let mut seen: HashMap<usize, Seen> = HashMap::new();
        let mut count = 0;
        for reference in list.iter() {
            let Ok(entry) = walked.index.series_at(reference) else {
                continue;
            };
            let chosen = entry.decode(&mut series).is_ok()
                && filter
                    .selects(&series, symbols, entry.offset)
                    .unwrap_or(false)
                && (walked.selection.is_everything()
                    || series
                        .chunks
                        .iter()
                        .any(|chunk| walked.selection.concerns(chunk)));
            if !chosen {
                continue;
            }
            count += 1;
            for (name, value) in &series.labels {
                let ordinals = symbols.ordinal(*name).zip(symbols.ordinal(*value));
                let Some((name, value)) = ordinals else {
                    continue;
                };
                if seen.len() >= NAMES && !seen.contains_key(&name) {
                    continue;
                }
                let label = seen.entry(name).or_insert_with(|| Seen {
                    bits: vec![0; words],
                    series: 0,
                });
                label.series += 1;
                if let Some(word) = label.bits.get_mut(value / 64) {
                    *word |= 1 << (value % 64);
                }
            }
        }
        let known = self.metrics.entry(metric.into()).or_default();
        known.series += count;
        for (name, found) in seen {
            let name = symbols.at(name).unwrap_or_default();
            if name == b"__name__" {
                continue;
            }
            let label = known.labels.entry(name.into()).or_default();
            label.series += found.series;
            for (i, word) in found.bits.iter().enumerate() {
                let mut word = *word;
                while word != 0 {
                    let ordinal = i * 64 + word.trailing_zeros() as usize;
                    word &= word - 1;
                    let string = symbols.at(ordinal).unwrap_or_default();
                    label
                        .values
                        .insert(u64::try_from(hash(string) >> 64).unwrap_or_default());
                }
            }
        }
    }

    /// The metrics with their labels.
    pub(super) fn metrics(&self) -> impl Iterator<Item = (&[u8], &Metric)> {
        let metrics = self.metrics.iter();
        metrics.map(|(name, metric)| (&**name, metric))
    }
}
