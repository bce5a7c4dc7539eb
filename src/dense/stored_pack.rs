//! A pack where it is stored.

use crate::error::{Error, Result};
use crate::pack::PackBytes;
use crate::repository::StoredObject;
use crate::store::{ObjectName, Store};

/// A pack in a store.
#[derive(Debug)]
pub struct StoredPack<'s> {
    store: &'s dyn Store,
    name: &'s ObjectName,
    bytes: u64,
}

impl<'s> StoredPack<'s> {
    /// The pack that a manifest describes.
    pub fn of(store: &'s dyn Store, object: &'s StoredObject) -> Self {
        StoredPack::new(store, &object.name, object.bytes)
    }

    /// The pack `name`, of so many bytes.
    pub fn new(store: &'s dyn Store, name: &'s ObjectName, bytes: u64) -> Self {
        StoredPack { store, name, bytes }
    }
}

impl PackBytes for StoredPack<'_> {
    fn length(&self) -> u64 {
        self.bytes
    }

    fn describe(&self) -> String {
        format!("object {}", self.name)
    }

    fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>> {
        let end = offset.checked_add(length).filter(|end| *end <= self.bytes);
        let end = end.ok_or_else(|| Error::corrupt("expected more bytes of a pack"))?;
        self.store.get_range(self.name, offset..end)
    }
}
