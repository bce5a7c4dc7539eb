//! Which metrics and labels a PromQL expression names.
//!
//! A [lexer](super::lexer) with a little memory, not a parser: it takes expressions of releases it
//! has never heard of, and those with Grafana's variables in any place. Where it must guess it
//! takes a name for a metric, because a metric that is wrongly said to be used costs some bytes,
//! and one that is wrongly said to be unused costs a dashboard.
//!
//! Source: Prometheus `promql/parser/lex.go` and `generated_parser.y`; Grafana "Variable syntax".

use std::collections::BTreeSet;

use super::lexer::{Lexer, Refusal, Token};
use crate::select::promql::{MatchOperator, Part, quoted};

/// What stands for any text in a regular expression.
const ANY: &str = ".*";
/// Longest expression that is read, in bytes.
const MAX_EXPRESSION: usize = 64 << 10;
/// Most matchers of a selector that count; each may be a compiled regular expression.
const MAX_MATCHERS: usize = 30;

/// Operators that take `(labels)` before or after their arguments, and may have a metric's name
/// elsewhere.
const AGGREGATIONS: [&str; 14] = [
    "sum",
    "avg",
    "count",
    "min",
    "max",
    "group",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "count_values",
    "quantile",
    "limitk",
    "limit_ratio",
];
/// Words before a list of labels.
const LISTS: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];
/// Other words that are no metrics.
const WORDS: [&str; 10] = [
    "and", "or", "unless", "atan2", "bool", "offset", "inf", "nan", "smoothed", "anchored",
];

/// What an expression names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct References {
    /// Metrics.
    pub(super) metrics: BTreeSet<Named>,
    /// Labels in matchers and in lists behind `by`, `on` and the like.
    pub(super) labels: BTreeSet<String>,
}

/// How a metric is named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Named {
    /// By its name.
    Exactly(String),
    /// By a regular expression that was written as one, or by variables whose values are known;
    /// anchored at both ends.
    Matching(String),
    /// By text with variables in it, as a regular expression.
    Pattern(String),
    /// By other labels only: a selector.
    Selector(String),
    /// By nothing that says which: text of the expression.
    Anything(String),
}

/// What is understood beside PromQL.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect<'a> {
    /// Replacements of Grafana's variables, if there are variables: regular expressions, by name.
    pub(super) variables: Option<&'a dyn Variables>,
}

/// The variables of a dashboard.
pub(super) trait Variables: std::fmt::Debug {
    /// All values of a variable, where the dashboard lists them.
    fn values(&self, name: &str) -> Option<&[String]>;
}

/// What `expression` names.
///
/// # Errors
///
/// When it is evidently no PromQL, or ends within a string or braces.
pub(super) fn references(
    expression: &str,
    dialect: Dialect<'_>,
) -> std::result::Result<References, Refusal> {
    if expression.len() > MAX_EXPRESSION {
        return Err(Refusal::Broken(format!(
            "expected an expression of at most {MAX_EXPRESSION} bytes, found {}",
            expression.len()
        )));
    }
    let mut lexer = Lexer::new(expression, dialect.variables.is_some());
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next()? {
        tokens.push(token);
    }
    if tokens.contains(&Token::Sign('|')) {
        return Err(Refusal::NotPromQl);
    }
    let mut reader = Reader {
        tokens: &tokens,
        at: 0,
        dialect,
        found: References::default(),
    };
    reader.read()?;
    Ok(reader.found)
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    dialect: Dialect<'a>,
    found: References,
}

