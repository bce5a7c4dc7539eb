//! Manifests: encrypted and signed as they are written, opened as they are read.

use std::io::{self, Read as _, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::trust::untrusted;
use super::{KeyedStore, Memory};
use crate::crypt::keys::{KeyChain, Standing};
use crate::crypt::sign::{ARCHIVE_NAMESPACE, SigningKey};
use crate::crypt::{Identities, Recipients, decrypt, encrypt};
use crate::error::{Error, ErrorKind, Result};
use crate::repository::cover::Cover;
use crate::repository::{Archive, MAX_MANIFEST_BYTES};
use crate::store::{ObjectName, PendingObject, StoredForm, write_error};

/// Compression level of manifests: most of one is digests.
const LEVEL: i32 = 3;

impl KeyedStore {
    /// The plain manifest in `stored`, which is `name`; the cover as it is, where nobody can read
    /// more.
    pub(super) fn open_manifest(&self, name: &ObjectName, stored: Vec<u8>) -> Result<Vec<u8>> {
        let Some(cover) = Cover::read(&stored)? else {
            if self.keyring.accept_unsigned {
                return Ok(stored);
            }
            // Damage and a forgery look alike where nothing holds: what counts must not hang on it.
            return Err(untrusted(match Archive::from_bytes(&stored) {
                Ok(_) => "it is not encrypted, as archives of this repository are",
                Err(_) => {
                    "it is no whole manifest of this repository: it was damaged, and a copy may have it sound, or somebody has put it there"
                }
            }));
        };
        // A signature needs no identity.
        self.refuse_untrusted(name, &stored, &cover)?;
        let Some(identities) = &self.keyring.identities else {
            return Ok(stored);
        };
        let plain = open_body(&cover.body, identities)
            .map_err(|error| error.context(format!("manifest {name}")))?;
        cover.prove(&Archive::from_bytes(&plain)?)?;
        Ok(plain)
    }

    /// The cover of the manifest `name`, as it lies there, if it counts.
    pub(super) fn covered_manifest(&self, name: &ObjectName, stored: Vec<u8>) -> Result<Vec<u8>> {
        match Cover::read(&stored)? {
            Some(cover) => self
                .refuse_untrusted(name, &stored, &cover)
                .map(|()| stored),
            None => self.open_manifest(name, stored),
        }
    }

    /// Begins the manifest `name`.
    pub(super) fn create_manifest(&self, name: &ObjectName) -> Result<Box<dyn PendingObject>> {
        let signing = self.keyring.signing.clone();
        let has_signers = !self.chain.newest().signers.is_empty();
        if signing.is_none() && has_signers {
            return Err(no_signing_key());
        }
        Ok(Box::new(PendingManifest {
            name: name.clone(),
            recipients: self.chain.recipients()?,
            signing,
            chain: (has_signers && !self.keyring.accept_unsigned).then(|| self.chain.clone()),
            memory: self.memory.clone(),
            state: State::Open(self.inner.create(name)?, Vec::new()),
        }))
    }
}

fn open_body(body: &str, identities: &Identities) -> Result<Vec<u8>> {
    let wrong = || Error::corrupt("the body of an encrypted manifest is not what it should be");
    let encrypted = STANDARD.decode(body);
    let encrypted = encrypted.map_err(|e| wrong().with_source(e))?;
    let compressed = decrypt(&encrypted, identities)?;
    let reader = zstd::Decoder::new(&compressed[..]).map_err(|e| wrong().with_source(e))?;
    let mut plain = Vec::new();
    let mut bounded = reader.take(MAX_MANIFEST_BYTES.saturating_add(1));
    let read = bounded.read_to_end(&mut plain);
    read.map_err(|e| wrong().with_source(e))?;
    if plain.len() as u64 > MAX_MANIFEST_BYTES {
        return Err(Error::unsupported(format!(
            "expected a manifest of at most {MAX_MANIFEST_BYTES} bytes, found more"
        )));
    }
    Ok(plain)
}

pub(super) fn no_signing_key() -> Error {
    Error::refused(
        "archives of this repository have to be signed, and no key was given to sign with",
    )
    .advise("give this host's with --signing-key FILE")
}

/// Refuses to sign with `key` for the source `name`, for which `source` stands, where that would
/// count for nothing.
pub(super) fn refuse_unheard(
    chain: &KeyChain,
    key: &SigningKey,
    source: &str,
    name: &str,
) -> Result<()> {
    let public = key.public();
    match chain.standing(&public, source) {
        Standing::Allowed => return Ok(()),
        Standing::Retired { by } => {
            return Err(Error::refused(format!(
                "the key {} may not sign archives of the source {name:?} any more: list of keys {by} has taken that back. What it signs counts for nothing",
                public.fingerprint()
            ))
            .advise("give the key that took its place with --signing-key"));
        }
        Standing::Unknown => {}
    }
    Err(Error::refused(format!(
        "the key {} may not sign archives of the source {name:?}: one that it signs would count for nothing",
        public.fingerprint()
    ))
    .advise(format!("narthex key add --signer KEY --source {name} --admin FILE lets it; --source NAME names the source")))
}

/// A manifest that is being written: what is written to it is what readers get.
struct PendingManifest {
    name: ObjectName,
    recipients: Recipients,
    signing: Option<SigningKey>,
    /// Who may sign, where that matters.
    chain: Option<KeyChain>,
    memory: Option<Memory>,
    state: State,
}

enum State {
    Open(Box<dyn PendingObject>, Vec<u8>),
    /// With the plain bytes.
    Finished(Box<dyn PendingObject>, StoredForm, Vec<u8>),
    Failed,
}

impl PendingManifest {
    fn cover(&self, plain: &[u8]) -> Result<Vec<u8>> {
        let failed = |e: io::Error| write_error(&self.name, e);
        let compressed = zstd::bulk::compress(plain, LEVEL).map_err(failed)?;
        let mut encrypting = encrypt(Vec::new(), &self.recipients)?;
        encrypting.write_all(&compressed).map_err(failed)?;
        let encrypted = encrypting.finish().map_err(failed)?;
        let archive = Archive::from_bytes(plain)?;
        let cover = Cover::of(&archive, STANDARD.encode(encrypted))?;
        if let (Some(chain), Some(key)) = (&self.chain, &self.signing) {
            refuse_unheard(chain, key, &cover.source, &archive.source_name)?;
        }
        cover.to_bytes(|bytes| {
            let key = self.signing.as_ref();
            key.map(|key| key.sign(ARCHIVE_NAMESPACE, bytes)?.to_line())
                .transpose()
        })
    }
}

impl Write for PendingManifest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.state {
            State::Open(_, plain) => plain.write(bytes),
            State::Finished(..) | State::Failed => {
                Err(io::Error::other("the manifest has been ended"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl PendingObject for PendingManifest {
    fn finish(&mut self) -> Result<Option<StoredForm>> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Open(mut inner, plain) => {
                let document = self.cover(&plain)?;
                let written = inner.write_all(&document);
                written.map_err(|e| write_error(&self.name, e))?;
                let form = StoredForm {
                    bytes: document.len() as u64,
                    sha256: Sha256::digest(&document).into(),
                };
                self.state = State::Finished(inner, form, plain);
                Ok(Some(form))
            }
            State::Finished(inner, form, plain) => {
                self.state = State::Finished(inner, form, plain);
                Ok(Some(form))
            }
            State::Failed => Err(write_error(&self.name, broken())),
        }
    }

    fn publish(mut self: Box<Self>) -> Result<()> {
        self.finish()?;
        let State::Finished(inner, form, plain) = self.state else {
            return Err(write_error(&self.name, broken()));
        };
        let memory = self.memory.as_ref();
        let kept = memory.map(|memory| memory.keep(&self.name, &plain, form));
        let kept = kept.transpose()?;
        match inner.publish() {
            Ok(()) => {
                kept.map(super::memory::Kept::confirm).transpose()?;
                Ok(())
            }
            Err(error) => {
                if let Some(kept) = kept.filter(|_| error.kind() != ErrorKind::AlreadyExists) {
                    kept.may_be()?;
                }
                Err(error)
            }
        }
    }
}

/// The error for what could not be ended.
fn broken() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}
