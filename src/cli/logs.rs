//! What commands say of the logs of a data directory, which they do not read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Context;
use crate::block::{DataDir, Meta, Place};
use crate::error::Result;
use crate::model::Millis;
use crate::report::time_text;
use crate::repository::{Archive, StoredWal};
use crate::wal::{Entry, Listing, Log, LogFacts};

/// Longest logs that are read whole to say what they hold, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// The logs of `dir`, and whether one of them could not be read, which has been said.
pub(super) fn glance(dir: &DataDir, context: &Context<'_>) -> (Vec<LogFacts>, bool) {
    if dir.place() != Place::DataDir {
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
    /// The end of the newest block beside them.
    blocks_end: Option<Millis>,
}

impl Unread {
    /// Of the directory at `path`, if it is a data directory with samples in its logs, and whether something cannot be read.
    pub(super) fn of_dir(path: &Path, context: &Context<'_>) -> Result<(Option<Self>, bool)> {
        let dir = DataDir::scan(path)?;
        let (logs, unread) = glance(&dir, context);
        let times = logs.iter().filter_map(|log| log.times);
        let times = times.reduce(|(a, b), (c, d)| (a.min(c), b.max(d)));
        let mut samples = logs.iter().map(|log| log.samples);
        let samples = samples.try_fold(0u64, |all, one| Some(all.saturating_add(one?)));
        let found = times.map(|times| Unread {
            place: path.display().to_string(),
            samples,
            times,
            blocks_end: dir.in_order_end(),
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
            blocks_end: in_order_end(archive),
        })
    }

    /// Says so, and whether the command leaves something out because of it: when it has read no block, or when samples of the
    /// range of time that was `asked` for (both ends included) are in the log only.
    fn remark(&self, asked: Option<(Millis, Millis)>, context: &Context<'_>) -> bool {
        let (first, last) = self.times;
        let only_here = self.blocks_end.map_or(first, |end| end.max(first));
        let reaches = asked.is_some_and(|(since, until)| since <= last && until >= only_here);
        if last < only_here || (asked.is_some() && !reaches) {
            return false;
        }
        let samples = self
            .samples
            .map_or_else(String::new, |count| format!("{count} "));
        context.progress.remark(&format_args!(
            "{}: the log holds {samples}samples from {} to {}, which this command does not read",
            self.place,
            time_text(first),
            time_text(last)
        ));
        reaches || self.blocks_end.is_none()
    }
}

/// The end of the newest block of `archive` beside its log. Blocks of late samples may end ahead of what is in the log.
fn in_order_end(archive: &Archive) -> Option<Millis> {
    let in_order = archive.blocks.iter().filter(|block| {
        let mut hints = block.hints.iter();
        !hints.any(|hint| Meta::KNOWN_HINTS.contains(&hint.as_str()))
    });
    in_order.map(|block| block.max_time).max()
}

/// The times, both included, of the first and the last sample of the log of `archive` that its blocks do not reach.
pub(super) fn in_log_only(archive: &Archive) -> Option<(Millis, Millis)> {
    let wal = archive.wal.as_ref()?;
    let last = wal.max_time?;
    // Not every archive says when its log begins.
    let first = wal.min_time.unwrap_or(Millis::MIN);
    let first = in_order_end(archive).map_or(first, |end| end.max(first));
    (first <= last).then_some((first, last))
}

/// Names the logs of data directories among `paths`, which the command does not read. Says whether that leaves out something that
/// was asked for, see [`Unread::remark`].
pub(super) fn remark_unread(
    paths: &[PathBuf],
    asked: Option<(Millis, Millis)>,
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
    asked: Option<(Millis, Millis)>,
    context: &Context<'_>,
) -> bool {
    Unread::of_archive(archive).is_some_and(|unread| unread.remark(asked, context))
}

/// The names of `log` among the files and directories of `wal`.
fn listing(wal: &StoredWal, log: Log) -> Listing {
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
    Listing::of(files.map(Entry::file).chain(dirs.map(Entry::directory)))
}

/// The logs of `archive` at a glance, as its manifest says. It counts the samples of both logs together: where there are two, the WAL
/// has the times, for it holds what the WBL holds, and neither has a count.
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
        let times = wal.min_time.zip(wal.max_time);
        let times = times.filter(|_| is_alone || log == Log::Wal);
        let samples = is_alone.then_some(wal.samples);
        LogFacts::stored(log, segments, bytes, samples, times, blocks_end)
    };
    logs.into_iter().map(of).collect()
}

/// Why no Prometheus starts on these logs, as a sentence: what the backup found, or what the names of the files say.
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
