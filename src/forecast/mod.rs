//! From the blocks of the past to what a disk must hold: growth, how long it lasts, how much is
//! needed.
//!
//! [`Past`] collects what is known of blocks, whoever listed them; [`History`] makes disjoint spans
//! of time of them, so that nothing counts twice; rates over time follow, and the model that would
//! have foretold them best goes on with them. [`forecast`] then adds what Prometheus needs beside
//! the samples it keeps. Nothing here knows what time it is: a forecast counts from the end of the
//! newest block. Times and sizes may be anything; work and memory grow with the number of blocks
//! alone.
//!
//! What is asked of a forecast, and what it answers, stands here: its parts (`ahead`, `backtest`,
//! `disk`) fill it in, and so they name this file as it names them.
//!
//! ```
//! use narthex::block::DataDir;
//! use narthex::forecast::{ForecastOptions, Past, forecast};
//! use narthex::inspect::BlockListing;
//!
//! let listing = BlockListing::of(&DataDir::scan("fixtures/night-1".as_ref())?);
//! let past = Past::of_listing(&listing, None);
//! let ahead = forecast(&past, &ForecastOptions { disk: Some(1 << 40), ..ForecastOptions::default() });
//! println!("{ahead:?}");
//! # Ok::<(), narthex::Error>(())
//! ```

mod ahead;
mod backtest;
mod disk;
mod history;
mod lanes;
mod model;
mod past;
mod robust;
mod season;
mod series;
mod span;
#[cfg(test)]
mod tests;

use std::fmt;

pub use backtest::{HeldBack, Score, held_back};
pub use history::{History, LevelCost};
pub use model::Model;
pub use past::{KnownBlock, Past, PastGap, PresentUse};
pub use span::HistorySpan;

use crate::model::Millis;
use ahead::Ahead;
use backtest::Chosen;
use disk::Disk;
use robust::{Z80, slope_interval};
use series::{DAY, Series};

/// Ten years of 365 days: nothing is said of later times.
pub const FOREVER: Millis = 3650 * 86_400_000;

/// A history of less than three days says nothing of months.
const SHORT: Millis = 3 * 86_400_000;

/// What a forecast is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForecastOptions {
    /// Bytes that the server may fill.
    pub disk: Option<u64>,
    /// `--storage.tsdb.retention.time`. Without it nothing is deleted for its age.
    pub retention: Option<Millis>,
    /// `--storage.tsdb.retention.size` in bytes. Without it nothing is deleted for its size.
    pub retention_size: Option<u64>,
    /// How far ahead to look; at most ten years.
    pub horizon: Millis,
}

impl Default for ForecastOptions {
    fn default() -> Self {
        ForecastOptions {
            disk: None,
            retention: None,
            retention_size: None,
            horizon: 90 * 86_400_000,
        }
    }
}

/// Which of Prometheus' two limits deletes blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `retention.time`.
    Time,
    /// `retention.size`.
    Size,
}

impl Limit {
    /// Its name in reports.
    pub fn id(self) -> &'static str {
        match self {
            Limit::Time => "time",
            Limit::Size => "size",
        }
    }
}

/// A value and the bounds between which it lies in 80 % of cases, where these are known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// The likeliest value.
    pub value: f64,
    /// Bounds.
    pub bounds: Option<(f64, f64)>,
}

impl Estimate {
    fn scaled(value: f64, error: Option<f64>) -> Self {
        Estimate {
            value,
            bounds: error.map(|e| ((value * (1.0 - e)).max(0.0), value * (1.0 + e))),
        }
    }
}

/// A moment to come, in milliseconds after the end of the history; `None`: not within ten years.
pub type When = Option<Millis>;

