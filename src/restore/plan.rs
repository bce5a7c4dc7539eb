//! Which blocks a restore brings back. Nothing here reads or writes.
//!
//! Which blocks are needed is decided by the level-1 blocks that went into them (their [`atoms`]), not by their
//! range of time: an out-of-order block overlaps its neighbour in time and yet holds something else.

use std::collections::{BTreeMap, BTreeSet};

use super::exact::Exact;
use crate::block::Meta;
use crate::error::{Error, Result};
use crate::model::Ulid;
use crate::repository::lineage::{TimeRange, atoms, gaps, is_damaged};
use crate::repository::{Archive, Gap, StoredBlock, StoredWal};

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

/// What a restore brings back.
#[derive(Clone, Debug, Default)]
pub struct Plan<'a> {
    /// Blocks, by their time.
    pub blocks: Vec<&'a StoredBlock>,
    /// WAL and WBL.
    pub wal: Option<&'a StoredWal>,
    /// Blocks of the archive that are not brought back, because the target holds what is in them.
    pub already_there: Vec<Ulid>,
    /// Whether the logs are not brought back, because the target has them.
    pub has_wal: bool,
    /// Spans of the wanted time that no block covers.
    pub gaps: Vec<Gap>,
    /// What blocks are cut down to; without it they come back whole.
    pub exact: Option<Exact>,
}

impl<'a> Plan<'a> {
    /// Blocks that were damaged when they were archived, and that nothing sound can replace.
    pub fn damaged(&self) -> impl Iterator<Item = &'a StoredBlock> {
        self.blocks
            .iter()
            .copied()
            .filter(|block| is_damaged(block))
    }

    /// Whether `block` is cut, and does not come back as it was.
    pub fn cuts(&self, block: &StoredBlock) -> bool {
        self.exact.as_ref().is_some_and(|exact| exact.cuts(block))
    }

    /// Size of everything that is brought back, in bytes; of a block that is cut, before.
    pub fn bytes(&self) -> u64 {
        let blocks = self.blocks.iter().map(|block| block.bytes());
        let wal = self.wal.map(StoredWal::bytes);
        blocks.chain(wal).fold(0, u64::saturating_add)
    }
}

/// What a target holds already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// Blocks.
    pub blocks: Vec<Kin>,
    /// Names of log directories: `wal`, `wbl`.
    pub logs: Vec<String>,
}

/// Plans a restore of `wanted` from `archive` into a target that holds `present`. `chain` is every archive of
/// the same source, oldest first.
///
/// # Errors
///
/// When nothing of what is wanted exists, when the archive lists a block twice, or when the target has some of the
/// archive's logs and not the others.
pub fn plan<'a>(
    wanted: &Wanted,
    archive: &'a Archive,
    chain: &'a [Archive],
    with_wal: bool,
    present: &Present,
) -> Result<Plan<'a>> {
    let (candidates, range): (Vec<_>, _) = match wanted {
        Wanted::Archive => (archive.blocks.iter().collect(), TimeRange::ALL),
        Wanted::Range(range) => {
            let all = chain.iter().flat_map(|archive| &archive.blocks);
            (choose(all, &[], *range), *range)
        }
        Wanted::Blocks(ulids) => (pick(archive, ulids)?, TimeRange::ALL),
    };
    let distinct: BTreeSet<Ulid> = candidates.iter().map(|block| block.ulid).collect();
    if distinct.len() < candidates.len() {
        let id = archive.id.short();
        return Err(Error::corrupt(format!("archive {id} lists a block twice")));
    }
    let blocks = match present.blocks.as_slice() {
        [] => candidates.clone(),
        present => choose(candidates.iter().copied(), present, TimeRange::ALL),
    };
    let wal = archive.wal.as_ref().filter(|_| with_wal);
    let has_wal = has_logs(wal, &present.logs)?;
    if candidates.is_empty() && wal.is_none() {
        return Err(Error::not_found(match wanted {
            Wanted::Range(_) => "no archive holds anything of this time",
            Wanted::Archive | Wanted::Blocks(_) => "the archive holds nothing of this",
        }));
    }
    let taken: BTreeSet<Ulid> = blocks.iter().map(|block| block.ulid).collect();
    Ok(Plan {
        already_there: distinct.difference(&taken).copied().collect(),
        gaps: match wanted {
            Wanted::Blocks(_) => Vec::new(),
            Wanted::Archive | Wanted::Range(_) => gaps(candidates, range),
        },
        blocks,
        wal: wal.filter(|_| !has_wal),
        has_wal,
        exact: None,
    })
}

