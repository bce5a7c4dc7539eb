//! Removing manifests.

use std::collections::{BTreeMap, BTreeSet};

use super::decision::Decision;
use super::hold::hold;
use super::policy::{Keep, Policy};
use crate::error::{Error, ErrorKind, Result, did_you_mean};
use crate::model::{Millis, Ulid, millis_of};
use crate::repository::trash::delete_if_there;
use crate::repository::{
    Ahead, Archive, ArchiveId, Archives, Damaged, Repository, Server, SourceFilter, StoredBlock,
    learn_streams, read_meta,
};
use crate::store::ObjectName;

/// Which archives are to go.
#[derive(Clone, Debug)]
pub enum ForgetSelection {
    /// All that a policy does not keep, in every group of archives of one host and source by
    /// itself.
    Policy(Policy),
    /// Those whose ids begin like this.
    Ids(Vec<String>),
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
    /// Archives that lie in the future and stay. No policy takes them for the newest, and none
    /// removes them.
    pub ahead: Vec<Ahead>,
    /// Blocks that the archives which stay have only damaged. Archives with sound samples of
    /// theirs stay as well, as far as there are any.
    pub damaged_blocks: Vec<Ulid>,
    /// Archives whose ids were given and that stay all the same, with why.
    pub held: Vec<(ArchiveId, String)>,
}

impl Forgotten {
    /// The manifests that are removed.
    ///
    /// # Errors
    ///
    /// None that is known.
    pub fn removed_names(&self) -> Result<BTreeSet<ObjectName>> {
        let removed = self.decisions.iter().filter(|made| !made.is_kept());
        let names = removed.map(|made| made.archive.manifest_name()?.object());
        let damaged = self.removed_damaged.iter().cloned().map(Ok);
        names.chain(damaged).collect()
    }

    /// Adds what was done in `part` of the same repository.
    pub fn absorb(&mut self, other: Forgotten, part: &Repository) {
        self.decisions.extend(other.decisions);
        let damaged = other.damaged.into_iter().map(|it| it.in_whole(part));
        self.damaged.extend(damaged);
        let removed = other.removed_damaged.iter();
        let removed = removed.map(|name| part.full_object(name));
        self.removed_damaged.extend(removed);
        self.ahead.extend(other.ahead);
        self.damaged_blocks.extend(other.damaged_blocks);
        self.held.extend(other.held);
    }

    /// How many archives are removed.
    pub fn removed(&self) -> usize {
        let removed = self.decisions.iter().filter(|made| !made.is_kept());
        removed.count() + self.removed_damaged.len()
    }
}

/// How [`forget`] is to go about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leave {
    /// Whether a server may be left without any archive, or without one that holds blocks.
    pub nothing: bool,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// Removes the archives that `selection` lets go among those that `filter` lets through, at the
