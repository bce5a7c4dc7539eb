//! Which series and which time a command is asked for.

use crate::error::{Error, Result};
use crate::model::{Millis, TimeRange, now};
use crate::select::{Selection, Selector};
use crate::units::parse_time;

/// The samples that a command looks at.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SelectionArgs {
    /// Series, as a PromQL selector; may be repeated [default: all]
    #[arg(
        short,
        long = "match",
        value_name = "SELECTOR",
        help_heading = "Selection"
    )]
    pub(crate) matches: Vec<Selector>,
    /// Only time from here on [e.g. 2026-11-21T19:00:00Z, "2026-11-21 19:00" (UTC, as everything
    /// without a zone), 1795288080, 30d (ago)]
    #[arg(
        long,
        value_name = "TIME",
        allow_hyphen_values = true,
        help_heading = "Selection"
    )]
    since: Option<String>,
    /// Only time before this, which is not included
    #[arg(
        long,
        value_name = "TIME",
        allow_hyphen_values = true,
        help_heading = "Selection"
    )]
    until: Option<String>,
}

impl SelectionArgs {
    /// What is asked for.
    ///
    /// # Errors
    ///
    /// When a time cannot be read, or none lies between the two.
    pub(crate) fn selection(&self) -> Result<Selection> {
        Ok(Selection {
            selectors: self.matches.clone(),
            range: self.range()?.unwrap_or_default(),
        })
    }

    /// The time that is asked for, if any is.
    pub(crate) fn range(&self) -> Result<Option<TimeRange>> {
        time_range(self.since.as_deref(), self.until.as_deref())
    }

    /// Whether nothing is said.
    pub(crate) fn is_everything(&self) -> bool {
        self.matches.is_empty() && self.since.is_none() && self.until.is_none()
    }
}

/// The time that is typed, if any is.
///
/// # Errors
///
/// When a time cannot be read, or none lies between the two.
pub(crate) fn time_range(since: Option<&str>, until: Option<&str>) -> Result<Option<TimeRange>> {
    if since.is_none() && until.is_none() {
        return Ok(None);
    }
    let now = now();
    let time =
        |text: Option<&str>, open: Millis| text.map_or(Ok(open), |text| parse_time(text, now));
    let range = TimeRange {
        since: time(since, Millis::MIN)?,
        until: time(until, Millis::MAX)?,
    };
    if range.is_empty() {
        return Err(Error::invalid(
            "expected --since before --until (which is not included), found it at the same time or after",
        ));
    }
    Ok(Some(range))
}
