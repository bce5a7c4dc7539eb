//! Which blocks are needed where several hold the same samples. Nothing here reads or writes.
//!
//! That is decided by what blocks hold ([`crate::model::Kin`]), not by their
//! range of time: an out-of-order block overlaps its neighbour in time and yet holds something
//! else.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Family, Held, Kin, Millis, Stream, TimeRange, Ulid, families, inherit_atoms};
use crate::repository::StoredBlock;
use crate::repository::lineage::{self, Run, is_better_told, is_damaged, kin};

/// What was chosen of several blocks, and what there is to say about the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice<'a> {
    /// The blocks that are needed, by their time.
    pub blocks: Vec<&'a StoredBlock>,
    /// Blocks of aggregates that are passed over, because finer blocks hold their time.
    pub aggregates: Vec<&'a StoredBlock>,
    /// Blocks of the same sources of which nothing says whether they are parts or copies.
    pub doubtful: Vec<Vec<Ulid>>,
    /// Blocks that hold what no chosen one does and that cannot be chosen, because Prometheus
    /// would delete them or a chosen one.
    pub excluded: Vec<&'a StoredBlock>,
    /// Blocks that were passed over because they were damaged when they were archived, as the last
    /// of the candidates have them.
    pub damaged: Vec<&'a StoredBlock>,
}

impl<'a> Choice<'a> {
    /// All of `blocks`.
    pub(super) fn of_all(blocks: impl IntoIterator<Item = &'a StoredBlock>) -> Self {
        Choice {
            blocks: blocks.into_iter().collect(),
            ..Choice::default()
        }
    }

    /// Adds what was chosen of other blocks.
    pub(super) fn join(&mut self, other: Choice<'a>) {
        self.blocks.extend(other.blocks);
        self.aggregates.extend(other.aggregates);
        self.doubtful.extend(other.doubtful);
        self.excluded.extend(other.excluded);
        self.damaged.extend(other.damaged);
        self.sort();
    }

    fn sort(&mut self) {
        let lists = [&mut self.blocks, &mut self.aggregates];
        for blocks in lists
            .into_iter()
            .chain([&mut self.excluded, &mut self.damaged])
        {
            blocks.sort_by_key(|block| (block.min_time, block.max_time, block.ulid));
        }
    }
}

/// Chooses from `candidates` the fewest blocks that hold everything they all hold of `range`, given
/// that the blocks of `present` are in the target already.
///
/// The most compacted block wins over those it was made from; a block and one of its parents are
/// never both chosen, because Prometheus would delete the parent. A damaged block is passed over
/// where sound ones hold all of its samples, be they of `range` or not. Blocks of aggregates are
/// passed over where finer blocks hold their sources, or cover all of their time in `range`. The
/// order of the candidates does not matter, except that of several blocks of one ULID the last
/// sound one counts, whose metadata is not known to be wrong, or else the last. The result is
/// sorted by time.
///
/// Blocks of one server form a tree, in which the result is the best possible. Where two candidates
/// hold some samples in common and neither holds all of the other's (blocks of a server that was
/// restored and has since compacted anew), both are chosen rather than losing samples; Prometheus
/// merges them.
pub fn choose<'a>(
    candidates: impl IntoIterator<Item = &'a StoredBlock>,
    present: &[Kin],
    range: TimeRange,
) -> Choice<'a> {
    let mut distinct: BTreeMap<Ulid, &StoredBlock> = BTreeMap::new();
    let mut damaged: BTreeMap<Ulid, &StoredBlock> = BTreeMap::new();
    for block in candidates {
        let known = distinct.entry(block.ulid).or_insert(block);
        if (is_damaged(known) || !is_damaged(block)) && !is_better_told(known, block) {
            *known = block;
        }
        if is_damaged(block) {
            damaged.insert(block.ulid, block);
        } else {
            damaged.remove(&block.ulid);
        }
    }
    let blocks: Vec<&StoredBlock> = distinct.into_values().collect();
    let mut all: Vec<Kin> = blocks.iter().map(|block| kin(block)).collect();
    all.extend(present.iter().cloned());
    inherit_atoms(&mut all);
    let there = all.split_off(blocks.len());
    let (blocks, kins) = without_replaceable(blocks, all);
    let mut selection = Selection::of_present(&there);
    selection.finer = Held::by(&kins);
    let mut families = families(&kins);
    families.sort_by_cached_key(|family| rank(family, &blocks));
    let mut choice = Choice::default();
    let mut refused = Vec::new();
    for family in &families {
        let members = family.members.iter();
        let members: Vec<(&StoredBlock, &Kin)> = members
            .filter_map(|at| Some((*blocks.get(*at)?, kins.get(*at)?)))
            .filter(|(block, _)| lineage::touches(range, block))
            .collect();
        match selection.add(family, &members, range) {
            Added::Nothing => {}
            Added::Aggregates => choice.aggregates.extend(members.iter().map(|m| m.0)),
            Added::Blocks { taken, not } => {
                if family.doubtful || selection.differs(&members) {
                    let ulids = members.iter().map(|(block, _)| block.ulid);
                    choice.doubtful.push(ulids.collect());
                }
                choice.blocks.extend(taken);
                refused.extend(not);
            }
        }
    }
    // A later one may hold what was refused: the other parents of a child whose parent is present.
    let is_lost = |(_, kin): &(&StoredBlock, &Kin)| !selection.held.covers(&kin.atoms, &kin.stream);
    choice.excluded = refused.into_iter().filter(is_lost).map(|m| m.0).collect();
    for block in &choice.blocks {
        if is_damaged(block) {
            damaged.remove(&block.ulid);
        }
    }
    damaged.retain(|_, block| lineage::touches(range, block));
    choice.damaged = damaged.into_values().collect();
    choice.sort();
    choice
}

