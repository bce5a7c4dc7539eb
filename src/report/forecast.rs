//! Reports about forecasts: growth, disks, and how models did.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json};

use super::layout::legend;
use super::{Column, Extent, Field, InJson, Rows, Sheet, SheetOf, Table, Unit, Value, View};
use crate::forecast::{Estimate, Forecast, Full, LevelCost, Limit, Score, When};
use crate::model::Millis;

/// The forecast as a whole.
pub static FORECAST: Sheet<Forecast, Forecast> = Sheet {
    name: "forecast",
    title: "The forecast as a whole",
    row: "forecast",
    json: InJson::Itself,
    rows: |forecast, _| Rows::one(forecast),
    columns: &[
        Column {
            key: "as_of",
            heading: "counted from",
            unit: Unit::Time,
            weight: 9,
            explanation: "End of the newest block, from which everything counts.",
            value: |f| known(f, Value::Time(f.as_of)),
        },
        Column {
            key: "history",
            heading: "history",
            unit: Unit::Millis,
            weight: 5,
            explanation: "Length of the history.",
            value: |f| known(f, Value::Duration(f.history)),
        },
        Column {
            key: "covered",
            heading: "covered",
            unit: Unit::Millis,
            weight: 5,
            explanation: "How much of it blocks stand for.",
            value: |f| known(f, Value::Duration(f.covered)),
        },
        Column {
            key: "blocks",
            heading: "blocks",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of blocks that are known, those that were compacted since among them.",
            value: |f| Value::Count(f.blocks),
        },
        Column {
            key: "spans",
            heading: "spans",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of spans of time, without overlap, that they tell of.",
            value: |f| Value::Count(f.spans),
        },
        Column {
            key: "model",
            heading: "model",
            unit: Unit::None,
            weight: 5,
            explanation: "What goes on: what would have foretold the history best, or an average where there is too little to choose by.",
            value: |f| f.model.map_or(Value::None, |model| Value::text(model.id())),
        },
        Column {
            key: "season",
            heading: "wave of",
            unit: Unit::Millis,
            weight: 5,
            explanation: "Period of the wave in the history, a day or a week.",
            value: |f| f.season.map_or(Value::None, Value::Duration),
        },
        Column {
            key: "step",
            heading: "last step",
            unit: Unit::Time,
            weight: 5,
            explanation: "When the rate last took a step; only what came behind it is looked at.",
            value: |f| f.step.map_or(Value::None, Value::Time),
        },
        Column {
            key: "error",
            heading: "mean error",
            unit: Unit::Percent,
            weight: 5,
            explanation: "How far the model erred on average when it was tried on the history.",
            value: |f| hundredths(f.error),
        },
        Column {
            key: "error80",
            heading: "error in 80 %",
            unit: Unit::Percent,
            weight: 5,
            explanation: "What the error of a forecast over the horizon stays below in 80 % of cases: the bounds of all estimates.",
            value: |f| hundredths(f.error80),
        },
        Column {
            key: "bytes_per_day",
            heading: "bytes a day",
            unit: Unit::BytesPerDay,
            weight: 5,
            explanation: "Bytes of blocks that a day brings now, as they will be once compacted.",
            value: |f| known(f, bytes(f.bytes_per_day.value)),
        },
        Column {
            key: "bytes_per_day_low",
            heading: "… at least",
            unit: Unit::BytesPerDay,
            weight: 5,
            explanation: "Lower bound of it.",
            value: |f| low(f.bytes_per_day),
        },
        Column {
            key: "bytes_per_day_high",
            heading: "… at most",
            unit: Unit::BytesPerDay,
            weight: 5,
            explanation: "Upper bound of it.",
            value: |f| high(f.bytes_per_day),
        },
        Column {
            key: "samples_per_second",
            heading: "samples a second",
            unit: Unit::Mean,
            weight: 5,
            explanation: "Samples that a second brings now.",
            value: |f| known(f, Value::Number(f.samples_per_second)),
        },
        Column {
            key: "bytes_per_sample",
            heading: "bytes a sample",
            unit: Unit::BytesPerSample,
            weight: 5,
            explanation: "Bytes of chunks and index for each sample, once compacted.",
            value: |f| known(f, Value::Number(f.bytes_per_sample)),
        },
        Column {
            key: "series",
            heading: "series",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of series in the newest block.",
            value: |f| known(f, Value::Count(f.series)),
        },
        Column {
            key: "growth",
            heading: "growth in 30 days",
            unit: Unit::Percent,
            weight: 5,
            explanation: "Slope of the rate since its last step, in 30 days, beside the rate now; the model may leave it out as chance.",
            value: |f| hundredths(f.growth.map(|growth| growth.value)),
        },
        Column {
            key: "growth_low",
            heading: "… at least",
            unit: Unit::Percent,
            weight: 5,
            explanation: "Lower bound of it, for independent errors.",
            value: |f| hundredths(f.growth.and_then(|g| g.bounds).map(|(low, _)| low)),
        },
        Column {
            key: "growth_high",
            heading: "… at most",
            unit: Unit::Percent,
            weight: 5,
            explanation: "Upper bound of it, for independent errors.",
            value: |f| hundredths(f.growth.and_then(|g| g.bounds).map(|(_, high)| high)),
        },
        Column {
            key: "horizon",
            heading: "horizon",
            unit: Unit::Millis,
            weight: 5,
            explanation: "How far ahead the rest looks.",
            value: |f| Value::Duration(f.horizon),
        },
        Column {
            key: "horizon_bytes_per_day",
            heading: "bytes a day then",
            unit: Unit::BytesPerDay,
            weight: 5,
            explanation: "Bytes of blocks that a day brings at the end of the horizon.",
            value: |f| known(f, bytes(f.horizon_rate.value)),
        },
        Column {
            key: "horizon_bytes",
            heading: "bytes until then",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Bytes of blocks that the horizon brings.",
            value: |f| known(f, bytes(f.horizon_bytes.value)),
        },
        Column {
            key: "horizon_bytes_low",
            heading: "… at least",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Lower bound of it.",
            value: |f| low(f.horizon_bytes),
        },
        Column {
            key: "horizon_bytes_high",
            heading: "… at most",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Upper bound of it.",
            value: |f| high(f.horizon_bytes),
        },
        Column {
            key: "present_bytes",
            heading: "blocks now",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Bytes of blocks in the data directory, or in the last archive of it.",
            value: |f| Value::Bytes(f.present_bytes),
        },
        Column {
            key: "head_bytes",
            heading: "WAL and head",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Bytes of WAL, checkpoint, WBL and head chunks when there are most of them: what was seen, or what follows from the rate \
                      if that is more.",
            value: |f| known(f, bytes(f.head_bytes)),
        },
        Column {
            key: "head_measured",
            heading: "",
            unit: Unit::Flag,
            weight: 1,
            explanation: "Whether a WAL was seen.",
            value: |f| Value::Flag(f.head_measured),
        },
        Column {
            key: "longest_block",
            heading: "longest block",
            unit: Unit::Millis,
            weight: 5,
            explanation: "Range of the largest blocks Prometheus will compact to: a tenth of the retention at most, and 31 days.",
            value: |f| known(f, Value::Duration(f.longest_block)),
        },
        Column {
            key: "compaction_bytes",
            heading: "room to compact",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Bytes of such a block at the end of the horizon: it and its parents exist together while it is written.",
            value: |f| known(f, bytes(f.compaction_bytes)),
        },
        Column {
            key: "retained_bytes",
            heading: "retained blocks",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Bytes of blocks that the retention keeps at the end of the horizon.",
            value: |f| f.retained_bytes.map_or(Value::None, bytes),
        },
        Column {
            key: "overhang_bytes",
            heading: "beyond retention",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Bytes of samples older than the retention: Prometheus deletes whole blocks, so up to one of the largest.",
            value: |f| {
                f.retained_bytes
                    .map_or(Value::None, |_| bytes(f.overhang_bytes))
            },
        },
        Column {
            key: "needed_bytes",
            heading: "needed in all",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Bytes that the retention needs at the end of the horizon: retained blocks, those beyond, room to compact, WAL and head.",
            value: |f| {
                f.needed_bytes
                    .map_or(Value::None, |needed| bytes(needed.value))
            },
        },
        Column {
            key: "needed_bytes_low",
            heading: "… at least",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Lower bound of it.",
            value: |f| f.needed_bytes.map_or(Value::None, low),
        },
        Column {
            key: "needed_bytes_high",
            heading: "… at most",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Upper bound of it.",
            value: |f| f.needed_bytes.map_or(Value::None, high),
        },
        Column {
            key: "possible_retention",
            heading: "retention the disk allows",
            unit: Unit::Millis,
            weight: 5,
            explanation: "The longest retention whose need the disk holds at the end of the horizon; at most ten years.",
            value: |f| f.possible_retention.map_or(Value::None, Value::Duration),
        },
        Column {
            key: "safe_retention",
            heading: "… at least",
            unit: Unit::Millis,
            weight: 5,
            explanation: "The same when as much comes as the upper bound says.",
            value: |f| f.safe_retention.map_or(Value::None, Value::Duration),
        },
        Column {
            key: "size_retention",
            heading: "retention.size keeps",
            unit: Unit::Millis,
            weight: 5,
            explanation: "How long the size limit keeps samples at the end of the horizon; at most ten years.",
            value: |f| f.size_retention.map_or(Value::None, Value::Duration),
        },
        Column {
            key: "binds_first",
            heading: "binds first",
            unit: Unit::None,
            weight: 5,
            explanation: "Which limit deletes a block first: time or size; null when neither does within ten years.",
            value: |f| limit(f.binds_first),
        },
        Column {
            key: "time_binds_in",
            heading: "… time in",
            unit: Unit::Millis,
            weight: 5,
            explanation: "When the retention reaches the oldest block; whole blocks go, so up to a longest block later.",
            value: |f| when(f.time_binds),
        },
        Column {
            key: "size_binds_in",
            heading: "… size in",
            unit: Unit::Millis,
            weight: 5,
            explanation: "When blocks, WAL and head reach the size limit; null when never within ten years.",
            value: |f| when(f.size_binds),
        },
        Column {
            key: "binds_at_horizon",
            heading: "binds then",
            unit: Unit::None,
            weight: 5,
            explanation: "Which limit decides at the end of the horizon.",
            value: |f| limit(f.binds_at_horizon),
        },
        Column {
            key: "full",
            heading: "disk full",
            unit: Unit::None,
            weight: 5,
            explanation: "`now`: compaction may already find no room; `later`; or `never`, which is not within ten years.",
            value: |f| {
                f.full
                    .map_or(Value::None, |full| Value::text(full_text(full)))
            },
        },
        Column {
            key: "full_at",
            heading: "… at",
            unit: Unit::Time,
            weight: 5,
            explanation: "When the disk is full: blocks, room to compact, WAL and head are more than it holds.",
            value: |f| {
                let at = f.full.and_then(|full| full.when);
                at.map_or(Value::None, |when| {
                    Value::Time(f.as_of.saturating_add(when))
                })
            },
        },
        Column {
            key: "full_in",
            heading: "… in",
            unit: Unit::Millis,
            weight: 5,
            explanation: "The same, counted from the newest block.",
            value: |f| when(f.full.and_then(|full| full.when)),
        },
        Column {
            key: "full_in_earliest",
            heading: "… at the earliest",
            unit: Unit::Millis,
            weight: 5,
            explanation: "The same when as much comes as the upper bound says.",
            value: |f| when(bounded(f).and_then(|full| full.earliest)),
        },
        Column {
            key: "full_in_latest",
            heading: "… at the latest",
            unit: Unit::Millis,
            weight: 5,
            explanation: "The same when as little comes as the lower bound says; null when then never within ten years.",
            value: |f| when(bounded(f).and_then(|full| full.latest)),
        },
    ],
};

