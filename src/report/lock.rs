//! Reports about locks on objects.

use super::{Column, InJson, Rows, Sheet, Unit, Value};
use crate::repository::locks::LockReport;

/// What was locked.
pub static LOCKED: Sheet<LockReport, LockReport> = Sheet {
    name: "lock",
    title: "The locks as a whole",
    row: "run",
    json: InJson::Itself,
    rows: |report, _| Rows::one(report),
    columns: &[
        Column {
            key: "archives",
            heading: "archives",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of archives whose objects are to be locked.",
            value: |l| Value::Count(l.archives),
        },
        Column {
            key: "objects",
            heading: "objects",
            unit: Unit::Count,
            weight: 6,
            explanation: "Number of objects that they need, themselves included.",
            value: |l| Value::Count(l.objects),
        },
        Column {
            key: "extended",
            heading: "extended",
            unit: Unit::Count,
            weight: 8,
            explanation: "Number of those that were locked, or whose lock was made longer; with --dry-run those that this machine does not know to be locked for long enough.",
            value: |l| Value::Count(l.extended),
        },
        Column {
            key: "failed",
            heading: "failed",
            unit: Unit::Count,
            weight: 8,
            explanation: "Number of those that could not be locked.",
            value: |l| Value::Count(l.failed),
        },
        Column {
            key: "until",
            heading: "locked until",
            unit: Unit::Time,
            weight: 9,
            explanation: "Until when all of them are locked at least, but for those that could not be.",
            value: |l| Value::Time(l.until),
        },
    ],
};
