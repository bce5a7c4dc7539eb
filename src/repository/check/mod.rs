//! Proving a repository: everything that is wrong with it, and which archives and blocks that hits.
//!
//! The structure is always proved: descriptor, every manifest, every object a manifest names (there, of the right size,
//! with a sound seek table). The bytes of all objects, or of a share of them, are proved on request.

mod depth;
mod finding;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

pub use depth::{Depth, Share};
pub use finding::{Finding, Kind, Report, Severity};

use super::claim::{NO_FILE, claim_time, read_claim};
use super::damage::{self, Damage};
use super::digest::digest_of_object;
use super::layout::{ARCHIVES, DESCRIPTOR};
use super::lineage::contradictions;
use super::mended::is_guard;
use super::portable::{self, Object, Root};
use super::select::read_manifest;
use super::trash::{self, Trash};
use super::{
    Archive, ArchiveId, Fingerprint, ManifestName, Mended, ObjectCodec, StoredBlock, StoredFile,
    StoredObject, has_mended_descriptor, is_data, no_manifest, original, read_descriptor,
    recipe_packs,
};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Ulid;
use crate::progress::{Progress, Silent as Unseen};
use crate::store::{ObjectName, Origin, Store};

/// Proves the repository in `store`. Writes nothing.
///
/// # Errors
///
/// When there is no repository, when it is of a newer version, or when the store cannot list its objects. Everything else is a
/// finding.
pub fn check(store: &dyn Store, depth: Depth, progress: &dyn Progress) -> Result<Report> {
    let listed: BTreeMap<ObjectName, u64> = store.list("")?.into_iter().collect();
    let mut checker = Checker {
        store,
        report: Report::default(),
        id: None,
        archives: Vec::new(),
        expected: BTreeMap::new(),
        words: BTreeMap::new(),
        disputes: BTreeMap::new(),
    };
    checker.descriptor(&listed)?;
    checker.manifests(&listed);
    let sound = checker.structure(&listed);
    checker.marked(&listed, &sound, depth);
    checker.claims(&listed);
    checker.leftovers()?;
    checker.bereft(&listed);
    checker.unreferenced(&listed);
    checker.read(&sound, depth, progress);
    let mut report = checker.report;
    report.sort();
    Ok(report)
}

/// What some archives expect of one object.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Expectation {
    object: StoredObject,
    /// The block in it; `None` for the WAL.
    block: Option<Ulid>,
    files: Vec<StoredFile>,
    /// The packs of the block, if this is its recipe object.
    packs: Vec<ObjectName>,
}

/// What is expected of one object, and the positions in [`Checker::archives`] of those that do.
type Expectations = BTreeMap<Expectation, Vec<usize>>;

struct Checker<'a> {
    store: &'a dyn Store,
    report: Report,
    /// What the descriptor says the repository is, if it can be read.
    id: Option<String>,
    /// Readable archives, oldest first.
    archives: Vec<ArchiveId>,
    /// By object. Archives mostly agree, so there is mostly one expectation, however many archives there are.
    expected: BTreeMap<ObjectName, Expectations>,
    /// The first word on each block, without its files, and the archive that has it.
    words: BTreeMap<(Ulid, Fingerprint), (StoredBlock, ArchiveId)>,
    disputes: BTreeMap<(Ulid, Fingerprint), Finding>,
}

