//! Ways to go on from a history of rates.

use super::robust::{Weighted, last_step, mean, theil_sen};
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
    /// A straight line (Theil–Sen) through all of it.
    Trend,
    /// A straight line through its second half.
    LastTrend,
    /// The mean rate since the last step.
    SinceStep,
    /// A straight line through what came since the last step.
    TrendSinceStep,
}

impl Model {
    /// All of them, the simplest first.
    pub const ALL: [Model; 8] = [
        Model::Mean,
        Model::LastHalf,
        Model::LastQuarter,
        Model::LastEighth,
        Model::SinceStep,
        Model::Trend,
        Model::LastTrend,
        Model::TrendSinceStep,
    ];

    /// Its name in reports.
    pub fn id(self) -> &'static str {
        match self {
            Model::Mean => "mean",
            Model::LastHalf => "mean of last half",
            Model::LastQuarter => "mean of last quarter",
            Model::LastEighth => "mean of last eighth",
            Model::Trend => "trend",
            Model::LastTrend => "trend of last half",
            Model::SinceStep => "mean since step",
            Model::TrendSinceStep => "trend since step",
        }
    }

    /// Whether the rate it goes on with changes.
    pub fn has_trend(self) -> bool {
        matches!(
            self,
            Model::Trend | Model::LastTrend | Model::TrendSinceStep
        )
    }

}

/// A model with its numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fit {
    /// Rate where the history ends.
    pub(super) rate: f64,
    /// Change of the rate in a day.
    pub(super) slope: f64,
    /// Day on which the history ends.
    pub(super) end: f64,
    /// Day from which on it was looked at.
    pub(super) since: f64,
    /// Days for which a trend goes on: as long as it has been seen. Nothing grows along a line for ever, and nobody has seen it do so
    /// for longer.
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
            Model::Mean | Model::Trend => 0,
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
        if !model.has_trend() {
            return Some(Fit {
                rate: mean(part),
                slope: 0.0,
                end,
                since,
                reach: 0.0,
                season: season.cloned(),
            });
        }
        if part.len() < 4 {
            return None;
        }
        let line = theil_sen(part);
        Some(Fit {
            rate: line.at(end).max(0.0),
            slope: line.slope,
            end,
            since,
            reach: end - since,
            season: season.cloned(),
        })
    }

    /// The rate of day `at` without the wave.
    pub(super) fn level(&self, at: f64) -> f64 {
        let ahead = (at - self.end).min(self.reach);
        (self.rate + self.slope * ahead).max(0.0)
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

/// Rates of bytes without the wave.
pub(super) fn deseasoned(points: &[Point], season: Option<&Season>) -> Vec<Weighted> {
    let point = |p: &Point| Weighted {
        at: p.at,
        value: p.bytes / season.map_or(1.0, |season| season.factor(p.slot)),
        weight: p.days,
    };
    points.iter().map(point).collect()
}
