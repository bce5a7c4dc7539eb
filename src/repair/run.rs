//! Everything that can be made whole without a data directory.

use std::collections::{BTreeMap, BTreeSet};

use super::archive::{rebuild, reconstructed};
use super::catalog::Catalog;
use super::judge::judge;
use super::mend::mend;
use crate::dense::Cache;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Millis;
use crate::progress::Progress;
use crate::repository::claim::Claim;
use crate::repository::commit::prove_published;
use crate::repository::trash::Trash;
use crate::repository::{Archive, ArchiveId, ManifestCache, ManifestName, Repository};
use crate::store::ObjectName;

/// Something that was made whole, or could not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairStep {
    /// What became of it.
    pub outcome: RepairOutcome,
    /// The object that was damaged or lost, or whose archive is.
    pub object: String,
    /// What was done, would be done, or is in the way.
    pub detail: String,
}

/// What became of something that is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepairOutcome {
    /// It is made whole, or was before.
    Repaired,
    /// It would be made whole, or that would be tried: nothing was written.
    Planned,
    /// Nothing in the repository holds what is missing.
    Left,
}

impl RepairOutcome {
    /// Its name in reports.
    pub fn id(self) -> &'static str {
        match self {
            RepairOutcome::Repaired => "repaired",
            RepairOutcome::Planned => "planned",
            RepairOutcome::Left => "left",
        }
    }
}

/// Repairs `repository` at `now`: writes the descriptor anew, gives replacements to objects that
/// are damaged, and makes an archive of blocks that no manifest names where manifests are damaged
/// or `orphans` says so. Nothing is overwritten or deleted; with `dry_run` nothing is written
/// either, and blocks are not tried. Where nothing in the repository tells its id, it is `likely`.
///
/// # Errors
///
/// When the repository fails.
pub fn repair(
    repository: &mut Repository,
    cache: &Cache,
    orphans: bool,
    dry_run: bool,
    likely: Option<&str>,
    now: Millis,
    progress: &dyn Progress,
) -> Result<Vec<RepairStep>> {
    let mut steps = Vec::new();
    let mut step = |outcome, object: &str, detail: String| {
        steps.push(RepairStep {
            outcome,
            object: object.to_owned(),
            detail,
        });
    };
    if let Some(trouble) = repository.trouble().map(str::to_owned) {
        if dry_run {
            step(
                RepairOutcome::Planned,
                "narthex.json",
                format!("{trouble}; would be written anew"),
            );
        } else if let Some(written) = repository.mend_descriptor(likely)? {
            let detail = format!("{trouble}; written anew as {written}");
            step(RepairOutcome::Repaired, "narthex.json", detail);
        }
    }
    let repository = &*repository;
    let mut catalog = Catalog::read(repository, &ManifestCache::default())?;
    let broken = catalog.broken_blocks();
    if dry_run {
        for (block, spoiled) in broken {
            for object in spoiled {
                let detail = format!("of block {}: a replacement would be tried", block.ulid);
                step(RepairOutcome::Planned, object.name.as_str(), detail);
            }
        }
    } else if !broken.is_empty() {
        let mending = mend(repository, &mut catalog, cache, &[], false, progress)?;
        // A replacement is needed from the moment on at which it is there: whoever issues a warrant
        // later sees that.
        prove_kept(repository, mending.objects.iter().map(|name| (name, None)))?;
        for note in mending.mended {
            step(RepairOutcome::Repaired, "", note);
        }
        for left in mending.left {
            let detail = format!(
                "{left}; narthex backup stores it anew if its data directory still holds it"
            );
            step(RepairOutcome::Left, "", detail);
        }
    }
    for (object, why) in unwitnessed(repository, &catalog) {
        step(RepairOutcome::Left, &object, why);
    }
    let Lost {
        archives: lost,
        unknown,
        misplaced,
    } = Lost::find(repository, &catalog);
    for (object, why) in &unknown {
        step(RepairOutcome::Left, object, why.clone());
    }
    for (archive, object, why) in misplaced {
        step(RepairOutcome::Left, &object, why);
        catalog.take_as_named(&archive);
    }
    let (done, lost): (BTreeMap<_, _>, BTreeMap<_, _>) = lost
        .into_iter()
        .partition(|(id, _)| reconstructed(&catalog, id).is_some());
    for id in done.keys() {
        let by = reconstructed(&catalog, id).map_or("", |archive| archive.id.short());
        let short = id.short();
        let detail = format!(
            "what was left of it is in archive {by} already; narthex forget {short} removes the damaged manifest"
        );
        step(RepairOutcome::Repaired, short, detail);
    }
    if !unknown.is_empty() || lost.is_empty() && !orphans {
        return Ok(steps);
    }
    let rebuilt = rebuild(repository, &catalog, &lost);
    for (object, why) in &rebuilt.unused {
        step(RepairOutcome::Left, object.as_str(), why.clone());
    }
    let which = lost
        .keys()
        .map(ArchiveId::short)
        .collect::<Vec<_>>()
        .join(", ");
    match rebuilt.archive {
        None if !lost.is_empty() => {
            let detail = "no block and no log is left that only they named";
            step(RepairOutcome::Left, &which, detail.to_owned());
        }
        None => {}
        Some(mut archive) => {
            let (would, outcome) = if dry_run {
                ("would be ", RepairOutcome::Planned)
            } else {
                ("", RepairOutcome::Repaired)
            };
            let detail = format!(
                "archive {} of {} blocks {would}reconstructed from what no manifest names",
                archive.id.short(),
                archive.blocks.len()
            );
            if !dry_run {
                for (ulid, why) in judge(repository, &mut archive, &rebuilt.new)? {
                    step(RepairOutcome::Left, &ulid.to_string(), why);
                }
                commit(repository, &archive, now)?;
            }
            let forget: Vec<_> = lost.keys().map(ArchiveId::short).collect();
            let detail = match forget.as_slice() {
                [] => detail,
                ids => format!(
                    "{detail}; look at it, then narthex forget {} removes what is damaged: until then check names it, and restore latest refuses where it cannot tell which archive is the latest",
                    ids.join(" ")
                ),
            };
            step(outcome, &which, detail);
        }
    }
    Ok(steps)
}

