//! Rows: metrics, jobs, values, labels, pairs.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::analyzer::Analysis;
use super::cross::METRICS;
use super::fixed::{FRACTION, apportion};
use super::lookalike::Look;
use super::pairs::{Pair, PairTally};

/// What a row of a partition stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The series whose label has this value; bytes that are not UTF-8 are replaced.
    Value(String),
    /// So many further values.
    Others(u64),
    /// The series that do not have the label.
    Without,
    /// What was not asked for: other series, and chunks of another time.
    NotSelected,
    /// What no series bears: headers, tables of contents, lists of all series, unused symbols,
    /// bytes that nothing refers to, whatever could not be read; and the small files.
    Shared,
}

/// A row of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRow {
    /// What it stands for.
    pub what: What,
    /// Series; one that is in several blocks counts in each.
    pub series: u64,
    /// Their chunks.
    pub chunks: u64,
    /// Their samples.
    pub samples: u64,
    /// Bytes of their chunks.
    pub chunk_bytes: u64,
    /// What they bear of indexes.
    pub index_bytes: u64,
    /// Bytes of all files of all blocks, for shares.
    pub of_bytes: u64,
    /// Samples of everything.
    pub of_samples: u64,
    /// Series with one sample.
    pub one_sample: u64,
    /// Different series that begin after the first block does.
    pub born: u64,
    /// Different series that end before the last block does.
    pub died: u64,
    /// How many series the time would fill that they do not cover of their blocks; what promtool
    /// calls churning.
    pub uncovered: u64,
}

impl GroupRow {
    /// Bytes of chunks and of indexes.
    pub fn bytes(&self) -> u64 {
        self.chunk_bytes.saturating_add(self.index_bytes)
    }
}

/// A label name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRow {
    /// The name; bytes that are not UTF-8 are replaced.
    pub name: String,
    /// Different values.
    pub values: u64,
    /// Bytes of these values, each counted once.
    pub value_bytes: u64,
    /// Series that carry it.
    pub series: u64,
    /// What it costs: its postings lists, their entries in the offset table, its symbols, its
    /// label index.
    pub own_bytes: u64,
    /// Bytes of the series that carry it, chunks and index.
    pub carried_bytes: u64,
    /// Bytes of all files.
    pub of_bytes: u64,
    /// As [`GroupRow::uncovered`].
    pub uncovered: u64,
}

/// A label pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairRow {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
    /// Series that carry it.
    pub series: u64,
    /// Their samples.
    pub samples: u64,
    /// What it costs: its postings list, the entry in the offset table, its value's symbol.
    pub own_bytes: u64,
    /// Bytes of the series that carry it, chunks and index.
    pub carried_bytes: u64,
    /// Bytes of all files.
    pub of_bytes: u64,
    /// As [`GroupRow::uncovered`].
    pub uncovered: u64,
}

/// A label of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrossRow {
    /// The metric.
    pub metric: String,
    /// Its series.
    pub metric_series: u64,
    /// Those of them that were looked at: fewer where the metric is in a block in which 20 others
    /// have more series, or where the index is damaged. Then values and series are at least so
    /// many.
    pub looked_at: u64,
    /// The label.
    pub label: String,
    /// Different values the label has among these series.
    pub values: u64,
    /// Series of the metric that carry it.
    pub series: u64,
}

/// A label with values that look alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookRow {
    /// The label.
    pub label: String,
    /// What the values look like.
    pub look: Look,
    /// How many look like that.
    pub values: u64,
    /// Of how many.
    pub of_values: u64,
    /// Series that carry one of them.
    pub series: u64,
    /// What these pairs cost by themselves.
    pub own_bytes: u64,
    /// The first of them.
    pub example: String,
}

/// By what pairs are ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// Bytes of the series that carry them.
    Carried,
    /// Series that carry them.
    Series,
    /// What these series do not cover.
    Uncovered,
}

