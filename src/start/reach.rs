//! Whether a block's range of time can be true.
//!
//! Prometheus cuts blocks at multiples of their length, so a block's range ends less than one of
//! the smallest blocks, two hours unless told otherwise, after its last sample; and begins with its
//! first sample, or less than that before. Compaction keeps the outermost ends. Only deletions can
//! empty the ends of a block, and then its parents had the same range.

use std::fmt;

use super::release::Release;
use crate::block::Meta;
use crate::model::Millis;
use crate::units::coarse_duration_text;

/// How far a block's range may reach beyond its samples, in milliseconds: the longest that the
/// smallest blocks are made anywhere.
pub const SLACK: Millis = 86_400_000;

/// How far ahead a sample may be, in milliseconds: clocks differ, and a scrape may say a time of
/// its own ten minutes ahead.
pub const TOLERANCE: Millis = 3_600_000;

/// The longest range that any writer gives a block, in milliseconds: Prometheus stays below 31 days
/// whatever its retention is.
const LONGEST: Millis = 400 * 86_400_000;

/// In which way a block's range cannot be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// It begins long before its first sample: so many milliseconds.
    Early(Millis),
    /// It ends long after its last sample: so many milliseconds.
    Late(Millis),
    /// It begins or ends in the future: so many milliseconds ahead.
    Future(Millis),
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reach::Early(by) => write!(
                f,
                "range begins {} before its first sample",
                coarse_duration_text(*by)
            ),
            Reach::Late(by) => write!(
                f,
                "range ends {} after its last sample",
                coarse_duration_text(*by)
            ),
            Reach::Future(by) => write!(
                f,
                "range reaches {} into the future",
                coarse_duration_text(*by)
            ),
        }
    }
}

impl Reach {
    /// Judges the range in `meta` of a block whose first and last samples are at `times`, if that
    /// is known, at the time `now`.
    pub fn of(meta: &Meta, times: Option<(Millis, Millis)>, now: Option<Millis>) -> Vec<Reach> {
        if meta.min_time >= meta.max_time {
            return Vec::new();
        }
        let mut found = Vec::new();
        if let Some(ahead) = now.and_then(|now| ahead(meta, times, now)) {
            found.push(Reach::Future(ahead));
        }
        let parents = || meta.compaction.parents.iter();
        let length = meta.max_time.saturating_sub(meta.min_time);
        if let Some((first, last)) = times {
            let early = first.saturating_sub(meta.min_time);
            if early > SLACK && parents().all(|parent| parent.min_time != meta.min_time) {
                found.push(Reach::Early(early));
            }
            let late = meta.max_time.saturating_sub(last);
            if late > SLACK && parents().all(|parent| parent.max_time != meta.max_time) {
                found.push(Reach::Late(late));
            }
        } else if length > LONGEST && found.is_empty() {
            // Which end is wrong only the samples tell; the beginning of time is a usual mistake.
            let is_early = meta.min_time.saturating_abs() < LONGEST;
            let reach = if is_early { Reach::Early } else { Reach::Late };
            found.push(reach(length));
        }
        found
    }
}

/// How far the block reaches into the future, if further than a healthy one does.
fn ahead(meta: &Meta, times: Option<(Millis, Millis)>, now: Millis) -> Option<Millis> {
    // Blocks of late samples, or of series that have become stale, are cut before their range is
    // over.
    let allowed = if meta.is_in_order() { TOLERANCE } else { SLACK };
    let (begin, end) = times.map_or((meta.min_time, meta.max_time), |(first, last)| {
        (first, meta.max_time.max(last))
    });
    let begins = begin.saturating_sub(now);
    let ends = end.saturating_sub(now);
    if begins > TOLERANCE {
        Some(begins)
    } else {
        (ends > allowed).then_some(ends)
    }
}

/// The time before which a start of `release` takes in-order samples for stored: the end of the
/// latest of these blocks that was cut from, or compacted with, samples in order.
pub fn floor<'a>(kept: impl IntoIterator<Item = &'a Meta>, release: Release) -> Option<Millis> {
    let counts = |meta: &&Meta| {
        let passes_over = |hint, since| meta.has_hint(hint) && release >= since;
        !passes_over("from-stale-series", Release::STALE_SERIES)
            && !passes_over("from-selected-series", Release::SELECTED_SERIES)
            && !meta.has_hint("from-out-of-order")
    };
    kept.into_iter()
        .filter(counts)
        .map(|meta| meta.max_time)
        .max()
}

