//! Weights that follow the data: how far a column moves when another one does, or when it has just
//! moved itself.
//!
//! A weight is the ratio of two decaying sums, as in a regression on the last few dozen samples.
//! Reader and writer compute it from what both know, so it is never written down. All of it is
//! IEEE-754 arithmetic in the order in which it stands here, each operation rounded on its own:
//! that is part of the format. Whatever numbers a column holds, a guess is some number, the same on
//! both sides.

/// Share of a sum that fades with each sample.
const FADE: f64 = 1.0 / 64.0;
/// Weight of the newest miss in the usual one.
const NEWEST: f64 = 1.0 / 16.0;
/// A miss counts as at most so many usual ones: one jump must not spoil the weights.
const MOST: f64 = 3.0;
/// Two steps say less than one alone when their sums' determinant is below this share of its
/// largest value.
const SINGULAR: f64 = 1.0 / 1_048_576.0;

/// So many first steps change the weights at once.
const EAGER: u32 = 16;
/// Later each so-manieth does.
const INTERVAL: u32 = 8;

/// The whole number nearest to `guess`, halves away from zero; the nearest of 64 bits if it is
/// larger, zero if it is none.
#[inline]
fn nearest(guess: f64) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates, as the format says"
    )]
    let whole = (guess + 0.5f64.copysign(guess)) as i64;
    whole
}

/// How far guesses usually miss.
#[derive(Clone, Copy, Debug, Default)]
struct Misses(f64);

impl Misses {
    /// What `miss` counts as.
    #[inline]
    fn tame(&mut self, miss: f64) -> f64 {
        if self.0 < 1.0 {
            self.0 = miss.abs();
            return miss;
        }
        let most = MOST * self.0;
        let tamed = miss.max(-most).min(most);
        self.0 += (tamed.abs() - self.0) * NEWEST;
        tamed
    }
}

/// When weights are computed anew: after each of the first steps, then after some. Division is
/// slow.
#[derive(Clone, Copy, Debug, Default)]
struct Turn(u32);

impl Turn {
    /// Whether it is time, one step later.
    #[inline]
    fn comes(&mut self) -> bool {
        self.0 = self.0.wrapping_add(1);
        self.0 <= EAGER || self.0.is_multiple_of(INTERVAL)
    }
}

/// How far a column moves for each step of another.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fit {
    weight: f64,
    both: f64,
    other: f64,
    misses: Misses,
    turn: Turn,
}

impl Fit {
    /// What the step of the column should be when the other's is `other`.
    #[inline]
    pub(super) fn guess(&self, other: i64) -> i64 {
        nearest(self.weight * other as f64)
    }

    /// Learns that the column's step was `step` when the other's was `other`.
    #[inline]
    pub(super) fn see(&mut self, other: i64, step: i64) {
        let other = other as f64;
        let expected = self.weight * other;
        let step = expected + self.misses.tame(step as f64 - expected);
        self.both += other * step - self.both * FADE;
        self.other += other * other - self.other * FADE;
        if self.turn.comes() {
            self.weight = self.both / (self.other + 1.0);
            if !self.weight.is_finite() {
                *self = Fit::default();
            }
        }
    }
}

/// How far a column moves after its last two steps.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Habit {
    steps: [f64; 2],
    weights: [f64; 2],
    /// Sums of products: of the last step with itself, with the one before, and of that with
    /// itself.
    squares: [f64; 3],
    /// Sums of products with the step that came of it.
    both: [f64; 2],
    misses: Misses,
    turn: Turn,
}

impl Habit {
    /// What the next step should be.
    #[inline]
    pub(super) fn guess(&self) -> i64 {
        nearest(self.expect())
    }

    #[inline]
    fn expect(&self) -> f64 {
        let ([last, before], [a, b]) = (self.steps, self.weights);
        last * a + before * b
    }

    /// Learns that the next step was `step`.
    #[inline]
    pub(super) fn see(&mut self, step: i64) {
        let step = step as f64;
        let expected = self.expect();
        let tamed = expected + self.misses.tame(step - expected);
        let [last, before] = self.steps;
        let [aa, ab, bb] = &mut self.squares;
        *aa += last * last - *aa * FADE;
        *ab += last * before - *ab * FADE;
        *bb += before * before - *bb * FADE;
        let [a, b] = &mut self.both;
        *a += last * tamed - *a * FADE;
        *b += before * tamed - *b * FADE;
        self.steps = [step, last];
        if self.turn.comes() {
            self.weigh();
        }
    }

    fn weigh(&mut self) {
        let ([aa, ab, bb], [a, b]) = (self.squares, self.both);
        let (aa, bb) = (aa + 1.0, bb + 1.0);
        let most = aa * bb;
        let determinant = most - ab * ab;
        self.weights = if determinant > most * SINGULAR {
            [
                (a * bb - b * ab) / determinant,
                (b * aa - a * ab) / determinant,
            ]
        } else {
            [a / aa, 0.0]
        };
        if !self.weights.iter().all(|weight| weight.is_finite()) {
            *self = Habit::default();
        }
    }
}

/// Takes a [`Fit`] along a column, which it changes, and another, which it only sees.
#[derive(Debug, Default)]
pub(super) struct Fitting {
    fit: Fit,
    /// What the column was, before or after it was changed, and how far the other had moved.
    last: Option<(i64, i64)>,
    /// All guesses so far.
    guessed: i64,
}

