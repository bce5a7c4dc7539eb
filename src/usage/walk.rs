//! Expressions in trees of values: rule files, dashboards, and the wrappings they come in.
//!
//! Both are walked without regard to their schema. Grafana has changed where targets stand several
//! times, and library panels, exports, provisioned alerts and Kubernetes resources all wrap them
//! differently; what stays the same is the fields that hold PromQL.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::promql::Variables;

/// Kinds of data sources that speak something else than PromQL, as parts of their type or name.
const OTHER_SOURCES: [&str; 20] = [
    "loki",
    "elastic",
    "opensearch",
    "influx",
    "graphite",
    "cloudwatch",
    "stackdriver",
    "azure-monitor",
    "azuremonitor",
    "tempo",
    "jaeger",
    "zipkin",
    "pyroscope",
    "mysql",
    "mssql",
    "postgres",
    "clickhouse",
    "bigquery",
    "testdata",
    "zabbix",
];
/// Most values and bytes of a variable whose values are used; one with more can be anything.
const MAX_VALUES: usize = 64;
const MAX_VALUE_BYTES: usize = 1024;

/// An expression and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found<'a> {
    pub(super) expression: &'a str,
    pub(super) purpose: Purpose<'a>,
}

/// What an expression is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose<'a> {
    /// To fire an alert.
    Alert,
    /// To record the metric of this name.
    Recording(&'a str),
    /// To be shown.
    Dashboard,
    /// To list metrics: the expression is a regular expression, not anchored.
    MetricNames,
}

