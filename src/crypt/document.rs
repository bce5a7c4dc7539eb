//! JSON documents that end with a signature.
//!
//! The signature is the last member, and signs every byte of the lines before its own:
//!
//! ```text
//! {
//! "format_version": 1,
//! …
//! "last": "member",
//! "signature": "<digits of base 64>"
//! }
//! ```
//!
//! So `head -n -2` gives what is signed, and the last line but one holds the digits that stand in
//! the armour of a signature of `ssh-keygen -Y sign`.

use serde::Serialize;

use super::sign::{Signature, SigningKey};
use crate::error::{Error, Result};
use crate::raw::open_document;

/// Behind the content, before the line with the signature.
const NEXT: &[u8] = b",\n";
/// Before the digits.
const MEMBER: &str = "\"signature\": \"";
/// Behind the digits.
const END: &[u8] = b"\"\n}\n";

/// The document of `content`, which must serialise to an object that is not empty, signed.
///
/// # Errors
///
/// When it cannot be written.
pub fn sign_document(
    content: &impl Serialize,
    key: &SigningKey,
    namespace: &str,
) -> Result<Vec<u8>> {
    let mut bytes = open_document(content)?;
    bytes.extend_from_slice(NEXT);
    let digits = key.sign(namespace, &bytes)?.to_line()?;
    bytes.extend_from_slice(MEMBER.as_bytes());
    bytes.extend_from_slice(digits.as_bytes());
    bytes.extend_from_slice(END);
    Ok(bytes)
}

/// What is signed of a document, and the signature, which is still to be verified.
///
/// # Errors
///
/// `Corrupt`, when there is no signature.
pub fn split_document(bytes: &[u8]) -> Result<(&[u8], Signature)> {
    let unsigned =
        || Error::corrupt("expected a closing signature member, found none: cut off or damaged");
    let rest = bytes.strip_suffix(END).ok_or_else(unsigned)?;
    let end = rest.iter().rposition(|byte| *byte == b'\n');
    let line = end.ok_or_else(unsigned)?.saturating_add(1);
    let (signed, member) = rest.split_at_checked(line).ok_or_else(unsigned)?;
    if !signed.ends_with(NEXT) {
        return Err(unsigned());
    }
    let digits = std::str::from_utf8(member)
        .ok()
        .and_then(|member| member.strip_prefix(MEMBER))
        .ok_or_else(unsigned)?;
    Ok((signed, Signature::from_line(digits)?))
}
