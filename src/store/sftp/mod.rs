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
//!   processes that write the same name within that moment both may win. **Without fsync** nobody
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
//! says will come, and brings twenty crates along. The dozen requests that are needed here are
//! fewer lines than what would have to be checked around either.

mod address;
mod failure;
mod packet;
mod pending;
mod session;
mod transfer;
mod walk;

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

pub use address::{SftpAddress, SftpOptions};

use super::name::{TEMPORARY, is_component};
use super::{
    Leftover, ObjectName, Origin, PendingObject, ReadStore, Store, beyond_end, no_leftover,
    no_object, not_left_over, too_large,
};
use crate::error::{Error, ErrorKind, Result};
use failure::Failure;
use packet::{Attributes, Kind, Request, Status};
use pending::Pending;
use session::Session;
use walk::Found;

/// What a freshly made file system holds at its root.
const LOST_AND_FOUND: &str = "lost+found";

/// How the names of documents end. A directory of such a name lies in the place of one.
const DOCUMENT: &str = ".json";

/// Most directories and files of which it is remembered that they are no links.
const MAX_KNOWN: usize = 100_000;

/// Permissions of what is made, less the server's mask: for its owner alone, or below a root with
/// the set-group-ID bit, which is how directories are shared, for its group as well.
#[derive(Clone, Copy, Debug)]
struct Modes {
    file: u32,
    dir: u32,
}

/// Keeps objects as files below a directory of an SFTP server.
#[derive(Clone, Debug)]
pub struct SftpStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    address: SftpAddress,
    options: SftpOptions,
    session: Mutex<Option<Arc<Session>>>,
    known: Mutex<Known>,
}

