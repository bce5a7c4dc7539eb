//! What older archives hold and the source no longer has, and what else makes a source doubtful.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use super::blocks::MAX_PASSES;
use super::logs::POLL;
use super::{Harvest, Run};
use crate::archive::gone::{
    Before, Gone, GoneLog, Log, Now, gone_blocks, gone_late_log, gone_log, gone_ulids, last_log,
    log_of, problems,
};
use crate::archive::hooks::Moment;
use crate::archive::{BackupProblem, ProblemKind};
use crate::block::{DataDir, DirEntry, EntryKind};
use crate::error::Result;
use crate::repair::Catalog;
use crate::repository::{Archive, Longer, StoredWal};

impl Run<'_> {
    /// Names what an older archive holds and is gone from the source without a reason, and says so
    /// if there is no block, or nothing at all.
    pub(super) fn name_gone(
        &self,
        newest: Option<&Archive>,
        wal: Option<&StoredWal>,
        committed: bool,
        harvest: &mut Harvest,
    ) {
        let judged = newest.filter(|_| !self.options.force);
        let (gone, logs) = match judged {
            Some(newest) => {
                let dir = self.source.dir.to_string_lossy();
                let was = last_log(harvest.catalog.up_to(newest), &dir);
                let now = log_of(wal, harvest.deletions_in_log, was);
                self.ask(newest, harvest, now, |before, now| {
                    let logs = was.into_iter().flat_map(|was| {
                        let late = gone_late_log(was, wal, now);
                        gone_log(was, wal, now).into_iter().chain(late)
                    });
                    (gone_blocks(before, now), logs.collect())
                })
            }
            None => (Vec::new(), Vec::new()),
        };
        let missed: Vec<_> = gone
            .iter()
            .filter(|gone| !gone.is_deleted)
            .copied()
            .collect();
        let has_no_blocks = harvest.blocks.is_empty();
        // Where all were emptied by deletion, none is missed.
        let before = held_before(newest).filter(|_| gone.is_empty() || !missed.is_empty());
        let mut said: Vec<BackupProblem> =
            nothing_here(&self.source.dir, committed, has_no_blocks, before)
                .into_iter()
                .collect();
        // That there is no block at all is said in one sentence.
        if !has_no_blocks {
            said.extend(problems(&missed));
        }
        said.extend(logs.iter().map(GoneLog::problem));
        // What was deleted or could not be read may have been the end.
        let is_told = !said.is_empty() || !gone.is_empty();
        let left_out = gone.iter().map(Gone::left_out);
        let left_out = left_out.chain(logs.iter().map(GoneLog::left_out));
        let left_out: Vec<_> = left_out.map(|left| (left.name, left.reason)).collect();
        harvest.may_end_early = is_told || !harvest.missed.is_empty() || harvest.obscure_logs;
        harvest.left_out.extend(left_out);
        harvest.problems.extend(said);
    }

    /// What is to be said when the samples of `archive`, which was just made, end before those of
    /// the one before, `newest`, although nothing is missed that was there: it is an older
    /// copy.
    pub(super) fn ends_before(
        &self,
        newest: &Archive,
        archive: &Archive,
        catalog: &Catalog,
    ) -> Option<BackupProblem> {
        // Servers of one name on two machines are two.
        let before = catalog.up_to(newest);
        let mut before = before.filter(|before| before.host == self.source.host);
        let longer = Longer::of(before.next()?, archive)?;
        let detail = format!(
            "{longer}: this is an older copy of the data, or samples were lost. From now on restore latest brings back this one; narthex restore {} brings back the \
             other",
            longer.id.short()
        );
        Some(ProblemKind::EndsEarlier.at("", detail))
    }

    /// Asks what is gone of `newest`.
    fn ask<'h, T>(
        &self,
        newest: &'h Archive,
        harvest: &'h Harvest,
        log: Log,
        ask: impl FnOnce(&Before<'_, 'h>, &Now<'_>) -> T,
    ) -> T {
        let catalog = &harvest.catalog;
        let before = Before {
            newest,
            holding: &|ulid| catalog.newest_holding(ulid),
            sound: &|ulid| catalog.newest_sound(ulid),
            told: &|ulid| {
                catalog
                    .up_to(newest)
                    .any(|archive| archive.tells_gone(ulid))
            },
            store: self.repository.store(),
            read_mode: self.options.verify.read_mode,
        };
        ask(&before, &harvest.now(&self.source.dir, log))
    }

    /// Looks again for blocks that seem to be gone, once nothing in the source is being deleted: a
    /// child may have come after its parents were looked for, and retention deletes blocks in
    /// no order.
    pub(super) fn look_for_gone(&self, newest: &Archive, harvest: &mut Harvest) -> Result<()> {
        let mut before = self.ask(newest, harvest, Log::default(), gone_ulids);
        for _ in 0..MAX_PASSES {
            if before.is_empty() {
                break;
            }
            self.await_deletions();
            let blocks = self.look(harvest)?;
            self.store_blocks(blocks, harvest)?;
            let now = self.ask(newest, harvest, Log::default(), gone_ulids);
            if now == before {
                break;
            }
            before = now;
        }
        Ok(())
    }

    /// Waits until no block comes, goes or is being deleted.
    fn await_deletions(&self) {
        let names = || -> BTreeSet<String> {
            let scanned = DataDir::scan(&self.source.dir);
            let entries = scanned.iter().flat_map(DataDir::entries);
            let moving = entries
                .filter(|entry| entry.kind.is_block() || entry.kind == EntryKind::BeingDeleted);
            moving.map(DirEntry::name).collect()
        };
        let begun = Instant::now();
        let mut before = names();
        while begun.elapsed() < self.options.patience {
            self.hooks.reached(Moment::Waiting);
            std::thread::sleep(POLL);
            let now = names();
            if now == before && !now.iter().any(|name| name.ends_with(".tmp-for-deletion")) {
                break;
            }
            before = now;
        }
    }
}

/// What the newest archive of a source held of blocks; none, if it held none.
pub(in crate::archive) fn held_before(newest: Option<&Archive>) -> Option<String> {
    let newest = newest.filter(|newest| !newest.blocks.is_empty())?;
    let (id, blocks) = (newest.id.short(), newest.blocks.len());
    Some(format!("archive {id} of this source holds {blocks} blocks"))
}

/// What is to be said of the directory `dir` without blocks; `before` says what an earlier archive
/// held.
pub(in crate::archive) fn nothing_here(
    dir: &Path,
    has_samples: bool,
    has_no_blocks: bool,
    before: Option<String>,
) -> Option<BackupProblem> {
    const ADVICE: &str = "is its disk mounted, and is it the right directory?";
    let dir = dir.display();
    match (has_samples, before) {
        (false, None) => Some(ProblemKind::SourceEmpty.at(
            "",
            format!(
                "no archive: {dir} holds no block and no sample that can be archived: {ADVICE}"
            ),
        )),
        (false, Some(before)) => Some(ProblemKind::SourceEmpty.at(
            "",
            format!(
                "no archive: {dir} holds no block and no sample that can be archived, and {before}: {ADVICE}"
            ),
        )),
        (true, Some(before)) if has_no_blocks => Some(ProblemKind::SourceWithoutBlocks.at(
            "",
            format!("{dir} holds no block, and {before}: {ADVICE}"),
        )),
        (true, _) => None,
    }
}
