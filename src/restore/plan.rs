//! Which blocks a restore brings back. Nothing here reads or writes.
//!
//! Where several blocks hold the same samples, [`choose`] says which of them are needed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::choose::{Choice, choose};
use super::exact::Exact;
use super::head::{HeadPlan, in_order_end};
use super::permissions::Permissions;
use super::stand_in::{Cover, Past, StandIn, stand_ins, undeletes};
use crate::error::{Error, Result, did_you_mean};
use crate::model::{Kin, Millis, TimeRange, Ulid};
use crate::raw::ReadMode;
use crate::repository::lineage::{gaps, has_problems, is_better_told, is_damaged, kin, stream};
use crate::repository::{Archive, ArchiveGap, FilePath, StoredBlock, StoredWal};
use crate::select::Selection;

/// What of a repository is wanted back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The archive, exactly as it is.
    Archive,
    /// Every sample of this time that any archive of the same source holds.
    Range(TimeRange),
    /// These blocks of the archive.
    Blocks(BTreeSet<Ulid>),
}

/// What is done about blocks that do not come back as they were.
#[derive(Clone, Debug)]
pub struct Salvage {
    /// What will be read of what comes back: where that is sound, nothing is missing. All of it
    /// comes back nevertheless.
    pub asked: Selection,
    /// Whether what can be read of them is brought back; else it is only said that there is
    /// something.
    pub bring: bool,
    /// How staged files are read.
    pub read_mode: ReadMode,
}

/// What a restore brings back.
#[derive(Clone, Debug, Default)]
pub struct RestorePlan<'a> {
    /// Blocks, by their time.
    pub blocks: Vec<&'a StoredBlock>,
    /// WAL and WBL.
    pub wal: Option<&'a StoredWal>,
    /// The newest hours as a block, in place of the logs: see [`RestorePlan::take_head`].
    pub head: Option<HeadPlan<'a>>,
    /// Blocks of the archive that are not brought back, because the target holds what is in them.
    pub already_there: Vec<Ulid>,
    /// Whether the logs are not brought back, because the target has them.
    pub has_wal: bool,
    /// Spans of the wanted time that no block covers.
    pub gaps: Vec<ArchiveGap>,
    /// Blocks of aggregates that are not brought back, because finer blocks hold their time.
    pub aggregates_left_out: Vec<&'a StoredBlock>,
    /// Blocks of the same sources of which nothing says whether they are parts or copies; all of
    /// them are brought back.
    pub doubtful: Vec<Vec<Ulid>>,
    /// Blocks with samples that no other of these has, and that cannot stand beside what is
    /// brought back or present: Prometheus would delete one of them.
    pub excluded: Vec<&'a StoredBlock>,
    /// What blocks are cut down to; without it they come back whole.
    pub exact: Option<Exact>,
    /// What is done about blocks that do not come back as they were; without it they are named.
    pub salvage: Option<Salvage>,
    /// Whose the restored files are, and who may read them.
    pub permissions: Permissions,
    /// Blocks that were damaged when they were archived, and the sound ones that are brought back
    /// in their place; of a range of time those that would be brought back if they were sound.
    pub replaced: Vec<StandIn>,
    /// The source whose blocks may stand in for what cannot be read; `None` when nothing but the
    /// blocks themselves will do.
    pub kin_of: Option<String>,
    /// What the target holds already.
    pub present: Vec<Kin>,
}

