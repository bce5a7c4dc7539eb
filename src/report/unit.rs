//! Units: what the values of a column are, count or measure.

use std::fmt;

/// What the values of a column are, and what numbers count or measure before they are written for
/// people. All values of a column are of the unit's [`ValueKind`], so that a column has one type
/// for programs and one way to be written for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Words: no numbers.
    None,
    /// Several words.
    List,
    /// Yes or no.
    Flag,
    /// Things that are counted: series, samples, chunks …
    Count,
    /// A difference of such numbers, which may be negative.
    CountChange,
    /// An average or a rate of things that are counted: no whole number.
    Mean,
    /// Bytes.
    Bytes,
    /// A difference of bytes, which may be negative.
    BytesChange,
    /// A place in a file, in bytes from its beginning.
    Offset,
    /// Bytes for each sample.
    BytesPerSample,
    /// Bytes for each day.
    BytesPerDay,
    /// A difference of bytes for each day, which may be negative.
    BytesPerDayChange,
    /// Bits.
    Bits,
    /// A length of time in milliseconds.
    Millis,
    /// A point in time, in milliseconds since the Unix epoch.
    Time,
    /// Spans of time, each with its begin and its end, which does not belong to it.
    Spans,
    /// A share of a hundred.
    Percent,
    /// A share of one: 0 to 1.
    Share,
    /// How many of one for each of the other, of the same unit.
    Ratio,
    /// Money, in a currency that stands beside it.
    Money,
}

/// The type of a [`Value`](super::Value) that is there, and with it how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// [`Value::Text`](super::Value::Text): a string.
    Text,
    /// [`Value::List`](super::Value::List): strings.
    List,
    /// [`Value::Flag`](super::Value::Flag): `bool`.
    Flag,
    /// [`Value::Count`](super::Value::Count): `u64`.
    Count,
    /// [`Value::SignedCount`](super::Value::SignedCount): `i64`.
    SignedCount,
    /// [`Value::Bytes`](super::Value::Bytes): `u64`.
    Bytes,
    /// [`Value::SignedBytes`](super::Value::SignedBytes): `i64`.
    SignedBytes,
    /// [`Value::Duration`](super::Value::Duration): `i64`, milliseconds.
    Duration,
    /// [`Value::Time`](super::Value::Time): `i64`, milliseconds since the Unix epoch.
    Time,
    /// [`Value::Spans`](super::Value::Spans): pairs of `i64`, milliseconds since the Unix epoch.
    Spans,
    /// [`Value::Number`](super::Value::Number): `f64`.
    Number,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Unit; 20] = [
        Unit::None,
        Unit::List,
        Unit::Flag,
        Unit::Count,
        Unit::CountChange,
        Unit::Mean,
        Unit::Bytes,
        Unit::BytesChange,
        Unit::Offset,
        Unit::BytesPerSample,
        Unit::BytesPerDay,
        Unit::BytesPerDayChange,
        Unit::Bits,
        Unit::Millis,
        Unit::Time,
        Unit::Spans,
        Unit::Percent,
        Unit::Share,
        Unit::Ratio,
        Unit::Money,
    ];

    /// Its name for people; empty for words.
    pub fn name(self) -> &'static str {
        match self {
            Unit::None => "",
            Unit::List => "list of words",
            Unit::Flag => "true or false",
            Unit::Count => "count",
            Unit::CountChange => "count, with sign",
            Unit::Mean => "mean count",
            Unit::Bytes => "bytes",
            Unit::BytesChange => "bytes, with sign",
            Unit::Offset => "byte offset",
            Unit::BytesPerSample => "bytes/sample",
            Unit::BytesPerDay => "bytes/day",
            Unit::BytesPerDayChange => "bytes/day, with sign",
            Unit::Bits => "bits",
            Unit::Millis => "ms",
            Unit::Time => "ms since 1970",
            Unit::Spans => "list of `min_time`, `max_time`",
            Unit::Percent => "%",
            Unit::Share => "0 to 1",
            Unit::Ratio => "ratio",
            Unit::Money => "money",
        }
    }

    /// Of what kind its values are.
    pub fn kind(self) -> ValueKind {
        match self {
            Unit::None => ValueKind::Text,
            Unit::List => ValueKind::List,
            Unit::Flag => ValueKind::Flag,
            Unit::Count | Unit::Offset => ValueKind::Count,
            Unit::CountChange => ValueKind::SignedCount,
            Unit::Bytes | Unit::BytesPerDay => ValueKind::Bytes,
            Unit::BytesChange | Unit::BytesPerDayChange => ValueKind::SignedBytes,
            Unit::Millis => ValueKind::Duration,
            Unit::Time => ValueKind::Time,
            Unit::Spans => ValueKind::Spans,
            Unit::Mean
            | Unit::BytesPerSample
            | Unit::Bits
            | Unit::Percent
            | Unit::Share
            | Unit::Ratio
            | Unit::Money => ValueKind::Number,
        }
    }
}

impl ValueKind {
    /// Whether such values are numbers, which stand on the right of their column.
    pub fn is_number(self) -> bool {
        match self {
            ValueKind::Text
            | ValueKind::List
            | ValueKind::Flag
            | ValueKind::Time
            | ValueKind::Spans => false,
            ValueKind::Count
            | ValueKind::SignedCount
            | ValueKind::Bytes
            | ValueKind::SignedBytes
            | ValueKind::Duration
            | ValueKind::Number => true,
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
