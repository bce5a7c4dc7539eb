//! What this machine remembers of repositories, to save time: where that is, and what is missed
//! because of it.

use std::path::PathBuf;

use super::config;
use super::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::repository::{ManifestCache, Missed, Parts, Repository};

/// The environment variable that says where, when `--cache-dir` does not.
pub(crate) const CACHE_VARIABLE: &str = "NARTHEX_CACHE_DIR";

/// Where packs and manifests are remembered: as asked for, or where the XDG Base Directory
/// Specification says.
pub(crate) fn cache_dir(typed: Option<&PathBuf>, no_cache: bool) -> Option<PathBuf> {
    if no_cache {
        return None;
    }
    let variable = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|dir| dir.is_absolute())
    };
    let home = || Some(variable("HOME")?.join(".cache"));
    let default = || Some(variable("XDG_CACHE_HOME").or_else(home)?.join("narthex"));
    let configured = || config::active().ok()??.cache_dir.clone();
    typed.cloned().or_else(configured).or_else(default)
}

/// The same for commands that have no option for it.
fn of_machine() -> Option<PathBuf> {
    let set = std::env::var_os(CACHE_VARIABLE).filter(|set| !set.is_empty());
    cache_dir(set.map(PathBuf::from).as_ref(), false)
}

/// What is missed in `part`, of which no manifest was found: this machine remembers some.
pub(crate) fn vanished(part: &Repository) -> Result<Option<Missed>> {
    match of_machine() {
        Some(dir) => ManifestCache::new(&dir, &part.local_id()).missed(part),
        None => Ok(None),
    }
}

/// The parts of which nothing is there, and this machine remembers archives.
pub(crate) fn vanished_parts(parts: &Parts) -> Result<Vec<Repository>> {
    match of_machine() {
        Some(dir) => parts.vanished(&dir),
        None => Ok(Vec::new()),
    }
}

/// What was `found` in `part`; where nothing was because all of its manifests are gone, the error
/// says that.
pub(crate) fn unless_vanished<T>(found: Result<T>, part: &Repository) -> Result<T> {
    found.map_err(|error| match vanished(part) {
        Ok(Some(missed)) if error.kind() == ErrorKind::NotFound => {
            Error::not_found(format!("{}: {missed}", part.store().describe()))
        }
        _ => error,
    })
}

/// Says what is missed in `part`, of which no manifest was found; whether anything is.
pub(crate) fn remark_vanished(part: &Repository, context: &Context<'_>) -> Result<bool> {
    let missed = vanished(part)?;
    if let Some(missed) = &missed {
        let place = part.store().describe();
        context.progress.remark(&format_args!("{place}: {missed}"));
    }
    Ok(missed.is_some())
}

/// Where nothing is left of `part`, of which archives were removed on purpose, this machine is not
/// to miss it.
pub(crate) fn no_longer_miss(part: &Repository, context: &Context<'_>) {
    let Some(dir) = of_machine() else {
        return;
    };
    // Manifests that were damaged, or came meanwhile, may be left.
    let is_empty = part.manifest_names().map(|names| names.is_empty());
    let cleared = is_empty.and_then(|is_empty| {
        if is_empty {
            ManifestCache::new(&dir, &part.local_id()).clear()
        } else {
            Ok(())
        }
    });
    if let Err(error) = cleared {
        context.progress.remark(&format_args!(
            "this machine will miss the archives that were removed just now: {}",
            error.chain()
        ));
    }
}
