//! Durations as Prometheus writes them: a day has 24 hours, a year 365 days.

use std::fmt::Write as _;

use crate::error::{Error, Result};
use crate::model::Millis;

/// Milliseconds of every unit that is typed, the largest first.
const TYPED: [(Millis, &str); 7] = [
    (365 * 86_400_000, "y"),
    (7 * 86_400_000, "w"),
    (86_400_000, "d"),
    (3_600_000, "h"),
    (60_000, "m"),
    (1000, "s"),
    (1, "ms"),
];

/// Those that are read: nobody counts a week in years.
const READ: [(u64, &str); 5] = [
    (86_400_000, "d"),
    (3_600_000, "h"),
    (60_000, "m"),
    (1000, "s"),
    (1, "ms"),
];

/// A duration in Prometheus' notation: `90s`, `1h30m`, `2d`, `1w`, `1y`, `500ms`; units in falling
/// order, each once.
///
/// Source: Prometheus `common/model/time.go`, `ParseDuration`.
///
/// # Errors
///
/// When `text` is not in that notation or does not fit.
pub fn parse_duration(text: &str) -> Result<Millis> {
    let wrong = || {
        Error::invalid(format!(
            "expected a duration such as 15d or 1h30m, found {text:?}"
        ))
    };
    let mut rest = text;
    let mut total = 0i64;
    let mut units = TYPED.iter();
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(digits).ok_or_else(wrong)?;
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at_checked(letters).ok_or_else(wrong)?;
        let (millis, _) = units.find(|(_, name)| *name == unit).ok_or_else(wrong)?;
        total = number
            .parse::<i64>()
            .ok()
            .and_then(|number| number.checked_mul(*millis))
            .and_then(|part| total.checked_add(part))
            .ok_or_else(wrong)?;
        rest = after;
    }
    if text.is_empty() {
        Err(wrong())
    } else {
        Ok(total)
    }
}

/// A span as Prometheus writes durations: `2h`, `1d12h`, `90s500ms`; rounded to the two largest
/// units.
pub fn duration_text(millis: Millis) -> String {
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut rest = millis.unsigned_abs();
    let largest = READ.iter().position(|(unit, _)| rest >= *unit);
    let smallest = largest.and_then(|largest| READ.get(largest + 1));
    let precision = smallest.map_or(1, |(unit, _)| *unit);
    rest = rest.saturating_add(precision / 2) / precision * precision;
    let mut text = String::from(if millis < 0 { "-" } else { "" });
    let mut parts = 0;
    for (unit, name) in READ {
        if rest >= unit && parts < 2 {
            let _ = write!(text, "{}{name}", rest / unit);
            parts += 1;
        } else if parts > 0 {
            break;
        }
        rest %= unit;
    }
    text
}

/// A span in its two largest units, cut off behind them: `1d 12h`, `0s`.
pub fn coarse_duration_text(millis: Millis) -> String {
    const SMALLEST: usize = 3;
    let mut rest = millis.max(0).unsigned_abs();
    let largest = READ.iter().position(|(unit, _)| rest >= *unit);
    let largest = largest.unwrap_or(SMALLEST).min(SMALLEST);
    let mut parts = Vec::new();
    for (unit, name) in READ.iter().take(SMALLEST + 1).skip(largest).take(2) {
        parts.push(format!("{}{name}", rest / unit));
        rest %= unit;
    }
    parts.join(" ")
}

/// A span in the one largest unit that gives a whole number, as configurations have it: `36h`.
pub fn whole_duration_text(millis: Millis) -> String {
    in_one_unit(millis, &READ)
}

/// The distance between the samples of a downsampled block, as Thanos calls it: as
/// [`whole_duration_text`], in hours at most.
pub fn resolution_text(millis: Millis) -> String {
    match READ.split_first() {
        Some((_, units)) if millis > 0 => in_one_unit(millis, units),
        _ => format!("{millis}ms"),
    }
}

fn in_one_unit(millis: Millis, units: &[(u64, &str)]) -> String {
    let whole = millis.unsigned_abs();
    let largest = units.iter().find(|(unit, _)| whole.is_multiple_of(*unit));
    let (unit, name) = largest.copied().unwrap_or((1, "ms"));
    let sign = if millis < 0 { "-" } else { "" };
    format!("{sign}{}{name}", whole / unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_in_falling_units() {
        assert_eq!(parse_duration("1y2w3d4h5m6s7ms").unwrap(), 33_019_506_007);
        assert_eq!(parse_duration("1y").unwrap(), 365 * 86_400_000);
    }

    #[test]
    fn durations_read_as_people_write_them() {
        for (millis, two, coarse, whole, resolution) in [
            (0, "0s", "0s", "0d", "0ms"),
            (7_200_000, "2h", "2h 0m", "2h", "2h"),
            (129_600_000, "1d12h", "1d 12h", "36h", "36h"),
            (7_199_995, "2h", "1h 59m", "7199995ms", "7199995ms"),
            (239_995, "4m", "3m 59s", "239995ms", "239995ms"),
            (239_400, "3m59s", "3m 59s", "239400ms", "239400ms"),
            (29_645, "29s645ms", "29s", "29645ms", "29645ms"),
            (300_000, "5m", "5m 0s", "5m", "5m"),
            (86_400_000, "1d", "1d 0h", "1d", "24h"),
            (90_000, "1m30s", "1m 30s", "90s", "90s"),
            (5, "5ms", "0s", "5ms", "5ms"),
            (-5, "-5ms", "0s", "-5ms", "-5ms"),
        ] {
            assert_eq!(duration_text(millis), two);
            assert_eq!(coarse_duration_text(millis), coarse);
            assert_eq!(whole_duration_text(millis), whole);
            assert_eq!(resolution_text(millis), resolution);
        }
    }

    proptest! {
        #[test]
        fn a_whole_duration_is_read_as_it_was_printed(millis in 0..Millis::MAX) {
            prop_assert_eq!(parse_duration(&whole_duration_text(millis)).unwrap(), millis);
        }

        #[test]
        fn no_duration_is_too_long_or_too_short_to_print(millis in any::<Millis>()) {
            let _ = (duration_text(millis), coarse_duration_text(millis), resolution_text(millis));
        }
    }
}
