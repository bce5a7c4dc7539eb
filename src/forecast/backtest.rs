//! Which model goes on best, tried on the history itself: it is cut at many places, and each model
//! says from what lies before a cut what comes behind it.
//!
//! Source of the method: L. J. Tashman, Out-of-sample tests of forecasting accuracy, 2000 (rolling
//! origin).

use super::history::History;
use super::model::{Fit, Model, deseasoned};
use super::past::Past;
use super::robust::{last_step, quantile};
use super::season::Season;
use super::series::{DAY, Point, Series, points};
use super::span::HistorySpan;
use crate::model::Millis;

/// Places at which the history is cut, at most.
const CUTS: usize = 24;

/// Fewest errors from which an interval is made.
const ERRORS: usize = 5;

/// Bounds are given up to this many times as far ahead as could be tried.
const FARTHEST: f64 = 10.0;

/// With fewer points no level is chosen before others.
const FEW: usize = 12;

/// A trend must be so much better than a level to be believed: it does more harm when it is wrong.
const TREND_HANDICAP: f64 = 1.15;

/// Anything must be so much better than the mean of everything.
const HANDICAP: f64 = 1.02;

/// How a model did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The model.
    pub model: Model,
    /// Cuts at which it could be tried.
    pub cuts: u64,
    /// Mean error of the bytes behind a cut, as a share of them; later cuts count more. `None`
    /// where there was no cut.
    pub error: Option<f64>,
    /// Whether it was chosen.
    pub chosen: bool,
}

/// The model that was chosen.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Chosen {
    pub(super) model: Model,
    pub(super) fit: Fit,
    /// How all models did.
    pub(super) scores: Vec<Score>,
    /// The share of a forecast that its error stays below in 80 % of cases.
    pub(super) error80: Option<f64>,
    /// Days ahead that were tried.
    pub(super) tried_days: f64,
    /// The wave.
    pub(super) season: Option<Season>,
    /// Its period.
    pub(super) period: Option<Millis>,
    /// Day of the last step.
    pub(super) step: Option<f64>,
}

/// Chooses by trying to foretell about `horizon` days; `None` without points.
pub(super) fn choose(series: &Series, horizon: f64) -> Option<Chosen> {
    let points = series.points.as_slice();
    let period = Season::period_of(points, series.width);
    let season = |part: &[Point]| Season::fit(part, series.width?, period?);
    let own = season(points);
    let step = last_step(&deseasoned(points, own.as_ref()));
    let ahead = ahead(series, horizon);
    let cuts = cuts(points.len());
    let seasons: Vec<_> = cuts
        .iter()
        .map(|cut| points.get(..*cut).and_then(season))
        .collect();
    let mut best: Option<(f64, Model, Vec<f64>, Fit)> = None;
    let mut scores = Vec::new();
    for model in Model::ALL {
        let Some(fit) = Fit::new(model, points, own.as_ref()) else {
            continue;
        };
        let mut tried = Tried::default();
        for (cut, season) in cuts.iter().zip(&seasons) {
            tried.at(model, points, *cut, ahead, season.as_ref());
        }
        scores.push(Score {
            model,
            cuts: tried.errors.len() as u64,
            error: tried.mean(),
            chosen: false,
        });
        // With few points every choice is chance, and what came before a clear step is over,
        // whatever it foretold before.
        let simple = !model.has_trend() && model != Model::Blend && model != Model::SinceStep;
        if points.len() < FEW && simple {
            continue;
        }
        if step.is_some_and(|step| fit.since < step) {
            continue;
        }
        let handicap = match model {
            Model::Mean => 1.0,
            _ if model.has_trend() => TREND_HANDICAP,
            _ => HANDICAP,
        };
        // After a step too young to be tried, its level is as good as anything.
        let rank = tried.mean().map_or(f64::MAX, |error| error * handicap);
        // Of two that are as good, the simpler.
        if best.as_ref().is_none_or(|(least, ..)| rank + 1e-6 < *least) {
            best = Some((rank, model, tried.long, fit));
        }
    }
    let (_, model, mut errors, fit) = best?;
    for score in &mut scores {
        score.chosen = score.model == model;
    }
    errors.sort_by(f64::total_cmp);
    let days: f64 = points.iter().map(|p| p.days).sum();
    Some(Chosen {
        model,
        fit,
        scores,
        error80: (errors.len() >= ERRORS)
            .then(|| quantile(&errors, share(errors.len())))
            .flatten(),
        tried_days: days / points.len().max(1) as f64 * ahead as f64,
        period,
        step,
        season: own,
    })
}

/// 80 % of what could have been seen beside these errors: the one to come is another (conformal
/// prediction: Vovk and others, 2005).
fn share(errors: usize) -> f64 {
    (0.8 * (errors as f64 + 1.0) / errors as f64).min(1.0)
}

/// Points ahead that are tried: as many as the horizon has, at most a third of the history.
fn ahead(series: &Series, horizon: f64) -> usize {
    let count = series.points.len();
    let days: f64 = series.points.iter().map(|p| p.days).sum();
    let wanted = horizon / (days / count.max(1) as f64).max(1e-9);
    let most = (count / 3).max(1);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "float to integer saturates, and the result is limited"
    )]
    let wanted = wanted.ceil() as usize;
    wanted.clamp(1, most)
}

