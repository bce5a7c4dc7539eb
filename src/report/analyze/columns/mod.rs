//! What is said of each row of an analysis.

pub(in crate::report) mod chunks;
pub(in crate::report) mod churn;
pub(in crate::report) mod groups;
pub(in crate::report) mod whole;

use crate::report::Value;
use crate::units;

fn percent(part: u64, all: u64) -> Value {
    Value::number(units::percent(part as f64, all))
}

fn count(number: Option<u64>) -> Value {
    number.map_or(Value::None, Value::Count)
}

fn name(name: Option<&String>) -> Value {
    name.map_or(Value::None, Value::text)
}
