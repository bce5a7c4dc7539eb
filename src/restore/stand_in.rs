//! Other blocks with the same samples, for blocks that do not come back themselves.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::choose::choose;
use crate::model::{Family, Kin, TimeRange, Ulid, families, inherit_atoms};
use crate::repository::lineage::{atoms, is_damaged, kin};
use crate::repository::{Digest, StoredBlock};
use crate::stored::guess_empty;

/// Blocks that came in place of one that could not, or that was damaged when it was archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// The block that did not come.
    pub ulid: Ulid,
    /// The blocks that hold its samples.
    pub by: Vec<Ulid>,
    /// Whether they hold samples that had been deleted from it.
    pub undeleted: bool,
    /// Other sources in whose archives they are, where no archive of the block's own source has
    /// them.
    pub sources: BTreeSet<String>,
}

impl StandIn {
    /// Of the block `ulid`, from archives of its own source.
    pub(super) fn new(ulid: Ulid, by: Vec<Ulid>, undeleted: bool) -> Self {
        StandIn {
            ulid,
            by,
            undeleted,
            sources: BTreeSet::new(),
        }
    }
}

/// Whether samples that are deleted from `lost` come back with `by`: it has other deletions, or
/// none, and was not made of `lost`.
pub(super) fn undeletes(by: &StoredBlock, lost: &StoredBlock) -> bool {
    let deletions = |block: &StoredBlock| -> Option<Digest> {
        let mut files = block.files.iter();
        let file = files.find(|file| file.name.as_str() == "tombstones")?;
        guess_empty(file).is_none().then_some(file.sha256)
    };
    let Some(own) = deletions(lost) else {
        return false;
    };
    let is_made_of = || {
        by.parents.contains(&lost.ulid)
            || by.level > lost.level && atoms(lost).is_subset(&atoms(by))
    };
    deletions(by) != Some(own) && !is_made_of()
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
    /// Nothing is known.
    pub(super) const fn none() -> Self {
        Past {
            kins: BTreeMap::new(),
            rewritten: BTreeSet::new(),
        }
    }

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

/// Those of `all` blocks that hold something of what `lost` holds, beside blocks that hold
/// `present`. Those of `passed_over` are none, nor those of which nobody knows which samples of
/// their sources they hold.
///
/// A child whose parent is present is among them: whoever takes it leaves its parents out.
pub(super) fn stand_ins<'a>(
    all: impl Iterator<Item = &'a StoredBlock>,
    lost: &[&StoredBlock],
    passed_over: &BTreeSet<Ulid>,
    present: &[Kin],
    past: &Past,
) -> Vec<&'a StoredBlock> {
    let lost: Vec<Kin> = lost.iter().map(|block| past.kin(block)).collect();
    let atoms: BTreeSet<Ulid> = lost.iter().flat_map(|kin| &kin.atoms).copied().collect();
    let ulids: BTreeSet<Ulid> = lost.iter().map(|kin| kin.ulid).collect();
    let there: BTreeSet<Ulid> = present.iter().map(|kin| kin.ulid).collect();
    let related = all.filter(|block| {
        let is_new = !passed_over.contains(&block.ulid) && !there.contains(&block.ulid);
        // Metadata of a damaged block may have been lost, and its sources with it.
        let same = ulids.contains(&block.ulid);
        let shares = || {
            let inherited = past.kins.get(&block.ulid).map(|kin| &kin.atoms);
            let mut all = block.sources.iter().chain(inherited.into_iter().flatten());
            all.any(|atom| atoms.contains(atom)) || atoms.contains(&block.ulid)
        };
        is_new && !is_damaged(block) && (same || block.resolution.is_some() && shares())
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
    blocks: BTreeMap<Ulid, &'p StoredBlock>,
    families: Vec<Family>,
    /// The members of each family.
    members: Vec<Vec<Kin>>,
    /// The families that hold each atom, those of the most atoms first.
    by_atom: HashMap<Ulid, Vec<usize>>,
}

impl<'p> Cover<'p> {
    /// What `blocks` hold.
    pub(super) fn of(blocks: &[&'p StoredBlock], past: &'p Past) -> Self {
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
            blocks: blocks.iter().map(|block| (block.ulid, *block)).collect(),
            members: families.iter().map(members).collect(),
            families,
            by_atom,
        }
    }

    /// Blocks that together hold all samples of `lost`, if there are any: no more than it has
    /// atoms, but for shards. Blocks of the same atoms and stream that are no copy of it may be
    /// another part of what it was made of, and are none.
    pub(super) fn by(&self, lost: &StoredBlock) -> Option<StandIn> {
        let (ulid, block) = (lost.ulid, lost);
        if let Some(copy) = self.blocks.get(&ulid) {
            return Some(StandIn::new(ulid, vec![ulid], undeletes(copy, lost)));
        }
        // Of a damaged block nobody knows what it should hold; another part of the same sources has
        // other series.
        let may_differ = is_damaged(lost);
        let lost = self.past.kin(lost);
        let is_copy = |member: &Kin| {
            let (content, own) = (member.content, lost.content);
            let has_all = content.series == own.series && content.samples >= own.samples;
            member.is_copy_of(&lost) || may_differ && has_all
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
        let mut blocks = by.iter().filter_map(|ulid| self.blocks.get(ulid));
        let undeleted =
            !rewritten.is_subset(&covered) || blocks.any(|other| undeletes(other, block));
        Some(StandIn::new(ulid, by, undeleted))
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
        other.series += 1;
        assert_eq!(by(&[&other], &damaged), None, "other series: another part");
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
        let passed: BTreeSet<Ulid> = [new.ulid, child.ulid].into();
        let found = stand_ins(chain.iter(), &[new], &passed, &[], &past);
        assert_eq!(
            found.iter().map(|block| block.ulid).collect::<Vec<_>>(),
            [old.ulid]
        );
    }
}
