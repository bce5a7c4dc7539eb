//! What a server needs on disk, and when there is no more of it.
//!
//! Source of the rules: Prometheus' storage documentation (`needed_disk_space =
//! retention_time_seconds * ingested_samples_per_second * bytes_per_sample`; `retention.size`
//! counts blocks, WAL, checkpoint and head chunks, and leaves room for neither the block that is
//! being written nor growth), `tsdb/db.go` (`BeyondTimeRetention`, `BeyondSizeRetention`: whole
//! blocks only; `ExponentialBlockRanges(MinBlockDuration, 10, 3)`) and `cmd/prometheus/main.go`
//! (blocks of at most 31 days and at most a tenth of the retention).

use super::ahead::Ahead;
use super::history::History;
use super::past::Past;
use super::series::DAY;
use super::{Estimate, FOREVER, Forecast, ForecastOptions, Full, Limit, When, millis};
use crate::model::Millis;

/// The longest range Prometheus compacts to.
const LONGEST: Millis = 31 * 86_400_000;

/// Ranges grow by this from one to the next …
const STEP: Millis = 3;

/// … nine times at most.
const RANGES: u32 = 10;

/// Of the time at which the head is cut, it holds up to one and a half before it is
/// (`tsdb/head.go`, `compactable`).
const HEAD_FILL: f64 = 1.5;

/// Bytes of WAL for a sample. A record holds the value in 8 bytes and differences of reference and
/// time in about 5 (B. Brazil, How much space does the WAL take up, 2020); compression halves that,
/// as Prometheus' documentation says.
const WAL_BYTES: f64 = 6.5;

/// Bytes of the server's disk over time.
#[derive(Debug)]
pub(super) struct Disk<'a> {
    ahead: &'a Ahead,
    options: ForecastOptions,
    horizon: f64,
    /// Days of the history and bytes from its begin to them, for each border of spans; days count
    /// from now, so they are negative.
    before: Vec<(f64, f64)>,
    /// Days from the begin of the history that no block covers, as a share.
    covered: f64,
    /// Bytes of blocks now.
    present: f64,
    /// Days for which blocks are there.
    present_days: f64,
    head: f64,
    head_measured: bool,
    head_range: Millis,
    rate_now: f64,
    error: f64,
}

impl<'a> Disk<'a> {
    pub(super) fn new(
        past: &Past,
        history: &History,
        ahead: &'a Ahead,
        options: &ForecastOptions,
        known: &Forecast,
    ) -> Self {
        let end = history.max_time();
        let mut sum = 0.0;
        let mut before = Vec::with_capacity(history.spans.len() + 1);
        let days_ago = |time: Millis| time.saturating_sub(end) as f64 / DAY;
        before.push((days_ago(history.min_time()), 0.0));
        for span in &history.spans {
            // A hole before the span.
            before.push((days_ago(span.min_time), sum));
            sum += span.bytes();
            before.push((days_ago(span.max_time), sum));
        }
        let rate_now = known.bytes_per_day.value;
        let first = past.present.min_time.unwrap_or(end);
        let fill = HEAD_FILL * history.head_range as f64 / DAY;
        let wal = known.samples_per_second * 86_400.0 * fill * WAL_BYTES;
        let labels = labels_bytes(history);
        let estimated = wal + rate_now * fill + labels;
        let measured = past.present.head_bytes;
        Disk {
            ahead,
            options: *options,
            horizon: known.horizon as f64 / DAY,
            before,
            covered: (known.covered as f64 / known.history.max(1) as f64).clamp(1e-3, 1.0),
            present: past.present.block_bytes as f64,
            present_days: end.saturating_sub(first).max(0) as f64 / DAY,
            // A measurement may have come just after the logs were cut.
            head: measured.map_or(estimated, |bytes| estimated.max(bytes as f64)),
            head_measured: measured.is_some(),
            head_range: history.head_range,
            rate_now,
            error: known.error80.unwrap_or(0.0),
        }
    }

