//! Which metrics rule files and dashboards use, found out without any server.
//!
//! [`Usage::read`] takes rule files (of Prometheus, Thanos, Mimir and Loki, their APIs' answers,
//! `PrometheusRule` resources, alerts of Grafana) and dashboards (any schema of Grafana's, exports,
//! library panels, config maps), and [`Usage::of`] says of a metric whether anything uses it. What
//! cannot be read is a [`UsageProblem`]: whoever has some does not know what is unused.
//!
//! In doubt a metric is used. Expressions are not run: a metric that a matcher on another label
//! excludes is used all the same.
//!
//! ```
//! use narthex::usage::{MetricUse, Usage};
//!
//! let rules = "groups: [{name: g, rules: [{alert: Down, expr: up == 0}]}]";
//! let usage = Usage::of_text("rules.yml".as_ref(), rules);
//! assert!(matches!(usage.of("up"), MetricUse::Used));
//! assert!(matches!(usage.of("go_goroutines"), MetricUse::Unused));
//! ```

mod files;
mod lexer;
#[cfg(test)]
mod oracle;
mod promql;
mod walk;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::select::{Selector, anchored};
use files::{listed, parse, read_text, wrapped};
use lexer::Refusal;
use promql::{Dialect, Named, references};
use walk::{DashboardVariables, Found, Purpose};

/// Most patterns and selectors that are kept; each is a compiled regular expression.
const MAX_PATTERNS: usize = 10_000;
/// Most bytes of compiled regular expressions, about; short ones can take much.
const MAX_COMPILED: usize = 256 << 20;
/// Most names that recording rules may have: each is held against each pattern.
const MAX_RECORDED: usize = 20_000;
/// Longest chain of recording rules that is followed. Real ones have a few links.
const MAX_CHAIN: usize = 100;

/// What rule files and dashboards use.
#[derive(Debug, Default)]
pub struct Usage {
    /// Files that were read, at least in part.
    pub files: u64,
    /// Expressions that were read.
    pub expressions: u64,
    /// Expressions of other languages, which name no metrics: those with a `|`.
    pub other_languages: u64,
    /// What could not be read, and expressions that may use anything.
    pub problems: Vec<UsageProblem>,
    exact: BTreeMap<String, Users>,
    patterns: BTreeMap<String, Pattern>,
    selectors: BTreeMap<String, (Selector, Users)>,
    recorded: BTreeSet<String>,
    labels: BTreeMap<String, PathBuf>,
    /// Bytes that regular expressions take, about.
    compiled: usize,
}

/// What keeps the list of unused metrics from being certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageProblem {
    /// The file.
    pub path: PathBuf,
    /// Why, on one line.
    pub reason: String,
}

/// What a metric is used by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricUse {
    /// An alert, a dashboard, or a recording rule whose result is used, by its name or a regular
    /// expression.
    Used,
    /// Only by text with variables in it, which could mean the metric: this is it as a regular
    /// expression.
    Pattern(String),
    /// Only by recording rules whose results nothing uses: this is the first of them.
    Recording(String),
    /// Nothing.
    Unused,
}

/// Who uses something.
#[derive(Clone, Debug, Default)]
struct Users {
    /// An alert or a dashboard does.
    directly: bool,
    /// Names of metrics that recording rules make of it.
    recordings: BTreeSet<String>,
}

#[derive(Clone, Debug)]
struct Pattern {
    regex: Regex,
    /// Whether it comes from text with variables.
    guessed: bool,
    users: Users,
}

impl Usage {
    /// Reads rule files and dashboards. A directory stands for the files in it and below it whose
    /// names end with `.yaml`, `.yml`, `.rules` or `.json`.
    pub fn read(rules: &[PathBuf], dashboards: &[PathBuf]) -> Self {
        let mut usage = Usage::default();
        for (paths, kind) in [(rules, Kind::Rules), (dashboards, Kind::Dashboard)] {
            for path in paths {
                let mut files = Vec::new();
                match listed(path, &mut files) {
                    Ok(()) if files.is_empty() => {
                        usage.problem(path, "expected rule files or dashboards, found none");
                    }
                    Ok(()) => {}
                    Err(error) => usage.problem(path, &error.chain()),
                }
                for file in files {
                    if let Err(error) = usage.file(&file, kind) {
                        usage.problem(&file, &error.chain());
                    }
                }
            }
        }
        usage.resolve_recorded();
        usage
    }

    /// As [`Usage::read`], for text that is read as a rule file and as a dashboard; `path` is what
    /// problems name.
    pub fn of_text(path: &Path, text: &str) -> Self {
        let mut usage = Usage::default();
        for kind in [Kind::Rules, Kind::Dashboard] {
            if let Err(error) = usage.text(path, text, kind) {
                usage.problem(path, &error.chain());
            }
        }
        usage.resolve_recorded();
        usage
    }

