//! A store that can only be read, in the place of one that can be written.

use super::{
    Leftover, ObjectHistory, ObjectName, PendingObject, ReadStore, Store, StoredForm,
    TrafficCounts, no_leftover,
};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::SystemTime;

/// A [`ReadStore`] as a [`Store`] that refuses to change anything. What a dead run left there is
/// not listed: nobody could remove it.
#[derive(Clone, Debug)]
pub struct ReadOnly<S>(pub S);

impl<S: ReadStore> ReadOnly<S> {
    fn refused(&self, what: &str) -> Error {
        Error::refused(format!(
            "cannot {what}: {} can only be read",
            self.0.describe()
        ))
    }
}

impl<S: ReadStore> ReadStore for ReadOnly<S> {
    fn get(&self, name: &ObjectName, max_bytes: u64) -> Result<Vec<u8>> {
        self.0.get(name, max_bytes)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>> {
        self.0.get_range(name, range)
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        self.0.size(name)
    }

    fn arrivals(&self, prefix: &str) -> Result<BTreeMap<ObjectName, SystemTime>> {
        self.0.arrivals(prefix)
    }

    fn size_of_listed(&self, name: &ObjectName, listed: u64) -> Result<u64> {
        self.0.size_of_listed(name, listed)
    }

    fn stored_form(&self, name: &ObjectName) -> Result<Option<StoredForm>> {
        self.0.stored_form(name)
    }

    fn stored_size(&self, name: &ObjectName) -> Result<u64> {
        self.0.stored_size(name)
    }

    fn list(&self, prefix: &str) -> Result<Vec<(ObjectName, u64)>> {
        self.0.list(prefix)
    }

    fn list_many(&self, prefixes: &[&str]) -> Result<Vec<(ObjectName, u64)>> {
        self.0.list_many(prefixes)
    }

    fn dirs(&self, prefix: &str) -> Result<Vec<String>> {
        self.0.dirs(prefix)
    }

    fn describe(&self) -> String {
        self.0.describe()
    }

    fn expect(&self, objects: &[(ObjectName, u64)]) {
        self.0.expect(objects);
    }

    fn is_far(&self) -> bool {
        self.0.is_far()
    }

    fn traffic(&self) -> Option<TrafficCounts> {
        self.0.traffic()
    }

    fn history(&self) -> Option<&dyn ObjectHistory> {
        self.0.history()
    }
}

impl<S: ReadStore> Store for ReadOnly<S> {
    fn create(&self, name: &ObjectName) -> Result<Box<dyn PendingObject>> {
        Err(self.refused(&format!("write object {name}")))
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        self.size(name)?;
        Err(self.refused(&format!("delete object {name}")))
    }

    /// Whoever has published it must have made it durable: nothing more can be done here.
    fn settle(&self, name: &ObjectName) -> Result<()> {
        self.size(name).map(|_| ())
    }

    fn leftovers(&self, _: &str) -> Result<Vec<Leftover>> {
        Ok(Vec::new())
    }

    fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        Err(no_leftover(leftover))
    }

    fn is_create_only(&self) -> Result<bool> {
        Ok(true)
    }

    fn try_create_only(&self) -> Result<bool> {
        Ok(true)
    }

    fn is_vacant(&self) -> Result<bool> {
        Ok(self.list("")?.is_empty())
    }
}
