//! All key documents of a repository, proved.

use std::fmt::Write as _;

use super::{
    ALL_SOURCES, AllowedSigner, KEYS_PREFIX, KEYS_VERSION, KeyDocument, MAX_BYTES, Version,
    hexadecimal, is_document, object, parse,
};
use crate::crypt::document;
use crate::crypt::recipient::{Recipient, Recipients};
use crate::crypt::sign::{KEYS_NAMESPACE, Signature, SignerKey};
use crate::error::{Error, Result};
use crate::model::Millis;
use crate::store::ReadStore;

/// What a host remembers of a repository's keys, somewhere else than in the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPin<'p> {
    /// Identity of the repository.
    pub repository: &'p str,
    /// Fingerprint of the administrator's key, `SHA256:…`.
    pub admin: &'p str,
    /// Number of the newest document that was seen, 0 for none.
    pub seen: u32,
}

/// The documents of a repository, all of them proved; see the [module](super).
#[derive(Clone, Debug)]
pub struct KeyChain {
    documents: Vec<KeyDocument>,
    newest: KeyDocument,
    /// SHA-256 of the newest, as text.
    digest: String,
}

/// What a chain of key documents says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The newest document lets it sign archives of the source.
    Allowed,
    /// A document did, until that with this number took it back.
    Retired {
        /// Number of the first document that does not.
        by: u32,
    },
    /// No document ever did.
    Unknown,
}

impl KeyChain {
    /// Reads the documents in `store`, and proves them by what is known already.
    ///
    /// # Errors
    ///
    /// `NotFound`, when there is none; `Refused`, when there are fewer than were seen, or one is
    /// not signed by that key or is another repository's; `Corrupt`, when one is missing, damaged,
    /// or does not follow from the one before; `Unsupported`, when one is of a newer version.
    pub fn read(store: &dyn ReadStore, pin: &KeyPin<'_>) -> Result<Self> {
        let listed = store.list(KEYS_PREFIX)?;
        // What else lies there is not ours.
        let listed = listed.iter().filter(|(name, _)| is_document(name));
        let mut documents = Vec::new();
        let mut digest = None;
        for ((name, _), number) in listed.zip(1_u32..) {
            if *name != object(number)? {
                return Err(Error::corrupt(format!(
                    "expected key document {number} in the place of {name}: it is missing, or \
                     something else is there"
                )));
            }
            let bytes = store.get(name, MAX_BYTES)?;
            let read = read_document(&bytes, pin, number, digest.as_deref());
            let read = read.map_err(|e| {
                let error = e.context(format!("object {name}"));
                if number > pin.seen.max(1) {
                    // Whoever can write may put anything there.
                    error.advise(format!(
                        "if narthex key has not written {name}, somebody else has: remove it"
                    ))
                } else {
                    error
                }
            });
            documents.push(read?);
            digest = Some(hexadecimal(&bytes));
        }
        let last = u32::try_from(documents.len()).unwrap_or(u32::MAX);
        if last < pin.seen {
            return Err(Error::refused(format!(
                "expected {} key documents or more, as were seen before, found {last}: somebody \
                 has removed the newest, or shows an older state of the repository",
                pin.seen
            )));
        }
        let (Some(newest), Some(digest)) = (documents.last().cloned(), digest) else {
            return Err(Error::not_found("there is no key document"));
        };
        Ok(KeyChain {
            documents,
            newest,
            digest,
        })
    }

    /// The document that counts.
    pub fn newest(&self) -> &KeyDocument {
        &self.newest
    }

    /// All of them, the first first.
    pub fn documents(&self) -> &[KeyDocument] {
        &self.documents
    }

    /// Whom objects are encrypted to.
    ///
    /// # Errors
    ///
    /// `Invalid`, when there is nobody, or too many.
    pub fn recipients(&self) -> Result<Recipients> {
        Recipients::new(self.newest.recipients.iter().cloned())
    }

    /// The document to follow the newest.
    ///
    /// # Errors
    ///
    /// `Unsupported`, when there is no number left.
    pub fn next(
        &self,
        time: Millis,
        recipients: Vec<Recipient>,
        signers: Vec<AllowedSigner>,
    ) -> Result<KeyDocument> {
        let number = self.newest.number.checked_add(1);
        let number = number.ok_or_else(|| Error::unsupported("too many key documents"))?;
        Ok(KeyDocument {
            number,
            previous: Some(self.digest.clone()),
            ..KeyDocument::first(&self.newest.repository, time, recipients, signers)
        })
    }

