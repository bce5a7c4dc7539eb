//! A write-ahead log that is gone.

use std::collections::BTreeSet;

use super::{Log, Now, Present, time};
use crate::model::{Millis, Ulid};
use crate::repository::{Archive, LeftOut, StoredWal};

/// A log of which nothing is left, or whose last samples are nowhere.
#[derive(Clone, Copy, Debug)]
pub(in crate::archive) struct GoneLog<'a> {
    /// The archive that holds it.
    archive: &'a Archive,
    /// The last sample of it, where there is another log in its place.
    until: Option<Millis>,
}

impl GoneLog<'_> {
    /// What an archive without it says.
    pub(in crate::archive) fn left_out(&self) -> LeftOut {
        LeftOut::gone("wal".to_owned(), self.archive)
    }

    /// What is to be said of it.
    pub(in crate::archive) fn sentence(&self) -> String {
        let id = self.archive.id.short();
        match self.until {
            None => format!(
                "the wal of archive {id} is gone, and there is no other: was it deleted, is a disk not mounted, or is it lost? Said this once; archive {id} \
                 still holds it"
            ),
            Some(until) => format!(
                "the last samples of the wal of archive {id}, which reach to {}, are gone: they are in no block and not in the wal that is here. Was it deleted, \
                 or is it lost? Said this once; archive {id} still holds it",
                time(until)
            ),
        }
    }
}

/// The log `wal`, which holds so many deletions, as what became of that of `was`, the newest archive of this directory.
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

/// The log of `was`, the newest archive of this directory, if it is gone; `wal` is what is archived now.
pub(in crate::archive) fn gone_log<'a>(
    was: &'a Archive,
    wal: Option<&StoredWal>,
    now: &Now<'_>,
) -> Option<GoneLog<'a>> {
    let before = was.wal.as_ref().filter(|before| bytes(before) > 0)?;
    if was.source != now.dir.to_string_lossy() || now.names_a_log() {
        return None;
    }
    let is_there = |wal: &StoredWal| {
        files(wal).next().is_some() && (bytes(wal) > 0 || newest(wal) >= newest(before))
    };
    if !wal.is_some_and(is_there) {
        return Some(GoneLog {
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
    // Its last samples are gone, whatever comes before them: a segment, or what stands behind damage.
    let goes_back = begin.is_some_and(|begin| begin <= last)
        && wal
            .and_then(|wal| wal.max_time)
            .is_none_or(|end| end < last);
    let is_held = begin.is_some_and(|begin| begin <= last) && !goes_back
        || ranges.any(|(begin, end)| begin <= last && since < end);
    // While retention has left blocks that are older, as they were or compacted, it has not come to these samples.
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
        archive: was,
        until: Some(last),
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

/// The number and the size of its last segment. A log goes on counting, whatever is cut off, and segments only grow.
fn newest(wal: &StoredWal) -> Option<(u64, u64)> {
    let segments = files(wal).filter_map(|(name, bytes)| Some((name.parse().ok()?, bytes)));
    segments.max()
}
