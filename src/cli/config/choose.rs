//! From what is typed as `--repo`, or not typed, to a place: names are looked up, and nothing is
//! guessed.

use std::path::Path;
use std::str::FromStr;

use super::{Config, Repository, active};
use crate::error::{Error, Result, did_you_mean};
use crate::store::Location;

/// What is typed as `--repo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RepoName {
    /// A word: the name of a repository of the configuration, or a directory here.
    Word(String),
    /// A place, and nothing else.
    Place(Location),
}

impl FromStr for RepoName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_word = !text.is_empty() && !text.contains(['/', ':']) && !text.starts_with('.');
        if is_word {
            return Ok(RepoName::Word(text.to_owned()));
        }
        text.parse().map(RepoName::Place)
    }
}

/// A repository that was chosen.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    pub(crate) location: Location,
    /// Which one that is and who says so, where nobody typed its place.
    pub(crate) remark: Option<String>,
}

impl Chosen {
    fn of(repository: &Repository) -> Self {
        Chosen {
            location: repository.location.clone(),
            remark: Some(format!(
                "repository {} of {}: {}",
                repository.name, repository.place, repository.location
            )),
        }
    }

    fn typed(location: Location) -> Self {
        Chosen {
            location,
            remark: None,
        }
    }
}

/// The repository that is `typed`; else that of the source, if one is named and the configuration
/// has it; else the one that the configuration means where nothing says one. `None` where it has
/// no repository.
///
/// # Errors
///
/// When the configuration cannot be used; `Invalid`, for a name that is not in it or may mean two
/// things, and where nothing says which of several is meant.
pub(crate) fn choose(typed: Option<&RepoName>, source: Option<&str>) -> Result<Option<Chosen>> {
    let config = active()?;
    match (typed, config) {
        (Some(RepoName::Place(location)), _) => Ok(Some(Chosen::typed(location.clone()))),
        (Some(RepoName::Word(word)), Some(config)) => named(config, word).map(Some),
        (Some(RepoName::Word(word)), None) => Ok(Some(Chosen::typed(word.parse()?))),
        (None, Some(config)) => by_default(config, source),
        (None, None) => Ok(None),
    }
}

/// Whether there is a repository where nothing says one.
pub(crate) fn is_default_known() -> bool {
    matches!(active(), Ok(Some(config)) if config.default_repository().is_some())
}

fn named(config: &Config, word: &str) -> Result<Chosen> {
    let is_here = Path::new(word).exists();
    match config.repository(word) {
        Some(repository) if is_here && !is_same(Path::new(word), repository) => {
            Err(Error::invalid(format!(
                "{word:?} is repository {} of {}, and a path here: say --repo ./{word} or --repo {}",
                repository.name, repository.place, repository.location
            )))
        }
        Some(repository) => Ok(Chosen::of(repository)),
        None if is_here || config.repositories.is_empty() => Ok(Chosen::typed(word.parse()?)),
        None => {
            let names = config.repository_names();
            let near = did_you_mean(word, names.iter().copied());
            Err(Error::invalid(format!(
                "there is no repository {word:?} in {}{near}: it has {}; a directory of this name is ./{word}",
                config.file,
                names.join(", ")
            )))
        }
    }
}

/// Whether the path is where the repository is: then both mean the same.
fn is_same(path: &Path, repository: &Repository) -> bool {
    let dir = repository.location.dir();
    let dir = dir.and_then(|dir| dir.canonicalize().ok());
    dir.is_some() && dir == path.canonicalize().ok()
}

fn by_default(config: &Config, source: Option<&str>) -> Result<Option<Chosen>> {
    let source = source.and_then(|name| config.source(name));
    let of_source = source.and_then(|source| source.repository.as_ref());
    let repository = match of_source {
        Some(name) => config.repository(&name.value),
        None => config.default_repository(),
    };
    match repository {
        Some(repository) => Ok(Some(Chosen::of(repository))),
        None if config.repositories.is_empty() => Ok(None),
        None => Err(Error::invalid(format!(
            "{} has several repositories, {}, and no default-repository: say with --repo which",
            config.file,
            config.repository_names().join(", ")
        ))),
    }
}
