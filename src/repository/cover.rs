//! The cover of an encrypted manifest: what everybody can read of it, and what is proved by it.
//!
//! In a repository that is encrypted a manifest is a sealed document like any other, so that its
//! seal and its `format_version` can be read, and so that whoever has no key can tell what is
//! needed and whether it is there. What it says of a server is in its `body`, which only holders of
//! a key read:
//!
//! | member | value |
//! |---|---|
//! | `format_version` | [`COVERED_MANIFEST_VERSION`] |
//! | `id`, `time` | as in the name, and in the body |
//! | `repository` | the `id` of the descriptor |
//! | `source` | which source it is of, as [`source_id`] says |
//! | `previous` | name and digest of the manifest before it of the same source; may be missing |
//! | `objects` | name, size and digest of everything that it needs, as it lies in the store |
//! | `body` | the manifest, compressed (zstd), encrypted (age), in digits of base 64 |
//! | `signature` | of all lines before this one, by the host; may be missing |
//!
//! By hand: `jq -r .body FILE | base64 -d | age -d -i KEY | zstd -d`.

#[cfg(feature = "encryption")]
use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::layout::ArchiveId;
use super::seal;
#[cfg(feature = "encryption")]
use super::{Archive, StoredObject};
#[cfg(feature = "encryption")]
use crate::crypt::keys::source_id;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Millis;
#[cfg(feature = "encryption")]
use crate::raw::open_document;
use crate::store::ObjectName;

/// Version of manifests of which only the cover can be read without a key.
pub const COVERED_MANIFEST_VERSION: u32 = 3;

/// Behind what is signed.
#[cfg(feature = "encryption")]
const NEXT: &[u8] = b",\n";
/// Before the digits of a signature, on the last line before the seal.
#[cfg(feature = "encryption")]
const MEMBER: &[u8] = b"\"signature\": \"";

/// What can be read of an encrypted manifest without a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cover {
    /// [`COVERED_MANIFEST_VERSION`].
    pub format_version: u32,
    /// Identity of the archive.
    pub id: ArchiveId,
    /// When the run began to read its source.
    #[serde(with = "super::stamp")]
    pub time: Millis,
    /// Identity of the repository.
    pub repository: String,
    /// What stands for the name of the source.
    pub source: String,
    /// The manifest before it of the same source, if its writer knew one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<ManifestLink>,
    /// Everything that the archive needs.
    pub objects: Vec<CoveredObject>,
    /// The encrypted manifest.
    pub body: String,
}

/// One manifest, named by another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestLink {
    /// Its name.
    pub name: ObjectName,
    /// Digest of its bytes.
    pub sha256: Digest,
}

/// An object as it lies in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoveredObject {
    /// Its name.
    pub name: ObjectName,
    /// Its size in bytes.
    pub bytes: u64,
    /// Digest of its bytes.
    pub sha256: Digest,
}

#[cfg(feature = "encryption")]
impl CoveredObject {
    fn of(object: &StoredObject) -> Self {
        let form = object.encrypted;
        CoveredObject {
            name: object.name.clone(),
            bytes: object.listed_bytes(),
            sha256: form.map_or(object.sha256, |form| form.sha256),
        }
    }
}

impl Cover {
    /// Reads the cover in the bytes of a manifest; `None` when the manifest has none, and can be
    /// read as it is, or is nothing that is known.
    ///
    /// # Errors
    ///
    /// `Corrupt` when the seal is broken or a member is not what it should be.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>> {
        if !is_covered(bytes) {
            return Ok(None);
        }
        seal::from_bytes(bytes, COVERED_MANIFEST_VERSION).map(Some)
    }
}

#[cfg(feature = "encryption")]
impl Cover {
    /// The cover of `archive`, whose manifest is `body` when it is encrypted.
    ///
    /// # Errors
    ///
    /// `Invalid`, when the archive does not say of which repository it is.
    pub fn of(archive: &Archive, body: String) -> Result<Self> {
        let repository = archive.repository.clone().ok_or_else(|| {
            Error::invalid("an archive of an encrypted repository has to name the repository")
        })?;
        Ok(Cover {
            format_version: COVERED_MANIFEST_VERSION,
            id: archive.id.clone(),
            time: archive.time,
            source: source_id(&repository, &archive.source_name),
            repository,
            previous: archive.previous.clone(),
            objects: covered(archive),
            body,
        })
    }

    /// Proves that `archive`, which was in the body, is what the cover says.
    ///
    /// # Errors
    ///
    /// `Corrupt`, when it is not.
    pub fn prove(&self, archive: &Archive) -> Result<()> {
        let own = Cover::of(archive, String::new())?;
        let same = own.id == self.id
            && own.time == self.time
            && own.repository == self.repository
            && own.source == self.source
            && own.previous == self.previous
            && own.objects == self.objects;
        if same {
            return Ok(());
        }
        Err(Error::corrupt(
            "expected an encrypted manifest that says what its cover does, found another",
        ))
    }

    /// Its document; `sign` makes the signature of what it is given, as digits, if there is to be
    /// one.
    ///
    /// # Errors
    ///
    /// What `sign` says.
    pub fn to_bytes(&self, sign: impl FnOnce(&[u8]) -> Result<Option<String>>) -> Result<Vec<u8>> {
        let mut bytes = open_document(self)?;
        let unsigned = bytes.len();
        bytes.extend_from_slice(NEXT);
        match sign(&bytes)? {
            None => bytes.truncate(unsigned),
            Some(digits) => {
                bytes.extend_from_slice(MEMBER);
                bytes.extend_from_slice(digits.as_bytes());
                bytes.push(b'"');
            }
        }
        Ok(seal::close(bytes))
    }
}

/// What is signed of a sealed document, and the digits of the signature; `None` where there is
/// none.
#[cfg(feature = "encryption")]
pub fn signature(document: &[u8]) -> Option<(&[u8], &str)> {
    let content = seal::content(document)?;
    let line = content.iter().rposition(|byte| *byte == b'\n')?;
    // With the comma and the newline: what `head` gives by hand.
    let (signed, member) = content.split_at_checked(line.saturating_add(1))?;
    let digits = member.strip_prefix(MEMBER)?.strip_suffix(b"\"")?;
    let digits = std::str::from_utf8(digits).ok()?;
    signed.ends_with(NEXT).then_some((signed, digits))
}

/// Everything that `archive` needs, each object once, by name.
#[cfg(feature = "encryption")]
fn covered(archive: &Archive) -> Vec<CoveredObject> {
    let objects = archive.objects().map(|(_, object)| object);
    let objects: BTreeMap<_, _> = objects.map(|object| (&object.name, object)).collect();
    objects.into_values().map(CoveredObject::of).collect()
}

/// Whether the bytes of a manifest are a cover with an encrypted body.
fn is_covered(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Head {
        format_version: u64,
        body: Option<IgnoredAny>,
    }
    let head = serde_json::from_slice::<Head>(bytes);
    head.is_ok_and(|head| {
        head.format_version == u64::from(COVERED_MANIFEST_VERSION) && head.body.is_some()
    })
}

/// The error for a manifest that only holders of a key can read.
pub(super) fn locked() -> Error {
    Error::new(
        ErrorKind::Locked,
        "it is encrypted, and no identity was given that can read it",
    )
    .advise("give one that can read it with --identity FILE")
}