impl<'a> Reader<'a> {
    fn token(&self, ahead: usize) -> Option<&'a Token> {
        self.tokens.get(self.at + ahead)
    }

    fn read(&mut self) -> Result<(), Refusal> {
        while let Some(token) = self.token(0) {
            self.at += 1;
            match token {
                Token::Word(parts) => self.word(parts)?,
                Token::Sign('{') => self.selector(None)?,
                Token::Text(_)
                | Token::Match(_)
                | Token::Number
                | Token::Range
                | Token::Sign(_) => {}
            }
        }
        Ok(())
    }

    fn word(&mut self, parts: &[Part]) -> Result<(), Refusal> {
        let next = self.token(0);
        let selects = matches!(next, Some(Token::Sign('{')));
        if let [Part::Text(word)] = parts {
            let lower = String::from_utf8_lossy(word).to_ascii_lowercase();
            if LISTS.contains(&lower.as_str()) && !selects {
                if matches!(next, Some(Token::Sign('('))) {
                    self.list();
                }
                return Ok(());
            }
            // `sum(…)`, `sum by (…) (…)`, `rate(…)`
            let before_list = matches!(next, Some(Token::Word(parts)) if is_list_word(parts));
            let operator = AGGREGATIONS.contains(&lower.as_str()) && before_list;
            if matches!(next, Some(Token::Sign('('))) || operator {
                return Ok(());
            }
            let is_word = WORDS.contains(&lower.as_str());
            let after_word = matches!(lower.as_str(), "inf" | "nan");
            if is_word && (after_word || !selects) || word.iter().all(|c| *c == b':') {
                return Ok(());
            }
        } else if matches!(next, Some(Token::Sign('('))) {
            // A function whose name is a variable: `${function}(metric[5m])`.
            return Ok(());
        }
        if let [Part::Variable(name)] = parts {
            return self.variable(name, selects);
        }
        let named = self.name(parts);
        if selects {
            self.at += 1;
            self.selector(Some(named))
        } else {
            self.found.metrics.insert(named);
            Ok(())
        }
    }

    /// A variable alone can stand for anything: a number, a metric, a whole expression.
    fn variable(&mut self, name: &str, selects: bool) -> Result<(), Refusal> {
        let ranges = matches!(self.token(0), Some(Token::Range));
        let values = self.dialect.variables.and_then(|known| known.values(name));
        if let Some(values) = values {
            for value in values {
                // A value is text of the dashboard like any other, but not looked into a second
                // time.
                let plain = Dialect { variables: None };
                if let Ok(more) = references(value, plain) {
                    self.found.metrics.extend(more.metrics);
                    self.found.labels.extend(more.labels);
                }
            }
            if selects {
                self.at += 1;
                let named = alternatives(values);
                self.selector(Some(Named::Matching(named)))?;
            }
        } else if selects {
            self.at += 1;
            self.selector(Some(Named::Pattern(ANY.to_owned())))?;
        } else if ranges {
            self.found
                .metrics
                .insert(Named::Anything(format!("${name}")));
        }
        Ok(())
    }

    /// A list of labels in parentheses.
    fn list(&mut self) {
        self.at += 1;
        while let Some(token) = self.token(0) {
            self.at += 1;
            match token {
                Token::Sign(')') => break,
                Token::Word(parts) | Token::Text(parts) => {
                    if let Some(label) = plain_text(parts) {
                        self.found.labels.insert(label);
                    }
                }
                Token::Match(_) | Token::Number | Token::Range | Token::Sign(_) => {}
            }
        }
    }

    /// What stands between braces, the opening one being read; `name` is what stood before them.
    fn selector(&mut self, mut name: Option<Named>) -> Result<(), Refusal> {
        let mut matchers = Vec::new();
        let mut complete = true;
        loop {
            let Some(token) = self.token(0) else {
                return Err(Refusal::Broken(
                    "expected a closing }, found the end".to_owned(),
                ));
            };
            self.at += 1;
            match (token, self.token(0), self.token(1)) {
                (Token::Sign('}'), _, _) => break,
                (
                    Token::Word(label) | Token::Text(label),
                    Some(Token::Match(operator)),
                    Some(Token::Text(value)),
                ) => {
                    self.at += 2;
                    let label = plain_text(label);
                    let positive =
                        matches!(operator, MatchOperator::Equal | MatchOperator::Matches);
                    if label.as_deref() == Some("__name__") && positive {
                        let found = self.by_name(*operator, value);
                        // Two matchers on the name: both are kept, which keeps too much rather than
                        // too little.
                        if let Some(earlier) = name.replace(found) {
                            self.found.metrics.insert(earlier);
                        }
                    } else if let Some(label) = label {
                        match plain(value) {
                            Some(value) => matchers.push(format!(
                                "{}{}{}",
                                quoted(label.as_bytes()),
                                operator.as_str(),
                                quoted(&value)
                            )),
                            None => complete = false,
                        }
                        self.found.labels.insert(label);
                    }
                }
                // A quoted metric name, Prometheus 3.0 and later.
                (Token::Text(text), _, _) => name = Some(self.name(text)),
                // `{a="x" or b="y"}` of VictoriaMetrics: what stands before selects by itself.
                (Token::Word(word), _, _) if plain_text(word).as_deref() == Some("or") => {
                    let before = std::mem::take(&mut matchers);
                    self.selected(name.clone(), &before, complete);
                }
                // `foo{$filter}` and whatever else may be there.
                (Token::Word(_), _, _) => complete = false,
                (Token::Match(_) | Token::Number | Token::Range | Token::Sign(_), _, _) => {}
            }
        }
        self.selected(name, &matchers, complete);
        Ok(())
    }

    /// Adds what braces select: a name that may be known, and matchers; `complete` if that is all
    /// they say.
    fn selected(&mut self, name: Option<Named>, matchers: &[String], complete: bool) {
        // Fewer matchers select more.
        let matchers = matchers.get(..MAX_MATCHERS).unwrap_or(matchers);
        let selector = (!matchers.is_empty()).then(|| format!("{{{}}}", matchers.join(",")));
        let named = match (name, selector) {
            // A name that can be anything says less than the other labels.
            (Some(Named::Pattern(any)), Some(selector)) if any == ANY => Named::Selector(selector),
            (Some(Named::Pattern(any)), None) if any == ANY => {
                Named::Anything("$metric{…}".to_owned())
            }
            (Some(name), _) => name,
            (None, Some(selector)) => Named::Selector(selector),
            (None, None) if complete => return,
            (None, None) => Named::Anything("{…}".to_owned()),
        };
        self.found.metrics.insert(named);
    }

    fn by_name(&self, operator: MatchOperator, value: &[Part]) -> Named {
        match (operator, plain_text(value)) {
            (MatchOperator::Equal, _) => self.name(value),
            (MatchOperator::Matches, Some(regex)) => Named::Matching(regex),
            _ => self.pattern(value, str::to_owned),
        }
    }

    fn name(&self, parts: &[Part]) -> Named {
        match plain_text(parts) {
            Some(name) => Named::Exactly(name),
            None => self.pattern(parts, regex::escape),
        }
    }

    /// The parts as one regular expression, which is no guess if the values of all variables are
    /// known.
    fn pattern(&self, parts: &[Part], text: fn(&str) -> String) -> Named {
        let (mut pattern, mut guessed) = (String::new(), false);
        for part in parts {
            match part {
                Part::Text(literal) => pattern.push_str(&text(&String::from_utf8_lossy(literal))),
                Part::Variable(name) => {
                    let values = self.dialect.variables.and_then(|known| known.values(name));
                    guessed |= values.is_none();
                    pattern.push_str(&values.map_or(ANY.to_owned(), alternatives));
                }
            }
        }
        if guessed {
            Named::Pattern(pattern)
        } else {
            Named::Matching(pattern)
        }
    }
}

