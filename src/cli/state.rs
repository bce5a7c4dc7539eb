//! What must not be forgotten between runs: which repository lies where.
//!
//! A backup disk that is not mounted looks like an empty directory. Whoever has seen a repository
//! there before knows better. This is state, not cache: nothing can make it anew.

#[cfg(feature = "encryption")]
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::args::REPOSITORY_HEADING;
use super::config;
#[cfg(feature = "encryption")]
use super::repo::say;
use crate::block::DataDir;
#[cfg(feature = "encryption")]
use crate::crypt::keys::KeptDocuments;
use crate::error::{Error, ErrorKind, Result};
use crate::raw::read_bounded;
#[cfg(feature = "encryption")]
use crate::repository::is_plain_id;
#[cfg(feature = "encryption")]
use crate::repository::keyed::{SeenWitness, WitnessMemory};
use crate::repository::{Descriptor, Digest, Repository};
use crate::store::Location;

/// Version of the files that this program writes, and the newest it reads.
const STATE_VERSION: u32 = 1;

/// Largest file that is read, in bytes: a repository has 40.
const MAX_BYTES: u64 = 1 << 20;

/// Where state is kept, as typed.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct StateArgs {
    /// Where it is remembered which repository lies where, so that a disk that is not mounted is
    /// not taken for an empty one [default: what systemd's `StateDirectory=` says, or narthex
    /// in `$XDG_STATE_HOME` or ~/.local/state, or /var/lib/narthex]
    #[arg(long, value_name = "DIR", env = "NARTHEX_STATE_DIR", value_parser = super::args::local_path(), help_heading = REPOSITORY_HEADING)]
    state_dir: Option<PathBuf>,
    /// Take what lies at REPO for right although another repository was there before; a backup
    /// remembers it then, and makes a new one if nothing is there
    #[arg(long, help_heading = REPOSITORY_HEADING)]
    accept_repository: bool,
}

/// What is remembered of one location.
#[derive(Debug, Deserialize, Serialize)]
struct Remembered {
    format_version: u32,
    /// The location.
    location: String,
    /// Ids of the repositories that were there, the latest last. Disks that take turns have one
    /// each.
    repositories: Vec<String>,
    /// Whether the latest is in parts, one for each source.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    in_parts: bool,
}

/// What went wrong with the repository at `location`; where there is none, also which one is
/// remembered to have been there.
pub(crate) fn explain(location: &Location, error: Error) -> Error {
    let known = match error.kind() {
        ErrorKind::NotFound => StateArgs::of_environment()
            .known(location)
            .unwrap_or_default(),
        _ => Vec::new(),
    };
    match known.last() {
        Some(id) => Error::not_found(format!(
            "repository {id} was in {location} before, and there is none now: {} If it was moved, say with --repo where it is now",
            doubt(location)
        )),
        None if error.kind() == ErrorKind::NotFound => no_repository(location, error),
        None => error,
    }
}

/// What may be the matter with a place at which a repository is missed.
fn doubt(location: &Location) -> &'static str {
    if location.dir().is_some() {
        "is its disk mounted?"
    } else {
        "is it the same endpoint, and who has removed it?"
    }
}

/// What lies at `location` instead of a repository, as far as that can be told; else `error`.
fn no_repository(location: &Location, error: Error) -> Error {
    let Some(path) = location.dir() else {
        return error.context(location.to_string());
    };
    if path.is_file() {
        return Error::invalid(format!(
            "expected the directory of a repository, found a file at {location}"
        ));
    }
    if DataDir::scan(path).is_ok() {
        return Error::not_found(format!(
            "{location} is what Prometheus writes, a data directory, a snapshot or a block, and no repository: --repo is where archives are"
        ));
    }
    error
}

/// Whose lists of keys of a repository this machine believes.
#[cfg(feature = "encryption")]
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Pin {
    /// Fingerprint of the administrator's key.
    pub(crate) admin: String,
    /// Number of the newest list that was seen.
    pub(crate) seen: u32,
    /// The newest witness that was seen, of the repository or of each of its parts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) witnesses: BTreeMap<String, SeenWitness>,
}

#[cfg(feature = "encryption")]
impl Pin {
    /// Takes in what `other` has seen that is newer.
    fn raise(&mut self, other: &Pin) {
        self.seen = self.seen.max(other.seen);
        for (scope, seen) in &other.witnesses {
            let known = self.witnesses.get(scope);
            if known.is_none_or(|known| known.number < seen.number) {
                self.witnesses.insert(scope.clone(), *seen);
            }
        }
    }
}

