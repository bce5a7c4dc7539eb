//! Finding archives: all of them, the latest of a source, one by its id.

mod doubt;
mod filter;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::cover::Cover;
use super::layout::{self, ArchiveId, ManifestName};
use super::lease::is_ahead;
use super::manifest::NEWEST_MANIFEST_VERSION;
use super::{Archive, MAX_MANIFEST_BYTES, Repository, seal};
use crate::error::{Error, ErrorKind, Result, did_you_mean};
use crate::model::{Millis, TimeRange};
use crate::store::{ObjectName, Origin, Store};
pub use doubt::{Ahead, Longer, take_ahead};
pub use filter::{Server, SourceFilter};

/// How many manifests are read at most to find the archive before the latest.
const MOST_LOOKED_BACK: usize = 64;

/// What a manifest says that a filter asks for.
#[derive(Deserialize)]
struct Marked {
    #[serde(flatten)]
    server: Server,
    #[serde(default)]
    labels: BTreeMap<String, String>,
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

impl Archives {
    /// The archives, put in order.
    pub(super) fn of(mut archives: Vec<Archive>, damaged: Vec<Damaged>) -> Self {
        archives.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
        Archives { archives, damaged }
    }

    /// Adds those of `part`.
    pub fn absorb(&mut self, other: Archives, part: &Repository) {
        let mut archives = std::mem::take(&mut self.archives);
        archives.extend(other.archives);
        let mut damaged = std::mem::take(&mut self.damaged);
        damaged.extend(other.damaged.into_iter().map(|it| it.in_whole(part)));
        *self = Archives::of(archives, damaged);
    }
}

impl Damaged {
    /// The same, under the name that it has in the whole repository that `part` is of.
    pub(crate) fn in_whole(self, part: &Repository) -> Self {
        Damaged {
            name: part.full_object(&self.name),
            error: self.error,
        }
    }
}

/// The latest archive of a source.
#[derive(Debug, Default)]
pub struct Latest {
    /// The latest that can be read; `None` when there is none.
    pub archive: Option<Archive>,
    /// Manifests as late or later that cannot be read: one of them may be the latest.
    pub damaged: Vec<Damaged>,
    /// Archives that were passed over because they lie in the future. When there are no others,
    /// the latest is one of them.
    pub ahead: Vec<Ahead>,
    /// Archives that `narthex repair` made, that are later, and of which it is not known whose
    /// they are.
    pub reconstructed: Vec<ArchiveId>,
}

/// The archive that somebody has asked for.
#[derive(Debug)]
pub struct Chosen {
    /// The archive.
    pub archive: Archive,
    /// Archives that lie in the future and were not taken for the latest; the chosen one, when
    /// there are no others.
    pub ahead: Vec<Ahead>,
    /// Later archives that `narthex repair` made, and that may be of the same server.
    pub reconstructed: Vec<ArchiveId>,
    /// Manifests as late or later that count for nothing, because nobody has signed them who may.
    pub untrusted: Vec<Damaged>,
}

impl Chosen {
    /// What whoever asked has to be told.
    pub fn remarks(&self) -> impl Iterator<Item = String> {
        let ahead = self.ahead.iter().map(|ahead| {
            let then = if ahead.id == self.archive.id {
                "it is taken for the latest, as there are no others"
            } else {
                "it is not taken for the latest"
            };
            format!("{ahead}; {then}")
        });
        let own = self.archive.id.short();
        let others = self.reconstructed.iter().map(move |other| {
            let other = other.short();
            format!(
                "archive {other}, which narthex repair made of what was left of damaged ones, is later than {own} and may be of the same server: narthex \
                 restore {other} brings back what it holds"
            )
        });
        let untrusted = self.untrusted.iter().map(|other| {
            let why = other.error.chain();
            format!("{why}: it is not taken for the latest")
        });
        ahead.chain(others).chain(untrusted)
    }
}

impl Latest {
    /// The latest of `archives`, which are all there are, oldest first.
    pub(crate) fn of(archives: &[Archive], filter: &SourceFilter, now: Millis) -> Self {
        let mut search = Search::new(filter, now);
        search.is_found_among(archives);
        search.done()
    }
}

/// A search for the latest archive, from the newest on.
struct Search<'f> {
    filter: &'f SourceFilter,
    now: Millis,
    latest: Latest,
    last_resort: Option<Archive>,
}

