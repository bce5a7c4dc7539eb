//! One object on its way into the repository copied to, whatever lies in its place.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::manifest::{Descriptions, stored_as};
use super::problem::{CopyProblem, CopyProblemKind};
use super::shelf::{Known, Shelf};
use super::stream::{Cargo, Failure, send};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Millis;
use crate::progress::Progress;
use crate::repository::copies::{Copies, Trust};
use crate::repository::{
    Digest, EncryptedForm, Repository, StoredObject, damage, digest_of_object, mended_object,
    original,
};
use crate::store::{ObjectName, Store};

/// What became of an object.
#[derive(Clone, Debug)]
pub(super) enum Brought {
    /// It lies under its own name.
    Sound,
    /// Its name is taken; this one has its bytes.
    Replaced(ObjectName),
    /// The repository copied from does not give its bytes.
    Missing(String),
}

/// Brings objects from one repository into another.
pub(super) struct Carrier<'a> {
    pub(super) from: &'a Repository,
    pub(super) to: &'a Repository,
    pub(super) shelf: &'a Shelf,
    pub(super) progress: &'a dyn Progress,
    pub(super) now: Millis,
    /// Opened when something is damaged, and not before.
    pub(super) copies: OnceLock<Copies>,
    pub(super) stored: Mutex<Descriptions>,
    pub(super) told: Mutex<Vec<CopyProblem>>,
    pub(super) sent: AtomicU64,
    pub(super) sent_bytes: AtomicU64,
    /// Objects of dead runs that were proved and taken over.
    pub(super) proved: AtomicU64,
}

impl<'a> Carrier<'a> {
    pub(super) fn new(
        from: &'a Repository,
        to: &'a Repository,
        shelf: &'a Shelf,
        progress: &'a dyn Progress,
        now: Millis,
    ) -> Self {
        Carrier {
            from,
            to,
            shelf,
            progress,
            now,
            copies: OnceLock::new(),
            stored: Mutex::default(),
            told: Mutex::default(),
            sent: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            proved: AtomicU64::new(0),
        }
    }

    /// Sees to it that the bytes of `object` are in the repository copied to.
    ///
    /// # Errors
    ///
    /// When that one fails, or the network to the other one.
    pub(super) fn bring(&self, object: &StoredObject) -> Result<Brought> {
        let mut known = self.shelf.know(object);
        if known == Known::Unproven {
            known = self.prove(object)?;
        }
        loop {
            match known {
                Known::There | Known::Unproven => {
                    self.keep_form(object, self.shelf.form_of(object));
                    return Ok(Brought::Sound);
                }
                Known::Free => match self.fetch_free(object)? {
                    Sent::Done => {
                        // A mark of what was here before.
                        let damage = &self.shelf.stock.damage;
                        damage.clear(self.to.store(), &object.name)?;
                        return Ok(Brought::Sound);
                    }
                    Sent::Unread(why) => return Ok(Brought::Missing(why)),
                    // Somebody else was faster.
                    Sent::Taken => known = self.prove(object)?,
                },
                Known::Taken => return self.replace(object),
            }
        }
    }

    /// Publishes `object` under its own name.
    fn fetch_free(&self, object: &StoredObject) -> Result<Sent> {
        if original(&object.name).is_some() {
            // Archives may name a replacement as any other object, and what a prune has to know
            // of replacements is published before the first.
            mended_object(self.to.store(), &object.name)?;
        }
        self.fetch(object, &object.name)
    }

    /// Whether what lies under the name of `object` is it: then it lies there for good.
    fn prove(&self, object: &StoredObject) -> Result<Known> {
        let (store, name) = (self.to.store(), &object.name);
        let found = match store.size(name) {
            Ok(bytes) if bytes == object.bytes => {
                digest_of_object(store, name, bytes, |_| ()).map(Some)
            }
            Ok(_) => Ok(None),
            Err(error) => Err(error),
        };
        match found {
            Ok(Some(digest)) if digest == object.sha256 => {
                // Whoever published it may have died before it was durable.
                if !is_settled(store, name)? {
                    return Ok(Known::Free);
                }
                self.proved.fetch_add(1, Ordering::Relaxed);
                let form = store.stored_form(name)?;
                self.keep_form(object, form.map(EncryptedForm::from));
                Ok(Known::There)
            }
            Err(gone) if gone.kind() == ErrorKind::NotFound => Ok(Known::Free),
            Err(error) if error.kind() == ErrorKind::Io && store.is_far() => Err(error),
            Ok(found) => {
                let found = found.map_or("another size".to_owned(), |found| found.to_string());
                let found = format!("expected SHA-256 {}, found {found}", object.sha256);
                damage::mark(store, name, &found, self.now)?;
                Ok(Known::Taken)
            }
            Err(error) => {
                damage::mark(store, name, &error.chain(), self.now)?;
                Ok(Known::Taken)
            }
        }
    }

