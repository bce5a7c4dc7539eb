//! Removing manifests.

use std::collections::{BTreeMap, BTreeSet};

use super::policy::Policy;
use crate::error::{Error, ErrorKind, Result};
use crate::repository::trash::delete_if_there;
use crate::repository::{Archive, ArchiveId, Archives, Damaged, Repository, SourceFilter};
use crate::store::ObjectName;

/// Which archives are to go.
#[derive(Clone, Debug)]
pub enum Selection {
    /// All that a policy does not keep, in every group of archives of one host and source by itself.
    Policy(Policy),
    /// Those whose ids begin like this.
    Ids(Vec<String>),
}

/// What becomes of an archive.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The archive.
    pub archive: Archive,
    /// Why it is kept; empty when it is removed.
    pub reasons: Vec<String>,
}

impl Decision {
    /// Whether it stays.
    pub fn is_kept(&self) -> bool {
        !self.reasons.is_empty()
    }
}

/// What [`forget`] did, or would do.
#[derive(Debug, Default)]
pub struct Forgotten {
    /// Every archive that was considered, by host and source, oldest first.
    pub decisions: Vec<Decision>,
    /// Manifests that cannot be read and stay.
    pub damaged: Vec<Damaged>,
    /// Manifests that cannot be read and were removed, because their ids were given.
    pub removed_damaged: Vec<ObjectName>,
}

impl Forgotten {
    /// How many archives are removed.
    pub fn removed(&self) -> usize {
        let removed = self.decisions.iter().filter(|made| !made.is_kept());
        removed.count() + self.removed_damaged.len()
    }
}

/// Removes the archives that `selection` lets go among those that `filter` lets through. With `dry_run` it only says
/// which. With `all` it may leave a source without any archive.
///
/// # Errors
///
/// `Refused` when the policy is empty or a source would be left without any archive, `NotFound` or `Invalid` for ids that mean none or
/// several. Nothing has been removed then.
pub fn forget(
    repository: &Repository,
    selection: &Selection,
    filter: &SourceFilter,
    all: bool,
    dry_run: bool,
) -> Result<Forgotten> {
    let Archives {
        mut archives,
        damaged,
    } = repository.archives()?;
    let mut forgotten = Forgotten::default();
    for damaged in damaged {
        match damaged.error.kind() {
            // Removed since it was listed.
            ErrorKind::NotFound => {}
            ErrorKind::Io => return Err(damaged.error),
            _ => forgotten.damaged.push(damaged),
        }
    }
    archives.retain(|archive| filter.matches(archive));
    match selection {
        Selection::Policy(policy) => {
            let is_named = filter.host.is_some() || filter.source_name.is_some();
            if policy.is_empty() && !(all && is_named) {
                return Err(Error::refused(
                    "no policy was given, and without one every archive would be removed: say what to keep, for \
                     example --keep-daily 7 --keep-weekly 4 --keep-monthly 12",
                ));
            }
            forgotten.decisions = by_policy(archives, policy);
        }
        Selection::Ids(ids) => by_ids(archives, ids, &mut forgotten)?,
    }
    if !all {
        refuse_emptied(&forgotten.decisions)?;
    }
    if !dry_run {
        let going = forgotten.decisions.iter().filter(|made| !made.is_kept());
        let going = going.map(|made| made.archive.manifest_name()?.object());
        let names: Result<Vec<_>> = going.collect();
        for name in names?.iter().chain(&forgotten.removed_damaged) {
            delete_if_there(repository.store(), name)?;
        }
    }
    Ok(forgotten)
}

/// Archives of one source on one host.
type Group = (String, String);

fn group(archive: &Archive) -> Group {
    (archive.host.clone(), archive.source_name.clone())
}

fn by_policy(archives: Vec<Archive>, policy: &Policy) -> Vec<Decision> {
    let mut groups: BTreeMap<Group, Vec<Archive>> = BTreeMap::new();
    for archive in archives {
        groups.entry(group(&archive)).or_default().push(archive);
    }
    let mut decisions = Vec::new();
    for archives in groups.into_values() {
        let newest_first: Vec<_> = archives.iter().rev().map(|archive| archive.time).collect();
        let reasons = policy.reasons(&newest_first).into_iter().rev();
        let made = archives.into_iter().zip(reasons);
        decisions.extend(made.map(|(archive, reasons)| Decision { archive, reasons }));
    }
    decisions
}

fn by_ids(archives: Vec<Archive>, ids: &[String], forgotten: &mut Forgotten) -> Result<()> {
    let mut going: BTreeSet<ArchiveId> = BTreeSet::new();
    for wanted in ids {
        let begins = |id: &str| !wanted.is_empty() && id.starts_with(wanted.as_str());
        let readable = archives.iter().map(|archive| archive.id.clone());
        let broken = forgotten.damaged.iter().filter_map(id_of);
        let mut meant: Vec<_> = readable
            .chain(broken)
            .filter(|id| begins(id.as_str()))
            .collect();
        meant.sort();
        match meant.as_slice() {
            [id] => {
                going.insert(id.clone());
            }
            [] => return Err(Error::not_found(format!("there is no archive {wanted:?}"))),
            [one, other, ..] => {
                return Err(Error::invalid(format!(
                    "expected the beginning of one archive id, found {wanted:?}, which begins {one} and {other}"
                )));
            }
        }
    }
    let is_meant = |damaged: &Damaged| id_of(damaged).is_some_and(|id| going.contains(&id));
    let damaged = std::mem::take(&mut forgotten.damaged);
    let (meant, others): (Vec<_>, Vec<_>) = damaged.into_iter().partition(is_meant);
    forgotten.damaged = others;
    for damaged in meant {
        if damaged.error.kind() != ErrorKind::Corrupt {
            return Err(damaged
                .error
                .context("this archive may be sound and is not removed"));
        }
        forgotten.removed_damaged.push(damaged.name);
    }
    forgotten.decisions = archives
        .into_iter()
        .map(|archive| Decision {
            reasons: if going.contains(&archive.id) {
                Vec::new()
            } else {
                vec!["not named".to_owned()]
            },
            archive,
        })
        .collect();
    forgotten.decisions.sort_by_key(|made| group(&made.archive));
    Ok(())
}

/// The id that the name of a manifest says.
fn id_of(damaged: &Damaged) -> Option<ArchiveId> {
    let name = damaged.name.as_str().strip_suffix(".json")?;
    name.rsplit_once('-')?.1.parse().ok()
}

fn refuse_emptied(decisions: &[Decision]) -> Result<()> {
    let kept: BTreeSet<Group> = decisions
        .iter()
        .filter(|made| made.is_kept())
        .map(|made| group(&made.archive))
        .collect();
    let emptied = decisions
        .iter()
        .map(|made| group(&made.archive))
        .find(|group| !kept.contains(group));
    match emptied {
        None => Ok(()),
        Some((host, source)) => Err(Error::refused(format!(
            "every archive of source {source:?} on host {host:?} would be removed: keep at least one, for example with \
             --keep-last 1; for a server that is gone for good there is --unsafe-allow-remove-all"
        ))),
    }
}
