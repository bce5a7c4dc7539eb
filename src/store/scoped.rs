//! The objects of a store below one prefix, as a store of their own.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use super::{
    Leftover, Lock, Locks, ObjectHistory, ObjectName, PendingObject, ReadStore, Store, StoredForm,
    TrafficCounts, Version, Versions,
};
use crate::error::{Error, Result};

/// What lies below a prefix, under names without it; beside some names that mean the same in all
/// such stores over one place.
#[derive(Debug)]
pub struct ScopedStore {
    inner: Arc<dyn Store>,
    /// Ends in `/`.
    prefix: String,
    /// How names begin that are passed on as they are.
    shared: &'static [&'static str],
}

impl ScopedStore {
    /// What lies in `inner` below `dir`. Names that begin like one of `shared` are those of
    /// `inner`; none of `shared` begins another one.
    pub fn new(inner: Arc<dyn Store>, dir: &ObjectName, shared: &'static [&'static str]) -> Self {
        ScopedStore {
            inner,
            prefix: format!("{dir}/"),
            shared,
        }
    }

    fn is_shared(&self, name: &str) -> bool {
        self.shared.iter().any(|shared| name.starts_with(shared))
    }

    /// What `name` is called in the whole store.
    ///
    /// # Errors
    ///
    /// `Invalid`, when that is too long a name.
    pub fn outer(&self, name: &ObjectName) -> Result<ObjectName> {
        if self.is_shared(name.as_str()) {
            return Ok(name.clone());
        }
        ObjectName::new(format!("{}{name}", self.prefix))
    }

    /// The name without the prefix; `None` of what lies elsewhere.
    fn own(&self, outer: &ObjectName) -> Option<ObjectName> {
        if self.is_shared(outer.as_str()) {
            return Some(outer.clone());
        }
        ObjectName::new(outer.as_str().strip_prefix(&self.prefix)?).ok()
    }

    /// The prefixes of the whole store that stand for `prefix`.
    fn prefixes(&self, prefix: &str) -> Vec<String> {
        if self.is_shared(prefix) {
            return vec![prefix.to_owned()];
        }
        let shared = self.shared.iter();
        let shared = shared.filter(|shared| shared.starts_with(prefix));
        let own = format!("{}{prefix}", self.prefix);
        shared.map(ToString::to_string).chain([own]).collect()
    }

    /// What `inner` calls so, under names of this one.
    fn owned<T>(
        &self,
        of_inner: impl IntoIterator<Item = (ObjectName, T)>,
    ) -> Vec<(ObjectName, T)> {
        let of_inner = of_inner.into_iter();
        let own = of_inner.filter_map(|(name, value)| Some((self.own(&name)?, value)));
        own.collect()
    }

    fn inner_locks(&self) -> Result<&dyn Locks> {
        let locks = self.inner.locks();
        locks.ok_or_else(|| Error::unsupported("expected a store with locks"))
    }
}

impl ReadStore for ScopedStore {
    fn get(&self, name: &ObjectName, max_bytes: u64) -> Result<Vec<u8>> {
        self.inner.get(&self.outer(name)?, max_bytes)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>> {
        self.inner.get_range(&self.outer(name)?, range)
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        self.inner.size(&self.outer(name)?)
    }

    fn stored_size(&self, name: &ObjectName) -> Result<u64> {
        self.inner.stored_size(&self.outer(name)?)
    }

    fn size_of_listed(&self, name: &ObjectName, listed: u64) -> Result<u64> {
        self.inner.size_of_listed(&self.outer(name)?, listed)
    }

    fn stored_form(&self, name: &ObjectName) -> Result<Option<StoredForm>> {
        self.inner.stored_form(&self.outer(name)?)
    }

    fn list(&self, prefix: &str) -> Result<Vec<(ObjectName, u64)>> {
        self.list_many(&[prefix])
    }

    fn list_many(&self, prefixes: &[&str]) -> Result<Vec<(ObjectName, u64)>> {
        let outer: Vec<_> = prefixes.iter().flat_map(|it| self.prefixes(it)).collect();
        let (shared, own): (Vec<_>, Vec<_>) = outer
            .iter()
            .map(String::as_str)
            .partition(|prefix| self.is_shared(prefix));
        let mut listed = Vec::new();
        // Together they would be looked for in all of the store.
        for one in shared {
            listed.append(&mut self.inner.list(one)?);
        }
        if !own.is_empty() {
            listed.append(&mut self.inner.list_many(&own)?);
        }
        let mut listed = self.owned(listed);
        listed.sort_unstable();
        Ok(listed)
    }

    fn dirs(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.dirs(&format!("{}{prefix}", self.prefix))
    }

    fn arrivals(&self, prefix: &str) -> Result<BTreeMap<ObjectName, SystemTime>> {
        let mut arrivals = BTreeMap::new();
        for one in self.prefixes(prefix) {
            arrivals.extend(self.owned(self.inner.arrivals(&one)?));
        }
        Ok(arrivals)
    }

    fn describe(&self) -> String {
        let dir = self.prefix.trim_end_matches('/');
        format!("{}/{dir}", self.inner.describe().trim_end_matches('/'))
    }

    fn expect(&self, objects: &[(ObjectName, u64)]) {
        let outer = objects
            .iter()
            .filter_map(|(name, bytes)| Some((self.outer(name).ok()?, *bytes)));
        self.inner.expect(&outer.collect::<Vec<_>>());
    }

    fn is_far(&self) -> bool {
        self.inner.is_far()
    }

    fn traffic(&self) -> Option<TrafficCounts> {
        self.inner.traffic()
    }

    fn history(&self) -> Option<&dyn ObjectHistory> {
        self.inner.history().map(|_| self as &dyn ObjectHistory)
    }
}

impl Store for ScopedStore {
    fn create(&self, name: &ObjectName) -> Result<Box<dyn PendingObject>> {
        self.inner.create(&self.outer(name)?)
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        self.inner.delete(&self.outer(name)?)
    }

