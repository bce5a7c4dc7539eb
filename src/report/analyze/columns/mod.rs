//! What is said of each row of an analysis.

mod chunks;
mod churn;
mod groups;
mod whole;

use crate::report::{Value, ratio};

pub(in crate::report) use chunks::{CUTS, SCRAPES};
pub(in crate::report) use churn::{JOB_STEPS, JOBS, STEPS, TURNOVER};
pub(in crate::report) use groups::{CROSS, GROUPS, LABELS, LOOKS, PAIRS};
pub(in crate::report) use whole::{BLOCKS, PARTS, SUMMARY};

fn percent(part: u64, all: u64) -> Value {
    ratio(part.saturating_mul(100), all)
}

fn count(number: Option<u64>) -> Value {
    number.map_or(Value::None, Value::Count)
}

fn name(name: Option<&String>) -> Value {
    name.map_or(Value::None, Value::text)
}