/// The newest witness of a repository, beside whose lists of keys are believed.
#[cfg(feature = "encryption")]
#[derive(Debug)]
pub(crate) struct PinnedWitness {
    state: StateArgs,
    /// Id of the repository.
    id: String,
}

#[cfg(feature = "encryption")]
impl WitnessMemory for PinnedWitness {
    fn keep(&self, scope: &str, seen: SeenWitness) {
        // Where nothing is believed yet, or nothing is remembered, that was said already.
        let Ok(Some(pin)) = self.state.pin(&self.id) else {
            return;
        };
        let pin = Pin {
            witnesses: BTreeMap::from([(scope.to_owned(), seen)]),
            ..pin
        };
        if let Err(error) = self.state.keep_pin(&self.id, &pin) {
            say(&format!(
                "cannot remember that witness {} was seen, so that it will not be missed: {}",
                seen.number,
                error.chain()
            ));
        }
    }
}

#[cfg(feature = "encryption")]
impl StateArgs {
    /// Whom this machine believes of the repository `id`.
    ///
    /// # Errors
    ///
    /// When what is remembered cannot be read.
    pub(crate) fn pin(&self, id: &str) -> Result<Option<Pin>> {
        match self.dir() {
            Some(dir) if !id.is_empty() => read_pin(&pin_file(&dir, id)?),
            _ => Ok(None),
        }
    }

    /// Refuses the repository `id`, of which nothing is remembered, where an encrypted one was
    /// last: somebody may have put another one there.
    ///
    /// # Errors
    ///
    /// `Refused`, unless it is accepted.
    pub(crate) fn refuse_unpinned(&self, location: &Location, id: &str) -> Result<()> {
        let known = self.known(location)?;
        let Some(last) = known.last().filter(|_| !known.iter().any(|it| it == id)) else {
            return Ok(());
        };
        if self.accept_repository || self.pin(last)?.is_none() {
            return Ok(());
        }
        Err(Error::refused(format!(
            "the encrypted repository {last} was in {location} before, and now another one is there, {id}, of which nothing is known"
        ))
        .advise("if it is meant, --admin-key KEY says whose it is, or --accept-unsigned that it is to be read all the same"))
    }

    /// Remembers `pin` of the repository `id`; whether nothing was remembered of it before. What
    /// was seen is never taken back.
    ///
    /// # Errors
    ///
    /// `Refused`, when another key is believed; when it cannot be written.
    pub(crate) fn keep_pin(&self, id: &str, pin: &Pin) -> Result<bool> {
        let dir = self.dir().ok_or_else(no_dir)?;
        let path = pin_file(&dir, id)?;
        let Some(mut known) = read_pin(&path)? else {
            write(&path, pin)?;
            return Ok(true);
        };
        if known.admin != pin.admin {
            return Err(other_admin(&known.admin, id, &pin.admin, &path));
        }
        let before = known.clone();
        known.raise(pin);
        if known != before {
            write(&path, &known)?;
        }
        Ok(false)
    }

    /// The error for another administrator's key than is believed of the repository `id`.
    ///
    /// # Errors
    ///
    /// Always.
    pub(crate) fn refuse_admin<T>(&self, known: &str, id: &str, found: &str) -> Result<T> {
        let dir = self.dir().ok_or_else(no_dir)?;
        Err(other_admin(known, id, found, &pin_file(&dir, id)?))
    }

    /// What remembers the newest witness of the repository `id`.
    pub(crate) fn witness_memory(&self, id: &str) -> PinnedWitness {
        PinnedWitness {
            state: self.clone(),
            id: id.to_owned(),
        }
    }

    /// Where a machine that cannot read keeps what it has written.
    pub(crate) fn memory_dir(&self) -> Option<PathBuf> {
        Some(self.dir()?.join("written"))
    }
}

#[cfg(feature = "encryption")]
fn other_admin(known: &str, id: &str, found: &str, path: &Path) -> Error {
    Error::refused(format!(
        "expected the administrator's key {known}, which was believed before of repository {id}, found {found}"
    ))
    .advise(format!(
        "if the repository has come to be another administrator's, remove {}",
        path.display()
    ))
}

#[cfg(feature = "encryption")]
fn pin_file(dir: &Path, id: &str) -> Result<PathBuf> {
    if !is_plain_id(id) {
        return Err(Error::corrupt(format!(
            "expected a repository with an id of letters and digits, found {id:?}"
        )));
    }
    Ok(dir.join("keys").join(format!("{id}.json")))
}

