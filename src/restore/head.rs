//! The newest hours of an archive, which come back as a block that is made of its logs.

use super::exact::{CutBlock, Exact, is_of_target, verified_block};
use super::work::{Outcome, STAGED_LOGS, Work};
use crate::block::{Block, Meta};
use crate::cut::cut_block;
use crate::error::Result;
use crate::model::{Kin, Millis, TimeRange, Ulid};
use crate::progress::Silent;
use crate::raw::ReadMode;
use crate::replay::Head;
use crate::repository::{Archive, ArchiveGap, StoredWal};

/// What is wanted of the newest hours.
#[derive(Clone, Debug)]
pub struct HeadPlan<'a> {
    /// The logs that they are in.
    pub wal: &'a StoredWal,
    /// The end of the newest block of the archive with samples in order: what the WAL holds from
    /// before it is in blocks.
    pub since: Option<Millis>,
    /// How staged files are read.
    pub read_mode: ReadMode,
}

/// What became of the newest hours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeadOutcome {
    /// The block that was made of the logs; `None` where they hold no sample that is wanted, or
    /// where the target has this block already.
    pub block: Option<CutBlock>,
    /// Whether the target has it already.
    pub is_there: bool,
    /// Times of the first and the last sample of the head, of which [`block`](Self::block) may have
    /// a part.
    pub times: Option<(Millis, Millis)>,
    /// Samples of series that nothing defines, which no start reads: they are in no block.
    pub unknown: u64,
    /// What ends a log before its end, in words: what follows it is in no block.
    pub broken: Vec<String>,
}

/// The end of the newest block of `archive` beside its log with samples in order. Blocks of late
/// samples may end ahead of what is in the log.
pub fn in_order_end(archive: &Archive) -> Option<Millis> {
    let in_order = archive.blocks.iter().filter(|block| {
        let mut hints = block.hints.iter();
        !hints.any(|hint| Meta::KNOWN_HINTS.contains(&hint.as_str()))
    });
    in_order.map(|block| block.max_time).max()
}

impl HeadPlan<'_> {
    /// Times of the first and the last sample, as far as the manifest tells.
    pub fn times(&self) -> Option<(Millis, Millis)> {
        let (first, last) = self.wal.min_time.zip(self.wal.end())?;
        // Late samples may be from before the end of the blocks.
        let late = self.wal.late_times().map(|(first, _)| first);
        let first = self.since.map_or(first, |since| since.max(first));
        Some((late.map_or(first, |late| late.min(first)), last))
    }

    /// `gaps` without the time of the head.
    pub(super) fn fill(&self, gaps: &[ArchiveGap]) -> Vec<ArchiveGap> {
        let Some((first, last)) = self.times() else {
            return gaps.to_vec();
        };
        let end = last.saturating_add(1);
        let parts = gaps.iter().flat_map(|gap| {
            let before = ArchiveGap {
                max_time: gap.max_time.min(first),
                ..*gap
            };
            let behind = ArchiveGap {
                min_time: gap.min_time.max(end),
                ..*gap
            };
            [before, behind]
        });
        parts.filter(|gap| gap.min_time < gap.max_time).collect()
    }
}

impl Work<'_> {
    /// Stages the head: what is wanted of it, as `exact` says. Logs are staged, proved and replayed
    /// before, and gone after.
    pub(super) fn stage_head(
        &self,
        head: &HeadPlan<'_>,
        exact: Option<&Exact>,
        kin_of: Option<&str>,
        present: &[Kin],
    ) -> Result<Outcome<HeadOutcome>> {
        if let Err(damage) = self.stage_wal(head.wal, kin_of)? {
            self.stage.remove(STAGED_LOGS)?;
            return Ok(Err(damage));
        }
        let made = self.make_head(head, exact, present);
        self.stage.remove(STAGED_LOGS)?;
        if let Ok(HeadOutcome {
            block: Some(made), ..
        }) = &made
        {
            self.stage.give_permissions(&made.ulid.to_string())?;
        }
        match made {
            Err(error) if is_of_target(&error) => Err(error),
            made => Ok(made),
        }
    }

    fn make_head(
        &self,
        plan: &HeadPlan<'_>,
        exact: Option<&Exact>,
        present: &[Kin],
    ) -> Result<HeadOutcome> {
        let logs = self.stage.path(STAGED_LOGS);
        let head = Head::of_logs(&logs, plan.since, plan.read_mode, &Silent)?;
        let prefix = format!("{}/", logs.display());
        let broken = head.facts().broken.iter();
        let mut outcome = HeadOutcome {
            block: None,
            is_there: false,
            times: head.facts().times,
            unknown: head.facts().unknown,
            broken: broken.map(|why| why.replace(&prefix, "")).collect(),
        };
        let ulid = head.ulid();
        let is_wanted = exact.is_none_or(|exact| {
            let range: TimeRange = exact.part.range;
            let times = head.facts().times;
            times.is_some_and(|(first, last)| range.overlaps(first, last))
        });
        outcome.is_there = present.iter().any(|kin| kin.ulid == ulid);
        if !is_wanted || outcome.is_there {
            return Ok(outcome);
        }
        let Some(whole) = head.write_block(&self.stage.path(""), ulid)? else {
            return Ok(outcome);
        };
        let made = match exact {
            None => Some(whole),
            Some(exact) => {
                let block = Block::open(&whole, plan.read_mode)?;
                let own = Ulid::generate();
                let cut = cut_block(&block, &exact.part, &self.stage.path(""), own)?;
                drop(block);
                self.stage.remove(&ulid.to_string())?;
                cut
            }
        };
        outcome.block = made
            .map(|dir| verified_block(&dir, plan.read_mode, |_| false))
            .transpose()?;
        Ok(outcome)
    }
}
