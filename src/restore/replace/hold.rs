//! Keeping others out of the directory, and what an interrupted run left in it.

use std::fs::File;

use crate::block::{DataDir, DirKind, EntryKind};
use crate::error::{Error, Result};
use crate::raw::Folder;
use crate::restore::in_use::user_of;
use crate::restore::swap::{self, Settled};
use crate::restore::{ProblemKind, RestoreProblem};

/// Finishes or undoes what an interrupted run left, and says so.
pub(super) fn finish_interrupted(folder: &Folder, told: &mut Vec<RestoreProblem>) -> Result<()> {
    for settled in swap::finish_swaps(folder)? {
        let (name, detail) = match settled {
            Settled::Undone(name) => {
                let detail =
                    format!("block {name} has its name again, which an interrupted run had taken");
                (name, detail)
            }
            Settled::Kept(name, kept) => {
                let kept = kept.to_string_lossy();
                let detail = format!(
                    "block {name} was replaced by an interrupted run; the damaged one is {kept}"
                );
                (name, detail)
            }
        };
        told.push(ProblemKind::SwapSettled.at(name, detail));
    }
    Ok(())
}

/// The locks that keep others out of the directory.
pub(super) fn hold(
    folder: &Folder,
    scanned: &DataDir,
    dry_run: bool,
    told: &mut Vec<RestoreProblem>,
) -> Result<Vec<File>> {
    let dir = folder.path().display();
    let mut held = Vec::new();
    let mut unknown = |detail: String| {
        told.push(ProblemKind::ServerUnknown.at("lock", detail));
    };
    // Not every release holds its lock while it is at work.
    let mut refused = user_of(folder.path()).map(|user| {
        let (pid, name, path) = (user.pid, user.name, user.path.display());
        format!(
            "process {pid} ({name}) is at work in {dir}, for it has {path} open: stop it, and start it again afterwards"
        )
    });
    match scanned
        .find(EntryKind::Lock)
        .map(|_| folder.lock(Some("lock".as_ref())))
    {
        Some(Ok(Some(file))) => held.push(file),
        Some(Ok(None)) => {
            refused.get_or_insert_with(|| {
                format!(
                    "a server, or another narthex, is at work in {dir} (it holds {dir}/lock): stop it, and start it again afterwards"
                )
            });
        }
        Some(Err(error)) => unknown(format!(
            "cannot tell whether a server is at work in {dir}: {}",
            error.chain()
        )),
        None if scanned.place() == DirKind::DataDir => unknown(format!(
            "there is no file lock in {dir}, and a server of another machine or container may be at work there unseen: make sure that none is"
        )),
        None => {}
    }
    if refused.is_none() && !rustix::process::geteuid().is_root() {
        unknown(format!(
            "only root sees whether a server of another user is at work in {dir}: make sure that none is"
        ));
    }
    // Not every file system knows such locks; where it does not, nothing is overwritten all the
    // same.
    let refused = refused.or_else(|| match folder.lock(None) {
        Ok(Some(file)) => {
            held.push(file);
            None
        }
        Ok(None) => Some(format!(
            "another narthex is at work in {dir}: wait until it has ended"
        )),
        Err(_) => None,
    });
    match refused {
        Some(refused) if !dry_run => Err(Error::refused(refused)),
        Some(refused) => {
            told.push(ProblemKind::ServerUnknown.at("lock", refused));
            Ok(held)
        }
        None => Ok(held),
    }
}
