//! All key documents of a repository, proved.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::kept::KeptDocuments;
use super::{
    ALL_SOURCES, AllowedSigner, KEYS_PREFIX, KEYS_VERSION, KeyDocument, MAX_BYTES, MAX_NUMBER,
    Version, document_number, hexadecimal, key_object, parse,
};
use crate::crypt::document;
use crate::crypt::recipient::{Recipient, Recipients};
use crate::crypt::sign::{KEYS_NAMESPACE, Signature, SignerKey};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Millis;
use crate::store::{ObjectName, ReadStore};

/// What a host remembers of a repository's keys, somewhere else than in the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPin<'p> {
    /// Identity of the repository.
    pub repository: &'p str,
    /// Fingerprint of the administrator's key, `SHA256:…`.
    pub admin: &'p str,
    /// Number of the newest document that was seen, 0 for none.
    pub seen: u32,
    /// Documents that need not be read again.
    pub kept: Option<&'p KeptDocuments>,
    /// Whether those stand in for documents that are gone.
    pub kept_stand_in: bool,
}

/// The documents of a repository, all of them proved; see the [module](super).
#[derive(Clone, Debug)]
pub struct KeyChain {
    documents: Vec<KeyDocument>,
    newest: KeyDocument,
    /// SHA-256 of the newest, as text.
    digest: String,
    junk: Vec<KeyJunk>,
    /// Those that are gone, with their bytes as they were kept.
    gone: Vec<(u32, Vec<u8>)>,
    /// The number that the next document gets; `None` where there is none left.
    free: Option<u32>,
}

/// Something among the key documents that is none, and counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyJunk {
    /// Its name.
    pub name: ObjectName,
    /// Whether it has a name that a document may have.
    pub is_numbered: bool,
    /// Why it is no document, as a clause.
    pub why: String,
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
    /// Reads the documents in `store`, and proves them by what is known already. What the
    /// administrator has not signed for its place is passed over: [`KeyChain::junk`] has it.
    ///
    /// # Errors
    ///
    /// `NotFound`, when there is none; `Refused`, when what was seen is not among them, or there
    /// are only others than the administrator's; `Corrupt`, when one does not follow from the one
    /// before; `Unsupported`, when one is of a newer version; when the store fails.
    pub fn read(store: &dyn ReadStore, pin: &KeyPin<'_>) -> Result<Self> {
        match Self::read_once(store, pin, true) {
            // What is kept may be of another state of the repository. A store that fails fails
            // again.
            Err(error) if pin.kept.is_some() && error.kind() != ErrorKind::Io => {
                Self::read_once(store, pin, false)
            }
            read => read,
        }
    }

    fn read_once(store: &dyn ReadStore, pin: &KeyPin<'_>, trusts_kept: bool) -> Result<Self> {
        let mut reading = Reading::default();
        let mut listed = BTreeMap::new();
        for (name, bytes) in store.list(KEYS_PREFIX)? {
            match document_number(&name) {
                Some(number) => {
                    listed.insert(number, Some((name, bytes)));
                }
                None => reading.junk.push(KeyJunk {
                    name,
                    is_numbered: false,
                    why: "it has no name of a list of keys".to_owned(),
                }),
            }
        }
        reading.taken = listed.keys().copied().collect();
        let kept = pin.kept.filter(|_| pin.kept_stand_in);
        for number in kept.into_iter().flat_map(KeptDocuments::numbers) {
            listed.entry(number).or_default();
        }
        for (number, found) in listed {
            let before = reading.documents.len();
            if let Some((name, bytes)) = found {
                reading.read(store, (number, &name, bytes), pin, trusts_kept)?;
            }
            if before == reading.documents.len()
                && let Some(kept) = kept
            {
                reading.stand_in(number, kept, pin);
            }
        }
        reading.end(pin)
    }

    /// The document that counts.
    pub fn newest(&self) -> &KeyDocument {
        &self.newest
    }

    /// All of them, the first first.
    pub fn documents(&self) -> &[KeyDocument] {
        &self.documents
    }

    /// What lies among them and counts for nothing, by name.
    pub fn junk(&self) -> &[KeyJunk] {
        &self.junk
    }

    /// Documents that are gone from the repository, for which those stand in that this machine
    /// keeps: the number of each and its bytes.
    pub fn gone(&self) -> &[(u32, Vec<u8>)] {
        &self.gone
    }

    /// The document `number` of this chain as bytes, from `store` or as it was kept.
    ///
    /// # Errors
    ///
    /// `Corrupt`, when there is another now; when the store fails.
    pub fn content(&self, store: &dyn ReadStore, number: u32) -> Result<Vec<u8>> {
        if let Some((_, kept)) = self.gone.iter().find(|(gone, _)| *gone == number) {
            return Ok(kept.clone());
        }
        let name = key_object(number)?;
        let content = store.get(&name, MAX_BYTES)?;
        let mut after = self.documents.iter().map(|document| &document.previous);
        let digest = hexadecimal(&content);
        if digest == self.digest || after.any(|previous| previous.as_ref() == Some(&digest)) {
            return Ok(content);
        }
        Err(Error::corrupt(format!(
            "expected the key document in {name} that was read before, found another"
        )))
    }

    /// Whom objects are encrypted to.
    ///
    /// # Errors
    ///
    /// `Invalid`, when there is nobody, or too many.
    pub fn recipients(&self) -> Result<Recipients> {
        Recipients::new(self.newest.recipients.iter().cloned())
    }

    /// The document to follow the newest, under the first number behind it that nothing has.
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
        let number = self.free;
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

