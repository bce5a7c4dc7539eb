//! Key documents: which keys a repository is encrypted to, and who may write into it.
//!
//! Whoever can write to the place where a repository lies can replace a list of recipients there,
//! and would be able to read every later backup. So the list is signed by a key that no host has,
//! the administrator's, and each host remembers that key's fingerprint.
//!
//! A repository has numbered documents, `keys/00000001.json` and so on, in clear. They are created
//! and never changed: another list of keys is another document, and the newest counts. Each has
//! these members:
//!
//! | member | value |
//! |---|---|
//! | `format_version` | 1 |
//! | `repository` | the `id` of the repository's descriptor |
//! | `number` | as in the name, from 1 |
//! | `time` | when it was made |
//! | `recipients` | array of recipients, `age1…` or `ssh-…`: whom objects are encrypted to |
//! | `signers` | array of `{"key": "ssh-ed25519 …", "sources": ["6f1c…"]}`: whose archives count |
//! | `previous` | SHA-256 of the whole document before, 64 digits; missing in the first |
//! | `signature` | of all lines before this one, by the administrator's key |
//!
//! A signer may sign archives of the sources that are named with it, as [`source_id`] writes their
//! names; `*` stands for all. Signatures
//! of these documents are in the namespace `narthex-keys`, those of archives in `narthex-archive`.
//!
//! A document counts that the administrator's key has signed for this repository and for the number
//! in its name. A reader goes through those that count by their numbers, each of which has to name
//! the one before it, and believes the last; the one that it has seen last has to be among them: a
//! place that shows an older state, in which a key that was taken off still counts, is refused.
//! Numbers may be left out: what does not count, which anybody can lay there who may write, is
//! passed over and named, and the next document takes the first number that nothing has.
//!
//! **Why not otherwise.** In `narthex.json` the list could not change: objects are written once. A
//! single document that is replaced needs a store that overwrites, and the place could keep
//! returning the old one to whoever has not seen the new. A list in each archive would be the
//! host's own, which is whom it should bind. The signature is in the document: of two objects one
//! could be there without the other, and as neither is overwritten, it would be so for ever.
//! Without `repository` the documents of one repository could be laid into another of the same
//! administrator, and without `previous` a document that was made for a number and never published
//! could take the place of the one that was.
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

mod chain;
mod kept;

use std::borrow::Cow;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use sha2::{Digest as _, Sha256};

use super::document;
use super::recipient::{Recipient, Recipients};
use super::sign::{KEYS_NAMESPACE, SignerKey, SigningKey};
pub use chain::{KeyChain, KeyJunk, KeyPin, Standing};
pub use kept::KeptDocuments;

use crate::error::{Error, ErrorKind, Result};
use crate::model::Millis;
use crate::store::ObjectName;

/// Where key documents are.
pub const KEYS_PREFIX: &str = "keys/";

/// Newest version of the format that is read and written.
pub const KEYS_VERSION: u32 = 1;

/// The largest number of a document: it has eight digits.
const MAX_NUMBER: u32 = 99_999_999;

/// Largest document that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Stands for every source.
const ALL_SOURCES: &str = "*";

/// A key that may sign archives of some sources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedSigner {
    /// The key.
    pub key: SignerKey,
    /// What stands for the names of the sources ([`source_id`]), or, before
    /// [`AllowedSigner::in_repository`], the names; `*` for all.
    pub sources: Vec<String>,
}

impl AllowedSigner {
    /// It as it stands in the documents of the repository with this id, which everybody can read:
    /// with what stands for the names of its sources (see [`source_id`]), and without the comment
    /// of its key.
    #[must_use]
    pub fn in_repository(self, repository: &str) -> Self {
        let id = |name: String| match name.as_str() {
            ALL_SOURCES => name,
            name => source_id(repository, name),
        };
        AllowedSigner {
            key: self.key.without_comment(),
            sources: self.sources.into_iter().map(id).collect(),
        }
    }

    /// Whether it may sign archives of every source.
    pub fn may_sign_all(&self) -> bool {
        self.sources.iter().any(|allowed| allowed == ALL_SOURCES)
    }

    /// Whether it may sign archives of `source`.
    pub fn may_sign(&self, source: &str) -> bool {
        let mut sources = self.sources.iter();
        sources.any(|allowed| allowed == source || allowed == ALL_SOURCES)
    }
}

/// Hexadecimal digits of a [`source_id`].
const SOURCE_DIGITS: usize = 16;

/// What stands for the name of a source where names are not to be read: the first 16 hexadecimal
/// digits of the SHA-256 digest of the repository's id, a newline, and the name. Whoever guesses a
/// name can try it.
pub fn source_id(repository: &str, name: &str) -> String {
    let mut digits = hexadecimal(format!("{repository}\n{name}").as_bytes());
    digits.truncate(SOURCE_DIGITS);
    digits
}

/// What one document says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyDocument {
    /// [`KEYS_VERSION`].
    pub format_version: u32,
    /// Identity of the repository that it is of.
    pub repository: String,
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
    /// The first document of the repository with the identity `repository`.
    pub fn first(
        repository: &str,
        time: Millis,
        recipients: Vec<Recipient>,
        signers: Vec<AllowedSigner>,
    ) -> Self {
        KeyDocument {
            format_version: KEYS_VERSION,
            repository: repository.to_owned(),
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
        key_object(self.number)
    }

    /// Its bytes, signed by the administrator's key. Publish them with
    /// [`Store::put`](crate::store::Store): of two documents of one number one wins.
    ///
    /// # Errors
    ///
    /// `Invalid`, when it names no recipient, or more than there may be, or cannot be written.
    pub fn to_signed(&self, admin: &SigningKey) -> Result<Vec<u8>> {
        Recipients::new(self.recipients.iter().cloned())?;
        document::sign_document(self, admin, KEYS_NAMESPACE)
    }
}

/// The object that holds the document with this number.
///
/// # Errors
///
/// None that is known.
pub fn key_object(number: u32) -> Result<ObjectName> {
    ObjectName::new(format!("{KEYS_PREFIX}{number:08}.json"))
}

/// The number of the document with this name; `None` where no document has such a name.
fn document_number(name: &ObjectName) -> Option<u32> {
    let number = name.as_str().strip_prefix(KEYS_PREFIX)?;
    let digits = number.strip_suffix(".json")?;
    let is_plain = digits.len() == 8 && digits.bytes().all(|it| it.is_ascii_digit());
    digits.parse().ok().filter(|_| is_plain)
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
