//! Proving a repository: everything that is wrong with it, and which archives and blocks that hits.
//!
//! The structure is always proved: descriptor, every manifest, every object a manifest names
//! (there, of the right size, and with a sound seek table, where the store is not far away). The
//! bytes of all objects, or of a share of them, are proved on request.

mod depth;
mod finding;
mod read;
mod structure;
mod turns;
mod unnamed;
mod versions;

use std::collections::{BTreeMap, BTreeSet};

pub use depth::{CheckDepth, CheckShare};
pub use finding::{CheckFinding, CheckReport, Kind, Severity};

use turns::Turns;

use super::cover::Cover;
use super::layout::{ARCHIVES, DESCRIPTOR, KEYS, MENDED, SOURCES, TEMPORARY};
use super::lineage::contradictions;
use super::mended::is_guard;
use super::parts::in_parts;
use super::select::manifest_of;
use super::{
    Archive, ArchiveId, Fingerprint, MAX_MANIFEST_BYTES, ManifestLink, ManifestName, ObjectCodec,
    PartName, Parts, Repository, StoredBlock, StoredFile, StoredObject, block_of_pack,
    has_mended_descriptor, read_descriptor,
};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Ulid;
use crate::progress::Progress;
use crate::store::{ObjectName, Store};

/// Proves the repository in `store`. Writes nothing.
///
/// # Errors
///
/// When there is no repository, when it is of a newer version, or when the store cannot list its
/// objects. Everything else is a finding.
pub fn check(store: &dyn Store, depth: CheckDepth, progress: &dyn Progress) -> Result<CheckReport> {
    check_in(store, None, depth, progress)
}

/// Proves what lies in `store`, the one of `repository` or another view of it, which may be a part
/// of one that is in parts: of that, what the parts share is not looked at. Writes nothing.
///
/// # Errors
///
/// As [`check`].
pub fn check_part(
    store: &dyn Store,
    repository: &Repository,
    depth: CheckDepth,
    progress: &dyn Progress,
) -> Result<CheckReport> {
    check_in(store, Some(repository), depth, progress)
}

fn check_in(
    store: &dyn Store,
    repository: Option<&Repository>,
    depth: CheckDepth,
    progress: &dyn Progress,
) -> Result<CheckReport> {
    let mut listed: BTreeMap<ObjectName, u64> = store.list("")?.into_iter().collect();
    let part = repository.and_then(Repository::part);
    let mut checker = Checker::new(store, part);
    checker.stored = repository.map(Repository::stored);
    checker.is_encrypted = repository.is_some_and(Repository::is_encrypted);
    if let Some(part) = repository.filter(|_| part.is_some()) {
        checker.id = Some(part.descriptor().id.clone());
    } else {
        let mut names = listed.keys();
        checker.descriptor(names.any(|name| ManifestName::parse(name).is_some()))?;
    }
    checker.manifests(&listed);
    checker.unlinked(&listed);
    checker.versions(&mut listed)?;
    let sound = checker.structure(&listed);
    checker.marked(&listed, &sound, depth);
    checker.claims(&listed);
    checker.leftovers("")?;
    checker.bereft(&listed);
    checker.unreferenced(&listed);
    checker.read(&sound, depth, progress);
    let mut report = checker.report;
    report.sort();
    Ok(report)
}

