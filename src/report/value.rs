//! Values with units: how they look to people and in JSON.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde_json::{Value as Json, json};

use super::{Unit, ValueKind};
use crate::model::Millis;
use crate::units::{
    bytes_text, count_text, decimal_text, duration_text, signed_count_text, time_text,
};

/// One value of a report.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Not known, or not applicable: empty for people, `null` in JSON.
    None,
    /// Words. Control characters are replaced for people: label values may hold any, and a terminal
    /// would obey them.
    Text(String),
    /// Several words: joined by spaces for people, an array in JSON.
    List(Vec<String>),
    /// A number of things: `27,389,718` for people.
    Count(u64),
    /// Bytes: `1.5 MiB` for people, a number in JSON.
    Bytes(u64),
    /// A difference of bytes: as [`Value::Bytes`], with a sign if it is negative.
    SignedBytes(i64),
    /// A difference of numbers of things: with a sign if it is negative.
    SignedCount(i64),
    /// A point in time: `2026-11-21 19:08:00Z` for people, milliseconds since the Unix epoch in
    /// JSON.
    Time(Millis),
    /// Spans of time, begin and exclusive end of each: objects with `min_time` and `max_time` in
    /// JSON.
    Spans(Vec<(Millis, Millis)>),
    /// A span of time: `2h` for people, milliseconds in JSON.
    Duration(Millis),
    /// A ratio or average, two decimals for people.
    Number(f64),
    /// Yes or no: `yes` or empty for people.
    Flag(bool),
}

impl Value {
    /// Words.
    pub fn text(text: impl Into<String>) -> Self {
        Value::Text(text.into())
    }

    /// A number, if there is one.
    pub fn number(number: Option<f64>) -> Self {
        number.map_or(Value::None, Value::Number)
    }

    /// Of what kind it is; none if it is not there.
    pub fn kind(&self) -> Option<ValueKind> {
        match self {
            Value::None => None,
            Value::Text(_) => Some(ValueKind::Text),
            Value::List(_) => Some(ValueKind::List),
            Value::Flag(_) => Some(ValueKind::Flag),
            Value::Count(_) => Some(ValueKind::Count),
            Value::SignedCount(_) => Some(ValueKind::SignedCount),
            Value::Bytes(_) => Some(ValueKind::Bytes),
            Value::SignedBytes(_) => Some(ValueKind::SignedBytes),
            Value::Duration(_) => Some(ValueKind::Duration),
            Value::Time(_) => Some(ValueKind::Time),
            Value::Spans(_) => Some(ValueKind::Spans),
            Value::Number(_) => Some(ValueKind::Number),
        }
    }

    /// How it stands to another value of its column: numbers and times by size, words by their
    /// letters.
    pub(super) fn order(&self, other: &Value) -> Ordering {
        match (self, other) {
            (Value::Count(a) | Value::Bytes(a), Value::Count(b) | Value::Bytes(b)) => a.cmp(b),
            (
                Value::SignedCount(a) | Value::SignedBytes(a) | Value::Time(a) | Value::Duration(a),
                Value::SignedCount(b) | Value::SignedBytes(b) | Value::Time(b) | Value::Duration(b),
            ) => a.cmp(b),
            (Value::Number(a), Value::Number(b)) => a.total_cmp(b),
            (Value::Flag(a), Value::Flag(b)) => a.cmp(b),
            (Value::List(a), Value::List(b)) => a.cmp(b),
            (Value::Spans(a), Value::Spans(b)) => a.cmp(b),
            (Value::Text(a), Value::Text(b)) => a.cmp(b),
            // Values of a column are of one kind.
            _ => Ordering::Equal,
        }
    }

    /// Whether people see nothing of it.
    pub(super) fn is_nothing(&self) -> bool {
        match self {
            Value::None => true,
            Value::Text(text) => text.is_empty(),
            Value::List(list) => list.is_empty(),
            Value::Spans(spans) => spans.is_empty(),
            _ => false,
        }
    }

