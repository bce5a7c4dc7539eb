//! What older archives of a source hold and the source no longer has, although nothing that a
//! Prometheus does explains it.
//!
//! Retention takes the oldest blocks first. A compaction leaves a child that names its parents, and
//! so does `clean_tombstones`; where a block was rewritten more than once since the last backup,
//! what was in between is in no archive, but the child says which time it covered. Of a block in
//! which everything was deleted nothing is left: all that speaks for it is that others beside it
//! lost samples by deletion, too. A head that was cut is in blocks that are new. A log is cut, and
//! something of it always stays.
//!
//! Nothing here writes, and only [`deletions`] reads. What is known of before and of now stands
//! here, and `judge`, which is asked here, goes by it: so the two files name each other.

mod deletions;
mod judge;
mod log;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::survey::BlockSurvey;
use super::{BackupProblem, ProblemKind};
use crate::block::Parent;
use crate::model::{Kin, Millis, Stream, Ulid};
use crate::raw::ReadMode;
use crate::repository::lineage::{is_damaged, kin};
use crate::repository::{Archive, Digest, Fingerprint, LeftOut, LeftOutKind, StoredBlock};
use crate::store::Store;
use crate::units::second_text;
use crate::verify::Kind;
use deletions::{deletions, has_deletions_everywhere, series_in};
use judge::Judge;
pub(super) use log::{GoneLog, gone_late_log, gone_log, last_log, log_of};

/// How many blocks a sentence names.
const MOST_NAMED: usize = 3;

/// A block that the source holds now.
#[derive(Clone, Debug)]
pub(super) struct Present {
    kin: Kin,
    fingerprint: Fingerprint,
    /// What it was made of, as its `meta.json` says; empty where only a manifest is known.
    parents: Vec<Parent>,
    /// Whether Prometheus would still serve it, and delete it when it is too old.
    is_served: bool,
    bytes: u64,
    dir: PathBuf,
    /// Size and digest of its file of deletions, if there are any.
    deletions: Option<(u64, Digest)>,
}

impl Present {
    /// A block that is archived, and lies at `dir`.
    pub(super) fn captured(stored: &StoredBlock, parents: &[Parent], dir: &Path) -> Self {
        Present {
            kin: kin(stored),
            fingerprint: stored.fingerprint.clone(),
            parents: parents.to_vec(),
            is_served: is_served(stored, dir),
            bytes: stored.bytes(),
            dir: dir.to_owned(),
            deletions: deletions(&stored.files),
        }
    }

    /// A block that was looked at.
    pub(super) fn surveyed(block: &BlockSurvey) -> Self {
        let (ulid, name) = (block.ulid(), block.ulid().to_string());
        let meta = block.meta.as_ref();
        let is_plain = !block.found.is_link && meta.is_some_and(|meta| meta.ulid == ulid);
        let untold = || Kin::new(ulid, &[], Vec::new(), Stream::default());
        let parents = meta.map(|meta| meta.compaction.parents.clone());
        Present {
            kin: meta.map_or_else(untold, |meta| meta.kin(ulid)),
            fingerprint: block.fingerprint.clone(),
            parents: parents.unwrap_or_default(),
            is_served: is_plain && block.found.dir.file_name().is_some_and(|dir| *dir == *name),
            bytes: block.bytes,
            dir: block.found.dir.clone(),
            deletions: deletions(&block.mutable),
        }
    }

    fn ulid(&self) -> Ulid {
        self.kin.ulid
    }

    /// The blocks it was made of. The all-zero ULID of out-of-order blocks is none.
    fn parents(&self) -> impl Iterator<Item = Ulid> {
        let parents = self.kin.parents.iter().copied();
        parents.filter(|parent| *parent != Ulid::ZERO && *parent != self.ulid())
    }

    /// The blocks it was made of, with the time that each covered: all of its own, where it does
    /// not say.
    fn made_of(&self) -> impl Iterator<Item = (Ulid, (Millis, Millis))> {
        self.parents().map(|parent| {
            let mut told = self.parents.iter().filter(|told| told.ulid == parent);
            let range = told.next().map(|told| (told.min_time, told.max_time));
            (parent, range.unwrap_or(self.kin.range))
        })
    }
}