/// time `now`.
///
/// # Errors
///
/// `Refused` when the policy is empty, or when a server would be left without any archive, or
/// without the last one that holds blocks; `NotFound` or `Invalid` for ids that mean none or
/// several. Nothing has been removed then.
pub fn forget(
    repository: &Repository,
    selection: &ForgetSelection,
    filter: &SourceFilter,
    leave: Leave,
    now: Millis,
) -> Result<Forgotten> {
    let Archives {
        mut archives,
        damaged,
    } = repository.archives()?;
    let mut forgotten = Forgotten::default();
    for damaged in damaged {
        if damaged.error.kind() == ErrorKind::Io {
            return Err(damaged.error);
        }
        forgotten.damaged.push(damaged);
    }
    let mut others: Vec<Archive> = Vec::new();
    if !filter.labels.is_empty() {
        let passed_over = archives.iter().filter(|archive| !filter.matches(archive));
        others.extend(passed_over.cloned());
    }
    archives = filter.choose(archives)?;
    // Archives of the same server that lack the label rely on these as on any other.
    let servers: BTreeSet<_> = archives.iter().map(Server::of).collect();
    others.retain(|other| servers.contains(&Server::of(other)));
    if !leave.nothing {
        // Aggregates of a block, or a shard, are no copy of it.
        let read = |block: &StoredBlock| read_meta(repository.store(), block);
        learn_streams(&read, &mut archives, &BTreeSet::new());
        learn_streams(&read, &mut others, &BTreeSet::new());
    }
    match selection {
        ForgetSelection::Policy(policy) => {
            let is_named = !filter.is_everything();
            if policy.is_empty() && !(leave.nothing && is_named) {
                return Err(Error::refused(
                    "no policy was given, and without one every archive would be removed: say what to keep, for \
                     example --keep-daily 7 --keep-weekly 4 --keep-monthly 12",
                ));
            }
            let arrivals = arrivals(repository)?;
            forgotten.decisions = by_policy(archives, policy, leave, &arrivals, now);
        }
        ForgetSelection::Ids(ids) => by_ids(archives, ids, &mut forgotten)?,
    }
    if !leave.nothing {
        refuse_emptied(&forgotten.decisions, now)?;
        let considered = forgotten.decisions.len();
        let stays = |archive| Decision {
            archive,
            reasons: vec!["not asked for".to_owned()],
        };
        forgotten.decisions.extend(others.into_iter().map(stays));
        forgotten.damaged_blocks = hold(&mut forgotten.decisions, repository)?;
        forgotten.decisions.truncate(considered);
    }
    if matches!(selection, ForgetSelection::Ids(_)) {
        let is_named = |made: &&Decision| made.reasons.iter().all(|why| why != NOT_NAMED);
        let named = forgotten.decisions.iter().filter(is_named);
        let held = named.filter(|made| made.is_kept());
        forgotten.held = held
            .map(|made| (made.archive.id.clone(), made.reasons.join(", ")))
            .collect();
    }
    let kept = forgotten.decisions.iter().filter(|made| made.is_kept());
    forgotten.ahead = kept
        .filter_map(|made| Ahead::of(&made.archive, now))
        .collect();
    if !leave.dry_run {
        let going = forgotten.decisions.iter().filter(|made| !made.is_kept());
        let going = going.map(|made| made.archive.manifest_name()?.object());
        let names: Result<Vec<_>> = going.collect();
        for name in names?.iter().chain(&forgotten.removed_damaged) {
            delete_if_there(repository.store(), name)?;
        }
    }
    Ok(forgotten)
}

/// Why an archive is kept that no word of a policy wants.
const AHEAD: &str = "from the future";
const LAST_WITH_BLOCKS: &str = "last with blocks";

/// Why an archive is kept whose id is not among those that were given.
const NOT_NAMED: &str = "not named";

/// When manifests came to be there by the store's clock, where archives are signed; else none, as
/// whoever writes is believed.
fn arrivals(repository: &Repository) -> Result<BTreeMap<ObjectName, Millis>> {
    if !repository.has_signers() {
        return Ok(BTreeMap::new());
    }
    let found = repository.arrivals()?.into_iter();
    Ok(found
        .filter_map(|(name, time)| Some((name, millis_of(time)?)))
        .collect())
}

/// Adds why archives are kept by when they came to be there, whatever they say themselves: whoever
/// has stolen a key that signs can make any number of them, of any time, and none of those may push
/// out what was there. What came within one hour counts once.
fn keep_by_arrival(
    made: &mut [Decision],
    policy: &Policy,
    arrivals: &BTreeMap<ObjectName, Millis>,
) {
    let arrival = |made: &Decision| {
        let name = made.archive.manifest_name().ok()?.object().ok()?;
        arrivals.get(&name).copied()
    };
    let mut known: Vec<_> = made
        .iter_mut()
        .filter_map(|made| Some((arrival(made)?, made)))
        .collect();
    known.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    let policy = Policy {
        last: Keep::None,
        hourly: policy.hourly.or_more(policy.last),
        ..policy.clone()
    };
    let times: Vec<_> = known.iter().map(|(time, _)| *time).collect();
    for ((_, made), reasons) in known.into_iter().zip(policy.reasons(&times)) {
        let reasons = reasons
            .into_iter()
            .map(|reason| format!("{reason} to arrive"));
        made.reasons.extend(reasons);
    }
}

