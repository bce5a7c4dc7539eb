//! What could be changed.

use std::fmt;
use std::str::FromStr;

use regex::Regex;

use crate::error::{Error, Result};
use crate::model::Millis;
use crate::select::{Selector, anchored};
use crate::units::whole_duration_text;

/// A regular expression as relabeling has it: anchored at both ends.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// The pattern as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it matches all of `text`. As in Go, bytes that are not UTF-8 match what U+FFFD
    /// matches.
    pub fn matches(&self, text: &[u8]) -> bool {
        self.regex.is_match(&String::from_utf8_lossy(text))
    }

    /// The pattern that matches each of `names` and nothing else.
    ///
    /// # Errors
    ///
    /// When there are so many that no regular expression can hold them.
    pub fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let names: Vec<_> = names.into_iter().map(regex::escape).collect();
        names.join("|").parse()
    }
}

impl FromStr for Pattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(Pattern {
            regex: anchored(text)?,
            text: text.to_owned(),
        })
    }
}

/// A change of what is scraped or kept. Several kinds at once are done in this order: series are
/// dropped by the labels they have, then labels are dropped, then the interval is made longer, then
/// the retention changes.
#[derive(Clone, Debug, Default)]
pub struct Scenario {
    /// What to call it instead of listing its changes.
    pub title: Option<String>,
    /// Series of metrics that one of these matches are dropped.
    pub drop_metrics: Vec<Pattern>,
    /// Series that one of these selects are dropped.
    pub drop_series: Vec<Selected>,
    /// Labels that one of these matches are dropped from series that [`within`](Self::within)
    /// selects.
    pub drop_labels: Vec<Pattern>,
    /// Series whose samples are further apart are scraped at this interval in milliseconds, if
    /// `within` selects them and it is longer than theirs.
    pub interval: Option<Millis>,
    /// Which series lose labels and are scraped less often: those that one of these selects;
    /// without any, all.
    pub within: Vec<Selected>,
    /// How long samples are kept, in milliseconds.
    pub retention: Option<Millis>,
}

/// A selector with its text.
#[derive(Clone, Debug)]
pub struct Selected {
    /// The selector as it was written.
    pub text: String,
    /// What it means.
    pub selector: Selector,
}

impl FromStr for Selected {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(Selected {
            text: text.to_owned(),
            selector: text.parse()?,
        })
    }
}

impl Scenario {
    /// The metrics that `pattern` matches, which nothing uses, are dropped.
    pub fn unused(pattern: Pattern) -> Self {
        Scenario {
            title: Some("drop unused metrics".to_owned()),
            drop_metrics: vec![pattern],
            ..Scenario::default()
        }
    }

    /// Labels that would be dropped among `labels`.
    pub fn dropped<'a, T>(
        &self,
        labels: impl Iterator<Item = (&'a str, T)>,
    ) -> impl Iterator<Item = (&'a str, T)> {
        labels.filter(|(label, _)| {
            let patterns = &self.drop_labels;
            patterns
                .iter()
                .any(|pattern| pattern.matches(label.as_bytes()))
        })
    }

    /// Each change alone, and behind them all together if there are several.
    ///
    /// # Errors
    ///
    /// When a pattern of labels matches `__name__`, without which nothing is a series; when an
    /// interval or a retention is not positive.
    pub fn each(self) -> Result<Vec<Self>> {
        self.check()?;
        let mut each = Vec::new();
        let none = Scenario::default;
        each.extend(self.drop_metrics.iter().map(|pattern| Scenario {
            drop_metrics: vec![pattern.clone()],
            ..none()
        }));
        each.extend(self.drop_series.iter().map(|selected| Scenario {
            drop_series: vec![selected.clone()],
            ..none()
        }));
        let within = || self.within.clone();
        each.extend(self.drop_labels.iter().map(|pattern| Scenario {
            drop_labels: vec![pattern.clone()],
            within: within(),
            ..none()
        }));
        each.extend(self.interval.map(|interval| Scenario {
            interval: Some(interval),
            within: within(),
            ..none()
        }));
        each.extend(self.retention.map(|retention| Scenario {
            retention: Some(retention),
            ..none()
        }));
        if each.len() > 1 {
            each.push(self);
        }
        Ok(each)
    }

    fn check(&self) -> Result<()> {
        for pattern in &self.drop_labels {
            if pattern.matches(b"__name__") {
                let text = pattern.text();
                return Err(Error::invalid(format!(
                    "expected labels other than __name__, found {text:?}, which matches it: nothing could be scraped any more"
                )));
            }
        }
        for (what, value) in [("interval", self.interval), ("retention", self.retention)] {
            if value.is_some_and(|value| value <= 0) {
                return Err(Error::invalid(format!("expected a positive {what}")));
            }
        }
        Ok(())
    }

    /// How many kinds of changes and patterns there are.
    pub(super) fn changes(&self) -> usize {
        self.drop_metrics.len()
            + self.drop_series.len()
            + self.drop_labels.len()
            + usize::from(self.interval.is_some())
            + usize::from(self.retention.is_some())
    }
}

impl fmt::Display for Scenario {
    /// The change in words; *all together* if there are several.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(title) = &self.title {
            return f.write_str(title);
        }
        if self.changes() > 1 {
            return f.write_str("all together");
        }
        for pattern in &self.drop_metrics {
            write!(f, "drop metrics {}", pattern.text())?;
        }
        for selected in &self.drop_series {
            write!(f, "drop series {}", selected.text)?;
        }
        for pattern in &self.drop_labels {
            write!(f, "drop label {}", pattern.text())?;
        }
        if let Some(interval) = &self.interval {
            write!(f, "interval {}", whole_duration_text(*interval))?;
        }
        if let Some(retention) = &self.retention {
            write!(f, "retention {}", whole_duration_text(*retention))?;
        }
        for (i, selected) in self.within.iter().enumerate() {
            let word = if i == 0 { "of" } else { "or" };
            write!(f, " {word} {}", selected.text)?;
        }
        Ok(())
    }
}
