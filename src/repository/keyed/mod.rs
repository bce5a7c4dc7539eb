//! An encrypted repository, as those see it who have some of its keys.
//!
//! Data is encrypted as it is ([`EncryptedStore`]); a manifest gets a [cover](super::cover), which
//! is written and read here, so that whoever works with archives sees plain manifests. What is
//! under no key: the descriptor, the key documents, claims, marks and warrants, which name objects
//! and nothing else.
//!
//! Whoever has no identity can write, and read nothing back but what [`Memory`] holds: what this
//! machine has written itself.

mod manifest;
mod memory;
mod sealed;
mod trust;
mod witness;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

pub use memory::Memory;
pub use sealed::Sealed;
pub use trust::Voucher;
pub use witness::{LostWitness, MissingManifests, SeenWitness, Witness, WitnessMemory};

use super::layout::{ARCHIVES, DATA, DESCRIPTOR, MENDED};
use super::{Digest, MAX_MANIFEST_BYTES, ManifestName, PartName, original};
use crate::crypt::keys::{KeptDocuments, KeyChain, KeyPin, key_object, source_id};
use crate::crypt::sign::SigningKey;
use crate::crypt::{EncryptedStore, Identities, Identity};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{
    Leftover, Locks, ObjectHistory, ObjectName, PendingObject, ReadStore, Store, StoredForm,
    TrafficCounts,
};

/// What a machine brings along to work with encrypted repositories.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    /// What it reads with; nothing, where it is to write only.
    pub identities: Option<Identities>,
    /// What it signs archives with.
    pub signing: Option<SigningKey>,
    /// Fingerprint of the administrator's key that it believes; `None` where it believes the
    /// repository.
    pub admin: Option<String>,
    /// Number of the newest key document that it has seen.
    pub seen: u32,
    /// The newest witness that it has seen of each repository, or part of one, by its
    /// [scope](KeyedStore::scope).
    pub witnesses: BTreeMap<String, SeenWitness>,
    /// What remembers the newest witness that it sees.
    pub witness_memory: Option<Arc<dyn WitnessMemory>>,
    /// Where it keeps what it has written, if it cannot read that back.
    pub memory: Option<PathBuf>,
    /// Where it keeps key documents that it has read, if it need not read them again.
    pub documents: Option<KeptDocuments>,
    /// Whether those stand in for documents that are gone from the repository.
    pub kept_stand_in: bool,
    /// Whether archives count that nobody has signed who may.
    pub accept_unsigned: bool,
}

impl Keyring {
    /// The key documents of the repository with this `id`, proved by the administrator's key that
    /// is believed, or else by `told`, which the descriptor says.
    ///
    /// # Errors
    ///
    /// As [`KeyChain::read`] says.
    pub fn chain(&self, store: &dyn Store, id: &str, told: &str) -> Result<KeyChain> {
        let pin = KeyPin {
            repository: id,
            admin: self.admin.as_deref().unwrap_or(told),
            seen: self.seen,
            kept: self.documents.as_ref(),
            kept_stand_in: self.kept_stand_in,
        };
        KeyChain::read(store, &pin)
    }
}

/// The view of a repository that has keys; see the [module](self).
pub struct KeyedStore {
    objects: EncryptedStore,
    inner: Arc<dyn Store>,
    chain: KeyChain,
    keyring: Keyring,
    memory: Option<Memory>,
    /// What the repository, or this part of it, is called in witnesses and on this machine.
    scope: String,
    /// The manifests that the newest witness lists, once somebody has asked.
    seen: OnceLock<BTreeMap<ObjectName, Digest>>,
}

impl KeyedStore {
    /// What `inner` holds, as whoever has `keyring` sees it; `chain` are the repository's key
    /// documents, and `told` is whose they are as the repository says. It may be a `part` of a
    /// repository.
    ///
    /// # Errors
    ///
    /// `Invalid`, when there is nobody to encrypt to; when what was remembered cannot be read.
    pub fn new(
        inner: Arc<dyn Store>,
        chain: KeyChain,
        keyring: Keyring,
        told: Option<String>,
        part: Option<&PartName>,
    ) -> Result<Self> {
        let keyring = Keyring {
            admin: keyring.admin.or(told),
            ..keyring
        };
        let mut objects = EncryptedStore::new(Arc::clone(&inner), is_in_clear);
        objects = objects.writing_to(chain.recipients()?);
        if let Some(identities) = &keyring.identities {
            objects = objects.reading_with(identities.clone());
        }
        let dir = keyring.memory.as_deref();
        let dir = dir.filter(|_| keyring.identities.is_none());
        let part = part.map_or("", PartName::as_str);
        let scope = format!("{}{part}", chain.newest().repository);
        let memory = dir.map(|dir| Memory::of(dir, &scope));
        Ok(KeyedStore {
            scope,
            objects,
            inner,
            memory: memory.transpose()?,
            chain,
            keyring,
            seen: OnceLock::new(),
        })
    }

