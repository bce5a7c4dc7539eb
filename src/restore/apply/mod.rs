//! Carrying a plan out.

mod beside;
mod cut;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use super::exact::{CutOutcome, Exact};
use super::head::HeadOutcome;
use super::plan::RestorePlan;
use super::salvage::Salvaged;
use super::stage::{Stage, Target};
use super::stand_in::{Cover, Past, StandIn, stand_ins};
use super::work::{Failed, STAGED_LOGS, Staged, Work};
use crate::error::{Error, Result};
use crate::model::{Millis, TimeRange, Ulid};
use crate::progress::Progress;
use crate::repository::copies::Copies;
use crate::repository::lineage::{gaps, kin};
use crate::repository::portable::spread;
use crate::repository::{Archive, ArchiveGap, StoredBlock, StoredObject, expect_blocks};
use crate::stored::Detour;
use beside::put_beside;

/// What a restore did.
#[derive(Debug, Default)]
pub struct RestoreReport {
    /// Blocks that are in the target now, under the ULIDs they have there.
    pub blocks: Vec<Ulid>,
    /// What became of the blocks that were to be cut.
    pub cut: Vec<CutOutcome>,
    /// Whether the WAL is.
    pub wal: bool,
    /// What became of the newest hours, where they were to come as a block.
    pub head: Option<HeadOutcome>,
    /// Bytes that were written.
    pub bytes: u64,
    /// Begin and end, exclusive, of the time that these blocks and logs are of, as far as
    /// manifests say.
    pub time: Option<(Millis, Millis)>,
    /// What could not be restored.
    pub failed: Vec<Failed>,
    /// What came whole, and not from its own objects alone.
    pub detours: Vec<Detour>,
    /// Blocks that could not be restored, and those that came in their place and hold the same
    /// samples.
    pub stand_ins: Vec<StandIn>,
    /// What was wrong with the former.
    pub reasons: Vec<Failed>,
    /// What could be read of blocks that could not be restored, and came as new blocks.
    pub salvaged: Vec<Salvaged>,
    /// Blocks of which not all small files could be read, and that came with those of another
    /// archive; and what is wrong with their own.
    pub mixed: Vec<Failed>,
    /// Blocks that came in the place of lost ones and hold a part of what those held.
    pub beside: Vec<Ulid>,
    /// Time of blocks that could not be restored, and that no block holds now.
    pub holes: Vec<ArchiveGap>,
    /// Why the hidden directory could not be removed.
    pub left_behind: Option<Error>,
}

