//! The steps of a start, in the order in which Prometheus takes them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::facts::{Assumptions, BlockFacts, Facts, Obstacle, Opens, Stage};
use super::reach::{Reach, floor, is_selected};
use super::release::Release;
use super::replay::{refuse, replay};
use super::retention;
use super::step::{StartPlan, StartStep, StepKind};
use crate::block::Meta;
use crate::chunk::Encoding;
use crate::model::{Millis, Ulid};

/// A block that opens, with its metadata.
type Loaded<'a> = (&'a BlockFacts, &'a Meta);

/// Foretells a start.
pub fn plan(facts: &Facts, assumed: &Assumptions) -> StartPlan {
    let mut plan = StartPlan {
        assumed: *assumed,
        steps: Vec::new(),
        keeps: Vec::new(),
        floor: None,
        valid_from: None,
        obstacles: Vec::new(),
        replays: None,
    };
    let removed = facts.leftovers.iter().filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !name.starts_with("chunk_snapshot.") || assumed.release >= Release::SNAPSHOT_LEFTOVERS
    });
    let removed: Vec<_> = removed.cloned().collect();
    if !removed.is_empty() {
        plan.steps.push(StartStep {
            paths: removed,
            ..StartStep::of(StepKind::RemovesLeftovers)
        });
    }
    if stops(&mut plan, obstacles(facts, Stage::Opening)) {
        return plan;
    }
    let loaded: Vec<Loaded<'_>> = loaded(facts);
    let parents: BTreeSet<Ulid> = parents(&loaded);
    leave_out(&mut plan, facts);
    let broken = facts.blocks.iter().filter_map(|block| match &block.opens {
        // A block that was compacted into one that opens is deleted unopened.
        Opens::Fails(what) if block.ulid.is_none_or(|ulid| !parents.contains(&ulid)) => {
            Some((block.dir.clone(), what.clone()))
        }
        _ => None,
    });
    let mut broken: Vec<_> = broken.collect();
    broken.extend(obstacles(facts, Stage::Blocks));
    if stops(&mut plan, broken) {
        return plan;
    }
    let kept = delete(&mut plan, facts, &loaded, &parents);
    plan.keeps = kept.iter().map(|(_, meta)| meta.ulid).collect();
    merge(&mut plan, &kept);
    read(&mut plan, &kept);
    plan.floor = floor_of(&kept, assumed.release);
    let checkpoint = facts.wal.as_ref().and_then(|wal| wal.min_valid_time);
    let checkpoint = checkpoint.filter(|_| assumed.release >= Release::MIN_VALID_TIME);
    plan.valid_from = plan.floor.map(|(_, end)| end).max(checkpoint);
    if stops(&mut plan, obstacles(facts, Stage::Replay)) {
        return plan;
    }
    for (path, detail) in &facts.rebuilt {
        plan.steps.push(StartStep {
            paths: vec![path.clone()],
            detail: detail.clone(),
            ..StartStep::of(StepKind::RebuildsHead)
        });
    }
    replay(&mut plan, facts);
    refuse(&mut plan, facts);
    plan
}

fn loaded(facts: &Facts) -> Vec<Loaded<'_>> {
    let opened = facts
        .blocks
        .iter()
        .filter(|block| block.opens == Opens::Yes);
    let mut loaded: Vec<_> = opened
        .filter_map(|block| Some((block, block.meta.as_ref()?)))
        .collect();
    loaded.sort_by_key(|(block, meta)| (meta.min_time, meta.max_time, &block.dir));
    loaded
}

