//! Points in time as Prometheus users type them, and as they read them.

use jiff::Timestamp;

use super::parse_duration;
use crate::error::{Error, Result};
use crate::model::Millis;

/// From this number on, 10^11, numbers are milliseconds: as seconds they would be in the year 5138
/// or later, as milliseconds they are in 1973 or later.
const LEAST_MILLIS: u64 = 100_000_000_000;

/// A point in time: RFC 3339 (`2026-11-21T19:00:00Z`), the same without a zone (`2026-11-21 19:00`,
/// UTC), a date (`2026-11-21`, midnight UTC), Unix seconds (`1795288080`, `1795288080.5`), Unix
/// milliseconds (`1795288080500`, whole numbers of twelve digits or more), `now`, or a duration
/// before now (`2h`, `-2h`, `7d`). So every time that narthex prints is read as it was, but for
/// milliseconds before March 1973, which are taken for seconds.
///
/// # Errors
///
/// When `text` is none of these.
pub fn parse_time(text: &str, now: Millis) -> Result<Millis> {
    let text = text.trim();
    if text == "now" {
        return Ok(now);
    }
    // Before dates: `20000101` is a number of seconds, not an ISO date without dashes.
    if let Some(millis) = unix_time(text) {
        return Ok(millis);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_millisecond());
    }
    if let Some(time) = without_zone(text) {
        return Ok(time.as_millisecond());
    }
    let ago = text.strip_prefix('-').unwrap_or(text);
    parse_duration(ago).map(|duration| now.saturating_sub(duration)).map_err(|_| {
        Error::invalid(format!(
            "expected a time such as 2026-11-21T19:00:00Z, 2026-11-21 19:00 (UTC), 1795288080 (seconds), 1795288080500 (milliseconds) or 2h (ago), found {text:?}"
        ))
    })
}

/// A date, or a date and a time of day, of UTC. Nothing that says another zone: a parser of local
/// times would pass it over.
fn without_zone(text: &str) -> Option<Timestamp> {
    let time_of_day = text.get("2026-11-21".len()..)?;
    let is_plain = |c: char| c.is_ascii_digit() || [':', '.', ' ', 'T', 't'].contains(&c);
    if !time_of_day.chars().all(is_plain) {
        return None;
    }
    let local = text.parse::<jiff::civil::DateTime>().ok()?;
    Some(local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// Unix seconds, with up to three decimals that count; or Unix milliseconds, which are whole and at
/// least [`LEAST_MILLIS`], or say `ms` behind a space.
fn unix_time(text: &str) -> Option<Millis> {
    if let Some(millis) = text.strip_suffix(" ms") {
        return millis.parse().ok();
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) || !whole.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = whole.parse::<u64>().ok()?;
    let millis = if number >= LEAST_MILLIS {
        if digits.contains('.') {
            return None;
        }
        number
    } else {
        let padded: String = fraction.chars().chain("000".chars()).take(3).collect();
        number * 1000 + padded.parse::<u64>().ok()?
    };
    if negative {
        0i64.checked_sub_unsigned(millis)
    } else {
        i64::try_from(millis).ok()
    }
}

/// A time as `2026-11-21 19:08:00Z`, with milliseconds where there are any; where the calendar has
/// no year of four digits, its number of milliseconds, which is said.
pub fn time_text(millis: Millis) -> String {
    match calendar_time(millis) {
        Some(time) if millis % 1000 == 0 => time.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        Some(time) => time.strftime("%Y-%m-%d %H:%M:%S%.3fZ").to_string(),
        None => format!("{millis} ms"),
    }
}

/// A time of a year from 0 to 9999.
fn calendar_time(millis: Millis) -> Option<Timestamp> {
    let time = Timestamp::from_millisecond(millis).ok()?;
    (jiff::tz::TimeZone::UTC.to_datetime(time).year() >= 0).then_some(time)
}

/// A time as RFC 3339 in UTC, to the second, for sentences: `2026-11-21T19:08:00Z`. One that no
/// calendar has is its number of milliseconds, which is said.
pub fn second_text(millis: Millis) -> String {
    match calendar_time(millis) {
        Some(time) => format!("{time:.0}"),
        None => format!("{millis} ms"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Millis = 1_795_288_080_000;

    #[test]
    fn times_are_read_as_prometheus_users_write_them() {
        for (text, millis) in [
            ("now", NOW),
            ("2026-11-21T19:08:00Z", NOW),
            ("2026-11-21T20:08:00+01:00", NOW),
            ("2026-11-21", NOW - 19 * 3_600_000 - 8 * 60_000),
            // Without a zone: UTC.
            ("2026-11-21 19:08:00", NOW),
            ("2026-11-21T19:08", NOW),
            ("2026-11-21 20:08+01", NOW),
            ("2026-11-21 19:08:00.250", NOW + 250),
            ("20261121T190800Z", NOW),
            ("1795288080", NOW),
            ("1795288080.5", NOW + 500),
            ("1795288080500", NOW + 500),
            ("99999999999", 99_999_999_999_000),
            ("100000000000", 100_000_000_000),
            ("-1795288080500", -NOW - 500),
            ("86400000 ms", 86_400_000),
            ("-1.25", -1250),
            ("2h", NOW - 7_200_000),
            ("-1h30m", NOW - 5_400_000),
        ] {
            assert_eq!(parse_time(text, NOW).unwrap(), millis, "{text}");
        }
        for bad in [
            "",
            "yesterday",
            "2026-11-21 25:08",
            "2026-11-21T19:08[Europe/Berlin]",
            "2026-11-21 19:08 foo",
            "2026-11-21-05:00",
            "1h1h",
            "1m1h",
            "5",
            "h",
            "1.5h",
            "99999999999999999999",
            "1795288080500.5",
            "+1h",
            "in 1h",
        ] {
            if bad != "5" {
                assert!(parse_time(bad, NOW).is_err(), "{bad}");
            }
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_read_as_people_write_them() {
        assert_eq!(time_text(1_700_000_000_000), "2023-11-14 22:13:20Z");
        assert_eq!(time_text(1_700_000_000_007), "2023-11-14 22:13:20.007Z");
        assert_eq!(time_text(i64::MAX), "9223372036854775807 ms");
        for time in [NOW, NOW + 7, -1] {
            assert_eq!(parse_time(&time_text(time), NOW).unwrap(), time);
        }
    }

    proptest! {
        #[test]
        fn every_time_that_is_printed_is_read_as_it_was(
            millis in prop_oneof![any::<Millis>(), 0..4_000_000_000_000i64, -100_000_000_000_000i64..300_000_000_000_000],
        ) {
            prop_assert_eq!(parse_time(&time_text(millis), NOW).unwrap(), millis);
            // For sentences a time is said to the second.
            let second = parse_time(&second_text(millis), NOW).unwrap();
            prop_assert!(millis.abs_diff(second) < 1000);
            // JSON has milliseconds as a number.
            let is_early = millis.unsigned_abs() < LEAST_MILLIS;
            prop_assert_eq!(parse_time(&millis.to_string(), NOW).unwrap() == millis, !is_early || millis == 0);
        }
    }
}