/// What is to be expected.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forecast {
    /// End of the newest block, from which everything counts.
    pub as_of: Millis,
    /// Milliseconds from the begin of the history to its end.
    pub history: Millis,
    /// Milliseconds of it that blocks stand for.
    pub covered: Millis,
    /// Spans of time it consists of.
    pub spans: u64,
    /// Blocks that were known, those compacted since among them.
    pub blocks: u64,
    /// What the compaction levels cost.
    pub levels: Vec<LevelCost>,
    /// Name of the model that was chosen; `None` without a history.
    pub model: Option<Model>,
    /// How all models did when they were tried on the history.
    pub scores: Vec<Score>,
    /// Period of the wave in it.
    pub season: Option<Millis>,
    /// When the rate last took a step.
    pub step: Option<Millis>,
    /// Mean error of the chosen model when it was tried.
    pub error: Option<f64>,
    /// The share of a forecast over the horizon that its error stays below in 80 % of cases.
    pub error80: Option<f64>,
    /// Bytes of blocks a day, now.
    pub bytes_per_day: Estimate,
    /// Samples a second, now.
    pub samples_per_second: f64,
    /// Bytes of blocks for each sample, once they are compacted.
    pub bytes_per_sample: f64,
    /// Series of the newest block.
    pub series: u64,
    /// Growth of the rate in 30 days, as a share of the rate now; `None` for a history of less
    /// than three days.
    pub growth: Option<Estimate>,
    /// How far ahead was looked.
    pub horizon: Millis,
    /// Bytes of blocks a day at the end of the horizon.
    pub horizon_rate: Estimate,
    /// Bytes of blocks that the horizon brings.
    pub horizon_bytes: Estimate,
    /// Bytes of blocks now.
    pub present_bytes: u64,
    /// Bytes of the head's files: WAL, checkpoint, WBL, head chunks.
    pub head_bytes: f64,
    /// Whether these were seen, or follow from the rate of samples.
    pub head_measured: bool,
    /// The longest range Prometheus compacts to.
    pub longest_block: Millis,
    /// Bytes of blocks that the retention keeps, at the end of the horizon.
    pub retained_bytes: Option<f64>,
    /// Bytes that lie beyond the retention, because Prometheus deletes whole blocks.
    pub overhang_bytes: f64,
    /// Bytes of the largest block, which is there twice while it is being written.
    pub compaction_bytes: f64,
    /// Bytes that the retention needs in all, at the end of the horizon.
    pub needed_bytes: Option<Estimate>,
    /// The longest retention for which the disk is enough, at the end of the horizon; at most ten
    /// years.
    pub possible_retention: Option<Millis>,
    /// The same if as much comes as can be expected in 80 % of cases.
    pub safe_retention: Option<Millis>,
    /// How long `retention.size` keeps samples, at the end of the horizon; at most ten years.
    pub size_retention: Option<Millis>,
    /// When time deletes the first block.
    pub time_binds: When,
    /// When size does.
    pub size_binds: When,
    /// Which of the two comes first.
    pub binds_first: Option<Limit>,
    /// Which of the two decides at the end of the horizon.
    pub binds_at_horizon: Option<Limit>,
    /// When the disk is full; `None` when no disk was given.
    pub full: Option<Full>,
    /// What should be known before the figures are believed.
    pub cautions: Vec<Caution>,
}

/// When a disk is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Full {
    /// The likeliest time.
    pub when: When,
    /// The time before which it is not full in 90 % of cases; with unknown errors the likeliest.
    pub earliest: When,
    /// The time before which it is full in 90 % of cases.
    pub latest: When,
}

/// Why figures may be less good than they look.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Caution {
    /// There is no block to go by.
    NoHistory,
    /// The history is shorter than three days, or has fewer than six spans.
    ShortHistory,
    /// The models could not be tried often enough, or far enough ahead, to say how far they err
    /// over the horizon.
    NoInterval,
    /// The horizon is longer than what could be tried on the history; the days that were.
    LongHorizon(f64),
    /// Parts of the history are missing: the share.
    Gaps(f64),
    /// Only one compaction level was seen: what compaction saves is not known.
    OneLevel(u64),
    /// So many blocks overlap others that are no relatives; such time counts once.
    Overlaps(u64),
    /// So many blocks lie too far back.
    TooOld(u64),
    /// No head was seen: its size follows from the rate of samples.
    HeadEstimated,
}

impl fmt::Display for Caution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Caution::NoHistory => f.write_str("there is no block to go by"),
            Caution::ShortHistory => f.write_str(
                "the history is short (less than three days, or fewer than six spans): take the figures for a first impression",
            ),
            Caution::NoInterval => f.write_str(
                "there is too little history to say how far a forecast over this horizon errs: it has no bounds",
            ),
            Caution::LongHorizon(days) => write!(
                f,
                "forecasts could be tried over {days:.1} days only: bounds at the end of the horizon are themselves a guess"
            ),
            Caution::Gaps(share) => write!(
                f,
                "no block covers {:.0} % of the history: that is taken for missing, not for nothing",
                share * 100.0
            ),
            Caution::OneLevel(level) => write!(
                f,
                "all blocks are of level {level}: what index compaction saves or has saved is not known"
            ),
            Caution::Overlaps(blocks) => write!(
                f,
                "at least {blocks} blocks overlap others that are no relatives: such time counts once"
            ),
            Caution::TooOld(blocks) => write!(
                f,
                "{blocks} blocks end more than five years before the newest one and were not looked at"
            ),
            Caution::HeadEstimated => f.write_str(
                "WAL and head were not seen: their size follows from the rate of samples",
            ),
        }
    }
}

