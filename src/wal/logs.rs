//! Both logs of a data directory, read as a start of Prometheus reads them.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use super::Log;
use super::follow::Follow;
use super::listing::{LogListing, SegmentFile};
use super::summary::{SegmentSummary, Summary, follow};
use super::watch::Watch;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Millis;
use crate::raw::{FileBytes, ReadMode};

/// The logs of a data directory.
#[derive(Debug, Default)]
pub struct Logs {
    /// `wal/`.
    pub wal: Option<Summary>,
    /// `wbl/`, its entries belonging to the series that the WAL defines.
    pub wbl: Option<Summary>,
    /// Logs that cannot be listed.
    pub unreadable: Vec<(Log, Error)>,
    /// The time before which a start drops samples of the WAL: the end of the newest block, or
    /// what the checkpoint says. [`Millis::MIN`] when there is neither.
    pub min_valid_time: Millis,
    /// The end of the newest block that was not made of out-of-order samples.
    pub blocks_end: Option<Millis>,
    /// What the WAL says of the chunks of the head.
    pub watch: Watch,
}

/// One log at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFacts {
    /// Which one.
    pub log: Log,
    /// Segments that a replay reads, those of the checkpoint included.
    pub segments: u64,
    /// Their length in bytes.
    pub bytes: u64,
    /// Samples that a replay reads, those included that it drops since blocks hold them. Nothing
    /// when the log was not read whole.
    pub samples: Option<u64>,
    /// Times of the oldest and the newest sample; of those in its first and last segments when it
    /// was not read whole.
    pub times: Option<(Millis, Millis)>,
    /// Series definitions.
    pub series: Option<u64>,
    /// Samples whose series nothing defines; a replay passes them over.
    pub unknown: Option<u64>,
    /// Sound samples behind the first damage; they are lost to a replay.
    pub dropped: Option<u64>,
    /// Bytes of a record that is torn off at the end.
    pub torn_bytes: Option<u64>,
    /// The hole between the newest block and the oldest sample of the WAL in milliseconds, where
    /// there is one.
    pub gap: Option<Millis>,
}

impl LogFacts {
    fn of(log: Log, summary: &Summary, blocks_end: Option<Millis>) -> Self {
        let torn = summary.torn_tail();
        LogFacts {
            log,
            segments: summary.checkpoint.len() as u64 + summary.segments.len() as u64,
            bytes: summary.bytes(),
            samples: Some(summary.replayed.samples()),
            times: summary.replayed.times,
            series: Some(summary.replayed.series),
            unknown: Some(summary.undefined.samples),
            dropped: Some(summary.dropped.samples()),
            torn_bytes: Some(
                torn.map_or(0, |(tail, _)| tail.bytes.saturating_sub(tail.sound_bytes)),
            ),
            gap: gap(
                summary.replayed.times,
                blocks_end.filter(|_| log == Log::Wal),
            ),
        }
    }

    /// A log that is not at hand: its segments and their length, its samples and their times as far
    /// as they are known.
    pub fn stored(
        log: Log,
        segments: u64,
        bytes: u64,
        samples: Option<u64>,
        times: Option<(Millis, Millis)>,
        blocks_end: Option<Millis>,
    ) -> Self {
        LogFacts {
            log,
            segments,
            bytes,
            samples,
            times,
            series: None,
            unknown: None,
            dropped: None,
            torn_bytes: None,
            gap: gap(times, blocks_end.filter(|_| log == Log::Wal)),
        }
    }

    /// The logs of the data directory `dir`, without reading more of a log than its first and last
    /// segments when both have more than `max_bytes`; none where there is none. `blocks_end` is
    /// as of [`Logs::read`].
    ///
    /// # Errors
    ///
    /// When a log cannot be listed.
    pub fn glance(
        dir: &Path,
        blocks_end: Option<Millis>,
        max_bytes: u64,
        mode: ReadMode,
    ) -> Result<Vec<Self>> {
        let mut glances = Vec::new();
        for log in [Log::Wal, Log::Wbl] {
            match LogListing::read(&dir.join(log.name())) {
                Ok(listing) => glances.push(Glance { dir, log, listing }),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let bytes = glances.iter().map(Glance::bytes);
        if bytes.fold(0, u64::saturating_add) > max_bytes {
            return Ok(glances
                .iter()
                .map(|log| log.facts(blocks_end, mode))
                .collect());
        }
        let mut logs = Logs::read(dir, blocks_end, mode);
        match logs.unreadable.pop() {
            Some((_, error)) => Err(error),
            None => Ok(logs.facts()),
        }
    }
}

/// A log that is too long to be read whole just to say what it holds.
struct Glance<'a> {
    dir: &'a Path,
    log: Log,
    listing: LogListing,
}

impl Glance<'_> {
    fn path(&self, file: &SegmentFile) -> PathBuf {
        self.dir.join(self.log.name()).join(&file.path)
    }

    fn bytes(&self) -> u64 {
        let replay = self.listing.replay(self.log);
        let length = |file| fs::metadata(self.path(file)).map_or(0, |found| found.len());
        replay.files().map(length).fold(0, u64::saturating_add)
    }

    fn facts(&self, blocks_end: Option<Millis>, mode: ReadMode) -> LogFacts {
        let replay = self.listing.replay(self.log);
        let times = |file: &SegmentFile| {
            let bytes = FileBytes::open(&self.path(file), mode).ok()?;
            SegmentSummary::of(file, &bytes).contents.times
        };
        let (first, last) = (
            replay.files().find_map(times),
            replay.files().rev().find_map(times),
        );
        let times = first.zip(last);
        let times = times.map(|(first, last)| (first.0.min(last.0), first.1.max(last.1)));
        let segments = replay.files().count() as u64;
        LogFacts::stored(self.log, segments, self.bytes(), None, times, blocks_end)
    }
}

