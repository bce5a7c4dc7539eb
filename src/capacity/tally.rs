//! What one pass over a block counts.

use std::collections::HashMap;

use super::costs::{Costs, NameId, PairId};
use super::cuts::CutReason;
use super::decode::Decoded;
use super::identity::SymbolHashes;
use super::lives::{Change, Life, Lives};
use super::options::AnalyzeOptions;
use super::pairs::PairTally;
use super::walk::{SeriesView, Walked, fold_series};
use super::window::Window;
use crate::inspect::{Faults, SeriesCounts, average_distance};
use crate::model::Millis;

/// Memory that the counters of pairs may take in all workers together, in bytes.
const PAIR_MEMORY: usize = 256 << 20;

/// Everything one pass counts.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) pairs: Vec<PairTally>,
    /// Series that count.
    pub(super) whole: PairTally,
    /// Series that are not selected: their chunks' bytes, and their part of the index.
    pub(super) left_out: PairTally,
    pub(super) counts: SeriesCounts,
    /// Chunks, and samples in them, by why they ended.
    pub(super) cuts: [(u64, u64); CutReason::ALL.len()],
    /// Samples by job and average distance of their chunk.
    pub(super) averages: HashMap<(Option<PairId>, Millis), u64>,
    pub(super) lives: Vec<Life>,
    /// Identities of these series, if they were asked for.
    pub(super) ids: Vec<u128>,
    pub(super) decoded: Decoded,
    /// Labels for which there is no postings list.
    pub(super) unlisted: u64,
}

/// Goes through the series of a block.
pub(super) fn tally(
    walked: Walked<'_>,
    options: &AnalyzeOptions,
    window: Window,
    lives: &Lives,
    faults: &mut Faults,
) -> Tally {
    let costs = walked.costs;
    let pairs = costs.pairs().len();
    let per_worker = pairs.saturating_mul(size_of::<PairTally>()).max(1);
    let workers = rayon::current_num_threads().min((PAIR_MEMORY / per_worker).max(1));
    let job = costs.find_name(b"job");
    let symbols = costs.symbols();
    let hashes = options.several_blocks.then(|| SymbolHashes::of(symbols));
    let era = lives.era(window);
    fold_series(
        walked,
        workers,
        faults,
        || Tally {
            pairs: vec![PairTally::default(); pairs],
            ..Tally::default()
        },
        |tally, view, faults| {
            let mut known = None;
            if let Some(hashes) = hashes.as_ref().filter(|_| view.selected) {
                let labels = view.labels.iter();
                let ordinals = labels.map(|(n, v)| (symbols.ordinal(*n), symbols.ordinal(*v)));
                let id = hashes.identity(ordinals);
                tally.ids.push(id);
                known = lives.span(id);
            }
            tally.series(view, costs, job, window, era.of(view, known));
            if !view.selected {
                return;
            }
            if options.extended {
                let job = job_of(view, costs, job);
                if let Some(((_, before), first)) = known.zip(view.min_time()) {
                    tally.decoded.seam(job, before, first);
                }
                tally
                    .decoded
                    .series(view.chunks, job, &mut |segment, fault| {
                        faults.segment(walked.block, segment, fault);
                    });
            }
        },
        Tally::merge,
    )
    .with_intervals()
}

fn job_of(view: &SeriesView<'_, '_>, costs: &Costs<'_>, job: Option<NameId>) -> Option<PairId> {
    let job = job?;
    let mut pairs = view.pairs.iter().flatten();
    pairs
        .find(|pair| {
            let cost = costs.pairs().get(**pair as usize);
            cost.is_some_and(|cost| cost.name == job)
        })
        .copied()
}

impl Tally {
    fn series(
        &mut self,
        view: &SeriesView<'_, '_>,
        costs: &Costs<'_>,
        job: Option<NameId>,
        window: Window,
        change: Change,
    ) {
        let index = view.index_bytes().0;
        let others = view.other_chunk_bytes;
        self.left_out.chunk_bytes = self.left_out.chunk_bytes.saturating_add(others);
        if !view.selected {
            self.left_out.series = self.left_out.series.saturating_add(1);
            self.left_out.index = self.left_out.index.saturating_add(index);
            return;
        }
        let span = view.min_time().zip(view.max_time());
        let one = PairTally {
            series: 1,
            one_sample: u32::from(view.samples == 1),
            fresh: u32::from(change.fresh),
            born: u32::from(change.born),
            ends: u32::from(change.ends),
            chunks: u32::try_from(view.chunks.len()).unwrap_or(u32::MAX),
            samples: view.samples,
            chunk_bytes: view.chunk_bytes,
            index,
            uncovered: window.uncovered(span),
        };
        self.whole.add(&one);
        for pair in view.pairs {
            match pair.and_then(|pair| self.pairs.get_mut(pair as usize)) {
                Some(tally) => tally.add(&one),
                None => self.unlisted += 1,
            }
        }
        let job = job_of(view, costs, job);
        let (first, last) = span.unwrap_or((Millis::MAX, Millis::MIN));
        self.lives.push(Life {
            first,
            last,
            job,
            samples: u32::try_from(view.samples).unwrap_or(u32::MAX),
        });
        self.counts.series += 1;
        self.counts
            .chunks_per_series
            .record(view.chunks.len() as u64);
        // Most chunks of a series have the same distance.
        let mut run: Option<(Millis, u64)> = None;
        for (i, chunk) in view.chunks.iter().enumerate() {
            let samples = u64::from(chunk.samples);
            self.counts.add(&chunk.record, samples);
            if let Some(interval) = average_distance(&chunk.meta, samples) {
                match &mut run {
                    Some((known, sum)) if *known == interval => *sum += samples,
                    _ => self.averages(job, run.replace((interval, samples))),
                }
            }
            let cut = CutReason::of(chunk, view.chunks.get(i + 1), window);
            if let Some((chunks, in_them)) = self.cuts.get_mut(cut as usize) {
                *chunks += 1;
                *in_them += samples;
            }
        }
        self.averages(job, run);
    }

    /// Fills in what [`SeriesCounts::add`] leaves to the caller.
    fn with_intervals(mut self) -> Self {
        for ((_, interval), samples) in &self.averages {
            *self.counts.intervals.entry(*interval).or_default() += samples;
        }
        self
    }

    fn averages(&mut self, job: Option<PairId>, run: Option<(Millis, u64)>) {
        if let Some((interval, samples)) = run {
            *self.averages.entry((job, interval)).or_default() += samples;
        }
    }

    fn merge(mut self, other: Tally) -> Tally {
        for (mine, theirs) in self.pairs.iter_mut().zip(&other.pairs) {
            mine.add(theirs);
        }
        self.whole.add(&other.whole);
        self.left_out.add(&other.left_out);
        self.counts.merge(&other.counts);
        for (mine, theirs) in self.cuts.iter_mut().zip(other.cuts) {
            mine.0 += theirs.0;
            mine.1 += theirs.1;
        }
        for (key, samples) in other.averages {
            *self.averages.entry(key).or_default() += samples;
        }
        self.lives.extend(other.lives);
        self.ids.extend(other.ids);
        self.decoded.merge(other.decoded);
        self.unlisted += other.unlisted;
        self
    }
}
