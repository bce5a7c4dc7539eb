//! Whole files, as people have them.

use std::fs;

use super::*;

fn usage(rules: &[&str], dashboards: &[&str]) -> Usage {
    let dir = tempfile::tempdir().unwrap();
    let write = |texts: &[&str], ending: &str| -> Vec<PathBuf> {
        let file = |(i, text): (usize, &&str)| {
            let path = dir.path().join(format!("{i}.{ending}"));
            fs::write(&path, text).unwrap();
            path
        };
        texts.iter().enumerate().map(file).collect()
    };
    Usage::read(&write(rules, "yaml"), &write(dashboards, "json"))
}

fn reasons(usage: &Usage) -> Vec<&str> {
    usage
        .problems
        .iter()
        .map(|problem| problem.reason.as_str())
        .collect()
}

fn assert_used(usage: &Usage, metrics: &[&str]) {
    for metric in metrics {
        assert_eq!(usage.of(metric), MetricUse::Used, "{metric}");
    }
}

#[test]
fn a_recording_rule_uses_only_when_its_result_is_used() {
    let usage = usage(
        &["groups: [{name: x, rules: [
            {record: 'a:rate', expr: 'rate(a[5m])'},
            {record: 'b:rate', expr: 'sum(a:rate) + rate(b[5m])'},
            {record: 'c:rate', expr: 'rate(c[5m])'},
            {record: 'd:rate', expr: '{job=\"d\"}'},
            {alert: B, expr: 'b:rate > 1'}]}]"],
        &[],
    );
    assert_eq!(usage.problems, []);
    assert_used(&usage, &["a", "b", "a:rate", "b:rate"]);
    assert_eq!(usage.of("c"), MetricUse::Recording("c:rate".to_owned()));
    assert_eq!(usage.of("c:rate"), MetricUse::Unused);
    assert!(usage.is_recorded("c:rate") && !usage.is_recorded("c"));
    assert_eq!(usage.selectors().count(), 0);
    assert_eq!(usage.expressions, 5);
}

#[test]
fn a_chain_of_rules_that_is_too_long_to_follow_counts_as_used() {
    // In the worst order: each round finds one more.
    let link = |i: usize| format!("  - {{record: 'r{i:04}', expr: 'r{:04}'}}\n", i + 1);
    let chain: String = (0..300).map(link).collect();
    let text = format!("groups:\n- rules:\n{chain}  - {{alert: A, expr: r0000}}\n");
    let usage = usage(&[&text], &[]);
    assert_used(&usage, &["r0000", "r0050", "r0299", "r0300"]);
}

#[test]
fn a_recording_rule_that_a_regex_of_a_used_one_matches_is_used() {
    let usage = usage(
        &["groups: [{rules: [{alert: A, expr: 'x:one'},
            {record: 'x:one', expr: '{__name__=~\"y:.*\"}'},
            {record: 'y:two', expr: 'sum(b) + {job=\"j\"}'},
            {record: 'z:two', expr: 'c'}]}]"],
        &[],
    );
    assert_used(&usage, &["x:one", "y:two", "b"]);
    assert_eq!(usage.of("c"), MetricUse::Recording("z:two".to_owned()));
    assert_eq!(usage.selectors().count(), 1);
}

#[test]
fn too_many_recording_rules_are_named_and_cost_no_square_of_time() {
    let rule = |i: usize| format!("{{record: 'r{i}', expr: '{{__name__=~\"r{}x*\"}}'}}", i + 1);
    let rules: Vec<_> = (0..MAX_RECORDED + 10).map(rule).collect();
    let alert = "{alert: A, expr: r0}";
    let text = format!("groups: [{{rules: [{alert}, {}]}}]", rules.join(", "));
    let usage = usage(&[&text], &[]);
    assert!(
        reasons(&usage)
            .iter()
            .any(|reason| reason.contains("at most 20000 names")),
        "{:?}",
        usage.problems.len()
    );
    assert!(usage.problems.len() < 5, "{}", usage.problems.len());
}

