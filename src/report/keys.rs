//! The keys of an encrypted repository.

use super::{Column, InJson, Rows, Sheet, Unit, Value};

/// A key of a list of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedKey {
    /// What it is for: `recipient` or `signer`.
    pub kind: &'static str,
    /// The key, as it is typed.
    pub key: String,
    /// What stands for the sources that a signer may sign archives of.
    pub sources: Vec<String>,
}

/// One row for each key of a list.
pub static KEYS: Sheet<[ListedKey], ListedKey> = Sheet {
    name: "key",
    title: "Keys",
    row: "key",
    json: InJson::List("keys"),
    rows: |keys, _| Rows::of(keys),
    columns: &[
        Column {
            key: "kind",
            heading: "KIND",
            unit: Unit::None,
            weight: 9,
            explanation: "recipient: what is written can be read with its secret half; signer: its archives count.",
            value: |key| Value::text(key.kind),
        },
        Column {
            key: "sources",
            heading: "SOURCES",
            unit: Unit::List,
            weight: 7,
            explanation: "The sources that a signer may sign archives of, as what stands for their names: the first digits of the SHA-256 digest of the repository's id, a newline, and the name. `*` stands for all.",
            value: |key| Value::List(key.sources.clone()),
        },
        Column {
            key: "key",
            heading: "KEY",
            unit: Unit::None,
            weight: 8,
            explanation: "The public key.",
            value: |key| Value::text(&key.key),
        },
    ],
};
