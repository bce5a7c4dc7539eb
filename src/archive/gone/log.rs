//! A write-ahead log that is gone.

use std::collections::BTreeSet;

use super::{BackupProblem, Log, Now, Present, ProblemKind};
use crate::model::{Millis, Ulid};
use crate::repository::{Archive, LeftOut, LeftOutKind, StoredWal};
use crate::units::second_text;

/// The directories of the logs.
const WAL: &str = "wal";
const WBL: &str = "wbl";

/// A log of which nothing is left, or whose last samples are nowhere.
#[derive(Clone, Copy, Debug)]
pub(in crate::archive) struct GoneLog<'a> {
    /// The directory it was in.
    name: &'static str,
    /// The archive that holds it.
    archive: &'a Archive,
    /// The last sample of it, where there is another log in its place.
    until: Option<Millis>,
}

impl GoneLog<'_> {
    /// What an archive without it says.
    pub(in crate::archive) fn left_out(&self) -> LeftOut {
        LeftOut::gone(self.name.to_owned(), self.archive)
    }

    /// What is to be said of it.
    pub(in crate::archive) fn problem(&self) -> BackupProblem {
        ProblemKind::LogGone.at(self.name, self.sentence())
    }

    fn sentence(&self) -> String {
        let (name, id) = (self.name, self.archive.id.short());
        match self.until {
            None => format!(
                "the {name} of archive {id} is gone, and there is no other: was it deleted, is a disk not mounted, or is it lost? Said this once; archive {id} \
                 still holds it"
            ),
            Some(until) => format!(
                "the last samples of the {name} of archive {id}, which reach to {}, are gone: they are in no block and not in the {name} that is here. Was it deleted, \
                 or is it lost? Said this once; archive {id} still holds it",
                second_text(until)
            ),
        }
    }
}

/// The archive whose log is the last that is known of the directory `dir`: of `archives`, those of
/// its source, newest first. Where none is of `dir`, it was moved. Those that were made without the
/// log say nothing of it; one that missed it has told that it is gone.
pub(in crate::archive) fn last_log<'a>(
    archives: impl Iterator<Item = &'a Archive> + Clone,
    dir: &str,
) -> Option<&'a Archive> {
    let is_of_dir = |archive: &&Archive| archive.source == dir;
    let is_moved = !archives.clone().any(|archive| is_of_dir(&archive));
    let mut own = archives.filter(|archive| is_moved || is_of_dir(archive));
    own.find(|archive| {
        let tells_loss = |left: &LeftOut| left.name == WAL && left.kind() == LeftOutKind::Gone;
        archive.wal.is_some() || archive.left_out.iter().any(tells_loss)
    })
}

/// The log `wal`, which holds so many deletions, as what became of that of `was`, the one that
/// [`last_log`] finds.
pub(in crate::archive) fn log_of(
    wal: Option<&StoredWal>,
    deletions: u64,
    was: Option<&Archive>,
) -> Log {
    let before = was.and_then(|was| was.wal.as_ref());
    let both = wal.zip(before);
    Log {
        begin: wal.and_then(|wal| wal.min_time),
        deletions,
        goes_on: both.is_some_and(|(wal, before)| newest(wal) >= newest(before)),
    }
}

