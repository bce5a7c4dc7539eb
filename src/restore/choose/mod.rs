//! Which blocks are needed where several hold the same samples. Nothing here reads or writes.
//!
//! That is decided by what blocks hold ([`crate::model::Kin`]), not by their
//! range of time: an out-of-order block overlaps its neighbour in time and yet holds something
//! else.

#[cfg(test)]
mod tests;

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
