//! What two repositories do not share, and which of them has what is damaged in the other.

use std::collections::{BTreeMap, BTreeSet};

use super::same::{has_same_part, is_same};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Millis;
use crate::repository::check::{CheckReport, Kind};
use crate::repository::{
    Archive, ArchiveId, Archives, Digest, ManifestName, Repository, Server, SourceFilter,
    StoredBlock,
};
use crate::store::ObjectName;
use crate::trouble::{Trouble, kinds};

const MEND: &str = "narthex repair --from the other repository mends it";
const COPY: &str = "narthex copy brings it there";

kinds! {
    /// How two repositories can differ: one member for each row of the table.
    DifferenceKind:
    ArchiveBehind "archive-behind" Problem "An archive is in one repository only, and later than all that the other one has of its server." "the other one is behind", COPY;
    ArchiveElsewhere "archive-elsewhere" Note "An archive is in one repository only; the other one has later ones of its server." "it was forgotten in the other one, never copied, or its manifest is lost there", COPY;
    ArchiveDiffers "archive-differs" Problem "Both have an archive of this id, and their manifests say different things." "one of them brings back something else", "narthex check --read-data on both says which one to trust";
    ManifestDamaged "manifest-damaged" Problem "A manifest cannot be read in one repository." "its archive cannot be restored there", MEND;
    ManifestLocked "manifest-locked" Problem "None of the identities that were given opens an archive in one repository: it is compared with nothing, and not counted." "nothing is wrong with it: it was encrypted for others", "give the identity that opens it as well (--identity can be repeated)";
    ObjectDiffers "object-differs" Problem "Manifests of the two expect different bytes of one object." "archives that name it may not be copied from one to the other", "nothing to do where both are sound: a copy stores it under another name";
    ObjectDamaged "object-damaged" Problem "An object is damaged or gone in one repository, and the other one names the same and has it sound, as far as was looked." "archives there do not come back whole", MEND;
    ObjectLost "object-lost" Problem "An object is damaged or gone in one repository, and the other one does not have it sound." "archives there do not come back whole", "narthex repair, or the next backup where the data directory still holds it";
}

/// A repository, and what a check found in it.
#[derive(Clone, Copy, Debug)]
pub struct ComparedSide<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// What was found, after it was [judged](crate::repair::judge_damage).
    pub report: &'a CheckReport,
}

/// What two repositories share and do not share.
#[derive(Clone, Debug, Default)]
pub struct Compared {
    /// Archives that both have, saying the same.
    pub archives: u64,
    /// Archives of the first only.
    pub only_first: u64,
    /// Archives of the second only.
    pub only_second: u64,
    /// Objects that archives of both name with the same bytes.
    pub objects: u64,
    /// Objects that only archives of the first name.
    pub only_first_objects: u64,
    /// Their size in bytes.
    pub only_first_bytes: u64,
    /// Objects that only archives of the second name.
    pub only_second_objects: u64,
    /// Their size in bytes.
    pub only_second_bytes: u64,
    /// What differs.
    pub differences: Vec<Trouble<DifferenceKind>>,
}

impl Compared {
    /// Adds what other parts of the two repositories share, and do not.
    pub fn absorb(&mut self, other: Compared) {
        self.archives += other.archives;
        self.only_first += other.only_first;
        self.only_second += other.only_second;
        self.objects += other.objects;
        self.only_first_objects += other.only_first_objects;
        self.only_first_bytes = self.only_first_bytes.saturating_add(other.only_first_bytes);
        self.only_second_objects += other.only_second_objects;
        self.only_second_bytes = self
            .only_second_bytes
            .saturating_add(other.only_second_bytes);
        self.differences.extend(other.differences);
    }
}

/// What is known of one side.
struct Known<'a> {
    place: String,
    by_id: BTreeMap<ArchiveId, Archive>,
    newest: BTreeMap<Server, Millis>,
    damaged: BTreeMap<ObjectName, Error>,
    objects: BTreeMap<ObjectName, (u64, BTreeSet<Digest>)>,
    /// Objects that are damaged or gone, and what was found.
    bad: BTreeMap<&'a str, &'a str>,
}

