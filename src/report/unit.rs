//! Units: what the numbers of a column count or measure.

use std::fmt;

/// What the numbers of a column count or measure, before they are written for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Words: no numbers.
    None,
    /// Yes or no.
    Flag,
    /// Things that are counted: series, samples, chunks …
    Count,
    /// Bytes.
    Bytes,
    /// Bytes for each sample.
    BytesPerSample,
    /// Bytes for each day.
    BytesPerDay,
    /// Bits.
    Bits,
    /// A length of time in milliseconds.
    Millis,
    /// A point in time of the data, in milliseconds since the Unix epoch.
    Time,
    /// A point in time of an event, as RFC 3339.
    Stamp,
    /// A share of a hundred.
    Percent,
    /// A share of one: 0 to 1.
    Share,
    /// How many of one for each of the other, of the same unit.
    Ratio,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Unit; 13] = [
        Unit::None,
        Unit::Flag,
        Unit::Count,
        Unit::Bytes,
        Unit::BytesPerSample,
        Unit::BytesPerDay,
        Unit::Bits,
        Unit::Millis,
        Unit::Time,
        Unit::Stamp,
        Unit::Percent,
        Unit::Share,
        Unit::Ratio,
    ];

    /// Its name for people; empty for words.
    pub fn name(self) -> &'static str {
        match self {
            Unit::None => "",
            Unit::Flag => "true or false",
            Unit::Count => "count",
            Unit::Bytes => "bytes",
            Unit::BytesPerSample => "bytes/sample",
            Unit::BytesPerDay => "bytes/day",
            Unit::Bits => "bits",
            Unit::Millis => "ms",
            Unit::Time => "ms since 1970",
            Unit::Stamp => "RFC 3339",
            Unit::Percent => "%",
            Unit::Share => "0 to 1",
            Unit::Ratio => "ratio",
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