    /// The value for people in a column of `unit` under `heading`: with the unit where the heading
    /// does not say it.
    pub(super) fn shown(&self, unit: Unit, heading: &str) -> String {
        match (self, unit) {
            // A place is looked up, not read.
            (Value::Count(offset), Unit::Offset) => offset.to_string(),
            (Value::Number(number), Unit::Share) => format!("{} %", decimal_text(number * 100.0)),
            (Value::Number(number), Unit::Percent) if !heading.contains('%') => {
                format!("{} %", decimal_text(*number))
            }
            (Value::Number(number), Unit::Ratio) => format!("{}x", decimal_text(*number)),
            _ => self.to_string(),
        }
    }

    /// The value for machines in text without types: numbers as in JSON, nothing for
    /// [`Value::None`], list items joined by spaces.
    pub(super) fn raw_text(&self) -> String {
        match self {
            Value::None => String::new(),
            Value::Text(text) => text.clone(),
            Value::List(items) => items.join(" "),
            Value::Count(number) | Value::Bytes(number) => number.to_string(),
            Value::SignedBytes(number) | Value::SignedCount(number) => number.to_string(),
            Value::Time(millis) | Value::Duration(millis) => millis.to_string(),
            Value::Spans(spans) => joined(spans, |(begin, end)| format!("{begin}..{end}")),
            Value::Number(number) => number.to_string(),
            Value::Flag(flag) => flag.to_string(),
        }
    }

    pub(super) fn to_json(&self) -> Json {
        match self {
            Value::None => Json::Null,
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => json!(items),
            Value::Count(number) | Value::Bytes(number) => json!(number),
            Value::SignedBytes(number) | Value::SignedCount(number) => {
                json!(number)
            }
            Value::Time(millis) | Value::Duration(millis) => json!(millis),
            Value::Spans(spans) => spans
                .iter()
                .map(|(begin, end)| json!({ "min_time": begin, "max_time": end }))
                .collect(),
            Value::Number(number) => json!(number),
            Value::Flag(flag) => json!(flag),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::None => Ok(()),
            Value::Text(text) => f.write_str(&safe_line(text)),
            Value::List(items) => f.write_str(&safe_line(&items.join(" "))),
            Value::Count(number) => f.write_str(&count_text(*number)),
            Value::Bytes(bytes) => f.write_str(&bytes_text(*bytes)),
            Value::SignedBytes(bytes) => {
                let sign = if *bytes < 0 { "-" } else { "" };
                write!(f, "{sign}{}", bytes_text(bytes.unsigned_abs()))
            }
            Value::SignedCount(number) => f.write_str(&signed_count_text(*number)),
            Value::Time(millis) => f.write_str(&time_text(*millis)),
            Value::Spans(spans) => f.write_str(&joined(spans, |(begin, end)| {
                format!("{}..{}", time_text(begin), time_text(end))
            })),
            Value::Duration(millis) => f.write_str(&duration_text(*millis)),
            Value::Number(number) => f.write_str(&decimal_text(*number)),
            Value::Flag(flag) => f.write_str(if *flag { "yes" } else { "" }),
        }
    }
}

fn joined(spans: &[(Millis, Millis)], text: impl Fn((Millis, Millis)) -> String) -> String {
    let texts: Vec<_> = spans.iter().map(|span| text(*span)).collect();
    texts.join(" ")
}

/// A text of one line in which nothing is left that ends it, or that a terminal might obey.
pub(crate) fn safe_line(text: &str) -> Cow<'_, str> {
    if text.contains(is_treacherous) {
        Cow::Owned(text.replace(is_treacherous, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Whether a terminal might obey a character instead of showing it: control characters, and those
/// that turn the direction of writing, which make a name look like another one. Names of files,
/// labels and whatever a manifest says are other people's.
pub(crate) fn is_treacherous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text of several lines in which nothing is left that a terminal might obey; line ends and tabs
/// stay.
pub(crate) fn safe_text(text: &str) -> Cow<'_, str> {
    let is_odd = |c: char| is_treacherous(c) && c != '\n' && c != '\t';
    if text.contains(is_odd) {
        Cow::Owned(text.replace(is_odd, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_on_their_line_and_command_no_terminal() {
        let value = Value::text("a\u{1b}[2Jb\nc\td é");
        assert_eq!(value.to_string(), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d é");
        assert_eq!(value.raw_text(), "a\u{1b}[2Jb\nc\td é");
        let list = Value::List(vec!["x\r".into(), "y".into()]);
        assert_eq!(list.to_string(), "x\u{fffd} y");
    }
}
