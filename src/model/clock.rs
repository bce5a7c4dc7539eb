//! What time it is.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

use super::Millis;

/// A time of the data for people, in UTC and without saying so: `2026-11-21 19:08:00`, with milliseconds where it has some. A time that no calendar has is its number.
pub fn time_text(time: Millis) -> String {
    match Timestamp::from_millisecond(time) {
        Ok(stamp) if time % 1000 == 0 => stamp.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Ok(stamp) => stamp.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
        Err(_) => time.to_string(),
    }
}

/// The time of this machine's clock. A clock may be wrong by any amount: one that stands before 1970 or behind all
/// calendars has a time as well.
pub fn now() -> Millis {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX),
        Err(before) => {
            Millis::try_from(before.duration().as_millis()).map_or(Millis::MIN, |ago| -ago)
        }
    }
}