/// Whether the logs of `wal` are present, all of them.
fn has_logs(wal: Option<&StoredWal>, present: &[String]) -> Result<bool> {
    let files = wal.into_iter().flat_map(|wal| &wal.files);
    let logs: BTreeSet<_> = files
        .filter_map(|file| file.name.as_str().split('/').next())
        .collect();
    let (there, missing): (Vec<_>, Vec<_>) = logs
        .into_iter()
        .partition(|log| present.iter().any(|name| name == log));
    match (there.first(), missing.first()) {
        (Some(there), Some(missing)) => Err(Error::refused(format!(
            "expected both logs in the target or neither, found {there} without {missing}"
        ))),
        (there, _) => Ok(there.is_some()),
    }
}

fn pick<'a>(archive: &'a Archive, ulids: &BTreeSet<Ulid>) -> Result<Vec<&'a StoredBlock>> {
    let find = |ulid: &Ulid| {
        let found = archive.blocks.iter().find(|block| block.ulid == *ulid);
        found.ok_or_else(|| {
            Error::not_found(format!(
                "archive {} has no block {ulid}",
                archive.id.short()
            ))
        })
    };
    ulids.iter().map(find).collect()
}

/// What decides whether blocks may stand beside each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kin {
    /// The block.
    pub ulid: Ulid,
    /// The level-1 blocks whose samples it holds.
    pub atoms: BTreeSet<Ulid>,
    /// The blocks it was compacted from, which Prometheus deletes when it loads this one.
    pub parents: Vec<Ulid>,
}

impl From<&StoredBlock> for Kin {
    fn from(block: &StoredBlock) -> Self {
        Kin {
            ulid: block.ulid,
            atoms: atoms(block),
            parents: block.parents.clone(),
        }
    }
}

impl Kin {
    /// A block on disk; `meta` is what its `meta.json` says, if anything.
    pub fn on_disk(ulid: Ulid, meta: Option<&Meta>) -> Self {
        let compaction = meta.map(|meta| &meta.compaction);
        let mut atoms: BTreeSet<Ulid> = BTreeSet::new();
        atoms.extend(compaction.iter().flat_map(|compaction| &compaction.sources));
        if atoms.is_empty() {
            atoms.insert(ulid);
        }
        let parents = compaction.iter().flat_map(|compaction| &compaction.parents);
        Kin {
            ulid,
            atoms,
            parents: parents.map(|parent| parent.ulid).collect(),
        }
    }
}

/// Chooses from `candidates` the fewest blocks that hold everything they all hold of `range`, given that the
/// blocks of `present` are in the target already.
///
/// The most compacted block wins over those it was made from; a block and one of its parents are never both
/// chosen, because Prometheus would delete the parent. A damaged block is passed over where sound ones hold all
/// of its samples, be they of `range` or not. The order of the candidates does not matter, except that of several
/// blocks of one ULID the last sound one counts, or else the last. The result is sorted by time.
///
/// Blocks of one server form a tree, in which the result is the best possible. Where two candidates hold some
/// samples in common and neither holds all of the other's (blocks of a server that was restored and has since
/// compacted anew), both are chosen rather than losing samples; Prometheus merges them.
pub fn choose<'a>(
    candidates: impl IntoIterator<Item = &'a StoredBlock>,
    present: &[Kin],
    range: TimeRange,
) -> Vec<&'a StoredBlock> {
    let mut distinct: BTreeMap<Ulid, &StoredBlock> = BTreeMap::new();
    for block in candidates {
        let known = distinct.entry(block.ulid).or_insert(block);
        if is_damaged(known) || !is_damaged(block) {
            *known = block;
        }
    }
    let mut candidates = without_replaceable(distinct.into_values().collect());
    candidates.retain(|block| range.touches(block));
    candidates.sort_by_cached_key(|block| {
        let compacted = (atoms(block).len(), block.level, block.ulid);
        std::cmp::Reverse(compacted)
    });
    let mut selection = Selection::default();
    for block in present {
        selection.insert(block.clone());
    }
    let mut chosen = candidates;
    chosen.retain(|block| selection.add(Kin::from(*block)));
    chosen.sort_by_key(|block| (block.min_time, block.max_time, block.ulid));
    chosen
}

