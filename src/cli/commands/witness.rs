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
use crate::repository::keyed::{KeyedStore, Witness};
use crate::store::ObjectName;
use crate::units::count_text;

/// Of which repository.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  narthex witness --repo s3://backups/prometheus --signing-key upkeep.key

A witness lists all archives of an encrypted repository, signed by a key that signs for all sources, or by the administrator's. What \
it lists and is not there later was removed by somebody: narthex check finds it. What it does not list was not there when it was made. \
narthex forget writes one at its end. Run it after narthex check, on the machine that keeps the repository in order.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    #[command(flatten)]
    state: StateArgs,
    /// Accept that archives are gone which the witness before has seen
    #[arg(long)]
    accept_missing: bool,
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    let parts = args.repo.open_own(&args.state)?;
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
    let (mut number, mut count) = (0, 0);
    for part in parts.all()? {
        let Some(keys) = part.keys() else { continue };
        let witness = write(keys, key, args.accept_missing)?;
        number = number.max(witness.number);
        count += witness.manifests.len() as u64;
    }
    if context.json {
        context.print_json(&json!({"number": number, "archives": count}))?;
    } else {
        let count = count_text(count);
        context.print(format_args!("witness {number} lists {count} archives\n"))?;
    }
    Ok(Ending::Healthy)
}

/// Writes down what is there, in the repository or in one of its parts.
fn write(keys: &KeyedStore, key: &SigningKey, accept_missing: bool) -> Result<Witness> {
    let before = keys.witness()?.filter(|_| accept_missing);
    let gone = match before {
        Some((before, _)) => keys.missing_of(&before, false)?.gone,
        None => Vec::new(),
    };
    keys.write_witness(key, &gone.into_iter().collect(), now())
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