#[test]
fn rules_are_found_in_every_wrapping() {
    let usage = usage(
        &[
            "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nspec:\n  groups:\n  - name: g\n    rules:\n    - alert: A\n      expr: |\n        crd_metric\n          > 1\n",
            "tenant-a:\n- name: g\n  rules:\n  - alert: A\n    expr: mimir_metric\n",
            "groups:\n- name: g\n  rules:\n  - uid: x\n    data:\n    - refId: A\n      model: {expr: grafana_metric, datasource: {type: prometheus}}\n    - refId: B\n      model: {expr: loki_metric, datasource: {type: loki}}\n",
            "{\"status\":\"success\",\"data\":{\"groups\":[{\"rules\":[{\"type\":\"alerting\",\"name\":\"A\",\"query\":\"api_metric > 0\"},{\"type\":\"recording\",\"name\":\"r\",\"query\":\"api_record\"}]}]}}",
            "kind: ConfigMap\ndata:\n  x.yaml: |\n    groups:\n    - name: g\n      rules:\n      - {alert: A, expr: map_metric}\n",
            "groups: []\n",
            "groups:\n- name: logs\n  rules:\n  - {record: errors, expr: 'sum(rate({app=\"x\"} |= \"error\" [5m]))'}\n",
        ],
        &[],
    );
    assert_eq!(usage.problems, []);
    assert_used(
        &usage,
        &[
            "crd_metric",
            "mimir_metric",
            "grafana_metric",
            "api_metric",
            "map_metric",
        ],
    );
    assert_eq!(usage.of("loki_metric"), MetricUse::Unused);
    assert_eq!(usage.of("api_record"), MetricUse::Recording("r".to_owned()));
    assert!(usage.is_recorded("errors"));
    assert_eq!((usage.files, usage.other_languages), (7, 1));
}

#[test]
fn dashboards_of_every_schema_are_read() {
    let usage = usage(
        &[],
        &[
            r#"{"rows":[{"panels":[{"targets":[{"expr":"old_row"}]}]}]}"#,
            r#"{"dashboard":{"panels":[{"type":"row","panels":[{"targets":[{"expr":"nested"}]}]},
                {"libraryPanel":{"model":{"targets":[{"expr":"library"}]}}},
                {"datasource":{"type":"loki"},"targets":[{"expr":"logs"}]},
                {"datasource":"-- Mixed --","targets":[{"datasource":"Loki","expr":"mixed_logs"},{"datasource":"Prom","expr":"mixed"}]},
                {"datasource":"${ds}","targets":[{"expr":"variable_logs"}]}],
               "annotations":{"list":[{"datasource":"Prom","expr":"changes(annotated[5m])"}]},
               "templating":{"list":[
                {"name":"ds","type":"datasource","query":"loki"},
                {"name":"a","type":"query","query":"label_values(templated{x=\"1,2\"}, instance)"},
                {"name":"b","type":"query","query":{"query":"query_result(topk(1, templated_result))","refId":"x"}},
                {"name":"c","type":"query","query":"metrics(^listed_)"},
                {"name":"d","type":"query","query":"label_values(lonely)"}]}}}"#,
            r#"{"spec":{"elements":{"p":{"spec":{"data":{"spec":{"queries":[
                {"spec":{"query":{"kind":"DataQuery","group":"prometheus","spec":{"expr":"schema_two"}}}},
                {"spec":{"query":{"kind":"DataQuery","group":"loki","spec":{"expr":"schema_two_logs"}}}}]}}}}},
               "variables":[{"kind":"CustomVariable","spec":{"name":"m","query":"One : x_one, x_two"}}],
               "more":{"expr":"$m"}}}"#,
        ],
    );
    assert_eq!(usage.problems, []);
    assert_used(
        &usage,
        &[
            "old_row",
            "nested",
            "library",
            "mixed",
            "annotated",
            "templated",
            "templated_result",
            "schema_two",
            "x_one",
            "x_two",
        ],
    );
    for metric in [
        "logs",
        "mixed_logs",
        "variable_logs",
        "schema_two_logs",
        "instance",
        "lonely",
    ] {
        assert_eq!(usage.of(metric), MetricUse::Unused, "{metric}");
    }
    assert!(matches!(usage.of("listed_total"), MetricUse::Pattern(_)));
}

