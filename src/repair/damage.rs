//! What the findings of a check mean: whether what a damaged object held comes back from elsewhere,
//! what is lost if not, and what mends it.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::Catalog;
use crate::error::Result;
use crate::model::{Millis, Ulid};
use crate::repository::check::{CheckFinding, CheckReport, Kind};
use crate::repository::copies::Copies;
use crate::repository::damage::{Damage, mark};
use crate::repository::{
    Archive, ArchiveId, FilePath, ManifestCache, Repository, StoredBlock, StoredWal,
};
use crate::store::ObjectName;
use crate::stored::{missing_of_block, missing_of_logs};

/// Proves what is needed of the objects that `report` finds damaged or gone. Where all of it comes
/// back, and what holds it is stored elsewhere, the finding becomes a note; else it says what mends
/// it. Between the two `mark` may leave marks.
///
/// # Errors
///
/// When the store cannot list its objects.
pub fn judge_damage(
    repository: &Repository,
    report: &mut CheckReport,
    mark: impl FnOnce(&CheckReport),
) -> Result<()> {
    let is_about = |finding: &&mut CheckFinding| {
        matches!(
            finding.kind,
            Kind::ObjectMissing
                | Kind::ObjectDamaged
                | Kind::ObjectUnreadable
                | Kind::ObjectDisputed
        )
    };
    if !report.findings.iter_mut().any(|finding| is_about(&finding)) {
        mark(report);
        return Ok(());
    }
    let mut catalog = Catalog::read(repository, &ManifestCache::default())?;
    let (whole, failed) = prove(
        &catalog,
        repository,
        report.findings.iter_mut().filter(is_about),
    )?;
    let about = report.findings.iter_mut().filter(is_about);
    let broken = about.filter_map(|finding| ObjectName::new(&*finding.object).ok());
    let broken = broken.chain(failed.keys().cloned()).collect();
    for (name, found) in failed {
        // What it stands in for is named as lost already, if it is.
        let detail = format!("a replacement that does not give what it should: {found}");
        let finding = CheckFinding::new(Kind::ObjectReplaced, name.as_str(), detail);
        report.findings.push(finding);
        report.damaged.insert(name, found);
    }
    mark(report);
    catalog.look_again(repository)?;
    for finding in report.findings.iter_mut().filter(is_about) {
        if whole.contains(&finding.object) {
            let mut needing = catalog.needing(&finding.object);
            // Logs come back from other logs only.
            if needing.all(|(_, block)| block.is_none_or(|b| catalog.is_stored(b, &broken))) {
                finding.kind = Kind::ObjectReplaced;
            } else {
                (finding.archives, finding.blocks) = (Vec::new(), Vec::new());
            }
        }
    }
    for finding in report.findings.iter_mut().filter(is_about) {
        finding.detail.push_str(&advice(&catalog, finding));
    }
    report.sort();
    Ok(())
}

/// Proves what archives need of the objects that are found damaged. Gives the objects of which all
/// of it comes back, and the replacements that do not give what they should.
fn prove<'f>(
    catalog: &Catalog,
    repository: &Repository,
    findings: impl Iterator<Item = &'f mut CheckFinding>,
) -> Result<(BTreeSet<String>, BTreeMap<ObjectName, String>)> {
    let mut losses = Losses {
        copies: Copies::new(repository)?,
        words: BTreeMap::new(),
        known: BTreeMap::new(),
        failed: BTreeMap::new(),
    };
    let mut whole = BTreeSet::new();
    for finding in findings {
        if settle_one(catalog, &mut losses, finding)? {
            whole.insert(finding.object.clone());
        }
    }
    Ok((whole, losses.failed))
}

/// What mends an object of which something is lost. Backups only know of what is marked, or can be
/// seen without reading it.
fn advice(catalog: &Catalog, finding: &CheckFinding) -> String {
    let mut needing = catalog.needing(&finding.object).peekable();
    // The manifest of an archive may have become unreadable since it was checked: nothing is known
    // then of what the object is needed for.
    if needing.peek().is_none() {
        return String::new();
    }
    let name = ObjectName::new(&*finding.object).ok();
    let is_known = name.is_some_and(|name| catalog.is_bad(&name));
    let first = if is_known {
        ""
    } else {
        "; no backup knows of it before it is marked: narthex check --read-data does that, without --no-mark and where the repository can be written"
    };
    let of_log = needing.all(|(_, block)| block.is_none());
    let then = if of_log {
        let ids: Vec<_> = finding.archives.iter().map(ArchiveId::short).collect();
        format!(
            "; the next narthex backup mends this only if the server still has every segment of this log, which it deletes after some hours; where it does \
             not, no backup brings the log back, and narthex forget {} ends this, which gives up the blocks of that archive, too",
            ids.join(" ")
        )
    } else if finding.archives.is_empty() {
        // Everything comes back, and from what is there.
        "; narthex repair stores it anew, or the next narthex backup where the samples still are in the server's data directory".to_owned()
    } else {
        "; where the samples still are in the server's data directory, the next narthex backup stores them anew and mends \
         this"
            .to_owned()
    };
    format!("{first}{then}")
}

