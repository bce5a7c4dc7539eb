//! Reports about repositories: archives, their differences, findings of `narthex check`.

use std::fmt::Write as _;

use super::{Column, InJson, Rows, Sheet, Unit, Value, safe_line};
use crate::repair::RepairStep;
use crate::repository::check::{CheckFinding, CheckReport};
use crate::repository::{Archive, BlockChange, Change, Diff};
use crate::trouble::Severity;
use crate::units::{count_text, time_text};

/// One row for each archive.
pub static ARCHIVES: Sheet<[Archive], Archive> = Sheet {
    name: "archive",
    title: "Archives",
    row: "archive",
    json: InJson::List("archives"),
    rows: |archives, _| Rows::of(archives),
    columns: &[
        Column {
            key: "id",
            heading: "ID",
            unit: Unit::None,
            weight: 9,
            explanation: "Identity; its beginning is enough where it is unique.",
            value: |a| Value::text(a.id.as_str()),
        },
        Column {
            key: "time",
            heading: "TIME",
            unit: Unit::Time,
            weight: 9,
            explanation: "When the backup began.",
            value: |a| Value::Time(a.time),
        },
        Column {
            key: "host",
            heading: "HOST",
            unit: Unit::None,
            weight: 5,
            explanation: "Machine the source was on.",
            value: |a| Value::text(&a.host),
        },
        Column {
            key: "source_name",
            heading: "NAME",
            unit: Unit::None,
            weight: 8,
            explanation: "Name of the source, one for each Prometheus server.",
            value: |a| Value::text(&a.source_name),
        },
        Column {
            key: "source",
            heading: "SOURCE",
            unit: Unit::None,
            weight: 2,
            explanation: "Data directory that was archived.",
            value: |a| Value::text(&a.source),
        },
        Column {
            key: "labels",
            heading: "LABELS",
            unit: Unit::List,
            weight: 6,
            explanation: "What else the operator wanted to know it by, as name=value.",
            value: labels,
        },
        Column {
            key: "blocks",
            heading: "BLOCKS",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of blocks.",
            value: |a| Value::Count(a.blocks.len() as u64),
        },
        Column {
            key: "min_time",
            heading: "FROM",
            unit: Unit::Time,
            weight: 3,
            explanation: "Begin of the first block.",
            value: |a| time(a.coverage.min_time),
        },
        Column {
            key: "max_time",
            heading: "UNTIL",
            unit: Unit::Time,
            weight: 4,
            explanation: "End of the last block, exclusive.",
            value: |a| time(a.coverage.max_time),
        },
        Column {
            key: "gaps",
            heading: "GAPS",
            unit: Unit::Count,
            weight: 3,
            explanation: "Number of spans between blocks that no block covers.",
            value: |a| Value::Count(a.coverage.gaps.len() as u64),
        },
        Column {
            key: "wal_max_time",
            heading: "WAL UNTIL",
            unit: Unit::Time,
            weight: 3,
            explanation: "Time of the last sample in the archived WAL.",
            value: |a| time(a.wal.as_ref().and_then(|wal| wal.max_time)),
        },
        Column {
            key: "bytes",
            heading: "SIZE",
            unit: Unit::Bytes,
            weight: 6,
            explanation: "Size of all files, as they restore.",
            value: |a| Value::Bytes(a.bytes()),
        },
        Column {
            key: "stored_bytes",
            heading: "STORED",
            unit: Unit::Bytes,
            weight: 4,
            explanation: "Size of all objects it needs, which it may share with other archives.",
            value: |a| Value::Bytes(a.stored_bytes()),
        },
        Column {
            key: "verdict",
            heading: "VERDICT",
            unit: Unit::None,
            weight: 9,
            explanation: "`whole`; `short`: something was missed that it should hold; `faulty`: a block in it has problems; `short, faulty`.",
            value: |a| {
                Value::text(
                    match (a.missed().next().is_some(), a.findings.problems() > 0) {
                        (false, false) => "whole",
                        (true, false) => "short",
                        (false, true) => "faulty",
                        (true, true) => "short, faulty",
                    },
                )
            },
        },
        Column {
            key: "missed",
            heading: "MISSED",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of blocks and logs that it should hold and does not.",
            value: |a| Value::Count(a.missed().count() as u64),
        },
        Column {
            key: "problems",
            heading: "PROBLEMS",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of problems the verifier found in its blocks; notes are none.",
            value: |a| Value::Count(a.findings.problems()),
        },
        Column {
            key: "left_out",
            heading: "",
            unit: Unit::Count,
            weight: 1,
            explanation: "Number of entries of the data directory that it does not hold, for whatever reason.",
            value: |a| Value::Count(a.left_out.len() as u64),
        },
        Column {
            key: "findings",
            heading: "",
            unit: Unit::Count,
            weight: 1,
            explanation: "Number of findings of the verifier in its blocks, notes included.",
            value: |a| Value::Count(a.findings.total()),
        },
        Column {
            key: "narthex_version",
            heading: "",
            unit: Unit::None,
            weight: 1,
            explanation: "Version of the narthex that wrote it.",
            value: |a| Value::text(&a.narthex_version),
        },
    ],
};

