//! `chunks_head` and chunk snapshots: what [`crate::head`] says of them, as findings and as facts for a start.

use std::path::PathBuf;

use super::directory::about_path;
use crate::block::{DataDir, EntryKind};
use crate::head::{Fate, Floor, HeadChunks, HeadProblem, Snapshots};
use crate::model::Millis;
use crate::start::{Facts, Obstacle, Release, Stage};
use crate::verify::{Finding, Findings, Kind, Loss, Options};
use crate::wal::Logs;

/// Reads the head's files beside the logs; samples before `floor` are in blocks.
pub(in crate::verify) fn check(
    scanned: &DataDir,
    floor: Millis,
    logs: Option<&Logs>,
    options: Options,
    facts: &mut Facts,
    findings: &mut Findings,
) {
    if let Some(dir) = scanned.find(EntryKind::ChunksHead) {
        match HeadChunks::read(dir, Floor(floor), options.read_mode) {
            Ok(found) => {
                for problem in &found.problems {
                    report(problem, kind_of(problem.fate), facts, findings);
                }
                orphaned(dir.to_owned(), &found, logs, findings);
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
    if scanned.find(EntryKind::ChunkSnapshot).is_some() {
        let last = logs.and_then(|logs| logs.wal.as_ref()).and_then(|wal| {
            let segments = wal.segments.iter().map(|segment| segment.number);
            segments
                .chain(wal.superseded.iter().map(|segment| segment.number))
                .max()
        });
        let Ok(found) = Snapshots::read(scanned.path(), last, options.read_mode) else {
            return;
        };
        let is_ahead = found
            .newest
            .as_ref()
            .is_some_and(|(_, segment, _)| last.is_none_or(|last| last < *segment));
        for problem in &found.problems {
            let loses = is_ahead && options.start.release < Release::SNAPSHOT_AHEAD;
            let kind = if loses {
                Kind::SnapshotAhead
            } else {
                Kind::SnapshotUnusable
            };
            report(problem, kind, facts, findings);
        }
    }
}

fn kind_of(fate: Fate) -> Kind {
    match fate {
        Fate::Removed => Kind::HeadChunksUnwritten,
        Fate::Torn => Kind::HeadChunksTorn,
        Fate::Rebuilt => Kind::HeadChunksDamaged,
        Fate::AllRebuilt => Kind::HeadChunksOrder,
        Fate::Ignored => Kind::SnapshotUnusable,
        Fate::DoesNotStart => Kind::HeadChunksBroken,
    }
}

fn report(problem: &HeadProblem, kind: Kind, facts: &mut Facts, findings: &mut Findings) {
    let path = problem.path.clone();
    match problem.fate {
        Fate::Removed => facts.leftovers.push(path),
        Fate::DoesNotStart => facts.obstacles.push(Obstacle {
            stage: Stage::Opening,
            path,
            what: kind.id().to_owned(),
        }),
        Fate::Torn | Fate::Rebuilt | Fate::AllRebuilt | Fate::Ignored => {
            facts.rebuilt.push((path, kind.id().to_owned()));
        }
    }
    findings.add(kind, || Finding {
        offset: problem.offset,
        section: problem.section,
        ..about_path(kind, problem.path.clone()).saying(problem.detail.clone())
    });
}

/// A start keeps a chunk of the head only when the log defines its series.
fn orphaned(path: PathBuf, found: &HeadChunks, logs: Option<&Logs>, findings: &mut Findings) {
    let kind = Kind::HeadChunksOrphaned;
    let defined = logs
        .and_then(|logs| logs.wal.as_ref())
        .map_or(0, |wal| wal.replayed.series);
    if found.in_order > 0 && defined == 0 && found.starts() {
        findings.add(kind, || Finding {
            loss: Some(Loss {
                times: found.times,
                chunks: found.in_order,
                samples: None,
            }),
            ..about_path(kind, path).saying("expected a WAL that defines their series, found none")
        });
    }
}