/// Any of `values`.
fn alternatives(values: &[String]) -> String {
    let escaped: Vec<_> = values.iter().map(|value| regex::escape(value)).collect();
    format!("(?:{})", escaped.join("|"))
}

fn is_list_word(parts: &[Part]) -> bool {
    plain_text(parts).is_some_and(|word| LISTS.contains(&word.to_ascii_lowercase().as_str()))
}

/// The bytes, if there is no variable among them.
fn plain(parts: &[Part]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    for part in parts {
        match part {
            Part::Text(text) => whole.extend_from_slice(text),
            Part::Variable(_) => return None,
        }
    }
    Some(whole)
}

/// As [`plain`], of a name: those that are not UTF-8 name nothing that Prometheus can store.
fn plain_text(parts: &[Part]) -> Option<String> {
    plain(parts).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `$jobs` has two values, other variables any.
    #[derive(Debug)]
    struct Jobs([String; 2]);

    impl Variables for Jobs {
        fn values(&self, name: &str) -> Option<&[String]> {
            (name == "jobs").then_some(&self.0)
        }
    }

    fn read(expression: &str) -> References {
        references(expression, Dialect { variables: None }).unwrap()
    }

    fn read_dashboard(expression: &str) -> References {
        let jobs = Jobs(["api_up".to_owned(), "db.up".to_owned()]);
        let dialect = Dialect {
            variables: Some(&jobs),
        };
        references(expression, dialect).unwrap()
    }

    fn exact(names: &[&str]) -> BTreeSet<Named> {
        names
            .iter()
            .map(|name| Named::Exactly((*name).to_owned()))
            .collect()
    }

    #[test]
    fn metrics_are_told_from_functions_keywords_and_labels() {
        for (expression, metrics) in [
            ("up", &["up"][..]),
            ("up == bool 1", &["up"]),
            ("sum by (job, le) (rate(a_total[5m]))", &["a_total"]),
            (
                "sum(rate(a_total[5m])) by(job) / on (x) group_left (y) b",
                &["a_total", "b"],
            ),
            ("SUM BY (job) (a) OR b UNLESS c", &["a", "b", "c"]),
            (
                "histogram_quantile(0.9, sum without(instance)(rate(h_bucket{le!=\"x\"}[5m:1m] offset 5m)))",
                &["h_bucket"],
            ),
            (
                "job:a:rate5m{x='}', y=`#`} # not b\n + c",
                &["job:a:rate5m", "c"],
            ),
            ("a @ end() + b @ 1609746000 offset -5m", &["a", "b"]),
            (
                "label_replace(a, \"dst\", \"$1\", \"src\", \"(.*)\")",
                &["a"],
            ),
            (
                "{\"http.requests\", job=\"x\"} + {__name__=\"b\"}",
                &["http.requests", "b"],
            ),
            ("sum({\"a b\"}) by (\"l.m\")", &["a b"]),
            ("count_values(\"version\", build_info)", &["build_info"]),
            ("topk(3, a) atan2 -Inf + NaN + 0x1F + 1e3 + 5m", &["a"]),
            (
                "count + sum{x=\"1\"} + on{x=\"1\"}",
                &["count", "sum", "on"],
            ),
            ("absent_over_time(a{}[1h])", &["a"]),
            ("vector(1)", &[]),
            ("{}", &[]),
            ("a[max(step(), 5m)]", &["a"]),
            ("métrique_total > 0", &["métrique_total"]),
        ] {
            assert_eq!(read(expression).metrics, exact(metrics), "{expression}");
        }
    }

    #[test]
    fn labels_are_those_of_matchers_and_lists() {
        let found = read("sum by (job, \"l.m\") (a{le=\"1\"} * on (x) group_left (y) b)");
        let labels: Vec<_> = found.labels.iter().map(String::as_str).collect();
        assert_eq!(labels, ["job", "l.m", "le", "x", "y"]);
    }

    #[test]
    fn names_by_regex_and_by_other_labels_are_kept_apart() {
        let only = |named: Named| BTreeSet::from([named]);
        let matching = Named::Matching("a|b_.+".to_owned());
        assert_eq!(
            read("{__name__=~\"a|b_.+\", x=\"1\"}").metrics,
            only(matching)
        );
        let selector = Named::Selector("{\"job\"=\"x\",\"a\"!=\"\"}".to_owned());
        assert_eq!(read("{job=\"x\",a!=\"\"}").metrics, only(selector));
        let by_job = |job: &str| Named::Selector(format!("{{\"job\"={job:?}}}"));
        assert_eq!(
            read("sum({job=\"x\" or job=\"y\"})").metrics,
            BTreeSet::from([by_job("x"), by_job("y")])
        );
        assert_eq!(
            read("a{job=\"x\" or __name__=\"b\"}").metrics,
            exact(&["a", "b"])
        );
        let selector = Named::Selector("{\"__name__\"!~\"go_.*\",\"job\"=\"x\"}".to_owned());
        assert_eq!(
            read("{__name__!~\"go_.*\",job=\"x\"}").metrics,
            only(selector)
        );
    }

    #[test]
    fn variables_of_dashboards_become_patterns() {
        let pattern = |text: &str| Named::Pattern(text.to_owned());
        for (expression, named) in [
            (
                "rate(${prefix}_total[$__rate_interval])",
                pattern(".*_total"),
            ),
            ("node_$metric{job=~\"$job\"}", pattern("node_.*")),
            ("node_[[metric]]_x[[[interval]]]", pattern("node_.*_x")),
            (
                "x_${jobs:regex}",
                Named::Matching("x_(?:api_up|db\\.up)".to_owned()),
            ),
            ("{__name__=~\"$m.*\"}", pattern(".*.*")),
            ("{__name__=\"$m.x\"}", pattern(".*\\.x")),
            (
                "$metric{job=\"x\"}",
                Named::Selector("{\"job\"=\"x\"}".to_owned()),
            ),
            (
                "$metric{job=\"$job\"}",
                Named::Anything("$metric{…}".to_owned()),
            ),
            ("rate($metric[5m])", Named::Anything("$metric".to_owned())),
            ("{job=~\"$job\"}", Named::Anything("{…}".to_owned())),
        ] {
            let found = read_dashboard(expression).metrics;
            assert_eq!(found, BTreeSet::from([named]), "{expression}");
        }
        assert_eq!(
            read_dashboard("topk($n, ${fn}(a[$i])) > $limit").metrics,
            exact(&["a"])
        );
        assert_eq!(
            read_dashboard("sum($jobs)").metrics,
            exact(&["api_up", "db", "up"])
        );
        assert_eq!(read("a{x=~\"b$\"}").metrics, exact(&["a"]));
    }

    #[test]
    fn another_language_and_half_an_expression_are_refused() {
        let refused = |text: &str| references(text, Dialect { variables: None }).unwrap_err();
        assert_eq!(refused("{app=\"x\"} |= \"error\""), Refusal::NotPromQl);
        for text in ["a{b=\"c", "a{b=\"c\"", "a[5m", "'", "a{b=\"\\uZZZZ\"}"] {
            assert!(matches!(refused(text), Refusal::Broken(_)), "{text}");
        }
        assert_eq!(read("a{b=~\"c|d\"}").metrics, exact(&["a"]));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z${}\\[\\]()\"'`=~!|#,. \\\\0-9é]{0,60}") {
            let jobs = Jobs(["a".to_owned(), "b".to_owned()]);
            let _ = references(&text, Dialect { variables: Some(&jobs) });
            let _ = references(&text, Dialect { variables: None });
        }
    }
}
