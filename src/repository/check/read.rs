//! Objects read to their last byte.

use super::structure::{compare, damage, root};
use super::{CheckDepth, Checker, Expectations, Kind, is_damage, kind_of};
use crate::progress::{Progress, Silent as Unseen};
use crate::repository::digest::digest_of_object;
use crate::repository::portable::{self, Object};
use crate::repository::{ObjectCodec, StoredObject, recipe_packs};
use crate::store::ObjectName;

impl Checker<'_> {
    /// Reads those of the objects `sound` that `depth` asks for.
    pub(super) fn read(
        &mut self,
        sound: &[ObjectName],
        depth: CheckDepth,
        progress: &dyn Progress,
    ) {
        let chosen: Vec<_> = sound
            .iter()
            .filter(|name| depth.includes(name))
            .filter_map(|name| Some((name, self.expected.get(name)?)))
            .collect();
        if chosen.is_empty() {
            return;
        }
        let first = |expected: &Expectations| expected.keys().next().map(|e| e.object.clone());
        let raw_bytes = chosen.iter().filter_map(|(_, expected)| first(expected));
        let total = raw_bytes.fold(0, |sum: u64, e| sum.saturating_add(e.raw_bytes));
        progress.begin("reading", Some(total));
        let soon = chosen.iter().filter_map(|(_, expected)| first(expected));
        let soon: Vec<_> = soon.map(|object| object.listed()).collect();
        self.store.expect(&soon);
        let mut findings = Vec::new();
        let mut again = Vec::new();
        for (name, expectations) in chosen {
            self.report.objects_read += 1;
            self.report.bytes_read += first(expectations).map_or(0, |object| object.bytes);
            match self.read_object(name, expectations, progress) {
                Ok(()) => self.report.sound.push(name.clone()),
                Err((kind, detail, files)) => {
                    let (kind, detail) = match first(expectations) {
                        Some(object) => self.if_intact(&object, kind, detail),
                        None => (kind, detail),
                    };
                    if kind == Kind::ObjectUnreadable {
                        again.push((name, expectations));
                    } else if kind == Kind::ObjectDamaged {
                        self.report.damaged.insert(name.clone(), detail.clone());
                    }
                    let mut finding = self.finding(kind, name, detail);
                    finding.files = files;
                    findings.push(finding);
                }
            }
        }
        // A disk that was away for a moment has damaged nothing: only what cannot be read a second
        // time, after all else, does.
        for (name, expectations) in again {
            match self.read_object(name, expectations, &Unseen) {
                Err((kind, detail, _)) if is_damage(kind) => {
                    self.report.damaged.insert(name.clone(), detail);
                }
                _ => {}
            }
        }
        progress.end();
        self.report.findings.append(&mut findings);
    }

    /// Proves every byte of a pack: it was unpacked and compared with its source before it was
    /// published, so the same bytes unpack to the same block.
    fn read_pack(
        &self,
        pack: &StoredObject,
        progress: &dyn Progress,
    ) -> Result<(), (Kind, String, Vec<String>)> {
        // Progress is in bytes of files, of which a pack has more than its own length.
        let raw = |offset| share(pack.raw_bytes, offset, pack.bytes);
        let found = digest_of_object(self.store, &pack.name, pack.bytes, |read| {
            progress.advance(raw(read.end) - raw(read.start));
        });
        let found = found.map_err(|e| (kind_of(&e), e.chain(), Vec::new()))?;
        if found == pack.sha256 {
            return Ok(());
        }
        let detail = format!("expected SHA-256 {}, found {found}", pack.sha256);
        Err((Kind::ObjectDamaged, detail, Vec::new()))
    }

    /// Holds the packs that manifests name against those of the recipe.
    fn compare_packs(
        &self,
        name: &ObjectName,
        expectations: &Expectations,
    ) -> Result<(), (Kind, String, Vec<String>)> {
        let named = expectations
            .keys()
            .find(|expectation| !expectation.packs.is_empty());
        let Some(named) = named else {
            return Ok(());
        };
        let found = recipe_packs(self.store, name);
        let found = found.map_err(|e| (kind_of(&e), e.chain(), Vec::new()))?;
        if found == named.packs {
            return Ok(());
        }
        let detail =
            "expected a recipe of the packs that the manifest names, in their order, found others";
        Err((Kind::ObjectDamaged, detail.to_owned(), Vec::new()))
    }

    /// Proves every byte of an object; if that fails, finds out which of its files are lost.
    fn read_object(
        &self,
        name: &ObjectName,
        expectations: &Expectations,
        progress: &dyn Progress,
    ) -> Result<(), (Kind, String, Vec<String>)> {
        let block = expectations
            .keys()
            .find_map(|expectation| expectation.block);
        if let Some(expected) = expectations.keys().next()
            && expected.object.codec == ObjectCodec::Pack
        {
            return self.read_pack(&expected.object, progress);
        }
        let object = Object::open(self.store, name, root(block));
        let object = object.map_err(|e| (kind_of(&e), e.chain(), Vec::new()))?;
        match object.contents(&mut portable::NoVisitor, progress) {
            Ok((found, files)) => {
                compare(expectations, &found, &files)?;
                self.compare_packs(name, expectations)
            }
            Err(error) => {
                let (detail, files) = damage(object, &error);
                Err((kind_of(&error), detail, files))
            }
        }
    }
}

/// What `part` of `whole` is of `total`.
pub(super) fn share(total: u64, part: u64, whole: u64) -> u64 {
    let share = u128::from(total) * u128::from(part) / u128::from(whole.max(1));
    u64::try_from(share).unwrap_or(total)
}