/// Drops damaged blocks whose samples the sound ones hold as well.
fn without_replaceable(candidates: Vec<&StoredBlock>) -> Vec<&StoredBlock> {
    let (sound, damaged): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|block| !is_damaged(block));
    let held: BTreeSet<Ulid> = sound.iter().copied().flat_map(atoms).collect();
    let needed = damaged
        .into_iter()
        .filter(|block| !atoms(block).is_subset(&held));
    let mut kept: Vec<_> = needed.collect();
    kept.extend(sound);
    kept
}

/// What has been chosen so far.
#[derive(Default)]
struct Selection {
    blocks: BTreeSet<Ulid>,
    /// Blocks that Prometheus deletes because a chosen one names them as parents.
    superseded: BTreeSet<Ulid>,
    atoms: BTreeSet<Ulid>,
}

impl Selection {
    /// Takes `block` if it brings something new and may stand beside what was taken before.
    fn add(&mut self, block: Kin) -> bool {
        let useful = !block.atoms.is_subset(&self.atoms);
        let allowed = !self.blocks.contains(&block.ulid)
            && !self.superseded.contains(&block.ulid)
            && !block
                .parents
                .iter()
                .any(|parent| self.blocks.contains(parent));
        if useful && allowed {
            self.insert(block);
        }
        useful && allowed
    }

