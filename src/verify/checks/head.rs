//! `chunks_head` and chunk snapshots: what [`crate::head`] says of them, as findings and as facts
//! for a start.

use std::path::{Path, PathBuf};

use super::directory::about_path;
use crate::block::{DataDir, DirEntry, EntryKind};
use crate::error::Result;
use crate::head::{ChunkFate, Floor, HeadChunks, HeadProblem, Snapshots};
use crate::model::Millis;
use crate::raw::ReadMode;
use crate::start::{Facts, Obstacle, Stage};
use crate::verify::{FaultLoss, Finding, Findings, Kind, VerifyOptions};
use crate::wal::{HeadSpan, Logs, ReplayTally, Snapshot, Watch};

/// What a data directory keeps of the head beside its logs.
#[derive(Debug, Default)]
pub(in crate::verify) struct Head {
    /// `chunks_head`, read as a start does that takes samples before this time for stored.
    chunks: Option<(Millis, Result<HeadChunks>)>,
    snapshots: Option<Snapshots>,
}

/// Reads it, on the assumption that all blocks are opened.
pub(in crate::verify) fn read(scanned: &DataDir, mode: ReadMode) -> Head {
    let floor = || scanned.in_order_end().unwrap_or(Millis::MIN);
    let chunks = scanned.find(EntryKind::ChunksHead).map(|dir| {
        let floor = floor();
        (floor, HeadChunks::read(dir, Floor(floor), mode))
    });
    let is_snapshot = |entry: &DirEntry| {
        entry.path.file_name().is_some_and(|name| {
            name.to_string_lossy().starts_with("chunk_snapshot.") && !entry.kind.is_temporary()
        })
    };
    let has_snapshot = scanned.entries().iter().any(is_snapshot);
    let snapshots = has_snapshot.then(|| Snapshots::read(scanned.path(), mode).ok());
    Head {
        chunks,
        snapshots: snapshots.flatten(),
    }
}

impl Head {
    /// What is to be compared with the WAL: the chunks that a start keeps if the WAL defines their
    /// series, and the snapshot that it uses.
    pub(in crate::verify) fn watch(&self) -> Watch {
        let chunks = self
            .chunks
            .as_ref()
            .and_then(|(_, found)| found.as_ref().ok());
        let kept = chunks.filter(|found| found.is_kept());
        let spans = kept.map_or_else(Vec::new, |found| found.spans.clone());
        let used = self
            .snapshots
            .as_ref()
            .filter(|found| found.problems.is_empty());
        let snapshot = used.and_then(|found| {
            let (_, segment, _) = found.newest.as_ref()?;
            Some(Snapshot {
                series: found.series.clone(),
                segment: *segment,
            })
        });
        Watch::new(spans).with_snapshot(snapshot)
    }
}

/// Says what is wrong with the head's files beside the logs; samples before `floor` are in blocks.
pub(in crate::verify) fn check(
    scanned: &DataDir,
    head: Head,
    floor: Millis,
    logs: Option<&Logs>,
    options: VerifyOptions,
    facts: &mut Facts,
    findings: &mut Findings,
) {
    if let (Some((read_for, found)), Some(dir)) = (head.chunks, scanned.find(EntryKind::ChunksHead))
    {
        // Not all blocks count, or the checkpoint says more.
        let found = if read_for == floor {
            found
        } else {
            HeadChunks::read(dir, Floor(floor), options.read_mode)
        };
        match found {
            Ok(found) => {
                for problem in &found.problems {
                    report(problem, kind_of(problem.fate), facts, findings);
                }
                facts.late_chunks = found.late;
                if found.is_kept() {
                    compare(dir, found.spans, floor, logs, facts, findings);
                } else {
                    orphaned(dir.to_owned(), &found, logs, findings);
                }
                without_wbl(scanned, dir, facts, findings);
            }
            Err(error) => {
                let kind = Kind::Unreadable;
                findings.add(kind, || {
                    about_path(kind, dir.to_owned()).saying(error.chain())
                });
                facts.obstacles.push(Obstacle {
                    stage: Stage::Opening,
                    path: dir.to_owned(),
                    what: kind.id().to_owned(),
                });
            }
        }
    }
    if let Some(snapshots) = &head.snapshots {
        check_snapshot(snapshots, logs, facts, findings);
    }
}

/// Servers with the feature `memory-snapshot-on-shutdown` read the newest snapshot, and of the WAL
/// what comes after it.
fn check_snapshot(
    snapshots: &Snapshots,
    logs: Option<&Logs>,
    facts: &mut Facts,
    findings: &mut Findings,
) {
    for problem in &snapshots.problems {
        report(problem, Kind::SnapshotUnusable, facts, findings);
    }
    let Some((newest, ..)) = &snapshots.newest else {
        return;
    };
    let last = logs.and_then(|logs| logs.wal.as_ref()).and_then(|wal| {
        let segments = wal.segments.iter();
        let numbers = segments.map(|segment| segment.number);
        numbers
            .chain(wal.superseded.iter().map(|segment| segment.number))
            .max()
    });
    if let Some(detail) = snapshots.ahead_of(last) {
        let kind = Kind::SnapshotAhead;
        findings.add(kind, || about_path(kind, newest.clone()).saying(detail));
    }
    if let Some(detail) = snapshots.reaches_into_next(last) {
        let kind = Kind::SnapshotTail;
        findings.add(kind, || about_path(kind, newest.clone()).saying(detail));
    }
    let lost = logs.map_or_else(ReplayTally::default, |logs| logs.watch.passed_over());
    if let Some(series) = lost.series {
        let kind = Kind::SnapshotShort;
        findings.add(kind, || Finding {
            loss: Some(FaultLoss {
                times: lost.times,
                chunks: 0,
                samples: Some(lost.samples),
            }),
            ..about_path(kind, newest.clone()).saying(format!(
                "expected all series that the WAL has samples of before it, found none of number {series}"
            ))
        });
    }
}

