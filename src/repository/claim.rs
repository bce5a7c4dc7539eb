//! Claims: what a backup that is about to commit relies on.
//!
//! A backup publishes its claim, then looks whether anybody has a [warrant](super::trash) to delete
//! what it names, then publishes its manifest, then removes the claim. A deleter issues its
//! warrant, then reads claims, then manifests. Whichever of the two comes second sees the other, as
//! both show first and look afterwards; no clock is asked.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::cover::Cover;
use super::layout::{ArchiveId, CLAIMS, ManifestName, time_of};
use super::mended::is_guard;
use super::select::manifest_of;
use super::{
    Digest, MAX_MANIFEST_BYTES, Mended, Repository, block_of_pack, lease, original, recipe_packs,
    seal,
};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Millis;
use crate::store::{ObjectName, Store};

/// Version of claims that this program writes, and the newest it reads.
const CLAIM_VERSION: u32 = 1;

/// Largest claim that is read, in bytes: it has about 100 for each object.
const MAX_CLAIM_BYTES: u64 = 256 << 20;

/// What is said of what lies among the manifests and is no object.
pub(crate) const NO_FILE: &str = "expected a manifest, found no file: a link to nothing, a directory or a pipe; is the disk mounted that it is on?";

/// What a backup is about to rely on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    format_version: u32,
    /// The archive that is about to be committed, or any other id.
    archive: ArchiveId,
    /// When it was made.
    #[serde(with = "super::stamp")]
    time: Millis,
    /// Every object the archive names.
    objects: BTreeSet<ObjectName>,
}

impl Claim {
    /// Publishes the claim that archive `archive` is about to name `objects`, and returns its name.
    pub fn publish(
        store: &dyn Store,
        archive: &ArchiveId,
        objects: BTreeSet<ObjectName>,
        now: Millis,
    ) -> Result<ObjectName> {
        let name = ManifestName::new(now, archive)?;
        let name = ObjectName::new(format!("{CLAIMS}{}-{}.json", name.stamp, name.id))?;
        let claim = Claim {
            format_version: CLAIM_VERSION,
            archive: archive.clone(),
            time: now,
            objects,
        };
        store.put(&name, &seal::to_bytes(&claim)?)?;
        Ok(name)
    }
}

/// When the claim `name` was made, to the second; `None` when no claim has such a name.
pub(super) fn claim_time(name: &ObjectName) -> Option<Millis> {
    let rest = name.as_str().strip_prefix(CLAIMS)?.strip_suffix(".json")?;
    let (stamp, id) = rest.split_once('-')?;
    id.parse::<ArchiveId>().ok()?;
    time_of(stamp)
}

/// Reads the objects of a claim.
pub(super) fn read_claim(store: &dyn Store, name: &ObjectName) -> Result<BTreeSet<ObjectName>> {
    let bytes = store.get(name, MAX_CLAIM_BYTES)?;
    let claim = seal::from_bytes::<Claim>(&bytes, CLAIM_VERSION);
    let claim = claim.map_err(|e| e.context(format!("claim {name}")))?;
    Ok(claim.objects)
}

/// The claims of runs that must have died: they count no more.
pub fn expired_claims(store: &dyn Store, now: Millis) -> Result<Vec<ObjectName>> {
    let claims = store.list(CLAIMS)?.into_iter().map(|(name, _)| name);
    let expired =
        claims.filter(|name| claim_time(name).is_some_and(|time| lease::has_expired(time, now)));
    Ok(expired.collect())
}

/// The objects that manifests and claims name.
#[derive(Clone, Debug, Default)]
pub struct References {
    objects: BTreeSet<ObjectName>,
    /// Claims and manifests that have been read. They never change.
    read: BTreeSet<ObjectName>,
    /// Manifests that the last look has seen.
    manifests: u64,
    /// Whether a replacement is needed whose recipe only holders of a key can read: then any pack
    /// may be one of its.
    needs_all_packs: bool,
}