/// Looks at what the parts of a repository share, and at what lies beside them; where it is not in
/// parts there is nothing of that. What each part shows as well is not looked at.
///
/// # Errors
///
/// When the store cannot list its objects.
pub fn check_shared(parts: &Parts) -> Result<CheckReport> {
    let store = parts.root().stored();
    let mut checker = Checker::new(store, None);
    if !parts.is_by_source() {
        return Ok(checker.report);
    }
    checker.is_of_parts = true;
    checker.descriptor(true)?;
    checker.leftovers(TEMPORARY)?;
    let unseen = parts.unseen()?.into_iter().map(|name| {
        let detail = "expected a directory that is called as a part, 16 hexadecimal digits";
        CheckFinding::new(Kind::PartUnseen, name, detail)
    });
    checker.report.findings.extend(unseen);
    let beside = store.dirs("")?.into_iter().map(|dir| format!("{dir}/"));
    let beside = beside.filter(|dir| ![SOURCES, KEYS, MENDED, TEMPORARY].contains(&&**dir));
    // What stands in for the descriptor has its guard there.
    let archives = store.list(ARCHIVES)?;
    let has_guards_only = archives.iter().all(|(name, _)| is_guard(name));
    let beside = beside.filter(|dir| dir != ARCHIVES || !has_guards_only);
    let found = beside.map(|dir| CheckFinding::new(Kind::Foreign, dir, "is not narthex'"));
    checker.report.findings.extend(found);
    checker.report.sort();
    Ok(checker.report)
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
    /// What lies there, where `store` shows what is in it.
    stored: Option<&'a dyn Store>,
    /// Whether data is encrypted there.
    is_encrypted: bool,
    /// The archives of each server.
    turns: Turns,
    report: CheckReport,
    /// Which part of a repository it is, if it is one.
    part: Option<&'a PartName>,
    /// Whether it is what the parts of a repository share.
    is_of_parts: bool,
    /// What the descriptor says the repository is, if it can be read.
    id: Option<String>,
    /// Readable archives, oldest first.
    archives: Vec<ArchiveId>,
    /// Archives, and the manifests before them that they name.
    links: Vec<(ArchiveId, ObjectName)>,
    /// By object. Archives mostly agree, so there is mostly one expectation, however many archives
    /// there are.
    expected: BTreeMap<ObjectName, Expectations>,
    /// The first word on each block, without its files, and the archive that has it.
    words: BTreeMap<(Ulid, Fingerprint), (StoredBlock, ArchiveId)>,
    disputes: BTreeMap<(Ulid, Fingerprint), CheckFinding>,
    /// What archives name of which nothing is expected: those of other sources, and those that
    /// cannot be read and say this much.
    only_named: BTreeSet<ObjectName>,
}

impl<'a> Checker<'a> {
    fn new(store: &'a dyn Store, part: Option<&'a PartName>) -> Self {
        Checker {
            store,
            stored: None,
            is_encrypted: false,
            turns: Turns::default(),
            report: CheckReport::default(),
            part,
            is_of_parts: false,
            id: None,
            archives: Vec::new(),
            links: Vec::new(),
            expected: BTreeMap::new(),
            words: BTreeMap::new(),
            disputes: BTreeMap::new(),
            only_named: BTreeSet::new(),
        }
    }
}