/// Whether Prometheus deletes the block when it is too old: not if it does not load it, looks for
/// it under another name, or it is gone.
fn is_served(block: &StoredBlock, dir: &Path) -> bool {
    let kept = [Kind::MetaUlid, Kind::BlockMisspelled, Kind::BlockSymlink];
    let name = block.ulid.to_string();
    let is_plain = dir.symlink_metadata().is_ok_and(|found| found.is_dir());
    let mut kinds = kept.iter().map(|kind| kind.id());
    is_plain
        && dir.file_name().is_some_and(|found| *found == *name)
        && !is_damaged(block)
        && !kinds.any(|kind| block.findings.by_kind.contains_key(kind))
}

/// What a source holds now.
#[derive(Debug)]
pub(super) struct Now<'n> {
    pub(super) dir: &'n Path,
    /// Whether it is a Prometheus snapshot, whose newest block is the head.
    pub(super) is_snapshot: bool,
    pub(super) blocks: Vec<Present>,
    /// What is not archived, with the reason, and what should be.
    pub(super) left_out: [&'n BTreeMap<String, String>; 2],
    pub(super) log: Log,
}

/// What is known of the log that a source has now. Without one, nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Log {
    /// The time of its first sample.
    begin: Option<Millis>,
    /// How many deletions it holds.
    deletions: u64,
    /// Whether it is the one that the newest archive of this directory holds, and not one that was
    /// begun anew.
    goes_on: bool,
}

impl Now<'_> {
    /// Whether something else is said of a block: that it is left out for a reason, or was just
    /// being deleted.
    fn accounts_for(&self, ulid: Ulid) -> bool {
        let name = ulid.to_string();
        let [left_out, missed] = self.left_out;
        let is_known = |reason: &String| {
            let (name, reason) = (name.clone(), reason.clone());
            // A file of a block's name is not the block.
            LeftOut { name, reason }.kind() != LeftOutKind::Foreign
        };
        let being_deleted = format!("{name}.tmp-for-deletion");
        missed.contains_key(&name)
            || left_out.get(&name).is_some_and(is_known)
            || left_out.contains_key(&being_deleted)
    }

    /// Whether something else is said of the log in the directory `log`: that it is left out, or
    /// cannot be read.
    fn names_a_log(&self, log: &str) -> bool {
        let mut names = self.left_out.into_iter().flat_map(BTreeMap::keys);
        let mut missed = self.left_out[1].keys();
        names.any(|name| name == log) || missed.any(|name| name.split('/').next() == Some(log))
    }
}

/// What archives say.
pub(super) struct Before<'b, 'a> {
    /// The newest archive of the source.
    pub(super) newest: &'a Archive,
    /// The newest archive that holds a block, and what that says of it.
    pub(super) holding: &'b dyn Fn(Ulid) -> Option<(&'a Archive, &'a StoredBlock)>,
    /// The same, of those that hold it undamaged.
    pub(super) sound: &'b dyn Fn(Ulid) -> Option<(&'a Archive, &'a StoredBlock)>,
    /// Whether an archive of the source has told that a block is gone, or that everything in it
    /// was deleted.
    pub(super) told: &'b dyn Fn(Ulid) -> bool,
    /// Where what they describe is.
    pub(super) store: &'b dyn Store,
    /// How blocks that are here are read.
    pub(super) read_mode: ReadMode,
}

/// A block that is gone, and neither compaction nor retention tells why.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone<'a> {
    /// An archive that holds it, and what that says of it.
    pub(super) archive: &'a Archive,
    pub(super) block: &'a StoredBlock,
    /// Whether all its series had deletions, or what lies beside it lost all by deletion where it
    /// touches it: so it may have been emptied.
    pub(super) is_deleted: bool,
}

impl Gone<'_> {
    /// What an archive without the block says of it.
    pub(super) fn left_out(&self) -> LeftOut {
        let name = self.block.ulid.to_string();
        if self.is_deleted {
            LeftOut::emptied(name, self.archive)
        } else {
            LeftOut::gone(name, self.archive)
        }
    }
}

