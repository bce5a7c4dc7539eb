//! Lists of what a server holds: each directory is read once, many at a time, and sizes come with
//! the names.

use std::collections::VecDeque;

use super::address::SftpAddress;
use super::failure::Failure;
use super::packet::{Attributes, Entry, Kind, Request};
use super::place::{DOCUMENT, LOST_AND_FOUND};
use super::session::Session;
use crate::store::ObjectName;
use crate::store::name::{TEMPORARY, is_component};

/// Directories that are read at a time.
const DIRS_AT_A_TIME: usize = 32;

/// Most names that are read: a server that goes on for ever is stopped somewhere.
const MAX_NAMES: usize = 10_000_000;

/// Longest path below the root, in bytes, that is gone down.
const MAX_DEPTH: usize = 512;

/// A name that was found.
#[derive(Debug)]
pub(super) enum Found {
    Object(ObjectName),
    Unpublished(String),
    Foreign(String),
    /// A directory that is gone down.
    Dir(String),
}

/// A directory that is being read.
struct Open {
    dir: String,
    handle: Vec<u8>,
}

/// Calls `visit` with everything below `dir` whose name may begin with `prefix`. Links are not
/// followed. What is not there has nothing below it.
pub(super) fn walk(
    session: &Session,
    address: &SftpAddress,
    dir: &str,
    prefix: &str,
    visit: &mut dyn FnMut(Found, &Attributes),
) -> Result<(), Failure> {
    let mut waiting = VecDeque::from([dir.to_owned()]);
    let mut open: Vec<Open> = Vec::new();
    let mut seen = 0_usize;
    loop {
        let room = DIRS_AT_A_TIME.saturating_sub(open.len()).min(waiting.len());
        let asked: Vec<_> = waiting
            .drain(..room)
            .map(|dir| {
                let path = path_of(address, &dir);
                let ticket = session.send(&Request::OpenDir(&path))?;
                Ok((dir, ticket))
            })
            .collect::<Result<_, Failure>>()?;
        for (dir, ticket) in asked {
            match ticket.handle() {
                Ok(handle) => open.push(Open { dir, handle }),
                // Whoever deletes the last object in a directory removes the directory.
                Err(failure) if failure.is_missing() => {}
                Err(failure) => return Err(failure),
            }
        }
        if open.is_empty() && waiting.is_empty() {
            return Ok(());
        }
        let tickets: Vec<_> = open
            .iter()
            .map(|open| session.send(&Request::ReadDir(&open.handle)))
            .collect::<Result<_, Failure>>()?;
        let mut still_open = Vec::new();
        for (open, ticket) in std::mem::take(&mut open).into_iter().zip(tickets) {
            let entries = ticket.names()?;
            if entries.is_empty() {
                session.close(&open.handle);
                continue;
            }
            seen = seen.saturating_add(entries.len());
            if seen > MAX_NAMES {
                return Err(Failure::Garbled(format!("more than {MAX_NAMES} names")));
            }
            for entry in entries {
                let Some(name) = own_name(&entry)? else {
                    continue;
                };
                let attributes = attributes_of(session, address, &open.dir, &name, &entry)?;
                let found = classify(&open.dir, &name, attributes.kind());
                if let Some(Found::Dir(below)) = &found {
                    let slashed = format!("{below}/");
                    if slashed.starts_with(prefix) || prefix.starts_with(&slashed) {
                        waiting.push_back(below.clone());
                    }
                }
                if let Some(found) = found {
                    visit(found, &attributes);
                }
            }
            still_open.push(open);
        }
        open = still_open;
    }
}