/// All rules below `value`, of Prometheus, Thanos, Mimir and Loki, of their APIs, of
/// `PrometheusRule` resources and of Grafana.
pub(super) fn rules<'a>(value: &'a Value, found: &mut Vec<Found<'a>>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| rules(item, found)),
        Value::Object(map) => {
            let expression = text(map, "expr").or_else(|| text(map, "query"));
            let api = matches!(text(map, "type"), Some("alerting" | "recording"));
            let name = text(map, "record").or_else(|| {
                let is_recording = text(map, "type") == Some("recording");
                text(map, "name").filter(|_| is_recording)
            });
            let is_alert = map.contains_key("alert") || api;
            match (expression, name) {
                (Some(expression), Some(name)) => found.push(Found {
                    expression,
                    purpose: Purpose::Recording(name),
                }),
                // A query of an alert of Grafana has its expression in `data[].model.expr`.
                (Some(expression), None) if is_alert || map.contains_key("expr") => {
                    if !is_other_source(map, &HashMap::new()) {
                        found.push(Found {
                            expression,
                            purpose: Purpose::Alert,
                        });
                    }
                }
                _ => map.values().for_each(|value| rules(value, found)),
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether `value` looks like rules at all, if only an empty list of groups.
pub(super) fn is_rules(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(is_rules),
        Value::Object(map) => {
            map.contains_key("groups") || map.contains_key("rules") || map.values().any(is_rules)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Whether `value` looks like a dashboard, a part of one, or a list of them.
pub(super) fn is_dashboard(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(is_dashboard),
        Value::Object(map) => {
            let keys = [
                "panels",
                "rows",
                "elements",
                "templating",
                "targets",
                "annotations",
            ];
            keys.iter().any(|key| map.contains_key(*key)) || map.values().any(is_dashboard)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Variables of a dashboard.
#[derive(Debug, Default)]
pub(super) struct DashboardVariables {
    /// Values of those that the dashboard lists; nothing for one that can have others. Dashboards
    /// of one file share them.
    values: HashMap<String, Option<Vec<String>>>,
    /// Data source kinds of those that choose one.
    sources: HashMap<String, String>,
}

impl Variables for DashboardVariables {
    fn values(&self, name: &str) -> Option<&[String]> {
        self.values.get(name)?.as_deref()
    }
}

impl DashboardVariables {
    /// The variables that are defined anywhere below `value`.
    pub(super) fn of(value: &Value) -> Self {
        let mut variables = DashboardVariables::default();
        variables.collect(value);
        variables
    }

    fn collect(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.collect(item)),
            Value::Object(map) => {
                self.define(map);
                map.values().for_each(|value| self.collect(value));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn define(&mut self, map: &Map<String, Value>) {
        // An input of an export: `{"name": "DS_PROMETHEUS", "type": "datasource", "pluginId":
        // "prometheus"}`.
        if let (Some(name), Some(kind)) = (text(map, "name"), text(map, "pluginId")) {
            self.sources.insert(name.to_owned(), kind.to_owned());
            return;
        }
        // `{"name", "type", "query"}`, or since schema 2 `{"kind": "CustomVariable", "spec":
        // {"name", "query"}}`.
        let (kind, spec) = match map.get("spec") {
            Some(Value::Object(spec)) => (text(map, "kind"), spec),
            _ => (text(map, "type"), map),
        };
        let (Some(kind), Some(name)) = (kind, text(spec, "name")) else {
            return;
        };
        let kind = kind.to_ascii_lowercase();
        if kind.starts_with("datasource") {
            let plugin = text(spec, "query").or_else(|| text(spec, "pluginId"));
            if let Some(plugin) = plugin {
                self.sources.insert(name.to_owned(), plugin.to_owned());
            }
        } else {
            let values = listed_values(&kind, spec);
            let known = self.values.entry(name.to_owned());
            let known = known.or_insert_with(|| Some(Vec::new()));
            match (known.as_mut(), values) {
                (Some(known), Some(values)) => known.extend(values),
                (_, None) => *known = None,
                (None, Some(_)) => {}
            }
        }
    }
}

/// All values of a variable, if they are listed and it can have no others.
fn listed_values(kind: &str, spec: &Map<String, Value>) -> Option<Vec<String>> {
    let query = text(spec, "query").unwrap_or_default();
    let values: Vec<String> = if kind.starts_with("constant") {
        vec![query.to_owned()]
    } else if kind.starts_with("custom") {
        // What *All* stands for can be set to anything.
        let all = text(spec, "allValue").unwrap_or_default();
        // `text : value` is one value with another text; a comma in a value has a backslash before
        // it.
        let value = |item: &str| {
            let value = item.split_once(" : ").map_or(item, |(_, value)| value);
            value.trim().to_owned()
        };
        if !all.is_empty() || query.contains("\\,") {
            return None;
        }
        query.split(',').map(value).collect()
    } else {
        return None;
    };
    let bytes: usize = values.iter().map(String::len).sum();
    let usable = values.len() <= MAX_VALUES && bytes <= MAX_VALUE_BYTES;
    (usable && values.iter().all(|value| !value.is_empty())).then_some(values)
}

/// All expressions of panels, annotations and variables below `value`.
pub(super) fn dashboard<'a>(
    value: &'a Value,
    variables: &DashboardVariables,
    found: &mut Vec<Found<'a>>,
) {
    match value {
        Value::Array(items) => {
            for item in items {
                dashboard(item, variables, found);
            }
        }
        Value::Object(map) => {
            if is_other_source(map, &variables.sources) {
                // A row or a panel of another source may still hold targets that name their own.
                own_sources(map, variables, found);
                return;
            }
            if let Some(expression) = text(map, "expr") {
                found.push(Found {
                    expression,
                    purpose: Purpose::Dashboard,
                });
            }
            for key in ["query", "definition"] {
                found.extend(text(map, key).and_then(variable_query));
            }
            for value in map.values() {
                dashboard(value, variables, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Walks on below an object of another data source, where only what names a data source of its own
/// counts.
fn own_sources<'a>(
    map: &'a Map<String, Value>,
    variables: &DashboardVariables,
    found: &mut Vec<Found<'a>>,
) {
    let objects = map.values().flat_map(|value| match value {
        Value::Array(items) => items.iter().collect::<Vec<_>>(),
        other => vec![other],
    });
    for object in objects.filter_map(Value::as_object) {
        if object.contains_key("datasource") && !is_other_source(object, &variables.sources) {
            for value in object.values() {
                dashboard(value, variables, found);
            }
            if let Some(expression) = text(object, "expr") {
                found.push(Found {
                    expression,
                    purpose: Purpose::Dashboard,
                });
            }
        } else {
            own_sources(object, variables, found);
        }
    }
}

/// What the query of a variable reads: `label_values(metric{…}, label)`,
/// `query_result(expression)`, `metrics(regex)`. Those that only list labels read no metric.
fn variable_query(query: &str) -> Option<Found<'_>> {
    let query = query.trim();
    let arguments = |call: &str| query.strip_prefix(call)?.trim_end().strip_suffix(')');
    let shown = |expression| Found {
        expression,
        purpose: Purpose::Dashboard,
    };
    if let Some(arguments) = arguments("label_values(") {
        let (series, label) = arguments.rsplit_once(',')?;
        let is_label = |c: char| c.is_alphanumeric() || " _:.$[]{}\"".contains(c);
        let series = if label.contains(is_label) && label.chars().all(is_label) {
            series
        } else {
            arguments
        };
        return Some(shown(series));
    }
    if let Some(expression) = arguments("query_result(") {
        return Some(shown(expression));
    }
    arguments("metrics(").map(|expression| Found {
        expression,
        purpose: Purpose::MetricNames,
    })
}

/// Whether the object names a data source of another kind than Prometheus.
fn is_other_source(map: &Map<String, Value>, variables: &HashMap<String, String>) -> bool {
    let kind = match map.get("datasource") {
        Some(Value::String(name)) => Some(name.as_str()),
        Some(Value::Object(source)) => text(source, "type").or_else(|| text(source, "uid")),
        // Schema 2: `{"kind": "DataQuery", "group": "loki", "spec": {…}}`, before that `{"kind":
        // "loki", "spec": {…}}`.
        _ if map.contains_key("spec") => match text(map, "kind") {
            Some("DataQuery") => text(map, "group"),
            kind => kind,
        },
        _ => None,
    };
    let Some(kind) = kind else { return false };
    let name = kind
        .trim_start_matches(['$', '{', '['])
        .trim_end_matches(['}', ']']);
    let kind = variables.get(name).map_or(kind, String::as_str);
    let kind = kind.to_ascii_lowercase();
    OTHER_SOURCES.iter().any(|other| kind.contains(other))
}

fn text<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    map.get(key).and_then(Value::as_str)
}
