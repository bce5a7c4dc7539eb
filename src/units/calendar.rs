//! Spans of calendar time as restic writes them.

use std::fmt;
use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SpanFieldwise, Timestamp};

use crate::error::{Error, Result};
use crate::model::Millis;

/// A span of calendar time such as `1y5m7d2h`: years, months, weeks, days and hours. Here `m` is a
/// month, as in restic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalendarSpan {
    text: String,
    span: SpanFieldwise,
}

impl CalendarSpan {
    /// The time this span before `time`, in UTC; the beginning of time when no calendar reaches
    /// that far.
    pub fn before(&self, time: Millis) -> Millis {
        let earlier = Timestamp::from_millisecond(time)
            .map(|time| TimeZone::UTC.to_datetime(time))
            .and_then(|time: DateTime| time.checked_sub(self.span.0))
            .and_then(|time| time.to_zoned(TimeZone::UTC));
        earlier.map_or(Millis::MIN, |time| time.timestamp().as_millisecond())
    }
}

impl FromStr for CalendarSpan {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        const UNITS: &str = "ymwdh";
        let wrong = || {
            Error::invalid(format!(
                "expected a span such as 1y5m7d2h (years, months, days, hours; w for weeks), found {text:?}"
            ))
        };
        let mut units = UNITS.chars();
        let mut span = jiff::Span::new();
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, after) = rest.split_at_checked(digits).ok_or_else(wrong)?;
            let unit = after.chars().next().ok_or_else(wrong)?;
            let number: i32 = number.parse().map_err(|_| wrong())?;
            // In falling order, each once.
            units.find(|known| *known == unit).ok_or_else(wrong)?;
            let set = match unit {
                'y' => span.try_years(number),
                'm' => span.try_months(number),
                'w' => span.try_weeks(number),
                'd' => span.try_days(number),
                _ => span.try_hours(number),
            };
            span = set.map_err(|_| wrong())?;
            rest = after.strip_prefix(unit).unwrap_or_default();
        }
        if span.is_zero() {
            return Err(wrong());
        }
        Ok(CalendarSpan {
            text: text.to_owned(),
            span: span.fieldwise(),
        })
    }
}

impl fmt::Display for CalendarSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(text: &str) -> Millis {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn spans_are_counted_on_the_calendar() {
        for (text, before) in [
            ("2h", "2026-03-31T10:00:00Z"),
            ("1d", "2026-03-30T12:00:00Z"),
            ("1w", "2026-03-24T12:00:00Z"),
            ("1m", "2026-02-28T12:00:00Z"),
            ("1y1m", "2025-02-28T12:00:00Z"),
            ("2y5m7d3h", "2023-10-24T09:00:00Z"),
        ] {
            let span: CalendarSpan = text.parse().unwrap();
            let time = span.before(millis("2026-03-31T12:00:00Z"));
            assert_eq!(time, millis(before), "{text}");
            assert_eq!(span.to_string(), text);
        }
        let longest: CalendarSpan = "19000y".parse().unwrap();
        assert_eq!(longest.before(0), Millis::MIN);
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for bad in [
            "",
            "0d",
            "5",
            "d",
            "1h2d",
            "1d1d",
            "30s",
            "1.5d",
            "-1d",
            "99999999999d",
            "1ms",
        ] {
            let error = bad.parse::<CalendarSpan>().unwrap_err();
            assert!(error.to_string().contains("1y5m7d2h"), "{bad}");
        }
    }
}