/// Compares the archives that `filter` lets through, and the objects that they name. What of an
/// object's bytes was not read by the checks is taken for what the manifests say.
///
/// # Errors
///
/// When a store cannot list its manifests; `NotFound` when neither has an archive that is meant.
pub fn compare(
    first: ComparedSide<'_>,
    second: ComparedSide<'_>,
    filter: &SourceFilter,
) -> Result<Compared> {
    let all = [first.repository.archives()?, second.repository.archives()?];
    if all
        .iter()
        .all(|all| !all.archives.iter().any(|archive| filter.matches(archive)))
    {
        let archives = all.into_iter().flat_map(|all| all.archives).collect();
        // Says what there is.
        filter.choose(archives)?;
        return Ok(Compared::default());
    }
    let [one, two] = all;
    let (one, two) = (
        Known::of(first, one, filter),
        Known::of(second, two, filter),
    );
    let mut compared = Compared::default();
    compared.archives(&one, &two);
    compared.objects(&one, &two);
    compared.bad(&one, &two);
    compared.bad(&two, &one);
    compared.differences.sort_by(|a, b| {
        let key = |it: &Trouble<DifferenceKind>| (std::cmp::Reverse(it.severity), it.kind);
        (key(a), &a.place).cmp(&(key(b), &b.place))
    });
    Ok(compared)
}

impl<'a> Known<'a> {
    fn of(side: ComparedSide<'a>, all: Archives, filter: &SourceFilter) -> Self {
        let mut known = Known {
            place: side.repository.store().describe(),
            by_id: BTreeMap::new(),
            newest: BTreeMap::new(),
            damaged: BTreeMap::new(),
            objects: BTreeMap::new(),
            bad: BTreeMap::new(),
        };
        for archive in all
            .archives
            .into_iter()
            .filter(|archive| filter.matches(archive))
        {
            for (_, object) in archive.objects() {
                let (bytes, digests) = known.objects.entry(object.name.clone()).or_default();
                *bytes = object.bytes;
                digests.insert(object.sha256);
            }
            let newest = known
                .newest
                .entry(Server::of(&archive))
                .or_insert(archive.time);
            *newest = archive.time.max(*newest);
            known.by_id.insert(archive.id.clone(), archive);
        }
        let damaged = all.damaged.into_iter();
        known.damaged = damaged.map(|it| (it.name, it.error)).collect();
        let findings = side.report.findings.iter();
        let bad = findings.filter(|found| {
            matches!(
                found.kind,
                Kind::ObjectMissing | Kind::ObjectDamaged | Kind::ObjectUnreadable
            )
        });
        known.bad = bad
            .map(|found| (found.object.as_str(), found.detail.as_str()))
            .collect();
        known
    }

    /// Blocks that need each of these objects, one of those with the same index and segments.
    fn blocks_of<'k>(
        &'k self,
        names: &BTreeSet<&'k ObjectName>,
    ) -> BTreeMap<&'k ObjectName, Vec<&'k StoredBlock>> {
        let mut found: BTreeMap<&ObjectName, Vec<&StoredBlock>> = BTreeMap::new();
        if names.is_empty() {
            return found;
        }
        let archives = self.by_id.values();
        for block in archives.flat_map(|archive| &archive.blocks) {
            for object in block.objects().filter(|it| names.contains(&it.name)) {
                let known = found.entry(&object.name).or_default();
                if !known.iter().any(|known| has_same_part(known, block)) {
                    known.push(block);
                }
            }
        }
        found
    }

    fn has_id(&self, id: &ArchiveId) -> bool {
        let mut damaged = self.damaged.keys().filter_map(ManifestName::parse);
        self.by_id.contains_key(id) || damaged.any(|name| name.id == *id)
    }
}

impl Compared {
    /// Whether anything matters.
    pub fn has_problems(&self) -> bool {
        let mut differences = self.differences.iter();
        differences.any(|found| found.severity == crate::trouble::Severity::Problem)
    }

    fn tell(&mut self, kind: DifferenceKind, place: &str, detail: String) {
        self.differences.push(Trouble::new(kind, place, detail));
    }

    fn archives(&mut self, one: &Known<'_>, two: &Known<'_>) {
        for archive in one.by_id.values() {
            let Some(other) = two.by_id.get(&archive.id) else {
                continue;
            };
            if is_same(archive, other) {
                self.archives += 1;
            } else {
                let id = archive.id.short();
                let detail = format!(
                    "archive {id} is another one in {} than in {}",
                    one.place, two.place
                );
                self.tell(DifferenceKind::ArchiveDiffers, id, detail);
            }
        }
        self.only_first = self.only_in(one, two);
        self.only_second = self.only_in(two, one);
        for (here, there) in [(one, two), (two, one)] {
            for (name, error) in &here.damaged {
                let why = error.chain();
                if error.kind() == ErrorKind::Locked {
                    let detail = format!("in {}: {why}", here.place);
                    self.tell(DifferenceKind::ManifestLocked, name.as_str(), detail);
                    continue;
                }
                let id = ManifestName::parse(name).map(|name| name.id);
                let has = if id.is_some_and(|id| there.by_id.contains_key(&id)) {
                    "has it"
                } else {
                    "does not have it either"
                };
                let detail = format!("damaged in {}: {why}; {} {has}", here.place, there.place);
                self.tell(DifferenceKind::ManifestDamaged, name.as_str(), detail);
            }
        }
    }

