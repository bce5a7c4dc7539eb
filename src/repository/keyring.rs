//! Repositories with keys: made, opened, and what can be read of them.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::Repository;
use super::layout::ARCHIVES;
use super::{Archive, Digest, ManifestLink};
#[cfg(feature = "encryption")]
use super::{Descriptor, find, keyed, make};
use crate::error::{Error, Result};
use crate::store::{ObjectName, Store};

/// How many manifests a machine that cannot read remembers of a source.
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
    use crate::repository::layout::{ARCHIVES, KEYS};
    use crate::repository::{PLAIN_REPOSITORY_VERSION, versions};
    use crate::store::Store;
    use keyed::{KeyedStore, Keyring};

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
            crate::crypt::Recipients::new(recipients.iter().cloned())?;
            let wanted = Descriptor::new(Some(admin.public().fingerprint()));
            let signers = signers.into_iter();
            let signers = signers
                .map(|signer| signer.in_repository(&wanted.id))
                .collect();
            let document = KeyDocument::first(&wanted.id, now(), recipients, signers);
            let content = document.to_signed(admin)?;
            let descriptor = make(&*store, wanted)?;
            store.put(&document.object()?, &content)?;
            let keyring = Keyring {
                admin: descriptor.admin.clone(),
                ..keyring
            };
            Repository::keyed(store, descriptor, None, keyring)
        }

        /// Opens the repository in `store`, as [`Repository::open`] does, encrypted or not, with
        /// the keys in `keyring`.
        ///
        /// # Errors
        ///
        /// As there; `Refused`, when its key documents are not signed by the administrator's key
        /// that is believed, or are fewer than were seen.
        pub fn open_with(store: Arc<dyn Store>, keyring: Keyring) -> Result<Self> {
            let (descriptor, trouble) = find(&*store)?;
            let is_plain =
                descriptor.admin.is_none() && descriptor.format_version == PLAIN_REPOSITORY_VERSION;
            match is_plain {
                // Whoever believes an administrator's key has seen the repository encrypted.
                true if keyring.admin.is_some() => Err(Error::refused(
                    "expected an encrypted repository, as it was before, found one in clear: somebody \
                     has put another one there",
                )),
                true => {
                    versions::settle(&*store, ARCHIVES, true)?;
                    Ok(Repository::plain(store, descriptor, trouble))
                }
                false => Repository::keyed(store, descriptor, trouble, keyring),
            }
        }

        fn keyed(
            store: Arc<dyn Store>,
            descriptor: Descriptor,
            trouble: Option<String>,
            keyring: Keyring,
        ) -> Result<Self> {
            versions::settle(&*store, KEYS, false)?;
            let told = descriptor.admin.clone().unwrap_or_default();
            let chain = keyring.chain(&*store, &descriptor.id, &told);
            let chain = chain.map_err(keyed::no_keys)?;
            let keyed = Arc::new(KeyedStore::new(
                store,
                chain,
                keyring,
                descriptor.admin.clone(),
            )?);
            // Whoever reads nothing back is not misled by it.
            if keyed.memory().is_none() {
                keyed.settle()?;
            }
            Ok(Repository {
                store: Arc::clone(&keyed) as Arc<dyn Store>,
                keyed: Some(keyed),
                descriptor,
                trouble,
            })
        }

        /// Its keys; `None` where nothing is encrypted.
        pub fn keys(&self) -> Option<&KeyedStore> {
            self.keyed.as_deref()
        }
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
        self.descriptor().admin.is_some()
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
            let own = before
                .iter()
                .filter(|it| it.source_name == archive.source_name);
            let recent = own.rev().take(REMEMBERED).chain([archive]);
            let manifests = recent.map(|archive| archive.manifest_name()?.object());
            let manifests = manifests.collect::<Result<Vec<_>>>()?;
            let others = before
                .iter()
                .filter(|it| it.source_name != archive.source_name)
                .chain([archive]);
            let objects = others.flat_map(Archive::objects);
            let objects = objects.map(|(_, object)| &object.name);
            memory.sweep(&objects.chain(&manifests).collect())?;
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
}

/// The error for a repository that is encrypted, where no key was given.
pub(super) fn encrypted(store: &dyn Store) -> Error {
    let place = store.describe();
    if cfg!(feature = "encryption") {
        Error::refused(format!(
            "the repository in {place} is encrypted, and no identity was given"
        ))
        .advise("give one that can read it with --identity FILE")
    } else {
        Error::unsupported(format!(
            "the repository in {place} is encrypted, and this narthex was built without encryption"
        ))
    }
}
