//! Which repository is meant, and the way into it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use clap::Args;

use super::args::REPOSITORY_HEADING;
use super::config::{self, RepoName};
use super::context::Context;
#[cfg(feature = "encryption")]
use super::keys;
use super::network;
use super::state::{StateArgs, explain};
use super::terminal::announce;
use crate::error::{Error, ErrorKind, Result};
use crate::repository::{Damaged, Parts, Repository};
use crate::store::{Location, Store};

/// The environment variable that says where the repository is when `--repo` does not.
pub(crate) const REPO_VARIABLE: &str = "NARTHEX_REPO";

/// Whether commands find the repository without `--repo`.
pub(crate) fn is_repo_known() -> bool {
    std::env::var_os(REPO_VARIABLE).is_some_and(|set| !set.is_empty()) || config::is_default_known()
}

/// What is to be said of a repository that was chosen: which one it is, where nobody typed its
/// place.
pub(crate) type Choice = Option<String>;

/// The repository for commands that read an archive if they are asked to: what is typed; else what
/// the environment or the configuration says. Which one it is, is said where nobody typed its
/// place. `None` where nothing says one.
pub(crate) fn choose_to_read(
    typed: Option<&RepoName>,
    source: Option<&str>,
) -> Result<Option<Location>> {
    let set = std::env::var(REPO_VARIABLE)
        .ok()
        .filter(|_| typed.is_none());
    let set = set.map(|set| set.parse()).transpose()?;
    let chosen = config::choose(typed.or(set.as_ref()), source)?;
    Ok(chosen.map(|chosen| {
        if let Some(remark) = chosen.remark {
            say_once(&remark);
        }
        chosen.location
    }))
}

/// Which repository, for every command that needs one.
#[derive(Args, Clone, Debug)]
pub(crate) struct RepoArgs {
    /// Directory of the repository, or `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`,
    /// `az://CONTAINER/PREFIX`, `sftp://USER@HOST/PATH`, to read `https://HOST/PATH`; or its
    /// name in the configuration; `NARTHEX_REPO` may say it instead
    #[arg(long = "repo", env = REPO_VARIABLE, value_name = "REPO", help_heading = REPOSITORY_HEADING)]
    typed: Option<RepoName>,
    /// Where that is: known once it was chosen.
    #[arg(skip = Location::Local(PathBuf::new()))]
    location: Location,
}

impl RepoArgs {
    /// Chooses the repository: what is typed, or what the configuration says of the source that is
    /// named, or of all. Returns what is to be said of the choice; `None` where nothing says one.
    pub(crate) fn choose(&mut self, source: Option<&str>) -> Result<Option<Choice>> {
        let Some(chosen) = config::choose(self.typed.as_ref(), source)? else {
            return Ok(None);
        };
        self.location = chosen.location;
        Ok(Some(chosen.remark))
    }

    /// Where the repository is or will be.
    pub(crate) fn store(&self) -> Result<Arc<dyn Store>> {
        network::store(&self.location)
    }

    /// Where the repository is or will be.
    pub(crate) fn location(&self) -> &Location {
        &self.location
    }

    /// Refuses a directory `target` inside of the repository: what lies there is no object, and
    /// whoever tidies up may remove it.
    ///
    /// # Errors
    ///
    /// `Refused` if it is there.
    pub(crate) fn refuse_inside(&self, target: &Path) -> Result<()> {
        let Some(repository) = self.location.dir() else {
            return Ok(());
        };
        let mut existing = target.ancestors().map(|dir| {
            if dir.as_os_str().is_empty() {
                Path::new(".").canonicalize()
            } else {
                dir.canonicalize()
            }
        });
        let existing = existing.find_map(std::result::Result::ok);
        match (existing, repository.canonicalize()) {
            (Some(existing), Ok(repository)) if existing.starts_with(&repository) => {
                Err(Error::refused(format!(
                    "expected a target outside of the repository, found {}, which is inside of {}",
                    target.display(),
                    self.location
                )))
            }
            _ => Ok(()),
        }
    }