impl Checker<'_> {
    /// Looks at the descriptor of a repository that has archives, or none.
    fn descriptor(&mut self, has_archives: bool) -> Result<()> {
        let (kind, error) = match read_descriptor(self.store) {
            Ok(descriptor) if descriptor.by_source && !self.is_of_parts => {
                return Err(in_parts(self.store));
            }
            Ok(descriptor) => {
                self.is_encrypted |= descriptor.is_encrypted();
                self.id = Some(descriptor.id);
                return Ok(());
            }
            Err(e) if e.kind() != ErrorKind::Unsupported && has_mended_descriptor(self.store)? => {
                (Kind::DescriptorReplaced, e)
            }
            Err(e) => match e.kind() {
                ErrorKind::NotFound if has_archives => (Kind::DescriptorMissing, e),
                ErrorKind::NotFound | ErrorKind::Unsupported => return Err(e),
                _ => (Kind::DescriptorDamaged, e),
            },
        };
        let mends = match kind {
            Kind::DescriptorReplaced => "another one stands in for it",
            _ => "narthex repair writes it anew",
        };
        let detail = format!("{}; {mends}", error.chain());
        let finding = CheckFinding::new(kind, DESCRIPTOR, detail);
        self.report.findings.push(finding);
        Ok(())
    }

    fn manifests(&mut self, listed: &BTreeMap<ObjectName, u64>) {
        let is_manifest = |name: &ObjectName| ManifestName::parse(name).is_some();
        let soon = listed.iter().filter(|(name, _)| is_manifest(name));
        let soon: Vec<_> = soon.map(|(name, bytes)| (name.clone(), *bytes)).collect();
        self.store.expect(&soon);
        for name in listed.keys() {
            let Some(parsed) = ManifestName::parse(name) else {
                continue;
            };
            match read_checked(self.store, name) {
                Ok(Checked::Cover(cover)) => self.expect_cover(cover),
                Ok(Checked::Archive(archive)) => {
                    let foreign = archive.repository.as_ref().zip(self.id.as_ref());
                    let is_foreign =
                        |(theirs, own): &(&String, &String)| !theirs.is_empty() && theirs != own;
                    if let Some((theirs, own)) = foreign.filter(is_foreign) {
                        let detail = format!(
                            "expected an archive of repository {own}, found one of {theirs}: it was copied here, or the descriptor was"
                        );
                        let mut finding =
                            CheckFinding::new(Kind::ManifestForeign, name.as_str(), detail);
                        finding.archives.push(parsed.id.clone());
                        self.report.findings.push(finding);
                    }
                    if let Some(error) = self.misplaced(&archive) {
                        let mut finding = CheckFinding::new(
                            Kind::ManifestMisplaced,
                            name.as_str(),
                            error.chain(),
                        );
                        finding.archives.push(parsed.id);
                        self.report.findings.push(finding);
                        let objects = archive.objects();
                        let names = objects.map(|(_, object)| object.name.clone());
                        self.only_named.extend(names);
                        continue;
                    }
                    self.expect(*archive);
                }
                // Forgotten since it was listed.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    let kind = match error.kind() {
                        ErrorKind::Unsupported => Kind::ManifestUnsupported,
                        ErrorKind::Io => Kind::ManifestUnreadable,
                        ErrorKind::Refused => Kind::ManifestUntrusted,
                        ErrorKind::Locked => Kind::ManifestLocked,
                        _ => Kind::ManifestDamaged,
                    };
                    let mut finding = CheckFinding::new(kind, name.as_str(), error.chain());
                    finding.archives.push(parsed.id);
                    self.report.findings.push(finding);
                    self.name_covered(name);
                }
            }
        }
        let turns = std::mem::take(&mut self.turns);
        self.report.findings.extend(turns.found());
        let disputes = std::mem::take(&mut self.disputes);
        self.report.findings.extend(disputes.into_values());
        self.report.archives = self.archives.len() as u64;
    }

    /// Takes note of what the manifest `name`, which cannot be read, names all the same where
    /// everybody can see it.
    fn name_covered(&mut self, name: &ObjectName) {
        let Some(stored) = self.stored else {
            return;
        };
        let cover = stored.get(name, MAX_MANIFEST_BYTES);
        if let Ok(Some(cover)) = cover.and_then(|bytes| Cover::read(&bytes)) {
            let names = cover.objects.into_iter().map(|object| object.name);
            self.only_named.extend(names);
        }
    }

    /// Why `archive` does not belong here, if it does not.
    fn misplaced(&self, archive: &Archive) -> Option<Error> {
        self.part?
            .refuse_misplaced(self.id.as_ref()?, archive)
            .err()
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
            let mut finding = CheckFinding::new(Kind::BlockDisputed, block.object.name.as_str(), detail);
            finding.archives.push(told_by.clone());
            finding.blocks.push(ulid);
            finding
        });
        dispute.archives.push(id.clone());
    }

    /// Takes note of what `archive` expects.
    fn expect(&mut self, mut archive: Archive) {
        archive.as_it_lies(self.is_encrypted);
        self.turns.add(&archive);
        let number = self.archives.len();
        for block in &archive.blocks {
            self.compare_words(&archive.id, block);
        }
        self.link(&archive.id, archive.previous);
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
            for piece in wal.pieces().iter() {
                // Names that a manifest cannot have were refused when it was read.
                let parts = piece.parts.iter();
                let members = parts.filter_map(|part| part.member().ok()).collect();
                expect(&piece.object, None, members, Vec::new());
            }
        }
    }

    /// Takes note of what an archive expects of which only the cover can be read: of each object
    /// its bytes can be proved, and not what they hold.
    fn expect_cover(&mut self, cover: Cover) {
        let number = self.archives.len();
        self.link(&cover.id, cover.previous);
        self.archives.push(cover.id);
        for object in cover.objects {
            let block = block_of_pack(&object.name);
            let expectation = Expectation {
                object: StoredObject {
                    name: object.name.clone(),
                    codec: ObjectCodec::Pack,
                    bytes: object.bytes,
                    sha256: object.sha256,
                    raw_bytes: object.bytes,
                    encrypted: None,
                },
                block,
                files: Vec::new(),
                packs: Vec::new(),
            };
            let known = self.expected.entry(object.name).or_default();
            known.entry(expectation).or_default().push(number);
        }
    }

    fn link(&mut self, id: &ArchiveId, previous: Option<ManifestLink>) {
        let previous = previous.map(|link| (id.clone(), link.name));
        self.links.extend(previous);
    }

    /// Names the manifests that others name as those before them, and that are not there.
    fn unlinked(&mut self, listed: &BTreeMap<ObjectName, u64>) {
        for (id, name) in std::mem::take(&mut self.links) {
            if !listed.contains_key(&name) {
                let detail = format!("archive {} names it as the one before it", id.short());
                let mut finding = CheckFinding::new(Kind::ManifestBefore, name.as_str(), detail);
                finding.archives.push(id);
                self.report.findings.push(finding);
            }
        }
    }

    /// A finding about an object that archives need.
    fn finding(&self, kind: Kind, name: &ObjectName, detail: String) -> CheckFinding {
        let mut finding = CheckFinding::new(kind, name.as_str(), detail);
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
}

