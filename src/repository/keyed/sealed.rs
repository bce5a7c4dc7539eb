//! What lies there, for those who prove it without a key: encrypted objects as they are, and of
//! manifests the covers that count.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::SystemTime;

use super::{KeyedStore, is_manifest};
use crate::error::Result;
use crate::store::{Leftover, ObjectName, PendingObject, ReadStore, Store};

/// A repository as those see it who have no key to read it: encrypted objects as they lie there,
/// and the covers of manifests that count.
#[derive(Debug)]
pub struct Sealed<'k>(pub &'k KeyedStore);

impl ReadStore for Sealed<'_> {
    fn get(&self, name: &ObjectName, max_bytes: u64) -> Result<Vec<u8>> {
        let stored = self.0.stored().get(name, max_bytes)?;
        if is_manifest(name) {
            self.0.covered_manifest(name, stored)
        } else {
            Ok(stored)
        }
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>> {
        self.0.stored().get_range(name, range)
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        self.0.stored().size(name)
    }

    fn list(&self, prefix: &str) -> Result<Vec<(ObjectName, u64)>> {
        self.0.stored().list(prefix)
    }

    fn list_many(&self, prefixes: &[&str]) -> Result<Vec<(ObjectName, u64)>> {
        self.0.stored().list_many(prefixes)
    }

    fn arrivals(&self, prefix: &str) -> Result<BTreeMap<ObjectName, SystemTime>> {
        self.0.stored().arrivals(prefix)
    }

    fn expect(&self, objects: &[(ObjectName, u64)]) {
        self.0.stored().expect(objects);
    }

    fn is_far(&self) -> bool {
        self.0.stored().is_far()
    }

    fn describe(&self) -> String {
        self.0.stored().describe()
    }
}

impl Store for Sealed<'_> {
    fn create(&self, name: &ObjectName) -> Result<Box<dyn PendingObject>> {
        self.0.stored().create(name)
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        self.0.stored().delete(name)
    }

    fn settle(&self, name: &ObjectName) -> Result<()> {
        self.0.stored().settle(name)
    }

    fn leftovers(&self, prefix: &str) -> Result<Vec<Leftover>> {
        self.0.stored().leftovers(prefix)
    }

    fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        self.0.stored().remove_leftover(leftover)
    }

    fn is_vacant(&self) -> Result<bool> {
        self.0.stored().is_vacant()
    }

    fn is_create_only(&self) -> Result<bool> {
        self.0.stored().is_create_only()
    }

    fn try_create_only(&self) -> Result<bool> {
        self.0.stored().try_create_only()
    }
}
