//! Objects as files on a server that speaks SFTP, reached by the system's `ssh`: keys, agent, known
//! hosts and jumps over other machines are those of whoever runs narthex.
//!
//! * **Complete or absent.** As on a local disk an object is written to `tmp/<random>` below the
//!   root, made durable with `fsync@openssh.com`, and then given its name with
//!   `hardlink@openssh.com`, which fails when the name is taken. It is made durable once more under
//!   its name: SFTP cannot do that to a directory, but journals write a file's names along with
//!   it. Then the temporary name goes.
//! * **Without hard links** it is renamed, which version 3 of SFTP says fails when the name is
//!   taken. OpenSSH, on a file system without hard links, looks first and renames then; of two
//!   processes that write the same name within that moment both may win, and
//!   [`is_create_only`](Store::is_create_only) says so. Where links were seen to work, nothing is
//!   renamed. **Without fsync** nobody
//!   knows when an object is durable.
//! * **Answers get lost.** When the connection breaks it is made anew a few times, and what does
//!   not matter to be done twice is done again. A write goes on where it was; what was written over
//!   more than one connection is read back before it is published. Whether a name that is taken
//!   after a lost answer is one's own is told by the file itself: both names of a file show the
//!   same times, and those of the temporary name can be set.
//! * **Links are not followed** below the root: they are somebody else's, and so is what they lead
//!   to.
//!
//! SFTP version 3 is spoken by this room itself. Of the clients there are, `russh-sftp` (3.0)
//! takes what a server calls an open file for UTF-8, which it is not, and ends a connection at a
//! status that it does not know; `openssh-sftp-client` (0.15) makes room for what a hostile server
//! says will come, and brings nineteen crates along. The dozen requests that are needed here are
//! fewer lines than what would have to be checked around either.

mod address;
mod failure;
mod packet;
mod pending;
mod place;
mod probe;
mod session;
mod transfer;
mod walk;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

pub use address::{SftpAddress, SftpOptions};

use super::name::{TEMPORARY, is_component};
use super::{
    Leftover, ObjectName, Origin, PendingObject, ReadStore, Store, TrafficCounts, beyond_end,
    no_leftover, no_object, not_left_over, too_large,
};
use crate::error::Result;
use failure::Failure;
use packet::{Attributes, Request};
use pending::Pending;
use place::{Inner, LOST_AND_FOUND, dir_of};
use walk::Found;

/// Keeps objects as files below a directory of an SFTP server.
#[derive(Clone, Debug)]
pub struct SftpStore {
    inner: Arc<Inner>,
}

impl SftpStore {
    /// The store at `address`. Nothing is read or written yet, and no connection made.
    pub fn new(address: SftpAddress, options: SftpOptions) -> Self {
        SftpStore {
            inner: Arc::new(Inner {
                address,
                options,
                session: Mutex::default(),
                known: Mutex::default(),
                traffic: Arc::default(),
            }),
        }
    }

    /// Whether the server gives a name only once and says when an object is durable
    /// (`hardlink@openssh.com` and `fsync@openssh.com`).
    ///
    /// # Errors
    ///
    /// When there is no connection.
    pub fn abilities(&self) -> Result<SftpAbilities> {
        let session = self.inner.again(|session| Ok(Arc::clone(session)));
        let session = session.map_err(|e| self.inner.failed("see what the server can do", e))?;
        Ok(SftpAbilities {
            hard_links: session.abilities.hard_links,
            fsync: session.abilities.fsync,
        })
    }
}

/// What a server can do beyond version 3 of SFTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SftpAbilities {
    /// Another name for a file, unless it is taken.
    pub hard_links: bool,
    /// Making a file durable.
    pub fsync: bool,
}

