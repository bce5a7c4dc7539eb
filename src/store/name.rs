//! Names of objects, made so that no name can leave its store.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// First component of the names a store keeps for itself: objects not yet published.
pub(super) const TEMPORARY: &str = "tmp";

/// Longest name in bytes: S3 ends at 1,024, and a prefix must fit there as well.
const MAX_LEN: usize = 512;

/// Longest component in bytes, as on every common file system.
const MAX_COMPONENT_LEN: usize = 255;

/// The name of an object: components of ASCII letters, digits, `.`, `-` and `_`, separated by `/`.
///
/// No component is empty, `.` or `..`, and the first is not `tmp`, which belongs to the stores
/// themselves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectName(String);

impl ObjectName {
    /// Checks `name`.
    ///
    /// # Errors
    ///
    /// `Invalid`, when it is not of the form above.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let plain = name.len() <= MAX_LEN
            && name.split('/').all(is_component)
            && name.split('/').next() != Some(TEMPORARY);
        if plain {
            Ok(ObjectName(name))
        } else {
            Err(Error::invalid(format!(
                "expected an object name of plain components, found {name:?}"
            )))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `text` may stand between two slashes of a name.
pub(super) fn is_component(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !matches!(text, "" | "." | "..") && text.len() <= MAX_COMPONENT_LEN && text.bytes().all(allowed)
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ObjectName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        ObjectName::new(text)
    }
}

impl TryFrom<String> for ObjectName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        ObjectName::new(text)
    }
}

impl From<ObjectName> for String {
    fn from(name: ObjectName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_can_leave_its_store() {
        for good in [
            "narthex.json",
            "blocks/01M7/ab.tar.zst",
            "a/b-c_d/..e",
            "tmpx/a",
        ] {
            assert_eq!(ObjectName::new(good).unwrap().as_str(), good);
        }
        let long = "a/".repeat(300) + "a";
        for bad in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "a/./b",
            "a\\b",
            "C:",
            "a b",
            "ä",
            "a\0b",
            "tmp",
            "tmp/a",
            &long,
            &"x".repeat(256),
        ] {
            assert!(ObjectName::new(bad).is_err(), "{bad:?}");
        }
    }
}
