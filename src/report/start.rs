//! How it looks what a start would do.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::{
    Column, InJson, Rows, Sheet, Unit, Value, bytes_text, duration_text, safe_line, time_text,
};
use crate::model::{Millis, Ulid};
use crate::start::{StartPlan, StartStep, StepKind};
use crate::units::count_text;

/// Most blocks or files that a line for people names.
const NAMED: usize = 3;

/// What a start does, step by step. For people it is a line of its own.
pub static ENTRIES: Sheet<StartPlan, StartStep> = Sheet {
    name: "step",
    title: "What a start does, in `start`",
    row: "step, in order",
    json: InJson::List("entries"),
    rows: |plan, _| Rows::of(&plan.steps),
    columns: &[
        Column {
            key: "kind",
            heading: "",
            unit: Unit::None,
            weight: 1,
            explanation: "What kind of step it is: a stable id.",
            value: |step| Value::text(step.kind.id()),
        },
        Column {
            key: "what",
            heading: "",
            unit: Unit::None,
            weight: 1,
            explanation: "What the start does, in words.",
            value: |step| Value::Text(what(step, Path::new(""))),
        },
        Column {
            key: "blocks",
            heading: "",
            unit: Unit::List,
            weight: 1,
            explanation: "The blocks concerned.",
            value: |step| Value::List(step.blocks.iter().map(ToString::to_string).collect()),
        },
        Column {
            key: "paths",
            heading: "",
            unit: Unit::List,
            weight: 1,
            explanation: "The files or directories concerned, other than those blocks.",
            value: |step| {
                Value::List(
                    step.paths
                        .iter()
                        .map(|path| path.display().to_string())
                        .collect(),
                )
            },
        },
        Column {
            key: "min_time",
            heading: "",
            unit: Unit::Time,
            weight: 1,
            explanation: "Time of the first sample concerned, in milliseconds since the Unix epoch, where it is known.",
            value: |step| {
                step.times
                    .map_or(Value::None, |(first, _)| Value::Time(first))
            },
        },
        Column {
            key: "max_time",
            heading: "",
            unit: Unit::Time,
            weight: 1,
            explanation: "Time of the last one, in milliseconds since the Unix epoch; of refused samples, the end of the time in which they are.",
            value: |step| {
                step.times
                    .map_or(Value::None, |(_, last)| Value::Time(last))
            },
        },
        Column {
            key: "samples",
            heading: "",
            unit: Unit::Count,
            weight: 1,
            explanation: "Number of samples concerned, where it is known.",
            value: |step| step.samples.map_or(Value::None, Value::Count),
        },
        Column {
            key: "consequence",
            heading: "",
            unit: Unit::None,
            weight: 1,
            explanation: "What follows from it.",
            value: |step| Value::text(step.kind.consequence()),
        },
        Column {
            key: "costs_samples",
            heading: "",
            unit: Unit::Flag,
            weight: 1,
            explanation: "Whether samples are lost, refused or out of reach because of it.",
            value: |step| Value::Flag(step.kind.costs_samples()),
        },
    ],
};

/// What a start on the directory at `path` does, for people.
pub fn text(plan: &StartPlan, path: &Path) -> String {
    let steps: Vec<_> = plan.steps.iter().map(|step| line(step, path)).collect();
    let server = server(plan);
    let rest = if plan.starts() {
        Some(rest(plan))
    } else {
        None
    };
    match (&*steps, rest) {
        ([], Some(rest)) => format!("a start of {server} {rest}\n"),
        (steps, rest) => {
            let mut text = format!("a start of {server}\n");
            for line in steps.iter().cloned().chain(rest) {
                let _ = writeln!(text, "  {}", safe_line(&line));
            }
            text
        }
    }
}

/// What a start does, for programs.
pub fn to_json(plan: &StartPlan) -> Json {
    let times = |(first, last): (Millis, Millis)| json!({ "min_time": first, "max_time": last });
    json!({
        "prometheus": plan.assumed.release.to_string(),
        "retention": plan.assumed.retention,
        "retention_size": plan.assumed.retention_size,
        "now": plan.assumed.now,
        "starts": plan.starts(),
        "keeps": plan.keeps.iter().map(Ulid::to_string).collect::<Vec<_>>(),
        "stored_until": plan.floor.map(|(_, end)| end),
        "valid_from": plan.valid_from,
        "replays": plan.replays.map(times),
        "entries": ENTRIES.all(plan).json(),
    })
}