/// Keys of the columns that begin a new paragraph for people.
const PARAGRAPHS: [&str; 3] = ["bytes_per_day", "horizon", "present_bytes"];

/// One row for each compaction level.
pub static LEVELS: Sheet<Forecast, LevelCost> = Sheet {
    name: "level",
    title: "Compaction levels",
    row: "compaction level",
    json: InJson::List("levels"),
    rows: |forecast, _| Rows::of(&forecast.levels),
    columns: &[
        Column {
            key: "level",
            heading: "LEVEL",
            unit: Unit::Count,
            weight: 9,
            explanation: "Compaction level.",
            value: |l| Value::Count(l.level),
        },
        Column {
            key: "blocks",
            heading: "BLOCKS",
            unit: Unit::Count,
            weight: 6,
            explanation: "Number of blocks known.",
            value: |l| Value::Count(l.blocks),
        },
        Column {
            key: "longest",
            heading: "LONGEST",
            unit: Unit::Millis,
            weight: 5,
            explanation: "Longest range of one of them.",
            value: |l| Value::Duration(l.longest),
        },
        Column {
            key: "samples",
            heading: "SAMPLES",
            unit: Unit::Count,
            weight: 5,
            explanation: "Samples in them.",
            value: |l| Value::Count(l.samples),
        },
        Column {
            key: "chunk_bytes",
            heading: "CHUNKS",
            unit: Unit::Bytes,
            weight: 6,
            explanation: "Bytes of their segments.",
            value: |l| Value::Bytes(l.chunk_bytes),
        },
        Column {
            key: "index_bytes",
            heading: "INDEX",
            unit: Unit::Bytes,
            weight: 6,
            explanation: "Bytes of their indexes.",
            value: |l| Value::Bytes(l.index_bytes),
        },
        Column {
            key: "bytes_per_sample",
            heading: "B/SAMPLE",
            unit: Unit::BytesPerSample,
            weight: 4,
            explanation: "Bytes of chunks and index for each sample.",
            value: |l| super::ratio(l.chunk_bytes.saturating_add(l.index_bytes), l.samples),
        },
        Column {
            key: "index_share",
            heading: "INDEX SHARE",
            unit: Unit::Ratio,
            weight: 3,
            explanation: "Bytes of index beside those of level-1 blocks with the same samples; where these are not known, by bytes a sample \
                      beside the lowest level.",
            value: |l| Value::Number(l.index_share),
        },
    ],
};

