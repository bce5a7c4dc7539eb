//! Points in time as Prometheus users type them, and as they read them.

use jiff::Timestamp;

use super::parse_duration;
use crate::error::{Error, Result};
use crate::model::Millis;

/// A point in time: RFC 3339 (`2026-11-21T19:00:00Z`), the same without a zone (`2026-11-21 19:00`, UTC), a date (`2026-11-21`, midnight UTC), Unix seconds (`1795288080`, `1795288080.5`),
/// `now`, or a duration before now (`2h`, `-2h`, `7d`).
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
    if let Some(millis) = unix_seconds(text) {
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
            "expected a time such as 2026-11-21T19:00:00Z, 1795288080 or 2h (ago), found {text:?}"
        ))
    })
}

/// A date, or a date and a time of day, of UTC. Nothing that says another zone: a parser of local times would pass it over.
fn without_zone(text: &str) -> Option<Timestamp> {
    let time_of_day = text.get("2026-11-21".len()..)?;
    let is_plain = |c: char| c.is_ascii_digit() || [':', '.', ' ', 'T', 't'].contains(&c);
    if !time_of_day.chars().all(is_plain) {
        return None;
    }
    let local = text.parse::<jiff::civil::DateTime>().ok()?;
    Some(local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// Unix seconds, with up to three decimals that count.
fn unix_seconds(text: &str) -> Option<Millis> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) || !whole.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let padded: String = fraction.chars().chain("000".chars()).take(3).collect();
    let millis = whole
        .parse::<i64>()
        .ok()?
        .checked_mul(1000)?
        .checked_add(padded.parse().ok()?)?;
    Some(if negative { -millis } else { millis })
}

/// A time as `2026-11-21 19:08:00Z`, with milliseconds where there are any; where no calendar
/// reaches, its number of milliseconds, which is said.
pub fn time_text(millis: Millis) -> String {
    match Timestamp::from_millisecond(millis) {
        Ok(time) if millis % 1000 == 0 => time.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S%.3fZ").to_string(),
        Err(_) => format!("{millis} ms"),
    }
}

/// A time as RFC 3339 in UTC, to the second, for sentences: `2026-11-21T19:08:00Z`. One that no calendar has is its number of milliseconds, which is said.
pub fn second_text(millis: Millis) -> String {
    match Timestamp::from_millisecond(millis) {
        Ok(time) => format!("{time:.0}"),
        Err(_) => format!("{millis} ms"),
    }
}

#[cfg(test)]
mod tests {
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
            ("1795288080", NOW),
            ("1795288080.5", NOW + 500),
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
}
