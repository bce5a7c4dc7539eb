//! The port to wherever objects are kept.
//!
//! A [`Store`] keeps immutable objects under [`ObjectName`]s and knows nothing of what is in them;
//! [`ReadStore`] is the half of it that readers need. Every member keeps the same promises, held by
//! one suite, which is there for members elsewhere, too ([`contract`]):
//!
//! * **Complete or absent.** An object becomes visible by [`PendingObject::publish`], whole; until
//!   then, and after a crash at any moment before, no reader sees any of it. After `publish` or
//!   [`Store::settle`] has returned, the object survives a power cut; one that is merely visible
//!   need not.
//! * **Create-only.** A name is published once. Of two writers that race for it exactly one wins,
//!   the other gets [`AlreadyExists`](crate::ErrorKind::AlreadyExists), and the winner's bytes
//!   stay. Nothing is overwritten.
//! * **Nothing invisible.** What a dead run left behind is not an object, but [`Store::leftovers`]
//!   lists it.
//! * **Bounded.** No method allocates more than the caller allowed or the object holds.
//!
//! ```
//! use narthex::ErrorKind;
//! use narthex::store::{MemoryStore, ObjectName, ReadStore as _, Store};
//!
//! let memory = MemoryStore::new();
//! let store: &dyn Store = &memory;
//! let name = ObjectName::new("packs/a.pack")?;
//! store.put(&name, b"0123456789")?;
//! assert_eq!(store.get_range(&name, 2..5)?, b"234");
//! // A name is published once.
//! assert_eq!(store.put(&name, b"other").unwrap_err().kind(), ErrorKind::AlreadyExists);
//! # Ok::<(), narthex::Error>(())
//! ```

pub mod contract;
pub mod faulty;
mod guard;
#[cfg(feature = "remote")]
pub mod http;
mod local;
mod location;
mod memory;
mod name;
mod options;
mod read_ahead;
mod read_only;
#[cfg(feature = "remote")]
pub mod remote;
#[cfg(feature = "remote")]
mod runtime;
mod scoped;
#[cfg(feature = "remote")]
pub mod sftp;
mod traffic;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::Write;
use std::ops::Range;
use std::time::SystemTime;

pub use guard::{Lock, LockMode, Locks, ObjectHistory, Version, Versions};
pub use local::LocalStore;
pub use location::{Location, refuse_remote};
pub use memory::MemoryStore;
pub use name::ObjectName;
pub use options::{Settings, StoreOptions};
pub use read_ahead::ReadAhead;
pub use read_only::ReadOnly;
pub use scoped::ScopedStore;
#[cfg(feature = "remote")]
pub use traffic::Traffic;
pub use traffic::{Limits, TrafficCounts};

use crate::error::{Error, Result};

/// The half of a place that keeps immutable objects which readers need: restores, checks and
/// queries ask for no more.
///
/// A store that can only be read is a [`Store`] as [`ReadOnly`].
pub trait ReadStore: Debug + Send + Sync {
    /// The whole object, at most `max_bytes` of it: a larger one is `Unsupported`, and is not read.
    fn get(&self, name: &ObjectName, max_bytes: u64) -> Result<Vec<u8>>;

    /// Exactly the bytes of `range`. One that ends beyond the object is `Corrupt`: whoever asks has
    /// been told that they exist.
    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>>;

    /// Size of an object in bytes, as readers get it; `NotFound` when there is none of that name.
    fn size(&self, name: &ObjectName) -> Result<u64>;

    /// Bytes that an object takes where it lies, which is what [`list`](Self::list) says of it.
    /// Another number than [`size`](Self::size) where objects are encrypted. `NotFound` when there
    /// is none of that name.
    fn stored_size(&self, name: &ObjectName) -> Result<u64> {
        self.size(name)
    }

    /// Size in bytes, as readers get it, of an object of which [`list`](Self::list) said that it
    /// takes `listed` bytes: no request where both are the same.
    fn size_of_listed(&self, name: &ObjectName, listed: u64) -> Result<u64> {
        let _ = name;
        Ok(listed)
    }

    /// The form in which an object lies there, if that is not the one in which readers get it.
    /// Reads all of it then. `NotFound` when there is none of that name.
    fn stored_form(&self, name: &ObjectName) -> Result<Option<StoredForm>> {
        let _ = name;
        Ok(None)
    }

