//! What a configuration says, and what is wrong with it.

use super::{Column, InJson, Rows, Sheet, Unit, Value};

/// One setting of `narthex config show`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSetting {
    /// The key with its sections.
    pub key: String,
    /// What holds, as text; never a secret.
    pub value: String,
    /// Who says so: a file and its line, an option, or an environment variable.
    pub origin: String,
    /// The line of the file that says something else.
    pub instead_of: Option<String>,
}

/// One finding of `narthex config check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFinding {
    /// What it is: a stable id.
    pub kind: &'static str,
    /// Whether the configuration does not do what it says.
    pub is_problem: bool,
    /// The file, and the line where there is one.
    pub place: String,
    /// The key with its sections; empty where it is about the file.
    pub key: String,
    /// What was expected and what was found.
    pub detail: String,
}

/// The settings of a configuration.
pub static CONFIG_SETTINGS: Sheet<[ConfigSetting], ConfigSetting> = Sheet {
    name: "setting",
    title: "Settings",
    row: "setting",
    json: InJson::List("settings"),
    rows: |settings, _| Rows::of(settings),
    columns: &[
        Column {
            key: "key",
            heading: "KEY",
            unit: Unit::None,
            weight: 9,
            explanation: "The key with its sections, as `repository.main.url`.",
            value: |setting| Value::text(&setting.key),
        },
        Column {
            key: "value",
            heading: "VALUE",
            unit: Unit::None,
            weight: 9,
            explanation: "What holds; of commands the program alone, and never a secret.",
            value: |setting| Value::text(&setting.value),
        },
        Column {
            key: "origin",
            heading: "FROM",
            unit: Unit::None,
            weight: 9,
            explanation: "Who says so: `FILE:LINE`, an option, or `environment` and a variable.",
            value: |setting| Value::text(&setting.origin),
        },
        Column {
            key: "instead_of",
            heading: "INSTEAD OF",
            unit: Unit::None,
            weight: 5,
            explanation: "The line of the file that says it too, and does not count.",
            value: |setting| {
                let place = setting.instead_of.as_ref();
                place.map_or(Value::None, Value::text)
            },
        },
    ],
};

/// What is wrong with a configuration.
pub static CONFIG_FINDINGS: Sheet<[ConfigFinding], ConfigFinding> = Sheet {
    name: "finding",
    title: "Findings",
    row: "finding",
    json: InJson::List("findings"),
    rows: |findings, _| Rows::of(findings),
    columns: &[
        Column {
            key: "kind",
            heading: "FINDING",
            unit: Unit::None,
            weight: 9,
            explanation: "What was found: a stable id, explained in docs/configuration.md.",
            value: |finding| Value::text(finding.kind),
        },
        Column {
            key: "severity",
            heading: "SEVERITY",
            unit: Unit::None,
            weight: 5,
            explanation: "`problem`: it does not do what it says; `note`: worth knowing.",
            value: |finding| {
                Value::text(if finding.is_problem {
                    "problem"
                } else {
                    "note"
                })
            },
        },
        Column {
            key: "place",
            heading: "PLACE",
            unit: Unit::None,
            weight: 9,
            explanation: "`FILE:LINE`, or the file.",
            value: |finding| Value::text(&finding.place),
        },
        Column {
            key: "key",
            heading: "KEY",
            unit: Unit::None,
            weight: 9,
            explanation: "The key with its sections; empty where it is about the file.",
            value: |finding| Value::text(&finding.key),
        },
        Column {
            key: "detail",
            heading: "DETAIL",
            unit: Unit::None,
            weight: 9,
            explanation: "What was expected and what was found.",
            value: |finding| Value::text(&finding.detail),
        },
    ],
};