impl<'f> Search<'f> {
    fn new(filter: &'f SourceFilter, now: Millis) -> Self {
        Search {
            filter,
            now,
            latest: Latest::default(),
            last_resort: None,
        }
    }

    /// Looks through `archives`, oldest first, which are older than all before.
    fn is_found_among(&mut self, archives: &[Archive]) -> bool {
        for archive in archives.iter().rev() {
            if !self.filter.matches(archive) {
                if archive.is_reconstructed() {
                    self.latest.reconstructed.push(archive.id.clone());
                }
                continue;
            }
            match Ahead::of(archive, self.now) {
                None => {
                    self.latest.archive = Some(archive.clone());
                    return true;
                }
                Some(ahead) => self.latest.ahead.push(ahead),
            }
            self.last_resort.get_or_insert_with(|| archive.clone());
        }
        false
    }

    fn done(mut self) -> Latest {
        if self.latest.archive.is_none() {
            self.latest.archive = self.last_resort;
        }
        self.latest
    }
}

impl Repository {
    /// Names of all manifests, oldest first (to the second). Nothing is read.
    pub fn manifest_names(&self) -> Result<Vec<ManifestName>> {
        self.refuse_root()?;
        Ok(manifests_among(&self.store().list(layout::ARCHIVES)?))
    }

    /// Reads one archive.
    pub fn archive(&self, name: &ManifestName) -> Result<Archive> {
        let mut archive = read_manifest(self.store(), &name.object()?)?;
        archive.as_it_lies(self.is_encrypted());
        self.refuse_misplaced(&archive)?;
        Ok(archive)
    }

    /// Reads all archives; a damaged one does not hide the others.
    pub fn archives(&self) -> Result<Archives> {
        self.refuse_root()?;
        self.read_listed(&self.store().list(layout::ARCHIVES)?)
    }

    /// Reads the archives whose manifests are among `listed`.
    pub(super) fn read_listed(&self, listed: &[(ObjectName, u64)]) -> Result<Archives> {
        if !listed.is_empty() {
            self.need_to_read()?;
        }
        self.read_all(&self.expect_manifests(listed))
    }

    /// The names of manifests among `listed`; they will be read now.
    fn expect_manifests(&self, listed: &[(ObjectName, u64)]) -> Vec<ManifestName> {
        let manifests = listed.iter();
        let manifests = manifests.filter(|(name, _)| ManifestName::parse(name).is_some());
        self.store().expect(&manifests.cloned().collect::<Vec<_>>());
        manifests_among(listed)
    }

    /// The latest archive that `filter` lets through and that does not lie in the future at `now`.
    /// Reads no more manifests than it must.
    pub fn latest(&self, filter: &SourceFilter, now: Millis) -> Result<Latest> {
        self.latest_among(&self.manifest_names()?, filter, now)
    }

    /// The same of the archives whose manifests are called `names`: all there are, oldest first.
    fn latest_among(
        &self,
        names: &[ManifestName],
        filter: &SourceFilter,
        now: Millis,
    ) -> Result<Latest> {
        if !names.is_empty() {
            self.need_to_read()?;
        }
        let mut search = Search::new(filter, now);
        // Stamps end at the second: among equal ones only the manifests know.
        for same_second in names.chunk_by(|a, b| a.stamp == b.stamp).rev() {
            let mut read = self.read_all(same_second)?;
            search.latest.damaged.append(&mut read.damaged);
            if search.is_found_among(&read.archives) {
                break;
            }
        }
        Ok(search.done())
    }

    /// Names of what lies among the manifests and is no object, or where they should be: links to
    /// nothing, directories, pipes. Each may stand for a manifest that cannot be seen.
    pub fn unseen(&self) -> Result<Vec<String>> {
        let dir = layout::ARCHIVES.trim_end_matches('/');
        let leftovers = self.store().leftovers(dir)?.into_iter();
        let foreign = leftovers.filter(|left| left.origin == Origin::Foreign);
        let names = foreign.map(|left| left.name);
        Ok(names
            .filter(|name| layout::is_among_manifests(name))
            .collect())
    }

