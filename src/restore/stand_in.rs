//! Other blocks with the same samples, for blocks that do not come back themselves.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::choose::choose;
use crate::model::{Family, Kin, Ulid, families, inherit_atoms};
use crate::repository::lineage::{TimeRange, is_damaged, kin};
use crate::repository::{Archive, StoredBlock};

/// Blocks that came in place of one that could not, or that was damaged when it was archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// The block that did not come.
    pub ulid: Ulid,
    /// The blocks that hold its samples.
    pub by: Vec<Ulid>,
    /// Whether they hold samples that had been deleted from it.
    pub undeleted: bool,
}

/// Which blocks were rewritten without their deleted samples, and what is made of such blocks.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// What blocks are to others, with what they replace.
    kins: BTreeMap<Ulid, Kin>,
    /// Those that were rewritten from blocks that are known.
    rewritten: BTreeSet<Ulid>,
}

impl Past {
    /// The past of `blocks`.
    pub(super) fn of<'b>(blocks: impl IntoIterator<Item = &'b StoredBlock>) -> Self {
        let mut distinct: BTreeMap<Ulid, &StoredBlock> = BTreeMap::new();
        for block in blocks {
            let known = distinct.entry(block.ulid).or_insert(block);
            if is_damaged(known) {
                *known = block;
            }
        }
        let is_own = |kin: &Kin| kin.atoms.len() == 1 && kin.atoms.contains(&kin.ulid);
        let may_be = |block: &&StoredBlock| {
            !block.parents.is_empty() && block.sources.iter().all(|atom| *atom == block.ulid)
        };
        if !distinct.values().any(may_be) {
            return Past::default();
        }
        let before: Vec<Kin> = distinct.into_values().map(kin).collect();
        let mut after = before.clone();
        inherit_atoms(&mut after);
        let both = before.iter().zip(&after);
        let rewritten = both.filter(|(before, after)| is_own(before) && !is_own(after));
        Past {
            rewritten: rewritten.map(|(before, _)| before.ulid).collect(),
            kins: after.into_iter().map(|kin| (kin.ulid, kin)).collect(),
        }
    }

    /// What `block` is to others, with the atoms of what it replaces.
    pub(super) fn kin(&self, block: &StoredBlock) -> Kin {
        let mut kin = kin(block);
        if let Some(known) = self.kins.get(&block.ulid) {
            kin.atoms.extend(&known.atoms);
        }
        kin
    }

    /// Atoms of `kin` of which samples were deleted.
    pub(super) fn rewritten<'k>(&'k self, kin: &'k Kin) -> impl Iterator<Item = &'k Ulid> {
        kin.atoms.intersection(&self.rewritten)
    }
}

/// Blocks of `chain` that hold something of what `lost` holds, beside blocks that hold `present`. Those of `passed_over` are none.
///
/// A child whose parent is present is among them: whoever takes it leaves its parents out.
pub(super) fn stand_ins<'a>(
    chain: &'a [Archive],
    lost: &[&StoredBlock],
    passed_over: &BTreeSet<Ulid>,
    present: &[Kin],
    past: &Past,
) -> Vec<&'a StoredBlock> {
    let lost: Vec<Kin> = lost.iter().map(|block| past.kin(block)).collect();
    let atoms: BTreeSet<Ulid> = lost.iter().flat_map(|kin| &kin.atoms).copied().collect();
    let ulids: BTreeSet<Ulid> = lost.iter().map(|kin| kin.ulid).collect();
    let there: BTreeSet<Ulid> = present.iter().map(|kin| kin.ulid).collect();
    let all = chain.iter().flat_map(|archive| &archive.blocks);
    let related = all.filter(|block| {
        let is_new = !passed_over.contains(&block.ulid) && !there.contains(&block.ulid);
        // Metadata of a damaged block may have been lost, and its sources with it.
        let same = ulids.contains(&block.ulid);
        let shares = || {
            let inherited = past.kins.get(&block.ulid).map(|kin| &kin.atoms);
            let mut all = block.sources.iter().chain(inherited.into_iter().flatten());
            all.any(|atom| atoms.contains(atom)) || atoms.contains(&block.ulid)
        };
        is_new && !is_damaged(block) && (same || shares())
    });
    let choice = choose(related, present, TimeRange::ALL);
    let mut found = choice.blocks;
    found.extend(choice.excluded);
    found
}

/// What some blocks hold, for whoever asks which of them hold the samples of another.
#[derive(Debug)]
pub(super) struct Cover<'p> {
    past: &'p Past,
    ulids: BTreeSet<Ulid>,
    families: Vec<Family>,
    /// The members of each family.
    members: Vec<Vec<Kin>>,
    /// The families that hold each atom, those of the most atoms first.
    by_atom: HashMap<Ulid, Vec<usize>>,
}

