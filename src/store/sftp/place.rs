//! What is known of the directory on the server, the connection to it, and what is done over that
//! connection to files and directories.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::address::{SftpAddress, SftpOptions};
use super::failure::Failure;
use super::packet::{Attributes, Kind, Request, Status};
use super::session::{Session, Ticket};
use super::transfer;
use crate::error::Error;
use crate::store::ObjectName;
use crate::store::traffic::Traffic;

/// How the names of documents end. A directory of such a name lies in the place of one.
pub(super) const DOCUMENT: &str = ".json";

/// What a freshly made file system holds at its root.
pub(super) const LOST_AND_FOUND: &str = "lost+found";

/// Most directories and files of which it is remembered that they are no links.
const MAX_KNOWN: usize = 100_000;

/// Permissions of what is made, less the server's mask: for its owner alone, or below a root with
/// the set-group-ID bit, which is how directories are shared, for its group as well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Modes {
    pub(super) file: u32,
    pub(super) dir: u32,
}

/// The name of the directory that `name` is in.
pub(super) fn dir_of(name: &ObjectName) -> &str {
    name.as_str().rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// The directory on the server, and how it is reached.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) address: SftpAddress,
    pub(super) options: SftpOptions,
    pub(super) session: Mutex<Option<Arc<Session>>>,
    pub(super) known: Mutex<Known>,
    pub(super) traffic: Arc<Traffic>,
}

/// What was seen of the server, so that it is not asked for again with each object.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Directories below the root that are no links; the root is the empty name.
    pub(super) dirs: HashSet<String>,
    /// Names of objects that are plain files.
    pub(super) files: HashSet<String>,
    pub(super) modes: Option<Modes>,
    /// Whether a name that is taken was refused when that was tried.
    pub(super) create_only: Option<bool>,
}

/// Every change behind a lock is one call, so a thread that panicked has left it whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number that nobody can tell beforehand.
pub(super) fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// `dir` and the directories above it below the root, from the top.
pub(super) fn from_the_top(dir: &str) -> impl Iterator<Item = &str> {
    let ends = dir.match_indices('/').map(|(at, _)| at);
    let dirs = ends.chain([dir.len()]).filter_map(|end| dir.get(..end));
    dirs.filter(|dir| !dir.is_empty())
}

impl Inner {
    pub(super) fn path(&self, name: &ObjectName) -> String {
        self.address.path_of(name.as_str())
    }

    pub(super) fn failed(&self, what: &str, failure: Failure) -> Error {
        failure.error(what, &self.address)
    }

    pub(super) fn failed_object(&self, verb: &str, name: &ObjectName, failure: Failure) -> Error {
        self.failed(&format!("{verb} object {name}"), failure)
    }

    /// The connection, which is made if there is none.
    pub(super) fn session(&self) -> Result<Arc<Session>, Failure> {
        let mut session = lock(&self.session);
        if let Some(session) = session.as_ref().filter(|it| it.is_alive()) {
            return Ok(Arc::clone(session));
        }
        // The one that has ended goes first.
        *session = None;
        let made = Arc::new(Session::connect(
            &self.address,
            &self.options,
            Arc::clone(&self.traffic),
        )?);
        *session = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Does what may be done twice, over another connection when one is lost.
    pub(super) fn again<T>(
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

    /// Waits longer with each repeat, for a random length, so that many who were cut off at the
    /// same moment do not come back at the same moment.
    pub(super) fn pause(&self, repeat: u32) {
        let wait = self.options.first_wait.saturating_mul(1 << repeat.min(6));
        let percent = u32::try_from(random() % 100).unwrap_or(0);
        thread::sleep(wait / 2 + wait / 200 * percent);
    }

    pub(super) fn know_dir(&self, dir: &str) {
        let mut known = lock(&self.known);
        if known.dirs.len() < MAX_KNOWN {
            known.dirs.insert(dir.to_owned());
        }
    }

    pub(super) fn know_file(&self, name: &ObjectName) {
        let mut known = lock(&self.known);
        if known.files.len() < MAX_KNOWN {
            known.files.insert(name.as_str().to_owned());
        }
    }

    pub(super) fn forget_file(&self, name: &ObjectName) {
        lock(&self.known).files.remove(name.as_str());
    }

    /// Forgets that `dir` and what is above it are there: others may have removed any of them.
    pub(super) fn forget_way(&self, dir: &str) {
        let mut known = lock(&self.known);
        known.modes = None;
        for dir in from_the_top(dir) {
            known.dirs.remove(dir);
        }
    }

    pub(super) fn is_known_dir(&self, dir: &str) -> bool {
        lock(&self.known).dirs.contains(dir)
    }

    /// Whether all directories down to `dir` are directories in which there may be objects: not
    /// links, and not in the place of documents. `NoSuchFile` when one is not there.
    pub(super) fn is_open(&self, session: &Session, dir: &str) -> Result<bool, Failure> {
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
    pub(super) fn object(
        &self,
        session: &Session,
        name: &ObjectName,
    ) -> Result<Attributes, Failure> {
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
    pub(super) fn open(&self, session: &Session, name: &ObjectName) -> Result<Vec<u8>, Failure> {
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
    pub(super) fn root(&self, session: &Session) -> Result<Modes, Failure> {
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
    pub(super) fn make_dirs(&self, session: &Session, dir: &str) -> Result<(), Failure> {
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
    pub(super) fn remove_empty_dirs(&self, session: &Session, dir: &str) {
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
    pub(super) fn settle(&self, session: &Session, name: &ObjectName) -> Result<(), Failure> {
        let handle = self.open(session, name)?;
        let asked = Fsync::ask(session, &handle)?;
        session.close(&handle);
        asked.wait()
    }

    /// Reads `range` of an object, or all of it: at most `max_bytes`. The size comes back with it.
    pub(super) fn read(
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

/// A wish that an open file be made durable, if the server knows how.
pub(super) struct Fsync(Option<Ticket>);

impl Fsync {
    pub(super) fn ask(session: &Session, handle: &[u8]) -> Result<Self, Failure> {
        if !session.abilities.fsync {
            return Ok(Fsync(None));
        }
        session.send(&Request::Fsync(handle)).map(Some).map(Fsync)
    }

    pub(super) fn wait(self) -> Result<(), Failure> {
        match self.0.map_or(Ok(()), Ticket::done) {
            Err(Failure::Status(Status::Unsupported, _)) => Ok(()),
            synced => synced,
        }
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
