//! Series, samples and bytes by job and metric.

use std::collections::HashMap;

use super::counts::ChunkCounts;
use super::index::Opened;
use crate::index::{Series, SeriesEntry, SymbolRef};

/// All series with one job and one metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobMetric {
    /// Value of the label `job`; `None` where there is none, or it cannot be read.
    pub job: Option<Box<[u8]>>,
    /// Value of the label `__name__`; likewise.
    pub metric: Option<Box<[u8]>>,
    /// Series whose entries could be read.
    pub series: u64,
    /// Samples in their chunks, as [`VerifiedAmounts`](crate::verify::VerifiedAmounts) counts
    /// them.
    pub samples: u64,
    /// Bytes of their chunk records that could be read.
    pub chunk_bytes: u64,
    /// Bytes of their entries in the index, without padding.
    pub entry_bytes: u64,
}

/// The names of the labels that matter, as symbols.
#[derive(Clone, Copy, Debug)]
pub(in crate::verify) struct GroupLabels {
    job: Option<SymbolRef>,
    metric: Option<SymbolRef>,
}

impl GroupLabels {
    pub(in crate::verify) fn of(opened: &Opened<'_>) -> Self {
        let symbol = |name: &[u8]| {
            let symbols = opened.symbols.as_ref()?;
            // Where symbols are not in order a search may miss it.
            let walk = || symbols.iter().find(|(_, string)| *string == name);
            symbols
                .find(name)
                .or_else(|| walk().map(|(symbol, _)| symbol))
        };
        GroupLabels {
            job: symbol(b"job"),
            metric: symbol(b"__name__"),
        }
    }
}

/// Values of the two labels, as symbols.
type Key = (Option<SymbolRef>, Option<SymbolRef>);

/// Counts by the two labels: at most as many as there are series.
#[derive(Debug, Default)]
pub(in crate::verify) struct Groups(HashMap<Key, JobMetric>);

impl Groups {
    /// Adds one series, given what had been counted in chunks before and after its own.
    pub(in crate::verify) fn add(
        &mut self,
        labels: GroupLabels,
        entry: &SeriesEntry<'_>,
        series: &Series,
        (before, after): (ChunkCounts, ChunkCounts),
    ) {
        let value = |wanted: Option<SymbolRef>| {
            let label = series.labels.iter().find(|(name, _)| Some(*name) == wanted);
            label.map(|(_, value)| *value)
        };
        let group = self
            .0
            .entry((value(labels.job), value(labels.metric)))
            .or_default();
        let samples = |counts: ChunkCounts| counts.floats + counts.histograms;
        group.series += 1;
        group.samples += samples(after) - samples(before);
        group.chunk_bytes += after.bytes - before.bytes;
        group.entry_bytes += entry.end - entry.offset;
    }

    pub(in crate::verify) fn append(&mut self, later: Groups) {
        if self.0.is_empty() {
            self.0 = later.0;
            return;
        }
        for (key, more) in later.0 {
            let group = self.0.entry(key).or_default();
            group.series += more.series;
            group.samples += more.samples;
            group.chunk_bytes += more.chunk_bytes;
            group.entry_bytes += more.entry_bytes;
        }
    }

    /// All groups with the strings of their labels.
    pub(in crate::verify) fn named(self, opened: &Opened<'_>) -> Vec<JobMetric> {
        let string = |symbol: Option<SymbolRef>| {
            let symbols = opened.symbols.as_ref()?;
            symbols.get(symbol?, 0).ok().map(Into::into)
        };
        let groups = self.0.into_iter();
        groups
            .map(|((job, metric), group)| JobMetric {
                job: string(job),
                metric: string(metric),
                ..group
            })
            .collect()
    }
}
