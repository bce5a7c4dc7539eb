//! Daily and weekly waves.

use super::series::Point;
use crate::model::Millis;

/// A day and a week.
const PERIODS: [Millis; 2] = [86_400_000, 7 * 86_400_000];

/// A wave needs at least so many places in its period.
const PLACES: i64 = 4;

/// … and so many whole periods.
const WHOLE: f64 = 2.0;

/// A wave counts when it explains this much of the differences in periods it was not taken from.
const EXPLAINED: f64 = 0.3;

/// Factors are kept within these, so that a hole in one week is no law.
const BOUNDS: (f64, f64) = (0.05, 20.0);

/// A wave: by what the rate is multiplied at each place of a period.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Season {
    /// Length of the period.
    pub(super) period: Millis,
    factors: Vec<f64>,
}

impl Season {
    /// The wave of this period in `points`, stretches of `width`; `None` where they are too few.
    pub(super) fn fit(points: &[Point], width: Millis, period: Millis) -> Option<Self> {
        let places = places(points, width, period)?;
        let sums = sums(&ratios(points, places), places);
        let factors = sums.into_iter().map(Sum::mean).collect();
        Some(Season { period, factors }.normal())
    }

    /// The period of the wave in `points`, if there is one that can be trusted: one that foretells
    /// each period from the others.
    pub(super) fn period_of(points: &[Point], width: Option<Millis>) -> Option<Millis> {
        let width = width?;
        let explained = PERIODS.into_iter().filter_map(|period| {
            let places = places(points, width, period)?;
            Some((explained(&ratios(points, places), places), period))
        });
        let best = explained.max_by(|a, b| a.0.total_cmp(&b.0))?;
        (best.0 > EXPLAINED).then_some(best.1)
    }

    /// The factor of the stretch of this number.
    pub(super) fn factor(&self, slot: i64) -> f64 {
        let places = self.factors.len() as i64;
        let place = slot.checked_rem_euclid(places).unwrap_or(0);
        let place = usize::try_from(place).unwrap_or(0);
        self.factors.get(place).copied().unwrap_or(1.0)
    }

    /// Makes the mean factor 1.
    fn normal(mut self) -> Self {
        let mean = self.factors.iter().sum::<f64>() / self.factors.len().max(1) as f64;
        for factor in &mut self.factors {
            *factor = (*factor / mean).clamp(BOUNDS.0, BOUNDS.1);
        }
        self
    }
}

/// Stretches in a period, where these are whole and there are enough periods.
fn places(points: &[Point], width: Millis, period: Millis) -> Option<i64> {
    let places = period.checked_div(width)?;
    let slots = points.last()?.slot.saturating_sub(points.first()?.slot) + 1;
    let enough =
        points.len() as f64 >= WHOLE * places as f64 && slots as f64 >= WHOLE * places as f64;
    (period % width == 0 && places >= PLACES && enough).then_some(places)
}

/// One stretch beside the mean of the period around it.
#[derive(Clone, Copy)]
struct Ratio {
    slot: i64,
    ratio: f64,
}

fn ratios(points: &[Point], places: i64) -> Vec<Ratio> {
    let mut ratios = Vec::with_capacity(points.len());
    let (mut from, mut until) = (0, 0);
    let (mut sum, mut days) = (0.0, 0.0);
    let (first, last) = match (points.first(), points.last()) {
        (Some(first), Some(last)) => (first.slot, last.slot),
        _ => return ratios,
    };
    for point in points {
        // At the ends, the first and the last whole period.
        let begin = (point.slot - places / 2).clamp(first, (last + 1 - places).max(first));
        while let Some(next) = points.get(until).filter(|p| p.slot < begin + places) {
            sum += next.bytes * next.days;
            days += next.days;
            until += 1;
        }
        while let Some(old) = points.get(from).filter(|p| p.slot < begin) {
            sum -= old.bytes * old.days;
            days -= old.days;
            from += 1;
        }
        if sum > 0.0 && days > 0.0 {
            ratios.push(Ratio {
                slot: point.slot,
                ratio: point.bytes / (sum / days),
            });
        }
    }
    ratios
}

#[derive(Clone, Copy, Default)]
struct Sum {
    sum: f64,
    count: f64,
}

impl Sum {
    fn mean(self) -> f64 {
        if self.count > 0.0 {
            self.sum / self.count
        } else {
            1.0
        }
    }
}

fn sums(ratios: &[Ratio], places: i64) -> Vec<Sum> {
    let mut sums = vec![Sum::default(); usize::try_from(places).unwrap_or(0)];
    for ratio in ratios {
        let place = usize::try_from(ratio.slot.rem_euclid(places)).unwrap_or(0);
        if let Some(sum) = sums.get_mut(place) {
            sum.sum += ratio.ratio;
            sum.count += 1.0;
        }
    }
    sums
}

/// The share of the squared differences that the wave of the other periods explains.
fn explained(ratios: &[Ratio], places: i64) -> f64 {
    let sums = sums(ratios, places);
    let (mut left, mut all) = (0.0, 0.0);
    for ratio in ratios {
        let place = usize::try_from(ratio.slot.rem_euclid(places)).unwrap_or(0);
        let Some(sum) = sums.get(place) else { continue };
        let others = Sum {
            sum: sum.sum - ratio.ratio,
            count: sum.count - 1.0,
        };
        left += (ratio.ratio - others.mean()).powi(2);
        all += (ratio.ratio - 1.0).powi(2);
    }
    if all > 1e-9 { 1.0 - left / all } else { 0.0 }
}
