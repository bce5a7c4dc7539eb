//! From what a user types as `--repo` to a store.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

#[cfg(feature = "remote")]
use super::http::{HttpAddress, HttpOptions, HttpStore};
#[cfg(feature = "remote")]
use super::options::CA_FILE;
#[cfg(feature = "remote")]
use super::remote::{Address, RemoteStore};
#[cfg(feature = "remote")]
use super::sftp::{SftpAddress, SftpOptions, SftpStore};
use super::{LocalStore, Store, StoreOptions};
#[cfg(feature = "remote")]
use super::{ReadAhead, ReadOnly};
use crate::error::{Error, Result};

/// Where a repository is, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// A directory on this machine.
    Local(PathBuf),
    /// A place in an object store.
    #[cfg(feature = "remote")]
    Remote(Address),
    /// A directory on an SFTP server.
    #[cfg(feature = "remote")]
    Sftp(SftpAddress),
    /// A directory of a web server, which can only be read.
    #[cfg(feature = "remote")]
    Http(HttpAddress),
}

impl Location {
    /// The store there. Nothing is read or written yet.
    ///
    /// # Errors
    ///
    /// `Invalid`, when `options` and the environment do not say how to reach it, or `options` say
    /// what has no effect on a server that is reached by SFTP or HTTP.
    #[cfg_attr(
        not(feature = "remote"),
        expect(unused_variables, reason = "a directory needs none")
    )]
    pub fn store(&self, options: &StoreOptions) -> Result<Arc<dyn Store>> {
        Ok(match self {
            Location::Local(path) => Arc::new(LocalStore::new(path)),
            #[cfg(feature = "remote")]
            Location::Remote(address) => {
                let store = RemoteStore::new(address.clone(), options)?;
                Arc::new(ReadAhead::new(store))
            }
            #[cfg(feature = "remote")]
            Location::Sftp(address) => {
                let without_effect = options.said().into_iter();
                refuse_options(self, without_effect)?;
                let store = SftpStore::new(address.clone(), SftpOptions::default());
                Arc::new(ReadAhead::new(store))
            }
            #[cfg(feature = "remote")]
            Location::Http(address) => {
                let without_effect = options.said().into_iter();
                refuse_options(self, without_effect.filter(|it| *it != CA_FILE))?;
                let mut spoken = HttpOptions::default();
                spoken.ca.clone_from(&options.ca);
                let store = HttpStore::new(address.clone(), &spoken)?;
                Arc::new(ReadAhead::new(ReadOnly(store)))
            }
        })
    }

    /// The directory, where it is one on this machine.
    pub fn dir(&self) -> Option<&Path> {
        match self {
            Location::Local(path) => Some(path),
            #[cfg(feature = "remote")]
            Location::Remote(_) | Location::Sftp(_) | Location::Http(_) => None,
        }
    }
}

impl FromStr for Location {
    type Err = Error;

    /// `Unsupported` for what names another machine or a service, `Invalid` for nothing at all.
    fn from_str(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::invalid(
                "expected a path to a repository, found nothing",
            ));
        }
        #[cfg(feature = "remote")]
        if Address::is_one(text) {
            return text.parse().map(Location::Remote);
        }
        #[cfg(feature = "remote")]
        if SftpAddress::is_one(text) {
            return text.parse().map(Location::Sftp);
        }
        #[cfg(feature = "remote")]
        if HttpAddress::is_one(text) {
            return text.parse().map(Location::Http);
        }
        refuse_remote(Path::new(text))?;
        Ok(Location::Local(PathBuf::from(text)))
    }
}

/// Refuses options that would change nothing: whoever limits what is sent must not find the line
/// full, nor whoever names an endpoint be led elsewhere.
#[cfg(feature = "remote")]
fn refuse_options(
    location: &Location,
    mut without_effect: impl Iterator<Item = &'static str>,
) -> Result<()> {
    without_effect.next().map_or(Ok(()), |option| {
        Err(Error::invalid(format!(
            "expected no {option} for {location}, where it has no effect"
        )))
    })
}

/// What is known of places that are not on this machine.
const OTHER_PLACES: &str = if cfg!(feature = "remote") {
    "what is known is s3://, gs://, az://, sftp:// and https:// for a repository"
} else {
    "other machines and object stores are not in this version"
};