impl<'a> RestorePlan<'a> {
    /// Blocks that were damaged when they were archived, and that nothing sound can replace.
    pub fn damaged(&self) -> impl Iterator<Item = &'a StoredBlock> {
        self.blocks
            .iter()
            .copied()
            .filter(|block| is_damaged(block))
    }

    /// Brings the newest hours of `archive`, of which this is a plan, back as a block and not as
    /// logs, if the logs were to come back.
    pub fn take_head(&mut self, archive: &Archive, read_mode: ReadMode) {
        let Some(wal) = self.wal.take() else {
            return;
        };
        let head = HeadPlan {
            wal,
            since: in_order_end(archive),
            read_mode,
        };
        self.gaps = head.fill(&self.gaps);
        self.head = Some(head);
    }

    /// Blocks of aggregates that are brought back. A Prometheus starts with them, but cannot answer
    /// from them.
    pub fn aggregates(&self) -> impl Iterator<Item = &'a StoredBlock> {
        let blocks = self.blocks.iter().copied();
        blocks.filter(|block| stream(block).is_aggregate())
    }

    /// Whether `block` is cut, and does not come back as it was.
    pub fn cuts(&self, block: &StoredBlock) -> bool {
        self.exact.as_ref().is_some_and(|exact| exact.cuts(block))
    }

    /// Whether what can be read of `block` is brought back if it does not come back as it was.
    pub(super) fn brings(&self, block: &StoredBlock) -> bool {
        self.cuts(block) || self.salvage.as_ref().is_some_and(|salvage| salvage.bring)
    }

    /// Size of everything that is brought back, in bytes; of a block that is cut, before; of the
    /// head, that of its logs.
    pub fn bytes(&self) -> u64 {
        let blocks = self.blocks.iter().map(|block| block.bytes());
        let logs = self.wal.or(self.head.as_ref().map(|head| head.wal));
        let wal = logs.map(StoredWal::bytes);
        blocks.chain(wal).fold(0, u64::saturating_add)
    }
}

impl RestorePlan<'_> {
    /// How many bytes lie in the target at once, at least: of blocks that are cut, only the
    /// largest, which is gone when it has been cut.
    pub fn room(&self) -> u64 {
        let (cut, whole): (Vec<&StoredBlock>, Vec<&StoredBlock>) =
            self.blocks.iter().partition(|block| self.cuts(block));
        let largest = cut.iter().map(|block| block.bytes()).max();
        let whole = whole.iter().map(|block| block.bytes());
        let logs = self.wal.or(self.head.as_ref().map(|head| head.wal));
        let all = whole.chain(logs.map(StoredWal::bytes)).chain(largest);
        all.fold(0, u64::saturating_add)
    }
}

/// What a target holds already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetContent {
    /// Blocks.
    pub blocks: Vec<Kin>,
    /// Names of log directories: `wal`, `wbl`.
    pub logs: Vec<String>,
}

