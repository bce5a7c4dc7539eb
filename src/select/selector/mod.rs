//! PromQL series selectors: `up`, `{job="x",path=~"/api.*"}`, `{"a metric with spaces"}`.
//!
//! Source: Prometheus `promql/parser` and `model/labels/matcher.go`.

#[cfg(test)]
mod oracle;
mod syntax;

use std::fmt;
use std::str::FromStr;

use regex::Regex;

use crate::error::{Error, Result};

/// The label that holds a metric's name.
pub(crate) const METRIC_NAME: &[u8] = b"__name__";

/// What anchors a regular expression as Prometheus does: at both ends, and `.` matches line breaks.
pub(crate) const ANCHORED: (&str, &str) = ("^(?s:", ")$");

/// A series selector: matchers that must all hold.
#[derive(Clone, Debug)]
pub struct Selector {
    matchers: Vec<Matcher>,
}

/// A condition on one label. A label that a series does not have counts as the empty string.
#[derive(Clone, Debug)]
pub struct Matcher {
    name: Vec<u8>,
    condition: Condition,
}

/// What a label's value must be.
#[derive(Clone, Debug)]
enum Condition {
    /// `=`
    Equal(Vec<u8>),
    /// `!=`
    NotEqual(Vec<u8>),
    /// `=~`, anchored at both ends
    Matches(Regex),
    /// `!~`, anchored at both ends
    MatchesNot(Regex),
}

impl Selector {
    /// Its matchers, in the order they were written; the metric name before the braces comes last,
    /// as in PromQL.
    pub fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }

    /// Whether a series with these labels is selected.
    pub fn selects(&self, labels: &[(&[u8], &[u8])]) -> bool {
        self.matchers.iter().all(|matcher| {
            let value = labels.iter().find(|(name, _)| *name == matcher.name);
            matcher.accepts(value.map_or(b"", |(_, value)| value))
        })
    }
}

impl Matcher {
    /// Name of the label.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Whether `value` meets the condition.
    pub fn accepts(&self, value: &[u8]) -> bool {
        match &self.condition {
            Condition::Equal(wanted) => value == wanted,
            Condition::NotEqual(unwanted) => value != unwanted,
            // As in Go, bytes that are not UTF-8 match what U+FFFD matches.
            Condition::Matches(regex) => regex.is_match(&String::from_utf8_lossy(value)),
            Condition::MatchesNot(regex) => !regex.is_match(&String::from_utf8_lossy(value)),
        }
    }

    /// The condition as a regular expression to be anchored at both ends, and whether it must not
    /// match.
    pub(crate) fn as_regex(&self) -> (String, bool) {
        let inner = |regex: &Regex| {
            let text = regex.as_str();
            let inner = text.strip_prefix(ANCHORED.0);
            let inner = inner.and_then(|text| text.strip_suffix(ANCHORED.1));
            inner.unwrap_or(text).to_owned()
        };
        let literal = |value: &[u8]| regex::escape(&String::from_utf8_lossy(value));
        match &self.condition {
            Condition::Equal(value) => (literal(value), false),
            Condition::NotEqual(value) if value.is_empty() => (".+".to_owned(), false),
            Condition::NotEqual(value) => (literal(value), true),
            Condition::Matches(regex) => (inner(regex), false),
            Condition::MatchesNot(regex) => (inner(regex), true),
        }
    }

    /// The one value that meets the condition, unless that is the empty string: then series without
    /// the label are meant as well.
    pub(super) fn only_value(&self) -> Option<&[u8]> {
        match &self.condition {
            Condition::Equal(value) if !value.is_empty() => Some(value),
            _ => None,
        }
    }
}

/// A regular expression as matchers and relabeling have it: anchored at both ends, with `.`
/// matching line breaks.
///
/// # Errors
///
/// When `pattern` is none.
pub(crate) fn anchored(pattern: &str) -> Result<Regex> {
    syntax::anchored_regex(pattern).map_err(|cause| {
        let message = format!("expected a regular expression, found {pattern:?}");
        Error::invalid(message).with_source(cause)
    })
}