/// Most lost files that a finding names: every pack of a block costs all files that are rebuilt
/// from it.
const MOST_FILES: usize = 100;

/// What a restore would lack of blocks: a block rests on many objects and is in many archives, and
/// is tried once for each way it was archived.
struct Losses<'c> {
    copies: Copies,
    words: BTreeMap<Ulid, Vec<(&'c StoredBlock, Vec<FilePath>)>>,
    /// Which of the words on it an archive has.
    known: BTreeMap<(&'c ArchiveId, Ulid), usize>,
    /// Replacements that do not give what they should, and why.
    failed: BTreeMap<ObjectName, String>,
}

impl<'c> Losses<'c> {
    /// What does not come back of `block` of `archive`.
    fn of_block(&mut self, archive: &'c Archive, block: &'c StoredBlock) -> Result<&[FilePath]> {
        let words = self.words.entry(block.ulid).or_default();
        let key = (&archive.id, block.ulid);
        let known = self.known.get(&key).copied();
        let same = || words.iter().position(|(word, _)| *word == block);
        let at = if let Some(at) = known.or_else(same) {
            at
        } else {
            let missing = missing_of_block(&self.copies, block)?;
            self.failed.extend(missing.failed);
            words.push((block, missing.files));
            words.len() - 1
        };
        self.known.insert(key, at);
        Ok(words.get(at).map_or(&[], |(_, lost)| lost))
    }

    /// What does not come back of the logs of `archive`.
    fn of_logs(&mut self, archive: &Archive, wal: &StoredWal) -> Result<Vec<FilePath>> {
        let missing = missing_of_logs(&self.copies, wal, &archive.source_name)?;
        self.failed.extend(missing.failed);
        Ok(missing.files)
    }
}

/// Says in `finding` what is lost, and returns whether archives need the object and all that they
/// need of it comes back.
fn settle_one<'c>(
    catalog: &'c Catalog,
    losses: &mut Losses<'c>,
    finding: &mut CheckFinding,
) -> Result<bool> {
    let mut needs = 0;
    let mut lost_blocks = BTreeSet::new();
    let mut lost_archives = BTreeSet::new();
    let mut lost_files = BTreeSet::new();
    let mut spans = Vec::new();
    for (archive, block) in catalog.needing(&finding.object) {
        needs += 1;
        if let Some(block) = block {
            let lost = losses.of_block(archive, block)?;
            if !lost.is_empty() {
                spans.push((block.min_time, block.max_time));
                lost_blocks.insert(block.ulid);
                lost_archives.insert(archive.id.clone());
                let room = MOST_FILES.saturating_sub(lost_files.len());
                lost_files.extend(lost.iter().take(room).map(ToString::to_string));
            }
        } else if let Some(wal) = &archive.wal {
            let lost = losses.of_logs(archive, wal)?;
            if !lost.is_empty() {
                lost_archives.insert(archive.id.clone());
                spans.extend(wal.min_time.zip(wal.max_time));
            }
            let room = MOST_FILES.saturating_sub(lost_files.len());
            lost_files.extend(lost.iter().take(room).map(ToString::to_string));
        }
    }
    if needs == 0 {
        return Ok(false);
    }
    if lost_archives.is_empty() {
        let all = "; all that archives need of it comes back all the same";
        finding.detail.push_str(all);
        finding.files.clear();
        finding.lost = None;
        return Ok(true);
    }
    let (archives, blocks) = (finding.archives.clone(), finding.blocks.clone());
    finding.archives = archives
        .into_iter()
        .filter(|id| lost_archives.contains(id))
        .collect();
    finding.blocks = blocks
        .into_iter()
        .filter(|ulid| lost_blocks.contains(ulid))
        .collect();
    if !lost_files.is_empty() {
        finding.files = lost_files.into_iter().collect();
    }
    finding.lost = spans
        .iter()
        .map(|span| span.0)
        .min()
        .zip(spans.iter().map(|span| span.1).max());
    Ok(false)
}

/// Marks what `report` found damaged, so that backups do not build on it and store it anew, and
/// takes the marks off what is sound or gone. Gives the number of marks that were put on and taken
/// off.
///
/// # Errors
///
/// When the store fails.
pub fn leave_marks(
    repository: &Repository,
    report: &CheckReport,
    now: Millis,
) -> Result<(u64, u64)> {
    let store = repository.store();
    let damage = Damage::list(store)?;
    let mut counts = (0, 0);
    for (object, found) in &report.damaged {
        if !damage.contains(object) {
            mark(store, object, found, now)?;
            counts.0 += 1;
        }
    }
    let sound: BTreeSet<_> = report.sound.iter().collect();
    let listed: BTreeSet<_> = repository
        .data_objects()?
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    for object in damage.objects() {
        if sound.contains(object) || !listed.contains(object) {
            damage.clear(store, object)?;
            counts.1 += 1;
        }
    }
    Ok(counts)
}
