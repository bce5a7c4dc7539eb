//! `narthex witness`: writes down which archives there are, signed.

use std::collections::BTreeSet;

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::exit::Ending;
use crate::cli::repo::RepoArgs;
use crate::cli::state::StateArgs;
use crate::crypt::sign::SigningKey;
use crate::error::{Error, Result};
use crate::model::now;
use crate::repository::Repository;
use crate::repository::keyed::{KeyedStore, MissingManifests, Witness};
use crate::store::ObjectName;
use crate::units::count_text;

/// Of which repository.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  narthex witness --repo s3://backups/prometheus --signing-key upkeep.key

A witness lists all archives of an encrypted repository, signed by a key that signs for all sources, or by the administrator's. What \
it lists and is not there later was removed by somebody: narthex check finds it. What it does not list was not there when it was made. \
A machine that has read a witness remembers its number, and misses it when it is gone. narthex forget writes one at its end. Run it after narthex check, on the machine that keeps the repository in order.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    #[command(flatten)]
    state: StateArgs,
    /// Accept that archives are gone which the witness before has seen, or not what they were, or
    /// that a witness is gone which this machine has seen: which they are is said
    #[arg(long)]
    accept_missing: bool,
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    let parts = args.repo.open_to_change(&args.state)?;
    let root = parts.root();
    let keys = root.keys().ok_or_else(|| {
        Error::refused(format!(
            "the repository in {} is not encrypted, and its archives are not signed: nobody's witness would be believed",
            root.store().describe()
        ))
    })?;
    let key = keys.signing().ok_or_else(|| {
        Error::invalid(
            "expected --signing-key with the key of whoever has seen the archives, found none",
        )
    })?;
    let (mut number, mut count, mut witnesses) = (0, 0, 0);
    let mut accepted = MissingManifests::default();
    let mut lost = Vec::new();
    for part in parts.all()? {
        let Some(keys) = part.keys() else { continue };
        let (witness, missing) = write(keys, key, args.accept_missing)?;
        number = number.max(witness.number);
        witnesses += 1;
        count += witness.manifests.len() as u64;
        let full = |names: Vec<ObjectName>| names.into_iter().map(|name| part.full_object(&name));
        accepted.gone.extend(full(missing.gone).collect::<Vec<_>>());
        accepted
            .changed
            .extend(full(missing.changed).collect::<Vec<_>>());
        lost.extend(missing.witness);
    }
    if context.json {
        context.print_json(&json!({
            "number": number,
            "archives": count,
            "accepted_gone": accepted.gone,
            "accepted_changed": accepted.changed,
            "accepted_witness": lost.iter().map(|lost| lost.number).max(),
        }))?;
        return Ok(Ending::Healthy);
    }
    for lost in &lost {
        context.print(format_args!("accepted: {lost}\n"))?;
    }
    for name in &accepted.gone {
        context.print(format_args!("accepted: {name} is gone\n"))?;
    }
    for name in &accepted.changed {
        context.print(format_args!("accepted: {name} is not what it was\n"))?;
    }
    let count = count_text(count);
    if parts.is_by_source() {
        context.print(format_args!(
            "{witnesses} witnesses, one for each part, list {count} archives\n"
        ))?;
    } else {
        context.print(format_args!("witness {number} lists {count} archives\n"))?;
    }
    Ok(Ending::Healthy)
}

/// Writes down what is there, in the repository or in one of its parts; and what was missing and is
/// accepted.
fn write(
    keys: &KeyedStore,
    key: &SigningKey,
    accept_missing: bool,
) -> Result<(Witness, MissingManifests)> {
    if accept_missing {
        return keys.write_witness_accepting(key, now());
    }
    let witness = keys.write_witness(key, &BTreeSet::new(), now())?;
    Ok((witness, MissingManifests::default()))
}

/// Says so if a witness is gone that this machine has seen; whether one is.
pub(super) fn remark_lost(repository: &Repository, context: &Context<'_>) -> Result<bool> {
    let lost = match repository.keys() {
        Some(keys) => keys.lost_witness()?,
        None => None,
    };
    if let Some(lost) = &lost {
        context.progress.remark(&format_args!(
            "{lost}: which archives it has seen that are gone is not known; narthex prune deletes nothing until narthex witness --accept-missing has said that \
             this is meant"
        ));
    }
    Ok(lost.is_some())
}

/// Writes a new witness where one has seen what was `removed` just now. Whether that failed.
pub(super) fn after_forgetting(
    repository: &Repository,
    removed: &BTreeSet<ObjectName>,
    context: &Context<'_>,
) -> Result<bool> {
    let Some(keys) = repository.keys() else {
        return Ok(false);
    };
    let Some((before, _)) = keys.witness()? else {
        return Ok(false);
    };
    if !before
        .manifests
        .iter()
        .any(|link| removed.contains(&link.name))
    {
        return Ok(false);
    }
    let written = match keys.signing() {
        Some(key) => keys.write_witness(key, removed, now()).map(|_| ()),
        None => Err(Error::invalid("no --signing-key was given")),
    };
    let Err(error) = written else {
        return Ok(false);
    };
    context.progress.remark(&format_args!(
        "no new witness was written, so narthex check will miss the archives that were removed just now: {}",
        error.chain()
    ));
    Ok(true)
}