/// Whether two archives expect the same bytes of one object. Of a pack, whose bytes say how it is
/// unpacked, the size of what it was made of is told for statistics, and may be that of another
/// block where the archive that told it first is lost.
fn is_same_object(one: &StoredObject, other: &StoredObject) -> bool {
    let same = |object: &StoredObject| (object.bytes, object.sha256);
    let raw_bytes = one.codec == ObjectCodec::Pack || one.raw_bytes == other.raw_bytes;
    raw_bytes && one.name == other.name && one.codec == other.codec && same(one) == same(other)
}

/// Whether it is damage of the object itself, of which backups are to know.
fn is_damage(kind: Kind) -> bool {
    matches!(kind, Kind::ObjectDamaged | Kind::ObjectUnreadable)
}

/// A manifest, or as much of it as can be read.
enum Checked {
    Archive(Box<Archive>),
    Cover(Cover),
}

fn read_checked(store: &dyn Store, name: &ObjectName) -> Result<Checked> {
    let context = |e: Error| e.context(format!("manifest {name}"));
    let bytes = store.get(name, MAX_MANIFEST_BYTES)?;
    let Some(cover) = Cover::read(&bytes).map_err(context)? else {
        return Ok(Checked::Archive(Box::new(manifest_of(name, &bytes)?)));
    };
    let own = ManifestName::new(cover.time, &cover.id)?.object()?;
    if own != *name {
        return Err(context(Error::corrupt(format!(
            "expected the manifest that belongs here, found {own}"
        ))));
    }
    Ok(Checked::Cover(cover))
}

fn kind_of(error: &Error) -> Kind {
    match error.kind() {
        ErrorKind::Io => Kind::ObjectUnreadable,
        ErrorKind::NotFound => Kind::ObjectMissing,
        ErrorKind::Unsupported => Kind::ObjectUnsupported,
        ErrorKind::Locked => Kind::ObjectLocked,
        _ => Kind::ObjectDamaged,
    }
}