/// Whether a block holds nothing but selected, or stale, series of the head.
pub(super) fn is_selected(meta: &Meta) -> bool {
    meta.has_hint("from-stale-series") || meta.has_hint("from-selected-series")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Parent;
    use crate::model::Ulid;

    const HOUR: Millis = 3_600_000;
    const NOW: Millis = 1_795_939_200_000;

    fn meta(min: Millis, max: Millis) -> Meta {
        let mut meta = Meta::parse(br#"{"version":1}"#).unwrap();
        (meta.min_time, meta.max_time) = (min, max);
        meta
    }

    #[test]
    fn blocks_as_servers_cut_them_are_believed() {
        let now = Some(NOW);
        // Cut from the head, half empty after an outage, of a day, and a snapshot of the head.
        for (from, to, first, last) in [
            (
                NOW - 4 * HOUR,
                NOW - 2 * HOUR,
                NOW - 4 * HOUR,
                NOW - 2 * HOUR - 1,
            ),
            (
                NOW - 4 * HOUR,
                NOW - 2 * HOUR,
                NOW - 4 * HOUR + 5,
                NOW - 4 * HOUR + 6,
            ),
            (
                NOW - 26 * HOUR,
                NOW - 2 * HOUR,
                NOW - 3 * HOUR,
                NOW - 3 * HOUR,
            ),
            (NOW - HOUR, NOW, NOW - HOUR, NOW - 1),
        ] {
            assert_eq!(Reach::of(&meta(from, to), Some((first, last)), now), []);
            assert_eq!(Reach::of(&meta(from, to), None, now), []);
        }
        // Late samples, or stale series, of the range that is under way.
        let mut late = meta(NOW - HOUR, NOW + HOUR * 2);
        for hint in Meta::KNOWN_HINTS {
            late.compaction.hints = vec![hint.to_owned()];
            assert_eq!(Reach::of(&late, Some((NOW - HOUR, NOW - 5)), now), []);
        }
        // Everything but the first hour of two weeks was deleted, and the block written anew.
        let mut emptied = meta(NOW - 400 * HOUR, NOW - 64 * HOUR);
        emptied.compaction.parents = vec![Parent {
            ulid: Ulid::ZERO,
            min_time: emptied.min_time,
            max_time: emptied.max_time,
        }];
        let times = Some((NOW - 400 * HOUR, NOW - 399 * HOUR));
        assert_eq!(Reach::of(&emptied, times, now), []);
    }

    #[test]
    fn a_range_far_beyond_its_samples_is_not() {
        let times = Some((NOW - 4 * HOUR, NOW - 2 * HOUR - 1));
        let far = meta(NOW - 4 * HOUR, NOW + 30_000 * HOUR);
        assert_eq!(
            Reach::of(&far, times, Some(NOW)),
            [Reach::Future(30_000 * HOUR), Reach::Late(30_002 * HOUR + 1)]
        );
        assert_eq!(
            Reach::of(&far, times, None),
            [Reach::Late(30_002 * HOUR + 1)]
        );
        assert_eq!(
            Reach::of(&far, None, Some(NOW)),
            [Reach::Future(30_000 * HOUR)]
        );
        let early = meta(0, NOW - 2 * HOUR);
        assert_eq!(
            Reach::of(&early, times, Some(NOW)),
            [Reach::Early(NOW - 4 * HOUR)]
        );
        assert_eq!(
            Reach::of(&early, None, Some(NOW)),
            [Reach::Early(NOW - 2 * HOUR)]
        );
        for (min, max) in [(i64::MIN, NOW), (NOW, i64::MAX), (i64::MIN, i64::MAX)] {
            assert!(!Reach::of(&meta(min, max), times, None).is_empty());
            assert!(!Reach::of(&meta(min, max), None, Some(NOW)).is_empty());
        }
        // Empty ranges are another finding.
        assert_eq!(Reach::of(&meta(5, i64::MIN), times, Some(NOW)), []);
    }

    #[test]
    fn only_blocks_of_samples_in_order_make_the_floor() {
        let mut late = meta(0, 100);
        late.compaction.hints = vec!["from-out-of-order".to_owned()];
        let mut stale = meta(0, 50);
        stale.compaction.hints = vec!["from-stale-series".to_owned()];
        let mut selected = meta(0, 40);
        selected.compaction.hints = vec!["from-selected-series".to_owned()];
        let all = [meta(0, 10), late, stale, selected];
        assert_eq!(floor(&all, Release::NEWEST), Some(10));
        assert_eq!(floor(&all, Release::new(3, 10)), Some(40));
        assert_eq!(floor(&all, Release::new(3, 13)), Some(40));
        assert_eq!(floor(&all, Release::new(3, 14)), Some(10));
        assert_eq!(floor(&all, Release::OLDEST), Some(50));
        assert_eq!(floor(&all[1..2], Release::NEWEST), None);
    }
}