    fn settle(&self, name: &ObjectName) -> Result<()> {
        self.inner.settle(&self.outer(name)?)
    }

    /// What was begun lies in the whole store: it is not known for which of its parts.
    fn leftovers(&self, prefix: &str) -> Result<Vec<Leftover>> {
        let found = self.inner.leftovers(&format!("{}{prefix}", self.prefix))?;
        let own = found.into_iter().filter_map(|leftover| {
            let name = leftover.name.strip_prefix(&self.prefix)?.to_owned();
            Some(Leftover { name, ..leftover })
        });
        Ok(own.collect())
    }

    fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        self.inner.remove_leftover(&Leftover {
            name: format!("{}{}", self.prefix, leftover.name),
            ..leftover.clone()
        })
    }

    fn is_vacant(&self) -> Result<bool> {
        Ok(self.list("")?.is_empty() && self.leftovers("")?.is_empty())
    }

    fn is_create_only(&self) -> Result<bool> {
        self.inner.is_create_only()
    }

    fn try_create_only(&self) -> Result<bool> {
        self.inner.try_create_only()
    }

    fn locks(&self) -> Option<&dyn Locks> {
        self.inner.locks().map(|_| self as &dyn Locks)
    }
}

impl ObjectHistory for ScopedStore {
    fn keeps_versions(&self) -> bool {
        let history = self.inner.history();
        history.is_some_and(ObjectHistory::keeps_versions)
    }

    fn versions(&self, prefix: &str) -> Result<Versions> {
        let mut versions = Versions::new();
        if let Some(history) = self.inner.history() {
            for one in self.prefixes(prefix) {
                versions.extend(self.owned(history.versions(&one)?));
            }
        }
        Ok(versions)
    }

    fn read_version(&self, name: &ObjectName, version: Option<&Version>) {
        if let (Some(history), Ok(outer)) = (self.inner.history(), self.outer(name)) {
            history.read_version(&outer, version);
        }
    }

    fn version_read(&self, name: &ObjectName) -> Option<Version> {
        self.inner.history()?.version_read(&self.outer(name).ok()?)
    }
}

impl Locks for ScopedStore {
    fn can_lock(&self) -> Result<bool> {
        self.inner_locks()?.can_lock()
    }

    fn lock_of(&self, name: &ObjectName) -> Result<Option<Lock>> {
        self.inner_locks()?.lock_of(&self.outer(name)?)
    }

    fn lock(&self, name: &ObjectName, lock: Lock) -> Result<()> {
        self.inner_locks()?.lock(&self.outer(name)?, lock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MemoryStore, contract};

    fn name(text: &str) -> ObjectName {
        ObjectName::new(text).unwrap()
    }

    #[test]
    fn it_keeps_what_every_store_promises() {
        let scoped = || {
            let inner: Arc<dyn Store> = Arc::new(MemoryStore::new());
            ScopedStore::new(inner, &name("sources/a"), &["keys/"])
        };
        for clause in contract::CLAUSES {
            (clause.holds)(&scoped());
        }
    }

    #[test]
    fn what_is_shared_is_seen_in_each_and_nothing_else_is() {
        let inner: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let of = |dir: &str| ScopedStore::new(Arc::clone(&inner), &name(dir), &["keys/", "top"]);
        let (a, b) = (of("sources/a"), of("sources/b"));
        let (a, b): (&dyn Store, &dyn Store) = (&a, &b);
        for (store, text) in [(a, "wal/1"), (b, "wal/2"), (a, "keys/1"), (b, "top.json")] {
            store.put(&name(text), b"some").unwrap();
        }
        let names = |store: &dyn Store, prefix: &str| {
            let listed = store.list(prefix).unwrap().into_iter();
            listed.map(|(name, _)| name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(a, ""), ["keys/1", "top.json", "wal/1"]);
        assert_eq!(names(b, ""), ["keys/1", "top.json", "wal/2"]);
        assert_eq!(names(a, "keys/"), ["keys/1"]);
        assert_eq!(names(a, "wal/"), ["wal/1"]);
        let all = ["keys/1", "sources/a/wal/1", "sources/b/wal/2", "top.json"];
        assert_eq!(names(&*inner, ""), all);
        assert_eq!(inner.dirs("sources/").unwrap(), ["a", "b"]);
        assert_eq!(inner.dirs("").unwrap(), ["keys", "sources"]);
        a.delete(&name("keys/1")).unwrap();
        assert!(b.get(&name("keys/1"), 10).is_err());
        assert!(b.get(&name("wal/1"), 10).is_err());
    }
}