impl References {
    /// Reads the claims, except those in `expired`, and then the manifests that have not been read
    /// yet. What has been seen once stays referenced, even if its manifest has been removed
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// When one of them cannot be read or is of a newer version, or when something else lies among
    /// the manifests, be it an object or not: what is referenced cannot be known then.
    pub fn refresh(&mut self, repository: &Repository, expired: &[ObjectName]) -> Result<()> {
        let store = repository.store();
        // In this order: a claim goes after its manifest has come.
        for (name, _) in store.list(CLAIMS)? {
            if claim_time(&name).is_some() && !expired.contains(&name) {
                self.learn(&name, || read_claim(store, &name))?;
            }
        }
        self.manifests = 0;
        let witnessed = repository.witnessed()?;
        let mut listed_names = BTreeSet::new();
        let listed = store.list(super::layout::ARCHIVES)?;
        let unread = listed
            .iter()
            .filter(|(name, _)| ManifestName::parse(name).is_some() && !self.read.contains(name));
        repository
            .stored()
            .expect(&unread.cloned().collect::<Vec<_>>());
        for (name, _) in listed {
            if is_guard(&name) {
                continue;
            }
            if ManifestName::parse(&name).is_none() {
                return Err(unknown(
                    name.as_str(),
                    Error::invalid("this is no name of a manifest"),
                ));
            }
            // Whoever has signed it or not, and without any key: what it names is kept.
            let seen = witnessed.get(&name);
            self.learn(&name, || named_by(repository.stored(), &name, seen))?;
            self.manifests += u64::from(self.read.contains(&name));
            listed_names.insert(name);
        }
        // Somebody has removed it, and nobody has said that it was forgotten.
        if let Some(gone) = witnessed.keys().find(|name| !listed_names.contains(name)) {
            return Err(unwitnessed(gone, "is gone"));
        }
        // Last: what was listed and could not be found then may be there still, and lead nowhere.
        if let Some(unseen) = repository.unseen()?.first() {
            return Err(unknown(unseen, Error::invalid(NO_FILE)));
        }
        self.learn_mended(store)
    }

    /// How many manifests the last look has seen.
    pub fn manifests(&self) -> u64 {
        self.manifests
    }

    /// Reads the recipes of replacements that are needed: their packs are needed, too.
    fn learn_mended(&mut self, store: &dyn Store) -> Result<()> {
        // A pack of one may be replaced itself, which [`References::contains`] knows.
        let mut is_locked = false;
        for name in Mended::list(store)?.names() {
            if self.contains(name) {
                self.learn(name, || match recipe_packs(store, name) {
                    // What cannot be read brings nothing back, and needs nothing.
                    Err(error) if error.kind() == ErrorKind::Corrupt => Ok(BTreeSet::new()),
                    Err(error) if error.kind() == ErrorKind::Locked => {
                        is_locked = true;
                        Ok(BTreeSet::new())
                    }
                    packs => Ok(packs?.into_iter().collect()),
                })?;
            }
        }
        self.needs_all_packs |= is_locked;
        Ok(())
    }

    fn learn(
        &mut self,
        name: &ObjectName,
        read: impl FnOnce() -> Result<BTreeSet<ObjectName>>,
    ) -> Result<()> {
        if self.read.contains(name) {
            return Ok(());
        }
        match read() {
            Ok(mut objects) => {
                self.objects.append(&mut objects);
                self.read.insert(name.clone());
                Ok(())
            }
            // Removed since it was listed: an archive that was forgotten, or a run that has ended.
            Err(gone) if gone.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(unknown(name.as_str(), error)),
        }
    }

    /// Whether an archive names `object`, or is about to; or names what it stands in for; or
    /// whether it is a pack of a replacement that is needed.
    pub fn contains(&self, object: &ObjectName) -> bool {
        self.objects.contains(object)
            || original(object).is_some_and(|original| self.objects.contains(&original))
            || (self.needs_all_packs && block_of_pack(object).is_some())
    }
}

/// The objects that the manifest `name` names, as it lies in `stored`; a witness may have `seen`
/// it.
fn named_by(
    stored: &dyn Store,
    name: &ObjectName,
    seen: Option<&Digest>,
) -> Result<BTreeSet<ObjectName>> {
    let bytes = stored.get(name, MAX_MANIFEST_BYTES)?;
    if seen.is_some_and(|seen| Digest::of(&bytes) != *seen) {
        return Err(unwitnessed(name, "is not what it was"));
    }
    let cover = Cover::read(&bytes).map_err(|e| e.context(format!("manifest {name}")))?;
    let Some(cover) = cover else {
        let archive = manifest_of(name, &bytes)?;
        let objects = archive.objects();
        return Ok(objects.map(|(_, object)| object.name.clone()).collect());
    };
    Ok(cover.objects.into_iter().map(|it| it.name).collect())
}

/// The error for a manifest that a witness has seen.
fn unwitnessed(name: &ObjectName, what: &str) -> Error {
    Error::refused(format!(
        "{name} {what} since a witness has seen it, so nothing is deleted: what it needs is not known"
    ))
    .advise("bring it back (narthex repair --from a copy, then narthex witness); if it was forgotten, narthex witness --accept-missing says so")
}

fn unknown(name: &str, error: Error) -> Error {
    error.context(format!(
        "cannot tell what is needed, so nothing is deleted: {name} must be readable, or be removed (narthex check says \
         more; narthex repair makes an archive of what is left of a damaged one, and narthex forget ID then removes it)"
    ))
}
