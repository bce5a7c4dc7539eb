//! The few statistics a forecast needs, with their sources.

/// A value at a time, with a weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Weighted {
    pub(super) at: f64,
    pub(super) value: f64,
    pub(super) weight: f64,
}

/// A line through points.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Line {
    /// Value at time 0.
    pub(super) origin: f64,
    /// Change of the value in a unit of time.
    pub(super) slope: f64,
}

impl Line {
    pub(super) fn at(self, time: f64) -> f64 {
        self.origin + self.slope * time
    }
}

/// Points that a line or a step is sought in; more are put together first, which bounds what pairs
/// cost.
const MOST: usize = 96;

/// The mean by weight; 0 of nothing.
pub(super) fn mean(points: &[Weighted]) -> f64 {
    let weight: f64 = points.iter().map(|p| p.weight).sum();
    let sum: f64 = points.iter().map(|p| p.value * p.weight).sum();
    if weight > 0.0 { sum / weight } else { 0.0 }
}

/// Neighbours put together until at most 96 are left.
pub(super) fn thinned(points: &[Weighted]) -> Vec<Weighted> {
    let size = points.len().div_ceil(MOST).max(1);
    let groups = points.chunks(size);
    let group = |group: &[Weighted]| {
        let weight: f64 = group.iter().map(|p| p.weight).sum();
        let at: f64 = group.iter().map(|p| p.at).sum();
        Weighted {
            at: at / group.len().max(1) as f64,
            value: mean(group),
            weight,
        }
    };
    groups.map(group).collect()
}

/// Slopes of all pairs, sorted.
fn slopes(points: &[Weighted]) -> Vec<f64> {
    let mut slopes = Vec::new();
    for (i, a) in points.iter().enumerate() {
        for b in points.iter().skip(i + 1) {
            let time = b.at - a.at;
            if time > 0.0 {
                slopes.push((b.value - a.value) / time);
            }
        }
    }
    slopes.sort_by(f64::total_cmp);
    slopes
}

/// The line whose slope is the median of the slopes of all pairs, and that passes through the mean,
/// because sums are forecast.
///
/// Source: P. K. Sen, Estimates of the regression coefficient based on Kendall's tau, 1968
/// (Theil–Sen).
pub(super) fn theil_sen(points: &[Weighted]) -> Line {
    let points = thinned(points);
    let slopes = slopes(&points);
    let slope = quantile(&slopes, 0.5).unwrap_or(0.0);
    let rest: Vec<_> = points
        .iter()
        .map(|p| Weighted {
            value: p.value - slope * p.at,
            ..*p
        })
        .collect();
    Line {
        origin: mean(&rest),
        slope,
    }
}

/// Standard deviations to both sides within which 80 % of a normal distribution lie, and 99 %.
pub(super) const Z80: f64 = 1.2816;
pub(super) const Z99: f64 = 2.5758;

/// An interval that holds the slope as often as a normal value lies within `z` standard deviations,
/// where errors of neighbours are independent: from the ranks of the slopes of all pairs, by the
/// normal approximation of Kendall's statistic (Sen 1968). `None` for fewer than five points.
pub(super) fn slope_interval(points: &[Weighted], z: f64) -> Option<(f64, f64)> {
    let points = thinned(points);
    if points.len() < 5 {
        return None;
    }
    let n = points.len() as f64;
    let slopes = slopes(&points);
    let pairs = slopes.len() as f64;
    let spread = z * (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt() / pairs.max(1.0) / 2.0;
    let low = quantile(&slopes, (0.5 - spread).max(0.0))?;
    let high = quantile(&slopes, (0.5 + spread).min(1.0))?;
    Some((low, high))
}

/// The value below which `share` of the sorted values lie, between neighbours in proportion.
pub(super) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share.clamp(0.0, 1.0) * last as f64;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the place is between 0 and the last position"
    )]
    let below = place.floor() as usize;
    let low = sorted.get(below)?;
    let high = sorted.get(below + 1).unwrap_or(low);
    Some(low + (high - low) * (place - below as f64))
}

