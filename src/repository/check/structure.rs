//! Objects that manifests name: whether they are there, and what holds together without reading all
//! of them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{CheckDepth, Checker, Expectations, Kind, is_damage, is_same_object, kind_of};
use crate::error::Error;
use crate::model::Ulid;
use crate::repository::damage::Damage;
use crate::repository::portable::{Object, Root};
use crate::repository::{EncryptedForm, ObjectCodec, StoredFile, StoredObject};
use crate::store::ObjectName;

impl Checker<'_> {
    /// Proves existence and size of every object that is needed, where the store is near its seek
    /// table, too, and returns those worth reading.
    pub(super) fn structure(&mut self, listed: &BTreeMap<ObjectName, u64>) -> Vec<ObjectName> {
        let mut sound = Vec::new();
        let mut findings = Vec::new();
        for (name, expectations) in &self.expected {
            let found = listed.get(name).copied();
            self.report.objects += 1;
            self.report.bytes += found.unwrap_or(0);
            match self.object_structure(expectations, found) {
                Ok(()) => sound.push(name.clone()),
                Err((kind, detail)) => {
                    let (kind, detail) = match expectations.keys().next() {
                        Some(expected) => self.if_intact(&expected.object, kind, detail),
                        None => (kind, detail),
                    };
                    // What cannot be read is tried again: a disk that was away for a moment has
                    // damaged nothing.
                    let again = || self.object_structure(expectations, found).is_err();
                    if is_damage(kind) && (kind == Kind::ObjectDamaged || again()) {
                        self.report.damaged.insert(name.clone(), detail.clone());
                    }
                    findings.push(self.finding(kind, name, detail));
                }
            }
        }
        self.report.findings.append(&mut findings);
        sound
    }

    /// What an earlier check saw damaged, and this one does not read, is damaged still for all that
    /// is known.
    pub(super) fn marked(
        &mut self,
        listed: &BTreeMap<ObjectName, u64>,
        sound: &[ObjectName],
        depth: CheckDepth,
    ) {
        let damage = Damage::of(listed.keys());
        for name in sound.iter().filter(|name| !depth.includes(name)) {
            let Some(since) = damage.since(name) else {
                continue;
            };
            let since = Timestamp::from_millisecond(since);
            let since = since.map_or(String::new(), |time| format!(" since {time:.0}"));
            let detail = format!("marked as damaged{since}, and not read now");
            let finding = self.finding(Kind::ObjectDamaged, name, detail);
            self.report.findings.push(finding);
        }
    }

    /// What is wrong with `object`, of which `kind` was found: a damaged header, too, looks like
    /// one for others. What lies there has to be what the manifest says, then nothing is wrong with
    /// it.
    pub(super) fn if_intact(
        &self,
        object: &StoredObject,
        kind: Kind,
        detail: String,
    ) -> (Kind, String) {
        let Some(wanted) = object.encrypted.filter(|_| kind == Kind::ObjectLocked) else {
            return (kind, detail);
        };
        match self.store.stored_form(&object.name) {
            Ok(form) if form.map(EncryptedForm::from) == Some(wanted) => (kind, detail),
            Ok(_) => {
                let (wanted, name) = (wanted.sha256, &object.name);
                let detail =
                    format!("expected SHA-256 {wanted} of {name} as stored, found another");
                (Kind::ObjectDamaged, detail)
            }
            Err(error) => (kind_of(&error), error.chain()),
        }
    }

    fn object_structure(
        &self,
        expectations: &Expectations,
        found: Option<u64>,
    ) -> Result<(), (Kind, String)> {
        let mut expectations = expectations.keys();
        let Some(first) = expectations.next() else {
            return Ok(());
        };
        if expectations.any(|other| !is_same_object(&other.object, &first.object)) {
            let detail = "expected archives to agree about it, found different sizes or digests";
            return Err((Kind::ObjectDisputed, detail.to_owned()));
        }
        let Some(found) = found else {
            let detail = format!(
                "expected {} bytes, found no object",
                first.object.listed_bytes()
            );
            return Err((Kind::ObjectMissing, detail));
        };
        let is_pack = match &first.object.codec {
            ObjectCodec::Portable | ObjectCodec::Dense => false,
            ObjectCodec::Pack => true,
            ObjectCodec::Unknown(codec) => {
                let detail = format!("expected codec portable, dense or pack, found {codec:?}");
                return Err((Kind::ObjectUnsupported, detail));
            }
        };
        let wanted = first.object.listed_bytes();
        if wanted != found {
            let detail = format!("expected {wanted} bytes, found {found}");
            return Err((Kind::ObjectDamaged, detail));
        }
        // Far away each table would cost two requests, for what reading the object proves as well
        // ([`compare`]).
        if is_pack || self.store.is_far() {
            return Ok(());
        }
        let object = Object::open(self.store, &first.object.name, root(first.block));
        let object = object.map_err(|e| (kind_of(&e), e.chain()))?;
        if object.raw_bytes() == first.object.raw_bytes {
            return Ok(());
        }
        let (wanted, found) = (first.object.raw_bytes, object.raw_bytes());
        let detail = format!("expected {wanted} raw bytes, found {found}");
        Err((Kind::ObjectDamaged, detail))
    }
}

/// Holds what was read against what was expected.
pub(super) fn compare(
    expectations: &Expectations,
    found: &StoredObject,
    files: &[StoredFile],
) -> Result<(), (Kind, String, Vec<String>)> {
    let found_files: BTreeMap<_, _> = files
        .iter()
        .map(|file| (&file.name, (file.bytes, file.sha256)))
        .collect();
    let expected = expectations
        .keys()
        .flat_map(|expectation| &expectation.files);
    let wrong: BTreeSet<String> = expected
        .filter(|file| found_files.get(&file.name) != Some(&(file.bytes, file.sha256)))
        .map(|file| file.name.to_string())
        .collect();
    let wanted = expectations
        .keys()
        .next()
        .map(|expectation| expectation.object.sha256);
    let same = wanted == Some(found.sha256);
    if wrong.is_empty() && same {
        let raw = expectations.keys().map(|it| it.object.raw_bytes);
        return match raw.into_iter().find(|raw| *raw != found.raw_bytes) {
            None => Ok(()),
            Some(raw) => {
                let detail = format!("expected {raw} raw bytes, found {}", found.raw_bytes);
                Err((Kind::ObjectDamaged, detail, Vec::new()))
            }
        };
    }
    let detail = match wanted {
        Some(wanted) if !same => format!("expected SHA-256 {wanted}, found {}", found.sha256),
        _ => "expected other files than it holds".to_owned(),
    };
    Err((Kind::ObjectDamaged, detail, wrong.into_iter().collect()))
}

/// Describes a damaged object: the first fault, how many frames are lost, which files they belong
/// to.
pub(super) fn damage(mut object: Object<'_>, first: &Error) -> (String, Vec<String>) {
    let damaged = object.damaged_frames();
    let numbers: BTreeSet<usize> = damaged.iter().map(|(number, _)| *number).collect();
    // Frames are read by many threads, and whichever stumbled first is chance.
    let first = damaged.first().map_or(first, |(_, error)| error);
    let files = match object.entries() {
        Ok(entries) => object.files_in(&entries, &numbers),
        Err(_) => Vec::new(),
    };
    let files = files.iter().map(ToString::to_string).collect();
    match numbers.len() {
        0 | 1 => (first.chain(), files),
        lost => (
            format!("{}, and {} more frames", first.chain(), lost - 1),
            files,
        ),
    }
}

pub(super) fn root(block: Option<Ulid>) -> Root {
    block.map_or(Root::Data, Root::Block)
}
