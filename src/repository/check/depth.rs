//! How much of a repository to prove.

use crate::model::now;
use crate::repository::Digest;
use crate::store::ObjectName;

/// How many of the bytes to prove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckDepth {
    /// None of them: structure only.
    #[default]
    Structure,
    /// All of them.
    ReadAll,
    /// Those of a share of the objects.
    ReadShare(CheckShare),
}

impl CheckDepth {
    /// Whether the bytes of the object `name` are among them.
    pub(super) fn includes(self, name: &ObjectName) -> bool {
        match self {
            CheckDepth::Structure => false,
            CheckDepth::ReadAll => true,
            CheckDepth::ReadShare(share) => share.includes(name),
        }
    }
}

/// A share of the objects, of about so many percent, which moves on every day: so many percent a
/// night have proved all objects after 100 divided by so many nights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckShare {
    percent: u8,
    day: u64,
}

impl CheckShare {
    /// `percent` (at most 100) on the `day`th day since the epoch.
    pub fn new(percent: u8, day: u64) -> Self {
        CheckShare {
            percent: percent.min(100),
            day,
        }
    }

    /// `percent` today.
    pub fn today(percent: u8) -> Self {
        let since = u64::try_from(now()).unwrap_or(0);
        Self::new(percent, since / 86_400_000)
    }

    /// Objects stand on a circle of 10,000 places by the digest of their name; the share is an arc.
    pub(super) fn includes(self, name: &ObjectName) -> bool {
        const CIRCLE: u64 = 10_000;
        let [high, low, ..] = *Digest::of(name.as_str().as_bytes()).as_bytes();
        let place = (u64::from(u16::from_be_bytes([high, low])) * CIRCLE) >> 16;
        let arc = u64::from(self.percent) * CIRCLE / 100;
        let begin = self.day % CIRCLE * arc % CIRCLE;
        (place + CIRCLE - begin) % CIRCLE < arc
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_a_night_has_seen_every_object_after_so_many_nights() {
        let names: Vec<_> = (0..1000)
            .map(|i| ObjectName::new(format!("blocks/{i}")).unwrap())
            .collect();
        for percent in [1, 7, 15, 50, 100] {
            let nights = 100_u64.div_ceil(percent.into());
            let seen = |name| {
                (20_000..20_000 + nights).any(|day| CheckShare::new(percent, day).includes(name))
            };
            assert!(names.iter().all(seen), "{percent} %");
            let first = names
                .iter()
                .filter(|name| CheckShare::new(percent, 20_000).includes(name))
                .count();
            let fair = usize::from(percent) * 10;
            assert!(first.abs_diff(fair) <= 50, "{percent} %: {first} of 1000");
        }
    }
}