/// What `policy` says of `archives`, oldest first, those of each server by themselves; `arrivals`
/// are when their manifests came to be there, where that counts.
pub(crate) fn by_policy(
    archives: Vec<Archive>,
    policy: &Policy,
    leave: Leave,
    arrivals: &BTreeMap<ObjectName, Millis>,
    now: Millis,
) -> Vec<Decision> {
    let mut servers: BTreeMap<Server, Vec<Archive>> = BTreeMap::new();
    for archive in archives {
        servers
            .entry(Server::of(&archive))
            .or_default()
            .push(archive);
    }
    let mut decisions = Vec::new();
    for archives in servers.into_values() {
        let (ahead, real): (Vec<_>, Vec<_>) = archives
            .into_iter()
            .partition(|archive| !policy.is_empty() && Ahead::of(archive, now).is_some());
        let newest_first: Vec<_> = real.iter().rev().map(|archive| archive.time).collect();
        let reasons = policy.reasons(&newest_first).into_iter().rev();
        let mut made: Vec<_> = real
            .into_iter()
            .zip(reasons)
            .map(|(archive, reasons)| Decision { archive, reasons })
            .collect();
        keep_by_arrival(&mut made, policy, arrivals);
        if !leave.nothing {
            keep_blocks(&mut made);
        }
        decisions.append(&mut made);
        decisions.extend(ahead.into_iter().map(|archive| Decision {
            archive,
            reasons: vec![AHEAD.to_owned()],
        }));
    }
    decisions
}

/// Keeps the newest archive that holds blocks, if none that does is kept.
fn keep_blocks(made: &mut [Decision]) {
    let holds_blocks = |made: &Decision| !made.archive.blocks.is_empty();
    if made.iter().any(|made| made.is_kept() && holds_blocks(made)) {
        return;
    }
    if let Some(last) = made.iter_mut().rfind(|made| holds_blocks(made)) {
        last.reasons.push(LAST_WITH_BLOCKS.to_owned());
    }
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
            [] => {
                let hint = did_you_mean(wanted, archives.iter().map(|archive| archive.id.short()));
                return Err(Error::not_found(format!(
                    "there is no archive {wanted:?}{hint}: expected the beginning of an id as narthex archives lists them; nothing was removed"
                )));
            }
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
        if ![ErrorKind::Corrupt, ErrorKind::Refused].contains(&damaged.error.kind()) {
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
                vec![NOT_NAMED.to_owned()]
            },
            archive,
        })
        .collect();
    forgotten
        .decisions
        .sort_by_key(|made| Server::of(&made.archive));
    Ok(())
}

/// The id that the name of a manifest says.
fn id_of(damaged: &Damaged) -> Option<ArchiveId> {
    let name = damaged.name.as_str().strip_suffix(".json")?;
    name.rsplit_once('-')?.1.parse().ok()
}

/// Refuses to leave a server without any archive, or without one that holds blocks where one did.
/// An archive from the future stands in for no other.
fn refuse_emptied(decisions: &[Decision], now: Millis) -> Result<()> {
    let mut servers: BTreeMap<Server, Vec<&Decision>> = BTreeMap::new();
    for made in decisions {
        let of_server = servers.entry(Server::of(&made.archive)).or_default();
        of_server.push(made);
    }
    for (server, made) in &servers {
        let (host, source) = (&server.host, &server.source_name);
        if !made.iter().any(|made| made.is_kept()) {
            return Err(Error::refused(format!(
                "every archive of source {source:?} on host {host:?} would be removed: keep at least one, for example with \
                 --keep-last 1; for a server that is gone for good there is --unsafe-allow-remove-all"
            )));
        }
        let is_real = |made: &&&Decision| {
            !made.archive.blocks.is_empty() && Ahead::of(&made.archive, now).is_none()
        };
        let with_blocks: Vec<_> = made.iter().filter(is_real).collect();
        if let Some(last) = with_blocks.last()
            && !with_blocks.iter().any(|made| made.is_kept())
        {
            return Err(Error::refused(format!(
                "archive {} is the last of source {source:?} on host {host:?} that holds blocks, and would be removed: keep it; \
                 for a server that is gone for good there is --unsafe-allow-remove-all",
                last.archive.id.short()
            )));
        }
    }
    Ok(())
}
