//! Selectors, beside what another parser of PromQL reads in them.

use promql_parser::label::MatchOp;
use promql_parser::parser::{self, Expr};

use super::{Condition, METRIC_NAME, Selector};

/// Name, operator and value of every matcher, sorted.
type Matchers = Vec<(Vec<u8>, &'static str, Vec<u8>)>;

fn ours(text: &str) -> Option<Matchers> {
    let selector: Selector = text.parse().ok()?;
    let matchers = selector.matchers().iter().map(|matcher| {
        let (operator, value) = match &matcher.condition {
            Condition::Equal(value) => ("=", value.clone()),
            Condition::NotEqual(value) => ("!=", value.clone()),
            Condition::Matches(_) => ("=~", matcher.as_regex().0.into_bytes()),
            Condition::MatchesNot(_) => ("!~", matcher.as_regex().0.into_bytes()),
        };
        (matcher.name.clone(), operator, value)
    });
    let mut matchers: Vec<_> = matchers.collect();
    matchers.sort();
    Some(matchers)
}

fn theirs(text: &str) -> Option<Matchers> {
    let Expr::VectorSelector(selector) = parser::parse(text).ok()? else {
        return None;
    };
    let is_plain = selector.matchers.or_matchers.is_empty()
        && selector.offset.is_none()
        && selector.at.is_none();
    if !is_plain {
        return None;
    }
    let matchers = selector.matchers.matchers.into_iter().map(|matcher| {
        let operator = match matcher.op {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Re(_) => "=~",
            MatchOp::NotRe(_) => "!~",
        };
        let (name, value) = (matcher.name.into_bytes(), matcher.value.into_bytes());
        (name, operator, value)
    });
    let name = selector.name.into_iter();
    let name = name.map(|name| (METRIC_NAME.to_vec(), "=", name.into_bytes()));
    let mut matchers: Vec<_> = name.chain(matchers).collect();
    matchers.sort();
    Some(matchers)
}

#[test]
fn both_parsers_read_the_same_matchers() {
    for text in [
        "up",
        " up { } ",
        "a:b",
        ":a",
        "up{}",
        r#"up{job="api",}"#,
        r#"{job="api",path!="/x"}"#,
        r#"{job=~"a.*|b",path!~".*x"}"#,
        "up{a=\"x\",\n\tb='y',\r\nc=`z`}",
        "up{job=`a\\b\nc`}",
        "up # whatever } {",
        "up{a=\"#\", # why, }\n b='}'}",
        r#"{"up"}"#,
        r#"{'up', job="api",}"#,
        r#"{"my metric","a.b"="c"}"#,
        r#"{__name__="up"}"#,
        r#"{__name__=~"up|down"}"#,
        r#"up{a="\a\b\f\n\r\t\v\\\"",b='\''}"#,
        r#"up{a="\061\x41\u00e9\U0001f600",b="\1011"}"#,
        r#"up{a="é\\x",b="\\\\",c="\\"}"#,
        r#"up{on="x",by="y",sum="z",bool="b",inf="i",offset="o"}"#,
        r#"up{a="",b!=""}"#,
        r#"up{a="x",a="y",a!="z"}"#,
        r#"sum{a="x"}"#,
        "count",
        r#"{a=~"\\d+\\.x"}"#,
        r#"_a{_="x",A9="y"}"#,
    ] {
        let (ours, theirs) = (ours(text), theirs(text));
        assert!(ours.is_some(), "{text}");
        assert_eq!(ours, theirs, "{text}");
    }
}

#[test]
fn both_parsers_refuse_the_same() {
    for text in [
        "",
        "{",
        "}",
        "{}",
        "up{",
        "up}",
        "up}{",
        "1up",
        "up{a}",
        "up{a=}",
        "up{a=b}",
        "up{a==\"b\"}",
        "up{a=!\"b\"}",
        "up{a<\"b\"}",
        "up{a=\"b\" c=\"d\"}",
        "up{,}",
        "up{a=\"b\",,}",
        "up{1a=\"b\"}",
        "up{a:b=\"c\"}",
        "up{é=\"c\"}",
        "é",
        "up{a=\"b}",
        "up{a=\"b'}",
        "up{a=`b\\`c`}",
        "up{a=\"b\nc\"}",
        "up{a='b\nc'}",
        r#"up{a="\d"}"#,
        r#"up{a="\'"}"#,
        r#"up{a='\"'}"#,
        r#"up{a="\8"}"#,
        r#"up{a="\07"}"#,
        r#"up{a="\x1"}"#,
        r#"up{a="\x+1"}"#,
        r#"up{a="\u12"}"#,
        r#"up{a="\ud800"}"#,
        r#"up{a="\U00110000"}"#,
        r#"up{a="\400"}"#,
        r#"up{a="\"#,
        r#"{a=~".*"}"#,
        r#"{a=""}"#,
        r#"{a!="x"}"#,
        r#"{a=~"("}"#,
        r#"up{__name__="up"}"#,
        r#"up{"up"}"#,
        r#"up{\u0061="x"}"#,
        "up{a=\"b\"} up",
        "up{a=\"b\"}{c=\"d\"}",
        "\u{a0}up",
        "up\0",
    ] {
        assert_eq!((ours(text), theirs(text)), (None, None), "{text}");
    }
}

#[test]
fn where_they_differ_there_is_a_reason() {
    for (text, read, why) in [
        (
            r#"up{a="\xff\377"}"#,
            true,
            "Prometheus makes bytes of \\x and octal sequences, the other parser characters",
        ),
        (
            r#"inf{a="b"}"#,
            true,
            "a number for PromQL; a series may be called so, and a selector has no numbers",
        ),
        (
            r#"on{a="b"}"#,
            true,
            "a word of the language, which a selector has not",
        ),
        (
            r#"up{a=~"x{y}"}"#,
            false,
            "in Go a brace that repeats nothing stands for itself; here it is an error, which the other parser mends",
        ),
    ] {
        let (ours, theirs) = (ours(text), theirs(text));
        assert_eq!(ours.is_some(), read, "{text}: {why}");
        assert_ne!(ours, theirs, "{text}: {why}");
    }
}
