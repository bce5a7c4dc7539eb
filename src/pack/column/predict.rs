//! Guessing the next number of a column from those before it.
//!
//! All arithmetic wraps: whatever numbers a column holds, guess and residual undo each other
//! exactly.

use super::fit::Habit;
use crate::raw::{Work, run};

/// How a column is predicted. The numbers are those of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Predictor {
    /// Zero: the numbers as they are.
    Zero = 0,
    /// The number before: gauges that move in small steps, counters at rest.
    Last = 1,
    /// On the line through the two numbers before: counters at a steady rate.
    Linear = 2,
    /// A running mean: noise around a level.
    Level = 3,
    /// The number before plus a running mean of steps: counters at a noisy rate.
    Slope = 4,
    /// The number before plus what its last two steps usually lead to: what swings, or jumps back.
    Habit = 5,
}

/// Fraction bits of the running means.
const FRACTION: u32 = 8;
/// Half of one in such a mean.
const HALF: i64 = 1 << (FRACTION - 1);
/// Weight of the newest number in a running mean: 1 / 2^this.
const DECAY: u32 = 3;

/// Numbers of a column that predictors are tried on.
const PROBE: usize = 64;
/// Longer columns are judged by two stretches of this length.
const STRETCH: usize = 96;

impl Predictor {
    pub(super) const ALL: [Predictor; 6] = [
        Predictor::Zero,
        Predictor::Last,
        Predictor::Linear,
        Predictor::Level,
        Predictor::Slope,
        Predictor::Habit,
    ];

    pub(super) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// What is left of `values` but the first once each has been guessed.
    pub(super) fn residuals(self, values: &[i64], out: &mut Vec<i64>) {
        out.clear();
        self.each_residual(values, |residual| out.push(residual));
    }

    /// About how many sixteenths of a bit the residuals of `values` take.
    pub(super) fn cost(self, values: &[i64]) -> u64 {
        let middle = values.len() / 2;
        let (Some(begin), Some(later)) =
            (values.get(..STRETCH), values.get(middle..middle + STRETCH))
        else {
            return self.cost_of_all(values);
        };
        if values.len() <= 3 * STRETCH {
            return self.cost_of_all(values);
        }
        let cost = self.cost_of_all(begin) + self.cost_of_all(later);
        cost * values.len() as u64 / (2 * STRETCH) as u64
    }

    fn cost_of_all(self, values: &[i64]) -> u64 {
        run(Cost {
            predictor: self,
            values,
        })
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "compiled for each kind of processor")]
    fn each_residual(self, values: &[i64], visit: impl FnMut(i64)) {
        match self {
            Predictor::Zero => residuals::<Zero>(values, visit),
            Predictor::Last => residuals::<Last>(values, visit),
            Predictor::Linear => residuals::<Linear>(values, visit),
            Predictor::Level => residuals::<Level>(values, visit),
            Predictor::Slope => residuals::<Slope>(values, visit),
            Predictor::Habit => residuals::<Habitual>(values, visit),
        }
    }

    /// Turns `column`, a first value and the residuals behind it, into values.
    pub(super) fn restore(self, column: &mut [i64]) {
        match self {
            Predictor::Zero => {}
            Predictor::Last => restore::<Last>(column),
            Predictor::Linear => restore::<Linear>(column),
            Predictor::Level => restore::<Level>(column),
            Predictor::Slope => restore::<Slope>(column),
            Predictor::Habit => restore::<Habitual>(column),
        }
    }

    /// The predictor that leaves the least of `values`, and about what it leaves, in sixteenths of
    /// a bit.
    pub(super) fn best(values: &[i64]) -> (Self, u64) {
        // What is nearly always the same needs no search.
        let mut changes = values
            .windows(2)
            .filter(|pair| matches!(pair, [a, b] if a != b));
        let last = Predictor::Last.cost(values);
        if changes.by_ref().take(values.len() / 16 + 1).count() <= values.len() / 16 {
            return (Predictor::Last, last);
        }
        let probe = values.get(..values.len().min(PROBE)).unwrap_or_default();
        let best = Self::ALL
            .into_iter()
            .min_by_key(|predictor| predictor.cost(probe));
        let best = best.map(|predictor| (predictor, predictor.cost(values)));
        best.filter(|best| best.1 < last)
            .unwrap_or((Predictor::Last, last))
    }
}

/// See [`Predictor::cost`].
struct Cost<'a> {
    predictor: Predictor,
    values: &'a [i64],
}

impl Work for Cost<'_> {
    type Done = u64;

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "compiled for each kind of processor")]
    fn work(self) -> u64 {
        let mut sum = 0;
        self.predictor
            .each_residual(self.values, |residual| sum += cost(residual));
        sum
    }
}

/// About how many sixteenths of a bit `residual` takes: 16 log₂(2 |residual| + 1).
#[inline(always)]
#[expect(clippy::inline_always, reason = "compiled for each kind of processor")]
pub(super) fn cost(residual: i64) -> u64 {
    let odd = residual.unsigned_abs().saturating_mul(2) | 1;
    let length = odd.ilog2();
    let below = (odd << (63 - length)) >> 59 & 15;
    u64::from(length) << 4 | below
}

