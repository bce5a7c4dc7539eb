//! Lists of keys that are gone from a repository.
//!
//! What brings them back need not be trusted: each list is signed by the administrator's key, and
//! names the one before it.

use super::run::{RepairOutcome, RepairStep};
use crate::error::{ErrorKind, Result};
use crate::repository::{Parts, find};
use crate::store::{ObjectName, Store};

/// Puts lists of keys back that are gone from the repository, as this machine keeps them.
///
/// # Errors
///
/// When the store fails. That something else has the name of a list is no error.
pub fn mend_keys(parts: &Parts, dry_run: bool) -> Result<Vec<RepairStep>> {
    let root = parts.root();
    let Some(keys) = root.keys() else {
        return Ok(Vec::new());
    };
    let gone = keys.gone_lists()?.into_iter();
    gone.map(|(name, content)| {
        let how = "as this machine keeps it";
        put(root.stored(), &name, content, how, dry_run)
    })
    .collect()
}

/// Puts lists of keys into `store`, which holds the repository that `other` is a replica of, under
/// the same id: those that are there and not here.
///
/// # Errors
///
/// When a store fails. That `store` holds another repository, or one in clear, is no error: there
/// is nothing to bring.
pub fn bring_keys(store: &dyn Store, other: &Parts, dry_run: bool) -> Result<Vec<RepairStep>> {
    let Some(keys) = other.root().keys() else {
        return Ok(Vec::new());
    };
    let own = match find(store) {
        Ok((own, _)) => own,
        Err(none) if none.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let theirs = other.root().descriptor();
    if (&own.id, &own.admin) != (&theirs.id, &theirs.admin) {
        return Ok(Vec::new());
    }
    let place = format!("fetched from {}", other.root().store().describe());
    let mut steps = Vec::new();
    for document in keys.chain().documents() {
        let name = document.object()?;
        match store.stored_size(&name) {
            Err(gone) if gone.kind() == ErrorKind::NotFound => {}
            found => {
                found?;
                continue;
            }
        }
        let content = keys
            .chain()
            .content(other.root().stored(), document.number)?;
        steps.push(put(store, &name, &content, &place, dry_run)?);
    }
    Ok(steps)
}

/// Puts one list in its place; `how` is where it comes from.
fn put(
    store: &dyn Store,
    name: &ObjectName,
    content: &[u8],
    how: &str,
    dry_run: bool,
) -> Result<RepairStep> {
    let step = |outcome, detail| RepairStep {
        outcome,
        object: name.to_string(),
        detail,
    };
    if dry_run {
        let detail = format!("the list of keys is gone; it would be put back, {how}");
        return Ok(step(RepairOutcome::Planned, detail));
    }
    match store.put(name, content) {
        Ok(()) => {
            let detail = format!("the list of keys was gone; it was put back, {how}");
            Ok(step(RepairOutcome::Repaired, detail))
        }
        Err(taken) if taken.kind() == ErrorKind::AlreadyExists => {
            let detail = "something else has the place of the list of keys: find out who has written it, remove it, and run narthex repair again";
            Ok(step(RepairOutcome::Left, detail.to_owned()))
        }
        Err(error) => Err(error),
    }
}