/// Plans a restore of `wanted` from `archive` into a target that holds `present`. `chain` is every
/// archive of the same source, oldest first; without it the archive comes back with what was
/// damaged when it was archived, and with it sound blocks are preferred.
///
/// # Errors
///
/// When nothing of what is wanted exists, when the archive lists a block twice, or when the target
/// has some of the archive's logs and not the others.
pub fn plan<'a>(
    wanted: &Wanted,
    archive: &'a Archive,
    chain: &'a [Archive],
    with_wal: bool,
    present: &TargetContent,
) -> Result<RestorePlan<'a>> {
    let (mut chosen, range) = match wanted {
        Wanted::Archive => (Choice::of_all(&archive.blocks), TimeRange::ALL),
        Wanted::Range(range) => {
            let all = chain.iter().flat_map(|archive| &archive.blocks);
            (choose(all, &[], *range), *range)
        }
        Wanted::Blocks(ulids) => (Choice::of_all(pick(archive, ulids)?), TimeRange::ALL),
    };
    let replaced = match wanted {
        Wanted::Range(_) => replacements(&chosen, chain),
        Wanted::Archive | Wanted::Blocks(_) => {
            let own = chain.iter().position(|other| other.id == archive.id);
            replace_damaged(&mut chosen.blocks, chain, own.unwrap_or(chain.len()))
        }
    };
    let candidates = &chosen.blocks;
    let distinct: BTreeSet<Ulid> = candidates.iter().map(|block| block.ulid).collect();
    if distinct.len() < candidates.len() {
        let id = archive.id.short();
        return Err(Error::corrupt(format!("archive {id} lists a block twice")));
    }
    let mut choice = match present.blocks.as_slice() {
        [] => chosen.clone(),
        // What was asked for by name is not passed over for anything finer.
        present if !matches!(wanted, Wanted::Range(_)) => {
            let mut by_resolution: BTreeMap<_, Vec<&StoredBlock>> = BTreeMap::new();
            for block in candidates {
                let resolution = stream(block).resolution;
                by_resolution.entry(resolution).or_default().push(block);
            }
            let mut choice = Choice::default();
            for (resolution, blocks) in by_resolution {
                let mut alike = present.to_vec();
                alike.retain(|kin| kin.stream.resolution == resolution);
                choice.join(choose(blocks, &alike, TimeRange::ALL));
            }
            choice
        }
        present => choose(candidates.iter().copied(), present, TimeRange::ALL),
    };
    let wal = archive.wal.as_ref().filter(|_| with_wal);
    let has_wal = has_logs(wal, &present.logs)?;
    if candidates.is_empty() && wal.is_none() {
        return Err(Error::not_found(match wanted {
            Wanted::Range(_) => {
                let blocks = || chain.iter().flat_map(|archive| &archive.blocks);
                let begin = blocks().map(|block| block.min_time).min();
                let end = blocks().map(|block| block.max_time).max();
                let log = archive.wal.as_ref().and_then(StoredWal::end);
                let log = log.map_or_else(String::new, |last| {
                    let id = archive.id.short();
                    format!(
                        ", and the log of archive {id} samples until {}",
                        stamp(last)
                    )
                });
                match begin.zip(end) {
                    Some((begin, end)) => format!(
                        "no archive holds anything of this time: their blocks hold {} to {}{log}",
                        stamp(begin),
                        stamp(end)
                    ),
                    None => "no archive holds anything of this time".to_owned(),
                }
            }
            Wanted::Archive | Wanted::Blocks(_) => "the archive holds nothing of this".to_owned(),
        }));
    }
    if !present.blocks.is_empty() {
        // What was said of the repository's blocks among themselves holds beside what is present.
        choice.join(Choice {
            blocks: Vec::new(),
            ..chosen.clone()
        });
    }
    let mut passed_over: BTreeSet<Ulid> = choice.blocks.iter().map(|block| block.ulid).collect();
    let named = choice.aggregates.iter().chain(&choice.excluded);
    passed_over.extend(named.map(|block| block.ulid));
    Ok(RestorePlan {
        already_there: distinct.difference(&passed_over).copied().collect(),
        gaps: match wanted {
            Wanted::Blocks(_) => Vec::new(),
            Wanted::Archive | Wanted::Range(_) => gaps(candidates.iter().copied(), range),
        },
        blocks: choice.blocks,
        aggregates_left_out: choice.aggregates,
        doubtful: choice.doubtful,
        excluded: choice.excluded,
        wal: wal.filter(|_| !has_wal),
        has_wal,
        head: None,
        exact: None,
        salvage: None,
        permissions: Permissions::default(),
        replaced,
        kin_of: match wanted {
            Wanted::Blocks(_) => None,
            Wanted::Archive | Wanted::Range(_) => Some(archive.source_name.clone()),
        },
        present: present.blocks.clone(),
    })
}

/// How often blocks that cannot stand in are taken out before none is taken.
const MOST_ROUNDS: usize = 8;

/// What was chosen in place of blocks that were passed over because they were damaged when they
/// were archived.
fn replacements(chosen: &Choice<'_>, chain: &[Archive]) -> Vec<StandIn> {
    if chosen.damaged.is_empty() {
        return Vec::new();
    }
    let past = Past::of(chain.iter().flat_map(|archive| &archive.blocks));
    let blocks = chosen.blocks.iter().copied();
    let blocks: BTreeMap<Ulid, &StoredBlock> = blocks.map(|block| (block.ulid, block)).collect();
    let mut holders: BTreeMap<Ulid, Vec<&StoredBlock>> = BTreeMap::new();
    for block in blocks.values() {
        for atom in past.kin(block).atoms {
            holders.entry(atom).or_default().push(block);
        }
    }
    let mut replaced = Vec::new();
    for block in &chosen.damaged {
        if let Some(copy) = blocks.get(&block.ulid) {
            let undeleted = undeletes(copy, block);
            replaced.push(StandIn::new(block.ulid, vec![block.ulid], undeleted));
            continue;
        }
        let atoms = past.kin(block).atoms;
        let by = atoms.iter().filter_map(|atom| holders.get(atom)).flatten();
        let by: BTreeMap<Ulid, &StoredBlock> = by.map(|block| (block.ulid, *block)).collect();
        // What was compacted from it would have been chosen in any case.
        let is_larger = |other: &&StoredBlock| past.kin(other).atoms.len() > atoms.len();
        if by.values().any(is_larger) || by.is_empty() {
            continue;
        }
        let undeleted = by.values().any(|other| undeletes(other, block));
        replaced.push(StandIn::new(
            block.ulid,
            by.into_keys().collect(),
            undeleted,
        ));
    }
    replaced
}