impl Analysis {
    /// The series by the values of the label `name`: those with most bytes first, at most `top` of
    /// them, then what is left. The rows add up to the size of all files.
    pub fn groups(&self, name: &[u8], top: Option<usize>) -> Vec<GroupRow> {
        let totals = self.totals();
        let per_series = self.time_of_a_series();
        let values = self.pairs.names.get(name);
        let pairs: Vec<Pair<'_>> = values.iter().flat_map(|values| values.iter()).collect();
        let (mut index, mut chunks) = (Vec::new(), Vec::new());
        let mut without = self.whole;
        let mut without_index = self.whole_index.0;
        for pair in &pairs {
            index.push(pair.index.0);
            chunks.push(u128::from(pair.tally.chunk_bytes) << FRACTION);
            without_index = without_index.saturating_sub(pair.index.0);
            without = difference(&without, pair.tally);
        }
        // What is lost by rounding down is no series.
        if without.series == 0 {
            (without_index, without.chunk_bytes) = (0, 0);
        }
        index.extend([without_index, self.left_out_index.0]);
        chunks.extend(
            [without.chunk_bytes, self.left_out.chunk_bytes].map(|b| u128::from(b) << FRACTION),
        );
        let index = apportion(&index, self.borne_index);
        let chunks = apportion(&chunks, self.borne_chunks);
        let group = |what, tally: &PairTally, at: usize| GroupRow {
            what,
            series: tally.series.into(),
            chunks: tally.chunks.into(),
            samples: tally.samples,
            chunk_bytes: chunks.get(at).copied().unwrap_or(0),
            index_bytes: index.get(at).copied().unwrap_or(0),
            of_bytes: totals.bytes,
            of_samples: totals.samples,
            one_sample: tally.one_sample.into(),
            born: tally.born.into(),
            died: tally.fresh.saturating_sub(tally.ends).into(),
            uncovered: tally.uncovered.checked_div(per_series).unwrap_or(0),
        };
        let count = pairs.len();
        let bytes_at = |at: usize| {
            let of = |bytes: &[u64]| bytes.get(at).copied().unwrap_or(0);
            of(&index).saturating_add(of(&chunks))
        };
        let mut order: Vec<usize> = (0..count).collect();
        // Values are sorted: equal ones stay in that order.
        order.sort_by_key(|at| Reverse(bytes_at(*at)));
        let shown = top.unwrap_or(count).min(count);
        let (first, rest) = order.split_at_checked(shown).unwrap_or((&order, &[]));
        let mut groups: Vec<GroupRow> = first
            .iter()
            .filter_map(|at| {
                let pair = pairs.get(*at)?;
                Some(group(What::Value(lossy(pair.value)), pair.tally, *at))
            })
            .collect();
        if !rest.is_empty() {
            let mut others = group(
                What::Others(rest.len() as u64),
                &PairTally::default(),
                usize::MAX,
            );
            let mut uncovered = 0u64;
            for at in rest {
                let Some(pair) = pairs.get(*at) else { continue };
                let one = group(What::Without, pair.tally, *at);
                others.add(&one);
                uncovered = uncovered.saturating_add(pair.tally.uncovered);
            }
            others.uncovered = uncovered.checked_div(per_series).unwrap_or(0);
            groups.push(others);
        }
        if without.series > 0 {
            groups.push(group(What::Without, &without, count));
        }
        let left_out = group(What::NotSelected, &self.left_out, count + 1);
        if left_out.bytes() > 0 || left_out.series > 0 {
            groups.push(left_out);
        }
        let mut shared = group(What::Shared, &PairTally::default(), usize::MAX);
        shared.chunk_bytes = totals.chunk_bytes.saturating_sub(self.borne_chunks);
        shared.index_bytes = totals
            .bytes
            .saturating_sub(totals.chunk_bytes)
            .saturating_sub(self.borne_index);
        groups.push(shared);
        groups
    }

    /// The label names: those with most different values first.
    pub fn labels(&self) -> Vec<LabelRow> {
        let per_series = self.time_of_a_series();
        let of_bytes = self.totals().bytes;
        let names = self.pairs.names.iter();
        let own: Vec<u128> = names
            .clone()
            .map(|(_, values)| {
                let pairs = values.iter().map(|pair| pair.own.0);
                pairs.fold(values.own.0, u128::saturating_add)
            })
            .collect();
        let all = own.iter().fold(0u128, |all, own| all.saturating_add(*own));
        let whole = u64::try_from(all.saturating_add(1 << (FRACTION - 1)) >> FRACTION);
        let own = apportion(&own, whole.unwrap_or(u64::MAX));
        let mut rows: Vec<_> = names
            .zip(own)
            .map(|((name, values), own_bytes)| {
                let mut sum = PairTally::default();
                let (mut value_bytes, mut index) = (0u64, 0u128);
                for pair in values.iter() {
                    value_bytes += pair.value.len() as u64;
                    index = index.saturating_add(pair.index.0);
                    sum.add(pair.tally);
                }
                let index = super::pairs::Wide(index).rounded();
                LabelRow {
                    name: lossy(name),
                    values: values.len() as u64,
                    value_bytes,
                    series: sum.series.into(),
                    own_bytes,
                    carried_bytes: index.saturating_add(sum.chunk_bytes),
                    of_bytes,
                    uncovered: sum.uncovered.checked_div(per_series).unwrap_or(0),
                }
            })
            .collect();
        rows.sort_by(|a, b| b.values.cmp(&a.values).then_with(|| a.name.cmp(&b.name)));
        rows
    }