impl Fitting {
    /// Subtracts from the next number what the guesses so far add up to. The other column has moved
    /// by `moved` since its first number.
    #[inline]
    pub(super) fn subtract(&mut self, value: &mut i64, moved: i64) {
        if let Some((last, before)) = self.last {
            let other = moved.wrapping_sub(before);
            self.guessed = self.guessed.wrapping_add(self.fit.guess(other));
            self.fit.see(other, value.wrapping_sub(last));
        }
        self.last = Some((*value, moved));
        *value = value.wrapping_sub(self.guessed);
    }

    /// Undoes [`Fitting::subtract`].
    #[inline]
    pub(super) fn add(&mut self, value: &mut i64, moved: i64) {
        let rest = *value;
        if let Some((last, before)) = self.last {
            let other = moved.wrapping_sub(before);
            let guess = self.fit.guess(other);
            self.guessed = self.guessed.wrapping_add(guess);
            let step = rest.wrapping_sub(last).wrapping_add(guess);
            self.fit.see(other, step);
        }
        self.last = Some((rest, moved));
        *value = rest.wrapping_add(self.guessed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn subtracted(values: &[i64], moved: &[i64]) -> Vec<i64> {
        let (mut rest, mut fitting) = (values.to_vec(), Fitting::default());
        for (value, moved) in rest.iter_mut().zip(moved) {
            fitting.subtract(value, *moved);
        }
        rest
    }

    #[test]
    fn a_guess_is_the_nearest_whole_number() {
        let cases = [(0.5, 1), (0.49, 0), (-0.5, -1), (2.5, 3), (-1.49, -1)];
        for (guess, whole) in cases {
            assert_eq!(nearest(guess), whole, "{guess}");
        }
        assert_eq!(nearest(f64::NAN), 0);
        assert_eq!((nearest(1e300), nearest(-1e300)), (i64::MAX, i64::MIN));
    }

    #[test]
    fn a_column_that_moves_in_proportion_leaves_nothing_after_a_few_samples() {
        let moved: Vec<i64> = (0..200)
            .map(|i| i * 1_000 + (i * i * 7_919) % 997)
            .collect();
        let values: Vec<i64> = moved.iter().map(|moved| 5 + moved * -3).collect();
        let rest = subtracted(&values, &moved);
        let steps: Vec<i64> = rest.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(steps[20..].iter().all(|step| step.abs() <= 3), "{steps:?}");
    }

    #[test]
    fn a_column_that_swings_is_seen_through() {
        // x'' = -k x has two weights.
        let values: Vec<i64> = (0..200)
            .map(|i| ((f64::from(i) / 5.0).sin() * 1e6) as i64)
            .collect();
        let mut habit = Habit::default();
        let mut misses = Vec::new();
        for pair in values.windows(2) {
            let step = pair[1] - pair[0];
            misses.push((habit.guess() - step).abs());
            habit.see(step);
        }
        // Steps are up to 200,000.
        assert!(
            misses[100..].iter().all(|miss| *miss < 10_000),
            "{misses:?}"
        );
    }

    #[test]
    fn guesses_stay_what_they_are() {
        // From a reader of its own, written after docs/pack-format.md: packs that are stored rest
        // on every bit of the arithmetic.
        let moves = |i: i64| (i * i * 7_919 + i * 31) % 1_009 - 300;
        let step = |i: i64| {
            let jump = if i == 11 { 5_000 } else { 0 };
            3 * moves(i) + (i * i * i + 5 * i) % 41 - 20 + jump
        };
        let (mut fit, mut habit) = (Fit::default(), Habit::default());
        let (mut fitted, mut usual) = (Vec::new(), Vec::new());
        for i in 0..40 {
            fitted.push(fit.guess(moves(i)));
            fit.see(moves(i), step(i));
            usual.push(habit.guess());
            habit.see(step(i));
        }
        assert_eq!(
            fitted,
            [
                0, 1800, 476, 1300, 1202, 196, 1286, 1463, 732, 2092, -463, 2089, 825, 1657, 1417,
                155, 1281, 1372, 429, 1862, 2260, 1625, -44, 662, 321, 2287, -13, -32, 2229, 224,
                500, -217, 1322, 1883, 1468, 80, 930, 806, -293, 847
            ]
        );
        assert_eq!(
            usual,
            [
                0, 0, -3317, -6437, -2302, -1933, -871, -263, -287, -201, 561, 143, -2525, 5012,
                304, 550, 397, 119, 443, 409, 233, 654, 723, 443, 64, 236, 374, 707, -4, 264, 725,
                128, 118, 93, 623, 749, 454, 130, 379, 216
            ]
        );
    }

    proptest! {
        #[test]
        fn what_is_subtracted_can_be_added_again(pairs in prop::collection::vec((any::<i64>().prop_flat_map(|wide| (0u32..64).prop_map(move |shift| wide >> shift)), any::<i64>()), 1..200)) {
            let (values, moved): (Vec<i64>, Vec<i64>) = pairs.into_iter().unzip();
            let (mut back, mut fitting) = (subtracted(&values, &moved), Fitting::default());
            for (value, moved) in back.iter_mut().zip(&moved) {
                fitting.add(value, *moved);
            }
            prop_assert_eq!(back, values);
        }
    }
}
