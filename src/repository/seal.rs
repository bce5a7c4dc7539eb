//! Small JSON documents that prove themselves.
//!
//! JSON has no checksum, and a flipped digit in it is still JSON. So every document ends with a
//! member `sha256`: the digest of all bytes before the comma that precedes it. Each document also
//! says its `format_version`. Both hold for every version to come.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::digest::Digest;
use crate::error::{Error, Result};
use crate::raw::open_document;

/// Between content and digest.
const SEAL: &[u8] = b",\n  \"sha256\": \"";
/// After the digest.
const END: &[u8] = b"\"\n}\n";
/// Length of the digest as text.
const DIGEST_LEN: usize = 64;

/// The sealed document of `content`, which must serialise to an object that is not empty.
pub(super) fn to_bytes(content: &impl Serialize) -> Result<Vec<u8>> {
    open_document(content).map(close)
}

/// Ends a document that [`open_document`] has begun with its digest.
pub(super) fn close(mut bytes: Vec<u8>) -> Vec<u8> {
    let digest = Digest::of(&bytes).to_string();
    bytes.extend_from_slice(SEAL);
    bytes.extend_from_slice(digest.as_bytes());
    bytes.extend_from_slice(END);
    bytes
}

/// What stands before the seal of a document; `None` where there cannot be one.
#[cfg(feature = "encryption")]
pub(super) fn content(bytes: &[u8]) -> Option<&[u8]> {
    let at = bytes
        .len()
        .checked_sub(SEAL.len() + DIGEST_LEN + END.len())?;
    bytes.get(..at)
}

/// Reads a sealed document of at most `newest` as its `format_version`.
///
/// # Errors
///
/// `Corrupt` when the seal is missing or broken or a field is not what it should be, `Unsupported`
/// when the document is newer.
pub(super) fn from_bytes<T: DeserializeOwned>(bytes: &[u8], newest: u32) -> Result<T> {
    check(bytes)?;
    match parse::<Version>(bytes)?.format_version {
        0 => Err(Error::corrupt("expected a format version from 1, found 0")),
        version if version > u64::from(newest) => Err(Error::unsupported(format!(
            "expected format version {newest} at most, found {version}: use a newer narthex"
        ))),
        _ => parse(bytes),
    }
}

#[derive(serde::Deserialize)]
struct Version {
    format_version: u64,
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|cause| Error::corrupt("not the document it should be").with_source(cause))
}

fn check(bytes: &[u8]) -> Result<()> {
    let unsealed =
        || Error::corrupt("expected a closing sha256 member, found none: cut off or damaged");
    let (content, seal) = bytes
        .len()
        .checked_sub(SEAL.len() + DIGEST_LEN + END.len())
        .and_then(|at| bytes.split_at_checked(at))
        .ok_or_else(unsealed)?;
    let stored = seal
        .strip_prefix(SEAL)
        .and_then(|rest| rest.strip_suffix(END))
        .and_then(|digest| std::str::from_utf8(digest).ok())
        .and_then(|digest| digest.parse::<Digest>().ok())
        .ok_or_else(unsealed)?;
    let computed = Digest::of(content);
    if stored == computed {
        return Ok(());
    }
    Err(Error::corrupt(format!(
        "expected SHA-256 {stored} as stored, found {computed}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use serde_json::{Value, json};

    #[test]
    fn a_sealed_document_is_json_and_no_prefix_or_flip_of_it_is_accepted() {
        let content = json!({"format_version": 1, "id": "abc", "list": []});
        let bytes = to_bytes(&content).unwrap();
        let read: Value = from_bytes(&bytes, 1).unwrap();
        assert_eq!(read["id"], "abc");
        for len in 0..bytes.len() {
            let error = from_bytes::<Value>(&bytes[..len], 1).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "prefix of {len}");
        }
        for (at, bit) in (0..bytes.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            assert!(
                from_bytes::<Value>(&flipped, 1).is_err(),
                "bit {bit} of byte {at}"
            );
        }
    }

    #[test]
    fn a_newer_document_is_unsupported_and_not_corrupt() {
        let newer = to_bytes(&json!({"format_version": 2, "shape": "unheard of"})).unwrap();
        let error = from_bytes::<Value>(&newer, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let zero = to_bytes(&json!({"format_version": 0})).unwrap();
        assert_eq!(
            from_bytes::<Value>(&zero, 1).unwrap_err().kind(),
            ErrorKind::Corrupt
        );
    }
}