/// Refuses a path that looks like a place on another machine or in a service: `s3://bucket`,
/// `s3:bucket`, `sftp:host:/x`, `user@host:/x`. Taken for a path it would be a directory nobody
/// looks for. `./s3:bucket` is a path.
///
/// # Errors
///
/// `Unsupported` when it does.
pub fn refuse_remote(path: &Path) -> Result<()> {
    let text = path.to_string_lossy();
    let first = text.split('/').next().unwrap_or_default();
    match first.split_once(':') {
        None => Ok(()),
        Some((before, _)) => Err(Error::unsupported(format!(
            "expected a path, found {text:?}, which looks like a place of {before:?}: {OTHER_PLACES}; a directory of this name is ./{text}"
        ))),
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Local(path) => path.display().fmt(f),
            #[cfg(feature = "remote")]
            Location::Remote(address) => address.fmt(f),
            #[cfg(feature = "remote")]
            Location::Sftp(address) => address.fmt(f),
            #[cfg(feature = "remote")]
            Location::Http(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn every_location_is_read_as_it_is_shown() {
        // A variant that is missing here does not compile.
        let example = |location: &Location| match location {
            Location::Local(_) => "/srv/backup",
            #[cfg(feature = "remote")]
            Location::Remote(_) => "s3://backups/prometheus",
            #[cfg(feature = "remote")]
            Location::Sftp(_) => "sftp://backup@host/srv/prometheus",
            #[cfg(feature = "remote")]
            Location::Http(_) => "https://host/prometheus",
        };
        let mut examples = vec!["/srv/backup"];
        if cfg!(feature = "remote") {
            examples.push("s3://backups/prometheus");
            examples.push("sftp://backup@host/srv/prometheus");
            examples.push("https://host/prometheus");
        }
        for text in examples {
            let location: Location = text.parse().unwrap();
            assert_eq!(example(&location), text);
            assert_eq!(location.to_string(), text);
        }
    }

    #[test]
    fn what_looks_like_another_machine_or_a_service_is_no_path() {
        let local: Location = "/srv/backup".parse().unwrap();
        assert_eq!(local, Location::Local("/srv/backup".into()));
        assert_eq!(
            "".parse::<Location>().unwrap_err().kind(),
            ErrorKind::Invalid
        );
        for text in [
            "s3://bucket/prefix",
            "gs://bucket",
            "ftp://host",
            "s3:bucket/x",
            "s3:http://host/bucket",
            "sftp:host:/x",
            "b2:bucket",
            "rest:https://host",
            "host:/path",
            "user@host:path",
            ":memory",
        ] {
            // With the feature these are places of objects.
            if cfg!(feature = "remote") && ["s3://", "gs://"].iter().any(|it| text.starts_with(it))
            {
                continue;
            }
            let error = text.parse::<Location>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{text}");
            assert!(error.to_string().contains(&format!("./{text}")), "{error}");
        }
        for text in [
            "./s3:bucket",
            "/srv/a:b",
            "../x:y",
            "dir/s3://x",
            "-",
            "repo",
        ] {
            assert!(text.parse::<Location>().is_ok(), "{text}");
        }
    }

    #[cfg(feature = "remote")]
    #[test]
    fn options_that_have_no_effect_are_refused_by_name() {
        type Set = fn(&mut StoreOptions);
        let set: [(&str, Set); 7] = [
            ("--limit-upload", |it| it.limits.upload = Some(1)),
            ("--limit-download", |it| it.limits.download = Some(1)),
            ("--limit-requests", |it| it.limits.requests = Some(1)),
            ("--endpoint", |it| it.endpoint = Some("https://h".into())),
            ("--region", |it| it.region = Some("x".into())),
            ("--profile", |it| it.profile = Some("x".into())),
            ("--ca-file", |it| it.ca = Some(b"no certificate".to_vec())),
        ];
        for text in ["sftp://h/x", "https://h/x"] {
            let location: Location = text.parse().unwrap();
            assert!(location.store(&StoreOptions::default()).is_ok());
            for (name, set) in set {
                let mut options = StoreOptions::default();
                set(&mut options);
                let error = location.store(&options).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Invalid);
                let is_read = text.starts_with("https") && name == "--ca-file";
                let expected = if is_read { "PEM" } else { name };
                assert!(error.to_string().contains(expected), "{text}: {error}");
            }
        }
    }
}