/// Takes sound blocks of `chain` in place of those of `blocks` that were damaged when they were
/// archived, or had wrong metadata, where they hold the same: a sound copy of the block itself, or
/// else other blocks. The archive that is restored is the one in the place `own` of the chain.
fn replace_damaged<'a>(
    blocks: &mut Vec<&'a StoredBlock>,
    chain: &'a [Archive],
    own: usize,
) -> Vec<StandIn> {
    if !blocks.iter().any(|block| has_problems(block)) {
        return Vec::new();
    }
    let all = chain.iter().enumerate();
    let all = all.flat_map(|(number, archive)| archive.blocks.iter().map(move |b| (number, b)));
    let sound = all.filter(|(_, block)| !is_damaged(block));
    let mut copies: BTreeMap<Ulid, (usize, &StoredBlock)> = BTreeMap::new();
    for (number, block) in sound {
        let copy = copies.entry(block.ulid).or_insert((number, block));
        if !is_better_told(copy.1, block) {
            *copy = (number, block);
        }
    }
    let mut replaced = Vec::new();
    for block in blocks.iter_mut() {
        let copy = copies.get(&block.ulid);
        let is_better =
            |copy: &&(usize, &StoredBlock)| is_damaged(block) || is_better_told(copy.1, block);
        if let Some((number, copy)) = copy.filter(is_better) {
            // Later on there are only more deletions.
            let undeleted = *number < own && undeletes(copy, block);
            replaced.push(StandIn::new(block.ulid, vec![block.ulid], undeleted));
            *block = copy;
        }
    }
    let (damaged, sound): (Vec<&StoredBlock>, Vec<&StoredBlock>) =
        blocks.iter().copied().partition(|b| is_damaged(b));
    let present: Vec<Kin> = sound.iter().map(|block| kin(block)).collect();
    if damaged.is_empty() {
        return replaced;
    }
    let all = chain.iter().flat_map(|archive| &archive.blocks);
    let past = Past::of(all.chain(blocks.iter().copied()));
    let all = chain.iter().flat_map(|archive| &archive.blocks);
    let mut found = stand_ins(all, &damaged, &BTreeSet::new(), &present, &past);
    // Prometheus would delete what one of them names as a parent. Those that go for a damaged block
    // that stays may have stood in for others, which then stay as well.
    let mut stay: BTreeSet<Ulid> = sound.iter().map(|block| block.ulid).collect();
    let mut covered: Vec<Option<StandIn>> = Vec::new();
    for _ in 0..MOST_ROUNDS {
        let before = found.len();
        found.retain(|found| !found.parents.iter().any(|parent| stay.contains(parent)));
        if before == found.len() && !covered.is_empty() {
            break;
        }
        let cover = Cover::of(&found, &past);
        covered = damaged.iter().map(|block| cover.by(block)).collect();
        let lost = damaged.iter().zip(&covered);
        stay.extend(
            lost.filter(|(_, by)| by.is_none())
                .map(|(block, _)| block.ulid),
        );
    }
    if found
        .iter()
        .any(|found| found.parents.iter().any(|parent| stay.contains(parent)))
    {
        (found, covered) = (Vec::new(), vec![None; damaged.len()]);
    }
    let (mut used, mut gone) = (BTreeSet::new(), BTreeSet::new());
    for (block, by) in damaged.iter().zip(covered) {
        if let Some(stand_in) = by {
            gone.insert(block.ulid);
            used.extend(stand_in.by.iter().copied());
            replaced.push(stand_in);
        }
    }
    blocks.retain(|block| !gone.contains(&block.ulid));
    blocks.extend(found.into_iter().filter(|found| used.contains(&found.ulid)));
    blocks.sort_by_key(|block| (block.min_time, block.max_time, block.ulid));
    replaced
}

