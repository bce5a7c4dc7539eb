//! What is in a repository and no manifest names.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{CheckFinding, Checker, Kind};
use crate::error::{ErrorKind, Result};
use crate::repository::claim::{NO_FILE, claim_time, read_claim};
use crate::repository::layout::{
    ARCHIVES, DESCRIPTOR, is_key_document, is_own_name, witness_number,
};
use crate::repository::mended::is_guard;
use crate::repository::trash::{self, Trash};
use crate::repository::{
    ManifestName, Mended, damage, is_data, no_manifest, original, recipe_packs,
};
use crate::store::{ObjectName, Origin};

/// The directory in which `name` would be a manifest, and that manifest: a part that was moved into
/// another one.
fn nested_manifest(name: &ObjectName) -> Option<(&str, ManifestName)> {
    let text = name.as_str();
    let (dir, file) = text.rsplit_once(ARCHIVES)?;
    let dir = dir.strip_suffix('/')?;
    let inner = ObjectName::new(format!("{ARCHIVES}{file}")).ok()?;
    Some((dir, ManifestName::parse(&inner)?))
}

impl Checker<'_> {
    pub(super) fn unreferenced(&mut self, listed: &BTreeMap<ObjectName, u64>) {
        let lost_manifest = self.report.findings.iter().any(|finding| {
            matches!(
                finding.kind,
                Kind::ManifestsMissing
                    | Kind::ManifestDamaged
                    | Kind::ManifestUnreadable
                    | Kind::ManifestUnsupported
                    | Kind::ManifestUntrusted
                    | Kind::ManifestLocked
                    | Kind::ManifestMisplaced
            )
        });
        let detail = if lost_manifest {
            "belongs to no archive, or to one whose manifest cannot be read"
        } else {
            "belongs to no archive: it was forgotten, or a run that died or still works wrote it"
        };
        let trash = Trash::of(listed.keys());
        let replacing = self.replacing(listed);
        for name in listed.keys() {
            let own = name.as_str() == DESCRIPTOR
                || ManifestName::parse(name).is_some()
                || is_guard(name)
                || trash::is_notice(name)
                || damage::is_mark(name)
                || claim_time(name).is_some()
                || is_key_document(name)
                || witness_number(name).is_some();
            let is_named = self.expected.contains_key(name) || self.only_named.contains(name);
            if own || is_named || replacing.contains(name) {
                continue;
            }
            self.report.findings.push(if is_data(name) {
                let since = trash.marked_since(name);
                let marked = since.and_then(|time| Timestamp::from_millisecond(time).ok());
                let marked = marked.map_or(String::new(), |time| {
                    format!("; marked for prune since {time:.0}")
                });
                let detail = format!("{detail}{marked}");
                CheckFinding::new(Kind::ObjectUnreferenced, name.as_str(), detail)
            } else if let Some((dir, manifest)) = self.part.and_then(|_| nested_manifest(name)) {
                let detail = format!(
                    "is the manifest of an archive, in a directory in which nobody looks: the directory {dir} was moved in here, and what is in it belongs one level up"
                );
                let mut finding =
                    CheckFinding::new(Kind::ManifestMisplaced, name.as_str(), detail);
                finding.archives.push(manifest.id);
                finding
            } else {
                CheckFinding::new(Kind::Foreign, name.as_str(), "is not narthex'")
            });
        }
    }

    /// Replacements of what archives need and of the descriptor, and the packs of their recipes.
    pub(super) fn replacing(&self, listed: &BTreeMap<ObjectName, u64>) -> BTreeSet<ObjectName> {
        let mended = Mended::of(listed.iter().map(|(name, bytes)| (name.clone(), *bytes)));
        let mut replacing = BTreeSet::new();
        for name in mended.names() {
            let is_needed = |object: &ObjectName| {
                self.expected.contains_key(object) || object.as_str() == DESCRIPTOR
            };
            if original(name).as_ref().is_some_and(is_needed) {
                replacing.insert(name.clone());
                // One that cannot be read stands in for nothing: that is found where it is needed.
                let packs = recipe_packs(self.store, name).unwrap_or_default();
                for pack in packs {
                    let others = mended.of_object(&pack).iter();
                    replacing.extend(others.map(|(other, _)| other.clone()));
                    replacing.insert(pack);
                }
            }
        }
        replacing
    }

    /// Proves the claims: one that cannot be read keeps prune from knowing what is needed, until it
    /// expires.
    pub(super) fn claims(&mut self, listed: &BTreeMap<ObjectName, u64>) {
        let claims = listed.keys().filter(|name| claim_time(name).is_some());
        for name in claims {
            match read_claim(self.store, name) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    let finding =
                        CheckFinding::new(Kind::ClaimDamaged, name.as_str(), error.chain());
                    self.report.findings.push(finding);
                }
                _ => {}
            }
        }
    }

    /// Finds that there is data and no manifest, not even one that cannot be read.
    pub(super) fn bereft(&mut self, listed: &BTreeMap<ObjectName, u64>) {
        let is_manifest = |finding: &CheckFinding| finding.kind == Kind::ManifestDamaged;
        let mut names = listed.keys();
        if names.any(|name| ManifestName::parse(name).is_some())
            || self.report.findings.iter().any(is_manifest)
        {
            return;
        }
        let objects = listed.keys().filter(|name| is_data(name)).count();
        if let Some(bereft) = no_manifest(objects as u64) {
            let finding = CheckFinding::new(Kind::ManifestsMissing, ARCHIVES, bereft);
            self.report.findings.push(finding);
        }
    }

    /// Names what lies there under a name with this `prefix`, and is no object.
    pub(super) fn leftovers(&mut self, prefix: &str) -> Result<()> {
        for leftover in self.store.leftovers(prefix)? {
            let manifest = ObjectName::new(leftover.name.as_str()).ok();
            let manifest = manifest.and_then(|name| ManifestName::parse(&name));
            if let (Origin::Foreign, Some(manifest)) = (leftover.origin, manifest) {
                let mut finding = CheckFinding::new(Kind::ManifestDamaged, leftover.name, NO_FILE);
                finding.archives.push(manifest.id);
                self.report.findings.push(finding);
                continue;
            }
            let origin = match leftover.origin {
                Origin::Unpublished if !is_own_name(&leftover.name) => Origin::Foreign,
                origin => origin,
            };
            let (kind, what) = match origin {
                Origin::Unpublished => (Kind::ObjectUnpublished, "was begun and not published"),
                Origin::Foreign => (Kind::Foreign, "is not narthex'"),
            };
            let modified = leftover
                .modified
                .and_then(|time| Timestamp::try_from(time).ok());
            let written =
                modified.map_or(String::new(), |time| format!(", last written {time:.0}"));
            let detail = format!("{what}: {} bytes{written}", leftover.bytes);
            self.report
                .findings
                .push(CheckFinding::new(kind, leftover.name, detail));
        }
        Ok(())
    }
}