/// Says what is to be expected of `past`.
pub fn forecast(past: &Past, options: &ForecastOptions) -> Forecast {
    let history = History::of(past);
    let series = Series::of(&history);
    let horizon = options.horizon.clamp(0, FOREVER);
    let horizon_days = horizon as f64 / DAY;
    let mut result = Forecast {
        as_of: history.max_time(),
        history: history.max_time().saturating_sub(history.min_time()),
        covered: history.covered(),
        spans: history.spans.len() as u64,
        blocks: past.blocks().count() as u64,
        levels: history.levels.clone(),
        series: history.series,
        horizon,
        present_bytes: past.present.block_bytes,
        ..Forecast::default()
    };
    let Some(chosen) = backtest::choose(&series, horizon_days) else {
        result.cautions.push(Caution::NoHistory);
        return result;
    };
    let error = chosen.error_at(horizon_days);
    let ahead = Ahead::new(&chosen.fit, series.start, series.width);
    result.scores.clone_from(&chosen.scores);
    result.model = Some(chosen.model);
    result.season = chosen.period;
    result.step = chosen.step.map(|day| time_at(series.start, day));
    let own = chosen.scores.iter().find(|score| score.chosen);
    result.error = own.and_then(|score| score.error);
    result.error80 = error;
    describe_rate(&mut result, &series, &chosen);
    result.horizon_rate = Estimate::scaled(ahead.rate(horizon_days), error);
    result.horizon_bytes = Estimate::scaled(ahead.bytes(horizon_days), error);
    Disk::new(past, &history, &ahead, options, &result).describe(&mut result);
    result.cautions = cautions(&history, &chosen, &result);
    result
}

fn describe_rate(result: &mut Forecast, series: &Series, chosen: &Chosen) {
    let fit = &chosen.fit;
    let seen = series.points.iter().filter(|point| point.at >= fit.since);
    let (bytes, samples) = seen.fold((0.0, 0.0), |(bytes, samples), p| {
        (bytes + p.bytes * p.days, samples + p.samples * p.days)
    });
    result.bytes_per_day = Estimate::scaled(fit.rate, chosen.error_at(0.0));
    if samples > 0.0 && bytes > 0.0 {
        result.bytes_per_sample = bytes / samples;
        result.samples_per_second = fit.rate / result.bytes_per_sample / 86_400.0;
    }
    let season = chosen.season.as_ref();
    let mut level = model::deseasoned(&series.points, season);
    level.retain(|point| chosen.step.is_none_or(|step| point.at >= step));
    let month = |slope: f64| slope * 30.0 / fit.rate;
    if fit.rate > 0.0 && result.history >= SHORT {
        let slope = robust::theil_sen(&level).slope;
        let bounds = slope_interval(&level, Z80).map(|(low, high)| (month(low), month(high)));
        result.growth = Some(Estimate {
            value: month(slope),
            bounds,
        });
    }
}

fn cautions(history: &History, chosen: &Chosen, result: &Forecast) -> Vec<Caution> {
    let mut cautions = Vec::new();
    if result.history < SHORT || result.spans < 6 {
        cautions.push(Caution::ShortHistory);
    }
    if result.error80.is_none() {
        cautions.push(Caution::NoInterval);
    } else if result.horizon as f64 / DAY > chosen.tried_days * 1.5 {
        cautions.push(Caution::LongHorizon(chosen.tried_days));
    }
    let covered = result.covered as f64 / (result.history.max(1)) as f64;
    if covered < 0.98 {
        cautions.push(Caution::Gaps(1.0 - covered));
    }
    if let [only] = history.levels.as_slice() {
        cautions.push(Caution::OneLevel(only.level));
    }
    if history.overlapping > 0 {
        cautions.push(Caution::Overlaps(history.overlapping));
    }
    if history.too_old > 0 {
        cautions.push(Caution::TooOld(history.too_old));
    }
    if !result.head_measured {
        cautions.push(Caution::HeadEstimated);
    }
    cautions
}

/// The time `days` after `start`.
fn time_at(start: Millis, days: f64) -> Millis {
    start.saturating_add(millis(days))
}

/// Days as milliseconds.
fn millis(days: f64) -> Millis {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "float to integer saturates"
    )]
    let millis = (days * DAY).round() as i64;
    millis
}