    /// The same view of `inner`, a part of the repository.
    ///
    /// # Errors
    ///
    /// As [`KeyedStore::new`].
    pub fn of_part(&self, inner: Arc<dyn Store>, part: Option<&PartName>) -> Result<Self> {
        KeyedStore::new(inner, self.chain.clone(), self.keyring.clone(), None, part)
    }

    /// The store as it is.
    pub(in crate::repository) fn raw(&self) -> Arc<dyn Store> {
        Arc::clone(&self.inner)
    }

    /// What the repository, or this part of it, is called on this machine.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Whether it reads what others have written.
    pub fn can_read(&self) -> bool {
        self.keyring.identities.is_some()
    }

    /// Refuses a source whose archives this machine could not sign.
    ///
    /// # Errors
    ///
    /// `Refused`, when archives have to be signed, and there is no key for that, or none that may.
    pub fn refuse_unheard(&self, source_name: &str) -> Result<()> {
        let newest = self.chain.newest();
        if newest.signers.is_empty() {
            return Ok(());
        }
        let Some(key) = &self.keyring.signing else {
            return Err(manifest::no_signing_key());
        };
        if self.keyring.accept_unsigned {
            return Ok(());
        }
        let source = source_id(&newest.repository, source_name);
        manifest::refuse_unheard(&self.chain, key, &source, source_name)
    }

    /// Whether one of the identities opens what is written from now on; `None` without one, or
    /// where not all of them say whose they are.
    pub fn opens_what_is_written(&self) -> Option<bool> {
        let identities = self.keyring.identities.as_ref()?;
        let recipients = &self.chain.newest().recipients;
        let mut own = identities.iter().map(Identity::recipient);
        if own.any(|own| own.is_some_and(|own| recipients.contains(&own))) {
            return Some(true);
        }
        let mut own = identities.iter().map(Identity::recipient);
        own.all(|own| own.is_some()).then_some(false)
    }

    /// The store as it is.
    pub fn stored(&self) -> &dyn Store {
        &*self.inner
    }

    /// Fingerprint of the administrator's key that is believed.
    pub fn admin(&self) -> &str {
        self.keyring.admin.as_deref().unwrap_or_default()
    }

    /// What this machine signs with, if anything.
    pub fn signing(&self) -> Option<&SigningKey> {
        self.keyring.signing.as_ref()
    }

    /// The key documents.
    pub fn chain(&self) -> &KeyChain {
        &self.chain
    }

    /// The lists of keys that are gone from the repository, as this machine keeps them: the object
    /// that each belongs in, and its bytes.
    ///
    /// # Errors
    ///
    /// None that is known.
    pub fn gone_lists(&self) -> Result<Vec<(ObjectName, &[u8])>> {
        let gone = self.chain.gone().iter();
        let named = gone.map(|(number, content)| Ok((key_object(*number)?, &**content)));
        named.collect()
    }

    /// Refuses to change what is there while lists of keys are gone that were seen.
    ///
    /// # Errors
    ///
    /// `Refused`.
    pub fn refuse_gone(&self) -> Result<()> {
        match self.chain.gone() {
            [] => Ok(()),
            [(number, _), ..] => Err(Error::refused(format!(
                "the list of keys {number}, which this machine has seen, is gone from the repository: somebody has removed it, \
                 or shows an older state"
            ))
            .advise("narthex repair puts it back as this machine keeps it")),
        }
    }

    /// What this machine remembers, if it has to.
    pub fn memory(&self) -> Option<&Memory> {
        self.memory.as_ref()
    }

