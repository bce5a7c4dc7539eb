//! Other blocks that hold the samples of one.

use std::collections::{BTreeSet, HashMap};

use super::stand_in::Past;
use crate::model::{Kin, Ulid};
use crate::repository::StoredBlock;
use crate::repository::copies::Copies;
use crate::repository::lineage::is_damaged;

/// Most ways in which one block is stored, and most other blocks, that are read for one.
pub(super) const MAX_WAYS: usize = 8;

/// Most blocks that are known to hold one atom, of which these are chosen.
const MAX_HOLDERS: usize = 256;

/// All blocks of a repository that were sound when they were archived, by the samples that they
/// hold.
pub(super) struct Relatives<'c> {
    pub(super) past: Past,
    /// The latest first.
    blocks: Vec<(&'c StoredBlock, Kin)>,
    by_atom: HashMap<Ulid, Vec<usize>>,
}

impl<'c> Relatives<'c> {
    pub(super) fn of(copies: &'c Copies) -> Self {
        let archives = copies.archives().iter();
        let past = Past::of(archives.clone().flat_map(|archive| &archive.blocks));
        let mut seen = BTreeSet::new();
        let latest = archives.rev().flat_map(|archive| &archive.blocks);
        let sound = latest.filter(|block| !is_damaged(block) && seen.insert(block.ulid));
        let blocks: Vec<_> = sound.map(|block| (block, past.kin(block))).collect();
        let mut by_atom: HashMap<Ulid, Vec<usize>> = HashMap::new();
        for (number, (_, kin)) in blocks.iter().enumerate() {
            for atom in &kin.atoms {
                let holders = by_atom.entry(*atom).or_default();
                if holders.len() < MAX_HOLDERS {
                    holders.push(number);
                }
            }
        }
        Relatives {
            past,
            blocks,
            by_atom,
        }
    }

    /// Blocks that may hold samples of `block` in other objects.
    pub(super) fn other_holders(&self, block: &StoredBlock) -> Vec<&'c StoredBlock> {
        let own = self.past.kin(block);
        let numbers = own.atoms.iter().filter_map(|atom| self.by_atom.get(atom));
        let numbers: BTreeSet<usize> = numbers.flatten().copied().collect();
        let mut packs: BTreeSet<_> = block.packs.iter().map(|pack| &pack.name).collect();
        let mut found: Vec<&StoredBlock> = Vec::new();
        for (other, theirs) in numbers.iter().filter_map(|number| self.blocks.get(*number)) {
            if other.ulid == block.ulid || theirs.stream != own.stream || found.len() == MAX_WAYS {
                continue;
            }
            let mut names = other.packs.iter().map(|pack| &pack.name);
            if other.packs.is_empty() || names.any(|pack| !packs.contains(pack)) {
                packs.extend(other.packs.iter().map(|pack| &pack.name));
                found.push(other);
            }
        }
        found
    }
}
