//! How long the word of a run counts that has not been heard of since.
//!
//! Nothing that is kept depends on clocks alone: whoever finds that its word was taken back checks
//! everything anew. Only the time that the next run waits for a dead one does.

use crate::model::Millis;

/// For how long a claim or a warrant counts, in milliseconds: a day. What it speaks for takes
/// seconds.
pub const LEASE: Millis = 86_400_000;

/// How long a run relies on its own claim or warrant, in milliseconds. The rest of the [`LEASE`] is
/// for clocks that disagree.
pub const TRUST: Millis = LEASE / 2;

/// How far the clocks of two machines may be apart without anybody being told, in milliseconds: an
/// hour.
pub const SKEW: Millis = 3_600_000;

/// Whether `time` cannot have been yet at `now`: the clock was wrong then, or it is wrong now.
pub fn is_ahead(time: Millis, now: Millis) -> bool {
    time > now.saturating_add(SKEW)
}

/// Whether the word of `time` counts no more at `now`. A time that far in the future is wrong, and
/// would count for ever.
pub(super) fn has_expired(time: Millis, now: Millis) -> bool {
    now.abs_diff(time) > LEASE.unsigned_abs()
}
