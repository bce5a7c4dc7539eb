//! A scenario as configuration of Prometheus, to paste.
//!
//! Source: Prometheus `model/relabel/relabel.go`: regular expressions are anchored, a `replace`
//! whose replacement is empty deletes its target label, and there is no negation.

use std::fmt::Write as _;

use super::{Pattern, Scenario, Selected};
use crate::select::{Matcher, Selector};
use crate::units::whole_duration_text;

/// Longest regular expression of one rule, in bytes, where it can be split.
const RULE_BYTES: usize = 2000;
/// A label that exists only while rules run.
const TEMPORARY: &str = "__tmp_narthex_";
/// Stands between the values of several labels, because it stands in none.
const SEPARATOR: &str = "\u{1}";

/// Configuration that does what a scenario says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snippet {
    /// YAML for a scrape configuration: `metric_relabel_configs` and `scrape_interval`; empty if
    /// nothing of it changes.
    pub yaml: String,
    /// What is set elsewhere, or cannot be said so.
    pub notes: Vec<String>,
}

/// The configuration for `scenario`.
pub fn snippet(scenario: &Scenario) -> Snippet {
    let mut rules = Rules::default();
    let mut notes = Vec::new();
    for pattern in &scenario.drop_metrics {
        for regex in split(pattern) {
            rules.rule(&[
                ("source_labels", "[__name__]".to_owned()),
                ("regex", quoted(&regex)),
                ("action", "drop".to_owned()),
            ]);
        }
    }
    for selected in &scenario.drop_series {
        rules.matching(&selected.selector, &[("action", "drop".to_owned())]);
    }
    if scenario.within.is_empty() {
        for pattern in &scenario.drop_labels {
            let regex = quoted(pattern.text());
            rules.rule(&[("regex", regex), ("action", "labeldrop".to_owned())]);
        }
    } else {
        let mut labels = Vec::new();
        for pattern in &scenario.drop_labels {
            match names(pattern) {
                Some(names) => labels.extend(names),
                None => notes.push(format!(
                    "relabeling cannot drop labels by the pattern {} from some series only: name them one by one, as a|b",
                    pattern.text()
                )),
            }
        }
        rules.forget(&scenario.within, &labels);
    }
    let mut yaml = String::new();
    if let Some(interval) = scenario.interval {
        let _ = writeln!(yaml, "scrape_interval: {}", whole_duration_text(interval));
        notes.extend(scope(&scenario.within));
    }
    yaml.push_str(&rules.finish());
    if let Some(retention) = scenario.retention {
        let retention = whole_duration_text(retention);
        notes.push(format!(
            "retention is a flag of the server: --storage.tsdb.retention.time={retention}; what it needs with growth, WAL and compaction says narthex forecast --retention {retention}"
        ));
    }
    Snippet { yaml, notes }
}

fn scope(within: &[Selected]) -> Option<String> {
    let texts: Vec<_> = within
        .iter()
        .map(|selected| selected.text.as_str())
        .collect();
    (!texts.is_empty()).then(|| {
        let texts = texts.join(" or ");
        format!("scrape_interval belongs to the scrape configurations of {texts}; it is no matter of single series")
    })
}

/// Rules in the making.
#[derive(Default)]
struct Rules {
    yaml: String,
    temporaries: usize,
}

impl Rules {
    fn rule(&mut self, fields: &[(&str, String)]) {
        for (i, (key, value)) in fields.iter().enumerate() {
            let dash = if i == 0 { "-" } else { " " };
            let _ = writeln!(self.yaml, "  {dash} {key}: {value}");
        }
    }

