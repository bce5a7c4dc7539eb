//! Finding archives: all of them, the latest of a source, one by its id.

use super::layout::{self, ManifestName};
use super::{Archive, MAX_MANIFEST_BYTES, Repository};
use crate::error::{Error, Result};
use crate::store::{ObjectName, Store};

/// Which sources are meant; nothing given means every one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFilter {
    /// Only those on this host.
    pub host: Option<String>,
    /// Only the one of this name.
    pub source_name: Option<String>,
}

impl SourceFilter {
    /// Whether `archive` is of such a source.
    pub fn matches(&self, archive: &Archive) -> bool {
        let fits = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        fits(&self.host, &archive.host) && fits(&self.source_name, &archive.source_name)
    }
}

/// A manifest that cannot be read, and why.
#[derive(Debug)]
pub struct Damaged {
    /// The object.
    pub name: ObjectName,
    /// What is wrong with it.
    pub error: Error,
}

/// All archives of a repository.
#[derive(Debug, Default)]
pub struct Archives {
    /// Those that can be read, oldest first.
    pub archives: Vec<Archive>,
    /// The rest.
    pub damaged: Vec<Damaged>,
}

/// The latest archive of a source.
#[derive(Debug, Default)]
pub struct Latest {
    /// The latest that can be read; `None` when there is none.
    pub archive: Option<Archive>,
    /// Manifests as late or later that cannot be read: one of them may be the latest.
    pub damaged: Vec<Damaged>,
}

impl Repository {
    /// Names of all manifests, oldest first (to the second). Nothing is read.
    pub fn manifest_names(&self) -> Result<Vec<ManifestName>> {
        let objects = self.store().list(layout::ARCHIVES)?;
        let names = objects
            .iter()
            .filter_map(|(name, _)| ManifestName::parse(name));
        Ok(names.collect())
    }

    /// Reads one archive.
    pub fn archive(&self, name: &ManifestName) -> Result<Archive> {
        read_manifest(self.store(), &name.object()?)
    }

    /// Reads all archives; a damaged one does not hide the others.
    pub fn archives(&self) -> Result<Archives> {
        self.read_all(&self.manifest_names()?)
    }

    /// The latest archive that `filter` lets through. Reads no more manifests than it must.
    pub fn latest(&self, filter: &SourceFilter) -> Result<Latest> {
        let names = self.manifest_names()?;
        let mut latest = Latest::default();
        // Stamps end at the second: among equal ones only the manifests know.
        for same_second in names.chunk_by(|a, b| a.stamp == b.stamp).rev() {
            let mut read = self.read_all(same_second)?;
            latest.damaged.append(&mut read.damaged);
            latest.archive = read
                .archives
                .into_iter()
                .rfind(|found| filter.matches(found));
            if latest.archive.is_some() {
                break;
            }
        }
        Ok(latest)
    }

    /// The archive that `selector` means: `latest` (of those that `filter` lets through), or the beginning of an id.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is none; `Invalid` when several ids begin like this; `Corrupt` when `latest` cannot be told because a
    /// manifest is damaged.
    pub fn find(&self, selector: &str, filter: &SourceFilter) -> Result<Archive> {
        if selector == "latest" {
            let latest = self.latest(filter)?;
            return match (latest.damaged.into_iter().next(), latest.archive) {
                (Some(damaged), _) => Err(damaged
                    .error
                    .context("cannot tell which archive is the latest: name one by its id")),
                (None, Some(archive)) => Ok(archive),
                (None, None) => Err(Error::not_found(format!(
                    "there is no such archive in {}",
                    self.store().describe()
                ))),
            };
        }
        let names = self.manifest_names()?;
        let mut meant = names
            .iter()
            .filter(|name| !selector.is_empty() && name.id.as_str().starts_with(selector));
        match (meant.next(), meant.next()) {
            (Some(name), None) => self.archive(name),
            (Some(one), Some(other)) => Err(Error::invalid(format!(
                "expected the beginning of one archive id, found {selector:?}, which begins {} and {}",
                one.id, other.id
            ))),
            (None, _) => Err(Error::not_found(format!(
                "there is no archive {selector:?} in {}",
                self.store().describe()
            ))),
        }
    }

    fn read_all(&self, names: &[ManifestName]) -> Result<Archives> {
        let mut all = Archives::default();
        for name in names {
            let name = name.object()?;
            match read_manifest(self.store(), &name) {
                Ok(archive) => all.archives.push(archive),
                Err(error) => all.damaged.push(Damaged { name, error }),
            }
        }
        all.archives
            .sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
        Ok(all)
    }
}

/// Reads the manifest `name`, and holds it to its name.
pub(super) fn read_manifest(store: &dyn Store, name: &ObjectName) -> Result<Archive> {
    let bytes = store.get(name, MAX_MANIFEST_BYTES)?;
    let archive = Archive::from_bytes(&bytes).and_then(|archive| {
        let own = archive.manifest_name()?.object()?;
        if own == *name {
            return Ok(archive);
        }
        Err(Error::corrupt(format!(
            "expected the manifest that belongs here, found {own}"
        )))
    });
    archive.map_err(|e| e.context(format!("manifest {name}")))
}