impl ReadStore for SftpStore {
    fn get(&self, name: &ObjectName, max_bytes: u64) -> Result<Vec<u8>> {
        match self.inner.read(name, None, max_bytes) {
            Ok((_, Some(content))) => Ok(content),
            Ok((bytes, None)) => Err(too_large(name, bytes, max_bytes)),
            Err(failure) if failure.is_missing() => Err(no_object(name)),
            Err(failure) => Err(self.inner.failed_object("read", name, failure)),
        }
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>> {
        match self.inner.read(name, Some(&range), u64::MAX) {
            Ok((_, Some(content))) => Ok(content),
            Ok((bytes, None)) => Err(beyond_end(name, bytes, &range)),
            Err(failure) if failure.is_missing() => Err(no_object(name)),
            Err(failure) => Err(self.inner.failed_object("read", name, failure)),
        }
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        let inner = &self.inner;
        match inner.again(|session| inner.object(session, name)) {
            Ok(found) => found.size.ok_or_else(|| {
                let failure = Failure::Garbled("a file without a size".to_owned());
                inner.failed_object("look at", name, failure)
            }),
            Err(failure) if failure.is_missing() => Err(no_object(name)),
            Err(failure) => Err(inner.failed_object("look at", name, failure)),
        }
    }

    fn arrivals(&self, prefix: &str) -> Result<BTreeMap<ObjectName, SystemTime>> {
        let inner = &self.inner;
        let mut arrivals = BTreeMap::new();
        for (name, _) in self.list(prefix)? {
            let found = match inner.again(|session| inner.object(session, &name)) {
                Err(failure) if failure.is_missing() => continue,
                found => found.map_err(|e| inner.failed_object("look at", &name, e))?,
            };
            arrivals.extend(modified(&found).map(|time| (name, time)));
        }
        Ok(arrivals)
    }

    fn list(&self, prefix: &str) -> Result<Vec<(ObjectName, u64)>> {
        let inner = &self.inner;
        let dir = prefix.rsplit_once('/').map_or("", |(dir, _)| dir);
        if !dir.is_empty() && ObjectName::new(dir).is_err() {
            return Ok(Vec::new());
        }
        let listed = inner.again(|session| {
            let mut objects = Vec::new();
            let is_open = match inner.is_open(session, dir) {
                Err(failure) if failure.is_missing() => false,
                is_open => is_open?,
            };
            if is_open {
                walk::walk(
                    session,
                    &inner.address,
                    dir,
                    prefix,
                    &mut |found, it| match found {
                        Found::Object(name) if name.as_str().starts_with(prefix) => {
                            objects.push((name, it.size.unwrap_or_default()));
                        }
                        Found::Dir(dir) => inner.know_dir(&dir),
                        Found::Object(_) | Found::Unpublished(_) | Found::Foreign(_) => {}
                    },
                )?;
            }
            Ok(objects)
        });
        let mut objects = listed.map_err(|e| inner.failed("list objects", e))?;
        for (name, _) in &objects {
            inner.know_file(name);
        }
        objects.sort_unstable();
        Ok(objects)
    }

    fn describe(&self) -> String {
        self.inner.address.to_string()
    }

    fn traffic(&self) -> Option<TrafficCounts> {
        Some(self.inner.traffic.counts())
    }
}

impl Store for SftpStore {
    fn create(&self, name: &ObjectName) -> Result<Box<dyn PendingObject>> {
        let pending = Pending::begin(Arc::clone(&self.inner), name.clone());
        let pending = pending.map_err(|e| self.inner.failed_object("write", name, e))?;
        Ok(Box::new(pending))
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        let inner = &self.inner;
        let mut is_asked = false;
        let deleted = inner.again(|session| {
            let removed = inner.object(session, name).and_then(|_| {
                let was_asked = std::mem::replace(&mut is_asked, true);
                match session.done(&Request::Remove(&inner.path(name))) {
                    Err(failure) if was_asked && failure.is_missing() => Ok(()),
                    removed => removed,
                }
            });
            match removed {
                // The answer was lost, and it was done.
                Err(failure) if is_asked && failure.is_missing() => Ok(()),
                removed => removed,
            }?;
            inner.forget_file(name);
            inner.remove_empty_dirs(session, dir_of(name));
            Ok(())
        });
        deleted.map_err(|failure| {
            if failure.is_missing() {
                no_object(name)
            } else {
                inner.failed_object("delete", name, failure)
            }
        })
    }

    fn settle(&self, name: &ObjectName) -> Result<()> {
        let inner = &self.inner;
        let settled = inner.again(|session| inner.settle(session, name));
        settled.map_err(|failure| {
            if failure.is_missing() {
                no_object(name)
            } else {
                inner.failed_object("make durable", name, failure)
            }
        })
    }

    fn leftovers(&self, prefix: &str) -> Result<Vec<Leftover>> {
        let inner = &self.inner;
        let listed = inner.again(|session| {
            let mut leftovers = Vec::new();
            walk::walk(
                session,
                &inner.address,
                "",
                prefix,
                &mut |found, attributes| {
                    let (name, origin) = match found {
                        Found::Object(_) | Found::Dir(_) => return,
                        Found::Unpublished(name) => (name, Origin::Unpublished),
                        Found::Foreign(name) => (name, Origin::Foreign),
                    };
                    if name.starts_with(prefix) {
                        leftovers.push(Leftover {
                            name,
                            bytes: attributes.size.unwrap_or_default(),
                            modified: modified(attributes),
                            origin,
                        });
                    }
                },
            )?;
            Ok(leftovers)
        });
        let mut leftovers = listed.map_err(|e| inner.failed("list what is left over", e))?;
        leftovers.sort_unstable();
        Ok(leftovers)
    }

    fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        let inner = &self.inner;
        let is_plain = leftover.name.split('/').all(is_component);
        let is_own = leftover
            .name
            .strip_prefix(TEMPORARY)
            .is_some_and(|rest| rest.starts_with('/'));
        if leftover.origin != Origin::Unpublished || !is_plain || !is_own {
            return Err(not_left_over(leftover, "something of somebody else's"));
        }
        let path = inner.address.path_of(&leftover.name);
        let mut is_asked = false;
        let removed = inner.again(|session| {
            let found = match session.stat(&Request::LinkStat(&path)) {
                Err(failure) if is_asked && failure.is_missing() => return Ok(true),
                found => found?,
            };
            if leftover.modified.is_some() && modified(&found) != leftover.modified {
                return Ok(false);
            }
            is_asked = true;
            session.done(&Request::Remove(&path)).map(|()| true)
        });
        match removed {
            Ok(true) => Ok(()),
            Ok(false) => Err(not_left_over(leftover, "one that was written just now")),
            Err(failure) if failure.is_missing() => Err(no_leftover(leftover)),
            Err(failure) => Err(inner.failed(&format!("remove {}", leftover.name), failure)),
        }
    }

    fn is_vacant(&self) -> Result<bool> {
        let inner = &self.inner;
        let names = inner.again(|session| walk::names(session, &inner.address, ""));
        let names = names.map_err(|e| inner.failed("list objects", e))?;
        let is_own = |name: &String| name == TEMPORARY || name == LOST_AND_FOUND;
        Ok(names.unwrap_or_default().iter().all(is_own))
    }

    fn is_create_only(&self) -> Result<bool> {
        let tried = self.inner.is_create_only();
        tried.map_err(|e| self.inner.failed("try whether names are given once", e))
    }

    fn try_create_only(&self) -> Result<bool> {
        self.inner.forget_create_only();
        self.is_create_only()
    }
}

fn modified(attributes: &Attributes) -> Option<SystemTime> {
    let since = Duration::from_secs(attributes.modified?.into());
    SystemTime::UNIX_EPOCH.checked_add(since)
}
