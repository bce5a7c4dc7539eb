//! How the logs of a data directory look.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::{
    Column, Extent, InJson, Rows, Sheet, Unit, Value, View, bytes_text, duration_text, time_text,
};
use crate::replay::ListedHead;
use crate::units::count_text;
use crate::wal::LogFacts;

/// One log of a data directory.
pub static LOGS: Sheet<[LogFacts], LogFacts> = Sheet {
    name: "log",
    title: "Logs",
    row: "log of a data directory",
    json: InJson::List("logs"),
    rows: |logs, _| Rows::of(logs),
    columns: &[
        Column {
            key: "log",
            heading: "LOG",
            unit: Unit::None,
            weight: 9,
            explanation: "Name of its directory: `wal`, the write-ahead log, or `wbl`, that of out-of-order samples.",
            value: |l| Value::text(l.log.name()),
        },
        Column {
            key: "min_time",
            heading: "FROM",
            unit: Unit::Time,
            weight: 7,
            explanation: "Time of the oldest sample, in milliseconds since the Unix epoch.",
            value: |l| l.times.map_or(Value::None, |(min, _)| Value::Time(min)),
        },
        Column {
            key: "max_time",
            heading: "TO",
            unit: Unit::Time,
            weight: 8,
            explanation: "Time of the newest sample, in milliseconds since the Unix epoch.",
            value: |l| l.times.map_or(Value::None, |(_, max)| Value::Time(max)),
        },
        Column {
            key: "gap",
            heading: "GAP",
            unit: Unit::Millis,
            weight: 7,
            explanation: "Hole between the end of the newest block that was not made of out-of-order samples and the oldest sample, in milliseconds; null when there is none.",
            value: |l| l.gap.map_or(Value::None, Value::Duration),
        },
        Column {
            key: "samples",
            heading: "SAMPLES",
            unit: Unit::Count,
            weight: 6,
            explanation: "Samples that a replay reads, those included that blocks hold as well; null when the log was not read whole, or of several logs of an archive, which are counted together.",
            value: |l| l.samples.map_or(Value::None, Value::Count),
        },
        Column {
            key: "series",
            heading: "",
            unit: Unit::Count,
            weight: 1,
            explanation: "Definitions of series; a series may be defined more than once.",
            value: |l| l.series.map_or(Value::None, Value::Count),
        },
        Column {
            key: "unknown_samples",
            heading: "UNKNOWN",
            unit: Unit::Count,
            weight: 5,
            explanation: "Samples whose series nothing defines, so that a replay passes them over; null when that was not looked at.",
            value: |l| l.unknown.map_or(Value::None, Value::Count),
        },
        Column {
            key: "dropped_samples",
            heading: "DROPPED",
            unit: Unit::Count,
            weight: 8,
            explanation: "Sound samples behind the first damage, which a replay does not reach.",
            value: |l| l.dropped.map_or(Value::None, Value::Count),
        },
        Column {
            key: "torn_bytes",
            heading: "",
            unit: Unit::Bytes,
            weight: 1,
            explanation: "Bytes of the record that is torn off at the end of the log.",
            value: |l| l.torn_bytes.map_or(Value::None, Value::Bytes),
        },
        Column {
            key: "segments",
            heading: "SEGMENTS",
            unit: Unit::Count,
            weight: 3,
            explanation: "Segments that a replay reads, those of the newest checkpoint included.",
            value: |l| Value::Count(l.segments),
        },
        Column {
            key: "bytes",
            heading: "SIZE",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Length of these segments in bytes.",
            value: |l| Value::Bytes(l.bytes),
        },
    ],
};

/// The head of a data directory or of an archive.
pub static HEADS: Sheet<[ListedHead], ListedHead> = Sheet {
    name: "head",
    title: "Head",
    row: "data directory or archive with samples that are in its logs and in no block",
    json: InJson::List("heads"),
    rows: |heads, _| Rows::of(heads),
    columns: &[
        Column {
            key: "min_time",
            heading: "FROM",
            unit: Unit::Time,
            weight: 7,
            explanation: "Time of the oldest sample, in milliseconds since the Unix epoch.",
            value: |head| Value::Time(head.times.0),
        },
        Column {
            key: "max_time",
            heading: "TO",
            unit: Unit::Time,
            weight: 8,
            explanation: "Time of the newest sample, in milliseconds since the Unix epoch.",
            value: |head| Value::Time(head.times.1),
        },
        Column {
            key: "gap_before",
            heading: "GAP",
            unit: Unit::Millis,
            weight: 7,
            explanation: "Length of the hole between the newest block and the head, in milliseconds; null without one.",
            value: |head| head.gap.map_or(Value::None, Value::Duration),
        },
        Column {
            key: "series",
            heading: "SERIES",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series with samples; null for an archive, and for logs of more than 1 GiB, which are not read whole for a listing.",
            value: |head| head.series.map_or(Value::None, Value::Count),
        },
        Column {
            key: "samples",
            heading: "SAMPLES",
            unit: Unit::Count,
            weight: 6,
            explanation: "Samples that are in no block, and those that came late; null likewise.",
            value: |head| head.samples.map_or(Value::None, Value::Count),
        },
        Column {
            key: "bytes",
            heading: "SIZE",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Bytes of the logs that a start of Prometheus reads.",
            value: |head| Value::Bytes(head.bytes),
        },
    ],
};

/// The head in a line for people.
pub fn head_line(head: &ListedHead) -> String {
    let mut line = "head: ".to_owned();
    if let (Some(samples), Some(series)) = (head.samples, head.series) {
        let (samples, series) = (count_text(samples), count_text(series));
        let _ = write!(line, "{samples} samples of {series} series, ");
    }
    let (first, last) = head.times;
    let _ = write!(line, "{} to {}", time_text(first), time_text(last));
    if let Some(gap) = head.gap {
        let _ = write!(line, ", {} behind the newest block", duration_text(gap));
    }
    let _ = writeln!(line, ", in logs of {}", bytes_text(head.bytes));
    line
}

/// The logs as a table for people.
pub fn text(logs: &[LogFacts], view: &View) -> String {
    view.of(&LOGS, logs, Extent::All).text(view)
}

/// The logs for programs.
pub fn json(logs: &[LogFacts]) -> Json {
    LOGS.all(logs).json()
}