/// Manifests that a witness has seen and that are gone, each with what to do about it: what is left
/// of its archive cannot be told from what was forgotten.
fn unwitnessed(repository: &Repository, catalog: &Catalog) -> Vec<(String, String)> {
    let seen = match repository.witnessed() {
        Ok(seen) => seen,
        Err(lost) => return vec![("witness/".to_owned(), lost.chain())],
    };
    let (archives, unread) = catalog.archives();
    let unread = unread.iter();
    let unread = unread.filter_map(|damaged| Some(ManifestName::parse(&damaged.name)?.id));
    let ids = archives.iter().map(|archive| archive.id.clone());
    let there: BTreeSet<_> = ids.chain(unread).collect();
    let manifests = seen.keys().filter_map(ManifestName::parse);
    let gone = manifests.filter(|manifest| !there.contains(&manifest.id));
    let text = "a witness has seen it, and it is gone: narthex repair --from a copy brings it back; if it was forgotten, narthex witness --accept-missing says so";
    gone.filter_map(|manifest| Some((manifest.object().ok()?.to_string(), text.to_owned())))
        .collect()
}

/// Manifests that are no part of a [`Catalog`].
#[derive(Default)]
struct Lost {
    /// Ids and times of the archives whose manifests are damaged.
    archives: BTreeMap<ArchiveId, Millis>,
    /// The manifests of which it is not known what they name, so that nothing can be said to
    /// belong to no archive, and why.
    unknown: BTreeMap<String, String>,
    /// The archives that are whole and lie in the part of another source, each with its manifest
    /// and why that counts for nothing here.
    misplaced: Vec<(Archive, String, String)>,
}

impl Lost {
    fn find(repository: &Repository, catalog: &Catalog) -> Self {
        let mut lost = Lost::default();
        for damaged in &catalog.unread {
            let object = damaged.name.to_string();
            if let Some((archive, error)) = repository.misplaced(&damaged.name) {
                lost.misplaced.push((archive, object, error.chain()));
                continue;
            }
            let advice = match damaged.error.kind() {
                ErrorKind::Unsupported => "a newer narthex can repair this repository",
                ErrorKind::Io => {
                    "try again; if the disk has lost it for good, move the file away and say --orphans"
                }
                _ => {
                    let name = ManifestName::parse(&damaged.name);
                    let known = name.and_then(|name| Some((name.id.clone(), name.time()?)));
                    lost.archives.extend(known);
                    continue;
                }
            };
            let why = format!(
                "{}; no archive is reconstructed while it is not known what it names: {advice}",
                damaged.error.chain()
            );
            lost.unknown.insert(object, why);
        }
        lost
    }
}

/// Publishes a manifest beside whoever may be deleting what it names: as a backup does.
fn commit(repository: &Repository, archive: &Archive, now: Millis) -> Result<()> {
    let store = repository.store();
    let named = archive.objects().map(|(_, object)| object.name.clone());
    let claim = Claim::publish(store, &archive.id, named.collect(), now)?;
    let objects = archive.objects();
    let objects = objects.map(|(_, object)| (&object.name, Some(object.listed_bytes())));
    if let Err(error) = prove_kept(repository, objects) {
        let _ = store.delete(&claim);
        return Err(error);
    }
    repository.commit(archive)?;
    prove_published(repository, archive, "run narthex repair again")?;
    store.delete(&claim)
}

/// Proves that objects are there, with as many bytes as they should have, and that no prune is
/// about to delete one of them; and takes their marks off.
fn prove_kept<'a>(
    repository: &Repository,
    objects: impl Iterator<Item = (&'a ObjectName, Option<u64>)>,
) -> Result<()> {
    let store = repository.store();
    let trash = Trash::list(store)?;
    for (name, bytes) in objects {
        if trash.is_condemned(name) {
            return Err(Error::refused(format!(
                "a prune is deleting {name}, which is needed: run narthex repair again when it has ended"
            )));
        }
        let found = match store.stored_size(name) {
            Err(gone) if gone.kind() == ErrorKind::NotFound => {
                return Err(Error::not_found(format!(
                    "{name}, which is needed, has been deleted meanwhile: run narthex repair again"
                )));
            }
            found => found?,
        };
        if let Some(bytes) = bytes.filter(|bytes| *bytes != found) {
            return Err(Error::corrupt(format!(
                "expected {name} to have {bytes} bytes, found {found}: run narthex repair again"
            )));
        }
        let _ = trash.unmark(store, name);
    }
    Ok(())
}
