//! Other blocks with the same samples, for blocks that do not come back themselves.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use super::choose::choose;
use crate::model::{Family, Kin, Ulid, families};
use crate::repository::lineage::{TimeRange, is_damaged, kin};
use crate::repository::{Archive, StoredBlock};

/// Blocks that came in place of one that could not, or that was damaged when it was archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// The block that did not come.
    pub ulid: Ulid,
    /// The blocks that hold its samples.
    pub by: Vec<Ulid>,
}

/// Blocks of `chain` that hold something of what `lost` holds, beside blocks that hold `present`. Those of `passed_over` are none.
///
/// A child whose parent is present is among them: whoever takes it leaves its parents out.
pub(super) fn stand_ins<'a>(
    chain: &'a [Archive],
    lost: &[&StoredBlock],
    passed_over: &BTreeSet<Ulid>,
    present: &[Kin],
) -> Vec<&'a StoredBlock> {
    let lost: Vec<Kin> = lost.iter().map(|block| kin(block)).collect();
    let atoms: BTreeSet<Ulid> = lost.iter().flat_map(|kin| &kin.atoms).copied().collect();
    let ulids: BTreeSet<Ulid> = lost.iter().map(|kin| kin.ulid).collect();
    let there: BTreeSet<Ulid> = present.iter().map(|kin| kin.ulid).collect();
    let all = chain.iter().flat_map(|archive| &archive.blocks);
    let related = all.filter(|block| {
        let is_new = !passed_over.contains(&block.ulid) && !there.contains(&block.ulid);
        // Metadata of a damaged block may have been lost, and its sources with it.
        let same = ulids.contains(&block.ulid);
        let shares =
            || block.sources.iter().any(|atom| atoms.contains(atom)) || atoms.contains(&block.ulid);
        is_new && !is_damaged(block) && (same || shares())
    });
    let choice = choose(related, present, TimeRange::ALL);
    let mut found = choice.blocks;
    found.extend(choice.excluded);
    found
}

/// What some blocks hold, for whoever asks which of them hold the samples of another.
#[derive(Debug)]
pub(super) struct Cover {
    ulids: BTreeSet<Ulid>,
    families: Vec<Family>,
    /// The members of each family.
    members: Vec<Vec<Kin>>,
    /// The families that hold each atom, those of the most atoms first.
    by_atom: HashMap<Ulid, Vec<usize>>,
}

impl Cover {
    /// What `blocks` hold.
    pub(super) fn of(blocks: &[&StoredBlock]) -> Self {
        let kins: Vec<Kin> = blocks.iter().map(|block| kin(block)).collect();
        let mut families = families(&kins);
        families.sort_by_key(|family| Reverse(family.atoms.len()));
        let mut by_atom: HashMap<Ulid, Vec<usize>> = HashMap::new();
        for (number, family) in families.iter().enumerate() {
            for atom in &family.atoms {
                by_atom.entry(*atom).or_default().push(number);
            }
        }
        let members = |family: &Family| {
            let members = family.members.iter();
            members.filter_map(|at| kins.get(*at).cloned()).collect()
        };
        Cover {
            ulids: kins.iter().map(|kin| kin.ulid).collect(),
            members: families.iter().map(members).collect(),
            families,
            by_atom,
        }
    }

    /// Blocks that together hold all samples of `lost`, if there are any: no more than it has atoms, but for shards. Blocks of the same atoms and
    /// stream that are no copy of it may be another part of what it was made of, and are none.
    pub(super) fn by(&self, lost: &StoredBlock) -> Option<Vec<Ulid>> {
        if self.ulids.contains(&lost.ulid) {
            return Some(vec![lost.ulid]);
        }
        // Of a damaged block nobody knows what it should hold.
        let may_differ = is_damaged(lost);
        let lost = kin(lost);
        let is_copy = |member: &Kin| {
            let has_more = member.content.samples >= lost.content.samples;
            member.is_copy_of(&lost) || may_differ && has_more
        };
        let mut covered: BTreeSet<Ulid> = BTreeSet::new();
        let mut by = Vec::new();
        for atom in &lost.atoms {
            if covered.contains(atom) {
                continue;
            }
            let mut numbers = self.by_atom.get(atom)?.iter();
            let (family, members) = numbers.find_map(|number| {
                let family = self.families.get(*number)?;
                let members = self.members.get(*number)?;
                let is_twin = family.atoms == lost.atoms && family.stream == lost.stream;
                let holds =
                    family.stream.covers(&lost.stream) && (!is_twin || members.iter().any(is_copy));
                holds.then_some((family, members))
            })?;
            by.extend(members.iter().map(|member| member.ulid));
            let (few, many) = if family.atoms.len() < lost.atoms.len() {
                (&family.atoms, &lost.atoms)
            } else {
                (&lost.atoms, &family.atoms)
            };
            covered.extend(few.iter().filter(|atom| many.contains(atom)));
        }
        by.sort_unstable();
        by.dedup();
        Some(by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::lineage::tests::{block, ulid};

    #[test]
    fn a_block_of_the_same_sources_stands_in_only_if_it_is_a_copy() {
        let lost = block(1, (0, 4), 2, &[8, 9], &[]);
        let mut other = block(2, (0, 4), 2, &[8, 9], &[]);
        assert_eq!(Cover::of(&[&other]).by(&lost), Some(vec![ulid(2)]));
        other.samples += 1;
        assert_eq!(Cover::of(&[&other]).by(&lost), None);
        let child = block(3, (0, 6), 3, &[8, 9, 10], &[2]);
        assert_eq!(Cover::of(&[&other, &child]).by(&lost), Some(vec![ulid(3)]));
        let mut damaged = lost;
        damaged.findings.by_severity.insert("error".into(), 1);
        assert_eq!(Cover::of(&[&other]).by(&damaged), Some(vec![ulid(2)]));
    }
}
