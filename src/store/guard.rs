//! What some stores can do against whoever writes there without right: keep older versions of
//! objects, and lock them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use super::ObjectName;
use crate::error::{Error, Result};

/// One of the states in which a store has kept a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// What the store calls it.
    pub id: String,
    /// Its size in bytes; `None` where it says that there is no object (a delete marker).
    pub bytes: Option<u64>,
    /// When it came to be there, by the store's clock.
    pub since: Option<SystemTime>,
}

impl Version {
    /// Whether it says that there is no object.
    pub fn is_marker(&self) -> bool {
        self.bytes.is_none()
    }
}

/// Of each name its versions, the current one first.
pub type Versions = BTreeMap<ObjectName, Vec<Version>>;

/// The older versions of objects, of a store that may keep them. Whoever may write there can put a
/// newer version over an object in spite of every lock; what lies below stays.
pub trait ObjectHistory: fmt::Debug + Send + Sync {
    /// Whether an answer so far has said that there are versions: nothing is asked.
    fn keeps_versions(&self) -> bool;

    /// The versions of all names that begin with `prefix`; nothing where the store keeps none.
    ///
    /// # Errors
    ///
    /// `Refused`, when they may not be listed; when the store fails.
    fn versions(&self, prefix: &str) -> Result<Versions>;

    /// Reads and lists this version of `name` from now on as if there were no other; the current
    /// one again with `None`.
    fn read_version(&self, name: &ObjectName, version: Option<&Version>);

    /// The version of `name` that is read in place of the current one.
    fn version_read(&self, name: &ObjectName) -> Option<Version>;
}

/// How firmly an object is locked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LockMode {
    /// Nobody can take the lock off, or shorten it: not the administrator, not the vendor.
    #[default]
    Compliance,
    /// Whoever has the right to bypass locks can.
    Governance,
}

impl LockMode {
    /// As it is typed.
    pub fn id(self) -> &'static str {
        match self {
            LockMode::Compliance => "compliance",
            LockMode::Governance => "governance",
        }
    }
}

impl fmt::Display for LockMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for LockMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let all = [LockMode::Compliance, LockMode::Governance];
        let found = all.into_iter().find(|mode| mode.id() == text);
        found.ok_or_else(|| {
            Error::invalid(format!("expected compliance or governance, found {text:?}"))
        })
    }
}

/// A lock on an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Until when it holds.
    pub until: SystemTime,
    /// How firmly.
    pub mode: LockMode,
}

/// Locks on objects: until a time nobody can delete or change what is locked.
pub trait Locks: fmt::Debug + Send + Sync {
    /// Whether the place is set up for locks. Asks it.
    ///
    /// # Errors
    ///
    /// `Refused`, when it may not be asked; when the store fails.
    fn can_lock(&self) -> Result<bool>;

    /// The lock on `name`, as it is read; `None` when it never had one.
    ///
    /// # Errors
    ///
    /// `NotFound`, when there is none of that name; `Refused`, when it may not be asked; when the
    /// store fails.
    fn lock_of(&self, name: &ObjectName) -> Result<Option<Lock>>;

    /// Puts `lock` on `name`, as it is read, in place of the one it has. Stores refuse to shorten
    /// one, and whoever asks for it makes sure not to.
    ///
    /// # Errors
    ///
    /// As [`lock_of`](Self::lock_of).
    fn lock(&self, name: &ObjectName, lock: Lock) -> Result<()>;
}
