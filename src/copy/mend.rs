//! Making a repository whole with what another one holds.

use std::collections::BTreeSet;

use super::bring::{Brought, Carrier};
use super::place::refuse_same;
use super::plan::cache_of;
use super::report::CopyOptions;
use super::run::Run;
use super::shelf::{Known, Shelf};
use crate::error::Result;
use crate::model::Millis;
use crate::progress::Progress;
use crate::repair::{RepairOutcome, RepairStep};
use crate::repository::{Archive, ManifestName, Repository, StoredObject, is_data};

/// What is missing in a repository, and may be in the other one.
#[derive(Default)]
struct Wanted {
    /// Objects of archives whose manifests are sound.
    objects: Vec<(StoredObject, Known)>,
    /// Archives of which the other one has the manifest, and that have a damaged one here.
    damaged: Vec<Archive>,
    /// Archives of which there is no manifest here.
    lost: Vec<Archive>,
    /// How many there are that nobody asks for.
    not_asked_for: usize,
}

/// Brings into `repository` from `other` what is damaged or gone: objects that its archives need
/// and that are missing, not as long as they should be, or marked as damaged; archives whose
/// manifests are damaged; and, where it is said that they were `lost`, archives that only `other`
/// has. Nothing is overwritten, except that a damaged manifest gives way to the one that belongs in
/// its place. What a witness has seen and is gone is lost, whoever says so. With `dry_run` nothing
/// is written.
///
/// # Errors
///
/// When both are one place, or a store fails. What `other` does not give is no error.
pub fn mend_from(
    repository: &Repository,
    other: &Repository,
    lost: bool,
    dry_run: bool,
    options: &CopyOptions,
    now: Millis,
    progress: &dyn Progress,
) -> Result<Vec<RepairStep>> {
    if !dry_run {
        refuse_same(other, repository, now)?;
    }
    let shelf = Shelf::look(repository, &cache_of(repository, options))?;
    let wanted = Wanted::of(repository, &shelf, other, lost)?;
    if wanted.not_asked_for > 0 {
        progress.remark(&format_args!(
            "{} archives are in {} only: they were forgotten here, or their manifests are lost; --orphans brings them back, or narthex copy does",
            wanted.not_asked_for,
            other.store().describe()
        ));
    }
    let carrier = Carrier::new(other, repository, &shelf, progress, now);
    let mut mending = Mending {
        place: other.store().describe(),
        steps: Vec::new(),
        dry_run,
    };
    if dry_run {
        mending.plan(&wanted, other)?;
        return Ok(mending.steps);
    }
    let mut run = Run::new(&carrier, options);
    let sizes = wanted.objects.iter().map(|(object, _)| object.bytes);
    progress.begin("fetching", Some(sizes.fold(0, u64::saturating_add)));
    let done = mending.run(&wanted, &shelf, &mut run);
    progress.end();
    done?;
    Ok(mending.steps)
}

impl Wanted {
    fn of(repository: &Repository, shelf: &Shelf, other: &Repository, lost: bool) -> Result<Self> {
        let mut wanted = Wanted::default();
        let mut seen = BTreeSet::new();
        let lacking = shelf
            .archives
            .iter()
            .flat_map(|archive| shelf.lacks(archive));
        for object in lacking.filter(|object| is_data(&object.name)) {
            if seen.insert((&object.name, object.sha256)) {
                wanted.objects.push((object.clone(), shelf.know(object)));
            }
        }
        let names = other.manifest_names()?;
        let damaged = shelf.damaged.iter();
        // What cannot be read now, or by this narthex, may be sound.
        let damaged = damaged.filter(|it| repository.is_broken(&it.name, &it.error));
        for name in damaged.filter_map(|damaged| ManifestName::parse(&damaged.name)) {
            if names.contains(&name)
                && let Some(archive) = sound(other, &name)
            {
                wanted.damaged.push(archive);
            }
        }
        // Where a witness is gone, nothing says what was there.
        let seen = repository.witnessed().unwrap_or_default();
        for name in &names {
            let object = name.object()?;
            let is_damaged = shelf.damaged.iter().any(|damaged| damaged.name == object);
            if is_damaged || shelf.archive(&name.id).is_some() {
                continue;
            }
            if !lost && !seen.contains_key(&object) {
                wanted.not_asked_for += 1;
            } else if let Some(archive) = sound(other, name) {
                wanted.lost.push(archive);
            }
        }
        Ok(wanted)
    }
}

