//! Which parts somebody means.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{PartName, Parts};
use crate::error::{Error, ErrorKind, Result, did_you_mean};
use crate::model::Millis;
use crate::repository::layout::SOURCES;
use crate::repository::select::Server;
use crate::repository::{ManifestName, Repository, SourceFilter, versions};

/// Most sources that an error names.
const MOST_NAMED: usize = 20;

/// What the newest archive is called where one is meant.
const LATEST: &str = "latest";

impl Parts {
    /// All parts that hold anything, or did when this machine saw a witness of them; where it is
    /// not in parts, the whole.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub fn all(&self) -> Result<Vec<Repository>> {
        if !self.is_by_source() {
            return Ok(vec![self.root.clone()]);
        }
        let dirs = self.root.stored().dirs(SOURCES)?;
        let mut names: BTreeSet<_> = dirs.iter().filter_map(|dir| PartName::parse(dir)).collect();
        // One that is gone is missed by whoever has seen it, and what is hidden may be witnessed.
        #[cfg(feature = "encryption")]
        names.extend(self.seen());
        names.extend(self.hidden()?);
        names.into_iter().map(|name| self.part(name)).collect()
    }

    /// The parts of which nothing is there, and manifests are remembered in `cache`, where a
    /// machine remembers those of all repositories.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub fn vanished(&self, cache: &Path) -> Result<Vec<Repository>> {
        if !self.is_by_source() {
            return Ok(Vec::new());
        }
        // What cannot be listed says nothing of what is gone.
        let remembered = fs::read_dir(cache).into_iter().flatten().flatten();
        let parts = remembered.filter_map(|entry| {
            let name = entry.file_name();
            PartName::parse(name.to_str()?.strip_prefix(&*self.root.descriptor.id)?)
        });
        let parts: Vec<_> = parts.collect();
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        let there = self.all()?;
        // What stands in its place is said by whoever looks for that.
        let unseen = self.unseen()?;
        let is_gone = |part: &PartName| {
            let mut there = there.iter();
            !there.any(|it| it.part() == Some(part))
                && !unseen.contains(&format!("{SOURCES}{part}"))
        };
        let gone = parts.into_iter().filter(is_gone);
        gone.map(|part| self.part(part)).collect()
    }

    /// The parts that hold archives which `filter` may let through: one, where it names a source.
    ///
    /// # Errors
    ///
    /// `NotFound`, where it names a source of which there is none, and there are others; when the
    /// store fails.
    pub fn meant(&self, filter: &SourceFilter) -> Result<Vec<Repository>> {
        let Some(source_name) = filter.source_name.as_ref().filter(|_| self.is_by_source()) else {
            return self.all();
        };
        let part = self.of_source(source_name)?;
        let is_there = |part: &PartName| {
            let dirs = self.root.stored().dirs(SOURCES)?;
            Ok::<_, Error>(dirs.iter().any(|dir| dir == part.as_str()))
        };
        // What is there without a manifest is not whole, and whoever reads it says so.
        let known = || part.part.as_ref().map_or(Ok(true), is_there);
        if !part.manifest_names()?.is_empty() || known()? {
            return Ok(vec![part]);
        }
        let sources = self.sources()?;
        if sources.is_empty() {
            return Ok(vec![part]);
        }
        let hint = did_you_mean(source_name, sources.iter().map(String::as_str));
        let more = sources.len().saturating_sub(MOST_NAMED);
        let mut named: Vec<_> = sources.iter().take(MOST_NAMED).cloned().collect();
        if more > 0 {
            named.push(format!("and {more} more"));
        }
        let error = format!("there is no archive of source {source_name:?}{hint}");
        Err(Error::not_found(error).advise(format!(
            "there are archives of sources {}",
            named.join(", ")
        )))
    }

    /// The part in which the archive is that `selector` means among those that `filter` lets
    /// through: `latest`, or the beginning of an id. Where there is one part only, it may not hold
    /// it.
    ///
    /// # Errors
    ///
    /// `NotFound` when no part holds it; `Invalid` when it may be in several; when the store fails.
    pub fn holding(
        &self,
        selector: &str,
        filter: &SourceFilter,
        now: Millis,
    ) -> Result<Repository> {
        let by_part = self.by_part(&[selector.to_owned()], filter, now)?;
        let mut parts = by_part.into_iter().map(|(part, _)| part);
        parts
            .next()
            .ok_or_else(|| self.no_archive(selector, filter))
    }

    /// The parts that hold the archives `ids` (`latest`, or beginnings of ids) among those that
    /// `filter` lets through, each with those of them that it holds. All parts that `filter` lets
    /// through, where there are no `ids`. Where there is one part only, it may not hold them.
    ///
    /// # Errors
    ///
    /// `NotFound` when no part holds one of them; `Invalid` when one may be in several; when the
    /// store fails.
    pub fn by_part(
        &self,
        ids: &[String],
        filter: &SourceFilter,
        now: Millis,
    ) -> Result<Vec<(Repository, Vec<String>)>> {
        let meant = self.meant(filter)?;
        if ids.is_empty() || !self.is_by_source() || meant.len() == 1 {
            return Ok(meant.into_iter().map(|part| (part, ids.to_vec())).collect());
        }
        let mut names = Vec::new();
        if ids.iter().any(|id| id != LATEST) {
            let listed = meant.iter().map(Repository::manifest_names);
            names = listed.collect::<Result<_>>()?;
        }
        let mut by_part: Vec<_> = meant.into_iter().map(|part| (part, Vec::new())).collect();
        for id in ids {
            let at = if id == LATEST {
                latest_among(by_part.iter().map(|(part, _)| part), filter, now)?
            } else {
                beginning_among(&names, id)?
            };
            let own = at.and_then(|at| by_part.get_mut(at));
            let (_, own) = own.ok_or_else(|| self.no_archive(id, filter))?;
            own.push(id.clone());
        }
        by_part.retain(|(_, ids)| !ids.is_empty());
        Ok(by_part)
    }

    /// The error where no part holds what `selector` means.
    fn no_archive(&self, selector: &str, filter: &SourceFilter) -> Error {
        let place = self.root.store().describe();
        Error::not_found(if selector != LATEST {
            format!(
                "there is no archive {selector:?} in {place}: expected latest, or the beginning of an id as narthex archives lists them"
            )
        } else if !filter.is_everything() {
            format!("there is no archive {filter} in {place}: narthex archives lists them")
        } else if self.all().is_ok_and(|parts| parts.is_empty()) {
            format!("there is no archive in {place} yet: narthex backup makes one")
        } else {
            format!("there is no archive in {place}: narthex check says what is there")
        })
    }

    /// Names of the sources that there are archives of, as the newest of each part says.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub fn sources(&self) -> Result<BTreeSet<String>> {
        let mut sources = BTreeSet::new();
        for part in self.all()? {
            match part.source_name() {
                Err(none) if none.kind() == ErrorKind::NotFound => {}
                name => {
                    sources.insert(name?);
                }
            }
        }
        Ok(sources)
    }

    /// The parts of which this machine has seen a witness.
    #[cfg(feature = "encryption")]
    fn seen(&self) -> Vec<PartName> {
        let scopes = self
            .root
            .keys()
            .into_iter()
            .flat_map(crate::repository::keyed::KeyedStore::seen_scopes);
        let names = scopes.filter_map(|scope| scope.strip_prefix(&*self.root.descriptor.id));
        names.filter_map(PartName::parse).collect()
    }

    /// The parts of which anything was ever there, where archives are witnessed and the store keeps
    /// what is hidden behind delete markers.
    fn hidden(&self) -> Result<BTreeSet<PartName>> {
        if !self.root.is_encrypted() {
            return Ok(BTreeSet::new());
        }
        let versions = versions::of(self.root.stored(), SOURCES)?;
        let names = versions.iter().flat_map(|(_, versions)| versions.keys());
        let dirs = names.filter_map(|name| name.as_str().strip_prefix(SOURCES)?.split('/').next());
        Ok(dirs.filter_map(PartName::parse).collect())
    }

    /// What lies where parts are and is none that can be seen: links, files, directories with other
    /// names. Each may stand for a part.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub fn unseen(&self) -> Result<Vec<String>> {
        let store = self.root.stored();
        if !self.is_by_source() {
            return Ok(Vec::new());
        }
        let dirs = store.dirs(SOURCES)?.into_iter();
        let strange = dirs.filter(|dir| PartName::parse(dir).is_none());
        let mut unseen: Vec<_> = strange.map(|dir| format!("{SOURCES}{dir}")).collect();
        // Object stores have no links, and would list everything.
        if !store.is_far() {
            let left = store.leftovers(SOURCES.trim_end_matches('/'))?.into_iter();
            let names = left.map(|leftover| leftover.name);
            let is_in_place = |name: &String| {
                let below = name.strip_prefix(SOURCES);
                name == SOURCES.trim_end_matches('/') || below.is_some_and(|it| !it.contains('/'))
            };
            unseen.extend(names.filter(is_in_place));
            // A file has the name of an object.
            let objects = store.list(SOURCES)?.into_iter();
            let objects = objects.map(|(name, _)| name.as_str().to_owned());
            unseen.extend(objects.filter(is_in_place));
        }
        unseen.sort_unstable();
        unseen.dedup();
        Ok(unseen)
    }
}

