//! Which archives are meant, by what they are of.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;

use crate::error::{Error, Result, did_you_mean};
use crate::repository::Archive;

/// Most sources, and most labels, that an error names.
const MOST_NAMED: usize = 20;

/// Which archives are meant, by what they are of; nothing given means every one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFilter {
    /// Only those on this host.
    pub host: Option<String>,
    /// Only the one of this name.
    pub source_name: Option<String>,
    /// Only archives that were given all of these labels.
    pub labels: BTreeMap<String, String>,
}

impl SourceFilter {
    /// Whether every archive is meant.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether `archive` is meant.
    pub fn matches(&self, archive: &Archive) -> bool {
        self.fits(&archive.host, &archive.source_name, &archive.labels)
    }

    pub(super) fn fits(
        &self,
        host: &str,
        source_name: &str,
        labels: &BTreeMap<String, String>,
    ) -> bool {
        let fits = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        let mut wanted = self.labels.iter();
        fits(&self.host, host)
            && fits(&self.source_name, source_name)
            && wanted.all(|(name, value)| labels.get(name) == Some(value))
    }

    /// The archives that are meant.
    ///
    /// # Errors
    ///
    /// `NotFound` when it is none of them although not all are meant: who asks for something that
    /// is not there must not take that for an empty repository. The error names the sources and
    /// labels there are.
    pub fn choose(&self, archives: Vec<Archive>) -> Result<Vec<Archive>> {
        if self.is_everything() || archives.iter().any(|archive| self.matches(archive)) {
            let meant = archives.into_iter().filter(|archive| self.matches(archive));
            return Ok(meant.collect());
        }
        let there = archives
            .iter()
            .map(|archive| (Server::of(archive), &archive.labels));
        Err(self.matches_nothing(there))
    }

    /// That none of the archives that are `there` is meant.
    pub(super) fn matches_nothing<'a>(
        &self,
        there: impl Iterator<Item = (Server, &'a BTreeMap<String, String>)>,
    ) -> Error {
        let (mut servers, mut labels) = (BTreeSet::new(), BTreeSet::new());
        let mut known = BTreeSet::new();
        for (server, of_it) in there {
            servers.insert(server.to_string());
            known.insert(server);
            labels.extend(of_it.iter().map(|(name, value)| format!("{name}={value}")));
        }
        if servers.is_empty() {
            let none = "there is no archive that can be read";
            return Error::not_found(format!("{none}, and so none {self}"));
        }
        let sources = || known.iter().map(|server| &*server.source_name);
        let hosts = || known.iter().map(|server| &*server.host);
        let source = self.source_name.as_deref();
        let source = source.map_or_else(String::new, |name| did_you_mean(name, sources()));
        let host = self.host.as_deref();
        let host = host.map_or_else(String::new, |name| did_you_mean(name, hosts()));
        let error = Error::not_found(format!("there is no archive {self}{source}{host}"));
        let labels = match first_of(labels) {
            none if none.is_empty() => "no labels".to_owned(),
            some => format!("labels {some}"),
        };
        error.advise(format!(
            "there are archives of {}, with {labels}",
            first_of(servers)
        ))
    }
}

/// The first of `names`, and how many more there are.
fn first_of(names: BTreeSet<String>) -> String {
    let more = names.len().saturating_sub(MOST_NAMED);
    let mut named: Vec<_> = names.into_iter().take(MOST_NAMED).collect();
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    named.join(", ")
}

impl fmt::Display for SourceFilter {
    /// What is asked for, to go on after "an archive": `of source "a", with label b=c`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = self
            .source_name
            .iter()
            .map(|name| format!("of source {name:?}"));
        let host = self.host.iter().map(|name| format!("on host {name:?}"));
        let labels = self.labels.iter();
        let labels = labels.map(|(name, value)| format!("with label {name}={value}"));
        let all: Vec<_> = source.chain(host).chain(labels).collect();
        f.write_str(&all.join(", "))
    }
}

/// A server that archives are of: what a policy is applied to by itself, and what `latest` is asked
/// of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Server {
    /// The machine.
    pub host: String,
    /// Name of the source.
    pub source_name: String,
}

impl Server {
    /// The one that `archive` is of.
    pub fn of(archive: &Archive) -> Self {
        Server {
            host: archive.host.clone(),
            source_name: archive.source_name.clone(),
        }
    }

    /// Refuses to take archives of several servers for those of one.
    ///
    /// # Errors
    ///
    /// `Invalid` when there is more than one; the error names them.
    pub fn refuse_several<'a>(servers: impl IntoIterator<Item = &'a Server>) -> Result<()> {
        let servers: BTreeSet<_> = servers.into_iter().collect();
        if servers.len() < 2 {
            return Ok(());
        }
        let named: Vec<_> = servers.iter().map(ToString::to_string).collect();
        Err(Error::invalid(format!(
            "expected archives of one source, found {}: choose one with --source or --host",
            named.join(", ")
        )))
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} on {:?}", self.source_name, self.host)
    }
}