    /// What remembers `name`, where it is not to be read where it lies. What a machine that only
    /// writes has forgotten it is refused: it could not decrypt it, and the store may not let it
    /// look either.
    fn remembered(&self, name: &ObjectName) -> Result<Option<&Memory>> {
        let Some(memory) = self.memory.as_ref().filter(|_| !is_in_clear(name)) else {
            return Ok(None);
        };
        if memory.has(name) {
            return Ok(Some(memory));
        }
        if self.can_read() {
            return Ok(None);
        }
        Err(Error::new(
            ErrorKind::Locked,
            format!(
                "object {name} is encrypted, and this machine, which only writes, does not remember it"
            ),
        ))
    }
}

/// Whether an object is stored as it is written, or has a cover.
fn is_in_clear(name: &ObjectName) -> bool {
    let text = name.as_str();
    let is_descriptor = || original(name).is_some_and(|it| it.as_str() == DESCRIPTOR);
    let is_data = DATA.iter().any(|prefix| text.starts_with(prefix));
    !is_data || (text.starts_with(MENDED) && is_descriptor())
}

fn is_manifest(name: &ObjectName) -> bool {
    name.as_str().starts_with(ARCHIVES) && ManifestName::parse(name).is_some()
}

impl fmt::Debug for KeyedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyedStore").field(&self.objects).finish()
    }
}

impl ReadStore for KeyedStore {
    fn get(&self, name: &ObjectName, max_bytes: u64) -> Result<Vec<u8>> {
        if is_manifest(name) {
            if let Some(memory) = self.memory.as_ref().filter(|memory| memory.has(name)) {
                return memory.get(name, max_bytes);
            }
            let stored = self.inner.get(name, max_bytes.max(MAX_MANIFEST_BYTES))?;
            return self.open_manifest(name, stored);
        }
        match self.remembered(name)? {
            Some(memory) => memory.get(name, max_bytes),
            None => self.objects.get(name, max_bytes),
        }
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>> {
        match self.remembered(name)? {
            Some(memory) => memory.get_range(name, range),
            None => self.objects.get_range(name, range),
        }
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        match self.remembered(name)? {
            Some(memory) => memory.size(name),
            None => self.objects.size(name),
        }
    }

    fn stored_size(&self, name: &ObjectName) -> Result<u64> {
        self.inner.stored_size(name)
    }

    fn size_of_listed(&self, name: &ObjectName, listed: u64) -> Result<u64> {
        match self.remembered(name)? {
            Some(memory) => memory.size(name),
            None => self.objects.size_of_listed(name, listed),
        }
    }

    fn stored_form(&self, name: &ObjectName) -> Result<Option<StoredForm>> {
        if let Some(memory) = &self.memory
            && memory.has(name)
        {
            return memory.form(name).map(Some);
        }
        if is_manifest(name) {
            return self.objects.form_of_stored(name).map(Some);
        }
        self.objects.stored_form(name)
    }

    fn list(&self, prefix: &str) -> Result<Vec<(ObjectName, u64)>> {
        self.inner.list(prefix)
    }

    fn arrivals(&self, prefix: &str) -> Result<BTreeMap<ObjectName, SystemTime>> {
        self.inner.arrivals(prefix)
    }

    fn list_many(&self, prefixes: &[&str]) -> Result<Vec<(ObjectName, u64)>> {
        self.inner.list_many(prefixes)
    }

    fn expect(&self, objects: &[(ObjectName, u64)]) {
        if self.can_read() {
            self.inner.expect(objects);
        }
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

impl Store for KeyedStore {
    fn create(&self, name: &ObjectName) -> Result<Box<dyn PendingObject>> {
        if is_manifest(name) {
            return self.create_manifest(name);
        }
        let pending = self.objects.create(name)?;
        match &self.memory {
            Some(memory) if !is_in_clear(name) => memory.beside(name, pending),
            _ => Ok(pending),
        }
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        self.objects.delete(name)?;
        match &self.memory {
            Some(memory) => memory.forget(name),
            None => Ok(()),
        }
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

/// The error for a repository without the key documents it needs.
pub(super) fn no_keys(error: Error) -> Error {
    if error.kind() == ErrorKind::NotFound {
        error
            .context("the repository is encrypted, and says to nobody's key")
            .advise("narthex init --recipient KEY --admin FILE, with the same administrator's key, ends what was begun")
    } else {
        error
    }
}
