//! The blocks of a run: looked at and stored until none vanishes any more, and none rests on what
//! turned out to be damaged.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use super::learn::solve;
use super::{Harvest, Run};
use crate::archive::ProblemKind;
use crate::archive::hooks::Moment;
use crate::archive::pipeline::Pipeline;
use crate::archive::plan::{Action, superseded};
use crate::archive::proof::Proof;
use crate::archive::survey::{BlockSurvey, Survey, survey};
use crate::error::Result;
use crate::model::Ulid;
use crate::repository::damage;
use crate::repository::lineage::is_damaged;
use crate::stored::write::{Miss, Writer};

/// How often the blocks are listed anew because one vanished. Compactions are minutes apart.
pub(super) const MAX_PASSES: usize = 100;

/// How often blocks are stored anew because objects turn out to be damaged while others are stored.
/// Each time it is other objects.
const MAX_DISTRUST: usize = 16;

impl Run<'_> {
    /// Lists the source and looks at every block that has not been captured.
    pub(super) fn look(&self, harvest: &mut Harvest) -> Result<Survey> {
        let captured: BTreeSet<Ulid> = harvest.blocks.keys().copied().collect();
        let survey = survey(&self.source.dir, &captured, self.options.links, self.hooks)?;
        harvest.is_snapshot = survey.is_snapshot;
        let left_out = survey.left_out.iter();
        let left_out = left_out.map(|(name, reason)| (name.clone(), (*reason).to_owned()));
        harvest.left_out.extend(left_out);
        for (name, error) in &survey.unreadable {
            harvest.miss(name, error);
        }
        solve(self.repository, &mut harvest.known, &survey.blocks)?;
        Ok(survey)
    }

    /// Stores what was looked at, and looks again until one pass has seen nothing vanish.
    pub(super) fn store_blocks(&self, first: Survey, harvest: &mut Harvest) -> Result<()> {
        let mut survey = first;
        for _ in 0..MAX_PASSES {
            let mut vanished = survey.vanished;
            for wave in waves(survey.blocks) {
                vanished |= self.store_wave(wave, harvest)?;
            }
            self.hooks.reached(Moment::PassDone);
            vanished |= drop_half_deleted(harvest);
            if !vanished {
                return Ok(());
            }
            harvest.missed.retain(|name, _| is_of_log(name));
            survey = self.look(harvest)?;
        }
        let detail = format!("blocks vanished in each of {MAX_PASSES} passes: some may be missing");
        harvest
            .problems
            .push(ProblemKind::BlocksUnsettled.at("", detail));
        Ok(())
    }

    /// Captures blocks, and says whether any of them vanished.
    pub(super) fn store_wave(&self, wave: Vec<BlockSurvey>, harvest: &mut Harvest) -> Result<bool> {
        let superseded = superseded(harvest.stored());
        self.prove(&superseded, harvest);
        let mut jobs = Vec::new();
        for block in wave {
            let ulid = block.ulid();
            if superseded.contains_key(&ulid) && harvest.proof(ulid) == Proof::Held {
                continue;
            }
            match harvest.known.decide(&block) {
                Action::Keep(stored) => harvest.capture(&block, block.tell(stored)),
                Action::Refresh(stored) => jobs.push((block, Some(stored))),
                Action::Store => jobs.push((block, None)),
            }
        }
        let mut vanished = false;
        let outcomes = self.pipeline(harvest).run(&jobs)?;
        for ((block, _), outcome) in jobs.iter().zip(outcomes) {
            match outcome {
                Ok(stored) => {
                    harvest.known.take_in(stored.clone());
                    harvest.capture(block, stored);
                }
                Err(Miss::Vanished) => vanished = true,
                Err(Miss::Unreadable(error)) => harvest.miss(block.ulid().to_string(), &error),
            }
        }
        Ok(vanished)
    }

    fn pipeline<'h>(&'h self, harvest: &'h Harvest) -> Pipeline<'h> {
        Pipeline {
            writer: self.writer(harvest),
            known: &harvest.known,
            options: self.options,
            hooks: self.hooks,
        }
    }

    /// What writes objects of this run.
    pub(super) fn writer<'h>(&'h self, harvest: &'h Harvest) -> Writer<'h> {
        Writer {
            store: self.repository.store(),
            known: &harvest.known,
            level: self.options.level,
            read_mode: self.options.verify.read_mode,
            progress: self.progress,
            traffic: &harvest.traffic,
            cache: &harvest.cache,
            suspects: &harvest.suspects,
        }
    }

    /// Stores blocks anew that rely on what turned out to be damaged while others were stored,
    /// until none does.
    pub(super) fn store_distrusted(&self, harvest: &mut Harvest) -> Result<()> {
        for _ in 0..MAX_DISTRUST {
            let relying = self.distrust_suspects(harvest);
            if relying.is_empty() {
                return Ok(());
            }
            harvest.blocks.retain(|ulid, _| !relying.contains(ulid));
            let blocks = self.look(harvest)?;
            self.store_blocks(blocks, harvest)?;
        }
        for ulid in self.distrust_suspects(harvest) {
            let detail = format!(
                "block {ulid} rests on objects that are damaged, and so did what it was stored anew on, {MAX_DISTRUST} times: is the disk of \
                 the repository sound? What is damaged is marked, and the next run stores the block anew"
            );
            harvest
                .problems
                .push(ProblemKind::ObjectsUnsettled.at(ulid.to_string(), detail));
        }
        Ok(())
    }

    /// Marks what turned out to be damaged while blocks were stored, and gives the captured blocks
    /// that rely on it.
    pub(super) fn distrust_suspects(&self, harvest: &mut Harvest) -> BTreeSet<Ulid> {
        let suspects = std::mem::take(&mut harvest.suspects);
        let suspects = suspects
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        for (object, found) in &suspects {
            let store = self.repository.store();
            // Without a mark the archives that name it have to wait for a check that reads it.
            let _ = damage::mark(store, object, found, harvest.time);
            harvest.has_marked = true;
            self.progress
                .remark(&format_args!("object {object} is damaged: {found}"));
        }
        harvest.known.distrust(suspects.keys());
        let blocks = harvest.stored().filter(|block| {
            let mut objects = block.objects();
            objects.any(|object| suspects.contains_key(&object.name))
        });
        blocks.map(|block| block.ulid).collect()
    }
}

/// Blocks that others name as parents come after those: with their child captured, they are not
/// needed.
fn waves(blocks: Vec<BlockSurvey>) -> [Vec<BlockSurvey>; 2] {
    let parents: BTreeSet<Ulid> = blocks.iter().flat_map(BlockSurvey::parents).collect();
    let (parents, others) = blocks
        .into_iter()
        .partition(|block| parents.contains(&block.ulid()));
    [others, parents]
}

/// A block that is damaged and now gone was being deleted file by file. Says whether there was one.
fn drop_half_deleted(harvest: &mut Harvest) -> bool {
    let before = harvest.blocks.len();
    harvest
        .blocks
        .retain(|_, block| !is_damaged(&block.stored) || block.dir.is_dir());
    harvest.blocks.len() < before
}

/// Whether what is missed under this name belongs to a log.
fn is_of_log(name: &str) -> bool {
    let top = name.split_once('/').map_or(name, |(top, _)| top);
    ["wal", "wbl"].contains(&top)
}