trait Guess {
    fn new(first: i64) -> Self;
    fn next(&self) -> i64;
    fn see(&mut self, value: i64);
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "compiled for each kind of processor")]
fn residuals<G: Guess>(values: &[i64], mut visit: impl FnMut(i64)) {
    let Some((&first, rest)) = values.split_first() else {
        return;
    };
    let mut guess = G::new(first);
    for &value in rest {
        visit(value.wrapping_sub(guess.next()));
        guess.see(value);
    }
}

fn restore<G: Guess>(column: &mut [i64]) {
    let Some((first, rest)) = column.split_first_mut() else {
        return;
    };
    let mut guess = G::new(*first);
    for value in rest {
        *value = value.wrapping_add(guess.next());
        guess.see(*value);
    }
}

struct Zero;

impl Guess for Zero {
    fn new(_first: i64) -> Self {
        Zero
    }
    #[inline]
    fn next(&self) -> i64 {
        0
    }
    #[inline]
    fn see(&mut self, _value: i64) {}
}

struct Last(i64);

impl Guess for Last {
    fn new(first: i64) -> Self {
        Last(first)
    }
    #[inline]
    fn next(&self) -> i64 {
        self.0
    }
    #[inline]
    fn see(&mut self, value: i64) {
        self.0 = value;
    }
}

struct Linear {
    last: i64,
    step: i64,
}

impl Guess for Linear {
    fn new(first: i64) -> Self {
        Linear {
            last: first,
            step: 0,
        }
    }
    #[inline]
    fn next(&self) -> i64 {
        self.last.wrapping_add(self.step)
    }
    #[inline]
    fn see(&mut self, value: i64) {
        self.step = value.wrapping_sub(self.last);
        self.last = value;
    }
}

struct Level(Mean);

impl Guess for Level {
    fn new(first: i64) -> Self {
        Level(Mean::new(first))
    }
    #[inline]
    fn next(&self) -> i64 {
        self.0.rounded()
    }
    #[inline]
    fn see(&mut self, value: i64) {
        self.0.see(value);
    }
}

struct Slope {
    last: i64,
    step: Option<Mean>,
}

impl Guess for Slope {
    fn new(first: i64) -> Self {
        Slope {
            last: first,
            step: None,
        }
    }
    #[inline]
    fn next(&self) -> i64 {
        self.last
            .wrapping_add(self.step.as_ref().map_or(0, Mean::rounded))
    }
    #[inline]
    fn see(&mut self, value: i64) {
        let step = value.wrapping_sub(self.last);
        match &mut self.step {
            Some(mean) => mean.see(step),
            None => self.step = Some(Mean::new(step)),
        }
        self.last = value;
    }
}

struct Habitual {
    last: i64,
    habit: Habit,
}

impl Guess for Habitual {
    fn new(first: i64) -> Self {
        Habitual {
            last: first,
            habit: Habit::default(),
        }
    }
    #[inline]
    fn next(&self) -> i64 {
        self.last.wrapping_add(self.habit.guess())
    }
    #[inline]
    fn see(&mut self, value: i64) {
        self.habit.see(value.wrapping_sub(self.last));
        self.last = value;
    }
}

/// A running mean with fraction bits.
struct Mean(i64);

impl Mean {
    fn new(first: i64) -> Self {
        Mean(first.wrapping_shl(FRACTION))
    }
    #[inline]
    fn rounded(&self) -> i64 {
        self.0.wrapping_add(HALF) >> FRACTION
    }
    #[inline]
    fn see(&mut self, value: i64) {
        let distance = value.wrapping_shl(FRACTION).wrapping_sub(self.0);
        self.0 = self.0.wrapping_add(distance >> DECAY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn costs_are_logarithms() {
        let exact = |r: f64| 16.0 * (2.0 * r + 1.0).log2();
        for residual in [0i64, 1, 2, 3, 10, 1000, 123_456, 1 << 40] {
            let off = cost(residual) as f64 - exact(residual as f64);
            assert!((-1.5..=0.01).contains(&off), "{residual}: off by {off}");
            assert_eq!(cost(residual), cost(-residual));
        }
        assert!(cost(i64::MIN) <= 64 * 16);
    }

    #[test]
    fn each_predictor_is_best_at_what_it_is_for() {
        let noise = |i: i64| (i * 7_919 + i * i * 31) % 101 - 50;
        let column = |f: &dyn Fn(i64) -> i64| (0..400).map(f).collect::<Vec<_>>();
        let best = |values: &[i64]| Predictor::best(values).0;
        assert_eq!(best(&column(&|i| i / 100)), Predictor::Last);
        assert_eq!(best(&column(&|i| i * 1_000_003)), Predictor::Linear);
        assert_eq!(best(&column(&|i| i * i)), Predictor::Habit);
        assert_eq!(best(&column(&|i| 1_000_000 + noise(i))), Predictor::Level);
        let mut total = 0;
        let steps: Vec<_> = (0..400)
            .map(|i| {
                total += 1_000_000 + noise(i);
                total
            })
            .collect();
        assert_eq!(best(&steps), Predictor::Slope);
    }

    proptest! {
        #[test]
        fn residuals_and_values_undo_each_other(values in prop::collection::vec(any::<i64>(), 1..50)) {
            for predictor in Predictor::ALL {
                let mut residuals = Vec::new();
                predictor.residuals(&values, &mut residuals);
                residuals.insert(0, values[0]);
                predictor.restore(&mut residuals);
                prop_assert_eq!(&residuals, &values);
            }
        }
    }
}
