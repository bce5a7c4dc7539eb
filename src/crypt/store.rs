//! A store whose objects are encrypted.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use super::envelope::{Envelope, MAX_HEADER};
use super::identity::Identities;
use super::known::{Known, KnownObjects};
use super::layout::stored_bytes;
use super::read::{RangeReader, decrypt};
use super::recipient::Recipients;
use super::write::{Encrypting, encrypt};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{
    Leftover, Locks, ObjectHistory, ObjectName, PendingObject, ReadStore, Store, StoredForm,
    TrafficCounts, beyond_end, too_large, write_error,
};

/// Bytes of an object that are read at a time.
const STEP: u64 = 4 << 20;

/// Says which objects are stored as they are written.
pub type InClear = dyn Fn(&ObjectName) -> bool + Send + Sync;

/// Encrypts what is written to another store, and decrypts what is read of it, except what is to
/// stay in clear. `get`, `get_range` and `size` speak of what was written; `list`, `stored_size`
/// and [`StoredForm`] of what lies there.
///
/// A host that has recipients alone can write, list, tell sizes and delete; reading needs
/// identities. What was read of an object's header is kept, for the 64 objects that were read last:
/// a further range of one needs one request. Another process that deletes an object and gives its
/// name to another is noticed when something is decrypted, not before.
pub struct EncryptedStore {
    inner: Arc<dyn Store>,
    in_clear: Box<InClear>,
    recipients: Option<Recipients>,
    identities: Option<Identities>,
    known: KnownObjects,
}

impl EncryptedStore {
    /// Encrypts objects of `inner`, but those for which `in_clear` says `true`. As it is, it
    /// neither writes nor reads any encrypted object.
    pub fn new(
        inner: Arc<dyn Store>,
        in_clear: impl Fn(&ObjectName) -> bool + Send + Sync + 'static,
    ) -> Self {
        EncryptedStore {
            inner,
            in_clear: Box::new(in_clear),
            recipients: None,
            identities: None,
            known: KnownObjects::default(),
        }
    }

    /// Encrypts to `recipients`.
    #[must_use]
    pub fn writing_to(mut self, recipients: Recipients) -> Self {
        self.recipients = Some(recipients);
        self
    }

    /// Decrypts with `identities`.
    #[must_use]
    pub fn reading_with(mut self, identities: Identities) -> Self {
        self.identities = Some(identities);
        self
    }

    /// The store as it is, where objects are what is stored: what is checked there needs no key.
    pub fn stored(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    /// Whether the object `name` is stored as it is written.
    pub fn is_in_clear(&self, name: &ObjectName) -> bool {
        (self.in_clear)(name)
    }

    /// Size and digest of the object `name` as it lies there, in clear or not.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn form_of_stored(&self, name: &ObjectName) -> Result<StoredForm> {
        let bytes = self.inner.size(name)?;
        let mut sha256 = Sha256::new();
        let mut start = 0;
        while start < bytes {
            let end = bytes.min(start.saturating_add(STEP));
            sha256.update(self.inner.get_range(name, start..end)?);
            start = end;
        }
        Ok(StoredForm {
            bytes,
            sha256: sha256.finalize().into(),
        })
    }

    /// What is known of `name`, which is read if it is not.
    fn know(&self, name: &ObjectName) -> Result<Arc<Known>> {
        if let Some(known) = self.known.get(name) {
            return Ok(known);
        }
        let stored = self.inner.size(name)?;
        let fetch = |range| self.inner.get_range(name, range);
        let (envelope, first) =
            Envelope::read(stored, &fetch).map_err(|e| e.context(object(name)))?;
        // Without an identity only the size is asked for, which the envelope has.
        let known = Known::new(envelope, first);
        Ok(self.known.insert(name, known))
    }

    fn reader(&self, name: &ObjectName) -> Result<Arc<RangeReader>> {
        let known = self.know(name)?;
        let identities = self.identities(name)?;
        let fetch = |range| self.inner.get_range(name, range);
        let reader = known.reader(|envelope, first| {
            RangeReader::new(envelope.clone(), first, identities, &fetch)
        });
        reader.map_err(|e| e.context(object(name)))
    }

    fn identities(&self, name: &ObjectName) -> Result<&Identities> {
        self.identities.as_ref().ok_or_else(|| no_identity(name))
    }

    fn read_range(&self, name: &ObjectName, range: &Range<u64>) -> Result<Vec<u8>> {
        let reader = self.reader(name)?;
        if range.start > range.end || range.end > reader.plain_size() {
            return Err(beyond_end(name, reader.plain_size(), range));
        }
        let fetch = |range| self.inner.get_range(name, range);
        let read = reader.read(range.clone(), &fetch);
        read.map_err(|e| e.context(object(name)))
    }
}

fn no_identity(name: &ObjectName) -> Error {
    Error::new(
        ErrorKind::Locked,
        format!("cannot read object {name}: it is encrypted, and no identity was given"),
    )
    .advise("give one that can read it with --identity FILE")
}

/// What errors about the content of `name` begin with.
fn object(name: &ObjectName) -> String {
    format!("object {name}")
}

impl fmt::Debug for EncryptedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedStore")
            .field("inner", &self.inner)
            .field("recipients", &self.recipients)
            .field("identities", &self.identities)
            .finish_non_exhaustive()
    }
}

