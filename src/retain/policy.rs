//! Which archives are still wanted: restic's policy words. Nothing here reads or writes.
//!
//! Every word has a number of archives to give out. Going from the newest to the oldest, `daily`
//! gives one to the newest archive of each day, `weekly` to that of each ISO week, and so on; the
//! oldest archive of all gets one where some are left, so that the history reaches as far back as
//! it can. Days and weeks are those of UTC, as all times narthex prints.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::error::{Error, Result};
use crate::model::Millis;
use crate::units::CalendarSpan;

/// How many archives a word keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// None: the word was not said.
    #[default]
    None,
    /// So many.
    Count(u64),
    /// As many as there are.
    Unlimited,
}

impl Keep {
    /// Gives one out, if any is left.
    fn take(&mut self) -> bool {
        match self {
            Keep::None | Keep::Count(0) => false,
            Keep::Count(left) => {
                *left -= 1;
                true
            }
            Keep::Unlimited => true,
        }
    }

    /// As many as the one or the other, whichever are more.
    pub(super) fn or_more(self, other: Keep) -> Keep {
        match (self, other) {
            (Keep::Unlimited, _) | (_, Keep::Unlimited) => Keep::Unlimited,
            (Keep::None, keep) | (keep, Keep::None) => keep,
            (Keep::Count(one), Keep::Count(other)) => Keep::Count(one.max(other)),
        }
    }

    fn is_none(self) -> bool {
        matches!(self, Keep::None | Keep::Count(0))
    }
}

impl std::str::FromStr for Keep {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "unlimited" | "-1" => Ok(Keep::Unlimited),
            number => number.parse().map(Keep::Count).map_err(|_| {
                Error::invalid(format!(
                    "expected a number of archives or `unlimited`, found {text:?}"
                ))
            }),
        }
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Keep::None => f.write_str("0"),
            Keep::Count(count) => write!(f, "{count}"),
            Keep::Unlimited => f.write_str("unlimited"),
        }
    }
}

/// Which archives of a group are kept: those that any word wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The newest ones.
    pub last: Keep,
    /// The newest of each hour.
    pub hourly: Keep,
    /// The newest of each day.
    pub daily: Keep,
    /// The newest of each ISO week.
    pub weekly: Keep,
    /// The newest of each month.
    pub monthly: Keep,
    /// The newest of each year.
    pub yearly: Keep,
    /// All that are younger than this, seen from the newest.
    pub within: Option<CalendarSpan>,
}

/// Calendar units, by the names of the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Unit {
    /// A number that is the same for times in the same unit, and only for these among neighbours.
    fn number(self, time: Millis) -> i64 {
        const HOUR: Millis = 3_600_000;
        let date = || -> Option<Date> {
            let time = Timestamp::from_millisecond(time).ok()?;
            Some(TimeZone::UTC.to_datetime(time).date())
        };
        match self {
            Unit::Hour => time.div_euclid(HOUR),
            Unit::Day => time.div_euclid(24 * HOUR),
            // The epoch was a Thursday; ISO weeks begin on Mondays.
            Unit::Week => (time.div_euclid(24 * HOUR) + 3).div_euclid(7),
            Unit::Month => date().map_or(0, |d| i64::from(d.year()) * 12 + i64::from(d.month())),
            Unit::Year => date().map_or(0, |d| i64::from(d.year())),
        }
    }
}

/// A word on its way through the archives.
struct Word {
    name: &'static str,
    keep: Keep,
    unit: Option<Unit>,
    latest: Option<i64>,
}

impl Policy {
    /// Whether no word was said, or only ones that keep nothing.
    pub fn is_empty(&self) -> bool {
        self.within.is_none() && self.words().iter().all(|word| word.keep.is_none())
    }

    fn words(&self) -> [Word; 6] {
        let word = |name, keep, unit| Word {
            name,
            keep,
            unit,
            latest: None,
        };
        [
            word("last", self.last, None),
            word("hourly", self.hourly, Some(Unit::Hour)),
            word("daily", self.daily, Some(Unit::Day)),
            word("weekly", self.weekly, Some(Unit::Week)),
            word("monthly", self.monthly, Some(Unit::Month)),
            word("yearly", self.yearly, Some(Unit::Year)),
        ]
    }

