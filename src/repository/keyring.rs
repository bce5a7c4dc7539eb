//! Repositories with keys: made, opened, and what can be read of them.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::Repository;
#[cfg(feature = "encryption")]
use super::Server;
use super::layout::ARCHIVES;
use super::{Archive, Digest, ManifestLink};
#[cfg(feature = "encryption")]
use super::{Descriptor, find, keyed, make};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{ObjectName, Store};

/// How many manifests of each source a machine remembers that cannot read them.
#[cfg(feature = "encryption")]
const REMEMBERED: usize = 30;

#[cfg(feature = "encryption")]
mod with_keys {
    use std::sync::Arc;

    use super::{Descriptor, Repository, find, keyed, make};
    use crate::crypt::Recipient;
    use crate::crypt::keys::{AllowedSigner, KeyDocument};
    use crate::crypt::sign::SigningKey;
    use crate::error::{Error, Result};
    use crate::model::now;
    use crate::repository::layout::{ARCHIVES, KEYS, WITNESSES, witness_number, witness_object};
    use crate::repository::{Parts, versions};
    use crate::store::{ObjectName, Store};
    use keyed::{KeyedStore, Keyring};

    /// The descriptor of a repository of `admin` that has no list of keys yet.
    fn unfinished(store: &dyn Store, admin: &SigningKey) -> Option<Descriptor> {
        let (descriptor, trouble) = find(store).ok()?;
        let is_own = descriptor.admin.as_ref() == Some(&admin.public().fingerprint());
        let is_empty = store.list(crate::crypt::keys::KEYS_PREFIX).ok()?.is_empty();
        (is_own && is_empty && trouble.is_none()).then_some(descriptor)
    }

    impl Repository {
        /// Makes a new repository in a store that is empty, encrypted to `recipients`. `admin` is
        /// the key that signs this and every later list of keys, and that no host should have;
        /// `signers` name their sources as they are.
        ///
        /// # Errors
        ///
        /// As [`Repository::init`]; `Invalid`, when there is no recipient.
        pub fn init_encrypted(
            store: Arc<dyn Store>,
            admin: &SigningKey,
            recipients: Vec<Recipient>,
            signers: Vec<AllowedSigner>,
            keyring: Keyring,
        ) -> Result<Self> {
            Parts::init_encrypted(store, admin, recipients, signers, keyring, false)?.whole()
        }
    }

    impl Parts {
        /// Makes a new repository, as [`Repository::init_encrypted`] does, in parts if `by_source`.
        ///
        /// # Errors
        ///
        /// As there.
        pub fn init_encrypted(
            store: Arc<dyn Store>,
            admin: &SigningKey,
            recipients: Vec<Recipient>,
            signers: Vec<AllowedSigner>,
            keyring: Keyring,
            by_source: bool,
        ) -> Result<Self> {
            crate::crypt::Recipients::new(recipients.iter().cloned())?;
            let wanted = Descriptor::new(Some(admin.public().fingerprint()), by_source);
            // One that was killed half-way is ended.
            let descriptor = make(&*store, wanted).or_else(|taken| {
                let unfinished = unfinished(&*store, admin);
                unfinished
                    .filter(|it| it.by_source == by_source)
                    .ok_or(taken)
            })?;
            let signers = signers.into_iter();
            let signers = signers
                .map(|signer| signer.in_repository(&descriptor.id))
                .collect();
            let document = KeyDocument::first(&descriptor.id, now(), recipients, signers);
            let content = document.to_signed(admin)?;
            store.put(&document.object()?, &content)?;
            let keyring = Keyring {
                admin: descriptor.admin.clone(),
                ..keyring
            };
            let root = Repository::keyed(store, descriptor, None, keyring)?;
            Ok(Parts::of_root(root))
        }

        /// Opens the repository in `store`, in parts or not, encrypted or not; which keys are to be
        /// used depends on which it is.
        ///
        /// # Errors
        ///
        /// As [`Repository::open_with`], and what `choose` says.
        pub fn open_choosing(
            store: Arc<dyn Store>,
            choose: impl FnOnce(&Descriptor) -> Result<Keyring>,
        ) -> Result<Self> {
            let (descriptor, trouble) = find(&*store)?;
            let keyring = choose(&descriptor)?;
            let root = match descriptor.is_encrypted() {
                // Whoever believes an administrator's key has seen the repository encrypted.
                false if keyring.admin.is_some() => {
                    return Err(Error::refused(
                        "expected an encrypted repository, as it was before, found one in clear: somebody \
                         has put another one there",
                    ));
                }
                false => {
                    if !descriptor.by_source {
                        versions::settle(&*store, ARCHIVES, true)?;
                    }
                    Repository::plain(store, descriptor, trouble)
                }
                true => Repository::keyed(store, descriptor, trouble, keyring)?,
            };
            Ok(Parts::of_root(root))
        }
    }