/// Which families are taken first: raw ones before aggregates, whole ones before single shards, and
/// of these the most compacted.
fn rank(family: &Family, blocks: &[&StoredBlock]) -> impl Ord + use<> {
    let members = family.members.iter().filter_map(|at| blocks.get(*at));
    let newest = members.map(|block| (block.level, block.ulid)).max();
    let is_part = family.stream.selected || family.stream.shard().is_some();
    (
        family.stream.resolution,
        is_part,
        Reverse((family.atoms.len(), newest)),
    )
}

/// Drops damaged blocks whose samples the sound ones hold as well.
fn without_replaceable(blocks: Vec<&StoredBlock>, kins: Vec<Kin>) -> (Vec<&StoredBlock>, Vec<Kin>) {
    let all = blocks.into_iter().zip(kins);
    let (sound, damaged): (Vec<_>, Vec<_>) = all.partition(|(block, _)| !is_damaged(block));
    let (mut blocks, mut kins): (Vec<_>, Vec<_>) = sound.into_iter().unzip();
    let held = Held::by(&kins);
    let mut twins = Twins::default();
    twins.extend(&kins);
    for (block, kin) in damaged {
        if !held.covers(&kin.atoms, &kin.stream) || twins.all_differ_from(&kin) {
            blocks.push(block);
            kins.push(kin);
        }
    }
    (blocks, kins)
}

/// Blocks by what their metadata says they hold.
#[derive(Default)]
struct Twins(BTreeMap<(BTreeSet<Ulid>, Stream), Vec<Kin>>);

impl Twins {
    fn extend<'k>(&mut self, kins: impl IntoIterator<Item = &'k Kin>) {
        for kin in kins {
            let key = (kin.atoms.clone(), kin.stream.clone());
            self.0.entry(key).or_default().push(kin.clone());
        }
    }

    /// Whether there are blocks of the same atoms and stream as `kin`, and none of them is a copy
    /// of it.
    fn all_differ_from(&self, kin: &Kin) -> bool {
        let twins = self.0.get(&(kin.atoms.clone(), kin.stream.clone()));
        twins.is_some_and(|twins| !twins.iter().any(|twin| kin.is_copy_of(twin)))
    }
}

/// What has been chosen so far.
#[derive(Default)]
struct Selection<'a> {
    blocks: BTreeSet<Ulid>,
    /// Blocks that Prometheus deletes because a chosen one names them as parents.
    superseded: BTreeSet<Ulid>,
    held: Held,
    /// What any candidate holds, of the wanted time or not.
    finer: Held,
    present: Twins,
    /// Chosen blocks by what their family holds.
    raw: BTreeMap<Stream, Vec<&'a StoredBlock>>,
    /// What these cover of the time line, for those who have asked.
    runs: BTreeMap<Stream, Runs>,
}

