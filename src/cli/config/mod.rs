//! The configuration file: repositories and sources by names, in TOML. What is typed and what the
//! environment says wins over it.
//!
//! It is read once, by the first who asks: commands that need no repository do not ask. Its keys
//! are those of `schema`; a file with any other is refused as a whole. It can have programs run,
//! so nobody but its owner may write to it where that would give them more than they have.

mod check;
mod choose;
mod document;
mod keys;
mod prices;
mod repository;
mod schema;
mod secret;
mod show;
mod source;
mod value;

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::unistd::{Uid, User};

pub(crate) use check::check;
pub(crate) use choose::{RepoName, choose, is_default_known};
pub(crate) use document::At;
use document::{Document, Fault, Given, Section};
pub(crate) use keys::Keys;
pub(crate) use prices::{Prices, amount_text};
pub(crate) use repository::Repository;
use schema::{REPOSITORY, SOURCE, TOP};
pub(crate) use secret::Secret;
pub(crate) use show::{Typed, show};
pub(crate) use source::{Source, policy_text};

use crate::error::{Error, ErrorKind, Result, did_you_mean};
use crate::raw::read_trusted;
use crate::store::{Location, StoreOptions};

/// The file that is read where none is named, if it is there.
pub(crate) const DEFAULT_FILE: &str = "/etc/narthex.toml";

/// What is typed in place of a file to have none read.
const NO_FILE: &str = "none";

/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Codecs by their names on the command line.
const CODECS: [&str; 2] = ["dense", "portable"];

/// What a configuration file says.
#[derive(Debug)]
pub(crate) struct Config {
    /// The file, as it is shown.
    pub(crate) file: String,
    pub(crate) cache_dir: Option<PathBuf>,
    pub(crate) state_dir: Option<PathBuf>,
    default: Option<At<String>>,
    repositories: Vec<Repository>,
    sources: Vec<Source>,
    given: Vec<Given>,
}

/// A file that was read, whatever is wrong in it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    faults: Vec<Fault>,
    /// That somebody else may write to it, which is bad, and no reason to do without it.
    loose: Option<String>,
}

/// The file of this process: named, or the usual one.
static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();

/// Whether nobody wants to hear what goes well.
static QUIET: OnceLock<bool> = OnceLock::new();

/// Whether nobody wants to hear which repository was chosen.
pub(super) fn is_quiet() -> bool {
    QUIET.get().is_some_and(|quiet| *quiet)
}

/// What was read of it. Errors are not cloned: their kind and their sentences are.
static READ: OnceLock<Result<Option<Config>, (ErrorKind, String)>> = OnceLock::new();

/// Says which file the configuration is: the one that was `named`, `none`, or the usual one. A file
/// that was named is read at once if it `matters` to the command. `quiet`: nobody wants to hear
/// what goes well.
///
/// # Errors
///
/// When it was named and cannot be used.
pub(super) fn prepare(named: Option<&Path>, matters: bool, quiet: bool) -> Result<()> {
    let _ = QUIET.set(quiet);
    let _ = FILE.set(file_of(named));
    if named.is_some() && matters {
        active()?;
    }
    Ok(())
}

/// The file that is the configuration when this was `named`.
pub(crate) fn file_of(named: Option<&Path>) -> Option<PathBuf> {
    match named {
        Some(name) if name == Path::new(NO_FILE) => None,
        Some(name) => Some(name.to_owned()),
        None => {
            let usual = PathBuf::from(DEFAULT_FILE);
            // One that cannot be looked at is there: reading it says why not.
            usual.try_exists().unwrap_or(true).then_some(usual)
        }
    }
}

/// The configuration of this process, if there is one.
///
/// # Errors
///
/// When the file cannot be read, or says what it must not.
pub(crate) fn active() -> Result<Option<&'static Config>> {
    let read = READ.get_or_init(|| {
        let Some(Some(file)) = FILE.get() else {
            return Ok(None);
        };
        let config = Loaded::read(file).and_then(Loaded::sound);
        config.map(Some).map_err(|e| (e.kind(), e.chain()))
    });
    match read {
        Ok(config) => Ok(config.as_ref()),
        Err((kind, said)) => Err(Error::new(*kind, said.clone())),
    }
}

/// The repository of the configuration that is at `location`.
pub(crate) fn at(location: &Location) -> Result<Option<&'static Repository>> {
    let repositories = active()?.map_or(&[][..], |config| &config.repositories);
    Ok(repositories.iter().find(|it| it.location == *location))
}

/// The keys that the configuration names for the repository at `location`.
#[allow(dead_code, reason = "for whoever opens encrypted repositories")]
pub(crate) fn keys(location: &Location) -> Result<Option<&'static Keys>> {
    let repository = at(location)?;
    Ok(repository
        .map(|it| &it.keys)
        .filter(|keys| !keys.is_empty()))
}

/// How to speak to the store at `location`: as `typed`, and where nothing was, as the environment
/// and then the configuration say.
///
/// # Errors
///
/// When the configuration, or a secret that it names, cannot be read.
pub(crate) fn complete(location: &Location, typed: &StoreOptions) -> Result<StoreOptions> {
    let Some(repository) = at(location)? else {
        return Ok(typed.clone());
    };
    if let Some(reason) = repository.without_encryption() {
        return Err(Error::unsupported(reason));
    }
    if let Some(outvoted) = repository.outvoted()
        && !is_quiet()
    {
        super::terminal::announce(outvoted);
    }
    repository.complete(typed)
}

impl Repository {
    /// That it has keys, and this program can do nothing with them, as a sentence: what should be
    /// encrypted is never written in clear.
    fn without_encryption(&self) -> Option<String> {
        let is_idle = !cfg!(feature = "encryption") && !self.keys.is_empty();
        is_idle.then(|| {
            format!(
                "{}: repository {} has keys, and this narthex was built without encryption",
                self.place, self.name
            )
        })
    }
}

