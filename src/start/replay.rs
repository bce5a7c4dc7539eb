//! What a start replays from the logs, and which new samples it takes after that.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::facts::{Facts, LogCut, ReplayFacts};
use super::reach::TOLERANCE;
use super::release::Release;
use super::step::{StartPlan, StartStep, StepKind};
use crate::model::Millis;

/// What of the logs is replayed, and what is not.
pub(super) fn replay(plan: &mut StartPlan, facts: &Facts) {
    for (name, log) in [("wal", &facts.wal), ("wbl", &facts.wbl)] {
        if let Some(log) = log {
            understand(plan, name, log);
            if let Some(LogCut { path, dropped }) = &log.cut {
                plan.steps.push(StartStep {
                    paths: vec![path.clone()],
                    times: dropped.1,
                    samples: Some(dropped.0),
                    ..StartStep::of(StepKind::CutsLog)
                });
            }
        }
    }
    let Some(wal) = &facts.wal else { return };
    let floor = plan.valid_from.unwrap_or(Millis::MIN);
    plan.replays = wal
        .times
        .filter(|(_, last)| *last >= floor)
        .map(|(first, last)| (first.max(floor), last));
    if let Some((samples, first, last)) = wal.hidden {
        plan.steps.push(StartStep {
            times: Some((first, last)),
            samples: Some(samples),
            ..border(plan, StepKind::DropsLog)
        });
    }
}

/// Records that the release passes over.
fn understand(plan: &mut StartPlan, name: &str, log: &ReplayFacts) {
    let release = plan.assumed.release;
    let mut what = BTreeSet::new();
    let mut needed = BTreeSet::new();
    for kind in &log.records {
        let since = Release::replaying(*kind);
        // The minimum valid time holds no sample, and is found in the blocks as well.
        if since > release && *kind as u8 <= 13 {
            what.insert(format!("{}s", kind.name()));
            needed.insert(since);
        }
    }
    let zstd = Release::decompressing(crate::wal::Compression::Zstd);
    if log.zstd && zstd > release {
        what.insert("records compressed with Zstandard".to_owned());
        needed.insert(zstd);
    }
    if log.mixed && release < Release::LAST_FRAGMENT {
        what.insert("records whose fragments disagree about their compression".to_owned());
        needed.insert(Release::LAST_FRAGMENT);
    }
    // Releases that know zstd, and not yet the last fragment, keep what is compressed apart from
    // what is not.
    if log.mixed_zstd && (zstd..Release::LAST_FRAGMENT).contains(&release) {
        what.insert("records whose fragments disagree about zstd".to_owned());
        needed.insert(Release::LAST_FRAGMENT);
    }
    if log.gone && release < Release::STALE_SERIES {
        what.insert(
            "deletions of stale series, which hide what comes later of the same labels".to_owned(),
        );
        needed.insert(Release::STALE_SERIES);
    }
    if let Some(needed) = needed.last() {
        let what: Vec<_> = what.into_iter().collect();
        plan.steps.push(StartStep {
            paths: vec![PathBuf::from(name)],
            detail: format!("{}, which need Prometheus {needed}", what.join(", ")),
            ..StartStep::of(StepKind::CannotReplay)
        });
    }
}

/// A step because of the time before which samples are taken for stored: with the block or the
/// checkpoint that says it.
fn border(plan: &StartPlan, kind: StepKind) -> StartStep {
    match plan.floor {
        Some((ulid, end)) if plan.valid_from == Some(end) => StartStep {
            blocks: vec![ulid],
            ..StartStep::of(kind)
        },
        _ => StartStep {
            paths: vec![PathBuf::from("wal")],
            detail: "checkpoint".to_owned(),
            ..StartStep::of(kind)
        },
    }
}

/// New samples that are taken for stored, or for too old: those more than [`TOLERANCE`] before the
/// newest of the head, which is half of the shortest block.
pub(super) fn refuse(plan: &mut StartPlan, facts: &Facts) {
    let Some(now) = plan.assumed.now else { return };
    let is_ahead = |until: &Millis| until.saturating_sub(now) > TOLERANCE;
    let stored = plan.valid_from.filter(is_ahead);
    let logged = plan.replays.map(|(_, last)| last).filter(is_ahead);
    let chunks = facts.head_chunks.map(|(_, last)| last);
    let chunks = chunks
        .filter(is_ahead)
        .filter(|last| plan.valid_from.is_none_or(|from| *last >= from));
    let head = logged.max(chunks);
    let taken = head.map(|last| last.saturating_sub(TOLERANCE));
    let Some(until) = stored.max(taken) else {
        return;
    };
    let why = if stored >= taken {
        border(plan, StepKind::RefusesSamples)
    } else {
        let name = if logged >= chunks {
            "wal"
        } else {
            "chunks_head"
        };
        StartStep {
            paths: vec![PathBuf::from(name)],
            ..StartStep::of(StepKind::RefusesSamples)
        }
    };
    plan.steps.push(StartStep {
        times: Some((now, until)),
        ..why
    });
}