    /// The repository at `location`.
    pub(crate) fn at(location: &Location) -> Self {
        RepoArgs {
            typed: None,
            location: location.clone(),
        }
    }

    /// The repository, which is made where none has ever been, unless `no_create` says otherwise;
    /// in parts if `by_source`. Whether the right one is there is asked first.
    pub(crate) fn open_or_init(
        &self,
        state: &StateArgs,
        no_create: bool,
        by_source: bool,
        context: &Context<'_>,
    ) -> Result<Parts> {
        let existing = self.existing(state, no_create)?;
        self.or_init(existing, state, by_source, context)
    }

    /// What [`existing`](Self::existing) has found, or a new repository, in parts if `by_source`.
    pub(crate) fn or_init(
        &self,
        existing: Option<Parts>,
        state: &StateArgs,
        by_source: bool,
        context: &Context<'_>,
    ) -> Result<Parts> {
        let location = &self.location;
        let parts = if let Some(mut parts) = existing {
            // Before it is remembered which repository is there: perhaps only its new descriptor
            // says that.
            let likely = state.last(location)?;
            let root = parts.root_mut();
            if let Some(written) = root.mend_descriptor(likely.as_deref())? {
                let trouble = root.trouble().unwrap_or_default();
                context.progress.remark(&format_args!(
                    "{trouble}; {written} was written in its place"
                ));
            }
            parts
        } else {
            #[cfg(feature = "encryption")]
            keys::refuse_in_clear(location)?;
            let store = self.store()?;
            let made = if by_source {
                Parts::init_by_source(store)
            } else {
                Parts::init(store)
            };
            match made {
                // Another run has made it meanwhile.
                Err(taken) if taken.kind() == ErrorKind::AlreadyExists => {
                    self.open_to_write(state)?
                }
                made => {
                    let parts = made?;
                    let id = &parts.root().descriptor().id;
                    let in_parts = if parts.is_by_source() {
                        ", in parts, one for each source"
                    } else {
                        ""
                    };
                    announce(format_args!(
                        "made a new repository {id} in {location}{in_parts}"
                    ));
                    parts
                }
            }
        };
        if let Some(reason) = state.remember(location, parts.root()) {
            context.progress.remark(&reason);
        }
        Ok(parts)
    }

