//! Archives that stay because others that stay have only damaged copies of what they hold, or
//! missed it.

use std::collections::{BTreeMap, BTreeSet};

use super::decision::Decision;
use crate::error::Result;
use crate::model::{Held, Kin, Millis, Ulid};
use crate::repository::lineage::{is_damaged, kin};
use crate::repository::stock::Stock;
use crate::repository::{Repository, StoredBlock};
use crate::store::ObjectName;

/// Why such an archive is kept.
const HOLDS: &str = "holds what is damaged in others, or what they missed";

/// Keeps the newest of the archives that would go which hold sound samples of blocks that an
/// archive which stays has missed, or that are damaged in all archives that stay: such a block was
/// damaged when it was archived, or an object of it bears a mark, is gone or has another size, and
/// nothing replaces it. Returns the blocks because of which any is kept. Archives whose logs are
/// gone since stay as well, while one stays that says so.
///
/// # Errors
///
/// When the objects of the repository cannot be listed.
pub(super) fn hold(made: &mut [Decision], repository: &Repository) -> Result<Vec<Ulid>> {
    hold_logs(made);
    let trust = Trust::of(repository, made)?;
    let kept = made.iter().filter(|made| made.is_kept());
    let kept: Vec<_> = kept.flat_map(|made| &made.archive.blocks).collect();
    let broken = kept.iter().filter(|block| trust.is_broken(block)).copied();
    let broken = broken.chain(missed(made));
    let mut broken: BTreeMap<Ulid, Kin> = broken.map(|block| (block.ulid, kin(block))).collect();
    if broken.is_empty() {
        return Ok(Vec::new());
    }
    let mut held = Held::default();
    let sound = kept.iter().filter(|block| !trust.is_broken(block));
    for block in sound.map(|block| kin(block)) {
        broken.remove(&block.ulid);
        held.add(&block.atoms, &block.stream);
    }
    broken.retain(|_, kin| !held.covers(&kin.atoms, &kin.stream));
    if broken.is_empty() {
        return Ok(Vec::new());
    }
    // A block that was rewritten without its deleted samples shares no source with the one before.
    let mut kin_of: BTreeMap<Ulid, BTreeSet<Ulid>> = BTreeMap::new();
    for (ulid, kin) in &broken {
        for relative in kin.atoms.iter().chain(&kin.parents).chain([ulid]) {
            kin_of.entry(*relative).or_default().insert(*ulid);
        }
    }
    let mut named = BTreeSet::new();
    let mut going: Vec<&mut Decision> = made.iter_mut().filter(|made| !made.is_kept()).collect();
    going.sort_by_key(|made| std::cmp::Reverse(made.archive.time));
    for made in going {
        let sound = made.archive.blocks.iter();
        let sound = sound.filter(|block| !trust.is_broken(block)).map(kin);
        let mut holds = false;
        for block in sound {
            let relatives = block
                .atoms
                .iter()
                .chain(&block.parents)
                .chain([&block.ulid]);
            let of: BTreeSet<_> = relatives
                .filter_map(|relative| kin_of.get(relative))
                .flatten()
                .collect();
            if !of.is_empty() && !held.covers(&block.atoms, &block.stream) {
                held.add(&block.atoms, &block.stream);
                named.extend(of);
                holds = true;
            }
        }
        if holds {
            made.reasons.push(HOLDS.to_owned());
        }
    }
    Ok(named.into_iter().collect())
}

/// Keeps the archives whose logs are gone since, as others that stay tell.
fn hold_logs(made: &mut [Decision]) {
    let kept = made.iter().filter(|made| made.is_kept());
    let left_out = kept.flat_map(|made| &made.archive.left_out);
    let logs = left_out.filter(|left| left.is_of_log());
    let since: BTreeSet<String> = logs
        .filter_map(|left| left.gone_since().map(str::to_owned))
        .collect();
    for made in made.iter_mut().filter(|made| !made.is_kept()) {
        if made.archive.wal.is_some() && since.contains(made.archive.id.short()) {
            made.reasons.push(HOLDS.to_owned());
        }
    }
}

/// The blocks that archives which stay have missed, as the newest archive describes each that holds
/// it.
fn missed(made: &[Decision]) -> Vec<&StoredBlock> {
    let kept = made.iter().filter(|made| made.is_kept());
    let left_out = kept.flat_map(|made| &made.archive.left_out);
    let left_out = left_out.filter(|left| left.is_missed());
    let names: BTreeSet<Ulid> = left_out.filter_map(|left| left.name.parse().ok()).collect();
    let mut holding: BTreeMap<Ulid, (Millis, &StoredBlock)> = BTreeMap::new();
    for archive in made.iter().map(|made| &made.archive) {
        let own = archive.blocks.iter();
        for block in own.filter(|block| names.contains(&block.ulid)) {
            let newest = holding.entry(block.ulid).or_insert((archive.time, block));
            if newest.0 <= archive.time {
                *newest = (archive.time, block);
            }
        }
    }
    holding.into_values().map(|(_, block)| block).collect()
}

/// What is known of the objects of a repository.
struct Trust {
    stock: Stock,
    /// Objects that some archive expects and that are not there like that.
    bad: BTreeSet<ObjectName>,
}

impl Trust {
    fn of(repository: &Repository, made: &[Decision]) -> Result<Self> {
        let stock = Stock::look(repository)?;
        let objects = made.iter().flat_map(|made| made.archive.objects());
        let bad = objects
            .filter(|(_, object)| stock.is_spoiled(object))
            .map(|(_, object)| object.name.clone());
        Ok(Trust {
            bad: bad.collect(),
            stock,
        })
    }

    fn is_broken(&self, block: &StoredBlock) -> bool {
        is_damaged(block) || self.is_lost(block)
    }

    /// Whether an object of the block is marked, gone or of another size, and there is neither
    /// another object in its place nor another recipe.
    fn is_lost(&self, block: &StoredBlock) -> bool {
        let is_bad = |pack: &ObjectName| self.bad.contains(pack);
        let broken = self.stock.broken_of(block, &is_bad);
        let mut broken = broken.iter();
        broken.any(|object| !self.stock.is_mended(&object.name, &is_bad))
    }
}