/// The log of `was`, the archive that [`last_log`] finds, if it is gone; `wal` is what is archived
/// now.
pub(in crate::archive) fn gone_log<'a>(
    was: &'a Archive,
    wal: Option<&StoredWal>,
    now: &Now<'_>,
) -> Option<GoneLog<'a>> {
    let before = was.wal.as_ref().filter(|before| bytes(before) > 0)?;
    if is_of_other_snapshot(was, now) || now.names_a_log(WAL) {
        return None;
    }
    let is_there = |wal: &StoredWal| {
        files(wal).next().is_some() && (bytes(wal) > 0 || newest(wal) >= newest(before))
    };
    if !wal.is_some_and(is_there) {
        return Some(GoneLog {
            name: WAL,
            archive: was,
            until: None,
        });
    }
    let end = was.blocks.iter().map(|block| block.max_time).max();
    let since = end.or(before.min_time)?;
    let last = before
        .max_time
        .filter(|last| before.samples > 0 && *last >= since)?;
    let begin = wal.and_then(|wal| wal.min_time);
    let mut ranges = now.blocks.iter().map(|here| here.kin.range);
    // Its last samples are gone, whatever comes before them: a segment, or what stands behind
    // damage.
    let goes_back = begin.is_some_and(|begin| begin <= last)
        && wal
            .and_then(|wal| wal.max_time)
            .is_none_or(|end| end < last);
    let is_held = begin.is_some_and(|begin| begin <= last) && !goes_back
        || ranges.any(|(begin, end)| begin <= last && since < end);
    // While retention has left blocks that are older, as they were or compacted, it has not come to
    // these samples.
    let is_due = if goes_back {
        true
    } else if begin.is_some() {
        let here = now.blocks.iter();
        let left = here.flat_map(|here| here.parents().chain(here.kin.atoms.iter().copied()));
        let left: BTreeSet<Ulid> = left.chain(now.blocks.iter().map(Present::ulid)).collect();
        was.blocks.iter().any(|block| left.contains(&block.ulid))
    } else {
        let mut ends = now.blocks.iter().map(|here| here.kin.range.1);
        ends.all(|end| end <= last)
    };
    // What is lost of a log that goes on was deleted from the head.
    let is_gone = !is_held && is_due && (goes_back || newest(wal?) < newest(before));
    is_gone.then_some(GoneLog {
        name: WAL,
        archive: was,
        until: Some(last),
    })
}

/// Whether there is no log to be looked for: snapshots have none, and neither has a directory of
/// which only the blocks were moved, which is told by where its samples end.
fn is_of_other_snapshot(was: &Archive, now: &Now<'_>) -> bool {
    now.is_snapshot && was.source != now.dir.to_string_lossy()
}

/// The log of samples out of order of `was`, if nothing is left of it: Prometheus takes away what
/// it has compacted, and leaves an empty segment.
pub(in crate::archive) fn gone_late_log<'a>(
    was: &'a Archive,
    wal: Option<&StoredWal>,
    now: &Now<'_>,
) -> Option<GoneLog<'a>> {
    let late = |wal: &StoredWal| {
        let names = wal
            .files
            .iter()
            .map(|file| (file.name.as_str(), file.bytes));
        let late = names.filter(|(name, _)| name.starts_with("wbl/"));
        late.map(|(_, bytes)| bytes).max()
    };
    let before = was.wal.as_ref().filter(|before| {
        late(before).is_some_and(|bytes| bytes > 0) && before.wbl_samples != Some(0)
    });
    before?;
    let is_there = wal.is_some_and(|wal| {
        late(wal).is_some() || wal.empty_dirs.iter().any(|dir| dir.as_str() == WBL)
    });
    // Both are archived together, or neither is.
    let is_named = now.names_a_log(WBL) || wal.is_none() && now.names_a_log(WAL);
    if is_there || is_named || is_of_other_snapshot(was, now) {
        return None;
    }
    Some(GoneLog {
        name: WBL,
        archive: was,
        until: None,
    })
}

/// The files of the WAL, by their names below it, with their sizes.
fn files(wal: &StoredWal) -> impl Iterator<Item = (&str, u64)> {
    let files = wal.files.iter();
    files.filter_map(|file| Some((file.name.as_str().strip_prefix("wal/")?, file.bytes)))
}

fn bytes(wal: &StoredWal) -> u64 {
    let sizes = files(wal).map(|(_, bytes)| bytes);
    sizes.fold(0, u64::saturating_add)
}

/// The number and the size of its last segment. A log goes on counting, whatever is cut off, and
/// segments only grow.
fn newest(wal: &StoredWal) -> Option<(u64, u64)> {
    let segments = files(wal).filter_map(|(name, bytes)| Some((name.parse().ok()?, bytes)));
    segments.max()
}