    /// The repository, if there is one; there may be none only where one may be made.
    pub(crate) fn existing(&self, state: &StateArgs, no_create: bool) -> Result<Option<Parts>> {
        match self.open_to_write(state) {
            Ok(parts) => Ok(Some(parts)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if !self.store()?.is_vacant()? {
                    // Perhaps another run has made it between the two looks.
                    return self.open_to_write(state).map(Some);
                }
                state.refuse_vacant(&self.location)?;
                if no_create {
                    return Err(error.context("with --no-create none is made"));
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The repository, which must exist.
    pub(crate) fn open(&self) -> Result<Parts> {
        open_repository(&self.location)
    }

    /// The repository, which must exist, for whoever only writes: what it has written itself is
    /// remembered where it cannot be read back.
    pub(crate) fn open_to_write(&self, state: &StateArgs) -> Result<Parts> {
        let parts = open(&self.location, state, true)?;
        state.refuse_other(&self.location, parts.root())?;
        Ok(parts)
    }

    /// The repository, for whoever says what is wrong with it.
    pub(crate) fn open_silently(&self) -> Result<Parts> {
        open_at(&self.location, &StateArgs::of_environment(), false)
    }

    /// The repository, which must exist and be the one that is remembered to be there, with all
    /// that was seen of its keys: for whoever deletes, or signs what is there.
    pub(crate) fn open_to_change(&self, state: &StateArgs) -> Result<Parts> {
        let parts = self.open_own(state)?;
        #[cfg(feature = "encryption")]
        if let Some(keys) = parts.root().keys() {
            keys.refuse_gone()?;
        }
        Ok(parts)
    }

    /// The repository, which must exist and be the one that is remembered to be there: for whoever
    /// mends it.
    pub(crate) fn open_own(&self, state: &StateArgs) -> Result<Parts> {
        let parts = open(&self.location, state, false)?;
        state.refuse_other(&self.location, parts.root())?;
        Ok(parts)
    }
}

/// Whether what is asked for is in any part of a repository: that it is not in one of several is no
/// error.
#[derive(Default)]
pub(crate) struct Elsewhere {
    is_found: bool,
    missing: Option<Error>,
    /// Manifests that cannot be read, in parts that were passed over: they may be what is asked
    /// for.
    damaged: Vec<Damaged>,
}

impl Elsewhere {
    /// What was done in `part`; `None` where what was asked for is not in it, which may be in
    /// another one.
    ///
    /// # Errors
    ///
    /// Any other.
    pub(crate) fn pass_over<T>(&mut self, done: Result<T>, part: &Repository) -> Result<Option<T>> {
        match done {
            Err(none) if none.kind() == ErrorKind::NotFound && part.part().is_some() => {
                self.missing = Some(none);
                let damaged = part.archives()?.damaged.into_iter();
                self.damaged.extend(damaged.map(|it| it.in_whole(part)));
                Ok(None)
            }
            done => {
                self.is_found = true;
                done.map(Some)
            }
        }
    }

    /// Ends the search: says which manifests could not be read; whether there are any.
    ///
    /// # Errors
    ///
    /// `NotFound`, when it was in no part.
    pub(crate) fn end(self, context: &Context<'_>) -> Result<bool> {
        for damaged in &self.damaged {
            context.progress.remark(&damaged.error.chain());
        }
        match self.missing {
            Some(missing) if !self.is_found => Err(missing),
            _ => Ok(!self.damaged.is_empty()),
        }
    }
}

/// Opens the repository at `location`, and says on standard error if another one was there before.
pub(crate) fn open_repository(location: &Location) -> Result<Parts> {
    let parts = open(location, &StateArgs::of_environment(), false)?;
    // Who cannot read what is remembered can read the repository all the same.
    if let Ok(Some(other)) = StateArgs::of_environment().other(location, parts.root()) {
        say(&other);
    }
    Ok(parts)
}

/// Opens the repository at `location`, and says so on standard error if that had to be done without
/// its descriptor.
fn open(location: &Location, state: &StateArgs, writes: bool) -> Result<Parts> {
    let parts = open_at(location, state, writes).map_err(|e| explain(location, e))?;
    #[cfg(feature = "encryption")]
    keys::remember(location, parts.root(), state);
    if let Some(trouble) = parts.root().trouble() {
        say(&format!(
            "{trouble}; going on without it: narthex repair writes it anew"
        ));
    }
    Ok(parts)
}

/// Opens the repository at `location` with the keys of this machine. Whoever `writes` and cannot
/// read keeps what it has written.
fn open_at(location: &Location, state: &StateArgs, writes: bool) -> Result<Parts> {
    let store = network::store(location)?;
    // Where it is not in parts, a backup lists all of it next.
    if writes && !state.is_in_parts(location) {
        store.expect_listing();
    }
    #[cfg(feature = "encryption")]
    let opened = Parts::open_choosing(store, |descriptor| {
        keys::keyring(location, state, writes, Some(descriptor))
    });
    #[cfg(not(feature = "encryption"))]
    let opened = {
        let _ = (state, writes);
        Parts::open(store)
    };
    opened
}

/// Says it, unless it was said or nobody wants to hear it.
fn say_once(what: &str) {
    static SAID: OnceLock<()> = OnceLock::new();
    if SAID.set(()).is_ok() && !config::is_quiet() {
        say(what);
    }
}

pub(super) fn say(what: &str) {
    let _ = writeln!(std::io::stderr().lock(), "narthex: {what}");
}