/// One row for each model that was tried.
pub static MODELS: Sheet<Forecast, Score> = Sheet {
    name: "model",
    title: "Models that were tried",
    row: "model",
    json: InJson::List("models"),
    rows: |forecast, _| Rows::of(&forecast.scores),
    columns: &[
        Column {
            key: "model",
            heading: "MODEL",
            unit: Unit::None,
            weight: 9,
            explanation: "What would go on.",
            value: |s| Value::text(s.model.id()),
        },
        Column {
            key: "cuts",
            heading: "TRIED",
            unit: Unit::Count,
            weight: 5,
            explanation: "Places at which the history was cut to try it.",
            value: |s| Value::Count(s.cuts),
        },
        Column {
            key: "error",
            heading: "ERROR %",
            unit: Unit::Percent,
            weight: 5,
            explanation: "How far it erred on average; later cuts count more.",
            value: |s| hundredths(s.error),
        },
        Column {
            key: "chosen",
            heading: "CHOSEN",
            unit: Unit::Flag,
            weight: 5,
            explanation: "Whether it was chosen; a trend must be clearly better than a level, and nothing is that looks behind a step.",
            value: |s| Value::Flag(s.chosen),
        },
    ],
};

/// One value of a forecast, for Markdown.
pub(super) struct Line {
    heading: &'static str,
    value: String,
    explanation: &'static str,
}

