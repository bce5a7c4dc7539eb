//! What a Prometheus will make of what a restore brings back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};

use super::context::Context;
use super::logs;
use crate::block::{
    Block, BlockFiles, BlockStats, Compaction, META_VERSION, Meta, Parent, read_meta,
};
use crate::chunk::Encodings;
use crate::error::Result;
use crate::index::Series;
use crate::model::{Millis, Ulid, now};
use crate::progress::Silent;
use crate::raw::ReadMode;
use crate::report::start as report;
use crate::repository::{StoredBlock, StoredWal};
use crate::restore::{HeadPlan, RestorePlan, RestoreReport};
use crate::start::{
    self, Assumptions, BlockFacts, DEFAULT_RETENTION, Facts, Obstacle, Opens, ReplayFacts, Stage,
    StepKind,
};
use crate::units::{duration_text, time_text};
use crate::verify::{Consequence, Depth, Kind, Verdict, VerifyOptions, verify};
use crate::wal::{Log, Logs};

/// The newest sample that comes back, and the start of a Prometheus on it.
pub(super) struct Outlook {
    newest: Option<Millis>,
    start: start::StartPlan,
    /// The directory that the start is on.
    dir: PathBuf,
    /// Blocks on which a Prometheus does not start, and what is wrong with each.
    fatal: Vec<(Ulid, Vec<String>)>,
    /// What else keeps it from starting, in sentences; `true` of logs, without which it would
    /// start.
    others: Vec<(String, bool)>,
    /// Whether nothing but the manifest was looked at.
    is_by_manifest: bool,
    /// Of how many blocks, those that end before the default retention reaches back.
    aged: (usize, usize),
}

impl Outlook {
    /// Before anything is restored, by what was found when it was archived.
    pub(super) fn of_plan(plan: &RestorePlan<'_>) -> Self {
        let whole = plan.blocks.iter().filter(|block| !plan.cuts(block));
        let mut facts = Facts {
            blocks: whole.map(|block| facts_of(block)).collect(),
            ..Facts::default()
        };
        let problem = plan.wal.and_then(logs::start_problem);
        if let Some(wal) = plan.wal {
            facts.wal = Some(ReplayFacts {
                times: wal.min_time.zip(wal.max_time),
                samples: wal.samples,
                ..ReplayFacts::default()
            });
            facts.head_bytes = wal.bytes();
        }
        if problem.is_some() {
            facts.obstacles.push(Obstacle {
                stage: Stage::Opening,
                path: Log::Wal.name().into(),
                what: Kind::WalBroken.id().to_owned(),
            });
        }
        let start = start::plan(&facts, &assumed());
        Self::new(newest(plan), start, Path::new(""), problem.as_deref(), true).ageing(plan)
    }

    /// After a restore into `dir`, by what is there now.
    pub(super) fn of_dir(
        plan: &RestorePlan<'_>,
        report: &RestoreReport,
        dir: &Path,
        context: &Context<'_>,
    ) -> Self {
        let options = VerifyOptions {
            depth: Depth::Opening,
            read_mode: context.read_mode,
            start: assumed(),
            ..VerifyOptions::default()
        };
        match verify(dir, options, &Silent) {
            Ok(Verdict {
                start: Some(start),
                logs,
                ..
            }) => {
                let problem = logs.as_ref().and_then(Logs::start_problem);
                Self::new(
                    newest_restored(plan, report, dir, context.read_mode),
                    start,
                    dir,
                    problem.as_deref(),
                    false,
                )
                .ageing(plan)
            }
            // Nothing is there that could be started on.
            Ok(_) => Self::of_plan(plan),
            Err(error) => {
                let error = error.chain();
                context.progress.remark(&format_args!(
                    "what was restored cannot be looked at, so nothing is said of it but what its manifest does: {error}"
                ));
                Self::of_plan(plan)
            }
        }
    }