    impl Repository {
        /// Opens the repository in `store`, as [`Repository::open`] does, encrypted or not, with
        /// the keys in `keyring`.
        ///
        /// # Errors
        ///
        /// As there; `Refused`, when its key documents are not signed by the administrator's key
        /// that is believed, or are fewer than were seen.
        pub fn open_with(store: Arc<dyn Store>, keyring: Keyring) -> Result<Self> {
            Self::open_choosing(store, |_| Ok(keyring))
        }

        /// The same, where which keys are to be used depends on which repository it is.
        ///
        /// # Errors
        ///
        /// As there, and what `choose` says.
        pub fn open_choosing(
            store: Arc<dyn Store>,
            choose: impl FnOnce(&Descriptor) -> Result<Keyring>,
        ) -> Result<Self> {
            Parts::open_choosing(store, choose)?.whole()
        }

        fn keyed(
            store: Arc<dyn Store>,
            descriptor: Descriptor,
            trouble: Option<String>,
            keyring: Keyring,
        ) -> Result<Self> {
            let descriptor = Descriptor {
                admin: descriptor.admin.clone().or_else(|| keyring.admin.clone()),
                ..descriptor
            };
            let Some(told) = descriptor.admin.clone() else {
                return Err(Error::refused(
                    "the repository is encrypted, and its descriptor is lost, which says whose it is",
                )
                .advise("say whose with --admin-key KEY"));
            };
            versions::settle(&*store, KEYS, false)?;
            let chain = keyring.chain(&*store, &descriptor.id, &told);
            let chain = chain.map_err(keyed::no_keys)?;
            let told = descriptor.admin.clone();
            let repository = Repository::plain(Arc::clone(&store), descriptor, trouble);
            repository.with_keys(KeyedStore::new(store, chain, keyring, told, None)?)
        }

        fn with_keys(mut self, keyed: KeyedStore) -> Result<Self> {
            // Whoever reads nothing back is not misled by it; and archives are in the parts.
            let has_archives = self.part.is_some() || !self.descriptor.by_source;
            if has_archives && keyed.memory().is_none() {
                keyed.settle()?;
            }
            let keyed = Arc::new(keyed);
            self.store = Arc::clone(&keyed) as Arc<dyn Store>;
            self.keyed = Some(keyed);
            Ok(self)
        }

        /// The same, a part of `root`, with its keys.
        pub(in crate::repository) fn keyed_as(self, root: &Repository) -> Result<Self> {
            let Some(keyed) = &root.keyed else {
                versions::settle(self.store(), ARCHIVES, true)?;
                return Ok(self);
            };
            let keyed = keyed.of_part(Arc::clone(&self.store), self.part.as_ref())?;
            self.with_keys(keyed)
        }

        /// The store as it is, in which encrypted objects are what lies there.
        pub(in crate::repository) fn raw(&self) -> Arc<dyn Store> {
            match &self.keyed {
                Some(keyed) => keyed.raw(),
                None => Arc::clone(&self.store),
            }
        }

        /// The key documents that count, and the newest witness that does; for whoever reads
        /// nothing back, the witness with the highest number.
        ///
        /// # Errors
        ///
        /// When the store fails.
        pub(in crate::repository) fn signed_documents(&self) -> Result<Vec<ObjectName>> {
            let Some(keyed) = &self.keyed else {
                return Ok(Vec::new());
            };
            let documents = keyed.chain().documents().iter();
            let mut names = documents
                .map(KeyDocument::object)
                .collect::<Result<Vec<_>>>()?;
            if keyed.memory().is_none() {
                if let Some((witness, _)) = keyed.witness()? {
                    names.push(witness_object(witness.number)?);
                }
            } else {
                let listed = self.store().list(WITNESSES)?.into_iter();
                let listed = listed.map(|(name, _)| name);
                names.extend(listed.filter(|name| witness_number(name).is_some()).max());
            }
            Ok(names)
        }

        /// Its keys; `None` where nothing is encrypted.
        pub fn keys(&self) -> Option<&KeyedStore> {
            self.keyed.as_deref()
        }
    }
}

#[cfg(not(feature = "encryption"))]
impl Repository {
    /// The same, a part of a repository.
    pub(super) fn keyed_as(self, _root: &Repository) -> Result<Self> {
        super::versions::settle(self.store(), ARCHIVES, true)?;
        Ok(self)
    }

    /// The store as it is.
    pub(super) fn raw(&self) -> std::sync::Arc<dyn Store> {
        std::sync::Arc::clone(&self.store)
    }
}

impl Repository {
    /// Whether what it holds can be read with the keys that were given.
    pub fn can_read(&self) -> bool {
        #[cfg(feature = "encryption")]
        return self.keyed.as_ref().is_none_or(|keyed| keyed.can_read());
        #[cfg(not(feature = "encryption"))]
        true
    }

