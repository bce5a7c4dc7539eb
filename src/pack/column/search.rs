//! Which earlier columns help to predict a column: tried on a few samples first, then on all.

use super::fit::Fitting;
use super::predict::{Predictor, cost};
use super::reference::{Kept, KeptColumn, Reference, Way};
use super::scale::Scale;
use super::sketch::Sketch;
use crate::pack::hash::NumberMap;
use crate::raw::{Work, run};

/// Columns of the same times that are tried: the parts of a sum stand close together.
const SAME_TIMES: usize = 24;
/// Columns of the same metric that are tried: replicas stand next to each other.
const SAME_METRIC: usize = 8;
/// Pairs of neighbouring samples that a column is tried on.
const PROBES: usize = 16;
/// A column that leaves fewer bits for each sample than this needs no help.
const CHEAP: u64 = 2 * 16;
/// What a reference costs to write down, in sixteenths of a bit.
const PRICE: u64 = 24 * 16;

/// A column that leaves fewer sixteenths of a bit for each sample than this is not compared with
/// others by its sketch.
const CALM: u64 = 1;
/// Columns of the same times whose sketches are compared.
const SKETCHES: usize = 128;
/// A column that does not seem to save this share of the bits is not tried.
const WORTH: u64 = 64;

/// The columns that are worth trying.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    by_times: NumberMap<usize, Vec<usize>>,
    by_metric: NumberMap<u32, Vec<usize>>,
    sketches: NumberMap<usize, Vec<(usize, Sketch)>>,
}

/// A way to predict a column.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) references: Vec<Reference>,
    /// What is left once the references have been subtracted.
    pub(super) rest: Vec<i64>,
    pub(super) predictor: Predictor,
    pub(super) cost: u64,
}

/// The column that is to be predicted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    /// Its numbers, divided by `divisor`.
    pub(super) values: &'a [i64],
    pub(super) divisor: i64,
    pub(super) scale: Scale,
    pub(super) times: usize,
    /// What columns of the same metric share.
    pub(super) metric: u32,
}

impl Candidates {
    /// Adds a column, numbered among those kept, whose prediction left `cost` sixteenths of a bit.
    pub(super) fn add(&mut self, column: usize, target: &Target<'_>, cost: u64) {
        if cost >= CALM * target.values.len() as u64
            && let Some(sketch) = Sketch::of(target.values)
        {
            let sketches = self.sketches.entry(target.times).or_default();
            sketches.push((column, sketch));
        }
        if cost < CHEAP * target.values.len() as u64 {
            return;
        }
        self.by_times.entry(target.times).or_default().push(column);
        self.by_metric
            .entry(target.metric)
            .or_default()
            .push(column);
    }

    /// The best prediction of `target` from at most two other columns, if that is better than
    /// `alone`, which is what its own past makes of it.
    pub(super) fn search(
        &self,
        kept: &mut Kept,
        target: &Target<'_>,
        alone: (Predictor, u64),
    ) -> Option<Found> {
        let equal = self.search_equal(kept, target, alone);
        let cost = equal.as_ref().map_or(alone.1, |found| found.cost);
        self.search_fitted(kept, target, cost).or(equal)
    }

    /// As [`Candidates::search`], with columns that move as far as this one.
    fn search_equal(
        &self,
        kept: &mut Kept,
        target: &Target<'_>,
        alone: (Predictor, u64),
    ) -> Option<Found> {
        if alone.1 < CHEAP * target.values.len() as u64 {
            return None;
        }
        let mut best: Option<Found> = None;
        for round in 0..2 {
            let (values, cost) = match &best {
                None => (target.values, alone.1),
                Some(found) => (&found.rest[..], found.cost),
            };
            if cost < CHEAP * values.len() as u64 {
                break;
            }
            let Some(reference) = self.probe(kept, target, values, round > 0) else {
                break;
            };
            let mut rest = values.to_vec();
            subtract(kept, target, reference, &mut rest);
            let (predictor, new_cost) = Predictor::best(&rest);
            if new_cost + PRICE > cost - cost / 32 {
                break;
            }
            let mut references = best.map_or_else(Vec::new, |found| found.references);
            references.push(reference);
            best = Some(Found {
                references,
                rest,
                predictor,
                cost: new_cost,
            });
        }
        best
    }

    /// The best prediction from one column that moves in some proportion to this one, if it costs
    /// less than `cost`.
    fn search_fitted(&self, kept: &mut Kept, target: &Target<'_>, cost: u64) -> Option<Found> {
        if cost < CALM * target.values.len() as u64 {
            return None;
        }
        let sketch = Sketch::of(target.values)?;
        let sketches = last(self.sketches.get(&target.times), SKETCHES).iter();
        let likeness = sketches.map(|(column, other)| (sketch.likeness(other), *column));
        let (likeness, column) = likeness.max_by(|a, b| a.0.total_cmp(&b.0))?;
        // Of noise that goes along so far, this many sixteenths of a bit go away with what it goes
        // along with.
        let saved = -8.0 * (1.0 - likeness * likeness).max(f32::EPSILON).log2();
        if saved * target.values.len() as f32 <= (cost / WORTH + PRICE) as f32 {
            return None;
        }
        let reference = Reference {
            column,
            way: Way::Fitted,
        };
        let mut rest = target.values.to_vec();
        subtract(kept, target, reference, &mut rest);
        let (predictor, new_cost) = Predictor::best(&rest);
        (new_cost + PRICE < cost - cost / WORTH).then(|| Found {
            references: vec![reference],
            rest,
            predictor,
            cost: new_cost,
        })
    }