/// What was read of a chain so far.
#[derive(Default)]
struct Reading {
    documents: Vec<KeyDocument>,
    /// SHA-256 of the last of them, as text.
    digest: Option<String>,
    junk: Vec<KeyJunk>,
    /// Why the first numbered of [`Reading::junk`] is no document.
    first: Option<Error>,
    /// The numbers that something has.
    taken: BTreeSet<u32>,
    /// Documents that are gone, as they were kept.
    gone: Vec<(u32, Vec<u8>)>,
}

impl Reading {
    fn last(&self) -> u32 {
        self.documents.last().map_or(0, |document| document.number)
    }

    fn pass_over(&mut self, name: &ObjectName, error: Error) {
        self.junk.push(KeyJunk {
            why: error.chain(),
            is_numbered: true,
            name: name.clone(),
        });
        let is_foreign = error.kind() == ErrorKind::Refused;
        let advice = if is_foreign && self.documents.is_empty() {
            // With a wrong fingerprint the true list looks like a stranger's.
            format!(
                "see that the fingerprint of the administrator's key that is believed here (--admin-key) is the one that narthex init printed; if it is, somebody else has written {name}"
            )
        } else {
            format!("if narthex key has not written {name}, somebody else has: remove it")
        };
        let named = error.context(format!("object {name}")).advise(advice);
        self.first.get_or_insert(named);
    }