impl FromStr for Selector {
    type Err = Error;

    /// Parses a selector as PromQL does. At least one matcher must refuse the empty string, so that
    /// nobody selects everything by a slip.
    fn from_str(text: &str) -> Result<Self> {
        syntax::parse(text)
            .map(|matchers| Selector { matchers })
            .map_err(|fault| {
                let column = text
                    .get(..fault.at)
                    .map_or(0, |before| before.chars().count())
                    + 1;
                let message = format!("selector {text}: {} at column {column}", fault.sentence);
                match fault.cause {
                    Some(cause) => Error::invalid(message).with_source(cause),
                    None => Error::invalid(message),
                }
            })
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = String::from_utf8_lossy(&self.name);
        let text = |value: &[u8]| format!("{:?}", String::from_utf8_lossy(value));
        match &self.condition {
            Condition::Equal(value) => write!(f, "{name}={}", text(value)),
            Condition::NotEqual(value) => write!(f, "{name}!={}", text(value)),
            Condition::Matches(regex) => write!(f, "{name}=~{:?}", regex.as_str()),
            Condition::MatchesNot(regex) => write!(f, "{name}!~{:?}", regex.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn selects(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels: Vec<_> = labels
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect();
        selector.parse::<Selector>().unwrap().selects(&labels)
    }

    const UP: &[(&str, &str)] = &[("__name__", "up"), ("job", "api"), ("path", "/api/v1\n/x")];

    #[test]
    fn every_operator_and_quote_selects_as_in_promql() {
        for selector in [
            "up",
            "up{}",
            " up { } ",
            r#"{"up"}"#,
            r#"{'up', job="api",}"#,
            r#"{__name__="up"}"#,
            r#"up{job=~"a.."}"#,
            "up{job=`api`}",
            r#"up{job!="b",job!='c'}"#,
            r#"up{job!~"ap"}"#,
            r#"up{path=~"/api.*"}"#,
            r#"up{path=~".+"}"#,
            r#"up{path="\x2fapi\u002fv1\n/x"}"#,
            r#"up{"path"='/api/v\061\U0000000a/x'}"#,
            r#"up{other=""}"#,
            r#"up{other!="x"}"#,
            r#"up{other=~"x?"}"#,
            "up{job=~`a|api`}",
        ] {
            assert!(selects(selector, UP), "{selector}");
        }
        for selector in [
            "down",
            r#"{"down"}"#,
            r#"up{job="ap"}"#,
            r#"up{job=~"ap"}"#,
            r#"up{job=~"pi"}"#,
            r#"up{job!~"a.*"}"#,
            r#"up{other!=""}"#,
            r#"up{other=~".+"}"#,
            r#"up{job=""}"#,
            "up{job=~`b|ap`}",
        ] {
            assert!(!selects(selector, UP), "{selector}");
        }
    }

    #[test]
    fn names_need_not_be_identifiers_when_quoted() {
        let labels = [("__name__", "my metric"), ("a.b", "c")];
        assert!(selects(r#"{"my metric", "a.b"="c"}"#, &labels));
        assert!(selects("a:b{on='x'}", &[("__name__", "a:b"), ("on", "x")]));
    }

    #[test]
    fn values_that_are_not_utf8_can_be_matched() {
        let labels: &[(&[u8], &[u8])] = &[(b"a", b"x\xff")];
        let selects = |text: &str| text.parse::<Selector>().unwrap().selects(labels);
        assert!(selects(r#"{a="x\xff"}"#));
        assert!(selects(r#"{a="x\377"}"#));
        assert!(selects(r#"{a=~"x."}"#));
        assert!(!selects(r#"{a=~"x"}"#));
    }

    #[test]
    fn errors_say_what_was_expected_and_where() {
        for (selector, message) in [
            ("", "expected a metric name or {, found the end at column 1"),
            (
                "{",
                "expected a label name, a quoted metric name or }, found the end at column 2",
            ),
            ("{a}", "expected =, !=, =~ or !~, found '}' at column 3"),
            ("{a=b}", "expected a quoted string, found 'b' at column 4"),
            (
                "{a=\"b}",
                "expected a closing \", found the end at column 7",
            ),
            (
                "{a=\"b\\q\"}",
                "expected an escape sequence, found 'q' at column 7",
            ),
            (
                "{ü=\"b\"}",
                "expected a label name, a quoted metric name or }, found 'ü' at column 2",
            ),
            ("{a=\"ü\" b}", "expected , or }, found 'b' at column 8"),
            (
                "{a=\"b\",,}",
                "expected a label name, a quoted metric name or }, found ',' at column 8",
            ),
            ("up[5m]", "expected { or the end, found '[' at column 3"),
            (
                "up{a=\"b\"} + 1",
                "expected the end, found '+' at column 11",
            ),
            (
                "up{\"down\"}",
                "expected the metric name only once, found it again at column 4",
            ),
            (
                "up{__name__=\"up\"}",
                "expected the metric name only once, found it again at column 4",
            ),
            (
                "{}",
                "expected at least one matcher that refuses the empty string, found none at column 1",
            ),
            (
                "{a=~\".*\"}",
                "expected at least one matcher that refuses the empty string, found none at column 1",
            ),
            ("{a=~\"(\"}", "expected a regular expression at column 5"),
            (
                "{a=~\"x)|(y\"}",
                "expected a regular expression at column 5",
            ),
            (
                "{a=\"\\400\"}",
                "expected an escape sequence, found '4' at column 6",
            ),
            (
                "{a=\"\\ud800\"}",
                "expected an escape sequence, found 'u' at column 6",
            ),
        ] {
            let error = selector.parse::<Selector>().unwrap_err();
            assert_eq!(error.to_string(), format!("selector {selector}: {message}"));
        }
    }

    /// A label value as a quoted PromQL string, with or without escapes.
    fn quoted(value: &str, quote: char) -> String {
        let mut text = String::from(quote);
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                c if c == quote => text.extend(['\\', c]),
                c if c.is_control() => text.extend(format!("\\U{:08x}", u32::from(c)).chars()),
                c => text.push(c),
            }
        }
        text.push(quote);
        text
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_an_error(text in ".*") {
            let _ = text.parse::<Selector>();
        }

        #[test]
        fn anything_that_looks_like_a_selector_parses_or_is_an_error(
            text in r#"[a-z]?\{([a-z"'`=!~,\\ux0-9 ]|[=!~]{1,2}){0,20}\}?"#
        ) {
            let _ = text.parse::<Selector>();
        }

        #[test]
        fn any_value_selects_itself_and_only_itself(value in "\\PC{1,8}|.{1,8}", other in ".{0,8}") {
            for quote in ['"', '\''] {
                let selector: Selector = format!("{{a={}}}", quoted(&value, quote)).parse().unwrap();
                prop_assert!(selector.selects(&[(b"a", value.as_bytes())]));
                prop_assert_eq!(selector.selects(&[(b"a", other.as_bytes())]), value == other);
            }
        }

        #[test]
        fn an_escaped_value_as_regular_expression_equals_it(value in ".{1,8}", other in ".{0,8}") {
            let regex = quoted(&regex::escape(&value), '"');
            let matches: Selector = format!("{{a=~{regex}}}").parse().unwrap();
            let matches_not: Selector = format!("{{b='x',a!~{regex}}}").parse().unwrap();
            for text in [&value, &other] {
                let labels: &[(&[u8], &[u8])] = &[(b"a", text.as_bytes()), (b"b", b"x")];
                prop_assert_eq!(matches.selects(labels), *text == value);
                prop_assert_eq!(matches_not.selects(labels), *text != value);
            }
        }
    }
}
