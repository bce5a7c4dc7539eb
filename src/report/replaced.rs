//! The report about blocks of a data directory that were to be replaced.

use super::{Column, InJson, Rows, Sheet, Unit, Value};
use crate::restore::{ReplaceOutcome, Replaced};

/// Blocks of the directory, and what became of each.
pub static REPLACED: Sheet<[Replaced], Replaced> = Sheet {
    name: "replaced",
    title: "Blocks that were looked at",
    row: "block of the directory",
    json: InJson::List("blocks"),
    rows: |all, _| Rows::of(all),
    columns: &[
        Column {
            key: "ulid",
            heading: "BLOCK",
            unit: Unit::None,
            weight: 9,
            explanation: "ULID of the block.",
            value: |r| Value::text(r.ulid.to_string()),
        },
        Column {
            key: "outcome",
            heading: "OUTCOME",
            unit: Unit::None,
            weight: 5,
            explanation: "What became of it: `sound` (not touched), `replaced`, `planned` (with --dry-run) or `stays` (damaged as it is).",
            value: |r| {
                Value::text(match r.outcome {
                    ReplaceOutcome::Sound => "sound",
                    ReplaceOutcome::Replaced => "replaced",
                    ReplaceOutcome::WouldBe => "planned",
                    ReplaceOutcome::Stays(_) => "stays",
                })
            },
        },
        Column {
            key: "findings",
            heading: "FINDINGS",
            unit: Unit::List,
            weight: 5,
            explanation: "Kinds of problems that were found in it, as in docs/findings.md.",
            value: |r| Value::List(r.problems.iter().map(ToString::to_string).collect()),
        },
        Column {
            key: "archive",
            heading: "FROM ARCHIVE",
            unit: Unit::None,
            weight: 5,
            explanation: "Beginning of the id of the newest archive that has the block as the copy is.",
            value: |r| {
                let archive = r.archive.as_ref();
                archive.map_or(Value::None, |(id, _)| Value::text(id))
            },
        },
        Column {
            key: "archived",
            heading: "ARCHIVED",
            unit: Unit::Time,
            weight: 5,
            explanation: "When that archive was made.",
            value: |r| {
                let archive = r.archive.as_ref();
                archive.map_or(Value::None, |(_, time)| Value::Time(*time))
            },
        },
        Column {
            key: "bytes",
            heading: "SIZE",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Size of the copy's files.",
            value: |r| r.bytes.map_or(Value::None, Value::Bytes),
        },
        Column {
            key: "damaged",
            heading: "",
            unit: Unit::None,
            weight: 5,
            explanation: "Where the damaged block is that was replaced.",
            value: |r| {
                let kept = r.kept.as_ref();
                kept.map_or(Value::None, |path| Value::text(path.display().to_string()))
            },
        },
        Column {
            key: "reason",
            heading: "",
            unit: Unit::None,
            weight: 5,
            explanation: "Why it stays as it is.",
            value: |r| match &r.outcome {
                ReplaceOutcome::Stays(why) => Value::text(why),
                _ => Value::None,
            },
        },
    ],
};
