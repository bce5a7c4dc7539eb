//! Objects on their way to an SFTP server.

use std::io::{self, Write};
use std::mem;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use ulid::Ulid;

use super::failure::Failure;
use super::packet::{Attributes, Request, Status};
use super::place::{Fsync, Inner, dir_of, lock, random};
use super::session::Session;
use super::transfer::{CHUNK, Upload, WINDOW, read_to};
use crate::error::{Error, ErrorKind, Result};
use crate::store::name::TEMPORARY;
use crate::store::{ObjectName, PendingObject, name_taken};

/// How often an object is given its name when its directory is removed at the same moment.
const MAX_TRIES: u32 = 100;

/// Furthest time, in seconds, to which a file is set to tell it from others.
const MOST_TIME: u64 = 0x7000_0000;

/// An object being written.
pub(super) struct Pending {
    inner: Arc<Inner>,
    name: ObjectName,
    /// Its path until it is published.
    temporary: String,
    upload: Upload,
    buffer: Vec<u8>,
    hasher: Sha256,
    /// Nothing is left to be removed.
    is_gone: bool,
}

/// Whose object has a name.
enum Holder {
    Nobody,
    Us,
    Another,
}

/// How an object was given its name.
enum Publication {
    Done,
    Taken,
    /// Somebody has removed the temporary file.
    Removed,
}

impl Pending {
    /// Makes an empty file for the object.
    pub(super) fn begin(inner: Arc<Inner>, name: ObjectName) -> Result<Self, Failure> {
        let mut before: Option<String> = None;
        let mut tries = 0;
        let (upload, temporary) = inner.again(|session| {
            if let Some(before) = before.take() {
                // The answer was lost, and perhaps it is there.
                let _ = session.done(&Request::Remove(&before));
            }
            loop {
                let file = format!("{TEMPORARY}/{}", Ulid::generate());
                let temporary = inner.address.path_of(&file);
                before = Some(temporary.clone());
                let opened = inner
                    .make_dirs(session, TEMPORARY)
                    .and_then(|()| inner.root(session))
                    .and_then(|modes| session.open(&Request::Create(&temporary, modes.file)));
                match opened {
                    // The whole directory was removed since it was seen.
                    Err(failure) if failure.is_missing() && tries < MAX_TRIES => {
                        tries += 1;
                        inner.forget_way(TEMPORARY);
                    }
                    handle => return Ok((Upload::new(Arc::clone(session), handle?), temporary)),
                }
            }
        })?;
        Ok(Pending {
            inner,
            name,
            temporary,
            upload,
            buffer: Vec::new(),
            hasher: Sha256::new(),
            is_gone: false,
        })
    }

