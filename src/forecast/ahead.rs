//! The days to come, added up.

use super::FOREVER;
use super::model::Fit;
use crate::model::Millis;

/// What each day of the next ten years brings, as sums.
#[derive(Debug)]
pub(super) struct Ahead {
    /// Bytes until the end of each day; the first is day 0, with nothing.
    sums: Vec<f64>,
    /// Bytes of each day.
    rates: Vec<f64>,
}

impl Ahead {
    /// Goes on with `fit`, which was made of stretches of `width`. A wave of a day is gone in the
    /// sum of a day; that of a week is not.
    pub(super) fn new(fit: &Fit, start: Millis, width: Option<Millis>) -> Self {
        let days = FOREVER / 86_400_000;
        let weekly = width.filter(|_| fit.period().is_some_and(|p| p > 86_400_000));
        let mut ahead = Ahead {
            sums: vec![0.0],
            rates: Vec::new(),
        };
        let mut sum = 0.0;
        for day in 0..days {
            let begin = fit.end + day as f64;
            let wave = weekly.map_or(1.0, |width| mean_factor(fit, begin, start, width));
            let rate = fit.level(begin + 0.5) * wave;
            sum += rate;
            ahead.rates.push(rate);
            ahead.sums.push(sum);
        }
        ahead
    }

    /// Bytes from now until `days` from now; none before.
    pub(super) fn bytes(&self, days: f64) -> f64 {
        let (whole, part) = split(days);
        let sum = self.sums.get(whole).or(self.sums.last());
        let rate = self.rates.get(whole).copied().unwrap_or(0.0);
        sum.copied().unwrap_or(0.0) + rate * part
    }

    /// Bytes a day, `days` from now: the mean of the week that ends then, or of less where there is
    /// less.
    pub(super) fn rate(&self, days: f64) -> f64 {
        let last = self.rates.len();
        let until = (split(days).0 + 1).min(last);
        let from = if self.rates.first() == self.rates.get(until.saturating_sub(1)) {
            until.saturating_sub(1)
        } else {
            until.saturating_sub(7)
        };
        let week = self.rates.get(from..until).unwrap_or_default();
        week.iter().sum::<f64>() / week.len().max(1) as f64
    }
}

/// Whole days and the rest of one.
fn split(days: f64) -> (usize, f64) {
    let days = days.max(0.0);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "float to integer saturates"
    )]
    let whole = days.floor() as usize;
    (whole, days - days.floor())
}

/// The mean factor of the wave in the day that begins `begin` days after `start`.
fn mean_factor(fit: &Fit, begin: f64, start: Millis, width: Millis) -> f64 {
    let steps = (86_400_000 / width).max(1);
    let sum: f64 = (0..steps)
        .map(|step| {
            let time = super::time_at(start, begin).saturating_add(step.saturating_mul(width));
            fit.factor(time.div_euclid(width))
        })
        .sum();
    sum / steps as f64
}