/// The forecast for people who read it as Markdown.
pub(super) static LINES: Sheet<Forecast, Line> = Sheet {
    name: "line",
    title: "The forecast with what each value means",
    row: "value that is known",
    json: InJson::Nowhere,
    rows: known_lines,
    columns: &[
        Column {
            key: "what",
            heading: "what",
            unit: Unit::None,
            weight: 9,
            explanation: "Heading.",
            value: |l| Value::text(l.heading),
        },
        Column {
            key: "value",
            heading: "value",
            unit: Unit::None,
            weight: 5,
            explanation: "Value.",
            value: |l| Value::text(&l.value),
        },
        Column {
            key: "meaning",
            heading: "meaning",
            unit: Unit::None,
            weight: 5,
            explanation: "Explanation.",
            value: |l| Value::text(l.explanation),
        },
    ],
};

/// The sheets of a forecast, in the order of its JSON.
pub const SHEETS: &[&dyn SheetOf<Forecast>] = &[&FORECAST, &LEVELS, &MODELS, &LINES];

/// The forecast as one JSON object.
pub fn json(forecast: &Forecast) -> Json {
    let mut object = Map::new();
    for sheet in SHEETS {
        sheet.add_to(&mut object, forecast, Extent::Document);
    }
    let cautions = forecast.cautions.iter().map(ToString::to_string);
    object.insert("cautions".into(), cautions.collect());
    Json::Object(object)
}