    /// A rule for the series that `selector` selects.
    fn matching(&mut self, selector: &Selector, action: &[(&'static str, String)]) {
        let condition = self.condition(selector);
        let fields: Vec<_> = condition
            .into_iter()
            .chain(action.iter().cloned())
            .collect();
        self.rule(&fields);
    }

    /// Rules that take labels from the series that one of the selectors selects.
    fn forget(&mut self, within: &[Selected], names: &[String]) {
        let asks = |matcher: &Matcher| names.iter().any(|name| name.as_bytes() == matcher.name());
        let clashes = within
            .iter()
            .any(|it| it.selector.matchers().iter().any(asks));
        if !clashes || names.len() + within.len() <= 2 {
            for selected in within {
                let condition = self.condition(&selected.selector);
                self.delete(&condition, names);
            }
            return;
        }
        // A label is asked for again when it may be gone: the answer is remembered in a label
        // first.
        let temporary = self.temporary();
        let one = ("replacement", quoted("1"));
        for selected in within {
            let fields = [("target_label", temporary.clone()), one.clone()];
            self.matching(&selected.selector, &fields);
        }
        let condition = [
            ("source_labels", format!("[{temporary}]")),
            ("regex", quoted("1")),
        ];
        self.delete(&condition, names);
    }

    fn delete(&mut self, condition: &[(&'static str, String)], names: &[String]) {
        for name in names {
            let mut fields = condition.to_vec();
            fields.push(("target_label", list_item(name)));
            fields.push(("replacement", quoted("")));
            self.rule(&fields);
        }
    }

    /// The fields that say which series a rule is for. What must not match is marked beforehand,
    /// because a rule cannot say *not*; so is what asks for the begin or the end of a value,
    /// which are not those of several values joined.
    fn condition(&mut self, selector: &Selector) -> Vec<(&'static str, String)> {
        let (mut labels, mut regexes) = (Vec::new(), Vec::new());
        let one = selector.matchers().len() == 1;
        for matcher in selector.matchers() {
            let (regex, negated) = matcher.as_regex();
            let name = label(matcher);
            if negated {
                labels.push(self.mark(&name, &regex));
                regexes.push(String::new());
            } else if !one && has_anchor(&regex) {
                labels.push(self.mark(&name, &regex));
                regexes.push("1".to_owned());
            } else {
                labels.push(list_item(&name));
                regexes.push(regex);
            }
        }
        let grouped = |regex: &String| {
            let plain = one || !regex.contains('|') && !regex.contains("(?");
            if plain {
                regex.clone()
            } else {
                format!("(?:{regex})")
            }
        };
        let regexes: Vec<_> = regexes.iter().map(grouped).collect();
        let mut fields = vec![("source_labels", format!("[{}]", labels.join(", ")))];
        if !one {
            fields.push(("separator", quoted(SEPARATOR)));
        }
        fields.push(("regex", quoted(&regexes.join(SEPARATOR))));
        fields
    }

    /// Marks series whose label `name` matches, and returns the label that says so with a 1.
    fn mark(&mut self, name: &str, regex: &str) -> String {
        let temporary = self.temporary();
        self.rule(&[
            ("source_labels", format!("[{}]", list_item(name))),
            ("regex", quoted(regex)),
            ("target_label", temporary.clone()),
            ("replacement", quoted("1")),
        ]);
        temporary
    }

    fn temporary(&mut self) -> String {
        self.temporaries += 1;
        format!("{TEMPORARY}{}", self.temporaries)
    }

    fn finish(mut self) -> String {
        if self.temporaries > 0 {
            self.rule(&[
                ("regex", quoted(&format!("{TEMPORARY}.*"))),
                ("action", "labeldrop".to_owned()),
            ]);
        }
        if self.yaml.is_empty() {
            return String::new();
        }
        format!("metric_relabel_configs:\n{}", self.yaml)
    }
}

fn label(matcher: &Matcher) -> String {
    String::from_utf8_lossy(matcher.name()).into_owned()
}

/// A label name as YAML: quoted where it is not what names were before Prometheus 3, or where YAML
/// takes it for something else.
fn list_item(name: &str) -> String {
    const WORDS: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let is_word = WORDS.iter().any(|word| word.eq_ignore_ascii_case(name));
    if is_name(name) && !is_word {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// Whether a regular expression may ask where its text begins or ends, or words do.
fn has_anchor(regex: &str) -> bool {
    let anchors = ["^", "$", r"\A", r"\z", r"\b", r"\B"];
    anchors.iter().any(|anchor| regex.contains(anchor))
}

/// The labels that `pattern` names one by one.
fn names(pattern: &Pattern) -> Option<Vec<String>> {
    let names: Vec<String> = pattern.text().split('|').map(str::to_owned).collect();
    names.iter().all(|name| is_name(name)).then_some(names)
}

fn is_name(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.chars().all(legal) && text.chars().next().is_some_and(|c| !c.is_ascii_digit())
}

/// A pattern of many names as several that are not too long.
fn split(pattern: &Pattern) -> Vec<String> {
    let text = pattern.text();
    let is_list = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_:|".contains(c));
    if !is_list {
        return vec![text.to_owned()];
    }
    let mut parts: Vec<String> = Vec::new();
    for name in text.split('|') {
        match parts.last_mut() {
            Some(part) if part.len() + name.len() < RULE_BYTES => {
                part.push('|');
                part.push_str(name);
            }
            _ => parts.push(name.to_owned()),
        }
    }
    parts
}

/// Text as YAML. JSON's strings are those of YAML in double quotes.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario() -> Scenario {
        Scenario::default()
    }

    fn within(selectors: &[&str]) -> Vec<Selected> {
        selectors.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn metrics_series_and_labels_have_each_their_rule() {
        let snippet = snippet(&Scenario {
            drop_metrics: patterns(&["go_.*"]),
            drop_series: within(&["a{job=\"x.y\",path=~\"/a|/b\",code!=\"\"}"]),
            drop_labels: patterns(&["pod|uid"]),
            ..scenario()
        });
        let expected = r#"metric_relabel_configs:
  - source_labels: [__name__]
    regex: "go_.*"
    action: drop
  - source_labels: [job, path, code, __name__]
    separator: "\u0001"
    regex: "x\\.y\u0001(?:/a|/b)\u0001.+\u0001a"
    action: drop
  - regex: "pod|uid"
    action: labeldrop
"#;
        assert_eq!(snippet.yaml, expected);
        assert!(snippet.notes.is_empty());
    }

    #[test]
    fn what_must_not_match_is_marked_beforehand() {
        let snippet = snippet(&Scenario {
            drop_series: within(&["{job=\"x\",env!~\"prod.*\"}"]),
            ..scenario()
        });
        let expected = r#"metric_relabel_configs:
  - source_labels: [env]
    regex: "prod.*"
    target_label: __tmp_narthex_1
    replacement: "1"
  - source_labels: [job, __tmp_narthex_1]
    separator: "\u0001"
    regex: "x\u0001"
    action: drop
  - regex: "__tmp_narthex_.*"
    action: labeldrop
"#;
        assert_eq!(snippet.yaml, expected);
    }

    #[test]
    fn what_asks_for_the_end_of_a_value_is_marked_beforehand_where_values_are_joined() {
        let snippet = snippet(&Scenario {
            drop_series: within(&["{job=\"x\",env=~\"^prod$\"}", "{env=~\"^prod$\"}"]),
            ..scenario()
        });
        let expected = r#"metric_relabel_configs:
  - source_labels: [env]
    regex: "^prod$"
    target_label: __tmp_narthex_1
    replacement: "1"
  - source_labels: [job, __tmp_narthex_1]
    separator: "\u0001"
    regex: "x\u00011"
    action: drop
  - source_labels: [env]
    regex: "^prod$"
    action: drop
  - regex: "__tmp_narthex_.*"
    action: labeldrop
"#;
        assert_eq!(snippet.yaml, expected);
    }

    #[test]
    fn labels_that_yaml_takes_for_something_else_are_quoted() {
        let snippet = snippet(&Scenario {
            drop_labels: patterns(&["null"]),
            within: within(&["{on=\"x\"}"]),
            ..scenario()
        });
        for part in ["source_labels: [\"on\"]\n", "target_label: \"null\"\n"] {
            assert!(snippet.yaml.contains(part), "{}", snippet.yaml);
        }
    }

    #[test]
    fn labels_of_some_series_are_replaced_by_nothing() {
        let one = snippet(&Scenario {
            drop_labels: patterns(&["pod"]),
            within: within(&["{job=\"x\"}"]),
            ..scenario()
        });
        let expected = r#"metric_relabel_configs:
  - source_labels: [job]
    regex: "x"
    target_label: pod
    replacement: ""
"#;
        assert_eq!(one.yaml, expected);
        let clash = snippet(&Scenario {
            drop_labels: patterns(&["pod|job"]),
            within: within(&["{job=\"x\"}"]),
            ..scenario()
        });
        assert!(
            clash.yaml.contains("target_label: __tmp_narthex_1\n"),
            "{}",
            clash.yaml
        );
        assert!(clash.yaml.contains("[__tmp_narthex_1]"), "{}", clash.yaml);
        let pattern = snippet(&Scenario {
            drop_labels: patterns(&["pod.*"]),
            within: within(&["{job=\"x\"}"]),
            ..scenario()
        });
        assert_eq!((pattern.yaml.as_str(), pattern.notes.len()), ("", 1));
    }

    #[test]
    fn many_names_are_split_into_rules_of_bearable_length() {
        let names: Vec<_> = (0..500).map(|i| format!("metric_{i}")).collect();
        let pattern = Pattern::of_names(names.iter().map(String::as_str)).unwrap();
        let parts = split(&pattern);
        assert!(parts.len() > 1 && parts.iter().all(|part| part.len() < RULE_BYTES));
        assert_eq!(parts.join("|"), pattern.text());
    }

    #[test]
    fn interval_and_retention_say_where_they_belong() {
        let snippet = snippet(&Scenario {
            interval: Some(90_000),
            retention: Some(90 * 86_400_000),
            ..scenario()
        });
        assert_eq!(snippet.yaml, "scrape_interval: 90s\n");
        assert_eq!(
            snippet.notes,
            [
                "retention is a flag of the server: --storage.tsdb.retention.time=90d; what it needs with growth, WAL and compaction says narthex forecast --retention 90d"
            ]
        );
    }
}
