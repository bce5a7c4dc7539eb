//! What commands say of the logs of a data directory, which they do not read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::context::Context;
use crate::block::{DataDir, DirKind, Meta};
use crate::error::Result;
use crate::model::{Millis, TimeRange};
use crate::repository::{Archive, StoredWal};
use crate::units::{count_text, time_text};
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

/// Samples in the logs of a data directory or an archive, which a command does not read.
#[derive(Debug)]
pub(super) struct Unread {
    /// Where they are.
    place: String,
    /// How many, where that is known.
    samples: Option<u64>,
    /// Times of the first and the last one.
    times: (Millis, Millis),
    /// Those of them that no block holds.
    only_here: Vec<(Millis, Millis)>,
    /// Whether there are blocks beside them.
    has_blocks: bool,
}

impl Unread {
    /// Of the directory at `path`, if it is a data directory with samples in its logs, and whether
    /// something cannot be read.
    pub(super) fn of_dir(path: &Path, context: &Context<'_>) -> Result<(Option<Self>, bool)> {
        let dir = DataDir::scan(path)?;
        let (logs, unread) = glance(&dir, context);
        let times = logs.iter().filter_map(|log| log.times);
        let times = times.reduce(|(a, b), (c, d)| (a.min(c), b.max(d)));
        let mut samples = logs.iter().map(|log| log.samples);
        let samples = samples.try_fold(0u64, |all, one| Some(all.saturating_add(one?)));
        let of = |wanted: Log| {
            let mut logs = logs.iter().filter(|log| log.log == wanted);
            logs.find_map(|log| log.times)
        };
        let blocks_end = dir.in_order_end();
        let found = times.map(|times| Unread {
            place: path.display().to_string(),
            samples,
            times,
            only_here: only_in_logs(of(Log::Wal), of(Log::Wbl), blocks_end),
            has_blocks: blocks_end.is_some(),
        });
        Ok((found, unread))
    }

    /// Of `archive`, as its manifest says.
    pub(super) fn of_archive(archive: &Archive) -> Option<Self> {
        let wal = archive.wal.as_ref()?;
        Some(Unread {
            place: format!("archive {}", archive.id.short()),
            samples: Some(wal.samples),
            times: wal.min_time.zip(wal.max_time)?,
            only_here: in_logs_only(archive),
            has_blocks: in_order_end(archive).is_some(),
        })
    }

    /// Says so, and whether the command leaves something out because of it: when it has read no
    /// block, or when samples of the range of time that was `asked` for are in the logs only.
    fn remark(&self, asked: Option<TimeRange>, context: &Context<'_>) -> bool {
        let reaches = |range: TimeRange| {
            let mut spans = self.only_here.iter();
            spans.any(|(first, last)| range.overlaps(*first, *last))
        };
        if self.only_here.is_empty() || asked.is_some_and(|asked| !reaches(asked)) {
            return false;
        }
        let samples = self
            .samples
            .map_or_else(String::new, |count| format!("{} ", count_text(count)));
        let (first, last) = self.times;
        context.progress.remark(&format_args!(
            "{}: the log holds {samples}samples from {} to {}, which this command does not read",
            self.place,
            time_text(first),
            time_text(last)
        ));
        asked.is_some() || !self.has_blocks
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

/// The end of the newest block of `archive` beside its log. Blocks of late samples may end ahead of
/// what is in the log.
fn in_order_end(archive: &Archive) -> Option<Millis> {
    let in_order = archive.blocks.iter().filter(|block| {
        let mut hints = block.hints.iter();
        !hints.any(|hint| Meta::KNOWN_HINTS.contains(&hint.as_str()))
    });
    in_order.map(|block| block.max_time).max()
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

/// Names the logs of data directories among `paths`, which the command does not read. Says whether
/// that leaves out something that was asked for, see [`Unread::remark`].
pub(super) fn remark_unread(
    paths: &[PathBuf],
    asked: Option<TimeRange>,
    context: &Context<'_>,
) -> Result<bool> {
    let mut left_out = false;
    for path in paths {
        let (unread, unreadable) = Unread::of_dir(path, context)?;
        left_out |= unreadable | unread.is_some_and(|unread| unread.remark(asked, context));
    }
    Ok(left_out)
}

/// The same of the logs of `archive`.
pub(super) fn remark_unread_of(
    archive: &Archive,
    asked: Option<TimeRange>,
    context: &Context<'_>,
) -> bool {
    Unread::of_archive(archive).is_some_and(|unread| unread.remark(asked, context))
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