    fn new(
        newest: Option<Millis>,
        start: start::StartPlan,
        dir: &Path,
        log: Option<&str>,
        is_by_manifest: bool,
    ) -> Self {
        let mut fatal: BTreeMap<Ulid, Vec<String>> = BTreeMap::new();
        let mut others = Vec::new();
        for (path, what) in &start.obstacles {
            let name = path.strip_prefix(dir).unwrap_or(path);
            let ulid = name.to_str().and_then(|name| name.parse().ok());
            let is_log = [Log::Wal, Log::Wbl]
                .iter()
                .any(|log| name.starts_with(log.name()));
            match (ulid, log) {
                (Some(ulid), _) => {
                    let kinds = what.split(", ").map(str::to_owned);
                    fatal.entry(ulid).or_default().extend(kinds);
                }
                (None, Some(log)) if is_log => others.push((log.to_owned(), true)),
                (None, _) => others.push((format!("{} ({what})", name.display()), is_log)),
            }
        }
        others.dedup();
        Outlook {
            newest,
            start,
            dir: dir.to_owned(),
            fatal: fatal.into_iter().collect(),
            others,
            is_by_manifest,
            aged: (0, 0),
        }
    }

    /// With what a server does that scrapes, once it has written a block of its own.
    fn ageing(self, plan: &RestorePlan<'_>) -> Self {
        let begin = now().saturating_sub(DEFAULT_RETENTION);
        let old = plan.blocks.iter().filter(|block| block.max_time < begin);
        Outlook {
            aged: (old.count(), plan.blocks.len()),
            ..self
        }
    }

    /// Whether nothing is known that keeps a Prometheus from starting.
    pub(super) fn starts(&self) -> bool {
        self.start.starts()
    }

    /// Whether nothing is known either that keeps it from taking new samples.
    pub(super) fn takes_samples(&self) -> bool {
        self.starts() && self.start.find(StepKind::RefusesSamples).is_none()
    }

    /// Whether a start serves without a block that is there.
    pub(super) fn leaves_out(&self) -> bool {
        self.start.find(StepKind::LeavesOut).is_some()
    }

    fn text(&self) -> String {
        if self.starts() {
            let by = if self.is_by_manifest {
                ", by what was found in its blocks when they were archived"
            } else {
                ""
            };
            return format!("Prometheus will start on this{by}");
        }
        let fatal = self.fatal.iter();
        let fatal = fatal.map(|(ulid, kinds)| format!("{ulid} ({})", kinds.join(", ")));
        let others = self.others.iter().map(|(problem, is_log)| {
            let hint = if *is_log {
                ", so restore without the log: --no-wal"
            } else {
                ""
            };
            format!("{problem}{hint}")
        });
        let all: Vec<_> = fatal.chain(others).collect();
        format!("Prometheus will not start on this: {}", all.join("; "))
    }

    /// Adds what it says to an object of JSON.
    pub(super) fn add_to(&self, object: &mut Json) {
        let fatal = self.fatal.iter();
        let fatal = fatal.map(|(ulid, kinds)| json!({"block": ulid, "findings": kinds}));
        let others = self.others.iter().map(|(problem, is_log)| {
            let key = if *is_log { "log" } else { "problem" };
            json!({ key: problem })
        });
        let keeps: Json = fatal.chain(others).collect();
        let own = json!({
            "newest_sample": self.newest,
            "prometheus_starts": self.starts(),
            "keeps_from_starting": keeps,
            "start": report::to_json(&self.start),
            "blocks_older_than_default_retention": self.aged.0,
        });
        if let (Json::Object(object), Json::Object(own)) = (object, own) {
            object.extend::<Map<_, _>>(own);
        }
    }

    pub(super) fn print(&self, context: &mut Context<'_>) -> Result<()> {
        let newest = self.newest.map_or("none".to_owned(), time_text);
        context.print(format_args!("newest sample  {newest}\n"))?;
        let costs = |step: &start::StartStep| step.kind.costs_samples();
        if self.starts() && self.start.steps.iter().any(costs) {
            context.print(report::text(&self.start, &self.dir))?;
        }
        if let (old @ 1.., all) = self.aged {
            let retention = duration_text(DEFAULT_RETENTION);
            context.print(format_args!(
                "{old} of {all} blocks are older than {retention}, the default retention: a server that scrapes deletes them as soon as it has written a block of its own, \
                 unless --storage.tsdb.retention.time is longer\n"
            ))?;
        }
        context.print(format_args!("{}\n", self.text()))
    }
}