/// Blocks that are gone: of the newest archive of the source, and of those that it missed. What it
/// said is gone is not said again: it does not hold them.
pub(super) fn gone_blocks<'a>(before: &Before<'_, 'a>, now: &Now<'_>) -> Vec<Gone<'a>> {
    let mut gone = Vec::new();
    unexplained(before, now, |judge, archive, block| {
        gone.push(Gone {
            archive,
            block,
            is_deleted: judge.is_beside_deletions(block)
                || has_deletions_everywhere(before.store, block),
        });
    });
    gone
}

/// As [`gone_blocks`], and nothing is read.
pub(super) fn gone_ulids(before: &Before<'_, '_>, now: &Now<'_>) -> BTreeSet<Ulid> {
    let mut gone = BTreeSet::new();
    unexplained(before, now, |_, _, block| {
        gone.insert(block.ulid);
    });
    gone
}

/// Passes on every block that neither compaction nor retention explains.
fn unexplained<'a>(
    before: &Before<'_, 'a>,
    now: &Now<'_>,
    mut found: impl FnMut(&Judge<'_, 'a>, &'a Archive, &'a StoredBlock),
) {
    let newest = before.newest;
    let missed = newest.left_out.iter();
    let missed = missed.filter(|left| left.is_missed() && left.kind() != LeftOutKind::Gone);
    let missed = missed.filter_map(|left| left.name.parse().ok());
    let missed = missed.filter_map(|ulid| (before.holding)(ulid));
    // What is damaged there is missed where an older archive holds it undamaged.
    let known = newest.blocks.iter().map(|block| {
        let sound = is_damaged(block).then(|| (before.sound)(block.ulid));
        sound.flatten().unwrap_or((newest, block))
    });
    let candidates = missed.chain(known).filter(|(_, block)| !is_damaged(block));
    let mut candidates: BTreeMap<Ulid, (&Archive, &StoredBlock)> =
        candidates.map(|known| (known.1.ulid, known)).collect();
    for block in &now.blocks {
        candidates.remove(&block.ulid());
    }
    candidates.retain(|ulid, _| !now.accounts_for(*ulid));
    if newest.is_reconstructed() {
        // It may hold what was gone long before.
        candidates.retain(|ulid, _| !(before.told)(*ulid));
    }
    if candidates.is_empty() {
        return;
    }
    let judge = Judge::new(before, now);
    let are_all_lost = judge.are_all_lost();
    for (archive, block) in candidates.into_values() {
        if !judge.is_explained(block) && (are_all_lost || judge.is_due(block)) {
            found(&judge, archive, block);
        }
    }
}

/// What is to be said of blocks that are gone: once for each archive that holds some.
pub(super) fn problems(gone: &[Gone<'_>]) -> Vec<BackupProblem> {
    let mut by_archive: BTreeMap<(Millis, &str), Vec<&Gone<'_>>> = BTreeMap::new();
    for one in gone {
        let archive = (one.archive.time, one.archive.id.short());
        by_archive.entry(archive).or_default().push(one);
    }
    let problem = |((_, id), mut gone): ((Millis, &str), Vec<&Gone<'_>>)| {
        gone.sort_by_key(|one| (one.block.min_time, one.block.ulid));
        let named = gone.iter().take(MOST_NAMED).map(|one| {
            let (since, until) = (
                second_text(one.block.min_time),
                second_text(one.block.max_time),
            );
            format!("{} ({since} to {until})", one.block.ulid)
        });
        let named = named.collect::<Vec<_>>().join(", ");
        let (what, is, it) = match gone.len() {
            1 => (format!("block {named}"), "is", "it"),
            count if count <= MOST_NAMED => (format!("blocks {named}"), "are", "them"),
            count => {
                let more = count - MOST_NAMED;
                (format!("blocks {named} and {more} more"), "are", "them")
            }
        };
        let ulids: Vec<_> = gone.iter().map(|one| one.block.ulid.to_string()).collect();
        let detail = format!(
            "{what} of archive {id} {is} gone: nothing here was made of {it}, and retention would have taken older ones first. Deleted by you \
             with all samples, or lost? Said this once; narthex export ULID --archive {id} still gives {it}"
        );
        ProblemKind::BlockGone.at(ulids.join(", "), detail)
    };
    by_archive.into_iter().map(problem).collect()
}

#[cfg(test)]
mod tests;
