//! Write-ahead logs: what [`crate::wal`] says of them, as findings.

use std::path::{Path, PathBuf};

use crate::block::{DataDir, EntryKind};
use crate::raw::ReadMode;
use crate::verify::{FaultLoss, Finding, Findings, Kind};
use crate::wal::{
    End, EntryType, Log, LogConsequence, LogProblem, Logs, Oddity, ProblemKind, Watch,
};

/// Reads the logs of a data directory beside what else there is of its head; nothing where there
/// are no logs.
pub(in crate::verify) fn check(
    scanned: &DataDir,
    head: Watch,
    mode: ReadMode,
    findings: &mut Findings,
) -> Option<Logs> {
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
    if let Some((path, found)) = first_not_a_file(scanned, &logs) {
        findings.add(Kind::WalFirstNotAFile, || {
            let detail = format!("expected a file, found {}", found.name());
            plain(Kind::WalFirstNotAFile, &path).saying(detail)
        });
    }
    Some(logs)
}

/// The oldest segment of the WAL, by its name, if it is something else than a file. Those that a
/// checkpoint has replaced count.
pub(super) fn first_not_a_file(scanned: &DataDir, logs: &Logs) -> Option<(PathBuf, EntryType)> {
    let wal = logs.wal.as_ref()?;
    let replaced = wal.superseded.iter();
    let replaced = replaced.map(|segment| (&segment.path, segment.kind));
    let used = wal.segments.iter().map(|segment| {
        let kind = match &segment.end {
            End::NotAFile(kind) => *kind,
            _ => EntryType::File,
        };
        (&segment.path, kind)
    });
    let is_number = |path: &String| path.bytes().all(|byte| byte.is_ascii_digit());
    let all = replaced.chain(used).filter(|(path, _)| is_number(path));
    let (path, kind) = all.min_by_key(|(path, _)| *path)?;
    let path = scanned.path().join(Log::Wal.name()).join(path);
    (kind != EntryType::File).then_some((path, kind))
}

pub(super) fn kind_of(problem: &LogProblem) -> Kind {
    match (&problem.kind, &problem.consequence) {
        (_, LogConsequence::Nothing) => Kind::WalNote,
        (ProblemKind::Undefined(_), _) => Kind::WalUnknownSeries,
        (ProblemKind::EmptyCheckpoint, _) => Kind::WalCheckpointEmpty,
        (
            ProblemKind::Odd {
                oddity: Oddity::MixedCompression,
                ..
            },
            _,
        ) => Kind::WalCompressionFlags,
        (
            ProblemKind::Odd {
                oddity: Oddity::HistogramBuckets,
                ..
            },
            _,
        )
        | (_, LogConsequence::Crashes) => Kind::WalHistogram,
        (_, LogConsequence::CutsTail) => Kind::WalTorn,
        (_, LogConsequence::Skips) => Kind::WalUnusual,
        (_, LogConsequence::LosesNewData) => Kind::WalBehind,
        (_, LogConsequence::Repairs { .. } | LogConsequence::CutsInOldReleases) => Kind::WalDamaged,
        (_, LogConsequence::DoesNotStart) => Kind::WalBroken,
        (_, LogConsequence::Destroys { .. }) => Kind::WalDestructive,
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
        is_unopened: false,
    }
}

fn about(kind: Kind, dir: &Path, problem: &LogProblem) -> Finding {
    let finding = plain(kind, &dir.join(&problem.path));
    let finding = match &problem.kind {
        ProblemKind::Damaged(malformed) => finding.at(malformed),
        other => finding.saying(other.to_string()),
    };
    let detail = format!("{} (a start {})", finding.detail, problem.consequence);
    Finding {
        offset: problem.offset,
        loss: match &problem.kind {
            ProblemKind::Undefined(undefined) if undefined.samples > 0 => Some(FaultLoss {
                times: undefined.times,
                chunks: 0,
                samples: Some(undefined.samples),
            }),
            _ => None,
        },
        ..finding.saying(detail)
    }
}