impl Checker<'_> {
    fn descriptor(&mut self, listed: &BTreeMap<ObjectName, u64>) -> Result<()> {
        let archives = || {
            listed
                .keys()
                .any(|name| ManifestName::parse(name).is_some())
        };
        let (kind, error) = match read_descriptor(self.store) {
            Ok(descriptor) => {
                self.id = Some(descriptor.id);
                return Ok(());
            }
            Err(e) if e.kind() != ErrorKind::Unsupported && has_mended_descriptor(self.store)? => {
                (Kind::DescriptorReplaced, e)
            }
            Err(e) => match e.kind() {
                ErrorKind::NotFound if archives() => (Kind::DescriptorMissing, e),
                ErrorKind::NotFound | ErrorKind::Unsupported => return Err(e),
                _ => (Kind::DescriptorDamaged, e),
            },
        };
        let mends = match kind {
            Kind::DescriptorReplaced => "another one stands in for it",
            _ => "narthex repair writes it anew",
        };
        let detail = format!("{}; {mends}", error.chain());
        let finding = Finding::new(kind, DESCRIPTOR, detail);
        self.report.findings.push(finding);
        Ok(())
    }

    fn manifests(&mut self, listed: &BTreeMap<ObjectName, u64>) {
        for name in listed.keys() {
            let Some(parsed) = ManifestName::parse(name) else {
                continue;
            };
            match read_manifest(self.store, name) {
                Ok(archive) => {
                    let foreign = archive.repository.as_ref().zip(self.id.as_ref());
                    let is_foreign =
                        |(theirs, own): &(&String, &String)| !theirs.is_empty() && theirs != own;
                    if let Some((theirs, own)) = foreign.filter(is_foreign) {
                        let detail = format!(
                            "expected an archive of repository {own}, found one of {theirs}: it was copied here, or the descriptor was"
                        );
                        let mut finding =
                            Finding::new(Kind::ManifestForeign, name.as_str(), detail);
                        finding.archives.push(parsed.id);
                        self.report.findings.push(finding);
                    }
                    self.expect(archive);
                }
                // Forgotten since it was listed.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    let kind = match error.kind() {
                        ErrorKind::Unsupported => Kind::ManifestUnsupported,
                        ErrorKind::Io => Kind::ManifestUnreadable,
                        _ => Kind::ManifestDamaged,
                    };
                    let mut finding = Finding::new(kind, name.as_str(), error.chain());
                    finding.archives.push(parsed.id);
                    self.report.findings.push(finding);
                }
            }
        }
        let disputes = std::mem::take(&mut self.disputes);
        self.report.findings.extend(disputes.into_values());
        self.report.archives = self.archives.len() as u64;
    }

    /// Holds what the archive `id` says of `block` against the first word on it.
    fn compare_words(&mut self, id: &ArchiveId, block: &StoredBlock) {
        let key = (block.ulid, block.fingerprint.clone());
        let Some((first, told_by)) = self.words.get(&key) else {
            let mut word = block.clone();
            (word.files, word.packs) = (Vec::new(), Vec::new());
            self.words.insert(key, (word, id.clone()));
            return;
        };
        let contradictions = contradictions(first, block);
        if contradictions.is_empty() {
            return;
        }
        let dispute = self.disputes.entry(key).or_insert_with(|| {
            let (before, ulid) = (told_by.short(), block.ulid);
            let detail = format!(
                "archive {} contradicts archive {before} about block {ulid}, of which index and chunks are the same: {}; the meta.json of one of them was \
                 damaged: narthex verify --archive says which",
                id.short(),
                contradictions.join("; ")
            );
            let mut finding = Finding::new(Kind::BlockDisputed, block.object.name.as_str(), detail);
            finding.archives.push(told_by.clone());
            finding.blocks.push(ulid);
            finding
        });
        dispute.archives.push(id.clone());
    }

    /// Takes note of what `archive` expects.
    fn expect(&mut self, archive: Archive) {
        let number = self.archives.len();
        for block in &archive.blocks {
            self.compare_words(&archive.id, block);
        }
        self.archives.push(archive.id);
        let mut expect = |object: &StoredObject, block, files: Vec<StoredFile>, packs: Vec<_>| {
            let known = self.expected.entry(object.name.clone()).or_default();
            let expectation = Expectation {
                object: object.clone(),
                block,
                files,
                packs,
            };
            known.entry(expectation).or_default().push(number);
        };
        for block in &archive.blocks {
            for object in block.file_objects() {
                let files = block.files_from(object).cloned().collect();
                let packs = block.packs.iter().filter(|_| *object == block.object);
                let packs = packs.map(|pack| pack.name.clone()).collect();
                expect(object, Some(block.ulid), files, packs);
            }
            for pack in &block.packs {
                expect(pack, Some(block.ulid), Vec::new(), Vec::new());
            }
        }
        if let Some(wal) = archive.wal {
            expect(&wal.object, None, wal.files, Vec::new());
        }
    }

    /// Proves existence, size and seek table of every object that is needed, and returns those worth reading.
    fn structure(&mut self, listed: &BTreeMap<ObjectName, u64>) -> Vec<ObjectName> {
        let mut sound = Vec::new();
        let mut findings = Vec::new();
        for (name, expectations) in &self.expected {
            let found = listed.get(name).copied();
            self.report.objects += 1;
            self.report.bytes += found.unwrap_or(0);
            match self.object_structure(expectations, found) {
                Ok(()) => sound.push(name.clone()),
                Err((kind, detail)) => {
                    // What cannot be read is tried again: a disk that was away for a moment has damaged nothing.
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

    /// What an earlier check saw damaged, and this one does not read, is damaged still for all that is known.
    fn marked(&mut self, listed: &BTreeMap<ObjectName, u64>, sound: &[ObjectName], depth: Depth) {
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
            let detail = format!("expected {} bytes, found no object", first.object.bytes);
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
        if first.object.bytes != found {
            let detail = format!("expected {} bytes, found {found}", first.object.bytes);
            return Err((Kind::ObjectDamaged, detail));
        }
        if is_pack {
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

    /// A finding about an object that archives need.
    fn finding(&self, kind: Kind, name: &ObjectName, detail: String) -> Finding {
        let mut finding = Finding::new(kind, name.as_str(), detail);
        let expectations = || self.expected.get(name).into_iter().flatten();
        let archives: BTreeSet<usize> = expectations()
            .flat_map(|(_, archives)| archives.iter().copied())
            .collect();
        let blocks: BTreeSet<Ulid> = expectations().filter_map(|(e, _)| e.block).collect();
        let ids = archives
            .iter()
            .filter_map(|number| self.archives.get(*number));
        finding.archives = ids.cloned().collect();
        finding.blocks = blocks.into_iter().collect();
        finding
    }

    fn unreferenced(&mut self, listed: &BTreeMap<ObjectName, u64>) {
        let lost_manifest = self.report.findings.iter().any(|finding| {
            matches!(
                finding.kind,
                Kind::ManifestsMissing
                    | Kind::ManifestDamaged
                    | Kind::ManifestUnreadable
                    | Kind::ManifestUnsupported
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
                || claim_time(name).is_some();
            if own || self.expected.contains_key(name) || replacing.contains(name) {
                continue;
            }
            self.report.findings.push(if is_data(name) {
                let since = trash.marked_since(name);
                let marked = since.and_then(|time| Timestamp::from_millisecond(time).ok());
                let marked = marked.map_or(String::new(), |time| {
                    format!("; marked for prune since {time:.0}")
                });
                let detail = format!("{detail}{marked}");
                Finding::new(Kind::ObjectUnreferenced, name.as_str(), detail)
            } else {
                Finding::new(Kind::Foreign, name.as_str(), "is not narthex'")
            });
        }
    }

    /// Replacements of what archives need and of the descriptor, and the packs of their recipes.
    fn replacing(&self, listed: &BTreeMap<ObjectName, u64>) -> BTreeSet<ObjectName> {
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

    /// Proves the claims: one that cannot be read keeps prune from knowing what is needed, until it expires.
    fn claims(&mut self, listed: &BTreeMap<ObjectName, u64>) {
        let claims = listed.keys().filter(|name| claim_time(name).is_some());
        for name in claims {
            match read_claim(self.store, name) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    let finding = Finding::new(Kind::ClaimDamaged, name.as_str(), error.chain());
                    self.report.findings.push(finding);
                }
                _ => {}
            }
        }
    }

    /// Finds that there is data and no manifest, not even one that cannot be read.
    fn bereft(&mut self, listed: &BTreeMap<ObjectName, u64>) {
        let is_manifest = |finding: &Finding| finding.kind == Kind::ManifestDamaged;
        let mut names = listed.keys();
        if names.any(|name| ManifestName::parse(name).is_some())
            || self.report.findings.iter().any(is_manifest)
        {
            return;
        }
        let objects = listed.keys().filter(|name| is_data(name)).count();
        if let Some(bereft) = no_manifest(objects as u64) {
            let finding = Finding::new(Kind::ManifestsMissing, ARCHIVES, bereft);
            self.report.findings.push(finding);
        }
    }

    fn leftovers(&mut self) -> Result<()> {
        for leftover in self.store.leftovers("")? {
            let manifest = ObjectName::new(leftover.name.as_str()).ok();
            let manifest = manifest.and_then(|name| ManifestName::parse(&name));
            if let (Origin::Foreign, Some(manifest)) = (leftover.origin, manifest) {
                let mut finding = Finding::new(Kind::ManifestDamaged, leftover.name, NO_FILE);
                finding.archives.push(manifest.id);
                self.report.findings.push(finding);
                continue;
            }
            let (kind, what) = match leftover.origin {
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
                .push(Finding::new(kind, leftover.name, detail));
        }
        Ok(())
    }

    /// Reads those of the objects `sound` that `depth` asks for.
    fn read(&mut self, sound: &[ObjectName], depth: Depth, progress: &dyn Progress) {
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
        let mut findings = Vec::new();
        let mut again = Vec::new();
        for (name, expectations) in chosen {
            self.report.objects_read += 1;
            self.report.bytes_read += first(expectations).map_or(0, |object| object.bytes);
            match self.read_object(name, expectations, progress) {
                Ok(()) => self.report.sound.push(name.clone()),
                Err((kind, detail, files)) => {
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
        // A disk that was away for a moment has damaged nothing: only what cannot be read a second time, after all else, does.
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

    /// Proves every byte of a pack: it was unpacked and compared with its source before it was published, so the same
    /// bytes unpack to the same block.
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
        match object.contents(&mut portable::Silent, progress) {
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

fn root(block: Option<Ulid>) -> Root {
    block.map_or(Root::Data, Root::Block)
}

/// What `part` of `whole` is of `total`.
fn share(total: u64, part: u64, whole: u64) -> u64 {
    let share = u128::from(total) * u128::from(part) / u128::from(whole.max(1));
    u64::try_from(share).unwrap_or(total)
}

/// Whether two archives expect the same bytes of one object. Of a pack, whose bytes say how it is unpacked, the size of what it was made of is told
/// for statistics, and may be that of another block where the archive that told it first is lost.
fn is_same_object(one: &StoredObject, other: &StoredObject) -> bool {
    let same = |object: &StoredObject| (object.bytes, object.sha256);
    let raw_bytes = one.codec == ObjectCodec::Pack || one.raw_bytes == other.raw_bytes;
    raw_bytes && one.name == other.name && one.codec == other.codec && same(one) == same(other)
}

/// Whether it is damage of the object itself, of which backups are to know.
fn is_damage(kind: Kind) -> bool {
    matches!(kind, Kind::ObjectDamaged | Kind::ObjectUnreadable)
}

fn kind_of(error: &Error) -> Kind {
    match error.kind() {
        ErrorKind::Io => Kind::ObjectUnreadable,
        ErrorKind::NotFound => Kind::ObjectMissing,
        ErrorKind::Unsupported => Kind::ObjectUnsupported,
        _ => Kind::ObjectDamaged,
    }
}

/// Holds what was read against what was expected.
fn compare(
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
        return Ok(());
    }
    let detail = match wanted {
        Some(wanted) if !same => format!("expected SHA-256 {wanted}, found {}", found.sha256),
        _ => "expected other files than it holds".to_owned(),
    };
    Err((Kind::ObjectDamaged, detail, wrong.into_iter().collect()))
}

/// Describes a damaged object: the first fault, how many frames are lost, which files they belong to.
fn damage(mut object: Object<'_>, first: &Error) -> (String, Vec<String>) {
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
