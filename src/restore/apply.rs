//! Carrying a plan out.

use super::exact::Cut;
use super::plan::Plan;
use super::stage::{LOGS, Stage, Target, Writer};
use crate::dense::read_packed;
use crate::error::{Error, Result};
use crate::model::Ulid;
use crate::progress::Progress;
use crate::repository::portable::{Root, read_stored, spread};
use crate::repository::{StoredBlock, StoredFile, StoredObject, StoredWal};
use crate::store::Store;

/// What a restore did.
#[derive(Debug, Default)]
pub struct Report {
    /// Blocks that are in the target now, under the ULIDs they have there.
    pub blocks: Vec<Ulid>,
    /// What became of the blocks that were to be cut.
    pub cut: Vec<Cut>,
    /// Whether the WAL is.
    pub wal: bool,
    /// Bytes that were written.
    pub bytes: u64,
    /// What could not be restored.
    pub failed: Vec<Failed>,
}

/// Something that could not be restored, and why.
#[derive(Debug)]
pub struct Failed {
    /// The block's ULID, or `wal`.
    pub name: String,
    /// What is wrong with it.
    pub error: Error,
}

/// Brings back what `plan` says, from `store` into `target`.
///
/// # Errors
///
/// When the target fails (disk full, permission denied, a name that is taken), in which case nothing that was staged is
/// left; or when nothing at all could be restored, or nothing is left of blocks that are cut. Damage in the repository is not an error as long as
/// anything else is restored: the report names it.
pub fn apply(
    plan: &Plan<'_>,
    store: &dyn Store,
    target: &Target,
    progress: &dyn Progress,
) -> Result<Report> {
    let stage = Stage::new(target)?;
    progress.begin("restore", Some(plan.bytes()));
    let work = Work {
        store,
        stage: &stage,
        progress,
    };
    let mut report = Report::default();
    let bytes = |block: &&StoredBlock| block.bytes();
    let outcomes = spread(&plan.blocks, bytes, |block| match &plan.exact {
        Some(exact) if exact.cuts(block) => work.stage_cut(block, exact),
        _ => work.stage_whole(block),
    })?;
    let mut staged = Vec::new();
    for (block, outcome) in plan.blocks.iter().zip(outcomes) {
        match outcome {
            Ok(Staged::Whole) => staged.push((block.ulid, block.bytes())),
            Ok(Staged::Cut(cut)) => {
                staged.extend(cut.block.map(|made| (made.ulid, made.bytes)));
                report.cut.push(cut);
            }
            Err(error) => report.fail(block.ulid.to_string(), error),
        }
    }
    let mut logs = Vec::new();
    if let Some(wal) = plan.wal {
        match work.stage_wal(wal)? {
            Ok(staged) => logs = staged,
            // Half a log is worse than none: Prometheus refuses to start, or cuts it.
            Err(error) => report.fail("wal".to_owned(), error),
        }
    }
    progress.end();
    if staged.is_empty()
        && logs.is_empty()
        && let Some(failed) = report.failed.pop()
    {
        let name = failed.name;
        return Err(failed
            .error
            .context(format!("nothing could be restored: {name}")));
    }
    if staged.is_empty() && logs.is_empty() && !report.cut.is_empty() {
        let count = report.cut.len();
        return Err(Error::not_found(format!(
            "nothing is left of the {count} blocks of this time: no series that is selected has a sample there"
        )));
    }
    for (ulid, bytes) in staged {
        let name = ulid.to_string();
        stage.publish(&name, &name)?;
        report.blocks.push(ulid);
        report.bytes = report.bytes.saturating_add(bytes);
    }
    // A WAL says that the restore is complete: nothing of it may survive a power cut that a block does not.
    stage.sync()?;
    for log in logs {
        stage.publish(&format!("{STAGED_LOGS}/{log}"), log)?;
        report.wal = true;
    }
    stage.finish()?;
    Ok(report)
}

impl Report {
    fn fail(&mut self, name: String, error: Error) {
        self.failed.push(Failed { name, error });
    }
}

/// What became of one block, or of the logs: its own damage, or staged.
pub(super) type Outcome<T = ()> = Result<T>;

/// How a block is staged.
pub(super) enum Staged {
    /// As it was.
    Whole,
    /// What is wanted of it.
    Cut(Cut),
}

pub(super) struct Work<'a> {
    store: &'a dyn Store,
    pub(super) stage: &'a Stage<'a>,
    progress: &'a dyn Progress,
}

impl Work<'_> {
    fn stage_whole(&self, block: &StoredBlock) -> Result<Outcome<Staged>> {
        let staged = self.stage_block(block, &block.ulid.to_string())?;
        Ok(staged.map(|()| Staged::Whole))
    }

    /// Stages `block` as it was, under `name`.
    pub(super) fn stage_block(&self, block: &StoredBlock, name: &str) -> Result<Outcome> {
        let mut writer = Writer::new(self.stage.path(name))?;
        let staged = self.write_block(block, &mut writer);
        settle(&writer, staged)
    }

    fn write_block(&self, block: &StoredBlock, writer: &mut Writer) -> Result<()> {
        let root = Root::Block(block.ulid);
        for object in block.file_objects() {
            self.write_object(object, root, block.files_from(object), writer)?;
        }
        if !block.packs.is_empty() {
            let mut index = writer.beside();
            let written = read_packed(self.store, block, writer, &mut index, self.progress);
            writer.join(index);
            written?;
        }
        for dir in &block.empty_dirs {
            writer.make_dir(dir.as_str())?;
        }
        writer.sync()
    }

    fn write_object<'f>(
        &self,
        object: &StoredObject,
        root: Root,
        files: impl Iterator<Item = &'f StoredFile>,
        writer: &mut Writer,
    ) -> Result<()> {
        read_stored(self.store, object, root, files, writer, self.progress)
    }

    /// Stages the logs and says which there are.
    fn stage_wal(&self, wal: &StoredWal) -> Result<Result<Vec<&'static str>>> {
        if let Some(odd) = wal.files.iter().find(|file| log_of(file).is_none()) {
            let name = &odd.name;
            let refused = Error::refused(format!("expected a file of the WAL, found {name}"));
            return Ok(Err(refused));
        }
        let mut writer = Writer::new(self.stage.path(STAGED_LOGS))?;
        let staged = self
            .write_object(&wal.object, Root::Data, wal.files.iter(), &mut writer)
            .and_then(|()| writer.sync());
        let has = |log: &&str| wal.files.iter().any(|file| log_of(file) == Some(log));
        Ok(settle(&writer, staged)?.map(|()| LOGS.into_iter().filter(has).collect()))
    }
}

/// Where the logs are staged, all of them together.
const STAGED_LOGS: &str = "logs";

/// The log that `file` is in.
fn log_of(file: &StoredFile) -> Option<&str> {
    let (log, _) = file.name.as_str().split_once('/')?;
    LOGS.contains(&log).then_some(log)
}

/// The target's failure is everybody's, any other is the block's own.
fn settle(writer: &Writer, staged: Result<()>) -> Result<Outcome> {
    match staged {
        Err(error) if writer.has_failed() => Err(error),
        outcome => Ok(outcome),
    }
}
