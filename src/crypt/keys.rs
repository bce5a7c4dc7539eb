//! Key documents: which keys a repository is encrypted to, and who may write into it. **A draft.**
//!
//! Whoever can write to the place where a repository lies can replace a list of recipients there,
//! and would be able to read every later backup. So the list is signed by a key that no host has, the
//! administrator's, and each host remembers that key's fingerprint.
//!
//! A repository has numbered documents, `keys/00000001.json` and so on, in clear. They are created
//! and never changed: another list of keys is another document, and the newest counts. Each has
//! these members:
//!
//! | member | value |
//! |---|---|
//! | `format_version` | 1 |
//! | `number` | as in the name, from 1 |
//! | `time` | when it was made |
//! | `recipients` | array of recipients, `age1…` or `ssh-…`: whom objects are encrypted to |
//! | `signers` | array of `{"key": "ssh-ed25519 …", "sources": ["host-a"]}`: whose archives count, and of which sources; `*` stands for all |
//! | `previous` | SHA-256 of the whole document before, 64 digits; missing in the first |
//! | `signature` | of all lines before this one, by the administrator's key, in the namespace `narthex-keys` |
//!
//! A reader believes the newest document if all numbers from 1 on are there, each document names the
//! one before it, the administrator's key has signed all of them, and there are not fewer than it
//! has seen before: a place that shows an older state, in which a key that was taken off still
//! counts, is refused.
//!
//! By hand, with `admin.pub`, the administrator's public key:
//!
//! ```sh
//! echo "admin namespaces=\"narthex-keys\" $(cat admin.pub)" > allowed
//! { echo "-----BEGIN SSH SIGNATURE-----"
//!   tail -n 2 00000001.json | head -n 1 | cut -d '"' -f 4
//!   echo "-----END SSH SIGNATURE-----"; } > signature
//! head -n -2 00000001.json | ssh-keygen -Y verify -f allowed -I admin -n narthex-keys -s signature
//! ```

use std::borrow::Cow;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use sha2::{Digest as _, Sha256};

use super::document;
use super::recipient::{Recipient, Recipients};
use super::sign::{KEYS_NAMESPACE, Signature, SignerKey, SigningKey};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Millis;
use crate::store::{ObjectName, ReadStore};

/// Where key documents are.
pub const KEYS_PREFIX: &str = "keys/";

/// Newest version of the format that is read and written.
pub const KEYS_VERSION: u32 = 1;

/// Largest document that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Stands for every source.
const ALL_SOURCES: &str = "*";

/// A key that may sign archives of some sources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedSigner {
    /// The key.
    pub key: SignerKey,
    /// Names of the sources, `*` for all.
    pub sources: Vec<String>,
}

impl AllowedSigner {
    /// Whether it may sign archives of `source`.
    pub fn may_sign(&self, source: &str) -> bool {
        let mut sources = self.sources.iter();
        sources.any(|allowed| allowed == source || allowed == ALL_SOURCES)
    }
}

/// What one document says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyDocument {
    /// [`KEYS_VERSION`].
    pub format_version: u32,
    /// Its number, from 1.
    pub number: u32,
    /// When it was made.
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    pub time: Millis,
    /// Whom objects are encrypted to.
    #[serde(serialize_with = "write_texts", deserialize_with = "read_texts")]
    pub recipients: Vec<Recipient>,
    /// Whose archives count.
    pub signers: Vec<AllowedSigner>,
    /// SHA-256 of the whole document before it, as 64 digits; `None` in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
}

impl KeyDocument {
    /// The first document of a repository.
    pub fn first(time: Millis, recipients: Vec<Recipient>, signers: Vec<AllowedSigner>) -> Self {
        KeyDocument {
            format_version: KEYS_VERSION,
            number: 1,
            time,
            recipients,
            signers,
            previous: None,
        }
    }

    /// The object that holds it.
    ///
    /// # Errors
    ///
    /// None that is known.
    pub fn object(&self) -> Result<ObjectName> {
        object(self.number)
    }

    /// Its bytes, signed by the administrator's key. Publish them with
    /// [`Store::put`](crate::store::Store): of two documents of one number one wins.
    ///
    /// # Errors
    ///
    /// `Invalid`, when it names no recipient, or more than there may be, or cannot be written.
    pub fn to_signed(&self, admin: &SigningKey) -> Result<Vec<u8>> {
        Recipients::new(self.recipients.iter().cloned())?;
        document::sign(self, admin, KEYS_NAMESPACE)
    }
}

fn object(number: u32) -> Result<ObjectName> {
    ObjectName::new(format!("{KEYS_PREFIX}{number:08}.json"))
}

/// The documents of a repository, all of them proved; see the [module](self).
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
    /// Reads and proves the documents in `store`. `admin` is the fingerprint of the
    /// administrator's key (`SHA256:…`), `seen` the highest number that this host has seen before,
    /// 0 for none: it has to be remembered somewhere else than in the store.
    ///
    /// # Errors
    ///
    /// `NotFound`, when there is none; `Refused`, when there are fewer than were seen, or one is
    /// not signed by that key; `Corrupt`, when one is missing, damaged, or does not follow from the
    /// one before; `Unsupported`, when one is of a newer version.
    pub fn read(store: &dyn ReadStore, admin: &str, seen: u32) -> Result<Self> {
        let listed = store.list(KEYS_PREFIX)?;
        let mut documents = Vec::new();
        let mut digest = None;
        for ((name, _), number) in listed.iter().zip(1_u32..) {
            if *name != object(number)? {
                return Err(Error::corrupt(format!(
                    "expected key document {number} in the place of {name}: it is missing, or \
                     something else is there"
                )));
            }
            let bytes = store.get(name, MAX_BYTES)?;
            let read = read_document(&bytes, admin, number, digest.as_deref());
            documents.push(read.map_err(|e| e.context(format!("object {name}")))?);
            digest = Some(hexadecimal(&bytes));
        }
        let last = u32::try_from(documents.len()).unwrap_or(u32::MAX);
        if last < seen {
            return Err(Error::refused(format!(
                "expected {seen} key documents or more, as were seen before, found {last}: somebody \
                 has removed the newest, or shows an older state of the repository"
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
            ..KeyDocument::first(time, recipients, signers)
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

    /// Proves that `signature` is one of `bytes`, for `namespace`, by a key that the newest document
    /// lets sign archives of `source`.
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
    admin: &str,
    number: u32,
    previous: Option<&str>,
) -> Result<KeyDocument> {
    let (signed, signature) = document::split(bytes)?;
    let key = signature.signer()?;
    if key.fingerprint() != admin {
        return Err(Error::refused(format!(
            "expected a signature of the administrator's key {admin}, found one of {}",
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

#[derive(Deserialize)]
struct Version {
    format_version: u64,
}

fn parse<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|cause| {
        Error::new(ErrorKind::Corrupt, "not the document it should be").with_source(cause)
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes what it serialises by reference"
)]
fn write_time<S: Serializer>(time: &Millis, serializer: S) -> Result<S::Ok, S::Error> {
    let time = Timestamp::from_millisecond(*time).map_err(ser::Error::custom)?;
    serializer.collect_str(&format_args!("{time:.3}"))
}

fn read_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Millis, D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    let time: Timestamp = text.parse().map_err(de::Error::custom)?;
    Ok(time.as_millisecond())
}

fn write_texts<S: Serializer>(recipients: &[Recipient], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(recipients.iter().map(ToString::to_string))
}

fn read_texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Recipient>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let read = texts.iter().map(|text| text.parse());
    read.collect::<Result<_>>().map_err(de::Error::custom)
}