impl ReadStore for EncryptedStore {
    fn get(&self, name: &ObjectName, max_bytes: u64) -> Result<Vec<u8>> {
        if self.is_in_clear(name) {
            return self.inner.get(name, max_bytes);
        }
        let limit = stored_bytes(max_bytes, MAX_HEADER);
        let Some(identities) = &self.identities else {
            self.inner.size(name)?;
            return Err(no_identity(name));
        };
        let stored = self.inner.get(name, limit)?;
        let plain = decrypt(&stored, identities).map_err(|e| e.context(object(name)))?;
        match plain.len() as u64 {
            bytes if bytes > max_bytes => Err(too_large(name, bytes, max_bytes)),
            _ => Ok(plain),
        }
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>> {
        if self.is_in_clear(name) {
            return self.inner.get_range(name, range);
        }
        let was_known = self.known.get(name).is_some();
        match self.read_range(name, &range) {
            // The name may have come to be another object's.
            Err(e) if was_known && e.kind() == ErrorKind::Corrupt => {
                self.known.forget(name);
                self.read_range(name, &range)
            }
            read => read,
        }
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        if self.is_in_clear(name) {
            return self.inner.size(name);
        }
        self.know(name).map(|known| known.envelope().plain_size())
    }

    fn stored_size(&self, name: &ObjectName) -> Result<u64> {
        self.inner.stored_size(name)
    }

    fn arrivals(&self, prefix: &str) -> Result<BTreeMap<ObjectName, SystemTime>> {
        self.inner.arrivals(prefix)
    }

    fn size_of_listed(&self, name: &ObjectName, listed: u64) -> Result<u64> {
        if self.is_in_clear(name) {
            return Ok(listed);
        }
        self.size(name)
    }

    fn stored_form(&self, name: &ObjectName) -> Result<Option<StoredForm>> {
        if self.is_in_clear(name) {
            return Ok(None);
        }
        self.form_of_stored(name).map(Some)
    }

    fn expect(&self, objects: &[(ObjectName, u64)]) {
        self.inner.expect(objects);
    }

    fn list(&self, prefix: &str) -> Result<Vec<(ObjectName, u64)>> {
        self.inner.list(prefix)
    }

    fn is_far(&self) -> bool {
        self.inner.is_far()
    }

    fn traffic(&self) -> Option<TrafficCounts> {
        self.inner.traffic()
    }

    fn history(&self) -> Option<&dyn ObjectHistory> {
        self.inner.history()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

impl Store for EncryptedStore {
    fn create(&self, name: &ObjectName) -> Result<Box<dyn PendingObject>> {
        if self.is_in_clear(name) {
            return self.inner.create(name);
        }
        let recipients = self.recipients.as_ref().ok_or_else(|| {
            Error::refused(format!(
                "cannot write object {name}: it is to be encrypted, and no recipient is known"
            ))
        })?;
        let measured = Measured {
            inner: self.inner.create(name)?,
            bytes: 0,
            sha256: Sha256::new(),
        };
        // The header is written in small pieces.
        let buffered = BufWriter::with_capacity(4096, measured);
        let failed = |e: Error| e.context(format!("cannot write object {name}"));
        Ok(Box::new(Pending {
            name: name.clone(),
            state: State::Open(encrypt(buffered, recipients).map_err(failed)?),
        }))
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        self.known.forget(name);
        self.inner.delete(name)
    }

    fn settle(&self, name: &ObjectName) -> Result<()> {
        self.inner.settle(name)
    }

    fn leftovers(&self, prefix: &str) -> Result<Vec<Leftover>> {
        self.inner.leftovers(prefix)
    }

    fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        self.inner.remove_leftover(leftover)
    }

    fn is_create_only(&self) -> Result<bool> {
        self.inner.is_create_only()
    }

    fn try_create_only(&self) -> Result<bool> {
        self.inner.try_create_only()
    }

    fn locks(&self) -> Option<&dyn Locks> {
        self.inner.locks()
    }

    fn is_vacant(&self) -> Result<bool> {
        self.inner.is_vacant()
    }
}

/// Passes on what it is told to write, and takes down how much that is.
struct Measured {
    inner: Box<dyn PendingObject>,
    bytes: u64,
    sha256: Sha256,
}

impl Write for Measured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.sha256.update(bytes.get(..count).unwrap_or(bytes));
        self.bytes = self.bytes.saturating_add(count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

struct Pending {
    name: ObjectName,
    state: State,
}

enum State {
    Open(Encrypting<BufWriter<Measured>>),
    Finished(Box<dyn PendingObject>, StoredForm),
    /// What was begun could not be ended.
    Failed,
}

impl Pending {
    /// Ends the object, if that has not been done.
    fn end(&mut self) -> io::Result<StoredForm> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Open(open) => {
                let buffered = open.finish()?;
                let measured = buffered
                    .into_inner()
                    .map_err(io::IntoInnerError::into_error)?;
                let form = StoredForm {
                    bytes: measured.bytes,
                    sha256: measured.sha256.finalize().into(),
                };
                self.state = State::Finished(measured.inner, form);
                Ok(form)
            }
            State::Finished(inner, form) => {
                self.state = State::Finished(inner, form);
                Ok(form)
            }
            State::Failed => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.state {
            State::Open(open) => open.write(bytes),
            State::Finished(..) | State::Failed => {
                Err(io::Error::other("the object has been ended"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.state {
            State::Open(open) => open.flush(),
            State::Finished(..) | State::Failed => Ok(()),
        }
    }
}

impl PendingObject for Pending {
    fn finish(&mut self) -> Result<Option<StoredForm>> {
        let form = self.end();
        form.map(Some).map_err(|e| write_error(&self.name, e))
    }

    fn publish(mut self: Box<Self>) -> Result<()> {
        self.finish()?;
        match self.state {
            State::Finished(inner, _) => inner.publish(),
            State::Open(_) | State::Failed => {
                Err(write_error(&self.name, io::ErrorKind::BrokenPipe.into()))
            }
        }
    }
}