    /// What uses `metric`, as far as its name tells; [`Usage::selectors`] may use it as well.
    pub fn of(&self, metric: &str) -> MetricUse {
        let mut dead = None;
        let mut consider = |users: &Users| {
            dead = dead.take().or_else(|| users.recordings.first().cloned());
            users.directly
        };
        if self.exact.get(metric).is_some_and(&mut consider) {
            return MetricUse::Used;
        }
        let mut guess = None;
        for (text, pattern) in &self.patterns {
            if pattern.regex.is_match(metric) && consider(&pattern.users) {
                if !pattern.guessed {
                    return MetricUse::Used;
                }
                guess = guess.or(Some(text));
            }
        }
        match (guess, dead) {
            (Some(guess), _) => MetricUse::Pattern(guess.clone()),
            (None, Some(recording)) => MetricUse::Recording(recording),
            (None, None) => MetricUse::Unused,
        }
    }

    /// Selectors without a metric name in alerts, dashboards and recording rules that are used:
    /// each uses the metrics of the series it selects.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        let selectors = self.selectors.values();
        selectors
            .filter(|(_, users)| users.directly)
            .map(|(selector, _)| selector)
    }

    /// Whether a recording rule makes `metric`.
    pub fn is_recorded(&self, metric: &str) -> bool {
        self.recorded.contains(metric)
    }

    /// Labels that expressions name, each with a file that does.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &Path)> {
        let labels = self.labels.iter();
        labels.map(|(label, path)| (label.as_str(), path.as_path()))
    }

    fn problem(&mut self, path: &Path, reason: &str) {
        self.problems.push(UsageProblem {
            path: path.to_owned(),
            reason: reason.to_owned(),
        });
    }

    /// As [`problem`](Self::problem), unless the last one has the same reason.
    fn problem_once(&mut self, path: &Path, reason: &str) {
        let last = self.problems.last();
        if last.is_none_or(|last| last.reason != reason) {
            self.problem(path, reason);
        }
    }

    fn file(&mut self, path: &Path, kind: Kind) -> Result<()> {
        self.text(path, &read_text(path)?, kind)
    }

    fn text(&mut self, path: &Path, text: &str, kind: Kind) -> Result<()> {
        let documents = parse(text)?;
        let mut documents: Vec<Value> = documents.into_iter().filter(|it| !it.is_null()).collect();
        let mut embedded = Vec::new();
        for document in &documents {
            for (name, text) in wrapped(document) {
                let more = parse(text).map_err(|error| error.context(name.to_owned()))?;
                embedded.extend(more);
            }
        }
        documents.extend(embedded);
        let looks_right = match kind {
            Kind::Rules => walk::is_rules,
            Kind::Dashboard => walk::is_dashboard,
        };
        if !documents.iter().any(looks_right) {
            return Err(Error::invalid(match kind {
                Kind::Rules => "expected groups of rules, found none",
                Kind::Dashboard => "expected a dashboard with panels, found none",
            }));
        }
        self.files += 1;
        for document in &documents {
            let mut found = Vec::new();
            match kind {
                Kind::Rules => {
                    walk::rules(document, &mut found);
                    let dialect = Dialect { variables: None };
                    for it in &found {
                        self.expression(path, it, dialect);
                    }
                }
                Kind::Dashboard => {
                    let variables = DashboardVariables::of(document);
                    walk::dashboard(document, &variables, &mut found);
                    let dialect = Dialect {
                        variables: Some(&variables),
                    };
                    for it in &found {
                        self.expression(path, it, dialect);
                    }
                }
            }
        }
        Ok(())
    }

    fn expression(&mut self, path: &Path, found: &Found<'_>, dialect: Dialect<'_>) {
        if let Purpose::Recording(name) = found.purpose {
            self.recorded.insert(name.to_owned());
            if self.recorded.len() > MAX_RECORDED {
                self.recorded.remove(name);
                let reason = format!("expected recording rules of at most {MAX_RECORDED} names");
                self.problem_once(path, &reason);
                return;
            }
        }
        if found.purpose == Purpose::MetricNames {
            let regex = format!(".*(?:{}).*", found.expression);
            self.expressions += 1;
            self.named(path, Named::Pattern(regex), found);
            return;
        }
        match references(found.expression, dialect) {
            Ok(references) => {
                self.expressions += 1;
                for named in references.metrics {
                    self.named(path, named, found);
                }
                for label in references.labels {
                    self.labels.entry(label).or_insert_with(|| path.to_owned());
                }
            }
            Err(Refusal::NotPromQl) => self.other_languages += 1,
            Err(Refusal::Broken(reason)) => {
                let reason = format!("{reason} in {}", excerpt(found.expression));
                self.problem(path, &reason);
            }
        }
    }

    fn named(&mut self, path: &Path, named: Named, found: &Found<'_>) {
        if self.patterns.len() + self.selectors.len() > MAX_PATTERNS || self.compiled > MAX_COMPILED
        {
            let reason = format!(
                "expected at most {MAX_PATTERNS} patterns and selectors of {MAX_COMPILED} bytes in all, found more"
            );
            self.problem_once(path, &reason);
            return;
        }
        let result = match named {
            Named::Exactly(name) => {
                self.exact.entry(name).or_default().add(found.purpose);
                Ok(())
            }
            Named::Matching(regex) => self.pattern(&regex, false, found.purpose),
            Named::Pattern(regex) => self.pattern(&regex, true, found.purpose),
            Named::Selector(text) => self.selector(text, found.purpose),
            Named::Anything(text) => {
                let reason = format!("{text} may use any metric");
                Err(Error::invalid(reason))
            }
        };
        if let Err(error) = result {
            let reason = format!("{} in {}", error.chain(), excerpt(found.expression));
            self.problem(path, &reason);
        }
    }

    fn pattern(&mut self, regex: &str, guessed: bool, purpose: Purpose<'_>) -> Result<()> {
        if let Some(known) = self.patterns.get_mut(regex) {
            known.guessed &= guessed;
            known.users.add(purpose);
            return Ok(());
        }
        let mut pattern = Pattern {
            regex: self.compile(regex)?,
            guessed,
            users: Users::default(),
        };
        pattern.users.add(purpose);
        self.patterns.insert(regex.to_owned(), pattern);
        Ok(())
    }

    fn selector(&mut self, text: String, purpose: Purpose<'_>) -> Result<()> {
        if let Some((_, users)) = self.selectors.get_mut(&text) {
            users.add(purpose);
            return Ok(());
        }
        let mut users = Users::default();
        users.add(purpose);
        let selector: Selector = text.parse()?;
        for matcher in selector.matchers() {
            self.compile(&matcher.as_regex().0)?;
        }
        self.selectors.insert(text, (selector, users));
        Ok(())
    }

    /// Compiles a regular expression, and counts what it takes.
    fn compile(&mut self, regex: &str) -> Result<Regex> {
        // What does not compile takes time, if nothing else.
        const FAILED: usize = 1 << 20;
        let compiled = anchored(regex);
        let fits = |size: &usize| {
            let text = compiled.as_ref().map_or("", Regex::as_str);
            RegexBuilder::new(text).size_limit(*size).build().is_ok()
        };
        let sizes = [16 << 10, 256 << 10, 2 << 20];
        self.compiled += match &compiled {
            Ok(_) => sizes.into_iter().find(fits).unwrap_or(10 << 20),
            Err(_) => FAILED,
        };
        compiled
    }

    /// Finds the recording rules that are used, and makes their uses direct ones. Each rule meets
    /// each regular expression once, whatever the number of links.
    fn resolve_recorded(&mut self) {
        let mut open: Vec<String> = self.recorded.iter().cloned().collect();
        let mut direct = Direct::default();
        for (name, users) in &self.exact {
            direct.names.extend(users.directly.then(|| name.clone()));
        }
        let patterns = self.patterns.values().filter(|it| it.users.directly);
        direct.regexes = patterns.map(|it| it.regex.clone()).collect();
        for _ in 0..MAX_CHAIN {
            let (used, rest): (Vec<_>, Vec<_>) =
                open.into_iter().partition(|name| direct.uses(name));
            if used.is_empty() {
                return;
            }
            direct = self.use_recordings(used);
            open = rest;
        }
        // Whatever stands behind so long a chain counts as used.
        self.use_recordings(open);
    }

    /// Makes the uses by these recording rules direct ones, and returns those that were not.
    fn use_recordings(&mut self, names: Vec<String>) -> Direct {
        let names: BTreeSet<String> = names.into_iter().collect();
        let becomes = |users: &mut Users| {
            let becomes = !users.directly && !users.recordings.is_disjoint(&names);
            users.directly |= becomes;
            becomes
        };
        let mut direct = Direct::default();
        for (name, users) in &mut self.exact {
            direct.names.extend(becomes(users).then(|| name.clone()));
        }
        for pattern in self.patterns.values_mut() {
            let regex = becomes(&mut pattern.users).then(|| pattern.regex.clone());
            direct.regexes.extend(regex);
        }
        for (_, users) in self.selectors.values_mut() {
            becomes(users);
        }
        direct
    }
}

/// What is used directly, and has not been followed to recording rules.
#[derive(Default)]
struct Direct {
    names: BTreeSet<String>,
    regexes: Vec<Regex>,
}

impl Direct {
    fn uses(&self, name: &str) -> bool {
        self.names.contains(name) || self.regexes.iter().any(|regex| regex.is_match(name))
    }
}

impl Users {
    fn add(&mut self, purpose: Purpose<'_>) {
        match purpose {
            Purpose::Alert | Purpose::Dashboard | Purpose::MetricNames => self.directly = true,
            Purpose::Recording(name) => {
                self.recordings.insert(name.to_owned());
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Rules,
    Dashboard,
}

/// The beginning of an expression, on one line.
fn excerpt(expression: &str) -> String {
    let words: Vec<_> = expression.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests;