    /// For archives of these `times`, the newest first: why each is kept. Without a reason it is
    /// not.
    pub fn reasons(&self, times: &[Millis]) -> Vec<Vec<String>> {
        let mut words = self.words();
        let within = self.within.as_ref().zip(times.first());
        let within = within.map(|(span, newest)| (span, span.before(*newest)));
        let mut all = Vec::new();
        for (number, time) in times.iter().enumerate() {
            let is_oldest = number + 1 == times.len();
            let mut reasons = Vec::new();
            for word in &mut words {
                let unit = word.unit.map(|unit| unit.number(*time));
                let is_new = unit.is_none() || unit != word.latest;
                if (is_new || is_oldest) && word.keep.take() {
                    let oldest = if is_new { "" } else { "oldest " };
                    reasons.push(format!("{oldest}{}", word.name));
                    word.latest = unit;
                }
            }
            if let Some((span, since)) = within
                && *time > since
            {
                reasons.push(format!("within {span}"));
            }
            all.push(reasons);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times, the newest first.
    fn times(texts: &[&str]) -> Vec<Millis> {
        let parsed = texts.iter().map(|text| text.parse::<Timestamp>().unwrap());
        parsed.map(Timestamp::as_millisecond).collect()
    }

    fn reasons(policy: &Policy, texts: &[&str]) -> Vec<String> {
        let reasons = policy.reasons(&times(texts));
        reasons.iter().map(|words| words.join(", ")).collect()
    }

    #[test]
    fn every_word_keeps_the_newest_of_its_unit_and_the_oldest_of_all_while_some_are_left() {
        let policy = Policy {
            last: Keep::Count(1),
            daily: Keep::Count(2),
            weekly: Keep::Count(2),
            yearly: Keep::Unlimited,
            ..Policy::default()
        };
        assert_eq!(
            reasons(
                &policy,
                &[
                    "2026-11-24T14:00:00Z", // a Tuesday
                    "2026-11-24T02:00:00Z",
                    "2026-11-23T02:00:00Z", // the Monday before
                    "2026-11-22T23:59:59Z",
                    "2026-11-15T02:00:00Z",
                    "2025-12-31T02:00:00Z",
                    "2025-12-30T02:00:00Z",
                ]
            ),
            [
                "last, daily, weekly, yearly",
                "",
                "daily",
                "weekly",
                "",
                "yearly",
                "oldest yearly"
            ]
        );
        let hourly = Policy {
            hourly: Keep::Count(5),
            monthly: Keep::Count(1),
            ..Policy::default()
        };
        assert_eq!(
            reasons(
                &hourly,
                &[
                    "2026-11-01T00:59:59Z",
                    "2026-11-01T00:00:00Z",
                    "2026-10-31T23:59:59Z",
                    "2026-10-31T23:00:00Z",
                ]
            ),
            ["hourly, monthly", "", "hourly", "oldest hourly"]
        );
    }

    #[test]
    fn within_counts_from_the_newest_archive_and_not_from_now() {
        let policy = Policy {
            within: Some("1m".parse().unwrap()),
            ..Policy::default()
        };
        assert_eq!(
            reasons(
                &policy,
                &[
                    "2020-03-15T12:00:00Z",
                    "2020-02-15T12:00:01Z",
                    "2020-02-15T12:00:00Z"
                ]
            ),
            ["within 1m", "within 1m", ""]
        );
    }

    #[test]
    fn weeks_are_iso_weeks_across_years_and_before_the_epoch() {
        for (a, b, same) in [
            ("2026-12-28T00:00:00Z", "2027-01-03T23:59:59Z", true),
            ("2027-01-03T23:59:59Z", "2027-01-04T00:00:00Z", false),
            ("1969-12-29T00:00:00Z", "1970-01-04T23:59:59Z", true),
            ("1969-12-28T23:59:59Z", "1969-12-29T00:00:00Z", false),
        ] {
            let [a, b] = times(&[a, b])[..] else {
                unreachable!()
            };
            assert_eq!(Unit::Week.number(a) == Unit::Week.number(b), same);
        }
    }

    #[test]
    fn counts_are_read_as_restic_reads_them_and_an_empty_policy_is_known() {
        assert_eq!("7".parse::<Keep>().unwrap(), Keep::Count(7));
        for all in ["unlimited", "-1"] {
            assert_eq!(all.parse::<Keep>().unwrap(), Keep::Unlimited);
        }
        for bad in ["", "-2", "many", "1.5"] {
            assert!(bad.parse::<Keep>().is_err(), "{bad}");
        }
        let empty = Policy {
            daily: Keep::Count(0),
            ..Policy::default()
        };
        assert!(empty.is_empty());
        assert_eq!(reasons(&empty, &["2026-11-24T14:00:00Z"]), [""]);
    }
}
