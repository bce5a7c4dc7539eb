//! What a server answers, in a form that can be compared.

use std::collections::BTreeMap;

use serde_json::Value;

/// Samples by series (its labels as JSON) and time (milliseconds); values and histograms as the
/// server spelt them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer(BTreeMap<String, BTreeMap<i64, String>>);

impl Answer {
    /// Takes the result of a range vector query.
    pub(crate) fn from_matrix(result: &Value) -> Self {
        let series = result.as_array().unwrap().iter().map(|series| {
            // serde_json keeps the order of keys, and Prometheus sorts labels.
            let labels = series["metric"].to_string();
            let samples = ["values", "histograms"]
                .into_iter()
                .filter_map(|kind| series[kind].as_array())
                .flatten()
                .map(|sample| (milliseconds(&sample[0]), sample[1].to_string()))
                .collect();
            (labels, samples)
        });
        Self(series.collect())
    }

    /// How many samples there are.
    pub(crate) fn samples(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// The samples from `since` on and before `until`, in milliseconds; series that have none are
    /// left out.
    pub(crate) fn within(&self, since: i64, until: i64) -> Self {
        let series = self.0.iter().map(|(labels, samples)| {
            let samples = samples.range(since..until);
            let samples = samples.map(|(time, value)| (*time, value.clone()));
            (labels.clone(), samples.collect::<BTreeMap<_, _>>())
        });
        Self(series.filter(|(_, samples)| !samples.is_empty()).collect())
    }

    /// The samples of `self` that `other` does not have, or has with another value, as lines of
    /// text.
    pub(crate) fn missing_from(&self, other: &Self) -> Vec<String> {
        let none = BTreeMap::new();
        let mut missing = Vec::new();
        for (labels, samples) in &self.0 {
            let others = other.0.get(labels).unwrap_or(&none);
            for (time, value) in samples {
                if others.get(time) != Some(value) {
                    let found = others.get(time).map_or("nothing", String::as_str);
                    missing.push(format!("{labels} {value} @{time}, found {found}"));
                }
            }
        }
        missing
    }
}

/// Fails with a few examples when `missing` is not empty.
pub(crate) fn assert_none(missing: &[String], what: &str) {
    let examples = missing.get(..5).unwrap_or(missing).join("\n");
    assert!(missing.is_empty(), "{} {what}:\n{examples}", missing.len());
}

fn milliseconds(seconds: &Value) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a time in milliseconds is an integer far below 2^53"
    )]
    let milliseconds = (seconds.as_f64().unwrap() * 1000.0).round() as i64;
    milliseconds
}
