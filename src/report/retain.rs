//! Reports about letting go: what was forgotten, what was pruned.

use super::archives::labels;
use super::{Column, InJson, Rows, Sheet, Unit, Value};
use crate::retain::{Decision, Forgotten, Item, ObjectFate, Pruned};

/// One row for each archive that `forget` considered.
pub static DECISIONS: Sheet<Forgotten, Decision> = Sheet {
    name: "archive",
    title: "Archives that were considered",
    row: "archive",
    json: InJson::List("archives"),
    rows: |forgotten, _| Rows::of(&forgotten.decisions),
    columns: &[
        Column {
            key: "fate",
            heading: "FATE",
            unit: Unit::None,
            weight: 9,
            explanation: "keep or remove.",
            value: |d| Value::text(if d.is_kept() { "keep" } else { "remove" }),
        },
        Column {
            key: "id",
            heading: "ID",
            unit: Unit::None,
            weight: 9,
            explanation: "Identity of the archive.",
            value: |d| Value::text(d.archive.id.as_str()),
        },
        Column {
            key: "time",
            heading: "TIME",
            unit: Unit::Time,
            weight: 8,
            explanation: "When its backup began.",
            value: |d| Value::Time(d.archive.time),
        },
        Column {
            key: "host",
            heading: "HOST",
            unit: Unit::None,
            weight: 4,
            explanation: "Machine the source was on.",
            value: |d| Value::text(&d.archive.host),
        },
        Column {
            key: "source_name",
            heading: "NAME",
            unit: Unit::None,
            weight: 6,
            explanation: "Name of the source; host and source make a group, to which a policy is applied by itself.",
            value: |d| Value::text(&d.archive.source_name),
        },
        Column {
            key: "labels",
            heading: "LABELS",
            unit: Unit::List,
            weight: 5,
            explanation: "What else the operator wanted to know it by, as name=value.",
            value: |d| labels(&d.archive),
        },
        Column {
            key: "reasons",
            heading: "REASONS",
            unit: Unit::List,
            weight: 7,
            explanation: "Why it is kept: the words of the policy that want it; empty for one that is removed.",
            value: |d| Value::List(d.reasons.clone()),
        },
    ],
};

/// One row for each object that `prune` did something about, or will.
pub static ITEMS: Sheet<Pruned, Item> = Sheet {
    name: "item",
    title: "Objects",
    row: "object that no archive needs, or that was marked although one does",
    json: InJson::List("items"),
    rows: |pruned, _| Rows::of(&pruned.items),
    columns: &[
        Column {
            key: "fate",
            heading: "FATE",
            unit: Unit::None,
            weight: 9,
            explanation: "marked (now), waiting (marked before), deleted, locked (nobody can delete it yet), or unmarked (it is needed again).",
            value: |i| Value::text(i.fate.id()),
        },
        Column {
            key: "object",
            heading: "OBJECT",
            unit: Unit::None,
            weight: 9,
            explanation: "Name in the repository; of a run that died in tmp/.",
            value: |i| Value::text(&i.name),
        },
        Column {
            key: "bytes",
            heading: "SIZE",
            unit: Unit::Bytes,
            weight: 6,
            explanation: "Its size.",
            value: |i| Value::Bytes(i.bytes),
        },
        Column {
            key: "since",
            heading: "MARKED",
            unit: Unit::Time,
            weight: 4,
            explanation: "Since when it is marked; in tmp/, when it was last written.",
            value: |i| stamp(i.since),
        },
        Column {
            key: "due",
            heading: "DUE",
            unit: Unit::Time,
            weight: 7,
            explanation: "From when on a prune may delete it; until when it is locked.",
            value: |i| stamp(i.due),
        },
    ],
};

/// A prune as a whole.
pub static PRUNED: Sheet<Pruned, Pruned> = Sheet {
    name: "prune",
    title: "The prune as a whole",
    row: "prune",
    json: InJson::Itself,
    rows: |pruned, _| Rows::one(pruned),
    columns: &[
        Column {
            key: "needed_objects",
            heading: "needed objects",
            unit: Unit::Count,
            weight: 9,
            explanation: "Number of objects that archives or running backups need.",
            value: |p| Value::Count(p.needed_objects),
        },
        Column {
            key: "needed_bytes",
            heading: "needed",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Their size.",
            value: |p| Value::Bytes(p.needed_bytes),
        },
        Column {
            key: "expired_claims",
            heading: "expired claims",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of backups that said what they need and did not end within a day: they died, or a clock is wrong.",
            value: |p| Value::Count(p.expired_claims.len() as u64),
        },
        Column {
            key: "deleted_objects",
            heading: "deleted objects",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of objects that were deleted, files in tmp/ included.",
            value: |p| Value::Count(p.of(ObjectFate::Deleted).0),
        },
        Column {
            key: "deleted_bytes",
            heading: "deleted",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Their size.",
            value: |p| Value::Bytes(p.of(ObjectFate::Deleted).1),
        },
        Column {
            key: "marked_objects",
            heading: "marked objects",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of objects that are marked since now and will be deleted unless they are needed again.",
            value: |p| Value::Count(p.of(ObjectFate::Marked).0),
        },
        Column {
            key: "marked_bytes",
            heading: "marked",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Their size.",
            value: |p| Value::Bytes(p.of(ObjectFate::Marked).1),
        },
        Column {
            key: "waiting_objects",
            heading: "waiting objects",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of objects that were marked before and not for long enough.",
            value: |p| Value::Count(p.of(ObjectFate::Waiting).0),
        },
        Column {
            key: "waiting_bytes",
            heading: "waiting",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Their size.",
            value: |p| Value::Bytes(p.of(ObjectFate::Waiting).1),
        },
        Column {
            key: "locked_objects",
            heading: "locked objects",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of objects that would be deleted, if they were not locked.",
            value: |p| Value::Count(p.of(ObjectFate::Locked).0),
        },
        Column {
            key: "locked_bytes",
            heading: "locked",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Their size.",
            value: |p| Value::Bytes(p.of(ObjectFate::Locked).1),
        },
        Column {
            key: "unmarked_objects",
            heading: "unmarked objects",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of objects that were marked and are needed again.",
            value: |p| Value::Count(p.of(ObjectFate::Unmarked).0),
        },
        Column {
            key: "all_due",
            heading: "all free from",
            unit: Unit::Time,
            weight: 5,
            explanation: "From when on a prune may delete all that is marked, waiting or locked.",
            value: |p| {
                stamp(
                    p.items
                        .iter()
                        .filter(|item| item.fate != ObjectFate::Deleted)
                        .filter_map(|item| item.due)
                        .max(),
                )
            },
        },
    ],
};

fn stamp(time: Option<i64>) -> Value {
    time.map_or(Value::None, Value::Time)
}
