//! Expressions, beside what another parser of PromQL finds in them.

use std::collections::BTreeSet;

use promql_parser::label::MatchOp;
use promql_parser::parser::VectorMatchCardinality;
use promql_parser::parser::{self, AggregateExpr, BinaryExpr, Expr, LabelModifier, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};

use super::promql::{Dialect, Named, References, references};
use super::walk::DashboardVariables;
use super::{files, walk};
use crate::select::promql::quoted;

/// What another parser finds, in our words.
#[derive(Default)]
struct Finder {
    found: References,
}

impl Finder {
    fn selector(&mut self, selector: &VectorSelector) {
        let mut name = selector.name.clone().map(Named::Exactly);
        let mut matchers = Vec::new();
        for matcher in &selector.matchers.matchers {
            let operator = match &matcher.op {
                MatchOp::Equal => "=",
                MatchOp::NotEqual => "!=",
                MatchOp::Re(_) => "=~",
                MatchOp::NotRe(_) => "!~",
            };
            let value = matcher.value.clone();
            match (matcher.name.as_str(), operator) {
                ("__name__", "=") => name = Some(Named::Exactly(value)),
                ("__name__", "=~") => name = Some(Named::Matching(value)),
                (label, _) => {
                    self.found.labels.insert(label.to_owned());
                    let label = quoted(label.as_bytes());
                    matchers.push(format!("{label}{operator}{}", quoted(value.as_bytes())));
                }
            }
        }
        let selector = || Named::Selector(format!("{{{}}}", matchers.join(",")));
        self.found.metrics.insert(name.unwrap_or_else(selector));
    }

    fn lists(&mut self, labels: &[String]) {
        self.found.labels.extend(labels.iter().cloned());
    }

    fn modifier(&mut self, modifier: &LabelModifier) {
        match modifier {
            LabelModifier::Include(labels) | LabelModifier::Exclude(labels) => {
                self.lists(&labels.labels);
            }
        }
    }
}

impl ExprVisitor for Finder {
    type Error = ();

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, ()> {
        match expression {
            Expr::VectorSelector(selector) => self.selector(selector),
            Expr::MatrixSelector(matrix) => self.selector(&matrix.vs),
            Expr::Aggregate(AggregateExpr {
                modifier: Some(modifier),
                ..
            }) => self.modifier(modifier),
            Expr::Binary(BinaryExpr {
                modifier: Some(modifier),
                ..
            }) => {
                if let Some(matching) = &modifier.matching {
                    self.modifier(matching);
                }
                match &modifier.card {
                    VectorMatchCardinality::ManyToOne(labels)
                    | VectorMatchCardinality::OneToMany(labels) => self.lists(&labels.labels),
                    VectorMatchCardinality::OneToOne | VectorMatchCardinality::ManyToMany => {}
                }
            }
            _ => {}
        }
        Ok(true)
    }
}

fn theirs(expression: &str) -> Option<References> {
    let mut finder = Finder::default();
    walk_expr(&mut finder, &parser::parse(expression).ok()?).ok()?;
    Some(finder.found)
}

fn ours(expression: &str) -> Option<References> {
    references(expression, Dialect { variables: None }).ok()
}

/// Every expression of the rules and dashboards in `fixtures/usage`, with values for the variables
/// that the other parser does not know.
fn fixtures() -> BTreeSet<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/usage");
    let mut expressions = BTreeSet::new();
    for file in [
        "rules/alerts.yaml",
        "rules/operator.yml",
        "dashboards/prometheus.json",
    ] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        for document in files::parse(&text).unwrap() {
            let mut found = Vec::new();
            if walk::is_dashboard(&document) {
                walk::dashboard(&document, &DashboardVariables::of(&document), &mut found);
            } else {
                walk::rules(&document, &mut found);
            }
            assert!(!found.is_empty(), "{file}");
            expressions.extend(found.iter().map(|it| it.expression.to_owned()));
        }
    }
    let variables = [
        ("$__rate_interval", "5m"),
        ("$job", "j"),
        ("${size}", "x"),
        ("${phase}", "y"),
    ];
    let fill = |text: String| {
        let variables = variables.iter();
        variables.fold(text, |text, (name, value)| text.replace(name, value))
    };
    expressions.into_iter().map(fill).collect()
}

#[test]
fn both_find_the_same_in_the_fixtures() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 11, "{}", fixtures.len());
    for expression in fixtures {
        let (ours, theirs) = (ours(&expression), theirs(&expression));
        assert!(ours.is_some(), "{expression}");
        assert_eq!(ours, theirs, "{expression}");
    }
}

#[test]
fn both_find_the_same_in_hostile_expressions() {
    for expression in [
        r#"a{x="\061\x41\u00e9\a\b\f\v\"" , y='\'' , z=`\a`}"#,
        r#"{x="\061\x41\u00e9\U0001f600\t\\"}"#,
        "{x='a # b'} # c{d=\"e\"}\n + b",
        r#"{"a b", "l.m"!="}", `n`=~'[)({,]+'}"#,
        r#"{__name__=~"a|b_.+", x!~"1"}"#,
        "a{x=`\n`}",
        "a{x=\"é\u{301}\u{200b}\"}",
        "{x=\"\u{7f}\u{1}é\u{301}\u{200b}\"}",
        "sum by (job, le) (rate(a[5m])) / on (job) group_left (b) c offset 5m",
        "sum(a) without (x,) > bool b",
        "sum{x=\"1\"} + count{y!=\"2\"}",
        "-a ^ 2 ^ b % c @ 1609746000",
        "max_over_time(a{}[1h:5m] offset -1d) == 0x1F + 1e3 + .5 + Inf",
        "label_replace(a, \"x\", \"$1\", \"y\", \"(b) c\")",
        "a and on () b unless ignoring (l) c or d atan2 e",
        "quantile(0.9, a) + topk(3, b) + count_values(\"v\", c)",
        "label_replace(absent(a{b=\"c\"}), \"x\", \"d{e='f'}\", \"y\", '')",
    ] {
        let (ours, theirs) = (ours(expression), theirs(expression));
        assert!(ours.is_some(), "{expression}");
        assert_eq!(ours, theirs, "{expression}");
    }
}

#[test]
fn where_they_differ_there_is_a_reason() {
    for (expression, named, why) in [
        (
            r#"{x="\xff"}"#,
            r#"{"x"="\xff"}"#,
            "Prometheus makes bytes of \\x sequences, the other parser characters",
        ),
        (
            r#"{x=~"\d"}"#,
            r#"{"x"=~"\\d"}"#,
            "what Prometheus refuses is read, so that what it may mean is not called unused",
        ),
        (
            r#"{x="a{{ .Values.b }}"} + {y="z"}"#,
            r#"{"y"="z"}"#,
            "templates of Helm can be anything",
        ),
        (
            r#"{a="b"} + on{x="y"}"#,
            r#"{"a"="b"}"#,
            "a word of the language before braces is a metric: one that is wrongly said to be used costs less",
        ),
    ] {
        let (ours, theirs) = (ours(expression), theirs(expression));
        let found = ours.clone().unwrap_or_default().metrics;
        let named = Named::Selector(named.to_owned());
        assert!(found.contains(&named), "{expression}: {why}: {found:?}");
        assert_ne!(ours, theirs, "{expression}: {why}");
    }
}