    /// Fills in what a forecast says of disks.
    pub(super) fn describe(&self, result: &mut Forecast) {
        let at = self.horizon;
        let now = self.options;
        result.head_bytes = self.head;
        result.head_measured = self.head_measured;
        let longest = self.longest_block(now.retention);
        result.longest_block = longest;
        result.compaction_bytes = self.block_bytes(longest, at);
        if let Some(retention) = now.retention {
            let need = self.need(retention, at);
            result.retained_bytes = Some(need.retained);
            result.overhang_bytes = need.block;
            result.needed_bytes = Some(Estimate {
                value: need.sum(),
                bounds: (result.error80)
                    .map(|e| (need.sum() * (1.0 - e).max(0.0), need.sum() * (1.0 + e))),
            });
        }
        if let Some(disk) = now.disk {
            let disk = disk as f64;
            result.possible_retention = Some(longest_for(|r| self.need(r, at).sum() <= disk));
            let risk = 1.0 + self.error;
            result.safe_retention = result
                .error80
                .map(|_| longest_for(|r| self.need(r, at).sum() * risk <= disk));
            let full = |risk| first(|days| self.used(days, risk) > disk);
            result.full = Some(Full {
                when: full(1.0),
                earliest: full(1.0 + self.error),
                latest: full((1.0 - self.error).max(0.0)),
            });
        }
        if let Some(limit) = now.retention_size {
            let limit = limit as f64;
            result.size_retention = Some(longest_for(|r| self.counted(r, at) <= limit));
            result.size_binds = first(|days| self.kept(days, 1.0) + self.head_at(days) > limit);
        }
        result.time_binds = now.retention.and_then(|r| self.time_binds(r));
        result.binds_first = match (result.time_binds, result.size_binds) {
            (None, None) => None,
            (Some(time), Some(size)) if size < time => Some(Limit::Size),
            (None, Some(_)) => Some(Limit::Size),
            (Some(_), _) => Some(Limit::Time),
        };
        result.binds_at_horizon = self.binds_at_horizon(now, result.horizon, result);
    }

    /// The first whole block goes when all of it is too old.
    fn time_binds(&self, retention: Millis) -> When {
        let left = (retention as f64 / DAY - self.present_days).max(0.0);
        let when = millis(left);
        (when <= FOREVER).then_some(when)
    }

    fn binds_at_horizon(
        &self,
        now: ForecastOptions,
        horizon: Millis,
        known: &Forecast,
    ) -> Option<Limit> {
        let reached = |when: When| when.is_some_and(|when| when <= horizon);
        let (time, size) = (reached(known.time_binds), reached(known.size_binds));
        let fits = |limit: u64| {
            let retention = now.retention.unwrap_or(FOREVER);
            self.counted(retention, self.horizon) <= limit as f64
        };
        match now.retention_size {
            Some(limit) if size && !(time && fits(limit)) => Some(Limit::Size),
            _ => time.then_some(Limit::Time),
        }
    }

    /// What Prometheus compacts to, given a retention.
    fn longest_block(&self, retention: Option<Millis>) -> Millis {
        let most = retention.map_or(LONGEST, |r| (r / 10).min(LONGEST));
        let mut range = self.head_range;
        for _ in 1..RANGES {
            let next = range.saturating_mul(STEP);
            if next > most {
                break;
            }
            range = next;
        }
        range
    }

    /// Bytes of a block of this range that ends `days` from now.
    fn block_bytes(&self, range: Millis, days: f64) -> f64 {
        self.ahead.rate(days) * range as f64 / DAY
    }

    fn head_at(&self, days: f64) -> f64 {
        if self.rate_now > 0.0 {
            self.head * (self.ahead.rate(days) / self.rate_now)
        } else {
            self.head
        }
    }

