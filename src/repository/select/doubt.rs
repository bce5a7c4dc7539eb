//! Why the latest archive may not be the one that is meant.

use std::fmt;
use std::path::Path;

use crate::model::{Millis, TimeRange};
use crate::repository::layout::ArchiveId;
use crate::repository::lease::is_ahead;
use crate::repository::{Archive, LeftOutKind, end_of};
use crate::units::second_text;

/// An archive whose time cannot have been yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// The archive.
    pub id: ArchiveId,
    /// What its manifest says when it was made.
    pub time: Millis,
}

impl Ahead {
    /// The archive `archive`, when its time lies in the future at `now`.
    pub fn of(archive: &Archive, now: Millis) -> Option<Self> {
        is_ahead(archive.time, now).then(|| Ahead {
            id: archive.id.clone(),
            time: archive.time,
        })
    }
}

/// Takes the archives that lie in the future at `now` out of those of one server; unless there are
/// no others.
pub fn take_ahead(archives: &mut Vec<Archive>, now: Millis) -> Vec<Ahead> {
    let ahead: Vec<_> = archives
        .iter()
        .filter_map(|archive| Ahead::of(archive, now))
        .collect();
    if ahead.len() < archives.len() {
        archives.retain(|archive| Ahead::of(archive, now).is_none());
    }
    ahead
}

impl fmt::Display for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, time) = (self.id.short(), second_text(self.time));
        write!(
            f,
            "archive {id} is of {time}, which lies in the future: a clock was wrong when it was made, or this machine's is wrong now"
        )
    }
}

/// An archive of the same server that is not the latest, and yet ends later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Longer {
    /// The archive.
    pub id: ArchiveId,
    /// The time of its last sample.
    pub end: Millis,
    /// The time of the last sample of the latest, if it has any.
    pub latest_end: Option<Millis>,
}

impl Longer {
    /// The archive `other`, when it ends later than `latest`, a later archive of the same server.
    /// Where `latest` has no log, because nobody wanted it or it could not be read, or because
    /// it is of a Prometheus snapshot in the data directory, the ends of blocks are compared.
    pub fn of(other: &Archive, latest: &Archive) -> Option<Self> {
        let mut left_out = latest.left_out.iter().filter(|left| left.is_of_log());
        let is_told =
            left_out.any(|left| matches!(left.kind(), LeftOutKind::AskedFor | LeftOutKind::Unread));
        let snapshots = Path::new(&other.source).join("snapshots");
        let is_snapshot = Path::new(&latest.source).starts_with(snapshots);
        let (end, latest_end) = if is_told || latest.wal.is_none() && is_snapshot {
            let of_blocks = |archive: &Archive| end_of(archive.blocks.iter(), None);
            (of_blocks(other)?, of_blocks(latest))
        } else {
            (other.end()?, latest.end())
        };
        (latest_end < Some(end)).then(|| Longer {
            id: other.id.clone(),
            end,
            latest_end,
        })
    }

    /// Whether any of the samples that it has and the latest lacks may lie in `asked`.
    pub fn concerns(&self, asked: TimeRange) -> bool {
        let lacks_from = self
            .latest_end
            .map_or(Millis::MIN, |end| end.saturating_add(1));
        asked.since <= self.end && lacks_from < asked.until
    }
}

impl fmt::Display for Longer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, end) = (self.id.short(), second_text(self.end));
        match self.latest_end {
            Some(latest) => write!(
                f,
                "the samples of archive {id} reach to {end}, those of the latest only to {}",
                second_text(latest)
            ),
            None => write!(
                f,
                "the samples of archive {id} reach to {end}, the latest has none"
            ),
        }
    }
}