/// The archive `name`, if it can be read and all that it names are objects with data.
fn sound(other: &Repository, name: &ManifestName) -> Option<Archive> {
    let archive = other.archive(name).ok()?;
    let is_sound = archive.objects().all(|(_, object)| is_data(&object.name));
    is_sound.then_some(archive)
}

/// A mending, step by step.
struct Mending {
    /// Where things come from.
    place: String,
    steps: Vec<RepairStep>,
    dry_run: bool,
}

impl Mending {
    fn step(&mut self, outcome: RepairOutcome, object: impl Into<String>, detail: String) {
        self.steps.push(RepairStep {
            outcome,
            object: object.into(),
            detail,
        });
    }

    /// Says what would be done.
    fn plan(&mut self, wanted: &Wanted, other: &Repository) -> Result<()> {
        debug_assert!(self.dry_run);
        let listed = other.data_objects()?;
        let place = self.place.clone();
        for (object, _) in &wanted.objects {
            let found = listed.iter().find(|(name, _)| *name == object.name);
            let bytes = found.map(|(name, listed)| other.store().size_of_listed(name, *listed));
            if bytes.and_then(Result::ok) == Some(object.bytes) {
                let detail = format!("would be fetched from {place}");
                self.step(RepairOutcome::Planned, object.name.as_str(), detail);
            }
        }
        for (archives, why) in [(&wanted.damaged, "is damaged"), (&wanted.lost, "is lost")] {
            for archive in archives {
                let name = archive.manifest_name()?.object()?;
                let detail = format!(
                    "the manifest of archive {} {why}: that of {place} would be put in its place, with the objects that it needs",
                    archive.id.short()
                );
                self.step(RepairOutcome::Planned, name.as_str(), detail);
            }
        }
        Ok(())
    }

    fn run(&mut self, wanted: &Wanted, shelf: &Shelf, run: &mut Run<'_, '_>) -> Result<()> {
        run.bring_all(&wanted.objects)?;
        let place = self.place.clone();
        let logs = || {
            shelf
                .archives
                .iter()
                .filter_map(|archive| archive.wal.as_ref())
        };
        for (object, _) in &wanted.objects {
            let name = object.name.as_str();
            match run.brought(object) {
                Some(Brought::Sound) => {
                    let detail = format!("fetched from {place}");
                    self.step(RepairOutcome::Repaired, name, detail);
                }
                Some(Brought::Replaced(by)) => {
                    let detail =
                        format!("damaged or gone: its bytes were fetched from {place} as {by}");
                    self.step(RepairOutcome::Repaired, name, detail);
                }
                // Of blocks, the rest of the repository may hold what is missing.
                Some(Brought::Missing(why))
                    if logs().any(|wal| wal.objects().any(|own| own.name == object.name)) =>
                {
                    let detail = format!("{place} does not give it either: {why}");
                    self.step(RepairOutcome::Left, name, detail);
                }
                Some(Brought::Missing(_)) | None => {}
            }
        }
        for archive in &shelf.archives {
            run.keep(archive)?;
        }
        for (archives, displaces) in [(&wanted.damaged, true), (&wanted.lost, false)] {
            for archive in archives {
                self.archive(archive, displaces, shelf, run)?;
            }
        }
        run.end()
    }

    /// Puts the manifest of `archive` in its place, after the objects it needs.
    fn archive(
        &mut self,
        archive: &Archive,
        displaces: bool,
        shelf: &Shelf,
        run: &mut Run<'_, '_>,
    ) -> Result<()> {
        let name = archive.manifest_name()?.object()?;
        let (place, short) = (self.place.clone(), archive.id.short());
        let needs = archive.objects().map(|(_, object)| object);
        let needs = needs.filter(|object| run.brought(object).is_none());
        let needs = needs.map(|object| (object.clone(), shelf.know(object)));
        let mut seen = BTreeSet::new();
        let needs: Vec<_> = needs
            .filter(|(object, known)| *known != Known::There && seen.insert(object.name.clone()))
            .collect();
        run.bring_all(&needs)?;
        if let Some(why) = run.missing(archive)? {
            let detail = format!("archive {short} is in {place}, and is not brought back: {why}");
            self.step(RepairOutcome::Left, name.as_str(), detail);
            return Ok(());
        }
        run.commit_these(std::slice::from_ref(archive), displaces)?;
        let detail = format!(
            "archive {short} is whole again: its manifest and {} objects were fetched from {place}",
            needs.len()
        );
        self.step(RepairOutcome::Repaired, name.as_str(), detail);
        Ok(())
    }
}