/// Sums of squared differences, by which a step is told from a line.
fn squares(points: &[Weighted], expected: impl Fn(f64) -> f64) -> f64 {
    let square = |p: &Weighted| p.weight * (p.value - expected(p.at)).powi(2);
    points.iter().map(square).sum()
}

/// How many points on each side make a level.
const SIDE: usize = 4;

/// A difference of levels counts as a step from this many standard errors on.
const CLEAR: f64 = 4.0;

/// … and from this share of the larger level on.
const LARGE: f64 = 0.05;

/// … and when two levels leave at most this share of the squares that a line leaves: else it is a
/// trend.
const BETTER: f64 = 0.7;

/// The time from which on the last level lasts, if there is a step: the split that leaves the least
/// squares, again and again in what comes behind it (binary segmentation: A. J. Scott, M. Knott,
/// 1974).
pub(super) fn last_step(points: &[Weighted]) -> Option<f64> {
    let points = thinned(points);
    let mut rest = points.as_slice();
    let mut found = None;
    while let Some((at, behind)) = step(rest) {
        found = Some(at);
        rest = behind;
    }
    found
}

fn step(points: &[Weighted]) -> Option<(f64, &[Weighted])> {
    let total: f64 = points.iter().map(|p| p.weight).sum();
    let sum: f64 = points.iter().map(|p| p.weight * p.value).sum();
    let (mut weight_before, mut sum_before) = (0.0, 0.0);
    let mut best: Option<(f64, usize)> = None;
    for (i, point) in points.iter().enumerate() {
        let (before, after) = (weight_before, total - weight_before);
        if i >= SIDE && points.len() - i >= SIDE && before > 0.0 && after > 0.0 {
            let gain = sum_before * sum_before / before + (sum - sum_before).powi(2) / after;
            if best.is_none_or(|(most, _)| gain > most) {
                best = Some((gain, i));
            }
        }
        weight_before += point.weight;
        sum_before += point.weight * point.value;
    }
    let (_, split) = best?;
    let (before, after) = points.split_at_checked(split)?;
    let (low, high) = (mean(before), mean(after));
    let left = squares(before, |_| low) + squares(after, |_| high);
    let n = points.len() as f64;
    let deviation = (left / total * n / (n - 2.0).max(1.0)).sqrt();
    let error = deviation * (1.0 / before.len() as f64 + 1.0 / after.len() as f64).sqrt();
    let size = (high - low).abs();
    let line = theil_sen(points);
    let clear = size > CLEAR * error
        && size > LARGE * low.abs().max(high.abs())
        && left < BETTER * squares(points, |at| line.at(at));
    let (last, first) = (before.last()?, after.first()?);
    clear.then_some((f64::midpoint(last.at, first.at), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: impl IntoIterator<Item = f64>) -> Vec<Weighted> {
        let points = values.into_iter().enumerate();
        let point = |(i, value)| Weighted {
            at: i as f64,
            value,
            weight: 1.0,
        };
        points.map(point).collect()
    }

    #[test]
    fn a_line_is_found_beside_outliers() {
        let mut data = points((0..40).map(|i| 100.0 + 3.0 * f64::from(i)));
        data[7].value = 1e6;
        let line = theil_sen(&data);
        assert!((line.slope - 3.0).abs() < 0.1, "{line:?}");
        let (low, high) = slope_interval(&data, Z80).unwrap();
        assert!(low <= 3.0 && 3.0 <= high && high - low < 0.5);
        assert_eq!(slope_interval(&data[..4], Z80), None);
    }

    #[test]
    fn the_last_of_two_steps_is_found_and_a_line_is_none() {
        let noise = |i: i32| f64::from(i * 7 % 5);
        let steps = (0..60).map(|i| noise(i) + [100.0, 150.0, 300.0][i as usize / 20]);
        assert_eq!(last_step(&points(steps)), Some(39.5));
        assert_eq!(last_step(&points((0..60).map(f64::from))), None);
        assert_eq!(last_step(&points((0..60).map(noise))), None);
        assert_eq!(last_step(&points([1.0, 2.0])), None);
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[1.0, 3.0], 0.5), Some(2.0));
        assert_eq!(quantile(&[1.0, 2.0, 9.0], 1.0), Some(9.0));
    }
}