    /// What is to be said where data lie and not one manifest; `None` where there is one, or
    /// nothing. It is no whole sentence.
    pub fn bereft(&self) -> Result<Option<String>> {
        if !self.manifest_names()?.is_empty() {
            return Ok(None);
        }
        let objects = self.data_objects()?;
        let objects = objects.iter().filter(|(name, _)| layout::is_data(name));
        Ok(no_manifest(objects.count() as u64))
    }

    /// The archives that lie in the future at `now`, as their names tell. Nothing is read.
    pub fn ahead(&self, now: Millis) -> Result<Vec<Ahead>> {
        let names = self.manifest_names()?.into_iter();
        let timed = names.filter_map(|name| Some((layout::time_of(&name.stamp)?, name.id)));
        Ok(timed
            .filter(|(time, _)| is_ahead(*time, now))
            .map(|(time, id)| Ahead { id, time })
            .collect())
    }

    /// The servers that `filter` lets through. Manifests that cannot be read tell of none.
    pub fn servers(&self, filter: &SourceFilter) -> Result<BTreeSet<Server>> {
        self.servers_among(&self.store().list(layout::ARCHIVES)?, filter)
    }

    /// The same of the archives whose manifests are among `listed`.
    fn servers_among(
        &self,
        listed: &[(ObjectName, u64)],
        filter: &SourceFilter,
    ) -> Result<BTreeSet<Server>> {
        let meant = self.marks(listed)?.into_iter().filter(|marked| {
            let Server { host, source_name } = &marked.server;
            filter.fits(host, source_name, &marked.labels)
        });
        Ok(meant.map(|marked| marked.server).collect())
    }

    /// What each manifest among `listed` says that a filter asks for. Those that cannot be read say
    /// nothing.
    fn marks(&self, listed: &[(ObjectName, u64)]) -> Result<Vec<Marked>> {
        let mut marks = Vec::new();
        for name in self.expect_manifests(listed) {
            self.need_to_read()?;
            match self.store().get(&name.object()?, MAX_MANIFEST_BYTES) {
                Ok(bytes) => {
                    let marked = seal::from_bytes::<Marked>(&bytes, NEWEST_MANIFEST_VERSION).ok();
                    let own = marked.filter(|it| self.is_of_part(&it.server.source_name));
                    marks.extend(own);
                }
                // Forgotten since it was listed; or whoever wrote it counts for nothing, which
                // those say who read it all.
                Err(error) if [ErrorKind::NotFound, ErrorKind::Refused].contains(&error.kind()) => {
                }
                Err(error) => return Err(error),
            }
        }
        Ok(marks)
    }

