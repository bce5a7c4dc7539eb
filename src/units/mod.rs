//! Numbers, sizes, durations and times as people type and read them, in one place for each.
//!
//! The same letters mean different things to different programs, and each keeps its own: `m` is a
//! minute in a duration of Prometheus and a month in a [`CalendarSpan`] of restic; `y` is 365 days
//! in the first and a year of the calendar in the second; `GB` is a power of 1000 for a disk and of
//! 1024 for Prometheus.
//!
//! ```
//! use narthex::units::{bytes_text, duration_text, parse_duration, parse_time, time_text};
//!
//! assert_eq!(parse_duration("1h30m")?, 5_400_000);
//! assert_eq!(duration_text(5_400_000), "1h30m");
//! assert_eq!(bytes_text(1536), "1.5 KiB");
//! let time = parse_time("2026-11-22 01:57:00", 0)?;
//! assert_eq!(parse_time(&time_text(time), 0)?, time);
//! # Ok::<(), narthex::Error>(())
//! ```

mod calendar;
mod count;
mod duration;
mod size;
mod time;

pub use calendar::CalendarSpan;
pub use count::{count_text, decimal_text, percent, signed_count_text};
pub use duration::{
    coarse_duration_text, duration_text, parse_duration, resolution_text, whole_duration_text,
};
pub use size::{bytes_text, parse_disk_size, parse_rate, parse_retention_size};
pub use time::{parse_time, second_text, time_text};