    /// Takes in what has the name of the document `number`, with so many bytes, if it is one.
    fn read(
        &mut self,
        store: &dyn ReadStore,
        (number, name, bytes): (u32, &ObjectName, u64),
        pin: &KeyPin<'_>,
        trusts_kept: bool,
    ) -> Result<()> {
        let context = |e: Error| e.context(format!("object {name}"));
        let kept = pin.kept.filter(|_| trusts_kept);
        let kept = kept.and_then(|kept| kept.get(number, bytes));
        if let Some(kept) = kept.filter(|kept| is_genuine(kept, pin).is_ok()) {
            return self.take(name, number, &kept, pin).map_err(context);
        }
        let bytes = match store.get(name, MAX_BYTES) {
            // Somebody has tidied up meanwhile.
            Err(gone) if gone.kind() == ErrorKind::NotFound => return Ok(()),
            // One that is too large is none.
            Err(error) if !matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) => {
                return Err(context(error));
            }
            read => read,
        };
        let read = bytes.and_then(|bytes| {
            let genuine = is_genuine(&bytes, pin);
            genuine.map(|()| bytes)
        });
        match read {
            Ok(bytes) => {
                self.take(name, number, &bytes, pin).map_err(context)?;
                if let Some(kept) = pin.kept {
                    kept.keep(number, &bytes);
                }
            }
            Err(error) => self.pass_over(name, error),
        }
        Ok(())
    }

    /// Takes in the document `number` as it was kept, if it follows from those before: it was in
    /// the repository once.
    fn stand_in(&mut self, number: u32, kept: &KeptDocuments, pin: &KeyPin<'_>) {
        let Ok(content) = kept.read(number) else {
            return;
        };
        let genuine = is_genuine(&content, pin).and_then(|()| parse::<KeyDocument>(&content));
        let Ok(document) = genuine else {
            return;
        };
        let is_next = document.format_version == KEYS_VERSION
            && document.repository == pin.repository
            && document.number == number
            && document.previous == self.digest;
        if is_next {
            self.documents.push(document);
            self.digest = Some(hexadecimal(&content));
            self.gone.push((number, content));
        }
    }

    /// Takes in the document `name`, which the administrator has signed.
    fn take(
        &mut self,
        name: &ObjectName,
        number: u32,
        bytes: &[u8],
        pin: &KeyPin<'_>,
    ) -> Result<()> {
        let version: Version = parse(bytes)?;
        if version.format_version != u64::from(KEYS_VERSION) {
            return Err(Error::unsupported(format!(
                "expected format version {KEYS_VERSION}, found {}: use a newer narthex",
                version.format_version
            )));
        }
        let document: KeyDocument = parse(bytes)?;
        // Whoever can write may copy what the administrator has signed to where it does not belong.
        if document.repository != pin.repository {
            let error = Error::refused(format!(
                "expected a key document of the repository {}, found one of {:?}",
                pin.repository, document.repository
            ));
            self.pass_over(name, error);
            return Ok(());
        }
        if document.number != number {
            let found = document.number;
            let error = Error::corrupt(format!("expected key document {number}, found {found}"));
            self.pass_over(name, error);
            return Ok(());
        }
        if document.previous != self.digest {
            return Err(self.lacking(number));
        }
        self.documents.push(document);
        self.digest = Some(hexadecimal(bytes));
        Ok(())
    }

    /// The error for the document `number`, which does not follow from the last one.
    fn lacking(&self, number: u32) -> Error {
        let last = self.last();
        let mut between = last.saturating_add(1)..number;
        if let Some(missing) = between.find(|number| !self.taken.contains(number)) {
            return Error::corrupt(format!(
                "expected key document {missing} before it, found none"
            ));
        }
        let junk = self.junk.iter().rfind(|junk| junk.is_numbered);
        let junk = junk.map_or_else(String::new, |junk| format!("; {}: {}", junk.name, junk.why));
        Error::corrupt(format!(
            "expected it to name the document before it, found that it names another than key document {last}{junk}"
        ))
    }

    fn end(self, pin: &KeyPin<'_>) -> Result<KeyChain> {
        let last = self.last();
        let (Some(newest), Some(digest)) = (self.documents.last().cloned(), self.digest) else {
            return Err(match self.first {
                Some(first) => first,
                None if pin.seen > 0 => unseen(pin.seen, last, &self.junk),
                None => Error::not_found("there is no key document"),
            });
        };
        let mut documents = self.documents.iter();
        // One that was seen is followed, not passed by.
        if pin.seen > 0 && !documents.any(|document| document.number == pin.seen) {
            return Err(unseen(pin.seen, last, &self.junk));
        }
        let mut numbers = last.saturating_add(1)..=MAX_NUMBER;
        Ok(KeyChain {
            documents: self.documents,
            newest,
            digest,
            junk: self.junk,
            gone: self.gone,
            free: numbers.find(|number| !self.taken.contains(number)),
        })
    }
}

/// The error where the document `seen` was seen before, and the newest that leads there is `last`.
fn unseen(seen: u32, last: u32, junk: &[KeyJunk]) -> Error {
    let junk = junk.iter().rfind(|junk| junk.is_numbered);
    let junk = junk.map_or_else(String::new, |junk| format!("; {}: {}", junk.name, junk.why));
    Error::refused(format!(
        "expected key document {seen} or one that follows it, as was seen before, found {last}: \
         somebody has removed or replaced the newest, or shows an older state of the repository{junk}"
    ))
}

/// Proves that the administrator's key has signed `bytes` as a key document.
fn is_genuine(bytes: &[u8], pin: &KeyPin<'_>) -> Result<()> {
    let (signed, signature) = document::split_document(bytes)?;
    let key = signature.signer()?;
    if key.fingerprint() != pin.admin {
        return Err(Error::refused(format!(
            "expected a signature of the administrator's key {}, found one of {}",
            pin.admin,
            key.fingerprint()
        )));
    }
    key.verify(KEYS_NAMESPACE, signed, &signature)
}