fn kind_of(fate: ChunkFate) -> Kind {
    match fate {
        ChunkFate::Removed => Kind::HeadChunksUnwritten,
        ChunkFate::Torn => Kind::HeadChunksTorn,
        ChunkFate::Rebuilt => Kind::HeadChunksDamaged,
        ChunkFate::AllRebuilt => Kind::HeadChunksOrder,
        ChunkFate::Ignored => Kind::SnapshotUnusable,
        ChunkFate::DoesNotStart => Kind::HeadChunksBroken,
        ChunkFate::Crashes => Kind::PageUnreadable,
    }
}

fn report(problem: &HeadProblem, kind: Kind, facts: &mut Facts, findings: &mut Findings) {
    let path = problem.path.clone();
    match problem.fate {
        ChunkFate::Removed => facts.leftovers.push(path),
        ChunkFate::DoesNotStart => facts.obstacles.push(Obstacle {
            stage: Stage::Opening,
            path,
            what: kind.id().to_owned(),
        }),
        // Headers are read when the directory is opened, chunks when the head is.
        ChunkFate::Crashes => facts.obstacles.push(Obstacle {
            stage: match problem.offset {
                Some(0) => Stage::Opening,
                _ => Stage::Replay,
            },
            path,
            what: kind.id().to_owned(),
        }),
        ChunkFate::Torn | ChunkFate::Rebuilt | ChunkFate::AllRebuilt | ChunkFate::Ignored => {
            facts.rebuilt.push((path, kind.id().to_owned()));
        }
    }
    findings.add(kind, || Finding {
        offset: problem.offset,
        section: problem.section,
        ..about_path(kind, problem.path.clone()).saying(problem.detail.clone())
    });
}

/// Compares the chunks that a start keeps with the WAL.
fn compare(
    dir: &Path,
    spans: Vec<HeadSpan>,
    floor: Millis,
    logs: Option<&Logs>,
    facts: &mut Facts,
    findings: &mut Findings,
) {
    let found = match logs {
        Some(logs) => logs.watch.differences(floor),
        None => Watch::new(spans).differences(floor),
    };
    let has_late = facts.has_late_samples();
    facts.head_chunks = found.kept;
    let mut say = |kind, tally: ReplayTally, what: &str| {
        let Some(series) = tally.series else { return };
        findings.add(kind, || Finding {
            loss: Some(FaultLoss {
                times: tally.times,
                chunks: tally.chunks,
                samples: Some(tally.samples),
            }),
            ..about_path(kind, dir.to_owned()).saying(format!("{what}, first of series {series}"))
        });
    };
    let orphaned = Kind::HeadChunksOrphaned;
    // Blocks of stale series hold what their series had in the head, and leave it to the next
    // truncation.
    if !facts.is_in_selected_series(found.orphaned.times) {
        say(
            orphaned,
            found.orphaned,
            "expected a WAL that defines their series, found none",
        );
    }
    // What a cut log does not have any more proves nothing.
    let wal = logs.and_then(|logs| logs.wal.as_ref());
    let is_whole = wal.is_some_and(|wal| wal.first_damage().is_none());
    if is_whole {
        let foreign = "expected their samples in the WAL, found none";
        say(Kind::HeadChunksForeign, found.unlogged, foreign);
    }
    // Whether a sample came late is not said in the WAL: such ones are in it, in the WBL and in
    // blocks of their own.
    if is_whole && !has_late {
        let contradict =
            "expected these samples of the WAL in the chunks as well, found them in the WAL alone";
        say(Kind::HeadChunksContradict, found.hidden, contradict);
    }
}

/// Chunks of late samples need a log of such samples that their compaction can begin anew.
fn without_wbl(scanned: &DataDir, dir: &Path, facts: &Facts, findings: &mut Findings) {
    let kind = Kind::HeadChunksWithoutWbl;
    if facts.late_chunks.is_some() && scanned.find(EntryKind::Wbl).is_none() {
        findings.add(kind, || {
            about_path(kind, dir.to_owned())
                .saying("expected wbl beside chunks of late samples, found none")
        });
    }
}

/// Of chunks that a start drops, and cannot rebuild since the log does not define any series.
fn orphaned(path: PathBuf, found: &HeadChunks, logs: Option<&Logs>, findings: &mut Findings) {
    let kind = Kind::HeadChunksOrphaned;
    let defined = logs
        .and_then(|logs| logs.wal.as_ref())
        .map_or(0, |wal| wal.replayed.series);
    if found.in_order > 0 && defined == 0 && found.starts() {
        findings.add(kind, || Finding {
            loss: Some(FaultLoss {
                times: found.times,
                chunks: found.in_order,
                samples: None,
            }),
            ..about_path(kind, path).saying("expected a WAL that defines their series, found none")
        });
    }
}