/// What was seen of the server, so that it is not asked for again with each object.
#[derive(Debug, Default)]
struct Known {
    /// Directories below the root that are no links; the root is the empty name.
    dirs: HashSet<String>,
    /// Names of objects that are plain files.
    files: HashSet<String>,
    modes: Option<Modes>,
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number that nobody can tell beforehand.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// The name of the directory that `name` is in.
fn dir_of(name: &ObjectName) -> &str {
    name.as_str().rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// `dir` and the directories above it below the root, from the top.
fn from_the_top(dir: &str) -> impl Iterator<Item = &str> {
    let ends = dir.match_indices('/').map(|(at, _)| at);
    let dirs = ends.chain([dir.len()]).filter_map(|end| dir.get(..end));
    dirs.filter(|dir| !dir.is_empty())
}

impl Inner {
    fn path(&self, name: &ObjectName) -> String {
        self.address.path_of(name.as_str())
    }

    fn failed(&self, what: &str, failure: Failure) -> Error {
        failure.error(what, &self.address)
    }

    fn failed_object(&self, verb: &str, name: &ObjectName, failure: Failure) -> Error {
        self.failed(&format!("{verb} object {name}"), failure)
    }

    /// The connection, which is made if there is none.
    fn session(&self) -> Result<Arc<Session>, Failure> {
        let mut session = lock(&self.session);
        if let Some(session) = session.as_ref().filter(|it| it.is_alive()) {
            return Ok(Arc::clone(session));
        }
        // The one that has ended goes first.
        *session = None;
        let made = Arc::new(Session::connect(&self.address, &self.options)?);
        *session = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Does what may be done twice, over another connection when one is lost.
    fn again<T>(
        &self,
        mut ask: impl FnMut(&Arc<Session>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut repeat = 0;
        loop {
            let asked = self.session().and_then(|session| ask(&session));
            match asked {
                Err(Failure::Lost(_)) if repeat < self.options.repeats => {
                    self.pause(repeat);
                    repeat += 1;
                }
                asked => return asked,
            }
        }
    }

    /// Waits longer with each repeat, for a random length, so that many who were cut off at the same
    /// moment do not come back at the same moment.
    fn pause(&self, repeat: u32) {
        let wait = self.options.first_wait.saturating_mul(1 << repeat.min(6));
        let percent = u32::try_from(random() % 100).unwrap_or(0);
        thread::sleep(wait / 2 + wait / 200 * percent);
    }

    fn know_dir(&self, dir: &str) {
        let mut known = lock(&self.known);
        if known.dirs.len() < MAX_KNOWN {
            known.dirs.insert(dir.to_owned());
        }
    }

    fn know_file(&self, name: &ObjectName) {
        let mut known = lock(&self.known);
        if known.files.len() < MAX_KNOWN {
            known.files.insert(name.as_str().to_owned());
        }
    }

    fn forget_file(&self, name: &ObjectName) {
        lock(&self.known).files.remove(name.as_str());
    }

    /// Forgets that `dir` and what is above it are there: others may have removed any of them.
    fn forget_way(&self, dir: &str) {
        let mut known = lock(&self.known);
        known.modes = None;
        for dir in from_the_top(dir) {
            known.dirs.remove(dir);
        }
    }

    fn is_known_dir(&self, dir: &str) -> bool {
        lock(&self.known).dirs.contains(dir)
    }

    /// Whether all directories down to `dir` are directories in which there may be objects: not
    /// links, and not in the place of documents. `NoSuchFile` when one is not there.
    fn is_open(&self, session: &Session, dir: &str) -> Result<bool, Failure> {
        for dir in from_the_top(dir) {
            if dir.ends_with(DOCUMENT) {
                return Ok(false);
            }
            if !self.is_known_dir(dir) {
                let found = session.stat(&Request::LinkStat(&self.address.path_of(dir)))?;
                if found.kind() != Kind::Dir {
                    return Ok(false);
                }
                self.know_dir(dir);
            }
        }
        Ok(true)
    }

    /// What is known of an object; `NoSuchFile` when what has its name is none.
    fn object(&self, session: &Session, name: &ObjectName) -> Result<Attributes, Failure> {
        let none = || Failure::Status(Status::NoSuchFile, String::new());
        if !self.is_open(session, dir_of(name))? {
            return Err(none());
        }
        let found = session.stat(&Request::LinkStat(&self.path(name)))?;
        if found.kind() != Kind::File {
            return Err(none());
        }
        self.know_file(name);
        Ok(found)
    }

    /// Opens an object, which must be a plain file: whoever opens a pipe waits for its other end.
    fn open(&self, session: &Session, name: &ObjectName) -> Result<Vec<u8>, Failure> {
        if !lock(&self.known).files.contains(name.as_str()) {
            self.object(session, name)?;
        }
        let opened = session.open(&Request::Read(&self.path(name)));
        if opened.is_err() {
            self.forget_file(name);
        }
        opened
    }

    /// The modes of what is made, and the root, which is made if it is not there.
    fn root(&self, session: &Session) -> Result<Modes, Failure> {
        if let Some(modes) = lock(&self.known).modes {
            return Ok(modes);
        }
        let root = self.address.root();
        let found = match session.stat(&Request::Stat(root)) {
            Err(failure) if failure.is_missing() => {
                make_path(session, root)?;
                session.stat(&Request::Stat(root))?
            }
            found => found?,
        };
        let is_shared = found.mode.is_some_and(|mode| mode & 0o2000 != 0);
        let modes = if is_shared {
            Modes {
                file: 0o640,
                dir: 0o770,
            }
        } else {
            Modes {
                file: 0o600,
                dir: 0o700,
            }
        };
        lock(&self.known).modes = Some(modes);
        Ok(modes)
    }

    /// Makes `dir` below the root and what is above it, where it is not there.
    fn make_dirs(&self, session: &Session, dir: &str) -> Result<(), Failure> {
        let modes = self.root(session)?;
        for dir in from_the_top(dir) {
            if self.is_known_dir(dir) {
                continue;
            }
            let path = self.address.path_of(dir);
            let made = session.done(&Request::MakeDir(&path, modes.dir));
            match made {
                Ok(()) => {}
                // A name that is taken is a failure like others.
                Err(Failure::Status(..)) => {
                    let found = session.stat(&Request::LinkStat(&path));
                    match (found, made) {
                        (Ok(found), _) if found.kind() == Kind::Dir => {}
                        (Ok(_), _) => {
                            return Err(Failure::Hopeless {
                                why: format!("{dir} is no directory"),
                                advice: "links and other files cannot hold objects".to_owned(),
                            });
                        }
                        (Err(Failure::Status(..)), made) => return made,
                        (Err(failure), _) => return Err(failure),
                    }
                }
                Err(failure) => return Err(failure),
            }
            self.know_dir(dir);
        }
        Ok(())
    }

    /// Removes `dir` and the directories above it that are empty, up to the first level.
    fn remove_empty_dirs(&self, session: &Session, dir: &str) {
        let mut dir = dir;
        while let Some((above, _)) = dir.rsplit_once('/') {
            lock(&self.known).dirs.remove(dir);
            // One that is not empty fails, as it should; writers make a directory again that goes
            // under their hands.
            let path = self.address.path_of(dir);
            if session.done(&Request::RemoveDir(&path)).is_err() {
                return;
            }
            dir = above;
        }
    }

    /// Makes the object durable under its name, where the server knows how.
    fn settle(&self, session: &Session, name: &ObjectName) -> Result<(), Failure> {
        let handle = self.open(session, name)?;
        let synced = fsync(session, &handle);
        session.close(&handle);
        synced
    }

    /// Reads `range` of an object, or all of it: at most `max_bytes`. The size comes back with it.
    fn read(
        &self,
        name: &ObjectName,
        range: Option<&Range<u64>>,
        max_bytes: u64,
    ) -> Result<(u64, Option<Vec<u8>>), Failure> {
        self.again(|session| {
            let handle = self.open(session, name)?;
            let read = read_open(session, &handle, range, max_bytes);
            session.close(&handle);
            read
        })
    }
}

/// Makes a directory and what is above it.
fn make_path(session: &Session, path: &str) -> Result<(), Failure> {
    match session.done(&Request::MakeDir(path, 0o700)) {
        Err(failure) if failure.is_missing() => {
            let above = path.rsplit_once('/').map_or("", |(above, _)| above);
            if above.is_empty() {
                return Err(failure);
            }
            make_path(session, above)?;
            session.done(&Request::MakeDir(path, 0o700))
        }
        // Another may have made it at the same moment.
        Err(failure @ Failure::Status(..)) => match session.stat(&Request::Stat(path)) {
            Ok(found) if found.kind() == Kind::Dir => Ok(()),
            Ok(_) | Err(Failure::Status(..)) => Err(failure),
            Err(other) => Err(other),
        },
        made => made,
    }
}

/// Makes an open file durable, where the server knows how.
fn fsync(session: &Session, handle: &[u8]) -> Result<(), Failure> {
    if !session.abilities.fsync {
        return Ok(());
    }
    match session.done(&Request::Fsync(handle)) {
        Err(Failure::Status(Status::Unsupported, _)) => Ok(()),
        synced => synced,
    }
}

fn read_open(
    session: &Session,
    handle: &[u8],
    range: Option<&Range<u64>>,
    max_bytes: u64,
) -> Result<(u64, Option<Vec<u8>>), Failure> {
    // The first bytes come along with the size: most objects are small.
    let begin = range.map_or(0, |range| range.start);
    let first = u32::try_from(transfer::CHUNK).unwrap_or(u32::MAX);
    let size = session.send(&Request::FileStat(handle))?;
    let first = session.send(&Request::Get(handle, begin, first))?;
    let size = size.attributes()?.size;
    let size = size.ok_or_else(|| Failure::Garbled("a file without a size".to_owned()))?;
    let len = match range {
        None if size > max_bytes => return Ok((size, None)),
        None => size,
        Some(range) => match range.end.checked_sub(range.start) {
            Some(len) if range.end <= size => len,
            _ => return Ok((size, None)),
        },
    };
    let mut content = first.data()?;
    if content.len() > transfer::CHUNK {
        return Err(Failure::Garbled(
            "more bytes than were asked for".to_owned(),
        ));
    }
    content.truncate(usize::try_from(len).unwrap_or(usize::MAX));
    let got = content.len() as u64;
    if got < len {
        let rest = transfer::read(session, handle, begin + got, len - got)?;
        content.extend(rest);
    }
    if content.len() as u64 != len {
        return Err(Failure::Garbled(format!(
            "a file of {size} bytes ends before"
        )));
    }
    Ok((size, Some(content)))
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
}

fn modified(attributes: &Attributes) -> Option<SystemTime> {
    let since = Duration::from_secs(attributes.modified?.into());
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// The error for a temporary file that somebody else has removed.
fn removed_by_others(name: &ObjectName) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("what was written of object {name} was removed by another process"),
    )
}