/// The names in one directory, not of what is below them; `None` where there is none.
pub(super) fn names(
    session: &Session,
    address: &SftpAddress,
    dir: &str,
) -> Result<Option<Vec<String>>, Failure> {
    let handle = match session.open(&Request::OpenDir(&path_of(address, dir))) {
        Ok(handle) => handle,
        Err(failure) if failure.is_missing() => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let mut names = Vec::new();
    loop {
        let entries = session.send(&Request::ReadDir(&handle))?.names()?;
        if entries.is_empty() {
            session.close(&handle);
            return Ok(Some(names));
        }
        for entry in entries {
            names.extend(own_name(&entry)?);
        }
        if names.len() > MAX_NAMES {
            return Err(Failure::Garbled(format!("more than {MAX_NAMES} names")));
        }
    }
}

fn path_of(address: &SftpAddress, dir: &str) -> String {
    if dir.is_empty() {
        address.root().to_owned()
    } else {
        address.path_of(dir)
    }
}

/// The name of an entry, unless it is the directory itself or the one above.
fn own_name(entry: &Entry) -> Result<Option<String>, Failure> {
    let name = String::from_utf8_lossy(&entry.name);
    match &*name {
        "." | ".." => Ok(None),
        name if name.is_empty() || name.contains(['/', '\0']) => Err(Failure::Garbled(
            "a name in a directory that is none".to_owned(),
        )),
        name => Ok(Some(name.to_owned())),
    }
}

/// What is known of an entry; asked for when the list does not say what it is.
fn attributes_of(
    session: &Session,
    address: &SftpAddress,
    dir: &str,
    name: &str,
    entry: &Entry,
) -> Result<Attributes, Failure> {
    let listed = entry.attributes;
    let is_enough = listed.mode.is_some() && listed.size.is_some();
    if is_enough || !is_component(name) {
        return Ok(listed);
    }
    match session.stat(&Request::LinkStat(&address.path_of(&join(dir, name)))) {
        Err(failure) if failure.is_missing() => Ok(listed),
        asked => asked,
    }
}

/// What the entry `name` of `dir` is; `None` for what every fresh file system has.
fn classify(dir: &str, name: &str, kind: Kind) -> Option<Found> {
    let below = join(dir, name);
    let is_plain = is_component(name) && below.len() <= MAX_DEPTH;
    match kind {
        Kind::Dir if is_plain && !name.ends_with(DOCUMENT) => Some(Found::Dir(below)),
        Kind::File if is_plain && below.split('/').next() == Some(TEMPORARY) => {
            Some(Found::Unpublished(below))
        }
        Kind::File if is_plain => Some(match ObjectName::new(below.as_str()) {
            Ok(object) => Found::Object(object),
            Err(_) => Found::Foreign(below),
        }),
        Kind::Dir if !dir.contains('/') && name == LOST_AND_FOUND => None,
        Kind::File | Kind::Dir | Kind::Other => Some(Found::Foreign(below)),
    }
}

fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() {
        name.to_owned()
    } else {
        format!("{dir}/{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_their_directory_are_refused() {
        let entry = |name: &[u8]| Entry {
            name: name.to_vec(),
            attributes: Attributes::default(),
        };
        assert!(own_name(&entry(b"..")).unwrap().is_none());
        for bad in [&b"../x"[..], b"a/b", b"/", b"", b"a\0"] {
            assert!(own_name(&entry(bad)).is_err(), "{bad:?}");
        }
        assert_eq!(own_name(&entry(b"\xff")).unwrap().unwrap(), "\u{fffd}");
    }

    #[test]
    fn only_plain_files_are_objects() {
        let is_object = |found: Option<Found>| matches!(found, Some(Found::Object(_)));
        assert!(is_object(classify("blocks", "a", Kind::File)));
        for (dir, name, kind) in [
            ("blocks", "a b", Kind::File),
            ("blocks", "a", Kind::Other),
            ("tmp", "a", Kind::File),
            ("", "tmp", Kind::File),
            ("a", "one.json", Kind::Dir),
        ] {
            assert!(!is_object(classify(dir, name, kind)), "{dir}/{name}");
        }
        assert!(classify("", LOST_AND_FOUND, Kind::Dir).is_none());
    }
}