    /// Stores what `object` should be beside what has its name.
    fn replace(&self, object: &StoredObject) -> Result<Brought> {
        let store = self.to.store();
        if let Some(name) = self.known_replacement(object)? {
            return Ok(Brought::Replaced(name));
        }
        let name = mended_object(store, &object.name)?;
        match self.fetch(object, &name)? {
            Sent::Done => {
                let detail = format!(
                    "{} is damaged or gone in {}, or its name is taken: its bytes are stored as {name}",
                    object.name,
                    store.describe()
                );
                self.tell(CopyProblemKind::ObjectTaken.at(object.name.as_str(), detail));
                Ok(Brought::Replaced(name))
            }
            Sent::Unread(why) => Ok(Brought::Missing(why)),
            Sent::Taken => Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("object {name} exists already"),
            )),
        }
    }

    /// What has the bytes of `object` among what stands in for it already.
    pub(super) fn known_replacement(&self, object: &StoredObject) -> Result<Option<ObjectName>> {
        let store = self.to.store();
        for (name, listed) in self.shelf.replacements(object) {
            if store.size_of_listed(name, listed).ok() != Some(object.bytes) {
                continue;
            }
            let digest = digest_of_object(store, name, object.bytes, |_| ());
            if digest.ok() == Some(object.sha256) && is_settled(store, name)? {
                self.proved.fetch_add(1, Ordering::Relaxed);
                return Ok(Some(name.clone()));
            }
        }
        Ok(None)
    }

    /// Publishes `object` as `name`, if it can be read as it should be; whether it could.
    pub(super) fn send_as(&self, object: &StoredObject, name: &ObjectName) -> Result<bool> {
        Ok(matches!(self.send(object, &object.name, name)?, Sent::Done))
    }

    /// Publishes the bytes of `object` as `name`, from wherever the repository copied from has
    /// them.
    fn fetch(&self, object: &StoredObject, name: &ObjectName) -> Result<Sent> {
        let mut why = match self.send(object, &object.name, name)? {
            Sent::Unread(why) => why,
            sent => return Ok(sent),
        };
        let copies = self.copies()?;
        for place in copies.places(object) {
            let has_bytes = match place.trust {
                // It could be read now: once more.
                Trust::Sound | Trust::TooLong | Trust::Older | Trust::Elsewhere => true,
                // Of some that stand in for it only the files are the same.
                Trust::Mended => copies.is_copy(&place.name, object),
                Trust::Damaged => false,
            };
            if !has_bytes {
                continue;
            }
            match self.send(object, &place.name, name)? {
                Sent::Unread(again) => why = again,
                Sent::Taken => return Ok(Sent::Taken),
                Sent::Done => {
                    let (object, from) = (&object.name, self.from.store().describe());
                    let detail = format!(
                        "{object} is damaged or gone in {from} ({why}), and {place} there has its bytes"
                    );
                    self.tell(CopyProblemKind::ObjectHealed.at(object.as_str(), detail));
                    return Ok(Sent::Done);
                }
            }
        }
        Ok(Sent::Unread(why))
    }

    /// Publishes `object`, as it is read from the beginning of `place`, as `name`.
    fn send(&self, object: &StoredObject, place: &ObjectName, name: &ObjectName) -> Result<Sent> {
        let cargo = Cargo {
            from: self.from.store(),
            name: place,
            bytes: object.bytes,
            sha256: object.sha256,
        };
        match send(&cargo, self.to.store(), name, self.progress) {
            Ok(form) => {
                self.sent.fetch_add(1, Ordering::Relaxed);
                self.sent_bytes.fetch_add(object.bytes, Ordering::Relaxed);
                let own = stored_as(object, form);
                let own = StoredObject {
                    name: name.clone(),
                    ..own
                };
                self.keep_form(&own, own.encrypted);
                Ok(Sent::Done)
            }
            Err(Failure::Taken) => Ok(Sent::Taken),
            Err(Failure::Writing(error)) => Err(error),
            // A network that fails says nothing of what lies there.
            Err(Failure::Reading(error))
                if error.kind() == ErrorKind::Io && self.from.store().is_far() =>
            {
                Err(error)
            }
            Err(Failure::Reading(error)) => Ok(Sent::Unread(error.chain())),
        }
    }

    /// Takes down in which form `object` is stored in the repository copied to.
    pub(super) fn keep_form(&self, object: &StoredObject, encrypted: Option<EncryptedForm>) {
        if encrypted.is_some() {
            let described = StoredObject {
                encrypted,
                ..object.clone()
            };
            let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
            stored.insert(object.name.clone(), described);
        }
    }

    /// Where else the repository copied from has what is damaged in it.
    pub(super) fn copies(&self) -> Result<&Copies> {
        if let Some(copies) = self.copies.get() {
            return Ok(copies);
        }
        let copies = Copies::new(self.from)?;
        Ok(self.copies.get_or_init(|| copies))
    }

    pub(super) fn tell(&self, problem: CopyProblem) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.push(problem);
    }

    /// The digest of an object of the repository copied from that no archive describes.
    pub(super) fn digest(&self, name: &ObjectName, bytes: u64) -> Result<Digest> {
        digest_of_object(self.from.store(), name, bytes, |_| ())
    }
}

/// Makes an object durable; whether it is still there.
fn is_settled(store: &dyn Store, name: &ObjectName) -> Result<bool> {
    match store.settle(name) {
        Err(gone) if gone.kind() == ErrorKind::NotFound => Ok(false),
        settled => settled.map(|()| true),
    }
}

/// What came of an attempt.
enum Sent {
    Done,
    /// The name is taken.
    Taken,
    /// Why the bytes could not be read.
    Unread(String),
}
