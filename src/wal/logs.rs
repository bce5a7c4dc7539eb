//! Both logs of a data directory, read as a start of Prometheus reads them.

use std::path::Path;

use super::Log;
use super::follow::Follow;
use super::listing::Listing;
use super::summary::{Summary, follow};
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
    /// The time before which a start drops samples of the WAL: the end of the newest block, or what the checkpoint says.
    /// [`Millis::MIN`] when there is neither.
    pub min_valid_time: Millis,
}

/// What logs hold, at a glance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSpan {
    /// Samples that a replay reads, those included that it drops since blocks hold them.
    pub samples: u64,
    /// Times of the oldest and the newest of them.
    pub times: Option<(Millis, Millis)>,
    /// Length of the segments in bytes.
    pub bytes: u64,
}

impl LogSpan {
    /// Of one log.
    pub fn of(summary: &Summary) -> Self {
        LogSpan {
            samples: summary.replayed.samples(),
            times: summary.replayed.times,
            bytes: summary.bytes(),
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: LogSpan) -> LogSpan {
        LogSpan {
            samples: self.samples.saturating_add(other.samples),
            times: match (self.times, other.times) {
                (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
                (known, other) => known.or(other),
            },
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    /// The hole between `blocks_end`, the end of the newest block, and the first sample, in milliseconds; nothing when there is none.
    pub fn gap(&self, blocks_end: Millis) -> Option<Millis> {
        let (first, _) = self.times?;
        Some(first.saturating_sub(blocks_end)).filter(|gap| *gap > 0)
    }
}

impl Logs {
    /// Reads `wal` and `wbl` of the data directory `dir`. Samples of the WAL before `min_valid_time`, the end of the newest
    /// block that was not made of out-of-order samples, are not missed when nothing defines their series.
    pub fn read(dir: &Path, min_valid_time: Option<Millis>, mode: ReadMode) -> Self {
        let mut series = Follow::new(min_valid_time.unwrap_or(Millis::MIN));
        let mut logs = Logs::default();
        logs.wal = logs.read_one(dir, Log::Wal, &mut series, mode);
        logs.wbl = logs.read_one(dir, Log::Wbl, &mut series, mode);
        logs.min_valid_time = series.min_valid_time();
        logs
    }

    fn read_one(
        &mut self,
        dir: &Path,
        log: Log,
        series: &mut Follow,
        mode: ReadMode,
    ) -> Option<Summary> {
        let path = dir.join(log.name());
        match Listing::read(&path) {
            Ok(listing) => Some(follow(&listing, log, series, |file| {
                FileBytes::open(&path.join(&file.path), mode)
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

    /// What both hold.
    pub fn span(&self) -> LogSpan {
        self.iter()
            .map(|(_, summary)| LogSpan::of(summary))
            .fold(LogSpan::default(), LogSpan::and)
    }
}