/// Which of the parts that hold archives of these `names` holds the one whose id begins with
/// `beginning`.
fn beginning_among(names: &[Vec<ManifestName>], beginning: &str) -> Result<Option<usize>> {
    let is_meant =
        |name: &&ManifestName| !beginning.is_empty() && name.id.as_str().starts_with(beginning);
    let mut found = Vec::new();
    for (at, names) in names.iter().enumerate() {
        found.extend(
            names
                .iter()
                .find(is_meant)
                .map(|name| (at, name.id.as_str())),
        );
    }
    if found.len() > 1 {
        let ids: Vec<_> = found.into_iter().map(|(_, id)| id).collect();
        return Err(Error::invalid(format!(
            "expected the beginning of one archive id, found {beginning:?}, which begins {}",
            ids.join(" and ")
        )));
    }
    Ok(found.first().map(|(at, _)| *at))
}

/// Which of `parts` holds the latest archive that `filter` lets through.
fn latest_among<'p>(
    parts: impl Iterator<Item = &'p Repository>,
    filter: &SourceFilter,
    now: Millis,
) -> Result<Option<usize>> {
    let mut servers = BTreeSet::new();
    let mut holding = None;
    for (at, part) in parts.enumerate() {
        let latest = part.latest(filter, now)?;
        if let Some(archive) = latest.archive {
            servers.insert(Server::of(&archive));
            holding.get_or_insert(at);
            continue;
        }
        // What nobody has signed who may counts for nothing.
        let mut damaged = latest.damaged.into_iter();
        if let Some(damaged) = damaged.find(|it| it.error.kind() != ErrorKind::Refused) {
            return Err(damaged
                .error
                .context("cannot tell which archive is the latest: name one by its id"));
        }
    }
    Server::refuse_several(&servers)?;
    Ok(holding)
}