#[cfg(feature = "encryption")]
impl StateArgs {
    /// Where the lists of keys of the repository `id` are kept that were read; `None` where nothing
    /// is.
    ///
    /// # Errors
    ///
    /// `Corrupt`, when the id is none.
    pub(crate) fn documents(&self, id: &str) -> Result<Option<KeptDocuments>> {
        match self.dir() {
            Some(dir) if !id.is_empty() => {
                let dir = pin_file(&dir, id)?.with_extension("lists");
                Ok(Some(KeptDocuments::new(&dir)))
            }
            _ => Ok(None),
        }
    }
}

#[cfg(feature = "encryption")]
fn read_pin(path: &Path) -> Result<Option<Pin>> {
    let bytes = match read_bounded(path, MAX_BYTES) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let read = serde_json::from_slice(&bytes);
    read.map(Some).map_err(|cause| {
        Error::corrupt(format!(
            "expected whose keys are believed in {}, found something else",
            path.display()
        ))
        .with_source(cause)
    })
}

impl StateArgs {
    /// Where it is remembered how long objects are locked.
    pub(crate) fn locks_dir(&self) -> Option<PathBuf> {
        Some(self.dir()?.join("locks"))
    }
}

fn no_dir() -> Error {
    Error::invalid("expected --state-dir, NARTHEX_STATE_DIR or HOME, found none of them")
}

impl StateArgs {
    /// For commands that have no such options.
    pub(crate) fn of_environment() -> Self {
        StateArgs {
            state_dir: std::env::var_os("NARTHEX_STATE_DIR").map(PathBuf::from),
            accept_repository: false,
        }
    }

    /// Refuses to take the place `location`, which holds no repository, for one that never held
    /// any.
    pub(crate) fn refuse_vacant(&self, location: &Location) -> Result<()> {
        match self.known(location)?.last() {
            Some(id) if !self.accept_repository => Err(Error::refused(format!(
                "repository {id} was in {location} before, and there is none now: {} If it was moved, say with --repo where \
                 it is now; only if it was given up, narthex init --accept-repository makes a new one",
                doubt(location)
            ))),
            _ => Ok(()),
        }
    }

    /// Id of the repository that was at `location` last.
    pub(crate) fn last(&self, location: &Location) -> Result<Option<String>> {
        Ok(self.known(location)?.pop())
    }

    /// What is to be said of a repository at a place where others were before, and this one was
    /// not. One that has lost its descriptor, and of which nothing tells which it is, may be
    /// the one that was there.
    pub(crate) fn other(
        &self,
        location: &Location,
        repository: &Repository,
    ) -> Result<Option<String>> {
        let id = &repository.descriptor().id;
        let known = self.known(location)?;
        let last = known
            .last()
            .filter(|_| !self.accept_repository && !id.is_empty() && !known.contains(id));
        Ok(last.map(|last| {
            format!(
                "repository {last} was in {location} before, and now another one is there, {id}: {}",
                if location.dir().is_some() { "is the right disk mounted?" } else { "who has put it there?" }
            )
        }))
    }

    /// Refuses a repository at a place where others were before, and this one was not.
    pub(crate) fn refuse_other(&self, location: &Location, repository: &Repository) -> Result<()> {
        match self.other(location, repository)? {
            Some(other) => Err(Error::refused(format!(
                "{other} If it is meant, --accept-repository says so"
            ))),
            None => Ok(()),
        }
    }

    /// Remembers that `repository` is at `location`. What cannot be remembered is the reason, as a
    /// sentence.
    pub(crate) fn remember(&self, location: &Location, repository: &Repository) -> Option<String> {
        let Descriptor { id, by_source, .. } = repository.descriptor();
        let kept = self.keep(location, id, *by_source).err()?;
        Some(format!(
            "cannot remember that repository {id} is in {location}, so that a disk that is not mounted will not be noticed: {}",
            kept.chain()
        ))
    }