/// What became of a family.
enum Added<'a, 'k> {
    /// It brings nothing new.
    Nothing,
    /// Nothing that finer blocks do not have.
    Aggregates,
    /// Something new: the blocks that were taken, and those that cannot stand beside others.
    Blocks {
        taken: Vec<&'a StoredBlock>,
        not: Vec<(&'a StoredBlock, &'k Kin)>,
    },
}

impl<'a> Selection<'a> {
    fn of_present(present: &[Kin]) -> Self {
        let mut selection = Selection {
            held: Held::by(present),
            ..Selection::default()
        };
        selection.present.extend(present);
        for kin in present {
            selection.held.add(&kin.atoms, &kin.stream);
            selection.insert(kin);
        }
        selection
    }

    fn insert(&mut self, kin: &Kin) {
        self.blocks.insert(kin.ulid);
        let parents = kin.parents.iter().copied();
        self.superseded
            .extend(parents.filter(|parent| *parent != Ulid::ZERO));
    }

    /// Whether a member may be something else than what is present of the same sources.
    fn differs(&self, members: &[(&StoredBlock, &Kin)]) -> bool {
        let mut members = members.iter();
        members.any(|(_, kin)| self.present.all_differ_from(kin))
    }

    /// Takes the members of `family` that bring something new and may stand beside what was taken
    /// before.
    fn add<'k>(
        &mut self,
        family: &Family,
        members: &[(&'a StoredBlock, &'k Kin)],
        range: TimeRange,
    ) -> Added<'a, 'k> {
        if members.is_empty() {
            return Added::Nothing;
        }
        let is_new = |(block, kin): &&(&StoredBlock, &Kin)| {
            let known = self.held.covers(&kin.atoms, &kin.stream);
            !self.blocks.contains(&block.ulid) && (!known || self.present.all_differ_from(kin))
        };
        let new: Vec<_> = if self.held.covers(&family.atoms, &family.stream) {
            let differs = |(_, kin): &&(&StoredBlock, &Kin)| self.present.all_differ_from(kin);
            let differing = members.iter().filter(is_new).filter(differs);
            differing.copied().collect()
        } else {
            members.iter().filter(is_new).copied().collect()
        };
        if family.stream.is_aggregate()
            && (new.is_empty() || self.is_held_finer(family, &new, range))
        {
            let is_there = |(block, _): &(&StoredBlock, &Kin)| self.blocks.contains(&block.ulid);
            return if members.iter().all(is_there) {
                Added::Nothing
            } else {
                Added::Aggregates
            };
        }
        if new.is_empty() {
            return Added::Nothing;
        }
        let is_allowed = |(block, kin): &(&StoredBlock, &Kin)| {
            let mut parents = kin.parents.iter();
            !self.superseded.contains(&block.ulid)
                && !parents.any(|parent| self.blocks.contains(parent))
        };
        let (taken, not): (Vec<_>, Vec<_>) = new.into_iter().partition(is_allowed);
        if not.is_empty() {
            // All members together, not each its part.
            self.held.add(&family.atoms, &family.stream);
        }
        for (_, kin) in &taken {
            self.held.add(&kin.atoms, &kin.stream);
            self.insert(kin);
        }
        let taken: Vec<&StoredBlock> = taken.into_iter().map(|member| member.0).collect();
        let chosen = self.raw.entry(family.stream.clone()).or_default();
        chosen.extend(taken.iter().copied());
        Added::Blocks { taken, not }
    }

    /// Whether finer blocks hold all sources of a family of aggregates, or those that were chosen
    /// leave no gap in its time.
    fn is_held_finer(
        &mut self,
        family: &Family,
        members: &[(&StoredBlock, &Kin)],
        range: TimeRange,
    ) -> bool {
        let finer = Stream {
            resolution: family.stream.resolution.saturating_sub(1),
            ..family.stream.clone()
        };
        if self.finer.covers(&family.atoms, &finer) {
            return true;
        }
        let times = |time: fn(&StoredBlock) -> Millis| members.iter().map(move |m| time(m.0));
        let (Some(first), Some(last)) = (times(|b| b.min_time).min(), times(|b| b.max_time).max())
        else {
            return true;
        };
        let time = TimeRange {
            since: first.max(range.since),
            until: last.min(range.until),
        };
        self.runs_of(finer).leave_no_gap_in(time)
    }

    /// What time the chosen blocks cover that hold all that `finer` does.
    fn runs_of(&mut self, finer: Stream) -> &Runs {
        let covering = self.raw.iter().filter(|(stream, _)| stream.covers(&finer));
        let covering: Vec<&Vec<&StoredBlock>> = covering.map(|(_, blocks)| blocks).collect();
        let count = covering.iter().map(|blocks| blocks.len()).sum();
        let runs = self.runs.entry(finer).or_default();
        if runs.of != count {
            *runs = Runs {
                of: count,
                runs: lineage::runs(covering.into_iter().flatten().copied()),
            };
        }
        runs
    }
}

