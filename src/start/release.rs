//! Releases of Prometheus, and what each can read.

use std::fmt;
use std::str::FromStr;

use crate::chunk::Encoding;
use crate::error::Error;
use crate::wal::{Compression, RecordType};

/// A release of Prometheus, as far as it matters: patch releases read what the first of them reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    /// The number before the point.
    pub major: u32,
    /// The number behind it.
    pub minor: u32,
}

impl Release {
    /// The newest release that was looked at.
    pub const NEWEST: Release = Release::new(3, 16);
    /// The newest release whose starts were observed: what is said of the newest anywhere, is said
    /// of this one.
    pub const OBSERVED: Release = Release::new(3, 16);
    /// The oldest release that was looked at.
    pub const OLDEST: Release = Release::new(2, 42);
    /// The first that deletes blocks exactly at the boundary of their retention, not only beyond
    /// it.
    pub(super) const RETENTION_AT_BOUNDARY: Release = Release::new(2, 52);
    /// The first that removes chunk snapshots that were never finished.
    pub(super) const SNAPSHOT_LEFTOVERS: Release = Release::new(2, 47);
    /// The first whose head does not take blocks of selected series for all that was stored of
    /// their time.
    pub(super) const SELECTED_SERIES: Release = Release::new(3, 14);
    /// The first that knows stale series: it does not take their blocks for all that was stored of
    /// their time, nor the deletion of one for that of all that comes later of the same labels.
    pub(super) const STALE_SERIES: Release = Release::new(3, 10);
    /// The first that goes by the last fragment of a record where they disagree about its
    /// compression.
    pub(super) const LAST_FRAGMENT: Release = Release::new(3, 4);
    /// The first that takes samples for stored of which a checkpoint says so.
    pub(super) const MIN_VALID_TIME: Release = Release::new(3, 16);

    /// Release `major.minor`.
    pub const fn new(major: u32, minor: u32) -> Self {
        Release { major, minor }
    }

    /// The first release that reads chunks of that encoding; nothing for encodings that none reads.
    pub fn reading_chunks(encoding: Encoding) -> Option<Self> {
        let (major, minor) = encoding.since()?;
        Some(Self::new(major, minor))
    }

    /// The first release that replays records of that type; older ones pass over them without a
    /// word.
    pub fn replaying(kind: RecordType) -> Self {
        match kind as u8 {
            ..=8 => Self::new(2, 42),
            9 | 10 => Self::new(3, 2),
            11 => Self::new(3, 11),
            12 | 13 => Self::new(3, 12),
            _ => Self::new(3, 16),
        }
    }

    /// The first release that reads records so compressed; older ones take the compressed bytes for
    /// the record.
    pub fn decompressing(compression: Compression) -> Self {
        match compression {
            Compression::Zstd => Self::new(2, 46),
            Compression::None | Compression::Snappy => Self::new(2, 11),
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Release {
    type Err = Error;

    /// Reads `2.42`, `v3.16.0` and the like.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::invalid(format!(
                "expected a release of Prometheus such as {} or {}.0, found {text:?}",
                Self::OLDEST,
                Self::NEWEST
            ))
        };
        let mut parts = text.strip_prefix('v').unwrap_or(text).split('.');
        let mut number = || {
            let part = parts
                .next()
                .filter(|part| part.bytes().all(|b| b.is_ascii_digit()));
            part.and_then(|part| part.parse().ok()).ok_or_else(wrong)
        };
        let release = Self::new(number()?, number()?);
        if parts.count() > 1 {
            return Err(wrong());
        }
        if release < Self::OLDEST {
            return Err(Error::invalid(format!(
                "expected Prometheus {} or later, found {text:?}: what older releases do was not looked at",
                Self::OLDEST
            )));
        }
        Ok(release)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_as_people_write_them() {
        for (text, release) in [
            ("2.42", Release::OLDEST),
            ("v3.16.0", Release::NEWEST),
            ("4.0", Release::new(4, 0)),
        ] {
            assert_eq!(text.parse::<Release>().unwrap(), release, "{text}");
        }
        for bad in [
            "", "3", "3.x", "three.1", "2.41", "3.16.0.1", "3.-1", "+3.1",
        ] {
            assert!(bad.parse::<Release>().is_err(), "{bad}");
        }
        assert!(Release::new(2, 53) < Release::new(3, 0));
    }

    #[test]
    fn the_newest_release_reads_all_that_is_known() {
        assert!(Release::OBSERVED <= Release::NEWEST);
        for encoding in Encoding::decodable() {
            assert!(
                Release::reading_chunks(encoding).is_some_and(|since| since <= Release::NEWEST)
            );
        }
        for kind in RecordType::ALL {
            assert!(Release::replaying(kind) <= Release::NEWEST, "{kind:?}");
        }
    }
}