    /// Ids of the repositories that were at `location`, the latest last.
    fn known(&self, location: &Location) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        let Some(dir) = self.dir() else {
            return Ok(ids);
        };
        for name in names(location)? {
            let remembered = read(&file(&dir, &name))?;
            ids.extend(remembered.into_iter().flat_map(|it| it.repositories));
        }
        ids.retain(|id| !id.is_empty());
        Ok(ids)
    }

    /// Whether the repository that was at `location` last is in parts.
    pub(crate) fn is_in_parts(&self, location: &Location) -> bool {
        let Some(dir) = self.dir() else {
            return false;
        };
        let names = names(location).into_iter().flatten();
        let mut remembered = names.filter_map(|name| read(&file(&dir, &name)).ok().flatten());
        remembered.any(|it| it.in_parts)
    }

    fn keep(&self, location: &Location, id: &String, in_parts: bool) -> Result<()> {
        let dir = self.dir().ok_or_else(no_dir)?;
        for name in names(location)? {
            let path = file(&dir, &name);
            let known = read(&path)?;
            let before = known
                .as_ref()
                .map(|it| (it.repositories.last(), it.in_parts));
            if before == Some((Some(id), in_parts)) {
                continue;
            }
            let mut repositories = known.map(|it| it.repositories).unwrap_or_default();
            repositories.retain(|known| known != id);
            repositories.push(id.to_owned());
            let remembered = Remembered {
                format_version: STATE_VERSION,
                location: name.to_string_lossy().into_owned(),
                repositories,
                in_parts,
            };
            write(&path, &remembered)?;
        }
        Ok(())
    }

    fn dir(&self) -> Option<PathBuf> {
        let variable = |name| {
            let value = std::env::var_os(name)?;
            // systemd separates several by colons.
            let first = value.to_string_lossy().split(':').next().map(PathBuf::from);
            first.filter(|dir| dir.is_absolute())
        };
        let home = || Some(variable("HOME")?.join(".local/state"));
        let user = || Some(variable("XDG_STATE_HOME").or_else(home)?.join("narthex"));
        let root = || {
            rustix::process::geteuid()
                .is_root()
                .then(|| "/var/lib/narthex".into())
        };
        let typed = self.state_dir.clone();
        typed
            .or_else(|| variable("STATE_DIRECTORY"))
            .or_else(|| config::active().ok()??.state_dir.clone())
            .or_else(user)
            .or_else(root)
    }
}

/// What a location is remembered by: its absolute path, and where links lead to, which may be
/// another one.
fn names(location: &Location) -> Result<Vec<PathBuf>> {
    let Some(path) = location.dir() else {
        return Ok(vec![location.to_string().into()]);
    };
    let absolute = std::path::absolute(path).map_err(|e| Error::io("find", path, e))?;
    let mut names = vec![absolute.clone()];
    // A disk that is not mounted takes the end of the path along.
    let led = absolute.ancestors().find_map(|above| {
        let rest = absolute.strip_prefix(above).ok()?;
        let led = above.canonicalize().ok()?;
        Some(if rest.as_os_str().is_empty() {
            led
        } else {
            led.join(rest)
        })
    });
    names.extend(led.filter(|led| *led != absolute));
    Ok(names)
}

/// Whether two locations are one place, as far as paths and addresses tell.
pub(crate) fn is_same_place(one: &Location, other: &Location) -> Result<bool> {
    let (one, other) = (names(one)?, names(other)?);
    Ok(one.iter().any(|name| other.contains(name)))
}

fn file(dir: &Path, location: &Path) -> PathBuf {
    let digest = Digest::of(location.as_os_str().as_encoded_bytes()).to_string();
    let name = digest.get(..32).unwrap_or(&digest).to_owned();
    dir.join("repositories").join(format!("{name}.json"))
}

/// The repositories that the file at `path` remembers; none when there is no such file.
fn read(path: &Path) -> Result<Option<Remembered>> {
    let bytes = match read_bounded(path, MAX_BYTES) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let wrong = |found: &str| {
        Error::corrupt(format!(
            "expected which repository lies where in {}, found {found}: remove it, and the next run remembers anew",
            path.display()
        ))
    };
    let remembered: Remembered =
        serde_json::from_slice(&bytes).map_err(|_| wrong("something else"))?;
    if remembered.format_version > STATE_VERSION {
        return Err(wrong("a newer version"));
    }
    Ok(Some(remembered))
}

/// Writes the file whole or not at all.
fn write(path: &Path, remembered: &impl Serialize) -> Result<()> {
    let dir = path.parent().unwrap_or(path);
    fs::create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
    let failed = |e| Error::io("write", path, e);
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
    serde_json::to_writer(&mut file, remembered)
        .map_err(std::io::Error::from)
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.as_file().sync_all())
        .map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    crate::raw::sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_or_a_device_in_place_of_the_file_is_an_error_and_nobody_waits_for_it() {
        use rustix::fs::{CWD, Mode, mkfifoat};
        let dir = tempfile::tempdir().unwrap();
        assert!(read(&dir.path().join("none")).unwrap().is_none());
        let (pipe, device) = (dir.path().join("pipe"), dir.path().join("device"));
        mkfifoat(CWD, &pipe, Mode::RWXU).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &device).unwrap();
        for path in [pipe, device] {
            let error = read(&path).unwrap_err();
            assert!(error.chain().contains("regular file"), "{}", error.chain());
        }
        let long = dir.path().join("long");
        fs::write(&long, vec![b' '; MAX_BYTES as usize + 1]).unwrap();
        assert_eq!(read(&long).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