    /// Whether data is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.descriptor().is_encrypted()
    }

    /// The store as it is, in which encrypted objects are what lies there.
    pub fn stored(&self) -> &dyn Store {
        #[cfg(feature = "encryption")]
        if let Some(keyed) = &self.keyed {
            return keyed.stored();
        }
        self.store()
    }

    /// Whether archives have to be signed.
    pub fn has_signers(&self) -> bool {
        #[cfg(feature = "encryption")]
        return self
            .keyed
            .as_ref()
            .is_some_and(|keyed| !keyed.chain().newest().signers.is_empty());
        #[cfg(not(feature = "encryption"))]
        false
    }

    /// Refuses a source whose archives this machine could not sign, where they have to be signed.
    ///
    /// # Errors
    ///
    /// `Refused`.
    pub fn refuse_unheard(&self, source_name: &str) -> Result<()> {
        #[cfg(feature = "encryption")]
        if let Some(keyed) = &self.keyed {
            return keyed.refuse_unheard(source_name);
        }
        let _ = source_name;
        Ok(())
    }

    /// The manifests that the newest witness has seen, with the digest of each; none where there is
    /// no witness.
    ///
    /// # Errors
    ///
    /// `Refused`, when a witness that was seen is gone; when the store fails.
    pub fn witnessed(&self) -> Result<BTreeMap<ObjectName, Digest>> {
        #[cfg(feature = "encryption")]
        if let Some(keyed) = &self.keyed {
            return keyed.witnessed();
        }
        Ok(BTreeMap::new())
    }

    /// When each manifest came to be there, by the store's clock, as far as the store knows.
    ///
    /// # Errors
    ///
    /// When the store cannot list its objects.
    pub fn arrivals(&self) -> Result<BTreeMap<ObjectName, SystemTime>> {
        self.store().arrivals(ARCHIVES)
    }

    /// Whether it is written to by a machine that reads back nothing but what it remembers.
    pub fn is_write_only(&self) -> bool {
        #[cfg(feature = "encryption")]
        return self
            .keyed
            .as_ref()
            .is_some_and(|keyed| keyed.memory().is_some());
        #[cfg(not(feature = "encryption"))]
        false
    }

    /// What the next manifest of the same source says of that of `archive`; `None` where nothing is
    /// encrypted.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn link(&self, archive: &Archive) -> Result<Option<ManifestLink>> {
        if !self.is_encrypted() {
            return Ok(None);
        }
        let name = archive.manifest_name()?.object()?;
        let form = self.store().stored_form(&name)?;
        Ok(form.map(|form| ManifestLink {
            name,
            sha256: Digest::from(form.sha256),
        }))
    }

    /// Forgets what a machine that cannot read has kept and does not need any more, now that it has
    /// committed `archive`; `before` are the archives that it knew.
    ///
    /// # Errors
    ///
    /// When something cannot be removed.
    pub fn remember(&self, archive: &Archive, before: &[Archive]) -> Result<()> {
        #[cfg(feature = "encryption")]
        if let Some(memory) = self.keyed.as_ref().and_then(|keyed| keyed.memory()) {
            // Several servers may be backed up from one machine.
            let mut sources: BTreeMap<Server, Vec<&Archive>> = BTreeMap::new();
            for archive in before.iter().chain([archive]) {
                let own = sources.entry(Server::of(archive)).or_default();
                own.push(archive);
            }
            let newest = sources.values().filter_map(|own| own.last());
            let objects = newest.flat_map(|archive| archive.objects());
            let objects: Vec<_> = objects.map(|(_, object)| object.name.clone()).collect();
            let recent = sources
                .values()
                .flat_map(|own| own.iter().rev().take(REMEMBERED));
            let manifests = recent.map(|archive| archive.manifest_name()?.object());
            let manifests = manifests.collect::<Result<Vec<_>>>()?;
            memory.sweep(&objects.iter().chain(&manifests).collect())?;
        }
        let _ = (archive, before);
        Ok(())
    }

    /// Refuses to go on where nothing can be read.
    ///
    /// # Errors
    ///
    /// `Refused`, when the repository is encrypted and no identity was given.
    pub fn need_to_read(&self) -> Result<()> {
        if self.can_read() || self.is_write_only() {
            return Ok(());
        }
        Err(encrypted(self.store()))
    }

    /// The same where what others have written must be read, or blocks that this machine has
    /// written itself: what a host remembers is not enough.
    ///
    /// # Errors
    ///
    /// `Locked`, when the repository is encrypted and no identity was given.
    pub fn need_identity(&self) -> Result<()> {
        if self.can_read() {
            return Ok(());
        }
        Err(encrypted(self.store()))
    }
}

/// The error for a repository that is encrypted, where no key was given.
pub(super) fn encrypted(store: &dyn Store) -> Error {
    let place = store.describe();
    if cfg!(feature = "encryption") {
        Error::new(
            ErrorKind::Locked,
            format!("the repository in {place} is encrypted, and no identity was given"),
        )
        .advise("give one that can read it with --identity FILE")
    } else {
        Error::unsupported(format!(
            "the repository in {place} is encrypted, and this narthex was built without encryption"
        ))
    }
}
