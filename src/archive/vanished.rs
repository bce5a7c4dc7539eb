//! What older archives of a source hold and the source no longer has, although nothing that a Prometheus does explains it. Nothing here
//! reads or writes.
//!
//! Retention takes the oldest blocks; a compaction leaves a child, and so does cleaning tombstones; a head that was cut is in
//! blocks that are new. A log is cut, and something of it always stays.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::plan::succession;
use crate::model::{Held, Kin, Ulid, inherit_atoms};
use crate::repository::lineage::{TimeRange, is_damaged, kin, runs};
use crate::repository::{Archive, LeftOut, StoredBlock, StoredWal};
use crate::verify::Kind;

/// What a source holds now.
pub(super) struct Now<'a> {
    /// Its directory.
    pub(super) dir: &'a Path,
    /// Blocks that are archived, each with whether Prometheus would still serve it from that directory.
    pub(super) blocks: Vec<(&'a StoredBlock, bool)>,
    /// What is not archived, with the reason, and what should be.
    pub(super) left_out: [&'a BTreeMap<String, String>; 2],
    pub(super) wal: Option<&'a StoredWal>,
}

/// Blocks that are gone: those of `newest`, the newest archive of the source, and those that it missed. `holding` gives the newest archive that
/// holds a block.
pub(super) fn gone_blocks<'a>(
    newest: &Archive,
    now: &Now<'_>,
    holding: impl Fn(Ulid) -> Option<(&'a Archive, &'a StoredBlock)>,
) -> Vec<LeftOut> {
    let before: BTreeSet<Ulid> = newest.blocks.iter().map(|block| block.ulid).collect();
    let missed = newest.left_out.iter().filter(|left| left.is_missed());
    let missed = missed.filter_map(|left| left.name.parse().ok());
    let mut candidates: BTreeSet<Ulid> = before.iter().copied().chain(missed).collect();
    for (block, _) in &now.blocks {
        candidates.remove(&block.ulid);
    }
    candidates.retain(|ulid| !now.accounts_for(*ulid));
    if newest.wal.is_none() {
        // The newest block of a snapshot is its head, which every snapshot writes anew.
        let end = newest.blocks.iter().map(|block| block.max_time).max();
        let last = newest.blocks.iter();
        for head in last.filter(|block| Some(block.max_time) == end && !now.blocks.is_empty()) {
            candidates.remove(&head.ulid);
        }
    }
    if candidates.is_empty() {
        return Vec::new();
    }
    let blocks = || now.blocks.iter().map(|(block, _)| *block);
    let succession = succession(blocks());
    let mut kins: Vec<Kin> = blocks().filter(|b| !is_damaged(b)).map(kin).collect();
    inherit_atoms(&mut kins);
    let held = Held::by(&kins);
    let made_since: Vec<_> = blocks().filter(|b| !before.contains(&b.ulid)).collect();
    let runs = runs(blocks());
    let is_explained = |block: &StoredBlock| {
        let kin = kin(block);
        let range = TimeRange {
            since: block.min_time,
            until: block.max_time,
        };
        held.covers(&kin.atoms, &kin.stream)
            || !succession.heirs(block.ulid, Some(&kin)).is_empty()
            || made_since.iter().any(|block| range.touches(block))
                && runs.iter().any(|run| run.leaves_no_gap_in(range))
    };
    // What is older than a block that is kept is not taken by retention.
    let served = now.blocks.iter().filter(|(_, is_served)| *is_served);
    let oldest = served.map(|(block, _)| block.max_time).min();
    let newest_end = blocks().map(|block| block.max_time).max();
    let is_live = now.is_same_place(newest) && newest.wal.is_some() && now.wal.is_some();
    let gone = candidates.into_iter().filter_map(holding);
    gone.filter(|(_, block)| {
        let is_between = oldest.is_some_and(|oldest| oldest < block.max_time)
            // Of the head of a snapshot the WAL may have what no block has yet.
            && (is_live || newest_end.is_some_and(|end| block.max_time <= end));
        now.blocks.is_empty() || is_between && !is_explained(block)
    })
    .map(|(archive, block)| LeftOut::gone(block.ulid.to_string(), archive))
    .collect()
}

/// The WAL, if it is gone: nothing is left of it, or no sample, while the blocks do not reach as far as it did. `holding` gives the newest
/// archive of the source with a WAL.
pub(super) fn gone_log<'a>(
    newest: &Archive,
    now: &Now<'_>,
    holding: impl Fn() -> Option<&'a Archive>,
) -> Option<LeftOut> {
    if !now.is_same_place(newest) || now.names_a_log() {
        return None;
    }
    let bytes = |wal: Option<&StoredWal>| {
        let files = wal.into_iter().flat_map(|wal| &wal.files);
        let of_wal = files.filter(|file| file.name.as_str().starts_with("wal/"));
        of_wal.fold(0, |sum: u64, file| sum.saturating_add(file.bytes))
    };
    let is_missed = |left: &LeftOut| left.name == "wal" && left.is_gone();
    if bytes(newest.wal.as_ref()) == 0 && !newest.left_out.iter().any(is_missed) {
        return None;
    }
    let end = now.blocks.iter().map(|(block, _)| block.max_time).max();
    let has_lost_samples = newest.wal.as_ref().is_some_and(|before| {
        let reached = before.max_time.filter(|_| before.samples > 0);
        let is_empty = now.wal.is_none_or(|wal| wal.max_time.is_none());
        is_empty && reached.is_some_and(|last| end.is_none_or(|end| end <= last))
    });
    if bytes(now.wal) > 0 && !has_lost_samples {
        return None;
    }
    Some(LeftOut::gone("wal".to_owned(), holding()?))
}

impl Now<'_> {
    fn is_same_place(&self, newest: &Archive) -> bool {
        newest.source == self.dir.to_string_lossy()
    }

    /// Whether something else is said of a block: that it is left out for a reason, or was just being deleted.
    fn accounts_for(&self, ulid: Ulid) -> bool {
        let name = ulid.to_string();
        let [left_out, missed] = self.left_out;
        let is_known = |reason: &String| LeftOut {
            name: name.clone(),
            reason: reason.clone(),
        };
        // A file or a dangling link of a block's name is not the block.
        let is_meant = |reason: &String| !is_known(reason).is_foreign();
        let being_deleted = format!("{name}.tmp-for-deletion");
        missed.contains_key(&name)
            || left_out.get(&name).is_some_and(is_meant)
            || left_out.contains_key(&being_deleted)
    }

    fn names_a_log(&self) -> bool {
        let mut names = self.left_out.into_iter().flat_map(BTreeMap::keys);
        names.any(|name| name == "wal")
            || self.left_out[1].keys().any(|name| name.starts_with("wal/"))
    }
}

/// Whether Prometheus deletes the block when it is too old: not if it does not load it, or looks for it under another name.
pub(super) fn is_served(block: &StoredBlock, dir: &Path) -> bool {
    let kept = [Kind::MetaUlid, Kind::BlockMisspelled, Kind::BlockSymlink];
    let name = block.ulid.to_string();
    let is_plain = dir.symlink_metadata().is_ok_and(|found| found.is_dir());
    is_plain
        && dir.file_name().is_some_and(|found| *found == *name)
        && !is_damaged(block)
        && !kept
            .iter()
            .any(|kind| block.findings.by_kind.contains_key(kind.id()))
}
