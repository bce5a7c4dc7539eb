//! A history as rates over time: equal stretches, weighted by how much of them is known.

use std::collections::BTreeMap;

use super::history::History;
use super::span::HistorySpan;
use crate::model::Millis;

/// Milliseconds of a day.
pub(super) const DAY: f64 = 86_400_000.0;

const MINUTE: Millis = 60_000;

/// Lengths of stretches, in minutes; each divides a day or a week, so that waves of these periods
/// meet them at the same place.
const WIDTHS: [Millis; 13] = [1, 2, 5, 10, 15, 20, 30, 60, 120, 360, 720, 1440, 10_080];

/// At most so many stretches; the widths suffice for the reach of a history.
const MOST: Millis = 4096;

/// With fewer stretches than this, every span of the history is one of its own.
const FEWEST: usize = 12;

/// Less of a stretch than this says nothing of it.
const LEAST_COVER: f64 = 0.1;

/// The rates of one stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// Its middle, in days since the begin of the history.
    pub(super) at: f64,
    /// Days of it that are known.
    pub(super) days: f64,
    /// Bytes a day.
    pub(super) bytes: f64,
    /// Samples a day.
    pub(super) samples: f64,
    /// Its number, counted from the epoch in stretches of equal length; where there are none, 0.
    pub(super) slot: i64,
}

/// A history as rates.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Series {
    /// The stretches of which something is known, by time.
    pub(super) points: Vec<Point>,
    /// Length of a stretch; `None` where every span of the history is one.
    pub(super) width: Option<Millis>,
    /// Begin of the history.
    pub(super) start: Millis,
    /// Days from there to its end.
    pub(super) days: f64,
}

impl Series {
    /// The rates of `history`. What no block covers is missing, not zero.
    pub(super) fn of(history: &History) -> Self {
        let (start, spans) = (history.min_time(), history.spans.as_slice());
        let days = history.max_time().saturating_sub(start) as f64 / DAY;
        let width = width(history);
        let series = Series {
            points: points(spans, start, width),
            width,
            start,
            days,
        };
        if series.points.len() >= FEWEST {
            return series;
        }
        Series {
            points: points(spans, start, None),
            width: None,
            ..series
        }
    }
}

/// The width to which blocks of the usual length still have something to say: that of the block in
/// the middle of the covered time.
fn width(history: &History) -> Option<Millis> {
    let mut lengths: Vec<Millis> = history
        .spans
        .iter()
        .map(|span| span.max_time.saturating_sub(span.min_time))
        .collect();
    lengths.sort_unstable();
    let half = history.covered() / 2;
    let mut sum: Millis = 0;
    let usual = lengths.into_iter().find(|length| {
        sum = sum.saturating_add(*length);
        sum >= half
    })?;
    let whole = history.max_time().saturating_sub(history.min_time());
    // Blocks begin with their first sample, so they are a little shorter than their range.
    let fits = |width: &Millis| *width >= usual / 10 * 9 && whole / width <= MOST;
    WIDTHS.into_iter().map(|width| width * MINUTE).find(fits)
}

/// The rates of `spans`, in stretches of `width` or one for each; days count from `start`.
pub(super) fn points(spans: &[HistorySpan], start: Millis, width: Option<Millis>) -> Vec<Point> {
    match width {
        Some(width) => stretches(spans, start, width),
        None => spans.iter().map(|span| whole(span, start)).collect(),
    }
}

fn stretches(spans: &[HistorySpan], start: Millis, width: Millis) -> Vec<Point> {
    #[derive(Default)]
    struct Sum {
        millis: Millis,
        bytes: f64,
        samples: f64,
    }
    let mut sums: BTreeMap<i64, Sum> = BTreeMap::new();
    for span in spans {
        let length = span.max_time.saturating_sub(span.min_time).max(1) as f64;
        let mut from = span.min_time;
        while from < span.max_time {
            let slot = from.div_euclid(width);
            let end = slot.saturating_add(1).saturating_mul(width);
            let until = end.min(span.max_time);
            let part = until.saturating_sub(from);
            let sum = sums.entry(slot).or_default();
            sum.millis = sum.millis.saturating_add(part);
            sum.bytes += span.bytes() * part as f64 / length;
            sum.samples += span.samples * part as f64 / length;
            if until <= from {
                break;
            }
            from = until;
        }
    }
    let known = |sum: &Sum| sum.millis as f64 >= LEAST_COVER * width as f64;
    let sums = sums.into_iter().filter(|(_, sum)| known(sum));
    sums.map(|(slot, sum)| {
        let days = (sum.millis.max(1) as f64) / DAY;
        let middle = slot.saturating_mul(width).saturating_add(width / 2);
        Point {
            at: middle.saturating_sub(start) as f64 / DAY,
            days,
            bytes: sum.bytes / days,
            samples: sum.samples / days,
            slot,
        }
    })
    .collect()
}

fn whole(span: &HistorySpan, start: Millis) -> Point {
    let length = span.max_time.saturating_sub(span.min_time).max(1);
    let days = length as f64 / DAY;
    Point {
        at: span.min_time.saturating_sub(start) as f64 / DAY + days / 2.0,
        days,
        bytes: span.bytes() / days,
        samples: span.samples / days,
        slot: 0,
    }
}