    /// The reference that leaves least of a few steps of `values`.
    fn probe(
        &self,
        kept: &mut Kept,
        target: &Target<'_>,
        values: &[i64],
        same_times_only: bool,
    ) -> Option<Reference> {
        let count = values.len();
        let pairs = PROBES.min(count / 2);
        let places: Vec<usize> = (0..pairs)
            .map(|i| (i * (count - 1)) / pairs.max(1))
            .collect();
        let own: Vec<i64> = places
            .iter()
            .map(|at| match values.get(*at..at + 2) {
                Some([a, b]) => b.wrapping_sub(*a),
                _ => 0,
            })
            .collect();
        // What does not even help here is not worth trying on all samples.
        let alone: u64 = own.iter().map(|step| cost(*step)).sum();
        let mut best = (alone - alone / 32, None);
        let mut steps = Vec::with_capacity(pairs);
        let mut consider = |kept: &mut Kept, ways: [Reference; 2]| {
            let [Reference { column, .. }, _] = ways;
            kept.steps(column, target.times, &places, &mut steps);
            let left = run(StepsLeft {
                own: &own,
                steps: &steps,
                divisor: target.divisor,
            });
            for (left, reference) in left.into_iter().zip(ways) {
                if left < best.0 {
                    best = (left, Some(reference));
                }
            }
        };
        for &column in last(self.by_times.get(&target.times), SAME_TIMES) {
            if !fits(kept, column, target) {
                continue;
            }
            consider(
                kept,
                [Way::Along, Way::Against].map(|way| Reference { column, way }),
            );
        }
        if !same_times_only {
            for &column in last(self.by_metric.get(&target.metric), SAME_METRIC) {
                let same_times = |other: &KeptColumn| other.times == target.times;
                let tried = kept.columns.get(column).is_none_or(same_times);
                if !tried && fits(kept, column, target) {
                    consider(
                        kept,
                        [Way::Along, Way::Interpolated].map(|way| Reference { column, way }),
                    );
                }
            }
        }
        best.1
    }
}

fn last<T>(columns: Option<&Vec<T>>, count: usize) -> &[T] {
    columns.map_or(&[], |columns| {
        columns
            .get(columns.len().saturating_sub(count)..)
            .unwrap_or_default()
    })
}

fn fits(kept: &Kept, column: usize, target: &Target<'_>) -> bool {
    kept.columns
        .get(column)
        .is_some_and(|other| other.scale == target.scale)
}

/// What is left of the steps in `own` once those in `steps` are subtracted, in sixteenths of a bit,
/// either way.
struct StepsLeft<'a> {
    own: &'a [i64],
    steps: &'a [[i64; 2]],
    divisor: i64,
}

impl Work for StepsLeft<'_> {
    type Done = [u64; 2];

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "compiled for each kind of processor")]
    fn work(self) -> [u64; 2] {
        let mut left = [0; 2];
        for (own, steps) in self.own.iter().zip(self.steps) {
            for (left, step) in left.iter_mut().zip(steps) {
                *left += cost(own.wrapping_sub(relative(*step, self.divisor)));
            }
        }
        left
    }
}

/// Subtracts from `values` what `reference` says of them.
fn subtract(kept: &mut Kept, target: &Target<'_>, reference: Reference, values: &mut [i64]) {
    if reference.way == Way::Fitted {
        let mut fitting = Fitting::default();
        kept.combine(reference, target.times, values, |value, moved| {
            fitting.subtract(value, moved);
        });
        return;
    }
    kept.combine(reference, target.times, values, |value, moved| {
        *value = value.wrapping_sub(relative(moved, target.divisor));
    });
}

/// Adds to `values` what `reference` says of them: undoes [`subtract`].
pub(super) fn add(
    kept: &mut Kept,
    times: usize,
    divisor: i64,
    reference: Reference,
    values: &mut [i64],
) {
    if reference.way == Way::Fitted {
        let mut fitting = Fitting::default();
        kept.combine(reference, times, values, |value, moved| {
            fitting.add(value, moved);
        });
        return;
    }
    kept.combine(reference, times, values, |value, moved| {
        *value = value.wrapping_add(relative(moved, divisor));
    });
}

/// `moved` in units of `divisor`, rounded down.
#[inline]
fn relative(moved: i64, divisor: i64) -> i64 {
    if divisor == 1 {
        moved
    } else {
        moved.wrapping_div_euclid(divisor.max(1))
    }
}