/// The forecast for people: what is known of it, line by line, then levels, models and cautions.
pub fn text(forecast: &Forecast, view: &View) -> String {
    let table = FORECAST.all(forecast);
    let lines = || known_fields(&table);
    let widths = lines().map(|(field, _)| field.heading.chars().count());
    let width = widths.max().unwrap_or(0);
    let mut text = String::new();
    for (field, value) in lines() {
        if PARAGRAPHS.contains(&field.key) {
            text.push('\n');
        }
        let _ = writeln!(
            text,
            "{:<width$}  {}",
            field.heading,
            with_unit(field, value)
        );
    }
    if view.explains {
        text.push_str(&legend(lines().map(|(field, _)| field)));
    }
    if !forecast.scores.is_empty() {
        let _ = write!(
            text,
            "\n{}",
            view.of(&LEVELS, forecast, Extent::All).text(view)
        );
        let _ = write!(
            text,
            "\n{}",
            view.of(&MODELS, forecast, Extent::All).text(view)
        );
    }
    for (i, caution) in forecast.cautions.iter().enumerate() {
        let _ = writeln!(text, "{}caution: {caution}", if i == 0 { "\n" } else { "" });
    }
    text
}

/// The forecast as Markdown: the same, with what each value means.
pub fn markdown(forecast: &Forecast, view: &View) -> String {
    let mut text = LINES.all(forecast).markdown();
    if !forecast.scores.is_empty() {
        let _ = write!(
            text,
            "\n{}",
            view.of(&LEVELS, forecast, Extent::All).markdown()
        );
        let _ = write!(
            text,
            "\n{}",
            view.of(&MODELS, forecast, Extent::All).markdown()
        );
    }
    for (i, caution) in forecast.cautions.iter().enumerate() {
        let _ = writeln!(text, "{}* {caution}", if i == 0 { "\n" } else { "" });
    }
    text
}

/// The columns that people see, with what is known.
fn known_fields(table: &Table) -> impl Iterator<Item = (&Field, &Value)> {
    let values = table
        .headed()
        .flat_map(|(place, field)| table.column(place).map(move |value| (field, value)));
    values.filter(|(_, value)| **value != Value::None)
}

fn known_lines(forecast: &Forecast, _: Extent) -> Rows<'_, Line> {
    let line = |(field, value): (&Field, &Value)| Line {
        heading: field.heading,
        value: with_unit(field, value),
        explanation: field.explanation,
    };
    let table = FORECAST.all(forecast);
    Rows::made(known_fields(&table).map(line).collect())
}

fn with_unit(field: &Field, value: &Value) -> String {
    // Some headings say "80 %", of something else.
    value.shown(field.unit, "")
}

/// `value` where there is a history.
fn known(forecast: &Forecast, value: Value) -> Value {
    forecast.model.map_or(Value::None, |_| value)
}

fn bytes(bytes: f64) -> Value {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "float to integer saturates"
    )]
    let bytes = bytes.round() as u64;
    Value::Bytes(bytes)
}

/// A share of one in hundredths.
fn hundredths(share: Option<f64>) -> Value {
    Value::number(share.map(|share| share * 100.0))
}

fn low(estimate: Estimate) -> Value {
    estimate.bounds.map_or(Value::None, |(low, _)| bytes(low))
}

fn high(estimate: Estimate) -> Value {
    estimate.bounds.map_or(Value::None, |(_, high)| bytes(high))
}

fn limit(limit: Option<Limit>) -> Value {
    limit.map_or(Value::None, |limit| Value::text(limit.id()))
}

fn when(when: When) -> Value {
    when.map_or(Value::None, |when: Millis| Value::Duration(when))
}

fn full_text(full: Full) -> &'static str {
    match full.when {
        None => "never",
        Some(0) => "now",
        Some(_) => "later",
    }
}

/// When the disk is full, where its bounds are known.
fn bounded(forecast: &Forecast) -> Option<Full> {
    forecast.full.filter(|_| forecast.error80.is_some())
}
