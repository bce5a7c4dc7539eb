//! A stretch of time.

use super::Millis;

/// The time from `since` to `until`, in milliseconds since 1970, `until` not included: as blocks
/// say their ranges, so that one range begins where another ends. [`Millis::MAX`] is no end: a
/// sample of that time belongs to the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// The first millisecond.
    pub since: Millis,
    /// The first millisecond behind the range.
    pub until: Millis,
}

impl TimeRange {
    /// All time.
    pub const ALL: TimeRange = TimeRange {
        since: Millis::MIN,
        until: Millis::MAX,
    };

    /// No time.
    pub const NONE: TimeRange = TimeRange {
        since: Millis::MAX,
        until: Millis::MIN,
    };

    /// Whether `time` lies in it.
    #[inline]
    pub fn contains(self, time: Millis) -> bool {
        time >= self.since && (time < self.until || self.until == Millis::MAX)
    }

    /// Whether some of the time from `first` to `last`, both included, lies in it.
    pub fn overlaps(self, first: Millis, last: Millis) -> bool {
        last >= self.since && (first < self.until || self.until == Millis::MAX)
    }

    /// Whether some of a block's range, `max_time` not included, lies in it.
    pub fn overlaps_block(self, min_time: Millis, max_time: Millis) -> bool {
        self.overlaps(min_time, max_time.saturating_sub(1))
    }

    /// Whether all of a block's range, `max_time` not included, lies in it.
    pub fn covers_block(self, min_time: Millis, max_time: Millis) -> bool {
        self.since <= min_time && max_time <= self.until
    }

    /// What of it lies in a block's range, `max_time` not included.
    #[must_use]
    pub fn within(self, min_time: Millis, max_time: Millis) -> TimeRange {
        TimeRange {
            since: self.since.max(min_time),
            until: self.until.min(max_time),
        }
    }

    /// The last millisecond in it.
    pub fn last(self) -> Millis {
        match self.until {
            Millis::MAX => Millis::MAX,
            until => until.saturating_sub(1),
        }
    }

    /// Whether no time lies in it.
    pub fn is_empty(self) -> bool {
        self.since >= self.until && self.until != Millis::MAX
    }
}

impl Default for TimeRange {
    fn default() -> Self {
        TimeRange::ALL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_before_its_end_and_never_where_it_has_none() {
        let range = TimeRange {
            since: 10,
            until: 20,
        };
        assert!(range.contains(10) && range.contains(19));
        assert!(!range.contains(9) && !range.contains(20));
        assert!(range.overlaps(0, 10) && range.overlaps(19, 30) && range.overlaps(0, 30));
        assert!(!range.overlaps(0, 9) && !range.overlaps(20, 30));
        assert!(range.overlaps_block(0, 11) && !range.overlaps_block(0, 10));
        assert!(range.covers_block(10, 20) && !range.covers_block(10, 21));
        assert!(TimeRange::ALL.contains(Millis::MAX) && TimeRange::ALL.contains(Millis::MIN));
        assert_eq!((range.last(), TimeRange::ALL.last()), (19, Millis::MAX));
        let nothing = TimeRange {
            since: 10,
            until: 10,
        };
        assert!(!TimeRange::NONE.overlaps(Millis::MIN, Millis::MAX) && TimeRange::NONE.is_empty());
        assert!(nothing.is_empty() && !range.is_empty() && !TimeRange::ALL.is_empty());
    }
}