impl<'p> Cover<'p> {
    /// What `blocks` hold.
    pub(super) fn of(blocks: &[&StoredBlock], past: &'p Past) -> Self {
        let kins: Vec<Kin> = blocks.iter().map(|block| past.kin(block)).collect();
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
            past,
            ulids: kins.iter().map(|kin| kin.ulid).collect(),
            members: families.iter().map(members).collect(),
            families,
            by_atom,
        }
    }

    /// Blocks that together hold all samples of `lost`, if there are any: no more than it has atoms, but for shards. Blocks of the same atoms and
    /// stream that are no copy of it may be another part of what it was made of, and are none.
    pub(super) fn by(&self, lost: &StoredBlock) -> Option<StandIn> {
        let ulid = lost.ulid;
        if self.ulids.contains(&ulid) {
            return Some(StandIn {
                ulid,
                by: vec![ulid],
                undeleted: false,
            });
        }
        // Of a damaged block nobody knows what it should hold.
        let may_differ = is_damaged(lost);
        let lost = self.past.kin(lost);
        let is_copy = |member: &Kin| {
            let has_more = member.content.samples >= lost.content.samples;
            member.is_copy_of(&lost) || may_differ && has_more
        };
        let mut covered: BTreeSet<Ulid> = BTreeSet::new();
        let mut by = Vec::new();
        // What a block was rewritten from has all of its samples.
        let rewritten: BTreeSet<Ulid> = self.past.rewritten(&lost).copied().collect();
        for atom in lost.atoms.difference(&rewritten) {
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
        Some(StandIn {
            ulid,
            by,
            undeleted: !rewritten.is_subset(&covered),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::lineage::tests::{block, ulid};
    use crate::repository::{ArchiveId, Coverage, FindingCounts};

    #[test]
    fn a_block_of_the_same_sources_stands_in_only_if_it_is_a_copy() {
        let lost = block(1, (0, 4), 2, &[8, 9], &[]);
        let mut other = block(2, (0, 4), 2, &[8, 9], &[]);
        let past = Past::default();
        let by = |blocks: &[&StoredBlock], lost: &StoredBlock| {
            Some(Cover::of(blocks, &past).by(lost)?.by)
        };
        assert_eq!(by(&[&other], &lost), Some(vec![ulid(2)]));
        other.samples += 1;
        assert_eq!(by(&[&other], &lost), None);
        let child = block(3, (0, 6), 3, &[8, 9, 10], &[2]);
        assert_eq!(by(&[&other, &child], &lost), Some(vec![ulid(3)]));
        let mut damaged = lost.clone();
        damaged.findings.by_severity.insert("error".into(), 1);
        assert_eq!(by(&[&other], &damaged), Some(vec![ulid(2)]));
    }

    #[test]
    fn what_a_block_was_rewritten_from_stands_in_for_it_and_for_what_was_made_of_it() {
        let chain = [
            block(1, (0, 4), 2, &[8, 9], &[8, 9]),
            block(2, (0, 4), 1, &[2], &[1]),
            block(3, (4, 6), 1, &[3], &[]),
            block(4, (0, 6), 2, &[2, 3], &[2, 3]),
        ];
        let past = Past::of(&chain);
        let [old, new, next, child] = &chain;
        let by = |blocks: &[&StoredBlock], lost: &StoredBlock| {
            let found = Cover::of(blocks, &past).by(lost)?;
            Some((found.by, found.undeleted))
        };
        assert_eq!(by(&[old], new), Some((vec![ulid(1)], true)));
        assert_eq!(by(&[new], old), Some((vec![ulid(2)], false)));
        assert_eq!(by(&[child], new), Some((vec![ulid(4)], false)));
        assert_eq!(by(&[next], child), None);
        let all = Some((vec![ulid(1), ulid(3)], true));
        assert_eq!(by(&[old, next], child), all);
        let archive = |blocks: &[StoredBlock]| Archive {
            format_version: crate::repository::MANIFEST_VERSION,
            id: ArchiveId::random(),
            time: 0,
            host: String::new(),
            source: String::new(),
            source_name: String::new(),
            labels: BTreeMap::new(),
            narthex_version: String::new(),
            repository: None,
            coverage: Coverage::default(),
            blocks: blocks.to_vec(),
            wal: None,
            left_out: Vec::new(),
            findings: FindingCounts::default(),
        };
        let chain = [archive(&chain[..1]), archive(&chain[1..])];
        let passed: BTreeSet<Ulid> = [new.ulid, child.ulid].into();
        let found = stand_ins(&chain, &[new], &passed, &[], &past);
        assert_eq!(
            found.iter().map(|block| block.ulid).collect::<Vec<_>>(),
            [old.ulid]
        );
    }
}
