//! A claim that comes before the first look.
//!
//! In most nights an archive names what the one before it named. Whoever knows from the last run
//! what that was claims it first and looks then: at what a prune is deleting, and at all that is
//! there. A look after a claim is what a [commit](super::commit) needs before it publishes a
//! manifest, and the run needs one at its beginning anyhow: so it takes one look, and not two. An
//! archive that names anything else is committed as ever.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::claim::Claim;
use super::lease::TRUST;
use super::trash::Trash;
use super::{ArchiveId, Repository, StoredObject};
use crate::error::Result;
use crate::model::Millis;
use crate::store::ObjectName;

/// A claim that was published, and what was seen after that.
pub(crate) struct EarlyClaim<'r> {
    repository: &'r Repository,
    name: ObjectName,
    claimed: BTreeSet<ObjectName>,
    begun: Instant,
    trash: Trash,
    seen: Vec<(ObjectName, u64)>,
    /// Whether somebody else answers for taking it back.
    is_taken: bool,
}

impl<'r> EarlyClaim<'r> {
    /// Claims `objects` at `now`, and looks.
    ///
    /// # Errors
    ///
    /// When the repository fails.
    pub(crate) fn publish(
        repository: &'r Repository,
        objects: BTreeSet<ObjectName>,
        now: Millis,
    ) -> Result<Self> {
        let begun = Instant::now();
        let id = ArchiveId::random();
        let name = Claim::publish(repository.store(), &id, objects.clone(), now)?;
        let mut early = EarlyClaim {
            repository,
            name,
            claimed: objects,
            begun,
            trash: Trash::default(),
            seen: Vec::new(),
            is_taken: false,
        };
        // In this order, and by two looks: what a prune deletes after the first has a warrant
        // there.
        early.trash = Trash::list(repository.store())?;
        early.seen = repository.look()?;
        Ok(early)
    }

    /// What was seen after the claim: what [`Repository::look`] gives.
    pub(crate) fn seen(&self) -> &[(ObjectName, u64)] {
        &self.seen
    }

    /// Whether all of `objects`, and of those that are `also` named, was claimed, and nothing
    /// stands in the way of naming it. `objects` that are not published yet are in `unpublished`:
    /// they are claimed, and need not be there.
    pub(crate) fn proves<'a>(
        &self,
        objects: impl IntoIterator<Item = &'a StoredObject>,
        also: &BTreeSet<ObjectName>,
        unpublished: &BTreeSet<&ObjectName>,
    ) -> bool {
        let seen = self.seen.iter().map(|(name, bytes)| (name, bytes));
        let seen: BTreeMap<_, _> = seen.collect();
        let is_there = |name: &ObjectName, bytes: Option<u64>| {
            let listed = seen.get(name);
            listed.is_some_and(|listed| bytes.is_none_or(|bytes| bytes == **listed))
        };
        let is_proved = |name: &ObjectName, bytes: Option<u64>| {
            self.claimed.contains(name)
                && !self.trash.is_condemned(name)
                && (unpublished.contains(name) || is_there(name, bytes))
        };
        let mut objects = objects.into_iter();
        self.begun.elapsed() < Duration::from_millis(TRUST.unsigned_abs())
            && objects.all(|object| is_proved(&object.name, Some(object.listed_bytes())))
            && also.iter().all(|name| is_proved(name, None))
    }

    /// Takes the marks off all that was claimed. The claim is the caller's from now on: its name,
    /// and when it was made.
    pub(crate) fn take(mut self) -> (ObjectName, Instant) {
        for name in &self.claimed {
            // Nothing rests on it: a mark that stays on is taken off by the next prune.
            let _ = self.trash.unmark(self.repository.store(), name);
        }
        self.is_taken = true;
        (self.name.clone(), self.begun)
    }
}

impl Drop for EarlyClaim<'_> {
    fn drop(&mut self) {
        if !self.is_taken {
            // One that cannot be removed expires.
            let _ = self.repository.store().delete(&self.name);
        }
    }
}