fn parents(loaded: &[Loaded<'_>]) -> BTreeSet<Ulid> {
    let parents = loaded.iter().flat_map(|(_, meta)| &meta.compaction.parents);
    parents.map(|parent| parent.ulid).collect()
}

fn obstacles(facts: &Facts, stage: Stage) -> Vec<(PathBuf, String)> {
    let at = facts.obstacles.iter().filter(|it| it.stage == stage);
    at.map(|Obstacle { path, what, .. }| (path.clone(), what.clone()))
        .collect()
}

/// Ends the plan where anything is in the way.
fn stops(plan: &mut StartPlan, obstacles: Vec<(PathBuf, String)>) -> bool {
    let what: BTreeSet<_> = obstacles.iter().map(|(_, what)| what.clone()).collect();
    let detail = what.into_iter().collect::<Vec<_>>().join(", ");
    let mut paths: Vec<_> = obstacles.iter().map(|(path, _)| path.clone()).collect();
    paths.dedup();
    plan.obstacles = obstacles;
    let ends = !paths.is_empty();
    if ends {
        plan.steps.push(StartStep {
            paths,
            detail,
            ..StartStep::of(StepKind::Stops)
        });
    }
    ends
}

fn leave_out(plan: &mut StartPlan, facts: &Facts) {
    let out = facts
        .blocks
        .iter()
        .filter(|block| block.opens == Opens::LeftOut);
    let paths: Vec<_> = out.map(|block| block.dir.clone()).collect();
    if !paths.is_empty() {
        plan.steps.push(StartStep {
            paths,
            ..StartStep::of(StepKind::LeavesOut)
        });
    }
}

/// Says what is deleted, and returns what stays. A block is named once, by the first reason.
fn delete<'a>(
    plan: &mut StartPlan,
    facts: &'a Facts,
    loaded: &[Loaded<'a>],
    parents: &BTreeSet<Ulid>,
) -> Vec<Loaded<'a>> {
    let newest_first = retention::newest_first(loaded);
    let young = retention::young(&newest_first, &plan.assumed);
    let small = retention::small(&newest_first, facts.head_bytes, &plan.assumed);
    let of = |blocks: &[Loaded<'_>]| -> BTreeSet<Ulid> {
        blocks.iter().map(|(_, meta)| meta.ulid).collect()
    };
    let after = |kept: usize| of(newest_first.get(kept..).unwrap_or_default());
    let marked: Vec<_> = loaded
        .iter()
        .copied()
        .filter(|(_, meta)| meta.compaction.deletable)
        .collect();
    let unopened = facts.blocks.iter().filter_map(|block| block.ulid);
    let there: BTreeSet<Ulid> = unopened.chain(of(loaded)).collect();
    let replaced = parents.iter().copied().filter(|ulid| there.contains(ulid));
    let reasons = [
        (StepKind::DeletesParents, replaced.collect()),
        (StepKind::DeletesMarked, of(&marked)),
        (StepKind::DeletesOld, after(young)),
        (StepKind::DeletesLarge, after(small)),
    ];
    let mut gone = BTreeSet::new();
    for (kind, blocks) in reasons {
        let blocks: Vec<Ulid> = blocks.difference(&gone).copied().collect();
        gone.extend(blocks.iter().copied());
        if blocks.is_empty() {
            continue;
        }
        let concerned = loaded
            .iter()
            .filter(|(_, meta)| blocks.contains(&meta.ulid));
        let times = concerned.filter_map(|(block, _)| block.times);
        plan.steps.push(StartStep {
            blocks: blocks.clone(),
            times: times.reduce(|(a, b), (c, d)| (a.min(c), b.max(d))),
            samples: samples_of(loaded, &blocks),
            ..StartStep::of(kind)
        });
    }
    let stays = |(_, meta): &&Loaded<'a>| !gone.contains(&meta.ulid);
    loaded.iter().filter(stays).copied().collect()
}