    /// Bytes of blocks from the begin of the history until `days` from now.
    fn sum_until(&self, days: f64) -> f64 {
        if days >= 0.0 {
            let all = self.before.last().map_or(0.0, |(_, bytes)| *bytes);
            return all + self.ahead.bytes(days);
        }
        let behind = self.before.partition_point(|(border, _)| *border <= days);
        let (Some((from, low)), Some((until, high))) = (
            behind.checked_sub(1).and_then(|at| self.before.get(at)),
            self.before.get(behind),
        ) else {
            return 0.0;
        };
        let part = (days - from) / (until - from).max(1e-12);
        low + (high - low) * part.clamp(0.0, 1.0)
    }

    /// What a retention needs when its window ends `days` from now. Time before the history counts
    /// as the window's mean.
    fn need(&self, retention: Millis, days: f64) -> Need {
        let window = retention as f64 / DAY;
        let begin = self.before.first().map_or(0.0, |(day, _)| *day);
        let from = (days - window).max(begin);
        let bytes = self.sum_until(days) - self.sum_until(from);
        let known = days.max(0.0) + (0.0 - from).max(0.0) * self.covered - from.max(0.0);
        let rate = if known > 1e-9 {
            bytes / known
        } else {
            self.ahead.rate(days)
        };
        Need {
            retained: rate * window,
            block: self.block_bytes(self.longest_block(Some(retention)), days),
            head: self.head_at(days),
        }
    }

    /// What `retention.size` counts of a retention by time.
    fn counted(&self, retention: Millis, days: f64) -> f64 {
        let need = self.need(retention, days);
        need.retained + need.block + need.head
    }

    /// Bytes of blocks `days` from now, when only age deletes; what comes counts `risk` times.
    fn kept(&self, days: f64, risk: f64) -> f64 {
        let all = self.present + self.ahead.bytes(days) * risk;
        let Some(retention) = self.options.retention else {
            return all;
        };
        let window = retention as f64 / DAY;
        let from = days - window;
        let coming = self.ahead.bytes(days) - self.ahead.bytes(from);
        let past = self.sum_until(0.0) - self.sum_until(from.min(0.0));
        let block = self.block_bytes(self.longest_block(Some(retention)), days);
        all.min(past + (coming + block) * risk)
    }

    /// Bytes on disk `days` from now at the most, while the largest block is being written.
    fn used(&self, days: f64, risk: f64) -> f64 {
        let all = self.kept(days, risk) + self.head_at(days);
        let limit = self.options.retention_size.map_or(f64::MAX, |l| l as f64);
        let block = self.block_bytes(self.longest_block(self.options.retention), days);
        all.min(limit) + block * risk
    }
}

/// The first day on which something holds, within ten years; to a sixteenth of a day.
fn first(holds: impl Fn(f64) -> bool) -> When {
    if holds(0.0) {
        return Some(0);
    }
    let days = FOREVER / 86_400_000;
    let day = (1..=days).find(|day| holds(*day as f64))? as f64;
    let parts = (0..16).map(|part| day - 1.0 + f64::from(part) / 16.0);
    let when = parts.into_iter().find(|at| holds(*at)).unwrap_or(day);
    Some(millis(when))
}

/// What a retention needs, in bytes.
struct Need {
    retained: f64,
    /// The largest block: beyond the retention once, and once more while it is being written.
    block: f64,
    head: f64,
}

impl Need {
    fn sum(&self) -> f64 {
        self.retained + 2.0 * self.block + self.head
    }
}

/// Bytes of series records in the WAL: about what the index of a level-1 block needs for the same
/// labels.
fn labels_bytes(history: &History) -> f64 {
    let first = history.levels.first();
    first.map_or(0.0, |cost| {
        cost.index_bytes as f64 / cost.blocks.max(1) as f64
    })
}

/// The longest retention that is good, by halving; 0 when none is.
fn longest_for(good: impl Fn(Millis) -> bool) -> Millis {
    if good(FOREVER) {
        return FOREVER;
    }
    let (mut low, mut high) = (0, FOREVER);
    while high - low > 60_000 {
        let middle = low + (high - low) / 2;
        if good(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}