    /// Whether `key` may sign archives of `source`.
    pub fn standing(&self, key: &SignerKey, source: &str) -> Standing {
        let allows = |document: &KeyDocument| {
            let mut signers = document.signers.iter();
            signers.any(|signer| signer.key == *key && signer.may_sign(source))
        };
        let last = self.documents.iter().rposition(allows);
        match last.and_then(|last| self.documents.get(last..)) {
            None => Standing::Unknown,
            Some([_]) => Standing::Allowed,
            Some(from) => from
                .get(1)
                .map_or(Standing::Allowed, |after| Standing::Retired {
                    by: after.number,
                }),
        }
    }

    /// Proves that `signature` is one of `bytes`, for `namespace`, by a key that the newest
    /// document lets sign archives of `source`.
    ///
    /// # Errors
    ///
    /// `Refused`, when it is not.
    pub fn verify(
        &self,
        source: &str,
        namespace: &str,
        bytes: &[u8],
        signature: &Signature,
    ) -> Result<SignerKey> {
        let key = signature.signer()?;
        let refused = |why: String| {
            Error::refused(format!(
                "the key {} may not sign for the source {source:?}: {why}",
                key.fingerprint()
            ))
        };
        match self.standing(&key, source) {
            Standing::Allowed => {}
            Standing::Retired { by } => {
                return Err(refused(format!("key document {by} has taken that back")));
            }
            Standing::Unknown => return Err(refused("no key document says so".to_owned())),
        }
        key.verify(namespace, bytes, signature)?;
        Ok(key)
    }

    /// The file of allowed signers for `ssh-keygen -Y verify -f`: who signs archives. A principal
    /// is the name of a source; characters that mean something there are written as `?`, which
    /// stands for any one.
    pub fn allowed_signers(&self, namespace: &str) -> String {
        let mut text = String::new();
        for signer in &self.newest.signers {
            let plain = |c: char| {
                if c.is_alphanumeric() || "-_.:@/*".contains(c) {
                    c
                } else {
                    '?'
                }
            };
            let names: Vec<String> = signer
                .sources
                .iter()
                .map(|name| match name.as_str() {
                    ALL_SOURCES => ALL_SOURCES.to_owned(),
                    name => name
                        .chars()
                        .map(plain)
                        .map(|c| if c == '*' { '?' } else { c })
                        .collect(),
                })
                .collect();
            if !names.is_empty() {
                let _ = writeln!(
                    text,
                    "{} namespaces=\"{namespace}\" {}",
                    names.join(","),
                    signer.key
                );
            }
        }
        text
    }
}

fn read_document(
    bytes: &[u8],
    pin: &KeyPin<'_>,
    number: u32,
    previous: Option<&str>,
) -> Result<KeyDocument> {
    let (signed, signature) = document::split_document(bytes)?;
    let key = signature.signer()?;
    if key.fingerprint() != pin.admin {
        return Err(Error::refused(format!(
            "expected a signature of the administrator's key {}, found one of {}",
            pin.admin,
            key.fingerprint()
        )));
    }
    key.verify(KEYS_NAMESPACE, signed, &signature)?;
    let version: Version = parse(bytes)?;
    if version.format_version != u64::from(KEYS_VERSION) {
        return Err(Error::unsupported(format!(
            "expected format version {KEYS_VERSION}, found {}: use a newer narthex",
            version.format_version
        )));
    }
    let document: KeyDocument = parse(bytes)?;
    if document.repository != pin.repository {
        return Err(Error::refused(format!(
            "expected a key document of the repository {}, found one of {:?}",
            pin.repository, document.repository
        )));
    }
    if document.number != number {
        return Err(Error::corrupt(format!(
            "expected key document {number}, found {}",
            document.number
        )));
    }
    if document.previous.as_deref() != previous {
        return Err(Error::corrupt(
            "expected it to name the document before it, found that it names another",
        ));
    }
    Ok(document)
}
