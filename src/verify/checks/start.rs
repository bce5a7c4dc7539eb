//! What a start would do with the directory: its facts, the plan that follows from them, and what
//! of it is a finding.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::directory::{self, about_path};
use super::head::{self, Head};
use super::hidden;
use crate::block::{DataDir, EntryKind, Meta};
use crate::model::Millis;
use crate::start::{
    BlockFacts, Facts, LogCut, Obstacle, Opens, Reach, Release, ReplayFacts, Stage, StartPlan,
    StepKind, TOLERANCE, floor, plan,
};
use crate::units::coarse_duration_text;
use crate::verify::{BlockVerdict, Consequence, FaultLoss, Finding, Findings, Kind, VerifyOptions};
use crate::wal::{self, Logs, Oddity, ProblemKind};

/// How deep directories of the head are: a WAL holds checkpoints, and these segments.
const DEPTH: u32 = 3;

/// What has been read of a directory.
pub(in crate::verify) struct Read<'a> {
    pub(in crate::verify) scanned: &'a DataDir,
    pub(in crate::verify) blocks: &'a [BlockVerdict],
    pub(in crate::verify) logs: Option<&'a Logs>,
    pub(in crate::verify) head: Head,
}

/// Foretells a start on the directory and adds findings about what cannot be seen in any part of it
/// alone.
pub(in crate::verify) fn foretell(
    read: Read<'_>,
    options: VerifyOptions,
    findings: &mut Findings,
) -> StartPlan {
    let Read {
        scanned,
        blocks,
        logs,
        head,
    } = read;
    let assumed = options.start;
    let mut facts = facts(scanned, blocks, logs, assumed.release);
    // What is stored decides what of the head is looked at; it follows from the blocks alone.
    let stored = plan(&facts, &assumed);
    let floor = stored.valid_from.unwrap_or(i64::MIN);
    head::check(scanned, head, floor, logs, options, &mut facts, findings);
    // Where the border is wrong, what retention deletes because of it is lost from the log as well;
    // where it is right, the log's copies of deleted blocks may go with them.
    let is_wrong = facts
        .out_of_reach(assumed.now)
        .any(|(block, _)| block.ulid == stored.floor.map(|(ulid, _)| ulid));
    let is_kept = |block: &BlockFacts| {
        block.opens == Opens::Yes
            && (!is_wrong || block.ulid.is_some_and(|ulid| stored.keeps.contains(&ulid)))
    };
    let held = held(&facts, blocks, &is_kept);
    if let Some(wal) = &mut facts.wal {
        wal.hidden = hidden::count(scanned, logs, held, floor, options.read_mode);
    }
    let foretold = plan(&facts, &assumed);
    reach(scanned, &facts, &foretold, options, findings);
    future(scanned, &facts, &foretold, logs, findings);
    too_old(&foretold, findings, scanned);
    foretold
}

/// What blocks hold of the time that a start takes for stored; `blocks` are what was read of those
/// in `facts`, in the same order.
fn held(
    facts: &Facts,
    blocks: &[BlockVerdict],
    is_kept: &dyn Fn(&BlockFacts) -> bool,
) -> hidden::Held {
    let mut held = hidden::Held::default();
    // Of what was only opened nothing but the range is known.
    let range = |meta: &Meta| (meta.min_time, meta.max_time.saturating_sub(1));
    let kept = facts.blocks.iter().zip(blocks);
    for (block, read) in kept.filter(|(block, _)| is_kept(block)) {
        let Some(times) = block.times.or(block.meta.as_ref().map(range)) else {
            continue;
        };
        if block.meta.as_ref().is_none_or(Meta::is_in_order) {
            held.dense.push(times);
        } else {
            held.sparse.push((times, read.stats.samples));
        }
    }
    // Before the oldest block there may have been others. Where one is there that is not loaded,
    // its samples are missed.
    let begins = facts.blocks.iter().filter_map(|block| match &block.meta {
        Some(meta) => meta.is_in_order().then_some(meta.min_time),
        None => Some(Millis::MIN),
    });
    held.since = begins.min().unwrap_or(Millis::MIN);
    held
}

