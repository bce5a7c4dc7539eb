//! Which archives are copied.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Millis, TimeRange};
use crate::repository::{Ahead, Archive, Archives, Damaged, Repository, Server, SourceFilter};
use crate::retain::{Decision, Leave, Policy, by_policy};

/// Which archives are meant: those that fit all that is said. Nothing said means every one.
#[derive(Clone, Debug, Default)]
pub struct CopyChoice {
    /// Beginnings of ids, or `latest`.
    pub ids: Vec<String>,
    /// What they are of.
    pub filter: SourceFilter,
    /// When they were made.
    pub made: Option<TimeRange>,
    /// Those that this policy keeps, of every server by itself.
    pub policy: Option<Policy>,
    /// Those that are later than all that the repository copied to has of the same server.
    pub only_behind: bool,
}

/// The archives that are meant.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// Oldest first.
    pub(super) archives: Vec<Archive>,
    /// Manifests that cannot be read, and may be meant.
    pub(super) damaged: Vec<Damaged>,
    /// What is to be said of the choice.
    pub(super) remarks: Vec<String>,
}

impl CopyChoice {
    /// The archives of `from` that are meant at `now`; `has` are those that are there already.
    ///
    /// # Errors
    ///
    /// `NotFound` when it is none: who copies nothing must not take that for a copy.
    pub(super) fn of(
        &self,
        from: &Repository,
        all: Archives,
        has: &[&Archive],
        now: Millis,
    ) -> Result<Chosen> {
        let Archives { archives, damaged } = all;
        if !self.ids.is_empty() {
            return self.by_ids(from, now);
        }
        if archives.is_empty() && damaged.is_empty() {
            let place = from.store().describe();
            let why = from
                .bereft()?
                .map_or(String::new(), |why| format!(": {why}"));
            return Err(Error::not_found(format!(
                "there is no archive in {place} that could be copied{why}"
            )));
        }
        let mut archives = match self.filter.choose(archives) {
            // One that cannot be read may be the one that is meant.
            Err(none) if none.kind() == ErrorKind::NotFound && !damaged.is_empty() => Vec::new(),
            chosen => chosen?,
        };
        if let Some(made) = self.made {
            archives.retain(|archive| made.since <= archive.time && archive.time < made.until);
        }
        if let Some(policy) = &self.policy {
            let made = by_policy(archives, policy, Leave::default(), &BTreeMap::new(), now);
            let kept = made.into_iter().filter(Decision::is_kept);
            archives = kept.map(|made| made.archive).collect();
        }
        if self.only_behind {
            archives.retain(|archive| is_behind(archive, has, now));
        }
        archives.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
        if archives.is_empty() && damaged.is_empty() && !self.only_behind {
            return Err(Error::not_found(
                "no archive was made in the time that was asked for: narthex archives lists them",
            ));
        }
        Ok(Chosen {
            archives,
            damaged,
            remarks: Vec::new(),
        })
    }

    fn by_ids(&self, from: &Repository, now: Millis) -> Result<Chosen> {
        let mut chosen = Chosen::default();
        let mut seen = BTreeSet::new();
        for selector in &self.ids {
            let found = from.find(selector, &self.filter, now)?;
            chosen.remarks.extend(found.remarks());
            if seen.insert(found.archive.id.clone()) {
                chosen.archives.push(found.archive);
            }
        }
        let archives = &mut chosen.archives;
        archives.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
        Ok(chosen)
    }
}

/// Whether `archive` is later than all that are there of its server. What lies in the future counts
/// for nothing.
fn is_behind(archive: &Archive, has: &[&Archive], now: Millis) -> bool {
    let server = Server::of(archive);
    let own = has.iter().filter(|other| Server::of(other) == server);
    let real = own.filter(|other| Ahead::of(other, now).is_none());
    real.map(|other| other.time)
        .max()
        .is_none_or(|newest| archive.time > newest)
}