/// A start now, of the newest release, as its flags are by default.
fn assumed() -> Assumptions {
    Assumptions {
        now: Some(now()),
        ..Assumptions::default()
    }
}

/// Before which time the newest sample is that will come back, as far as manifests say.
fn newest(plan: &RestorePlan<'_>) -> Option<Millis> {
    let ends = plan.blocks.iter().map(|block| {
        let last = block.max_time.saturating_sub(1);
        match &plan.exact {
            Some(exact) => last.min(exact.part.range.last()),
            None => last,
        }
    });
    let head = plan.head.as_ref().and_then(HeadPlan::times);
    let head = head.map(|(_, last)| match &plan.exact {
        Some(exact) => last.min(exact.part.range.last()),
        None => last,
    });
    let logs = plan.wal.and_then(StoredWal::end);
    ends.chain(logs).chain(head).max()
}

/// Time of the newest sample that came back into `dir`, by the indexes of the blocks and the
/// archive's word of the log.
fn newest_restored(
    plan: &RestorePlan<'_>,
    report: &RestoreReport,
    dir: &Path,
    mode: ReadMode,
) -> Option<Millis> {
    let mut newest = plan.wal.filter(|_| report.wal).and_then(StoredWal::end);
    let blocks = report.blocks.iter().filter_map(|ulid| {
        let dir = dir.join(ulid.to_string());
        let meta = read_meta(&BlockFiles::scan(&dir).ok()?).ok()?;
        Some((meta.max_time.saturating_sub(1), dir))
    });
    let mut blocks: Vec<_> = blocks.collect();
    blocks.sort();
    for (end, dir) in blocks.into_iter().rev() {
        if newest.is_some_and(|newest| newest >= end) {
            break;
        }
        newest = newest.max(last_sample(&dir, end, mode));
    }
    newest
}

/// Time of the newest sample of the block in `dir`, none after `end`, as its index says; `None`
/// where no index does.
fn last_sample(dir: &Path, end: Millis, mode: ReadMode) -> Option<Millis> {
    let block = Block::open_damaged(dir, mode).ok()?;
    let index = block.index().ok()?;
    let (mut series, mut last) = (Series::default(), None);
    for entry in index.sound_series() {
        if entry.is_ok_and(|entry| entry.decode(&mut series).is_ok()) {
            let chunks = series.chunks.iter().filter(|chunk| chunk.min_time <= end);
            last = last.max(chunks.map(|chunk| chunk.max_time.min(end)).max());
        }
    }
    last
}

/// What the manifest says of a block.
fn facts_of(block: &StoredBlock) -> BlockFacts {
    let release = assumed().release;
    let with = |wanted: Consequence| {
        let found = |kind: &&Kind| block.findings.by_kind.contains_key(kind.id());
        let does = move |kind: &&Kind| kind.consequence_of(release.major, release.minor) == wanted;
        Kind::ALL
            .iter()
            .copied()
            .filter(move |kind| found(&kind) && does(&kind))
    };
    let fatal: Vec<_> = with(Consequence::DoesNotStart).map(Kind::id).collect();
    let opens = if with(Consequence::SkipsBlock).next().is_some() {
        Opens::LeftOut
    } else if fatal.is_empty() {
        Opens::Yes
    } else {
        Opens::Fails(fatal.join(", "))
    };
    let parent = |ulid: &Ulid| Parent {
        ulid: *ulid,
        min_time: block.min_time,
        max_time: block.max_time,
    };
    let meta = Meta {
        ulid: block.ulid,
        min_time: block.min_time,
        max_time: block.max_time,
        stats: BlockStats {
            num_samples: block.samples,
            num_series: block.series,
            num_chunks: block.chunks,
            ..BlockStats::default()
        },
        compaction: Compaction {
            level: i64::try_from(block.level).unwrap_or(i64::MAX),
            sources: block.sources.clone(),
            parents: block.parents.iter().map(parent).collect(),
            hints: block.hints.clone(),
            ..Compaction::default()
        },
        version: META_VERSION,
        extra: Map::new(),
    };
    BlockFacts {
        dir: block.ulid.to_string().into(),
        ulid: Some(block.ulid),
        meta: Some(meta),
        bytes: block.bytes(),
        times: None,
        encodings: Encodings::default(),
        opens,
    }
}
