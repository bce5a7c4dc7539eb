//! What time it is.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Millis;

/// The time of this machine's clock. A clock may be wrong by any amount: one that stands before
/// 1970 or behind all calendars has a time as well.
pub fn now() -> Millis {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX),
        Err(before) => {
            Millis::try_from(before.duration().as_millis()).map_or(Millis::MIN, |ago| -ago)
        }
    }
}

/// A time of the system in milliseconds since the Unix epoch; `None` before it.
pub fn millis_of(time: SystemTime) -> Option<Millis> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    Millis::try_from(since.as_millis()).ok()
}
