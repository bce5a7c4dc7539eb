//! Which packs are likely to hold samples of a block. Nothing here reads or writes.

use std::collections::BTreeSet;

use crate::model::{Millis, Ulid};
use crate::repository::lineage::atoms;
use crate::repository::{StoredBlock, StoredObject};

/// Most packs a block is spliced from.
const MAX_PACKS: usize = 512;

/// What is known of a block's descent.
pub(crate) struct Descent {
    /// Its identity.
    pub(crate) ulid: Ulid,
    /// The level-1 blocks its samples come from.
    pub(crate) atoms: BTreeSet<Ulid>,
    /// The blocks it was compacted from.
    pub(crate) parents: BTreeSet<Ulid>,
    /// The time it covers.
    pub(crate) range: (Millis, Millis),
}

impl Descent {
    /// What a manifest tells.
    pub(crate) fn of(block: &StoredBlock) -> Self {
        Descent {
            ulid: block.ulid,
            atoms: atoms(block),
            parents: block.parents.iter().copied().collect(),
            range: (block.min_time, block.max_time),
        }
    }

    /// Packs that may hold samples of the block, of those of the blocks that are `known`; in order
    /// of time.
    pub(crate) fn relatives<'k>(
        &self,
        known: impl Iterator<Item = &'k StoredBlock>,
    ) -> Vec<StoredObject> {
        let mut chosen = choose(self, known);
        chosen.sort_by_key(|stored| (stored.min_time, stored.max_time, stored.ulid));
        let mut packs: Vec<StoredObject> = Vec::new();
        for pack in chosen.iter().flat_map(|stored| &stored.packs) {
            if !packs.iter().any(|known| known.name == pack.name) {
                packs.push(pack.clone());
            }
        }
        packs.truncate(MAX_PACKS);
        packs
    }
}

/// Blocks that are likely to hold samples of a block, as few as hold all that are known.
///
/// First those that hold the same level-1 blocks, the largest first. Where some of these are in
/// none, a block that covers the same time may hold the same samples, too: a Prometheus snapshot's
/// head block, or one of a copy of the data that went on living.
fn choose<'k>(kin: &Descent, known: impl Iterator<Item = &'k StoredBlock>) -> Vec<&'k StoredBlock> {
    let known: Vec<_> = known.map(|stored| (stored, atoms(stored))).collect();
    let shared = |atoms: &BTreeSet<Ulid>| atoms.intersection(&kin.atoms).count();
    let is_kin = |stored: &&StoredBlock, atoms: &BTreeSet<Ulid>| {
        shared(atoms) > 0 || stored.ulid == kin.ulid || kin.parents.contains(&stored.ulid)
    };
    let (mut related, others): (Vec<_>, Vec<_>) = known
        .iter()
        .partition(|(stored, atoms)| is_kin(stored, atoms));
    related.sort_by_key(|(stored, atoms)| {
        (std::cmp::Reverse(shared(atoms)), atoms.len(), stored.ulid)
    });
    let mut missing = kin.atoms.clone();
    let mut chosen = Vec::new();
    for (stored, atoms) in related {
        let stored: &StoredBlock = stored;
        let is_parent = kin.parents.contains(&stored.ulid) || stored.ulid == kin.ulid;
        if is_parent || atoms.iter().any(|atom| missing.contains(atom)) {
            missing.retain(|atom| !atoms.contains(atom));
            chosen.push(stored);
        }
    }
    if !missing.is_empty() {
        let (since, until) = kin.range;
        let overlaps = |stored: &&StoredBlock| stored.min_time < until && since < stored.max_time;
        chosen.extend(others.iter().map(|(stored, _)| *stored).filter(overlaps));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::lineage::tests::{block, ulid};

    fn kin(atoms: &[u64], parents: &[u64], range: (Millis, Millis)) -> Descent {
        Descent {
            ulid: ulid(99),
            atoms: atoms.iter().copied().map(ulid).collect(),
            parents: parents.iter().copied().map(ulid).collect(),
            range,
        }
    }

    fn chosen(kin: &Descent, known: &[StoredBlock]) -> Vec<u64> {
        let chosen = choose(kin, known.iter());
        let number = |stored: &&StoredBlock| (0..100).find(|number| ulid(*number) == stored.ulid);
        let mut numbers: Vec<u64> = chosen.iter().filter_map(number).collect();
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn as_few_blocks_as_hold_all_known_sources_are_chosen() {
        let known = [
            block(1, (0, 2), 1, &[1], &[]),
            block(2, (2, 4), 1, &[2], &[]),
            block(10, (0, 6), 2, &[1, 2, 3], &[1, 2, 3]),
            block(4, (6, 8), 1, &[4], &[]),
            block(5, (8, 10), 1, &[5], &[]),
        ];
        let compacted = kin(&[1, 2, 3, 4], &[10, 4], (0, 8));
        assert_eq!(chosen(&compacted, &known), [4, 10]);
        let unseen = kin(&[4, 6], &[], (6, 8));
        assert_eq!(chosen(&unseen, &known), [4]);
    }

    #[test]
    fn where_sources_are_unknown_blocks_of_the_same_time_may_help() {
        let snapshot = [
            block(1, (0, 7), 1, &[1], &[]),
            block(2, (20, 30), 1, &[2], &[]),
        ];
        assert_eq!(chosen(&kin(&[3], &[], (5, 9)), &snapshot), [1]);
        assert!(
            chosen(&kin(&[3], &[], (7, 9)), &snapshot).is_empty(),
            "ends are exclusive"
        );
    }

    #[test]
    fn a_block_rewritten_without_its_deletions_is_found_by_its_parent() {
        let known = [block(1, (0, 7), 1, &[1], &[])];
        assert_eq!(chosen(&kin(&[3], &[1], (20, 30)), &known), [1]);
    }
}
