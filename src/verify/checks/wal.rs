//! Write-ahead logs: what [`crate::wal`] says of them, as findings.

use std::path::Path;

use crate::block::{DataDir, EntryKind};
use crate::raw::ReadMode;
use crate::verify::{Finding, Findings, Kind};
use crate::wal::{Consequence, Log, Problem, ProblemKind, summarize_dir};

/// Reads the logs of a data directory.
pub(in crate::verify) fn check(scanned: &DataDir, mode: ReadMode, findings: &mut Findings) {
    let logs = [(EntryKind::Wal, Log::Wal), (EntryKind::Wbl, Log::Wbl)];
    for (entry, log) in logs {
        let Some(dir) = scanned.find(entry) else {
            continue;
        };
        match summarize_dir(dir, log, mode) {
            Ok(summary) => {
                for problem in &summary.problems {
                    let kind = kind_of(&problem.consequence);
                    findings.add(kind, || about(kind, dir, problem));
                }
            }
            Err(error) => findings.add(Kind::Unreadable, || {
                plain(Kind::Unreadable, dir).saying(error.chain())
            }),
        }
    }
}

fn kind_of(consequence: &Consequence) -> Kind {
    match consequence {
        Consequence::Nothing => Kind::WalNote,
        Consequence::Skips => Kind::WalUnusual,
        Consequence::LosesNewData => Kind::WalBehind,
        Consequence::Repairs { .. } => Kind::WalDamaged,
        Consequence::DoesNotStart => Kind::WalBroken,
        Consequence::Destroys { .. } => Kind::WalDestructive,
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
        ..finding.saying(detail)
    }
}