/// The server that was assumed, as its flags say it.
fn server(plan: &StartPlan) -> String {
    let assumed = &plan.assumed;
    let mut flags = Vec::new();
    if let Some(retention) = assumed.retention {
        flags.push(format!("retention {}", duration_text(retention)));
    }
    if let Some(size) = assumed.retention_size {
        flags.push(format!("retention size {}", bytes_text(size)));
    }
    if flags.is_empty() {
        flags.push("no retention".to_owned());
    }
    format!("Prometheus {} ({})", assumed.release, flags.join(", "))
}

fn line(step: &StartStep, below: &Path) -> String {
    format!("{}. {}", what(step, below), step.kind.consequence())
}

/// What the step does, in words that go on from "a start".
fn what(step: &StartStep, below: &Path) -> String {
    let blocks = blocks(&step.blocks);
    let shown = |path: &PathBuf| {
        path.strip_prefix(below)
            .unwrap_or(path)
            .display()
            .to_string()
    };
    let paths = names(step.paths.iter().map(shown));
    let samples = samples(step);
    match step.kind {
        StepKind::RemovesLeftovers => format!("removes what interrupted writers left: {paths}"),
        StepKind::Stops => format!("fails: {paths} ({})", step.detail),
        StepKind::LeavesOut => format!("serves without {paths}"),
        StepKind::DeletesOld => format!("deletes {blocks} for age{samples}"),
        StepKind::DeletesLarge => format!("deletes {blocks} for size{samples}"),
        StepKind::DeletesMarked => format!("deletes {blocks}, marked deletable"),
        StepKind::DeletesParents => {
            format!("deletes {blocks}, compacted into a block that is here")
        }
        StepKind::MergesOverlaps => format!("keeps {blocks} for a merge, as they overlap"),
        StepKind::CannotCompact => {
            format!("cannot compact {blocks}, which overlap: {}", step.detail)
        }
        StepKind::CannotAnswer => format!("cannot answer from {blocks}: {}", step.detail),
        StepKind::CannotRead => format!("cannot read some chunks of {blocks}: {}", step.detail),
        StepKind::CannotReplay => format!("passes over records of {paths}: {}", step.detail),
        StepKind::RebuildsHead => format!(
            "drops {paths} and rebuilds it from the logs ({})",
            step.detail
        ),
        StepKind::CutsLog => {
            format!("cuts {paths} where it is damaged, and deletes what follows{samples}")
        }
        StepKind::DropsLog => format!(
            "drops samples of the WAL, older than {}{samples}",
            border(step, &blocks)
        ),
        StepKind::RefusesSamples => {
            let until = step
                .times
                .map_or("then".to_owned(), |(_, end)| time_text(end));
            let why = if step.blocks.is_empty() && step.detail.is_empty() {
                format!("an hour before the newest sample in {paths}")
            } else {
                border(step, &blocks)
            };
            format!("refuses new samples until {until}, {why}")
        }
    }
}

/// What says that samples before a time are stored.
fn border(step: &StartStep, blocks: &str) -> String {
    if step.blocks.is_empty() {
        "the time before which the checkpoint of the WAL says that all is in blocks".to_owned()
    } else {
        format!("the end of {blocks}")
    }
}

fn samples(step: &StartStep) -> String {
    let mut text = String::new();
    if let Some(samples) = step.samples {
        let _ = write!(text, ": {} samples", count_text(samples));
    }
    if let Some((first, last)) = step.times {
        let colon = if text.is_empty() { ":" } else { "" };
        let _ = write!(
            text,
            "{colon} from {} to {}",
            time_text(first),
            time_text(last)
        );
    }
    text
}

fn blocks(blocks: &[Ulid]) -> String {
    match blocks {
        [] => "no block".to_owned(),
        [one] => format!("block {one}"),
        more => {
            let names = names(more.iter().map(Ulid::to_string));
            format!("{} blocks ({names})", more.len())
        }
    }
}

fn names(all: impl Iterator<Item = String>) -> String {
    let all: Vec<_> = all.collect();
    match all.get(..NAMED).filter(|_| all.len() > NAMED) {
        Some(named) => format!("{} and {} more", named.join(", "), all.len() - NAMED),
        None => all.join(", "),
    }
}

/// What stays and is replayed.
fn rest(plan: &StartPlan) -> String {
    let kept = match plan.keeps.len() {
        0 => "keeps no block".to_owned(),
        1 => "keeps 1 block".to_owned(),
        more => format!("keeps {more} blocks"),
    };
    let what = match plan.find(StepKind::CannotReplay) {
        Some(_) => "the rest of the WAL",
        None => "the WAL",
    };
    match plan.replays {
        Some((first, last)) => format!(
            "{kept} and replays {what} from {} to {}",
            time_text(first),
            time_text(last)
        ),
        None => kept,
    }
}