/// Brings back what `plan` says, from the repository of `copies` into `target`. What is damaged is
/// looked for in all of the repository.
///
/// # Errors
///
/// When the target fails (disk full, permission denied, a name that is taken), in which case
/// nothing that was staged is left; or when nothing at all could be restored, or nothing is left of
/// blocks that are cut. Damage in the repository is not an error as long as anything else is
/// restored: the report names it.
pub fn apply(
    plan: &RestorePlan<'_>,
    copies: &Copies,
    target: &Target,
    progress: &dyn Progress,
) -> Result<RestoreReport> {
    let known = OnceCell::new();
    let stage = Stage::new(target, plan.permissions)?;
    progress.begin("restore", Some(plan.bytes()));
    let work = Work::new(copies, &stage, progress);
    let mut report = RestoreReport::default();
    let bytes = |block: &&StoredBlock| block.bytes();
    let mut done: Vec<(&StoredBlock, Staged)> = Vec::new();
    let mut lost: Vec<(&StoredBlock, Error)> = Vec::new();
    let mut queue = plan.blocks.clone();
    let planned: BTreeSet<_> = plan.blocks.iter().map(|block| block.ulid).collect();
    let mut seen: BTreeSet<Ulid> = BTreeSet::new();
    // Each round has other blocks than those before, so it ends.
    while !queue.is_empty() {
        let is_first = seen.is_empty();
        seen.extend(queue.iter().map(|block| block.ulid));
        expect_blocks(copies.store(), &queue);
        if let Some(wal) = plan.wal.filter(|_| is_first) {
            let objects: Vec<_> = wal.objects().map(StoredObject::listed).collect();
            copies.store().expect(&objects);
        }
        let outcomes = spread(&queue, bytes, |block| match &plan.exact {
            Some(exact) if exact.cuts(block) => work.stage_cut(block, exact),
            _ => work.stage_whole(block),
        })?;
        let mut came = Vec::new();
        for (block, outcome) in queue.drain(..).zip(outcomes) {
            match outcome {
                Ok(staged) => came.push((block, staged)),
                Err(error) => lost.push((block, error)),
            }
        }
        if is_first {
            done = came;
        } else {
            let past = known.get_or_init(Past::default);
            lost.extend(put_beside(&mut done, came, past));
        }
        if let Some(source) = plan.kin_of.as_ref().filter(|_| !lost.is_empty()) {
            let all = || copies.archives().iter();
            let blocks = |archive| {
                let archive: &Archive = archive;
                &archive.blocks
            };
            let past = known.get_or_init(|| {
                Past::of(all().flat_map(blocks).chain(plan.blocks.iter().copied()))
            });
            let mut present: Vec<_> = done.iter().map(|(block, _)| kin(block)).collect();
            present.extend(plan.present.iter().cloned());
            // The target is not to lose what it holds.
            let there = |ulid: &Ulid| plan.present.iter().any(|kin| kin.ulid == *ulid);
            let find = |lost: &[&StoredBlock], is_near: bool| {
                let near = all().filter(|archive| !is_near || archive.source_name == *source);
                let mut found = stand_ins(near.flat_map(blocks), lost, &seen, &present, past);
                found.retain(|block| !block.parents.iter().any(there));
                found
            };
            // What only those hold that came in their place and failed as well, nobody asked for.
            let asked = lost
                .iter()
                .filter(|(block, _)| planned.contains(&block.ulid));
            let mut gone: Vec<_> = asked.map(|(block, _)| *block).collect();
            queue = find(&gone, true);
            if queue.is_empty() {
                // A server may have been archived under another name before.
                let came: Vec<_> = done.iter().map(|(block, _)| *block).collect();
                let cover = Cover::of(&came, past);
                gone.retain(|block| cover.by(block).is_none());
                queue = find(&gone, false);
            }
        }
    }
    let came: Vec<_> = done.iter().map(|(block, _)| *block).collect();
    let past = known.get_or_init(Past::default);
    let cover = Cover::of(if lost.is_empty() { &[] } else { &came }, past);
    for (block, error) in lost {
        if let Some(mut stand_in) = cover.by(block) {
            if planned.contains(&block.ulid) {
                if let Some(source) = &plan.kin_of {
                    stand_in.sources = foreign(copies, &stand_in.by, source);
                }
                report.reasons.push(Failed {
                    name: block.ulid.to_string(),
                    error,
                    salvageable: false,
                });
                report.stand_ins.push(stand_in);
            }
        } else if planned.contains(&block.ulid) {
            let (error, salvaged) = work.salvage_lost(plan, block, error)?;
            if let Some(mut salvaged) = salvaged {
                salvaged.reason = error;
                report.salvaged.push(salvaged);
            } else {
                report.failed.push(Failed {
                    name: block.ulid.to_string(),
                    error,
                    salvageable: work.may_salvage(plan, block),
                });
            }
        }
    }
    let mut staged = Vec::new();
    let originals = plan.blocks.iter().map(|block| (block.ulid, *block));
    let originals: BTreeMap<Ulid, &StoredBlock> = originals.collect();
    let came = report.salvaged.iter().filter(|it| it.block.is_some());
    let came: Vec<_> = came
        .filter_map(|it| originals.get(&it.original).copied())
        .collect();
    for block in came {
        report.cover((block.min_time, block.max_time));
    }
    for salvaged in &report.salvaged {
        staged.extend(salvaged.block.map(|made| (made.ulid, made.bytes)));
        if salvaged.others.is_empty() {
            continue;
        }
        // What was read for it stands in for nothing any more.
        let original = originals.get(&salvaged.original);
        done.retain(|(other, _)| {
            planned.contains(&other.ulid)
                || !salvaged.others.contains(&other.ulid)
                || original.is_none_or(|block| !kin(other).atoms.is_subset(&kin(block).atoms))
        });
    }
    let named: BTreeSet<_> = report.stand_ins.iter().flat_map(|it| &it.by).collect();
    let others = done.iter().map(|(block, _)| block.ulid);
    let others = others.filter(|ulid| !planned.contains(ulid) && !named.contains(ulid));
    report.beside = others.collect();
    for failed in &report.failed {
        let ulid = failed.name.parse::<Ulid>().ok();
        if let Some(block) = ulid.and_then(|ulid| originals.get(&ulid)) {
            let range = TimeRange {
                since: block.min_time,
                until: block.max_time,
            };
            let there = done.iter().map(|(block, _)| *block);
            report.holes.extend(gaps(there, range));
        }
    }
    for (block, outcome) in done {
        if !matches!(&outcome, Staged::Cut(CutOutcome { block: None, .. })) {
            let whole = (block.min_time, block.max_time);
            let exact = plan.exact.as_ref().filter(|exact| exact.cuts(block));
            report.cover(exact.map_or(whole, |exact| {
                let range = exact.part.range;
                (whole.0.max(range.since), whole.1.min(range.until))
            }));
        }
        match outcome {
            Staged::Whole => staged.push((block.ulid, block.bytes())),
            Staged::Cut(cut) => {
                staged.extend(cut.block.map(|made| (made.ulid, made.bytes)));
                report.cut.push(cut);
            }
        }
    }
    let mut logs = Vec::new();
    if let Some(wal) = plan.wal {
        match work.stage_wal(wal, plan.kin_of.as_deref())? {
            Ok(staged) => logs = staged,
            // Half a log is worse than none: Prometheus refuses to start, or cuts it.
            Err(error) => report.fail("wal".to_owned(), error),
        }
    }
    if let Some(head) = &plan.head {
        let (exact, kin_of) = (plan.exact.as_ref(), plan.kin_of.as_deref());
        match work.stage_head(head, exact, kin_of, &plan.present)? {
            Ok(made) => {
                if let Some((block, times)) = made.block.zip(made.times) {
                    staged.push((block.ulid, block.bytes));
                    report.cover(head_time(times, exact));
                }
                report.head = Some(made);
            }
            Err(error) => report.fail("head".to_owned(), error),
        }
    }
    progress.end();
    (report.detours, report.mixed) = work.told();
    if staged.is_empty()
        && logs.is_empty()
        && let Some(failed) = report.failed.pop()
    {
        let name = &failed.name;
        let hint = failed.hint();
        let nothing = format!("nothing could be restored: {name}{hint}");
        return Err(failed.error.context(nothing));
    }
    let is_new = |head: &&HeadOutcome| !head.is_there;
    let heads = report.head.iter().filter(is_new).count();
    let count = report.cut.len() + report.salvaged.len() + heads;
    if staged.is_empty() && logs.is_empty() && count > 0 {
        return Err(Error::not_found(format!(
            "nothing is left of the {count} blocks of this time: no series that is selected has a sample there"
        )));
    }
    for (ulid, bytes) in staged {
        let name = ulid.to_string();
        stage.publish(&name, &name)?;
        report.blocks.push(ulid);
        report.bytes = report.bytes.saturating_add(bytes);
    }
    // A WAL says that the restore is complete: nothing of it may survive a power cut that a block
    // does not.
    stage.sync()?;
    for log in logs {
        stage.publish(&format!("{STAGED_LOGS}/{log}"), log)?;
        report.wal = true;
    }
    if let Some(wal) = plan.wal.filter(|_| report.wal) {
        report.bytes = report.bytes.saturating_add(wal.bytes());
        if let Some((first, last)) = wal.min_time.zip(wal.end()) {
            report.cover((first, last.saturating_add(1)));
        }
    }
    report.left_behind = stage.finish()?;
    Ok(report)
}

impl RestoreReport {
    fn cover(&mut self, (begin, end): (Millis, Millis)) {
        let (first, last) = self.time.unwrap_or((begin, end));
        self.time = Some((first.min(begin), last.max(end)));
    }

    fn fail(&mut self, name: String, error: Error) {
        self.failed.push(Failed {
            name,
            error,
            salvageable: false,
        });
    }
}

/// Begin and end, exclusive, of what came of a head with samples at these times, both included.
fn head_time((first, last): (Millis, Millis), exact: Option<&Exact>) -> (Millis, Millis) {
    let range = exact.map_or(TimeRange::ALL, |exact| exact.part.range);
    let end = last.saturating_add(1).min(range.until);
    (first.max(range.since), end)
}

/// The sources of which archives have those of `blocks` that no archive of `source` has.
fn foreign(copies: &Copies, blocks: &[Ulid], source: &str) -> BTreeSet<String> {
    let names = blocks.iter().filter_map(|ulid| {
        let names = copies.sources_of(*ulid);
        if names.contains(source) {
            None
        } else {
            names.first().map(|name| (*name).to_owned())
        }
    });
    names.collect()
}
