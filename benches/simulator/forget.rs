//! Which archives `forget --keep-daily 14 --keep-weekly 8 --keep-monthly 24` leaves.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use narthex::model::Millis;

const DAILY: usize = 14;
const WEEKLY: usize = 8;
const MONTHLY: usize = 24;

/// Positions, in `times` (ascending), of the archives that stay: the newest of each of the last
/// days, weeks and months that have one. Days begin at midnight UTC, weeks on Monday.
pub(crate) fn kept(times: &[Millis]) -> BTreeSet<usize> {
    let dates: Vec<Date> = times.iter().map(|time| date(*time)).collect();
    let mut kept = BTreeSet::new();
    keep(
        &dates,
        DAILY,
        |date| (date.year(), date.day_of_year()),
        &mut kept,
    );
    keep(
        &dates,
        WEEKLY,
        |date| {
            let week = date.iso_week_date();
            (week.year(), i16::from(week.week()))
        },
        &mut kept,
    );
    keep(
        &dates,
        MONTHLY,
        |date| (date.year(), i16::from(date.month())),
        &mut kept,
    );
    kept
}

fn keep(
    dates: &[Date],
    count: usize,
    period: impl Fn(&Date) -> (i16, i16),
    kept: &mut BTreeSet<usize>,
) {
    let mut seen = BTreeSet::new();
    for (position, date) in dates.iter().enumerate().rev() {
        if seen.insert(period(date)) {
            if seen.len() > count {
                break;
            }
            kept.insert(position);
        }
    }
}

fn date(time: Millis) -> Date {
    let time = Timestamp::from_millisecond(time).unwrap_or(Timestamp::UNIX_EPOCH);
    time.to_zoned(TimeZone::UTC).date()
}