    /// Does `step`, and goes on over another connection as often as one is lost. The number of
    /// connections is bounded for each byte that arrives.
    fn carry_on<T>(
        &mut self,
        mut step: impl FnMut(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut repeat = 0;
        loop {
            let arrived = self.upload.arrived();
            match step(self) {
                Err(Failure::Lost(_)) if repeat < self.inner.options.repeats => {
                    if self.upload.arrived() > arrived {
                        repeat = 0;
                    }
                    self.inner.pause(repeat);
                    repeat += 1;
                    match self.reopen() {
                        Err(Failure::Lost(_)) if repeat < self.inner.options.repeats => {}
                        reopened => reopened?,
                    }
                }
                done => return done,
            }
        }
    }

    /// Opens the temporary file over another connection.
    fn reopen(&mut self) -> Result<(), Failure> {
        let session = self.inner.session()?;
        let handle = session.open(&Request::Reopen(&self.temporary))?;
        let size = session.stat(&Request::FileStat(&handle))?.size;
        if size.is_none_or(|size| size < self.upload.arrived()) {
            return Err(Failure::Hopeless {
                why: "the server has lost bytes that it had taken".to_owned(),
                advice: "it was restarted perhaps: try again".to_owned(),
            });
        }
        self.upload.resume(session, handle);
        Ok(())
    }

    /// Sends what is buffered, and waits until no more than `most` chunks are on their way.
    fn send(&mut self, most: usize) -> Result<(), Failure> {
        if !self.buffer.is_empty() {
            let chunk = mem::take(&mut self.buffer);
            self.hasher.update(&chunk);
            self.upload.push(chunk);
        }
        self.carry_on(|pending| pending.upload.drain(most))
    }

    /// Makes all that was written durable, and sees that it is what was written if that was done
    /// over several connections.
    fn finish(&mut self) -> Result<(), Failure> {
        self.send(usize::MAX)?;
        self.carry_on(|pending| {
            // Servers work on the requests for a file in the order in which they come.
            pending.upload.drain(usize::MAX)?;
            let synced = Fsync::ask(&pending.upload.session, &pending.upload.handle)?;
            pending.upload.drain(0)?;
            synced.wait()?;
            let upload = &pending.upload;
            if upload.connections > 1 {
                pending.compare(&upload.session)?;
            }
            Ok(())
        })
    }

    /// Reads the temporary file back.
    fn compare(&self, session: &Session) -> Result<(), Failure> {
        let is_same = self.is_content_of(session, &self.temporary)?;
        if is_same {
            return Ok(());
        }
        Err(Failure::Hopeless {
            why: "the server does not have what was written before the connection was lost"
                .to_owned(),
            advice: "it was restarted perhaps: try again".to_owned(),
        })
    }

    /// Whether a file holds what was written.
    fn is_content_of(&self, session: &Session, path: &str) -> Result<bool, Failure> {
        let handle = session.open(&Request::Read(path))?;
        let len = self.upload.sent;
        let size = session.stat(&Request::FileStat(&handle))?.size;
        let mut hasher = Sha256::new();
        if size == Some(len) {
            read_to(session, &handle, 0, len, &mut |data| hasher.update(data))?;
        }
        session.close(&handle);
        Ok(size == Some(len) && hasher.finalize() == self.hasher.clone().finalize())
    }

    /// Gives the file its name, unless that is taken.
    fn give_name(&mut self) -> Result<Publication, Failure> {
        let target = self.inner.path(&self.name);
        let dir = dir_of(&self.name).to_owned();
        let inner = Arc::clone(&self.inner);
        let mut is_lost = false;
        let mut can_link = true;
        // Whoever was told that names are given once relies on it.
        let must_link = lock(&inner.known).create_only == Some(true);
        let mut tries = 0;
        inner.again(|session| {
            if is_lost {
                match self.holder(session, &target, true)? {
                    Holder::Us => return Ok(Publication::Done),
                    Holder::Another => return Ok(Publication::Taken),
                    Holder::Nobody => {}
                }
            }
            loop {
                if !inner.is_plain_way(session, &dir)? {
                    return Err(Failure::Hopeless {
                        why: format!("{dir} is a link, or has the name of a document"),
                        advice: "objects are in directories".to_owned(),
                    });
                }
                let links = must_link || (can_link && session.abilities.hard_links);
                let named = inner.make_dirs(session, &dir).and_then(|()| {
                    if links {
                        session.done(&Request::HardLink(&self.temporary, &target))
                    } else {
                        self.rename(session, &target)
                    }
                });
                match named {
                    Ok(()) => return Ok(Publication::Done),
                    Err(failure @ Failure::Lost(_)) => {
                        is_lost = true;
                        return Err(failure);
                    }
                    Err(failure @ (Failure::Garbled(_) | Failure::Hopeless { .. })) => {
                        return Err(failure);
                    }
                    // Servers say so of many things: what has the name tells which it is.
                    Err(Failure::Status(status, text)) => {
                        match self.holder(session, &target, is_lost)? {
                            Holder::Us => return Ok(Publication::Done),
                            Holder::Another => return Ok(Publication::Taken),
                            Holder::Nobody => {}
                        }
                        if missing(session.stat(&Request::LinkStat(&self.temporary)))? {
                            return Ok(Publication::Removed);
                        }
                        // The file system has no hard links, or the server only says that it can.
                        let is_refused = matches!(
                            status,
                            Status::Unsupported | Status::Denied | Status::Failure
                        );
                        if links && is_refused && !must_link {
                            can_link = false;
                        } else if status == Status::NoSuchFile && tries < MAX_TRIES {
                            // Whoever deletes the last object in a directory removes the directory.
                            tries += 1;
                            inner.forget_way(&dir);
                        } else {
                            return Err(Failure::Status(status, text));
                        }
                    }
                }
            }
        })
    }

    /// Renames the file. Servers should refuse a name that is taken, and some do not: it is looked
    /// at first.
    fn rename(&self, session: &Session, target: &str) -> Result<(), Failure> {
        if missing(session.stat(&Request::LinkStat(target)))? {
            session.done(&Request::Rename(&self.temporary, target))
        } else {
            Err(Failure::Status(Status::Failure, String::new()))
        }
    }

    /// Whose the object at `target` is. It can be one's own when the answer to an attempt was lost.
    fn holder(&self, session: &Session, target: &str, is_lost: bool) -> Result<Holder, Failure> {
        let stat = |path: &str| session.stat(&Request::LinkStat(path));
        let found = match stat(target) {
            Err(failure) if failure.is_missing() => return Ok(Holder::Nobody),
            found => found?,
        };
        if !is_lost {
            return Ok(Holder::Another);
        }
        let is_ours = match self.is_same_file(session, target, &found)? {
            Some(is_same) => is_same,
            // Renamed, or somebody has tidied up.
            None => self.is_content_of(session, target)?,
        };
        Ok(if is_ours { Holder::Us } else { Holder::Another })
    }

    /// Whether `target`, of which `found` is known, is another name of the temporary file; `None`
    /// when that is gone, or cannot be told. Nothing in SFTP says which file a name is of, but the
    /// times of a file show under all of its names.
    fn is_same_file(
        &self,
        session: &Session,
        target: &str,
        found: &Attributes,
    ) -> Result<Option<bool>, Failure> {
        let own = match session.stat(&Request::LinkStat(&self.temporary)) {
            Err(failure) if failure.is_missing() => return Ok(None),
            own => own?,
        };
        let mark = u32::try_from(random() % MOST_TIME).unwrap_or(1);
        if own.modified.is_none() || found.modified.is_none() || found.modified == Some(mark) {
            return Ok(None);
        }
        match session.done(&Request::SetTimes(&self.temporary, mark)) {
            Err(Failure::Status(..)) => return Ok(None),
            set => set?,
        }
        let now = session.stat(&Request::LinkStat(target))?;
        let back = own.modified.unwrap_or(mark);
        let _ = session.done(&Request::SetTimes(&self.temporary, back));
        Ok(Some(now.modified == Some(mark)))
    }

    /// Makes the name durable, and removes the other one.
    fn settle(&mut self) -> Result<(), Failure> {
        let asked = Fsync::ask(&self.upload.session, &self.upload.handle);
        self.remove();
        match asked.and_then(Fsync::wait) {
            Err(Failure::Lost(_)) => {
                let inner = &self.inner;
                let settled = inner.again(|session| inner.settle(session, &self.name));
                self.remove();
                settled
            }
            settled => settled,
        }
    }

    /// Removes the temporary name. What cannot be removed is listed as left over.
    fn remove(&mut self) {
        self.is_gone = true;
        let upload = &self.upload;
        upload.session.close(&upload.handle);
        // A connection that was lost is not made anew for this.
        let session = lock(&self.inner.session).clone();
        if let Some(session) = session.filter(|it| it.is_alive()) {
            let _ = session.done(&Request::Remove(&self.temporary));
        }
    }
}

impl Inner {
    /// Whether no directory down to `dir` is a link or has the name of a document; one that is not
    /// there is neither.
    fn is_plain_way(&self, session: &Session, dir: &str) -> Result<bool, Failure> {
        match self.is_open(session, dir) {
            Err(failure) if failure.is_missing() => Ok(true),
            is_open => is_open,
        }
    }
}

/// Whether a name is not there.
fn missing(found: Result<Attributes, Failure>) -> Result<bool, Failure> {
    match found {
        Ok(_) => Ok(false),
        Err(failure) if failure.is_missing() => Ok(true),
        Err(failure) => Err(failure),
    }
}

impl Write for Pending {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        let room = CHUNK.saturating_sub(self.buffer.len());
        let taken = content.get(..room).unwrap_or(content);
        self.buffer.extend_from_slice(taken);
        if self.buffer.len() >= CHUNK {
            self.send(WINDOW.saturating_sub(1))
                .map_err(|e| io::Error::other(self.inner.failed_object("write", &self.name, e)))?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl PendingObject for Pending {
    fn publish(mut self: Box<Self>) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        let name = self.name.clone();
        let failed = |failure: Failure| {
            if failure.is_missing() {
                removed_by_others(&name)
            } else {
                inner.failed_object("write", &name, failure)
            }
        };
        self.finish().map_err(failed)?;
        match self.give_name().map_err(failed)? {
            Publication::Done => {}
            Publication::Taken => return Err(name_taken(&name)),
            Publication::Removed => return Err(removed_by_others(&name)),
        }
        inner.know_file(&name);
        self.settle()
            .map_err(|e| inner.failed_object("make durable", &name, e))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.is_gone {
            self.remove();
        }
    }
}

/// The error for a temporary file that somebody else has removed.
fn removed_by_others(name: &ObjectName) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("what was written of object {name} was removed by another process"),
    )
}