    /// The archive that `selector` means at `now`: `latest` (of the one server that `filter` lets
    /// through), or the beginning of an id.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is none; `Invalid` when several ids begin like this, or when `latest`
    /// could be that of several servers; `Corrupt` when `latest` cannot be told because a
    /// manifest is damaged.
    pub fn find(&self, selector: &str, filter: &SourceFilter, now: Millis) -> Result<Chosen> {
        self.refuse_root()?;
        let listed = self.store().list(layout::ARCHIVES)?;
        let names = manifests_among(&listed);
        if selector == "latest" {
            if filter.host.is_none() || filter.source_name.is_none() {
                Server::refuse_several(&self.servers_among(&listed, filter)?)?;
            }
            let latest = self.latest_among(&names, filter, now)?;
            let (untrusted, damaged): (Vec<_>, Vec<_>) = latest
                .damaged
                .into_iter()
                .partition(|damaged| damaged.error.kind() == ErrorKind::Refused);
            return match (damaged.into_iter().next(), latest.archive) {
                (Some(damaged), _) => Err(damaged
                    .error
                    .context("cannot tell which archive is the latest: name one by its id")),
                (None, Some(archive)) => {
                    self.refuse_unseen_since(&archive)?;
                    Ok(Chosen {
                        archive,
                        ahead: latest.ahead,
                        reconstructed: latest.reconstructed,
                        untrusted,
                    })
                }
                (None, None) if !untrusted.is_empty() => {
                    let why = untrusted.iter().map(|other| other.error.chain());
                    let why: Vec<_> = why.collect();
                    Err(Error::refused(format!(
                        "there is no archive in {} that counts: {}",
                        self.store().describe(),
                        why.join("; ")
                    )))
                }
                (None, None) => {
                    let marks = self.marks(&listed)?;
                    let place = self.store().describe();
                    if marks.is_empty() {
                        return Err(self.no_archive(format!(
                            "there is no archive in {place} yet: narthex backup makes one"
                        )));
                    }
                    if !filter.is_everything() {
                        let there = marks.iter();
                        let there = there.map(|marked| (marked.server.clone(), &marked.labels));
                        return Err(filter.matches_nothing(there));
                    }
                    Err(self.no_archive(format!("there is no such archive in {place}")))
                }
            };
        }
        let mut meant = names
            .iter()
            .filter(|name| !selector.is_empty() && name.id.as_str().starts_with(selector));
        match (meant.next(), meant.next()) {
            (Some(name), None) => Ok(Chosen {
                archive: self.meant(name, filter)?,
                ahead: Vec::new(),
                reconstructed: Vec::new(),
                untrusted: Vec::new(),
            }),
            (Some(one), Some(other)) => Err(Error::invalid(format!(
                "expected the beginning of one archive id, found {selector:?}, which begins {} and {}",
                one.id, other.id
            ))),
            (None, _) => {
                let ids = names.iter().map(|name| name.id.short());
                let hint = did_you_mean(selector, std::iter::once("latest").chain(ids));
                Err(self.no_archive(format!(
                    "there is no archive {selector:?} in {}{hint}: expected latest, or the beginning of an id as narthex archives lists them",
                    self.store().describe()
                )))
            }
        }
    }

    /// The archive `name`, which must be one that `filter` lets through.
    fn meant(&self, name: &ManifestName, filter: &SourceFilter) -> Result<Archive> {
        let archive = self.archive(name)?;
        if filter.matches(&archive) {
            return Ok(archive);
        }
        let (id, server) = (archive.id.short(), Server::of(&archive));
        let own = archive.labels.iter();
        let own: Vec<_> = own
            .map(|(name, value)| format!(", {name}={value}"))
            .collect();
        Err(Error::invalid(format!(
            "expected an archive {filter}, found that {id} is of {server}{}",
            own.concat()
        )))
    }

    /// The archive of the same server before `latest`, when its samples of the time `asked` reach
    /// further: a clock was wrong, or `latest` was made of an older copy. What cannot be read
    /// is passed over, and what lies far back among archives of other servers: the backup has said
    /// it.
    pub fn longer(&self, latest: &Archive, asked: TimeRange) -> Result<Option<Longer>> {
        let (server, own) = (Server::of(latest), latest.manifest_name()?);
        let names = self.manifest_names()?;
        let before = |name: &&ManifestName| name.stamp <= own.stamp && **name != own;
        let before = names.iter().rev().filter(before).take(MOST_LOOKED_BACK);
        let mut archives = before.filter_map(|name| self.archive(name).ok());
        let other = archives.find(|archive| Server::of(archive) == server);
        let longer = other.and_then(|other| Longer::of(&other, latest));
        Ok(longer.filter(|longer| longer.concerns(asked)))
    }

    /// Refuses to call `archive` the latest where something of the name of a later manifest cannot
    /// be read: a link to nothing, a directory.
    fn refuse_unseen_since(&self, archive: &Archive) -> Result<()> {
        let own = archive.manifest_name()?.stamp;
        let later = self.unseen()?.into_iter().find(|name| {
            let name = ObjectName::new(name).ok();
            let manifest = name.as_ref().and_then(ManifestName::parse);
            manifest.is_some_and(|manifest| manifest.stamp >= own)
        });
        match later {
            Some(name) => Err(Error::corrupt(format!(
                "cannot tell which archive is the latest: name one by its id: expected the manifest {name} as a file, found something else: a link \
                 to nothing, perhaps, or a directory"
            ))),
            None => Ok(()),
        }
    }

