//! What is archived of the blocks that were captured, and what is wrong with them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{Captured, Harvest, Run};
use crate::archive::ProblemKind;
use crate::archive::plan::{succession, superseded};
use crate::archive::proof::{Children, Proof, prove};
use crate::model::Ulid;
use crate::repository::lineage::{contradictions, has_problems, kin};

impl Run<'_> {
    /// Decides what is archived of the blocks that were captured, and says what is wrong with them.
    /// A parent that is still there is left out only when its children were proven to hold its
    /// samples.
    pub(super) fn decide(&self, harvest: &mut Harvest) {
        let superseded = superseded(harvest.stored());
        self.prove(&superseded, harvest);
        let succession = succession(harvest.stored());
        for (parent, children) in superseded {
            let named: Vec<_> = children.iter().map(Ulid::to_string).collect();
            let named = named.join(", ");
            let dir = self.dir_of(parent, harvest);
            let proof = harvest.proof(parent);
            // Prometheus deletes what it has compacted, or rewritten without what was deleted.
            if is_gone(&dir) {
                // Beside aggregates of it, or a shard, it is all there is of its samples.
                let told = harvest.blocks.get(&parent).map(|known| kin(&known.stored));
                let is_sound = |child: &Captured| !has_problems(&child.stored);
                let mut captured = children.iter().map(|child| harvest.blocks.get(child));
                let are_sound = captured.all(|child| child.is_some_and(is_sound));
                if (are_sound || proof == Proof::Held)
                    && !succession.heirs(parent, told.as_ref()).is_empty()
                {
                    harvest.blocks.remove(&parent);
                }
            } else if proof == Proof::Held {
                harvest.blocks.remove(&parent);
                let reason = format!("compacted into {named}, which is archived");
                harvest.left_out.insert(parent.to_string(), reason);
            } else if harvest.blocks.contains_key(&parent) {
                let lacks = if proof == Proof::Missing {
                    "does not hold all its samples"
                } else {
                    "could not be proven to hold its samples"
                };
                let detail = format!(
                    "block {parent} is named as parent by {named}, which {lacks}: both are archived, and Prometheus deletes {parent} \
                     when it starts"
                );
                harvest
                    .problems
                    .push(ProblemKind::ParentUnproven.at(parent.to_string(), detail));
            } else {
                // Whoever could not read it has said so already.
                let missed = harvest.missed.entry(parent.to_string());
                missed.or_insert_with(|| {
                    format!("it was taken for compacted into {named} while it was looked at")
                });
            }
        }
        let disputed = harvest.blocks.values().filter_map(|block| {
            let block = &block.stored;
            let mut words = harvest.catalog.words(block.ulid);
            let first = words.find(|word| word.fingerprint == block.fingerprint)?;
            let found = contradictions(first, block);
            (!found.is_empty()).then(|| {
                let detail = format!(
                    "block {} is archived, but its meta.json contradicts the first archive of it, of which index and chunks are the same: {}",
                    block.ulid,
                    found.join("; ")
                );
                ProblemKind::BlockDisputed.at(block.ulid.to_string(), detail)
            })
        });
        let disputed: Vec<_> = disputed.collect();
        harvest.problems.extend(disputed);
        let stored = harvest.blocks.values().map(|block| &block.stored);
        let faulty = stored.filter(|block| has_problems(block)).map(|block| {
            let kinds: Vec<_> = block.findings.by_kind.keys().map(String::as_str).collect();
            let kinds = kinds.join(", ");
            let detail = format!(
                "block {} has faults and is archived as it is: {kinds}",
                block.ulid
            );
            ProblemKind::BlockFaulty.at(block.ulid.to_string(), detail)
        });
        let faulty: Vec<_> = faulty.collect();
        let missed = harvest.missed.iter();
        let missed = missed.map(|(name, reason)| {
            ProblemKind::LeftOut.at(name, format!("{name} is left out: {reason}"))
        });
        harvest.problems.extend(missed);
        harvest.problems.extend(faulty);
    }

    /// Looks for the samples of parents that are still there in their children, which are archived.
    pub(super) fn prove(&self, superseded: &BTreeMap<Ulid, BTreeSet<Ulid>>, harvest: &mut Harvest) {
        let mut families: BTreeMap<&BTreeSet<Ulid>, Vec<(Ulid, PathBuf)>> = BTreeMap::new();
        for (parent, children) in superseded {
            let (proved, dir) = (harvest.proofs.get(parent), self.dir_of(*parent, harvest));
            if proved.is_none_or(|(looked_in, _)| looked_in != children) && dir.is_dir() {
                families.entry(children).or_default().push((*parent, dir));
            }
        }
        let mode = self.options.verify.read_mode;
        let families = families.into_par_iter().map(|(children, parents)| {
            let captured = children
                .iter()
                .filter_map(|child| harvest.blocks.get(child));
            let captured: Vec<_> = captured.collect();
            let found_in = Children {
                dirs: captured.iter().map(|child| child.dir.clone()).collect(),
                sound: captured.iter().all(|child| !has_problems(&child.stored)),
                merged: captured.iter().any(|child| child.stored.parents.len() > 1),
            };
            let (parents, dirs): (Vec<_>, Vec<_>) = parents.into_iter().unzip();
            let proofs = prove(&dirs, &found_in, mode);
            let looked_in = proofs.into_iter().map(|proof| (children.clone(), proof));
            parents.into_iter().zip(looked_in).collect::<Vec<_>>()
        });
        let proofs: Vec<_> = families.flatten_iter().collect();
        harvest.proofs.extend(proofs);
    }

    /// Where the block `ulid` lies, or would.
    fn dir_of(&self, ulid: Ulid, harvest: &Harvest) -> PathBuf {
        match harvest.blocks.get(&ulid) {
            Some(captured) => captured.dir.clone(),
            None => self.source.dir.join(ulid.to_string()),
        }
    }
}

/// Whether there is nothing at `path`, and not just something that cannot be looked at.
fn is_gone(path: &Path) -> bool {
    let found = path.symlink_metadata();
    found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}