/// The hole between `blocks_end` and the first of `times`.
fn gap(times: Option<(Millis, Millis)>, blocks_end: Option<Millis>) -> Option<Millis> {
    let (first, _) = times?;
    Some(first.saturating_sub(blocks_end?)).filter(|gap| *gap > 0)
}

/// A log as it was listed. Its last segment grows while a server runs.
struct Listed {
    dir: PathBuf,
    listing: LogListing,
    /// Length of its last segment in bytes, where that can be asked for.
    last: Option<(PathBuf, u64)>,
}

impl Listed {
    fn read(dir: &Path, log: Log) -> Result<Self> {
        let dir = dir.join(log.name());
        let listing = LogListing::read(&dir)?;
        let last = listing.segments.last().map(|file| dir.join(&file.path));
        let last = last.and_then(|path| {
            let bytes = fs::metadata(&path).ok()?.len();
            Some((path, bytes))
        });
        Ok(Listed { dir, listing, last })
    }

    /// The content of `file` when it was listed.
    fn open(&self, file: &SegmentFile, mode: ReadMode) -> Result<Prefix> {
        let path = self.dir.join(&file.path);
        let bytes = FileBytes::open(&path, mode)?;
        let last = self.last.as_ref().filter(|(last, _)| *last == path);
        let end = last.map_or(u64::MAX, |(_, bytes)| *bytes);
        let end = usize::try_from(end).unwrap_or(usize::MAX).min(bytes.len());
        Ok(Prefix { bytes, end })
    }
}

/// The beginning of a file.
struct Prefix {
    bytes: FileBytes,
    end: usize,
}

impl Deref for Prefix {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.end).unwrap_or_default()
    }
}

impl Logs {
    /// Reads `wal` and `wbl` of the data directory `dir`. Samples of the WAL before `blocks_end`,
    /// the end of the newest block that was not made of out-of-order samples, are not missed
    /// when nothing defines their series.
    pub fn read(dir: &Path, blocks_end: Option<Millis>, mode: ReadMode) -> Self {
        Self::read_beside(Watch::default(), dir, blocks_end, mode)
    }

    /// The same, beside what else there is of the head.
    pub fn read_beside(
        head: Watch,
        dir: &Path,
        blocks_end: Option<Millis>,
        mode: ReadMode,
    ) -> Self {
        let series = Follow::new(blocks_end.unwrap_or(Millis::MIN));
        let mut series = series.watching(head);
        let mut logs = Logs {
            blocks_end,
            ..Logs::default()
        };
        // A series is in the WAL before samples of it are in the WBL: what comes into the WBL after
        // the WAL was looked at may be of series that are not known then.
        let wbl = Listed::read(dir, Log::Wbl);
        let wal = Listed::read(dir, Log::Wal);
        logs.wal = logs.read_one(wal, Log::Wal, &mut series, mode);
        logs.wbl = logs.read_one(wbl, Log::Wbl, &mut series, mode);
        logs.min_valid_time = series.min_valid_time();
        logs.watch = series.into_watch();
        logs
    }

    fn read_one(
        &mut self,
        listed: Result<Listed>,
        log: Log,
        series: &mut Follow,
        mode: ReadMode,
    ) -> Option<Summary> {
        match listed {
            Ok(listed) => Some(follow(&listed.listing, log, series, |file| {
                listed.open(file, mode)
            })),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                self.unreadable.push((log, error));
                None
            }
        }
    }

    /// The logs that are there and can be listed, in the order of replay.
    pub fn iter(&self) -> impl Iterator<Item = (Log, &Summary)> {
        let wal = self.wal.iter().map(|summary| (Log::Wal, summary));
        wal.chain(self.wbl.iter().map(|summary| (Log::Wbl, summary)))
    }

    /// What keeps a Prometheus from starting on them, as a sentence.
    pub fn start_problem(&self) -> Option<String> {
        self.iter().find_map(|(log, summary)| {
            let outcome = summary.outcome();
            let mut worst = summary.problems.iter();
            let first = worst.find(|problem| problem.consequence == *outcome)?;
            let keeps = outcome.keeps_from_starting();
            keeps.then(|| format!("{}/{first}", log.name()))
        })
    }

    /// Each of them at a glance.
    pub fn facts(&self) -> Vec<LogFacts> {
        self.iter()
            .map(|(log, summary)| LogFacts::of(log, summary, self.blocks_end))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::writer::SegmentWriter;

    #[test]
    fn what_is_written_behind_the_end_of_a_listed_log_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("wbl");
        fs::create_dir(&dir).unwrap();
        let sample = [&[2][..], &[0; 16], &[0, 0], &[0; 8]].concat();
        let first = SegmentWriter::with([&sample[..]]);
        fs::write(dir.join("00000000"), &first).unwrap();
        fs::write(dir.join("00000001"), &first).unwrap();
        let listed = Listed::read(root.path(), Log::Wbl).unwrap();
        fs::write(dir.join("00000001"), [&first[..], &first].concat()).unwrap();
        fs::write(dir.join("00000002"), &first).unwrap();
        let mut logs = Logs::default();
        let mut series = Follow::default();
        let read = logs.read_one(Ok(listed), Log::Wbl, &mut series, ReadMode::default());
        let read = read.unwrap();
        assert_eq!((read.segments.len(), read.replayed.samples()), (2, 2));
    }
}