    /// The error `message`, with what may have become of the archives.
    fn no_archive(&self, message: String) -> Error {
        match self.bereft() {
            Ok(Some(bereft)) => Error::not_found(format!("{message}: {bereft}")),
            _ => Error::not_found(message),
        }
    }

    /// Whether the manifest `name`, which cannot be read because of `error`, is no whole manifest,
    /// neither one that counts nor one that does not.
    pub(crate) fn is_broken(&self, name: &ObjectName, error: &Error) -> bool {
        match error.kind() {
            ErrorKind::Corrupt => true,
            ErrorKind::Refused => {
                let stored = self.stored().get(name, MAX_MANIFEST_BYTES);
                stored.is_ok_and(|bytes| {
                    let is_broken = |error: Error| error.kind() == ErrorKind::Corrupt;
                    !matches!(Cover::read(&bytes), Ok(Some(_)))
                        && Archive::from_bytes(&bytes).is_err_and(is_broken)
                })
            }
            _ => false,
        }
    }

    /// Reads the manifest `name`; `None`, where it is another machine's and this one is to write
    /// only.
    pub(super) fn read_own(&self, name: &ObjectName) -> Result<Option<Archive>> {
        // Who may only write may not read it either.
        #[cfg(feature = "encryption")]
        if let Some(memory) = self.keys().and_then(super::keyed::KeyedStore::memory)
            && !memory.has(name)
        {
            return Ok(None);
        }
        let bytes = self.store().get(name, MAX_MANIFEST_BYTES)?;
        if self.is_write_only() && matches!(Cover::read(&bytes), Ok(Some(_))) {
            return Ok(None);
        }
        let mut archive = manifest_of(name, &bytes)?;
        archive.as_it_lies(self.is_encrypted());
        self.refuse_misplaced(&archive)?;
        Ok(Some(archive))
    }

    fn read_all(&self, names: &[ManifestName]) -> Result<Archives> {
        let mut all = Archives::default();
        for name in names {
            let name = name.object()?;
            match self.read_own(&name) {
                Ok(Some(archive)) => all.archives.push(archive),
                Ok(None) => {}
                // Forgotten since it was listed.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => all.damaged.push(Damaged { name, error }),
            }
        }
        Ok(Archives::of(all.archives, all.damaged))
    }
}

/// The manifests among `listed`, in their order.
fn manifests_among(listed: &[(ObjectName, u64)]) -> Vec<ManifestName> {
    let names = listed.iter();
    names
        .filter_map(|(name, _)| ManifestName::parse(name))
        .collect()
}

/// What is to be said of `objects` objects with data beside which there is no manifest; `None` if
/// there are none.
pub(crate) fn no_manifest(objects: u64) -> Option<String> {
    (objects > 0).then(|| {
        format!(
            "expected manifests in {}, found none, while {objects} objects with data lie there: its disk may not be mounted, the manifests may be \
             lost (narthex repair --orphans makes an archive of what lies there), or a first backup has not ended",
            layout::ARCHIVES
        )
    })
}

/// Reads the manifest `name`, and holds it to its name.
pub(super) fn read_manifest(store: &dyn Store, name: &ObjectName) -> Result<Archive> {
    let bytes = store.get(name, MAX_MANIFEST_BYTES);
    manifest_of(name, &bytes.map_err(|e| in_manifest(name, e))?)
}

fn in_manifest(name: &ObjectName, error: Error) -> Error {
    // Of one that is gone the store has said which.
    match error.kind() {
        ErrorKind::Refused => error.context(format!("manifest {name}")),
        _ => error,
    }
}

/// The archive in `bytes`, the manifest `name`.
pub(super) fn manifest_of(name: &ObjectName, bytes: &[u8]) -> Result<Archive> {
    let archive = Archive::from_bytes(bytes).and_then(|archive| {
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