impl Loaded {
    /// Reads `path`, whatever is wrong in it.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is no text, or is refused because others may write to it.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let advise = |error: Error| {
            error
                .context("configuration")
                .advise("--config none does without it")
        };
        let mut loose = None;
        let bytes = read_trusted(path, MAX_BYTES, |metadata| {
            loose = judge_owner(path, metadata, Uid::effective())?;
            Ok(())
        })
        .map_err(advise)?;
        let file = path.display().to_string();
        let text = String::from_utf8(bytes).map_err(|_| {
            advise(Error::invalid(format!(
                "expected a text in {file}, found bytes"
            )))
        })?;
        let mut loaded = parse(&text, &file);
        loaded.loose = loose;
        Ok(loaded)
    }

    /// The configuration, if nothing is wrong in it.
    ///
    /// # Errors
    ///
    /// `Invalid`, with the first thing that is.
    pub(crate) fn sound(self) -> Result<Config> {
        let Some(first) = self.faults.first() else {
            return Ok(self.config);
        };
        let more = match self.faults.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more: narthex config check names all)"),
        };
        Err(Error::invalid(format!("{first}{more}")).advise("--config none does without the file"))
    }
}

impl Config {
    pub(crate) fn source(&self, name: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.name == name)
    }

    pub(crate) fn source_names(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().map(|source| &*source.name)
    }

    fn repository(&self, name: &str) -> Option<&Repository> {
        self.repositories.iter().find(|it| it.name == name)
    }

    fn repository_names(&self) -> Vec<&str> {
        self.repositories.iter().map(|it| &*it.name).collect()
    }

    /// The repository that is meant where nothing says one.
    fn default_repository(&self) -> Option<&Repository> {
        match (&self.default, &*self.repositories) {
            (Some(name), _) => self.repository(&name.value),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}

/// What `text`, which is in `file`, says.
fn parse(text: &str, file: &str) -> Loaded {
    let document = Document::new(text.strip_prefix('\u{feff}').unwrap_or(text), file);
    let table = document.table();
    let mut config = Config {
        file: file.to_owned(),
        cache_dir: None,
        state_dir: None,
        default: None,
        repositories: Vec::new(),
        sources: Vec::new(),
        given: Vec::new(),
    };
    if let Some(table) = &table {
        let top = Section::new(&document, String::new(), table, 0..0, &TOP);
        config.default = top.text("default-repository");
        config.cache_dir = top.path("cache-dir").map(|dir| dir.value);
        config.state_dir = top.path("state-dir").map(|dir| dir.value);
        for (name, section) in top.sections("repository", &REPOSITORY) {
            let read = Repository::read(&name, &section);
            config.repositories.extend(read);
        }
        let repositories: Vec<_> = top.names_of("repository");
        refuse_twins(&config.repositories, &document);
        let refuse_unknown = |section: &Section<'_, '_>, key: &str, named: Option<&At<String>>| {
            let Some(named) = named else { return };
            if !repositories.contains(&named.value) {
                let near = did_you_mean(&named.value, repositories.iter().map(String::as_str));
                let message = format!("there is no repository {:?} here{near}", named.value);
                section.fault(&named.place, key, message);
            }
        };
        refuse_unknown(&top, "default-repository", config.default.as_ref());
        for (name, section) in top.sections("source", &SOURCE) {
            let source = Source::read(&name, &section, &CODECS);
            refuse_unknown(&section, "repository", source.repository.as_ref());
            config.sources.push(source);
        }
    }
    let (given, faults) = document.into_parts();
    config.given = given;
    Loaded {
        config,
        faults,
        loose: None,
    }
}

/// Two names for one place would have two settings.
fn refuse_twins(repositories: &[Repository], document: &Document<'_>) {
    let mut places: BTreeMap<String, &Repository> = BTreeMap::new();
    for repository in repositories {
        let location = repository.location.to_string();
        if let Some(other) = places.insert(location, repository) {
            document.fault(
                repository.place.clone(),
                &format!("repository.{}", repository.name),
                format!("repository {} is at the same place", other.name),
            );
        }
    }
}

/// Whether only those may write to the file who may do what it says anyway: it has programs run,
/// and says where backups go. Returns what is to be said of one that is used all the same.
fn judge_owner(path: &Path, metadata: &Metadata, reader: Uid) -> Result<Option<String>> {
    let shown = path.display();
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o002 != 0 {
        return Err(Error::refused(format!(
            "everybody on this machine may write to {shown} (mode {mode:04o}), which can have programs run; chmod o-w takes that away"
        )));
    }
    let owner = Uid::from_raw(metadata.uid());
    let user = User::from_uid(owner).ok().flatten();
    let name = user
        .as_ref()
        .map_or_else(|| format!("user {owner}"), |user| user.name.clone());
    let own_group = user.map_or_else(|| metadata.uid(), |user| user.gid.as_raw());
    let trouble = if owner != reader && !owner.is_root() {
        Some(format!(
            "{name} owns {shown}, and can have programs run as whoever runs narthex with it; chown it to root"
        ))
    } else if mode & 0o020 != 0 && metadata.gid() != own_group {
        Some(format!(
            "a group other than that of its owner may write to {shown} (mode {mode:04o}), and can have programs run as whoever runs narthex with it; chmod g-w takes that away"
        ))
    } else {
        None
    };
    match trouble {
        Some(trouble) if reader.is_root() => Err(Error::refused(trouble)),
        trouble => Ok(trouble),
    }
}

#[cfg(test)]
mod tests;
