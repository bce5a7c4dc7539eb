//! What is known of the logs of a data directory or an archive without replaying them.

use std::collections::BTreeSet;

use super::context::Context;
use crate::block::{DataDir, DirKind};
use crate::model::{Millis, TimeRange};
use crate::replay::{Head, ListedHead, hole};
use crate::repository::{Archive, StoredWal};
use crate::restore::in_order_end;
use crate::wal::{Log, LogEntry, LogFacts, LogListing};

/// Longest logs that are read whole to say what they hold, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// The logs of `dir`, and whether one of them could not be read, which has been said.
pub(super) fn glance(dir: &DataDir, context: &Context<'_>) -> (Vec<LogFacts>, bool) {
    if dir.place() != DirKind::DataDir {
        return (Vec::new(), false);
    }
    match LogFacts::glance(dir.path(), dir.in_order_end(), MAX_BYTES, context.read_mode) {
        Ok(facts) => (facts, false),
        Err(error) => {
            context.progress.remark(&error.chain());
            (Vec::new(), true)
        }
    }
}

/// The times, both included, of samples that no block holds: those of the WAL behind `blocks_end`,
/// the end of the newest block in order, and those of the WBL, which came out of order and wait for
/// a block wherever their time lies.
fn only_in_logs(
    wal: Option<(Millis, Millis)>,
    wbl: Option<(Millis, Millis)>,
    blocks_end: Option<Millis>,
) -> Vec<(Millis, Millis)> {
    let behind = |(first, last): (Millis, Millis)| {
        let first = blocks_end.map_or(first, |end| end.max(first));
        (first <= last).then_some((first, last))
    };
    wal.and_then(behind).into_iter().chain(wbl).collect()
}

/// The times, both included, of samples of the logs of `archive` that none of its blocks holds.
pub(super) fn in_logs_only(archive: &Archive) -> Vec<(Millis, Millis)> {
    let Some(wal) = &archive.wal else {
        return Vec::new();
    };
    // Not every archive says when its log begins.
    let times = wal
        .max_time
        .map(|last| (wal.min_time.unwrap_or(Millis::MIN), last));
    only_in_logs(times, wal.late_times(), in_order_end(archive))
}

/// Whether the logs of `archive` may hold samples of the time `asked` that none of its blocks
/// holds.
pub(super) fn has_head(archive: &Archive, asked: TimeRange) -> bool {
    let mut spans = in_logs_only(archive).into_iter();
    spans.any(|(first, last)| asked.overlaps(first, last))
}

/// The head of `dir`, in which these `logs` were found, and whether it could not be read, which has
/// been said. Logs that are too long to be read whole tell its times.
pub(super) fn head_at_a_glance(
    dir: &DataDir,
    logs: &[LogFacts],
    context: &Context<'_>,
) -> (Option<ListedHead>, bool) {
    let sum = |sum: u64, log: &LogFacts| sum.saturating_add(log.bytes);
    let bytes = logs.iter().fold(0, sum);
    if dir.place() != DirKind::DataDir || logs.is_empty() {
        return (None, false);
    }
    if bytes <= MAX_BYTES {
        return match Head::read(dir.path(), context.read_mode, context.progress) {
            Ok(head) => (ListedHead::of(head.facts(), bytes), false),
            Err(error) => {
                context.progress.remark(&error.chain());
                (None, true)
            }
        };
    }
    let of = |wanted: Log| {
        let mut logs = logs.iter().filter(|log| log.log == wanted);
        logs.find_map(|log| log.times)
    };
    let end = dir.in_order_end();
    let spans = only_in_logs(of(Log::Wal), of(Log::Wbl), end);
    (unread_head(spans, end, bytes), false)
}

/// The head that has samples at these times behind blocks that end at `end`.
fn unread_head(
    spans: Vec<(Millis, Millis)>,
    end: Option<Millis>,
    bytes: u64,
) -> Option<ListedHead> {
    let spans = spans.into_iter();
    let times = spans.reduce(|(a, b), (c, d)| (a.min(c), b.max(d)))?;
    Some(ListedHead {
        times,
        gap: hole(end, times.0),
        series: None,
        samples: None,
        bytes,
    })
}

/// The head of `archive`, as far as its manifest tells.
pub(super) fn listed_head(archive: &Archive) -> Option<ListedHead> {
    let end = in_order_end(archive);
    let logs = stored(archive, end);
    let bytes = logs
        .iter()
        .fold(0, |sum: u64, log| sum.saturating_add(log.bytes));
    unread_head(in_logs_only(archive), end, bytes)
}

/// The names of `log` among the files and directories of `wal`.
fn listing(wal: &StoredWal, log: Log) -> LogListing {
    let dir = log.name();
    let inside = |name: &str| {
        let name = name.strip_prefix(dir)?.strip_prefix('/')?;
        Some(name.to_owned())
    };
    let files = wal
        .files
        .iter()
        .filter_map(|file| inside(file.name.as_str()));
    let dirs = wal.empty_dirs.iter().filter_map(|dir| inside(dir.as_str()));
    LogListing::of(
        files
            .map(LogEntry::file)
            .chain(dirs.map(LogEntry::directory)),
    )
}

/// The logs of `archive` at a glance, as its manifest says. Where it counts the samples of both
/// logs together, the WAL has the times, for it holds what the WBL holds, and neither has a count.
pub(super) fn stored(archive: &Archive, blocks_end: Option<Millis>) -> Vec<LogFacts> {
    let Some(wal) = &archive.wal else {
        return Vec::new();
    };
    let facts = |log: Log| {
        let listing = listing(wal, log);
        let replay = listing.replay(log);
        let names: BTreeSet<_> = replay
            .files()
            .map(|file| format!("{}/{}", log.name(), file.path))
            .collect();
        let read = wal
            .files
            .iter()
            .filter(|file| names.contains(file.name.as_str()));
        let bytes = read.fold(0, |sum: u64, file| sum.saturating_add(file.bytes));
        (log, names.len() as u64, bytes)
    };
    let mut logs: Vec<_> = [Log::Wal, Log::Wbl].map(facts).into();
    logs.retain(|(_, segments, _)| *segments > 0);
    let is_alone = logs.len() == 1;
    let of = |(log, segments, bytes)| {
        let both = wal.min_time.zip(wal.max_time);
        let (samples, times) = match (log, wal.wbl_samples) {
            (Log::Wal, Some(late)) => (Some(wal.samples.saturating_sub(late)), both),
            (Log::Wbl, Some(late)) => (Some(late), wal.late_times()),
            _ if is_alone => (Some(wal.samples), both),
            (Log::Wal, None) => (None, both),
            (Log::Wbl, None) => (None, None),
        };
        LogFacts::stored(log, segments, bytes, samples, times, blocks_end)
    };
    logs.into_iter().map(of).collect()
}

/// Why no Prometheus starts on these logs, as a sentence: what the backup found, or what the names
/// of the files say.
pub(super) fn start_problem(wal: &StoredWal) -> Option<String> {
    let of_names = |log: Log| {
        let dir = log.name();
        let problems = listing(wal, log).replay(log).problems.into_iter();
        let mut fatal = problems.filter(|problem| problem.consequence.keeps_from_starting());
        fatal.next().map(|problem| format!("{dir}/{problem}"))
    };
    let named = || of_names(Log::Wal).or_else(|| of_names(Log::Wbl));
    wal.start_problem.clone().or_else(named)
}