    /// Names and stored sizes in bytes (see [`stored_size`](Self::stored_size)) of all published
    /// objects whose name starts with `prefix`, sorted by name.
    fn list(&self, prefix: &str) -> Result<Vec<(ObjectName, u64)>>;

    /// When each published object whose name starts with `prefix` came to be there, by the store's
    /// own clock; objects of which the store does not know are not among them.
    fn arrivals(&self, prefix: &str) -> Result<BTreeMap<ObjectName, SystemTime>> {
        let _ = prefix;
        Ok(BTreeMap::new())
    }

    /// What [`list`](Self::list) gives for several prefixes, none of which begins another one;
    /// perhaps by fewer looks, and not all at one moment.
    fn list_many(&self, prefixes: &[&str]) -> Result<Vec<(ObjectName, u64)>> {
        let mut objects = Vec::new();
        for prefix in prefixes {
            objects.append(&mut self.list(prefix)?);
        }
        objects.sort_unstable();
        Ok(objects)
    }

    /// Says that all of a small store is going to be listed soon, by
    /// [`list_many`](Self::list_many): where answers take their time, it may be asked for at
    /// once.
    fn expect_listing(&self) {}

    /// What comes after `prefix` up to the next `/` in names of objects that have one there, each
    /// once, sorted. `prefix` is empty or ends in `/`: so it names a directory, and these are the
    /// directories in it.
    fn dirs(&self, prefix: &str) -> Result<Vec<String>> {
        let mut dirs: Vec<String> = Vec::new();
        for (name, _) in self.list(prefix)? {
            let rest = name.as_str().strip_prefix(prefix);
            let dir = rest.and_then(|rest| Some(rest.split_once('/')?.0));
            if let Some(dir) = dir.filter(|dir| dirs.last().is_none_or(|last| last != dir)) {
                dirs.push(dir.to_owned());
            }
        }
        dirs.sort_unstable();
        dirs.dedup();
        Ok(dirs)
    }

    /// Where it is, for people.
    fn describe(&self) -> String;

    /// Says which objects will be read soon, whole, in this order, with their sizes in bytes: what
    /// is far away may be fetched ahead. Nothing depends on it.
    fn expect(&self, objects: &[(ObjectName, u64)]) {
        let _ = objects;
    }

    /// Whether each request to it takes a while, so that few large ones are better than many small.
    fn is_far(&self) -> bool {
        false
    }

    /// What has been asked of it so far; `None` where nothing goes over a network.
    fn traffic(&self) -> Option<TrafficCounts> {
        None
    }

    /// Older versions of its objects; `None` where it never has any.
    fn history(&self) -> Option<&dyn ObjectHistory> {
        None
    }
}

/// A place that keeps immutable objects; see the [module](self) for what every member promises.
pub trait Store: ReadStore {
    /// Begins an object that will be called `name`. Nothing is visible before it is published.
    ///
    /// May, but need not, already fail with `AlreadyExists` here.
    fn create(&self, name: &ObjectName) -> Result<Box<dyn PendingObject>>;

    /// Removes an object; `NotFound` when there is none of that name.
    fn delete(&self, name: &ObjectName) -> Result<()>;

    /// Makes an object durable that this process has not published: whoever did may have died
    /// before it was. Whoever relies on it needs this first. `NotFound` when there is none of
    /// that name.
    fn settle(&self, name: &ObjectName) -> Result<()>;

    /// Everything in the store's place that is not a published object and whose name starts with
    /// `prefix`, sorted by name.
    fn leftovers(&self, prefix: &str) -> Result<Vec<Leftover>>;

    /// Removes an unpublished object that a dead run has left; a run that still works on it fails.
    /// `NotFound` when it is gone, `Refused` when it is somebody else's or has been written
    /// since it was listed.
    fn remove_leftover(&self, leftover: &Leftover) -> Result<()>;

    /// Whether nothing is kept here yet: neither objects nor anything of somebody else's.
    fn is_vacant(&self) -> Result<bool>;

    /// Whether it is known to refuse a name that is taken; tried, where that is not known. Where
    /// this is false, *create-only* holds only as long as one process writes at a time.
    ///
    /// # Errors
    ///
    /// When it has to be tried, and the store does not answer.
    fn is_create_only(&self) -> Result<bool>;