fn facts(
    scanned: &DataDir,
    blocks: &[BlockVerdict],
    logs: Option<&Logs>,
    release: Release,
) -> Facts {
    let mut facts = Facts {
        blocks: blocks
            .iter()
            .map(|block| block_facts(scanned, block, release))
            .collect(),
        ..Facts::default()
    };
    let temporary = scanned.entries().iter().filter(|it| it.kind.is_temporary());
    facts.leftovers = temporary.map(|entry| entry.path.clone()).collect();
    for kind in [EntryKind::Wal, EntryKind::Wbl, EntryKind::ChunksHead] {
        let bytes = scanned.find(kind).map_or(0, |dir| bytes_below(dir, DEPTH));
        facts.head_bytes = facts.head_bytes.saturating_add(bytes);
    }
    for (kind, path, _) in directory::in_the_way(scanned) {
        facts.obstacles.push(Obstacle {
            stage: Stage::Opening,
            path,
            what: kind.id().to_owned(),
        });
    }
    let Some(logs) = logs else { return facts };
    let migrates = Kind::WalFirstNotAFile.consequence_of(release.major, release.minor);
    if migrates == Consequence::DoesNotStart
        && let Some((path, _)) = super::wal::first_not_a_file(scanned, logs)
    {
        facts.obstacles.push(Obstacle {
            stage: Stage::Opening,
            path,
            what: Kind::WalFirstNotAFile.id().to_owned(),
        });
    }
    for (log, summary) in logs.iter() {
        let dir = scanned.path().join(log.name());
        for problem in &summary.problems {
            let path = dir.join(&problem.path);
            if problem.kind == ProblemKind::UnfinishedCheckpoint {
                facts.leftovers.push(path);
            } else if matches!(
                problem.consequence,
                wal::LogConsequence::DoesNotStart | wal::LogConsequence::Destroys { .. }
            ) {
                // The names are looked at when the log is opened, its records when it is replayed.
                let is_name = matches!(
                    problem.kind,
                    ProblemKind::Gap { .. } | ProblemKind::DuplicateNumber(_)
                );
                let stage = if is_name && problem.path.is_empty() {
                    Stage::Opening
                } else {
                    Stage::Replay
                };
                let what = super::wal::kind_of(problem).id().to_owned();
                facts.obstacles.push(Obstacle { stage, path, what });
            }
        }
        let replayed = ReplayFacts {
            times: summary.replayed.times.filter(|_| {
                // Samples of series that nothing defines are passed over.
                summary.undefined.samples < summary.replayed.samples()
            }),
            samples: summary.replayed.samples(),
            records: summary.replayed.records.keys().copied().collect(),
            zstd: summary.replayed.zstd > 0,
            min_valid_time: checkpoint_time(summary),
            mixed: summary.problems.iter().any(is_mixed),
            mixed_zstd: summary.problems.iter().any(is_mixed_zstd),
            gone: summary.replayed.gone > 0,
            cut: cut(summary, &dir),
            hidden: None,
        };
        match log {
            wal::Log::Wal => facts.wal = Some(replayed),
            wal::Log::Wbl => facts.wbl = Some(replayed),
        }
    }
    for (log, _) in &logs.unreadable {
        facts.obstacles.push(Obstacle {
            stage: Stage::Opening,
            path: scanned.path().join(log.name()),
            what: Kind::Unreadable.id().to_owned(),
        });
    }
    facts
}

/// What the first record of the newest checkpoint says; a start looks nowhere else.
fn checkpoint_time(summary: &wal::Summary) -> Option<Millis> {
    summary.checkpoint.first()?.contents.min_valid_time
}

fn is_mixed(problem: &wal::LogProblem) -> bool {
    problem.consequence == wal::LogConsequence::CutsInOldReleases
}

fn is_mixed_zstd(problem: &wal::LogProblem) -> bool {
    let oddity = Oddity::MixedZstd;
    matches!(&problem.kind, ProblemKind::Odd { oddity: found, .. } if *found == oddity)
}

/// Where damage ends the replay, if the start goes on all the same.
fn cut(summary: &wal::Summary, dir: &Path) -> Option<LogCut> {
    let damage = summary.first_damage()?;
    matches!(damage.consequence, wal::LogConsequence::Repairs { .. }).then(|| LogCut {
        path: dir.join(&damage.path),
        dropped: (summary.dropped.samples(), summary.dropped.times),
    })
}