    /// Counts and names the archives that only `here` has.
    fn only_in(&mut self, here: &Known<'_>, there: &Known<'_>) -> u64 {
        let mut count = 0;
        for archive in here
            .by_id
            .values()
            .filter(|archive| !there.has_id(&archive.id))
        {
            count += 1;
            let server = Server::of(archive);
            let newest = there.newest.get(&server);
            let kind = if newest.is_none_or(|newest| archive.time > *newest) {
                DifferenceKind::ArchiveBehind
            } else {
                DifferenceKind::ArchiveElsewhere
            };
            let id = archive.id.short();
            let time = crate::units::time_text(archive.time);
            let detail = format!(
                "archive {id} of {server}, of {time}, is in {} and not in {}",
                here.place, there.place
            );
            self.tell(kind, id, detail);
        }
        count
    }

    fn objects(&mut self, one: &Known<'_>, two: &Known<'_>) {
        let apart = made_apart(one, two);
        for (name, (bytes, digests)) in &one.objects {
            match two.objects.get(name) {
                None => {
                    self.only_first_objects += 1;
                    self.only_first_bytes = self.only_first_bytes.saturating_add(*bytes);
                }
                Some((_, others)) if digests == others => self.objects += 1,
                Some((other_bytes, _)) if apart.contains(name) => {
                    self.only_first_objects += 1;
                    self.only_first_bytes = self.only_first_bytes.saturating_add(*bytes);
                    self.only_second_objects += 1;
                    self.only_second_bytes = self.only_second_bytes.saturating_add(*other_bytes);
                }
                Some(_) => {
                    let detail = format!(
                        "manifests in {} expect other bytes of it than those in {}",
                        one.place, two.place
                    );
                    self.tell(DifferenceKind::ObjectDiffers, name.as_str(), detail);
                }
            }
        }
        for (name, (bytes, _)) in &two.objects {
            if !one.objects.contains_key(name) {
                self.only_second_objects += 1;
                self.only_second_bytes = self.only_second_bytes.saturating_add(*bytes);
            }
        }
    }

    /// Says of what is bad `here` whether it is sound `there`.
    fn bad(&mut self, here: &Known<'_>, there: &Known<'_>) {
        for (name, why) in &here.bad {
            let object = ObjectName::new(*name).ok();
            let of = |known: &Known<'_>| Some(known.objects.get(object.as_ref()?)?.1.clone());
            let (own, theirs) = (of(here), of(there));
            let is_sound = theirs.is_some() && own == theirs && !there.bad.contains_key(name);
            let (kind, has) = if is_sound {
                (
                    DifferenceKind::ObjectDamaged,
                    "has it sound, as far as was looked",
                )
            } else if theirs.is_some() {
                (DifferenceKind::ObjectLost, "does not have it sound either")
            } else {
                (DifferenceKind::ObjectLost, "does not have it")
            };
            if own.is_some() {
                let detail = format!("in {}: {why}; {} {has}", here.place, there.place);
                self.tell(kind, name, detail);
            }
        }
    }
}

/// Those of the objects, of which the two sides expect other bytes, that both need for the same
/// index and segments: each has stored these by itself, as a copy into another codec does.
fn made_apart<'k>(one: &'k Known<'_>, two: &'k Known<'_>) -> BTreeSet<&'k ObjectName> {
    let ours = one.objects.iter();
    let differ = ours.filter(|(name, (_, digests))| {
        let theirs = two.objects.get(*name);
        theirs.is_some_and(|(_, others)| digests != others)
    });
    let names: BTreeSet<_> = differ.map(|(name, _)| name).collect();
    let (ours, theirs) = (one.blocks_of(&names), two.blocks_of(&names));
    let is_shared = |name: &&ObjectName| {
        let blocks = ours.get(*name).zip(theirs.get(*name));
        blocks.is_some_and(|(ours, theirs)| {
            let mut ours = ours.iter();
            ours.any(|one| theirs.iter().any(|two| has_same_part(one, two)))
        })
    };
    names.iter().copied().filter(is_shared).collect()
}
