//! From what a user types as `--repo` to a store.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::{LocalStore, Store};
use crate::error::{Error, Result};

/// Schemes that later versions will read, and that are therefore no directory names.
const OBJECT_STORES: [&str; 3] = ["s3", "gs", "az"];

/// Where a repository is, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// A directory on this machine.
    Local(PathBuf),
}

impl Location {
    /// The store there. Nothing is read or written yet.
    pub fn store(&self) -> Arc<dyn Store> {
        match self {
            Location::Local(path) => Arc::new(LocalStore::new(path)),
        }
    }
}

impl FromStr for Location {
    type Err = Error;

    /// `Unsupported` for object stores, `Invalid` for any other scheme and for nothing at all.
    fn from_str(text: &str) -> Result<Self> {
        match text.split_once("://") {
            Some((scheme, _)) if OBJECT_STORES.contains(&scheme) => Err(Error::unsupported(
                format!("{scheme}:// repositories are not in this version, expected a path"),
            )),
            Some((scheme, _)) => Err(Error::invalid(format!(
                "expected a path to a repository, found unknown scheme {scheme:?}"
            ))),
            None if text.is_empty() => Err(Error::invalid(
                "expected a path to a repository, found nothing",
            )),
            None => Ok(Location::Local(PathBuf::from(text))),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Local(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn paths_are_local_and_object_stores_are_refused_by_name() {
        let local: Location = "/srv/backup".parse().unwrap();
        assert_eq!(local, Location::Local("/srv/backup".into()));
        for (text, kind) in [
            ("s3://bucket/prefix", ErrorKind::Unsupported),
            ("gs://bucket", ErrorKind::Unsupported),
            ("az://container", ErrorKind::Unsupported),
            ("ftp://host", ErrorKind::Invalid),
            ("", ErrorKind::Invalid),
        ] {
            assert_eq!(text.parse::<Location>().unwrap_err().kind(), kind, "{text}");
        }
    }
}