fn samples_of(loaded: &[Loaded<'_>], blocks: &[Ulid]) -> Option<u64> {
    let mut found = loaded
        .iter()
        .filter(|(_, meta)| blocks.contains(&meta.ulid))
        .peekable();
    found.peek()?;
    Some(
        found
            .map(|(_, meta)| meta.stats.num_samples)
            .fold(0, u64::saturating_add),
    )
}

fn merge(plan: &mut StartPlan, kept: &[Loaded<'_>]) {
    let mut blocks = BTreeSet::new();
    let mut latest: Option<&Meta> = None;
    for (_, meta) in kept {
        if let Some(before) = latest.filter(|before| meta.min_time < before.max_time) {
            blocks.extend([before.ulid, meta.ulid]);
        }
        if latest.is_none_or(|before| meta.max_time > before.max_time) {
            latest = Some(meta);
        }
    }
    if blocks.is_empty() {
        return;
    }
    let aggregates = kept.iter().filter(|(block, _)| block.is_aggregate());
    let aggregates = aggregates.filter(|(_, meta)| blocks.contains(&meta.ulid));
    let aggregates: Vec<_> = aggregates.map(|(_, meta)| meta.ulid.to_string()).collect();
    let (kind, detail) = if aggregates.is_empty() {
        (StepKind::MergesOverlaps, String::new())
    } else {
        let detail = format!("{} hold aggregates of Thanos", aggregates.join(", "));
        (StepKind::CannotCompact, detail)
    };
    plan.steps.push(StartStep {
        blocks: blocks.into_iter().collect(),
        detail,
        ..StartStep::of(kind)
    });
}

/// Chunks that the release cannot read, and the release that could.
fn read(plan: &mut StartPlan, kept: &[Loaded<'_>]) {
    let release = plan.assumed.release;
    let too_new = |encoding: &Encoding| {
        Release::reading_chunks(*encoding).is_some_and(|since| since > release)
    };
    let mut needed = BTreeSet::new();
    let mut names = BTreeSet::new();
    let mut blocks = Vec::new();
    for (block, meta) in kept {
        let new: Vec<_> = block.encodings.known().filter(too_new).collect();
        if !new.is_empty() {
            blocks.push(meta.ulid);
        }
        needed.extend(new.iter().filter_map(|it| Release::reading_chunks(*it)));
        names.extend(new.iter().map(ToString::to_string));
    }
    let aggregates = kept.iter().filter(|(block, _)| block.is_aggregate());
    let aggregates: Vec<_> = aggregates.map(|(_, meta)| meta.ulid).collect();
    if !aggregates.is_empty() {
        plan.steps.push(StartStep {
            blocks: aggregates,
            detail: "aggregates of Thanos, which no Prometheus reads".to_owned(),
            ..StartStep::of(StepKind::CannotAnswer)
        });
    }
    if let Some(needed) = needed.last() {
        let names: Vec<_> = names.into_iter().collect();
        plan.steps.push(StartStep {
            blocks,
            detail: format!("{}, which need Prometheus {needed}", names.join(" and ")),
            ..StartStep::of(StepKind::CannotRead)
        });
    }
}

fn floor_of(kept: &[Loaded<'_>], release: Release) -> Option<(Ulid, Millis)> {
    let end = floor(kept.iter().map(|(_, meta)| *meta), release)?;
    // The block that makes it; one that does not count may end at the same time.
    let block = kept
        .iter()
        .find(|(_, meta)| floor([*meta], release) == Some(end))?;
    Some((block.1.ulid, end))
}

impl Facts {
    /// Whether one of the blocks that hold selected series of the head only covers these times.
    pub fn is_in_selected_series(&self, times: Option<(Millis, Millis)>) -> bool {
        let Some((first, last)) = times else {
            return false;
        };
        let metas = self.blocks.iter().filter_map(|block| block.meta.as_ref());
        metas
            .filter(|meta| is_selected(meta))
            .any(|meta| meta.min_time <= first && last < meta.max_time)
    }

    /// Whether any samples that came late are in the WBL, in `chunks_head` or in blocks of their
    /// own.
    pub fn has_late_samples(&self) -> bool {
        let is_late = |block: &BlockFacts| {
            let meta = block.meta.as_ref();
            meta.is_some_and(|meta| meta.has_hint("from-out-of-order"))
        };
        self.late_chunks.is_some()
            || self.wbl.as_ref().is_some_and(|wbl| wbl.samples > 0)
            || self.blocks.iter().any(is_late)
    }

    /// Each block whose range cannot be true, with the ways.
    pub fn out_of_reach(&self, now: Option<Millis>) -> impl Iterator<Item = (&BlockFacts, Reach)> {
        let known = self
            .blocks
            .iter()
            .filter_map(|block| Some((block, block.meta.as_ref()?)));
        known.flat_map(move |(block, meta)| {
            let found = Reach::of(meta, block.times, now);
            found.into_iter().map(move |reach| (block, reach))
        })
    }
}
