//! Which blocks are damaged, and which of those must be left alone.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::{ReplaceOutcome, Replaced, Replacer};
use crate::block::{DirEntry, EntryKind, Meta};
use crate::error::{Error, Result};
use crate::model::Ulid;
use crate::progress::Progress;
use crate::repository::StoredBlock;
use crate::verify::{BlockVerdict, FindingSeverity, Kind, verify_block};

/// A block of the directory.
#[derive(Debug)]
pub struct DataBlock {
    /// Its ULID.
    pub ulid: Ulid,
    /// Size of its files, in bytes.
    pub bytes: u64,
    /// Kinds of problems that were found in it.
    pub problems: BTreeSet<Kind>,
    /// Why it must not be replaced, whatever is wrong with it.
    pub refused: Option<String>,
    pub(super) worst: Option<FindingSeverity>,
    pub(super) name: String,
    pub(super) dir: PathBuf,
    pub(super) meta: Option<Meta>,
}

impl DataBlock {
    /// Whether samples of it are lost, wrong or out of reach.
    pub fn is_damaged(&self) -> bool {
        self.worst >= Some(FindingSeverity::Damaged)
    }

    /// Whether anything is wrong with it.
    pub fn has_problems(&self) -> bool {
        self.worst > Some(FindingSeverity::Note)
    }

    /// What its `meta.json` says otherwise than `stored`, where both can be read.
    pub fn contradiction(&self, stored: &StoredBlock) -> Option<String> {
        let meta = self.meta.as_ref()?;
        let is_told = stored.min_time < stored.max_time;
        let count = |count: u64| i128::from(count);
        let pairs = [
            ("minTime", meta.min_time.into(), stored.min_time.into()),
            ("maxTime", meta.max_time.into(), stored.max_time.into()),
            ("level", meta.compaction.level.into(), count(stored.level)),
            (
                "numSeries",
                count(meta.stats.num_series),
                count(stored.series),
            ),
            (
                "numSamples",
                count(meta.stats.num_samples),
                count(stored.samples),
            ),
        ];
        let differs = pairs.iter().find(|(_, here, there)| here != there);
        differs
            .filter(|_| is_told)
            .map(|(name, here, there)| format!("{name} is {here}, and {there} in the archive"))
    }

    /// Takes it for faulty though nothing was found in it: its metadata are not what was archived.
    pub fn doubt(&mut self) {
        self.worst = self.worst.max(Some(FindingSeverity::Warning));
        self.meta = None;
    }

    /// The block, with what became of it.
    pub fn outcome(&self, outcome: ReplaceOutcome) -> Replaced {
        Replaced {
            ulid: self.ulid,
            problems: self.problems.clone(),
            outcome,
            archive: None,
            bytes: None,
            kept: None,
            told: Vec::new(),
            detours: Vec::new(),
        }
    }
}

impl Replacer {
    /// Verifies the blocks `wanted`, all of the directory when none is named.
    ///
    /// # Errors
    ///
    /// `NotFound` when one is not there.
    pub fn look(&self, wanted: &BTreeSet<Ulid>, progress: &dyn Progress) -> Result<Vec<DataBlock>> {
        let blocks = self.scanned.blocks().filter_map(|entry| {
            let ulid = entry.ulid?;
            (wanted.is_empty() || wanted.contains(&ulid)).then_some((ulid, entry))
        });
        let blocks: Vec<_> = blocks.collect();
        let there: BTreeSet<Ulid> = blocks.iter().map(|(ulid, _)| *ulid).collect();
        if let Some(missing) = wanted.difference(&there).next() {
            return Err(Error::not_found(format!(
                "there is no block {missing} in {} to be replaced: --add-missing instead of --replace-damaged brings it",
                self.dir().display()
            )));
        }
        let sizes: Vec<_> = blocks.iter().map(|(_, entry)| bytes(&entry.path)).collect();
        let total = sizes.iter().copied().fold(0, u64::saturating_add);
        progress.begin("verify", Some(total));
        let looked = blocks.iter().zip(sizes);
        let looked =
            looked.map(|((ulid, entry), bytes)| self.look_at(*ulid, entry, bytes, progress));
        let looked = looked.collect();
        progress.end();
        Ok(looked)
    }

    fn look_at(
        &self,
        ulid: Ulid,
        entry: &DirEntry,
        bytes: u64,
        progress: &dyn Progress,
    ) -> DataBlock {
        let mut block = DataBlock {
            ulid,
            bytes,
            problems: BTreeSet::new(),
            refused: None,
            worst: None,
            name: entry.name(),
            dir: entry.path.clone(),
            meta: None,
        };
        if entry.kind == EntryKind::SymlinkedBlock {
            block.refused = Some(
                "it is a symbolic link; replace the block in the directory where it leads"
                    .to_owned(),
            );
        } else if let Some(denied) = denied(&entry.path) {
            // What we may not read may well be sound.
            block.refused = Some(format!(
                "it cannot be verified by this user: {}",
                denied.chain()
            ));
        }
        if block.refused.is_some() {
            block.worst = Some(FindingSeverity::Damaged);
            block.problems.insert(Kind::Unreadable);
            return block;
        }
        if let Ok(verdict) = verify_block(&entry.path, self.options(), progress) {
            block.worst = verdict.findings.worst();
            block.problems = problems(&verdict);
            block.meta = verdict.meta.filter(|_| {
                let own = entry.path.join("meta.json");
                let mut findings = verdict.findings.iter();
                !findings.any(|it| it.path == own && it.kind.severity() > FindingSeverity::Note)
            });
        } else {
            block.worst = Some(FindingSeverity::Fatal);
            block.problems.insert(Kind::BlockUnlistable);
        }
        block
    }
}

/// Kinds of what is wrong.
pub(super) fn problems(verdict: &BlockVerdict) -> BTreeSet<Kind> {
    let kinds = verdict.findings.counts().map(|(kind, _)| kind);
    kinds
        .filter(|kind| kind.severity() > FindingSeverity::Note)
        .collect()
}

/// Size of the files of the block in `dir`, in bytes.
fn bytes(dir: &Path) -> u64 {
    let of = |dir: &Path| {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let files = entries.filter_map(|entry| entry.metadata().ok());
        let sizes = files.filter(fs::Metadata::is_file).map(|file| file.len());
        sizes.fold(0, u64::saturating_add)
    };
    of(dir).saturating_add(of(&dir.join("chunks")))
}

/// Why a part of the block in `dir` may not be read, if the reason is that we are who we are.
fn denied(dir: &Path) -> Option<Error> {
    let is_denied = |error: &std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
    for dir in [dir, &dir.join("chunks")] {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if is_denied(&error) => return Some(Error::io("list", dir, error)),
            Err(_) => continue,
        };
        // A pipe would be waited for.
        let is_file = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_file());
        for entry in entries.flatten().filter(is_file) {
            match File::open(entry.path()) {
                Err(error) if is_denied(&error) => {
                    return Some(Error::io("open", &entry.path(), error));
                }
                _ => {}
            }
        }
    }
    None
}
