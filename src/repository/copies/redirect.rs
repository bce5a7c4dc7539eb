//! A store in which some names stand for other objects.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::SystemTime;

use super::Place;
use crate::error::Result;
use crate::store::{
    Leftover, Locks, ObjectHistory, ObjectName, PendingObject, ReadStore, Store, StoredForm,
    TrafficCounts, beyond_end,
};

/// Reads some objects in other [`Place`]s than their own. It is for reading: whatever writes goes
/// to the names as they are.
#[derive(Debug)]
pub struct Redirected<'s> {
    store: &'s dyn Store,
    places: BTreeMap<ObjectName, Place>,
}

impl<'s> Redirected<'s> {
    /// `store`, with nothing redirected.
    pub fn new(store: &'s dyn Store) -> Self {
        Redirected {
            store,
            places: BTreeMap::new(),
        }
    }

    /// Reads `name` in `place` from here on.
    pub fn redirect(&mut self, name: &ObjectName, place: Place) {
        self.places.insert(name.clone(), place);
    }
}

impl ReadStore for Redirected<'_> {
    fn get(&self, name: &ObjectName, max_bytes: u64) -> Result<Vec<u8>> {
        match self.places.get(name) {
            Some(place) if place.bytes <= max_bytes => {
                self.store.get_range(&place.name, 0..place.bytes)
            }
            Some(place) => self.store.get(&place.name, max_bytes),
            None => self.store.get(name, max_bytes),
        }
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>> {
        match self.places.get(name) {
            Some(place) if range.end <= place.bytes => self.store.get_range(&place.name, range),
            Some(place) => Err(beyond_end(&place.name, place.bytes, &range)),
            None => self.store.get_range(name, range),
        }
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        match self.places.get(name) {
            Some(place) => Ok(place.bytes),
            None => self.store.size(name),
        }
    }

    fn stored_size(&self, name: &ObjectName) -> Result<u64> {
        let place = self.places.get(name);
        self.store
            .stored_size(place.map_or(name, |place| &place.name))
    }

    fn arrivals(&self, prefix: &str) -> Result<BTreeMap<ObjectName, SystemTime>> {
        self.store.arrivals(prefix)
    }

    fn size_of_listed(&self, name: &ObjectName, listed: u64) -> Result<u64> {
        match self.places.get(name) {
            Some(place) => Ok(place.bytes),
            None => self.store.size_of_listed(name, listed),
        }
    }

    fn stored_form(&self, name: &ObjectName) -> Result<Option<StoredForm>> {
        match self.places.get(name) {
            Some(place) => self.store.stored_form(&place.name),
            None => self.store.stored_form(name),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<(ObjectName, u64)>> {
        self.store.list(prefix)
    }

    fn expect(&self, objects: &[(ObjectName, u64)]) {
        self.store.expect(objects);
    }

    fn is_far(&self) -> bool {
        self.store.is_far()
    }

    fn traffic(&self) -> Option<TrafficCounts> {
        self.store.traffic()
    }

    fn history(&self) -> Option<&dyn ObjectHistory> {
        self.store.history()
    }

    fn describe(&self) -> String {
        self.store.describe()
    }
}

impl Store for Redirected<'_> {
    fn create(&self, name: &ObjectName) -> Result<Box<dyn PendingObject>> {
        self.store.create(name)
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        self.store.delete(name)
    }

    fn settle(&self, name: &ObjectName) -> Result<()> {
        self.store.settle(name)
    }

    fn leftovers(&self, prefix: &str) -> Result<Vec<Leftover>> {
        self.store.leftovers(prefix)
    }

    fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        self.store.remove_leftover(leftover)
    }

    fn is_create_only(&self) -> Result<bool> {
        self.store.is_create_only()
    }

    fn try_create_only(&self) -> Result<bool> {
        self.store.try_create_only()
    }

    fn locks(&self) -> Option<&dyn Locks> {
        self.store.locks()
    }

    fn is_vacant(&self) -> Result<bool> {
        self.store.is_vacant()
    }
}