fn block_facts(scanned: &DataDir, block: &BlockVerdict, release: Release) -> BlockFacts {
    let length = |name: &str| fs::metadata(block.dir.join(name)).map_or(0, |found| found.len());
    let entry = scanned
        .entries()
        .iter()
        .find(|entry| entry.path == block.dir);
    let is_link = entry.is_some_and(|entry| entry.kind == EntryKind::SymlinkedBlock);
    BlockFacts {
        dir: block.dir.clone(),
        ulid: block.meta.as_ref().map(|meta| meta.ulid).or(block.ulid),
        meta: block.meta.clone(),
        bytes: block.stats.bytes + length("meta.json") + length("tombstones"),
        times: block.stats.times,
        encodings: block.stats.encodings,
        opens: if is_link {
            Opens::LeftOut
        } else {
            opens(block, release)
        },
    }
}

/// Whether a start of `release` opens a block of which this was found.
fn opens(block: &BlockVerdict, release: Release) -> Opens {
    let with = |consequence| {
        let kinds = block.findings.counts().map(|(kind, _)| kind);
        kinds.filter(move |kind| kind.consequence_of(release.major, release.minor) == consequence)
    };
    // Metadata are read first: a block without them is not opened at all.
    if with(Consequence::SkipsBlock).next().is_some() {
        return Opens::LeftOut;
    }
    let mut fatal: BTreeSet<_> = with(Consequence::DoesNotStart).map(Kind::id).collect();
    if block.crashes_start {
        fatal.insert(Kind::PageUnreadable.id());
    }
    if fatal.is_empty() {
        Opens::Yes
    } else {
        Opens::Fails(fatal.into_iter().collect::<Vec<_>>().join(", "))
    }
}

/// Ranges that cannot be true, and samples of the log that are hidden behind the end of a block.
fn reach(
    scanned: &DataDir,
    facts: &Facts,
    foretold: &StartPlan,
    options: VerifyOptions,
    findings: &mut Findings,
) {
    let mut hidden = facts.wal.as_ref().and_then(|wal| wal.hidden);
    let mut said: BTreeSet<PathBuf> = BTreeSet::new();
    let all: Vec<_> = facts.out_of_reach(options.start.now).collect();
    for (block, reach) in all {
        let Some(meta) = &block.meta else { continue };
        let is_floor = foretold.floor.is_some_and(|(ulid, _)| ulid == meta.ulid);
        let kind = match reach {
            // One that never is the border only moves retention.
            Reach::Future(_) if floor([meta], options.start.release).is_none() => {
                Kind::BlockFutureLate
            }
            Reach::Future(_) => Kind::BlockFuture,
            // A range that ends in the future has been named.
            Reach::Late(_) if said.contains(&block.dir) => continue,
            Reach::Late(_) if is_floor => Kind::BlockRange,
            Reach::Late(_) | Reach::Early(_) => Kind::BlockRangeWide,
        };
        let (min, max) = (meta.min_time, meta.max_time);
        let detail =
            format!("expected a range about its samples, found {min} to {max}: the {reach}");
        said.insert(block.dir.clone());
        let loss = if is_floor && kind != Kind::BlockRangeWide {
            hidden.take()
        } else {
            None
        };
        findings.add(kind, || Finding {
            block: Some(meta.ulid),
            loss: loss.map(loss_of),
            ..about_path(kind, block.dir.join("meta.json")).saying(detail)
        });
    }
    if let (Some(hidden), Some(from)) = (hidden, foretold.valid_from) {
        let path = scanned.path().join(wal::Log::Wal.name());
        let floor = foretold.floor.filter(|(_, end)| *end == from);
        let detail = match floor {
            Some((ulid, end)) => format!(
                "expected these samples in block {ulid}, whose range ends at {end}, found them in the log only"
            ),
            None => format!(
                "expected these samples in blocks, since the checkpoint says so of all before {from}, found them in the log only"
            ),
        };
        findings.add(Kind::WalHidden, || Finding {
            block: floor.map(|(ulid, _)| ulid),
            loss: Some(loss_of(hidden)),
            ..about_path(Kind::WalHidden, path).saying(detail)
        });
    }
}