/// The time that a number of blocks cover.
#[derive(Default)]
struct Runs {
    /// How many blocks.
    of: usize,
    runs: Vec<Run>,
}

impl Runs {
    fn leave_no_gap_in(&self, time: TimeRange) -> bool {
        let later = self.runs.partition_point(|run| run.begin <= time.since);
        let near = later.saturating_sub(1)..self.runs.len().min(later + 1);
        let mut near = self.runs.get(near).unwrap_or_default().iter();
        near.any(|run| run.leaves_no_gap_in(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Millis;
    use crate::repository::Fingerprint;
    use crate::repository::lineage::atoms;
    use crate::repository::lineage::tests::{block, ulid};
    use proptest::prelude::*;

    fn damaged(mut block: StoredBlock) -> StoredBlock {
        block.findings.by_severity.insert("error".into(), 1);
        block
    }

    fn chosen(blocks: &[StoredBlock], present: &[StoredBlock], range: TimeRange) -> Vec<Ulid> {
        let present: Vec<_> = present.iter().map(kin).collect();
        let chosen = choose(blocks, &present, range);
        chosen.blocks.into_iter().map(|block| block.ulid).collect()
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

    /// `block` at this resolution, with these external labels.
    fn of(mut block: StoredBlock, resolution: Millis, labels: &[(&str, &str)]) -> StoredBlock {
        block.resolution = Some(resolution);
        let labels = labels.iter();
        block.external_labels = labels.map(|(n, v)| ((*n).into(), (*v).into())).collect();
        block
    }

    fn shard(number: u64, of_shards: u64, parents: &[u64]) -> StoredBlock {
        let id = format!("{number}_of_{of_shards}");
        let block = block(10 + number, (0, 4), 2, &[1, 2], parents);
        of(block, 0, &[(crate::model::SHARD_LABEL, &id)])
    }

    fn ulids(blocks: &[&StoredBlock]) -> Vec<Ulid> {
        blocks.iter().map(|block| block.ulid).collect()
    }

    #[test]
    fn raw_blocks_are_chosen_and_their_aggregates_named() {
        let blocks = [
            of(block(3, (0, 4), 2, &[1, 2], &[]), 3_600_000, &[]),
            of(block(2, (0, 4), 2, &[1, 2], &[]), 300_000, &[]),
            of(block(1, (0, 4), 2, &[1, 2], &[]), 0, &[]),
        ];
        let choice = choose(&blocks, &[], TimeRange::ALL);
        assert_eq!(ulids(&choice.blocks), [ulid(1)]);
        assert_eq!(ulids(&choice.aggregates), [ulid(2), ulid(3)]);
        let choice = choose(&blocks[..2], &[], TimeRange::ALL);
        assert_eq!(ulids(&choice.blocks), [ulid(2)], "the finest there is");
        assert_eq!(ulids(&choice.aggregates), [ulid(3)]);
    }

    #[test]
    fn aggregates_are_needed_only_for_time_that_no_finer_block_of_their_labels_covers() {
        let long = |labels| of(block(9, (0, 400), 4, &[1, 2, 3, 4], &[]), 300_000, labels);
        let raw = of(block(4, (200, 400), 2, &[3, 4], &[]), 0, &[("a", "1")]);
        let blocks = [long(&[("a", "1")]), raw.clone()];
        let within = |blocks: &[StoredBlock], since| {
            let choice = choose(blocks, &[], range(since, 400));
            ulids(&choice.blocks)
        };
        assert_eq!(within(&blocks, 200), [ulid(4)]);
        assert_eq!(within(&blocks, 100), [ulid(9), ulid(4)]);
        let other = [long(&[("a", "2")]), raw];
        assert_eq!(within(&other, 200), [ulid(9), ulid(4)], "another tenant");
    }

    #[test]
    fn sound_aggregates_do_not_stand_in_for_a_damaged_raw_block() {
        let blocks = [
            damaged(block(1, (0, 4), 2, &[1, 2], &[])),
            of(block(2, (0, 4), 2, &[1, 2], &[]), 300_000, &[]),
        ];
        assert_eq!(chosen(&blocks, &[], TimeRange::ALL), [ulid(1)]);
    }

    #[test]
    fn all_shards_are_chosen_and_stand_for_what_they_were_split_from() {
        let mut blocks = vec![
            block(1, (0, 2), 1, &[1], &[]),
            block(2, (2, 4), 1, &[2], &[]),
            shard(1, 2, &[1, 2]),
            shard(2, 2, &[1, 2]),
        ];
        assert_eq!(chosen(&blocks, &[], TimeRange::ALL), [ulid(11), ulid(12)]);
        // Prometheus would delete both parents beside one of their shards.
        blocks.pop();
        assert_eq!(chosen(&blocks, &[], TimeRange::ALL), [ulid(1), ulid(2)]);
        blocks.remove(0);
        let choice = choose(&blocks, &[], TimeRange::ALL);
        assert_eq!(ulids(&choice.blocks), [ulid(2)]);
        assert_eq!(ulids(&choice.excluded), [ulid(11)]);
    }

    #[test]
    fn a_shard_that_is_present_is_not_chosen_again() {
        let blocks = [shard(1, 2, &[]), shard(2, 2, &[])];
        let present = &blocks[..1];
        assert_eq!(chosen(&blocks, present, TimeRange::ALL), [ulid(12)]);
    }

    #[test]
    fn blocks_of_the_same_sources_that_differ_are_all_chosen_and_named() {
        let mut blocks = [
            block(8, (0, 4), 2, &[1, 2], &[]),
            block(9, (0, 4), 2, &[1, 2], &[]),
            block(1, (0, 2), 1, &[1], &[]),
        ];
        assert_eq!(chosen(&blocks, &[], TimeRange::ALL), [ulid(9)], "copies");
        blocks[0].series = 3;
        let choice = choose(&blocks, &[], TimeRange::ALL);
        assert_eq!(ulids(&choice.blocks), [ulid(8), ulid(9)]);
        assert_eq!(choice.doubtful, [[ulid(8), ulid(9)]]);
        let broken = [damaged(blocks[0].clone()), blocks[1].clone()];
        assert_eq!(chosen(&broken, &[], TimeRange::ALL), [ulid(8), ulid(9)]);
        let beside = chosen(&blocks[..1], &blocks[1..2], TimeRange::ALL);
        assert_eq!(beside, [ulid(8)], "present is another");
    }

    #[test]
    fn what_was_rewritten_without_deleted_samples_wins_over_all_that_went_into_it() {
        let blocks = [
            block(1, (0, 2), 1, &[1], &[]),
            block(4, (0, 6), 3, &[1, 2, 3], &[]),
            block(5, (0, 6), 1, &[5], &[4]),
        ];
        let choice = choose(&blocks, &[], TimeRange::ALL);
        assert_eq!(ulids(&choice.blocks), [ulid(5)]);
        assert!(choice.excluded.is_empty());
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
            let chosen = choose(&words, &[], TimeRange::ALL).blocks;
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

    /// Everything that ever existed on a server that cut `leaves` blocks and then merged neighbours
    /// as `merges` says: (position, how many), each a compaction or, for one block, a rewrite.
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

    /// How good a selection is: samples held, then few blocks, then high levels. `None` when two of
    /// its blocks may not stand beside each other.
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
            let chosen = choose(&archived, &[], range).blocks;
            let touching: Vec<_> = archived.iter().filter(|block| lineage::touches(range, block)).collect();
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
            prop_assert_eq!(choose(&shuffled, &[], range).blocks, chosen);
        }
    }
}
