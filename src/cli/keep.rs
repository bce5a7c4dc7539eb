//! Words of a policy: which archives are wanted.

use crate::retain::{CalendarSpan, Keep, Policy};

/// The words, exactly as they were typed.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_field_names, reason = "options are called after fields")]
pub(crate) struct KeepArgs {
    /// Keep the N newest archives (a number, or `unlimited`)
    #[arg(
        short = 'l',
        long,
        value_name = "N",
        allow_hyphen_values = true,
        help_heading = "What is kept"
    )]
    keep_last: Option<Keep>,
    /// Keep the newest archive of each of the last N hours that have one
    #[arg(
        short = 'H',
        long,
        value_name = "N",
        allow_hyphen_values = true,
        help_heading = "What is kept"
    )]
    keep_hourly: Option<Keep>,
    /// Keep the newest archive of each of the last N days that have one
    #[arg(
        short = 'd',
        long,
        value_name = "N",
        allow_hyphen_values = true,
        help_heading = "What is kept"
    )]
    keep_daily: Option<Keep>,
    /// Keep the newest archive of each of the last N ISO weeks that have one
    #[arg(
        short = 'w',
        long,
        value_name = "N",
        allow_hyphen_values = true,
        help_heading = "What is kept"
    )]
    keep_weekly: Option<Keep>,
    /// Keep the newest archive of each of the last N months that have one
    #[arg(
        short = 'm',
        long,
        value_name = "N",
        allow_hyphen_values = true,
        help_heading = "What is kept"
    )]
    keep_monthly: Option<Keep>,
    /// Keep the newest archive of each of the last N years that have one
    #[arg(
        short = 'y',
        long,
        value_name = "N",
        allow_hyphen_values = true,
        help_heading = "What is kept"
    )]
    keep_yearly: Option<Keep>,
    /// Keep all archives that are at most so much older than the newest: 1y5m7d2h (here m is a
    /// month), also w
    #[arg(long, value_name = "SPAN", help_heading = "What is kept")]
    keep_within: Option<CalendarSpan>,
}

impl KeepArgs {
    /// The policy that they say; empty where none was.
    pub(crate) fn policy(&self) -> Policy {
        let or_none = Option::unwrap_or_default;
        Policy {
            last: or_none(self.keep_last),
            hourly: or_none(self.keep_hourly),
            daily: or_none(self.keep_daily),
            weekly: or_none(self.keep_weekly),
            monthly: or_none(self.keep_monthly),
            yearly: or_none(self.keep_yearly),
            within: self.keep_within.clone(),
        }
    }
}