    /// The same, tried now, whatever is known of it: before anything is deleted on the strength of
    /// it.
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    fn try_create_only(&self) -> Result<bool>;

    /// Locks on its objects; `None` where it never has any.
    fn locks(&self) -> Option<&dyn Locks> {
        None
    }
}

impl dyn Store + '_ {
    /// Publishes `content` under `name`.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` when the name is taken; the object that has it stays as it is.
    pub fn put(&self, name: &ObjectName, content: &[u8]) -> Result<()> {
        self.stage(name, content)?.publish()
    }

    /// Writes `content`, to be published under `name`.
    ///
    /// # Errors
    ///
    /// When it cannot be written; perhaps `AlreadyExists`.
    pub fn stage(&self, name: &ObjectName, content: &[u8]) -> Result<Box<dyn PendingObject>> {
        let mut pending = self.create(name)?;
        pending
            .write_all(content)
            .map_err(|e| write_error(name, e))?;
        Ok(pending)
    }
}

/// The error for bytes of the pending object `name` that could not be written.
pub fn write_error(name: &ObjectName, source: std::io::Error) -> Error {
    Error::new(crate::ErrorKind::Io, format!("cannot write object {name}")).with_source(source)
}

/// In which form a store keeps an object that it does not keep as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredForm {
    /// Its size in bytes: what [`ReadStore::stored_size`] says.
    pub bytes: u64,
    /// SHA-256 of these bytes.
    pub sha256: [u8; 32],
}

/// An object being written. Dropped unpublished, it leaves nothing, or at most a [`Leftover`].
pub trait PendingObject: Write + Send {
    /// Ends the object, which only needs to be published then: writing more to it fails, or makes
    /// another object of it. Says in which form it is going to be stored, before it is: a manifest
    /// can name an object that does not exist yet. `None` when it is stored as it was written.
    ///
    /// Need not be called, and may be called again.
    ///
    /// # Errors
    ///
    /// When what is left cannot be written: the object cannot be published any more.
    fn finish(&mut self) -> Result<Option<StoredForm>> {
        Ok(None)
    }

    /// Makes the object durable and visible, whole.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` when the name is taken: the object that has it stays as it is. After any
    /// other error the object is absent or complete, but it is not known which.
    fn publish(self: Box<Self>) -> Result<()>;
}

/// Something in the store's place that is not a published object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leftover {
    /// What it is called there.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was last written, where the store knows.
    pub modified: Option<SystemTime>,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a [`Leftover`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The store's own: an object that some run began and did not publish; that run is dead, or
    /// still works.
    Unpublished,
    /// Somebody else's.
    Foreign,
}

/// What [`ReadStore::get`] says of an object larger than the caller allows.
pub(crate) fn too_large(name: &ObjectName, bytes: u64, max_bytes: u64) -> Error {
    Error::unsupported(format!(
        "expected object {name} to be at most {max_bytes} bytes, found {bytes}"
    ))
}

/// What [`ReadStore::get_range`] says of a range that ends beyond the object.
pub(crate) fn beyond_end(name: &ObjectName, bytes: u64, range: &Range<u64>) -> Error {
    Error::corrupt(format!(
        "expected object {name} to hold bytes {} to {}, found {bytes} bytes",
        range.start, range.end
    ))
}

/// What [`Store::remove_leftover`] says of what is not there.
pub(crate) fn no_leftover(leftover: &Leftover) -> Error {
    Error::not_found(format!("{} does not exist", leftover.name))
}

/// What [`Store::remove_leftover`] says of what is not a dead run's, or seems not to be.
pub(crate) fn not_left_over(leftover: &Leftover, found: &str) -> Error {
    Error::refused(format!(
        "expected {} to be what a dead run has left, found {found}",
        leftover.name
    ))
}

/// What every method says of a name that no object has.
pub(crate) fn no_object(name: &ObjectName) -> Error {
    Error::not_found(format!("object {name} does not exist"))
}

/// What [`PendingObject::publish`] says of a name that is taken.
pub(crate) fn name_taken(name: &ObjectName) -> Error {
    Error::new(
        crate::ErrorKind::AlreadyExists,
        format!("object {name} exists already"),
    )
}