#[test]
fn regexes_and_variables_keep_what_they_match() {
    let usage = usage(
        &["groups: [{rules: [{alert: A, expr: '{__name__=~\"a|b.+\"} + {job=\"x\"}'}]}]"],
        &[r#"{"panels":[{"expr":"${p}_seconds_total"},{"expr":"a{job=~\"$j\"}"}]}"#],
    );
    assert_eq!(usage.problems, []);
    assert_used(&usage, &["a", "bc"]);
    assert_eq!(usage.of("ab"), MetricUse::Unused);
    let pattern = MetricUse::Pattern(".*_seconds_total".to_owned());
    assert_eq!(usage.of("x_seconds_total"), pattern);
    assert_eq!(usage.selectors().count(), 1);
    let labels: Vec<_> = usage.labels().map(|(label, _)| label).collect();
    assert_eq!(labels, ["job"]);
}

#[test]
fn a_variable_that_can_have_other_values_than_those_listed_can_be_anything() {
    let custom = |more: &str, query: &str| {
        format!(
            r#"{{"panels":[{{"expr":"x_${{m}}"}}],
            "templating":{{"list":[{{"type":"custom","name":"m","query":"{query}"{more}}}]}}}}"#
        )
    };
    let known = usage(&[], &[&custom("", "one,two")]);
    assert_used(&known, &["x_one", "x_two"]);
    assert_eq!(known.of("x_three"), MetricUse::Unused);
    for open in [
        custom(r#","allValue":".*""#, "one,two"),
        custom("", r"one\\,two"),
        custom("", "one,two").replace("custom", "textbox"),
    ] {
        let found = usage(&[], &[&open]).of("x_three");
        assert_eq!(found, MetricUse::Pattern("x_.*".to_owned()), "{open}");
    }
    // Dashboards of one file that give one name to two variables.
    let (one, two) = (custom("", "one"), custom("", "two"));
    let both = usage(&[], &[&format!("[{one},{two}]")]);
    assert_used(&both, &["x_one", "x_two"]);
}

#[test]
fn regexes_that_compile_to_much_are_refused_together() {
    let rule = |i: usize| format!("{{alert: A, expr: '{{__name__=~\"{i}(\\w{{50}}){{2}}\"}}'}}");
    let rules: Vec<_> = (0..200).map(rule).collect();
    let text = format!("groups: [{{rules: [{}]}}]", rules.join(", "));
    let usage = usage(&[&text], &[]);
    assert_eq!(usage.problems.len(), 1, "{:?}", reasons(&usage));
    assert!(
        reasons(&usage)[0]
            .contains("expected at most 10000 patterns and selectors of 268435456 bytes")
    );
    assert!(usage.patterns.len() < 150, "{}", usage.patterns.len());
}

#[test]
fn what_cannot_be_read_is_named() {
    let usage = usage(
        &[
            "groups: [",
            "a: b",
            "groups: [{rules: [{alert: A, expr: 'a{b=\"c'}, {alert: B, expr: '{__name__=~\"(\"}'}]}]",
        ],
        &[
            "{\"panels\": ",
            "{\"panels\":[{\"expr\":\"rate($m[5m])\"}]}",
            "[]",
        ],
    );
    let reasons = reasons(&usage);
    assert_eq!(reasons.len(), 7, "{reasons:#?}");
    for (reason, part) in reasons.iter().zip([
        "expected YAML",
        "expected groups of rules, found none",
        "expected a closing \" for column 5, found the end in a{b=\"c",
        "expected a regular expression",
        "expected JSON",
        "$m may use any metric in rate($m[5m])",
        "expected a dashboard",
    ]) {
        assert!(reason.contains(part), "{reason} has no {part}");
    }
    let missing = Usage::read(&[PathBuf::from("/nowhere/rules")], &[]);
    assert_eq!(missing.problems.len(), 1);
}