    /// The pairs that rank highest, at most `top`; among equals by name and value.
    pub fn pairs(&self, by: Rank, top: Option<usize>) -> Vec<PairRow> {
        let per_series = self.time_of_a_series();
        let of_bytes = self.totals().bytes;
        let carried = |pair: &Pair<'_>| pair.index.rounded().saturating_add(pair.tally.chunk_bytes);
        let rank = |pair: &Pair<'_>| match by {
            Rank::Carried => carried(pair),
            Rank::Series => pair.tally.series.into(),
            Rank::Uncovered => pair.tally.uncovered,
        };
        let mut pairs: Vec<_> = self
            .pairs
            .iter()
            .map(|(name, pair)| (Reverse(rank(&pair)), name, pair))
            .collect();
        if let Some(top) = top.filter(|top| *top > 0 && *top < pairs.len()) {
            pairs.select_nth_unstable_by(top - 1, |a, b| {
                (a.0, a.1, a.2.value).cmp(&(b.0, b.1, b.2.value))
            });
            pairs.truncate(top);
        }
        pairs.sort_by(|a, b| (a.0, a.1, a.2.value).cmp(&(b.0, b.1, b.2.value)));
        pairs.truncate(top.unwrap_or(usize::MAX));
        let rows = pairs.into_iter().map(|(_, name, pair)| PairRow {
            name: lossy(name),
            value: lossy(pair.value),
            series: pair.tally.series.into(),
            samples: pair.tally.samples,
            own_bytes: pair.own.rounded(),
            carried_bytes: carried(&pair),
            of_bytes,
            uncovered: pair.tally.uncovered.checked_div(per_series).unwrap_or(0),
        });
        rows.collect()
    }

    /// The metrics with most series, of each the labels with most different values: at most
    /// `labels` of each.
    pub fn cross(&self, metrics: usize, labels: usize) -> Vec<CrossRow> {
        let mut rows = Vec::new();
        let names = self.pairs.names.get(&b"__name__"[..]);
        let mut largest: Vec<_> = self
            .cross
            .metrics()
            .map(|(metric, found)| {
                let whole = names.and_then(|names| names.find(metric));
                let series = whole.map_or(found.series, |pair| pair.tally.series.into());
                (Reverse(series), metric, found)
            })
            .collect();
        largest.sort_by_key(|(series, metric, _)| (*series, *metric));
        for (Reverse(series), metric, found) in largest.into_iter().take(metrics.min(METRICS)) {
            let mut of_metric: Vec<_> = found
                .labels
                .iter()
                .map(|(label, seen)| CrossRow {
                    metric: lossy(metric),
                    metric_series: series,
                    looked_at: found.series,
                    label: lossy(label),
                    values: seen.values.len() as u64,
                    series: seen.series,
                })
                .collect();
            of_metric.sort_by(|a, b| b.values.cmp(&a.values).then_with(|| a.label.cmp(&b.label)));
            of_metric.truncate(labels);
            rows.append(&mut of_metric);
        }
        rows
    }

    /// Labels of whose values at least two, and one in ten, look as if they never came back: most
    /// values first. A metric's name is no such label.
    pub fn looks(&self) -> Vec<LookRow> {
        let mut rows = Vec::new();
        for (name, values) in &self.pairs.names {
            if **name == *b"__name__" {
                continue;
            }
            let mut found: BTreeMap<Look, (LookRow, u128)> = BTreeMap::new();
            for pair in values.iter() {
                let Some(look) = Look::of(pair.value) else {
                    continue;
                };
                let (row, own) = found.entry(look).or_insert_with(|| {
                    let row = LookRow {
                        label: lossy(name),
                        look,
                        values: 0,
                        of_values: values.len() as u64,
                        series: 0,
                        own_bytes: 0,
                        example: lossy(pair.value),
                    };
                    (row, 0)
                });
                row.values += 1;
                row.series += u64::from(pair.tally.series);
                *own = own.saturating_add(pair.own.0);
            }
            rows.extend(found.into_values().map(|(row, own)| LookRow {
                own_bytes: super::pairs::Wide(own).rounded(),
                ..row
            }));
        }
        rows.retain(|row| row.values >= 2 && row.values.saturating_mul(10) >= row.of_values);
        rows.sort_by(|a, b| {
            let key = |row: &LookRow| (Reverse(row.values), row.label.clone(), row.look);
            key(a).cmp(&key(b))
        });
        rows
    }

    /// Length of an average block: what a series covers that is there all the time.
    fn time_of_a_series(&self) -> u64 {
        let totals = self.totals();
        totals.block_time.checked_div(totals.blocks).unwrap_or(0)
    }
}

impl GroupRow {
    fn add(&mut self, other: &GroupRow) {
        self.series = self.series.saturating_add(other.series);
        self.chunks = self.chunks.saturating_add(other.chunks);
        self.samples = self.samples.saturating_add(other.samples);
        self.chunk_bytes = self.chunk_bytes.saturating_add(other.chunk_bytes);
        self.index_bytes = self.index_bytes.saturating_add(other.index_bytes);
        self.one_sample = self.one_sample.saturating_add(other.one_sample);
        self.born = self.born.saturating_add(other.born);
        self.died = self.died.saturating_add(other.died);
    }
}

fn difference(all: &PairTally, part: &PairTally) -> PairTally {
    PairTally {
        series: all.series.saturating_sub(part.series),
        one_sample: all.one_sample.saturating_sub(part.one_sample),
        fresh: all.fresh.saturating_sub(part.fresh),
        born: all.born.saturating_sub(part.born),
        ends: all.ends.saturating_sub(part.ends),
        chunks: all.chunks.saturating_sub(part.chunks),
        samples: all.samples.saturating_sub(part.samples),
        chunk_bytes: all.chunk_bytes.saturating_sub(part.chunk_bytes),
        index: 0,
        uncovered: all.uncovered.saturating_sub(part.uncovered),
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