/// Positions at which `count` points are cut, evenly spread over all but the first third.
fn cuts(count: usize) -> Vec<usize> {
    let (first, last) = (
        (count / 3).max(2),
        count.saturating_sub((count / 12).max(1)),
    );
    let span = last.saturating_sub(first);
    let steps = span.min(CUTS - 1);
    if last < first {
        return Vec::new();
    }
    let cuts = (0..=steps).map(|i| first + span * i / steps.max(1));
    cuts.collect()
}

/// What trials of one model gave.
#[derive(Default)]
struct Tried {
    /// Errors with their weight.
    errors: Vec<(f64, f64)>,
    /// Errors without sign of the trials that went at least half as far as wanted.
    long: Vec<f64>,
}

impl Chosen {
    /// The error that 80 % of forecasts over `days` stay below. Beyond what was tried it grows with
    /// the root of time for a level, as that of a random walk does, and with time for a trend;
    /// ten times as far nothing is said.
    pub(super) fn error_at(&self, days: f64) -> Option<f64> {
        // Real servers are never that even.
        const LEAST: f64 = 0.01;
        let tried = self.error80?.max(LEAST);
        let beyond = (days / self.tried_days.max(1e-9)).max(1.0);
        if beyond > FARTHEST {
            return None;
        }
        let trend = self.model.has_trend();
        Some(tried * if trend { beyond } else { beyond.sqrt() })
    }
}

impl Tried {
    fn at(
        &mut self,
        model: Model,
        points: &[Point],
        cut: usize,
        ahead: usize,
        season: Option<&Season>,
    ) {
        let Some((before, behind)) = points.split_at_checked(cut) else {
            return;
        };
        let Some(fit) = Fit::new(model, before, season) else {
            return;
        };
        let behind = behind.get(..ahead).unwrap_or(behind);
        let Some(error) = error(&fit, behind) else {
            return;
        };
        let weight = cut as f64 / points.len() as f64;
        self.errors.push((error, weight * weight));
        if behind.len() * 2 >= ahead {
            self.long.push(error);
        }
    }

    fn mean(&self) -> Option<f64> {
        let weight: f64 = self.errors.iter().map(|(_, weight)| weight).sum();
        let sum: f64 = self
            .errors
            .iter()
            .map(|(error, weight)| error * weight)
            .sum();
        (weight > 0.0).then(|| sum / weight)
    }
}

/// The error of the bytes that `fit` says of `points`, as a share of them, without its sign.
fn error(fit: &Fit, points: &[Point]) -> Option<f64> {
    let real: f64 = points.iter().map(|p| p.bytes * p.days).sum();
    let said = points.iter().map(|p| fit.rate_at(p.at, p.slot) * p.days);
    let said: f64 = said.sum();
    (real > 0.0).then(|| (said - real).abs() / real)
}

/// How part of a history was foretold from what lies before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeldBack {
    /// The model that was chosen without knowing that part.
    pub model: Model,
    /// The error of its bytes, as a share of them; positive when too much was foretold.
    pub error: f64,
    /// The same as a share of everything there is at the end, were nothing deleted: how far off
    /// the size is.
    pub size_error: f64,
    /// The share that the error was said to stay below in 80 % of cases, if that was said.
    pub error80: Option<f64>,
    /// The error that the mean of everything before makes, for comparison.
    pub mean_error: f64,
    /// The error that the last span before makes, if it went on as it is.
    pub last_error: f64,
}

/// Foretells what comes behind the share `cut` of `past`, for up to a third of it, from the blocks
/// before: with two thirds, the last third. The cut is at the nearest border of blocks. `None`
/// where one side of it is empty.
pub fn held_back(past: &Past, cut: f64) -> Option<HeldBack> {
    let all = History::of(past);
    let whole = all.max_time().saturating_sub(all.min_time());
    let wanted = super::time_at(all.min_time(), cut * whole as f64 / DAY);
    let borders = all.spans.iter().map(|span| span.max_time);
    let cut = borders.min_by_key(|border| border.abs_diff(wanted))?;
    let before = Series::of(&History::of(&past.until(cut)));
    let end = cut.saturating_add(whole / 3);
    let third = |span: &&HistorySpan| span.min_time >= cut && span.min_time < end;
    let behind = all.spans.iter().filter(third);
    let behind: Vec<_> = behind.copied().collect();
    let days: f64 = behind.last()?.max_time.saturating_sub(cut) as f64 / DAY;
    let chosen = choose(&before, days)?;
    let points = points(&behind, before.start, before.width);
    let real: f64 = points.iter().map(|p| p.bytes * p.days).sum();
    let signed = |fit: &Fit| {
        let said = points.iter().map(|p| fit.rate_at(p.at, p.slot) * p.days);
        (said.sum::<f64>() - real) / real
    };
    let last = before.points.last()?.bytes * points.iter().map(|p| p.days).sum::<f64>();
    let known: f64 = before.points.iter().map(|p| p.bytes * p.days).sum();
    let mean = Fit::new(Model::Mean, &before.points, None)?;
    let error = signed(&chosen.fit);
    Some(HeldBack {
        model: chosen.model,
        error,
        size_error: error * real / (known + real),
        error80: chosen.error_at(days),
        mean_error: signed(&mean),
        last_error: (last - real) / real,
    })
}
