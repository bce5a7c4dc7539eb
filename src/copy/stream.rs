//! The bytes of one object on their way from store to store.

use std::io::Write as _;

use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::repository::{Digest, Hasher};
use crate::store::{ObjectName, Store, StoredForm, write_error};

/// Bytes of an object that are held at a time: a piece that is fetched ahead.
const STEP: u64 = 4 << 20;

/// Why an object did not arrive.
#[derive(Debug)]
pub(super) enum Failure {
    /// It could not be read as it should be.
    Reading(Error),
    /// It could not be written, and nothing else can.
    Writing(Error),
    /// Its name is taken.
    Taken,
}

/// Where bytes are read, and what they should be.
pub(super) struct Cargo<'a> {
    pub(super) from: &'a dyn Store,
    pub(super) name: &'a ObjectName,
    pub(super) bytes: u64,
    pub(super) sha256: Digest,
}

/// Publishes `cargo` as the object `name` of `to`, if it is what it should be. Gives the form in
/// which it is stored there.
pub(super) fn send(
    cargo: &Cargo<'_>,
    to: &dyn Store,
    name: &ObjectName,
    progress: &dyn Progress,
) -> Result<Option<StoredForm>, Failure> {
    let writing = |error: Error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::Taken,
        _ => Failure::Writing(error),
    };
    let mut pending = to.create(name).map_err(writing)?;
    let mut sha256 = Hasher::default();
    let mut start = 0;
    while start < cargo.bytes {
        let end = cargo.bytes.min(start.saturating_add(STEP));
        let piece = cargo.from.get_range(cargo.name, start..end);
        let piece = piece.map_err(Failure::Reading)?;
        sha256.update(&piece);
        let written = pending.write_all(&piece);
        written.map_err(|e| Failure::Writing(write_error(name, e)))?;
        progress.advance(end - start);
        start = end;
    }
    let found = sha256.finish();
    if found != cargo.sha256 {
        return Err(Failure::Reading(Error::corrupt(format!(
            "expected SHA-256 {} of {}, found {found}",
            cargo.sha256, cargo.name
        ))));
    }
    let form = pending.finish().map_err(Failure::Writing)?;
    pending.publish().map_err(writing)?;
    Ok(form)
}
