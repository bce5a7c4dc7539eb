//! The report about trouble, whatever command tells of it.

use super::{Column, InJson, Rows, Sheet, Unit, Value};
use crate::trouble::{AnyTrouble, Kind, Trouble};

/// What a command tells beside its results: problems and notes.
pub static TROUBLE: Sheet<[AnyTrouble], AnyTrouble> = Sheet {
    name: "trouble",
    title: "What somebody should know",
    row: "problem or note",
    json: InJson::List("problems"),
    rows: |all, _| Rows::of(all),
    columns: &[
        Column {
            key: "kind",
            heading: "KIND",
            unit: Unit::None,
            weight: 9,
            explanation: "What it is: a stable id, explained in docs/findings.md.",
            value: |t| Value::text(t.kind),
        },
        Column {
            key: "severity",
            heading: "SEVERITY",
            unit: Unit::None,
            weight: 5,
            explanation: "`problem`: the command ends with exit code 3; `note`: the exit code does not tell of it.",
            value: |t| Value::text(t.severity.to_string()),
        },
        Column {
            key: "place",
            heading: "PLACE",
            unit: Unit::None,
            weight: 5,
            explanation: "What is concerned, by its name in the directory or the repository, blocks by their ULIDs, with commas between them; empty: the whole.",
            value: |t| Value::text(&t.place),
        },
        Column {
            key: "detail",
            heading: "DETAIL",
            unit: Unit::None,
            weight: 5,
            explanation: "What was found, as a sentence.",
            value: |t| Value::text(&t.detail),
        },
        Column {
            key: "meaning",
            heading: "",
            unit: Unit::None,
            weight: 1,
            explanation: "What this kind means.",
            value: |t| Value::text(t.sentence),
        },
        Column {
            key: "consequence",
            heading: "",
            unit: Unit::None,
            weight: 1,
            explanation: "What comes of it, or what the command has done about it.",
            value: |t| Value::text(&*t.consequence),
        },
        Column {
            key: "remedy",
            heading: "",
            unit: Unit::None,
            weight: 1,
            explanation: "What to do about it.",
            value: |t| Value::text(t.remedy),
        },
    ],
};

/// All of `trouble`, for the sheet.
pub fn told<K: Kind>(trouble: &[Trouble<K>]) -> Vec<AnyTrouble> {
    trouble.iter().map(AnyTrouble::from).collect()
}