/// One row for each block that two archives do not share.
pub static CHANGES: Sheet<Diff, BlockChange> = Sheet {
    name: "change",
    title: "Blocks that two archives do not share",
    row: "block",
    json: InJson::List("changes"),
    rows: |diff, _| Rows::of(&diff.changes),
    columns: &[
        Column {
            key: "change",
            heading: "CHANGE",
            unit: Unit::None,
            weight: 9,
            explanation: "What became of the block: removed, added, touched (meta.json, tombstones or other small \
                      files), replaced (index or chunks).",
            value: |c| {
                Value::text(match c.change {
                    Change::Removed => "removed",
                    Change::Added => "added",
                    Change::Touched => "touched",
                    Change::Replaced => "replaced",
                })
            },
        },
        Column {
            key: "ulid",
            heading: "BLOCK",
            unit: Unit::None,
            weight: 9,
            explanation: "ULID of the block.",
            value: |c| Value::text(c.block.ulid.to_string()),
        },
        Column {
            key: "min_time",
            heading: "FROM",
            unit: Unit::Time,
            weight: 6,
            explanation: "Begin of its range.",
            value: |c| Value::Time(c.block.min_time),
        },
        Column {
            key: "max_time",
            heading: "UNTIL",
            unit: Unit::Time,
            weight: 6,
            explanation: "End of its range, exclusive.",
            value: |c| Value::Time(c.block.max_time),
        },
        Column {
            key: "level",
            heading: "LEVEL",
            unit: Unit::Count,
            weight: 4,
            explanation: "Compaction level.",
            value: |c| Value::Count(c.block.level),
        },
        Column {
            key: "samples",
            heading: "SAMPLES",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of samples.",
            value: |c| Value::Count(c.block.samples),
        },
        Column {
            key: "bytes",
            heading: "SIZE",
            unit: Unit::Bytes,
            weight: 7,
            explanation: "Size of its files.",
            value: |c| Value::Bytes(c.block.bytes()),
        },
    ],
};

/// One finding of `narthex check`.
pub static CHECK_FINDINGS: Sheet<CheckReport, CheckFinding> = Sheet {
    name: "finding",
    title: "Findings",
    row: "finding",
    json: InJson::List("findings"),
    rows: |report, _| Rows::of(&report.findings),
    columns: &[
        Column {
            key: "kind",
            heading: "finding",
            unit: Unit::None,
            weight: 9,
            explanation: "What was found: a stable id, explained in docs/findings.md.",
            value: |f| Value::text(f.kind.id()),
        },
        Column {
            key: "severity",
            heading: "severity",
            unit: Unit::None,
            weight: 5,
            explanation: "`problem`: something cannot be restored or proved; `note`: nothing kept is in danger.",
            value: |f| Value::text(f.kind.severity().to_string()),
        },
        Column {
            key: "object",
            heading: "object",
            unit: Unit::None,
            weight: 5,
            explanation: "Name in the repository.",
            value: |f| Value::text(&f.object),
        },
        Column {
            key: "detail",
            heading: "detail",
            unit: Unit::None,
            weight: 5,
            explanation: "What was expected and what was found.",
            value: |f| Value::text(&f.detail),
        },
        Column {
            key: "meaning",
            heading: "",
            unit: Unit::None,
            weight: 1,
            explanation: "What this kind of finding means.",
            value: |f| Value::text(f.kind.sentence()),
        },
        Column {
            key: "remedy",
            heading: "",
            unit: Unit::None,
            weight: 1,
            explanation: "What to do about it.",
            value: |f| Value::text(f.kind.remedy()),
        },
        Column {
            key: "archives",
            heading: "archives",
            unit: Unit::List,
            weight: 5,
            explanation: "Archives that need the object, oldest first.",
            value: |f| Value::List(f.archives.iter().map(ToString::to_string).collect()),
        },
        Column {
            key: "blocks",
            heading: "blocks",
            unit: Unit::List,
            weight: 5,
            explanation: "Blocks in the object.",
            value: |f| Value::List(f.blocks.iter().map(ToString::to_string).collect()),
        },
        Column {
            key: "files",
            heading: "files lost",
            unit: Unit::List,
            weight: 5,
            explanation: "Files of the object that cannot be restored, where that is known.",
            value: |f| Value::List(f.files.clone()),
        },
        Column {
            key: "lost_from",
            heading: "lost from",
            unit: Unit::Time,
            weight: 5,
            explanation: "Begin of the time whose samples are in what cannot be restored.",
            value: |f| time(f.lost.map(|lost| lost.0)),
        },
        Column {
            key: "lost_until",
            heading: "lost until",
            unit: Unit::Time,
            weight: 5,
            explanation: "Its end, exclusive.",
            value: |f| time(f.lost.map(|lost| lost.1)),
        },
    ],
};

