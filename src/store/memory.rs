//! A store in memory, for tests and for trying things out.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    Leftover, ObjectName, Origin, PendingObject, ReadStore, Store, beyond_end, name_taken,
    no_leftover, no_object, not_left_over, too_large,
};
use crate::error::Result;

type Objects = BTreeMap<ObjectName, Arc<[u8]>>;

/// Keeps objects for as long as it lives. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    objects: Arc<Mutex<Objects>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts `content` in place of whatever `name` was: the damage that tests do.
    pub fn overwrite(&self, name: &ObjectName, content: &[u8]) {
        self.lock().insert(name.clone(), content.into());
    }

    fn lock(&self) -> MutexGuard<'_, Objects> {
        lock(&self.objects)
    }

    fn object(&self, name: &ObjectName) -> Result<Arc<[u8]>> {
        self.lock()
            .get(name)
            .cloned()
            .ok_or_else(|| no_object(name))
    }
}

/// Every change is one call on the map, so a thread that panicked elsewhere has left it whole.
fn lock(objects: &Mutex<Objects>) -> MutexGuard<'_, Objects> {
    objects.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ReadStore for MemoryStore {
    fn get(&self, name: &ObjectName, max_bytes: u64) -> Result<Vec<u8>> {
        let object = self.object(name)?;
        match object.len() as u64 {
            bytes if bytes > max_bytes => Err(too_large(name, bytes, max_bytes)),
            _ => Ok(object.to_vec()),
        }
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>> {
        let object = self.object(name)?;
        let bounds = usize::try_from(range.start)
            .ok()
            .zip(usize::try_from(range.end).ok());
        bounds
            .and_then(|(start, end)| object.get(start..end))
            .map(<[u8]>::to_vec)
            .ok_or_else(|| beyond_end(name, object.len() as u64, &range))
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        self.object(name).map(|object| object.len() as u64)
    }

    fn list(&self, prefix: &str) -> Result<Vec<(ObjectName, u64)>> {
        let objects = self.lock();
        let listed = objects
            .iter()
            .filter(|(name, _)| name.as_str().starts_with(prefix));
        Ok(listed
            .map(|(name, object)| (name.clone(), object.len() as u64))
            .collect())
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}

impl Store for MemoryStore {
    fn create(&self, name: &ObjectName) -> Result<Box<dyn PendingObject>> {
        Ok(Box::new(Pending {
            objects: Arc::clone(&self.objects),
            name: name.clone(),
            content: Vec::new(),
        }))
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        match self.lock().remove(name) {
            Some(_) => Ok(()),
            None => Err(no_object(name)),
        }
    }

    fn settle(&self, name: &ObjectName) -> Result<()> {
        self.object(name).map(drop)
    }

    fn leftovers(&self, _prefix: &str) -> Result<Vec<Leftover>> {
        Ok(Vec::new())
    }

    fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        Err(match leftover.origin {
            Origin::Unpublished => no_leftover(leftover),
            Origin::Foreign => not_left_over(leftover, "something of somebody else's"),
        })
    }

    fn is_create_only(&self) -> Result<bool> {
        Ok(true)
    }

    fn try_create_only(&self) -> Result<bool> {
        Ok(true)
    }

    fn is_vacant(&self) -> Result<bool> {
        Ok(self.lock().is_empty())
    }
}

struct Pending {
    objects: Arc<Mutex<Objects>>,
    name: ObjectName,
    content: Vec<u8>,
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.content.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl PendingObject for Pending {
    fn publish(self: Box<Self>) -> Result<()> {
        let mut objects = lock(&self.objects);
        if objects.contains_key(&self.name) {
            return Err(name_taken(&self.name));
        }
        objects.insert(self.name, self.content.into());
        Ok(())
    }
}