    fn insert(&mut self, block: Kin) {
        self.blocks.insert(block.ulid);
        self.superseded.extend(block.parents);
        self.atoms.extend(block.atoms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Millis;
    use crate::repository::Fingerprint;
    use crate::repository::lineage::tests::{block, ulid};
    use proptest::prelude::*;

    fn damaged(mut block: StoredBlock) -> StoredBlock {
        block.findings.by_severity.insert("error".into(), 1);
        block
    }

    fn chosen(blocks: &[StoredBlock], present: &[StoredBlock], range: TimeRange) -> Vec<Ulid> {
        let present: Vec<_> = present.iter().map(Kin::from).collect();
        let chosen = choose(blocks, &present, range);
        chosen.into_iter().map(|block| block.ulid).collect()
    }

    fn range(since: Millis, until: Millis) -> TimeRange {
        TimeRange { since, until }
    }

    /// Three blocks, and what they were compacted into.
    fn chain() -> Vec<StoredBlock> {
        vec![
            block(1, (0, 2), 1, &[1], &[]),
            block(2, (2, 4), 1, &[2], &[]),
            block(3, (4, 6), 1, &[3], &[]),
            block(4, (0, 6), 2, &[1, 2, 3], &[1, 2, 3]),
            block(5, (6, 8), 1, &[5], &[]),
        ]
    }

    #[test]
    fn the_child_wins_over_its_parents_and_other_time_is_kept() {
        assert_eq!(chosen(&chain(), &[], TimeRange::ALL), [ulid(4), ulid(5)]);
        assert_eq!(chosen(&chain(), &[], range(4, 5)), [ulid(4)]);
        assert_eq!(chosen(&chain(), &[], range(6, 7)), [ulid(5)], "half-open");
        assert!(chosen(&chain(), &[], range(8, 9)).is_empty());
    }

    #[test]
    fn an_out_of_order_block_is_needed_beside_the_one_it_overlaps() {
        let blocks = [
            block(1, (0, 2), 1, &[1], &[]),
            block(2, (0, 2), 1, &[2], &[0]),
        ];
        assert_eq!(chosen(&blocks, &[], TimeRange::ALL), [ulid(1), ulid(2)]);
    }

    #[test]
    fn a_rewritten_block_replaces_the_one_with_the_same_samples() {
        let blocks = [
            block(1, (0, 2), 1, &[1], &[]),
            block(9, (0, 2), 1, &[1], &[1]),
        ];
        assert_eq!(chosen(&blocks, &[], TimeRange::ALL), [ulid(9)]);
    }

    #[test]
    fn sound_parents_stand_in_for_a_damaged_child_only_if_they_hold_all_of_it() {
        let mut blocks = chain();
        blocks[3] = damaged(blocks[3].clone());
        let parents = [ulid(1), ulid(2), ulid(3), ulid(5)];
        assert_eq!(chosen(&blocks, &[], TimeRange::ALL), parents);
        blocks.remove(1);
        assert_eq!(chosen(&blocks, &[], TimeRange::ALL), [ulid(4), ulid(5)]);
    }

    #[test]
    fn sound_parents_of_the_wanted_time_stand_in_for_a_damaged_child_of_a_longer_one() {
        let mut blocks = chain();
        blocks[3] = damaged(blocks[3].clone());
        assert_eq!(chosen(&blocks, &[], range(4, 5)), [ulid(3)]);
        assert_eq!(chosen(&blocks, &[], range(1, 3)), [ulid(1), ulid(2)]);
    }

    #[test]
    fn of_several_words_on_a_block_the_last_sound_one_counts() {
        let named = |name: &str, mut block: StoredBlock| {
            block.fingerprint = Fingerprint::of(name.as_bytes());
            block
        };
        let sound = |name| named(name, block(1, (0, 2), 1, &[1], &[]));
        let broken = |name| damaged(sound(name));
        for (words, best) in [
            (vec![sound("a"), sound("b")], "b"),
            (vec![sound("a"), broken("b")], "a"),
            (vec![broken("a"), sound("b"), broken("c")], "b"),
            (vec![broken("a"), broken("b")], "b"),
        ] {
            let chosen = choose(&words, &[], TimeRange::ALL);
            assert_eq!(chosen, [&named(best, chosen[0].clone())]);
        }
    }

    #[test]
    fn what_is_present_in_any_shape_is_not_chosen_again() {
        let all = chain();
        assert_eq!(chosen(&all, &all[3..4], TimeRange::ALL), [ulid(5)]);
        let with_parent = chosen(&all, &all[0..1], TimeRange::ALL);
        assert_eq!(
            with_parent,
            [ulid(2), ulid(3), ulid(5)],
            "the child would delete a present parent"
        );
    }

    /// Everything that ever existed on a server that cut `leaves` blocks and then merged neighbours as `merges`
    /// says: (position, how many), each a compaction or, for one block, a rewrite.
    fn history(leaves: u64, merges: &[(usize, usize)]) -> Vec<StoredBlock> {
        let mut all: Vec<_> = (1..=leaves)
            .map(|n| block(n, (2 * n as i64, 2 * n as i64 + 2), 1, &[n], &[]))
            .collect();
        let mut live = all.clone();
        for (at, count) in merges {
            let at = at % live.len();
            let end = (at + count).min(live.len());
            let parents: Vec<_> = live.drain(at..end).collect();
            let mut child = parents[0].clone();
            child.ulid = ulid(all.len() as u64 + 1);
            child.max_time = parents.last().unwrap().max_time;
            child.level = parents.iter().map(|b| b.level).max().unwrap() + 1;
            child.sources = parents.iter().flat_map(|b| b.sources.clone()).collect();
            child.parents = parents.iter().map(|b| b.ulid).collect();
            all.push(child.clone());
            live.insert(at, child);
        }
        all
    }

    /// How good a selection is: samples held, then few blocks, then high levels. `None` when two of its blocks
    /// may not stand beside each other.
    fn score(selection: &[&StoredBlock]) -> Option<(usize, std::cmp::Reverse<usize>, u64)> {
        let atoms: Vec<_> = selection.iter().flat_map(|block| atoms(block)).collect();
        let distinct: BTreeSet<_> = atoms.iter().collect();
        let kin = |a: &&StoredBlock| selection.iter().any(|b| a.parents.contains(&b.ulid));
        if distinct.len() < atoms.len() || selection.iter().any(kin) {
            return None;
        }
        let levels = selection.iter().map(|block| block.level).sum();
        Some((atoms.len(), std::cmp::Reverse(selection.len()), levels))
    }

    proptest! {
        #[test]
        fn no_selection_of_a_servers_blocks_is_better_than_the_chosen_one(
            merges in prop::collection::vec((0usize..8, 1usize..4), 0..5),
            archived in prop::collection::vec(any::<bool>(), 12),
            since in 0i64..16,
            length in 1i64..16,
        ) {
            let all = history(6, &merges);
            let archived: Vec<_> = all
                .into_iter()
                .zip(archived)
                .filter_map(|(block, archived)| archived.then_some(block))
                .collect();
            let range = range(since, since + length);
            let chosen = choose(&archived, &[], range);
            let touching: Vec<_> = archived.iter().filter(|block| range.touches(block)).collect();
            let best = (0u32..1 << touching.len())
                .filter_map(|set| {
                    let members = touching.iter().enumerate();
                    let members = members.filter(|(i, _)| set >> i & 1 == 1);
                    score(&members.map(|(_, block)| *block).collect::<Vec<_>>())
                })
                .max();
            prop_assert_eq!(score(&chosen), best);
            let mut shuffled = archived.clone();
            shuffled.reverse();
            prop_assert_eq!(choose(&shuffled, &[], range), chosen);
        }
    }
}