/// Most findings of a kind that people are shown: of problems, and of notes.
const SHOWN: (usize, usize) = (50, 10);

/// What `narthex check` found, for people: by kind, problems first, each with what it means and
/// what to do.
pub fn check_text(report: &CheckReport) -> String {
    let mut kinds: Vec<_> = report.findings.iter().map(|found| found.kind).collect();
    kinds.sort_by_key(|kind| (kind.severity() != Severity::Problem, kind.id()));
    kinds.dedup();
    let mut text = String::new();
    for kind in kinds {
        let found: Vec<_> = report
            .findings
            .iter()
            .filter(|it| it.kind == kind)
            .collect();
        let severity = kind.severity();
        let most = if severity == Severity::Problem {
            SHOWN.0
        } else {
            SHOWN.1
        };
        let count = count_text(found.len() as u64);
        let (id, sentence, remedy) = (kind.id(), kind.sentence(), kind.remedy());
        let _ = writeln!(
            text,
            "{severity} {id}, {count} times: {sentence} What to do: {remedy}."
        );
        for finding in found.iter().take(most) {
            check_lines(finding, &mut text);
        }
        if found.len() > most {
            let more = count_text((found.len() - most) as u64);
            let _ = writeln!(text, "  … and {more} more, which --json lists");
        }
        text.push('\n');
    }
    text
}

/// One finding: the object and what was found, then whatever is known of what it costs.
fn check_lines(finding: &CheckFinding, text: &mut String) {
    let (object, detail) = (safe_line(&finding.object), safe_line(&finding.detail));
    let _ = writeln!(text, "  {object}: {detail}");
    let archives = finding.archives.iter().map(|id| id.short().to_owned());
    let blocks = finding.blocks.iter().map(ToString::to_string);
    let files = finding
        .files
        .iter()
        .map(|file| safe_line(file).into_owned());
    let lists: [(&str, Vec<String>); 3] = [
        ("archives", archives.collect()),
        ("blocks", blocks.collect()),
        ("files lost", files.collect()),
    ];
    for (heading, names) in lists.iter().filter(|(_, names)| !names.is_empty()) {
        let _ = writeln!(text, "    {heading}: {}", names.join(", "));
    }
    if let Some((from, until)) = finding.lost {
        let (from, until) = (time_text(from), time_text(until));
        let _ = writeln!(text, "    samples lost: from {from} to {until}");
    }
}

/// One step of `narthex repair`.
pub static REPAIR_STEPS: Sheet<[RepairStep], RepairStep> = Sheet {
    name: "step",
    title: "Steps",
    row: "step",
    json: InJson::List("steps"),
    rows: |steps, _| Rows::of(steps),
    columns: &[
        Column {
            key: "outcome",
            heading: "outcome",
            unit: Unit::None,
            weight: 9,
            explanation: "`repaired`; `planned`: it would be, or that would be tried, without --dry-run; `left`: nothing in the repository holds what is missing.",
            value: |s| Value::text(s.outcome.id()),
        },
        Column {
            key: "object",
            heading: "object",
            unit: Unit::None,
            weight: 5,
            explanation: "The object, or the archives whose manifests are lost.",
            value: |s| Value::text(&s.object),
        },
        Column {
            key: "detail",
            heading: "detail",
            unit: Unit::None,
            weight: 5,
            explanation: "What was done, or what is in the way.",
            value: |s| Value::text(&s.detail),
        },
    ],
};

/// The labels that an archive was given.
pub(super) fn labels(archive: &Archive) -> Value {
    let labels = archive.labels.iter();
    Value::List(
        labels
            .map(|(name, value)| format!("{name}={value}"))
            .collect(),
    )
}

fn time(time: Option<i64>) -> Value {
    time.map_or(Value::None, Value::Time)
}
