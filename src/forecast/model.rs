//! Ways to go on from a history of rates.

use super::robust::{Weighted, Z99, last_step, mean, slope_interval, theil_sen};
use super::season::Season;
use super::series::Point;
use crate::model::Millis;

/// A way to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Model {
    /// The mean rate of all history goes on.
    Mean,
    /// That of its second half does.
    LastHalf,
    /// That of its last quarter does.
    LastQuarter,
    /// That of its last eighth does.
    LastEighth,
    /// The average of the four before goes on: where there is too little to choose by, averages of
    /// forecasts err less than a choice (R. T. Clemen, Combining forecasts, 1989).
    Blend,
    /// A straight line (Theil–Sen) through all of it.
    Trend,
    /// A straight line through its second half.
    LastTrend,
    /// The same share more every day, in all of it.
    Exponential,
    /// The mean rate since the last step.
    SinceStep,
    /// A straight line through what came since the last step.
    TrendSinceStep,
}

impl Model {
    /// All of them, the simplest first.
    pub const ALL: [Model; 10] = [
        Model::Mean,
        Model::LastHalf,
        Model::LastQuarter,
        Model::LastEighth,
        Model::Blend,
        Model::SinceStep,
        Model::Trend,
        Model::LastTrend,
        Model::Exponential,
        Model::TrendSinceStep,
    ];

    /// Its name in reports.
    pub fn id(self) -> &'static str {
        match self {
            Model::Mean => "mean",
            Model::LastHalf => "mean of last half",
            Model::LastQuarter => "mean of last quarter",
            Model::LastEighth => "mean of last eighth",
            Model::Blend => "mean of four means",
            Model::Trend => "trend",
            Model::Exponential => "exponential trend",
            Model::LastTrend => "trend of last half",
            Model::SinceStep => "mean since step",
            Model::TrendSinceStep => "trend since step",
        }
    }

    /// Whether the rate it goes on with changes.
    pub fn has_trend(self) -> bool {
        matches!(
            self,
            Model::Trend | Model::LastTrend | Model::Exponential | Model::TrendSinceStep
        )
    }
}

/// A model with its numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fit {
    /// Rate where the history ends.
    pub(super) rate: f64,
    /// Change of the rate in a day.
    slope: f64,
    /// Change of its logarithm in a day.
    growth: f64,
    /// Day on which the history ends.
    pub(super) end: f64,
    /// Day from which on it was looked at.
    pub(super) since: f64,
    /// Days for which a trend goes on: as long as it has been seen. Nothing grows along a line for
    /// ever, and nobody has seen it do so for longer.
    pub(super) reach: f64,
    season: Option<Season>,
}

impl Fit {
    /// Fits `model` to `points`; `None` where it has too little to go by.
    pub(super) fn new(model: Model, points: &[Point], season: Option<&Season>) -> Option<Self> {
        let last = points.last()?;
        let first = points.first()?;
        let end = last.at + last.days / 2.0;
        let level = deseasoned(points, season);
        let behind = |share: f64| {
            let from = first.at + (end - first.at) * share;
            level.iter().position(|p| p.at >= from).unwrap_or(0)
        };
        let from = match model {
            Model::Mean | Model::Trend | Model::Exponential | Model::Blend => 0,
            Model::LastHalf | Model::LastTrend => behind(0.5),
            Model::LastQuarter => behind(0.75),
            Model::LastEighth => behind(0.875),
            Model::SinceStep | Model::TrendSinceStep => {
                let step = last_step(&level)?;
                level.iter().position(|p| p.at >= step)?
            }
        };
        let part = level.get(from..)?;
        let since = part.first()?.at;
        let flat = Fit {
            rate: mean(part),
            slope: 0.0,
            growth: 0.0,
            end,
            since,
            reach: end - since,
            season: season.cloned(),
        };
        if model == Model::Blend {
            let from = [0.0, 0.5, 0.75, 0.875].map(behind);
            let means = from.map(|from| mean(level.get(from..).unwrap_or_default()));
            let rate = means.iter().sum::<f64>() / means.len() as f64;
            return Some(Fit { rate, ..flat });
        }
        if !model.has_trend() {
            return Some(flat);
        }
        if model == Model::Exponential {
            return exponential(part, flat);
        }
        if !is_clear(part) {
            return None;
        }
        let line = theil_sen(part);
        Some(Fit {
            rate: line.at(end).max(0.0),
            slope: line.slope,
            ..flat
        })
    }

    /// The rate of day `at` without the wave.
    pub(super) fn level(&self, at: f64) -> f64 {
        let ahead = (at - self.end).min(self.reach);
        ((self.rate + self.slope * ahead) * (self.growth * ahead).exp()).max(0.0)
    }

    /// Period of the wave, if there is one.
    pub(super) fn period(&self) -> Option<Millis> {
        self.season.as_ref().map(|season| season.period)
    }

    /// By what the wave multiplies the rate of the stretch of this number.
    pub(super) fn factor(&self, slot: i64) -> f64 {
        self.season.as_ref().map_or(1.0, |s| s.factor(slot))
    }

    /// The rate of the stretch that has this place and number.
    pub(super) fn rate_at(&self, at: f64, slot: i64) -> f64 {
        self.level(at) * self.factor(slot)
    }
}

/// Fewest points in which a trend is seen.
const TREND: usize = 8;

/// Whether there is a trend that chance makes in one of a hundred cases only.
fn is_clear(points: &[Weighted]) -> bool {
    let bounds = slope_interval(points, Z99).filter(|_| points.len() >= TREND);
    bounds.is_some_and(|(low, high)| low > 0.0 || high < 0.0)
}

/// A line through the logarithms, brought to where it has the right sum.
fn exponential(points: &[Weighted], flat: Fit) -> Option<Fit> {
    let logarithm = |p: &Weighted| Weighted {
        value: p.value.ln(),
        ..*p
    };
    if !is_clear(points) || points.iter().any(|p| p.value <= 0.0) {
        return None;
    }
    let logarithms: Vec<_> = points.iter().map(logarithm).collect();
    let growth = theil_sen(&logarithms).slope;
    let unit = |p: &Weighted| Weighted {
        value: (growth * (p.at - flat.end)).exp(),
        ..*p
    };
    let units: Vec<_> = points.iter().map(unit).collect();
    let rate = mean(points) / mean(&units);
    (rate.is_finite() && growth.is_finite()).then_some(Fit {
        rate,
        growth,
        ..flat
    })
}

/// Rates of bytes without the wave.
pub(super) fn deseasoned(points: &[Point], season: Option<&Season>) -> Vec<Weighted> {
    let point = |p: &Point| Weighted {
        at: p.at,
        value: p.bytes / season.map_or(1.0, |season| season.factor(p.slot)),
        weight: p.days,
    };
    points.iter().map(point).collect()
}
