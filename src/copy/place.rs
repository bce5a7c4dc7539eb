//! Whether two repositories lie in one place: a copy there would be none.

use std::collections::BTreeSet;

use crate::error::{Error, ErrorKind, Result};
use crate::model::Millis;
use crate::repository::claim::Claim;
use crate::repository::trash::delete_if_there;
use crate::repository::{ArchiveId, Repository};

/// Refuses two repositories of one id that lie in one place, by whatever way each is reached. A
/// clone of a repository, as a tool that copies files makes one, has its id, too, and lies
/// elsewhere: what is published in the one does not show in the other.
///
/// # Errors
///
/// `Refused` when they are one; or when a store fails.
pub fn refuse_same(from: &Repository, to: &Repository, now: Millis) -> Result<()> {
    if from.descriptor().id != to.descriptor().id {
        return Ok(());
    }
    // A claim that names nothing keeps nobody from anything, and expires.
    let probe = Claim::publish(to.store(), &ArchiveId::random(), BTreeSet::new(), now)?;
    let seen = match from.store().size(&probe) {
        Err(none) if none.kind() == ErrorKind::NotFound => Ok(false),
        size => size.map(|_| true),
    };
    delete_if_there(to.store(), &probe)?;
    if seen? {
        let (from, to) = (from.store().describe(), to.store().describe());
        return Err(Error::refused(format!(
            "{from} and {to} are one place: expected another one to copy to"
        )));
    }
    Ok(())
}
