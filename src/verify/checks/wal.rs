//! Write-ahead logs: what [`crate::wal`] says of them, as findings.

use std::path::Path;

use crate::block::{DataDir, EntryKind, Place};
use crate::raw::ReadMode;
use crate::verify::{Finding, Findings, Kind, Loss};
use crate::wal::{Consequence, Log, Logs, Oddity, Problem, ProblemKind, Watch};

/// Reads the logs of a data directory beside what else there is of its head; nothing where there are no logs.
pub(in crate::verify) fn check(
    scanned: &DataDir,
    head: Watch,
    mode: ReadMode,
    findings: &mut Findings,
) -> Option<Logs> {
    for log in [Log::Wal, Log::Wbl] {
        let path = scanned.path().join(log.name());
        if scanned.place() == Place::DataDir && path.symlink_metadata().is_ok() && !path.is_dir() {
            findings.add(Kind::WalBroken, || {
                plain(Kind::WalBroken, &path).saying("expected a directory")
            });
        }
    }
    let is_log = |kind| scanned.find(kind).is_some();
    if !is_log(EntryKind::Wal) && !is_log(EntryKind::Wbl) {
        return None;
    }
    let logs = Logs::read_beside(head, scanned.path(), scanned.in_order_end(), mode);
    for (log, summary) in logs.iter() {
        let dir = scanned.path().join(log.name());
        for problem in &summary.problems {
            let kind = kind_of(problem);
            findings.add(kind, || about(kind, &dir, problem));
        }
    }
    for (log, error) in &logs.unreadable {
        findings.add(Kind::Unreadable, || {
            plain(Kind::Unreadable, &scanned.path().join(log.name())).saying(error.chain())
        });
    }
    Some(logs)
}

pub(super) fn kind_of(problem: &Problem) -> Kind {
    match (&problem.kind, &problem.consequence) {
        (_, Consequence::Nothing) => Kind::WalNote,
        (ProblemKind::Undefined(_), _) => Kind::WalUnknownSeries,
        (ProblemKind::EmptyCheckpoint, _) => Kind::WalCheckpointEmpty,
        (
            ProblemKind::Odd {
                oddity: Oddity::MixedCompression,
                ..
            },
            _,
        ) => Kind::WalCompressionFlags,
        (_, Consequence::CutsTail) => Kind::WalTorn,
        (_, Consequence::Skips) => Kind::WalUnusual,
        (_, Consequence::LosesNewData) => Kind::WalBehind,
        (_, Consequence::Repairs { .. } | Consequence::CutsInOldReleases) => Kind::WalDamaged,
        (_, Consequence::DoesNotStart) => Kind::WalBroken,
        (_, Consequence::Destroys { .. }) => Kind::WalDestructive,
    }
}

fn plain(kind: Kind, path: &Path) -> Finding {
    Finding {
        kind,
        block: None,
        path: path.to_owned(),
        offset: None,
        section: None,
        series: None,
        loss: None,
        detail: String::new(),
    }
}

fn about(kind: Kind, dir: &Path, problem: &Problem) -> Finding {
    let finding = plain(kind, &dir.join(&problem.path));
    let finding = match &problem.kind {
        ProblemKind::Damaged(malformed) => finding.at(malformed),
        other => finding.saying(other.to_string()),
    };
    let detail = format!("{} (a start {})", finding.detail, problem.consequence);
    Finding {
        offset: problem.offset,
        loss: match &problem.kind {
            ProblemKind::Undefined(undefined) if undefined.samples > 0 => Some(Loss {
                times: undefined.times,
                chunks: 0,
                samples: Some(undefined.samples),
            }),
            _ => None,
        },
        ..finding.saying(detail)
    }
}
