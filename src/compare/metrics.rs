//! Differences summed by metric.

use std::collections::BTreeMap;

/// What one side has of a metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetricTotals {
    /// Series with samples.
    pub series: u64,
    /// Samples.
    pub samples: u64,
    /// Bytes of the data of the chunks they were read from.
    pub chunk_bytes: u64,
}

/// One metric on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricChange {
    /// Its name; `None` for series that have none.
    pub metric: Option<Box<[u8]>>,
    /// On the first side.
    pub a: MetricTotals,
    /// On the second side.
    pub b: MetricTotals,
    /// Series that only the first side has.
    pub only_a: u64,
    /// Series that only the second side has.
    pub only_b: u64,
    /// Series that both have, with a sample that differs.
    pub different: u64,
}

impl MetricTotals {
    pub(super) fn add(&mut self, other: MetricTotals) {
        self.series += other.series;
        self.samples += other.samples;
        self.chunk_bytes = self.chunk_bytes.saturating_add(other.chunk_bytes);
    }
}

impl MetricChange {
    /// Whether any series or sample of it differs.
    pub fn is_changed(&self) -> bool {
        self.only_a + self.only_b + self.different > 0
    }

    /// Samples of the second side beyond those of the first.
    pub fn samples_change(&self) -> i64 {
        change(self.a.samples, self.b.samples)
    }

    /// The same in percent of the first side; `None` when that has none.
    pub fn samples_growth(&self) -> Option<f64> {
        growth(self.a.samples, self.b.samples)
    }

    /// Chunk bytes of the second side beyond those of the first.
    pub fn bytes_change(&self) -> i64 {
        change(self.a.chunk_bytes, self.b.chunk_bytes)
    }

    /// The same in percent of the first side; `None` when that has none.
    pub fn bytes_growth(&self) -> Option<f64> {
        growth(self.a.chunk_bytes, self.b.chunk_bytes)
    }

    fn change(&self) -> (u64, u64, u64) {
        (
            self.a.samples.abs_diff(self.b.samples),
            self.a.chunk_bytes.abs_diff(self.b.chunk_bytes),
            self.only_a + self.only_b,
        )
    }
}

fn change(a: u64, b: u64) -> i64 {
    let change = i64::try_from(a.abs_diff(b)).unwrap_or(i64::MAX);
    if b < a { -change } else { change }
}

fn growth(a: u64, b: u64) -> Option<f64> {
    (a > 0).then(|| (b as f64 - a as f64) / a as f64 * 100.0)
}

/// Sums by metric.
#[derive(Default)]
pub(super) struct Metrics(BTreeMap<Option<Box<[u8]>>, MetricChange>);

impl Metrics {
    /// Adds one series, as far as each side has it.
    pub(super) fn add(
        &mut self,
        metric: Option<&[u8]>,
        a: Option<MetricTotals>,
        b: Option<MetricTotals>,
        is_different: bool,
    ) {
        let metric: Option<Box<[u8]>> = metric.map(Into::into);
        let row = self
            .0
            .entry(metric.clone())
            .or_insert_with(|| MetricChange {
                metric,
                a: MetricTotals::default(),
                b: MetricTotals::default(),
                only_a: 0,
                only_b: 0,
                different: 0,
            });
        match (a, b) {
            (Some(_), None) => row.only_a += 1,
            (None, Some(_)) => row.only_b += 1,
            _ => row.different += u64::from(is_different),
        }
        row.a.add(a.unwrap_or_default());
        row.b.add(b.unwrap_or_default());
    }

    /// All metrics, the largest changes first.
    pub(super) fn finish(self) -> Vec<MetricChange> {
        let mut rows: Vec<_> = self.0.into_values().collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.change()));
        rows
    }
}