/// Whether the logs of `wal` are present, all of them that have files.
fn has_logs(wal: Option<&StoredWal>, present: &[String]) -> Result<bool> {
    let logs = |names: Vec<&FilePath>| -> BTreeSet<String> {
        let logs = names
            .into_iter()
            .filter_map(|name| name.as_str().split('/').next());
        logs.map(str::to_owned).collect()
    };
    let Some(wal) = wal else {
        return Ok(false);
    };
    let with_files = logs(wal.files.iter().map(|file| &file.name).collect());
    let empty = logs(wal.empty_dirs.iter().collect());
    let is_there = |log: &&String| present.contains(log);
    let (there, missing): (Vec<_>, Vec<_>) = with_files.iter().partition(is_there);
    // What is empty here and not there is in the way of the others, and there is nothing else to
    // bring where it is all.
    let in_the_way = empty.difference(&with_files).find(is_there);
    match (there.first().copied().or(in_the_way), missing.first()) {
        (Some(there), Some(missing)) => Err(Error::refused(format!(
            "expected both logs in the target or neither, found {there} without {missing}"
        ))),
        (there, _) => Ok(there.is_some()),
    }
}

/// A point in time, as people read it.
pub(super) fn stamp(time: Millis) -> String {
    Timestamp::from_millisecond(time).map_or_else(|_| time.to_string(), |time| format!("{time:.0}"))
}

/// That `archive` has no block `ulid`, and which one may have been meant.
pub fn no_block(archive: &Archive, ulid: Ulid) -> Error {
    let blocks = archive.blocks.iter();
    let names: Vec<_> = blocks.map(|block| block.ulid.to_string()).collect();
    let typed = ulid.to_string();
    let hint = did_you_mean(&typed, names.iter().map(String::as_str));
    let id = archive.id.short();
    Error::not_found(format!(
        "archive {id} has no block {ulid}{hint}: narthex list --archive {id} lists its blocks"
    ))
}

fn pick<'a>(archive: &'a Archive, ulids: &BTreeSet<Ulid>) -> Result<Vec<&'a StoredBlock>> {
    let blocks = archive.blocks.iter();
    let by_ulid: BTreeMap<Ulid, &StoredBlock> = blocks.map(|block| (block.ulid, block)).collect();
    let find = |ulid: &Ulid| {
        let found = by_ulid.get(ulid).copied();
        found.ok_or_else(|| no_block(archive, *ulid))
    };
    ulids.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::{Digest, ObjectCodec, StoredFile, StoredObject, wal_object};

    #[test]
    fn an_empty_log_is_in_the_way_of_none_that_is_there_and_comes_beside_none() {
        let path = |name: &str| FilePath::new(name).unwrap();
        let log = |files: &[&str], empty_dirs: &[&str]| {
            let file = |name: &&str| StoredFile {
                name: path(name),
                bytes: 0,
                sha256: Digest::of(b""),
                sidecar: false,
                packed: false,
            };
            let object = StoredObject {
                name: wal_object(&crate::repository::ArchiveId::random()).unwrap(),
                codec: ObjectCodec::Portable,
                bytes: 0,
                sha256: Digest::of(b""),
                raw_bytes: 0,
                encrypted: None,
            };
            StoredWal {
                empty_dirs: empty_dirs.iter().map(|name| path(name)).collect(),
                ..StoredWal::of(object, files.iter().map(file).collect())
            }
        };
        let has = |wal: &StoredWal, present: &[&str]| {
            let present: Vec<_> = present.iter().map(|&name| name.to_owned()).collect();
            has_logs(Some(wal), &present).ok()
        };
        let empty = log(&[], &["wal"]);
        assert_eq!(
            (has(&empty, &["wal"]), has(&empty, &[])),
            (Some(true), Some(false))
        );
        let both = log(&["wal/00000000"], &["wbl"]);
        assert_eq!(has(&both, &["wal"]), Some(true));
        assert_eq!(has(&both, &["wbl"]), None);
        assert_eq!(has(&both, &["wal", "wbl"]), Some(true));
        let inner = log(&["wal/00000000"], &["wal/checkpoint.00000001"]);
        assert_eq!(
            (has(&inner, &["wal"]), has(&inner, &[])),
            (Some(true), Some(false))
        );
    }
}