/// Logs and chunks of the head that are far ahead of the time of the start.
fn future(
    scanned: &DataDir,
    facts: &Facts,
    foretold: &StartPlan,
    logs: Option<&Logs>,
    findings: &mut Findings,
) {
    let Some(now) = foretold.assumed.now else {
        return;
    };
    let is_ahead = |time: &Millis| time.saturating_sub(now) > TOLERANCE;
    let mut say = |kind, path: PathBuf, what: &str, time: Millis| {
        findings.add(kind, || {
            let by = coarse_duration_text(time.saturating_sub(now));
            about_path(kind, path).saying(format!(
                "expected {what} no later than the start at {now}, found {time}: {by} ahead"
            ))
        });
    };
    let wal = scanned.path().join(wal::Log::Wal.name());
    let last = |times: Option<(Millis, Millis)>| times.map(|(_, last)| last).filter(is_ahead);
    let summary = |log| {
        logs.and_then(|logs| match log {
            wal::Log::Wal => logs.wal.as_ref(),
            wal::Log::Wbl => logs.wbl.as_ref(),
        })
    };
    if let Some(time) = summary(wal::Log::Wal)
        .and_then(checkpoint_time)
        .filter(is_ahead)
    {
        say(
            Kind::CheckpointFuture,
            wal.clone(),
            "a minimum valid time",
            time,
        );
    }
    if let Some(time) = last(facts.wal.as_ref().and_then(|wal| wal.times)) {
        say(
            Kind::LogFuture,
            newest_segment(summary(wal::Log::Wal), &wal),
            "samples",
            time,
        );
    }
    let chunks = scanned.find(EntryKind::ChunksHead);
    if let (Some(time), Some(dir)) = (last(facts.head_chunks), chunks) {
        say(Kind::LogFuture, dir.to_owned(), "samples", time);
    }
    if let Some(time) = last(facts.wbl.as_ref().and_then(|wbl| wbl.times)) {
        let wbl = scanned.path().join(wal::Log::Wbl.name());
        say(
            Kind::LogFutureLate,
            newest_segment(summary(wal::Log::Wbl), &wbl),
            "samples",
            time,
        );
    }
    if let (Some(time), Some(dir)) = (last(facts.late_chunks), chunks) {
        say(Kind::LogFutureLate, dir.to_owned(), "samples", time);
    }
}

/// The segment with the newest sample that is replayed.
fn newest_segment(summary: Option<&wal::Summary>, dir: &Path) -> PathBuf {
    let all = summary
        .into_iter()
        .flat_map(|log| log.checkpoint.iter().chain(&log.segments));
    let newest = all.max_by_key(|segment| segment.contents.times.map(|(_, last)| last));
    newest.map_or_else(|| dir.to_owned(), |segment| dir.join(&segment.path))
}

fn loss_of((samples, first, last): (u64, i64, i64)) -> FaultLoss {
    FaultLoss {
        times: Some((first, last)),
        chunks: 0,
        samples: Some(samples),
    }
}

/// What the release that was asked for cannot read.
fn too_old(foretold: &StartPlan, findings: &mut Findings, scanned: &DataDir) {
    if let Some(step) = foretold.find(StepKind::CannotRead) {
        for ulid in &step.blocks {
            findings.add(Kind::ReleaseChunks, || Finding {
                block: Some(*ulid),
                ..about_path(Kind::ReleaseChunks, scanned.path().join(ulid.to_string())).saying(
                    format!(
                        "Prometheus {} was asked for, found {}",
                        foretold.assumed.release, step.detail
                    ),
                )
            });
        }
    }
    let steps = foretold
        .steps
        .iter()
        .filter(|step| step.kind == StepKind::CannotReplay);
    for step in steps {
        let log = step
            .paths
            .first()
            .map_or(scanned.path().to_owned(), |log| scanned.path().join(log));
        findings.add(Kind::ReleaseLog, || {
            about_path(Kind::ReleaseLog, log).saying(format!(
                "Prometheus {} was asked for, found {}",
                foretold.assumed.release, step.detail
            ))
        });
    }
}

/// Bytes of all files below `dir`, down to `depth` levels; links are not followed.
fn bytes_below(dir: &Path, depth: u32) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() && depth > 1 => bytes_below(&entry.path(), depth - 1),
        Ok(found) if found.is_file() => found.len(),
        _ => 0,
    };
    entries.flatten().map(of).fold(0, u64::saturating_add)
}
