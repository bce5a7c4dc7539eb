//! The logs of a run: opened before all else, stored last.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Harvest, Run};
use crate::archive::ProblemKind;
use crate::archive::hooks::Moment;
use crate::archive::logs::{LogFiles, open_logs};
use crate::archive::pieces::Pieces;
use crate::model::Millis;
use crate::progress::Silent;
use crate::repository::portable::{self, Root, Staged};
use crate::repository::{
    ASKED_FOR, Archive, ArchiveId, StoredObject, StoredWal, log_member, mended_object, wal_object,
};
use crate::stored::write::{Failure, Miss, SourceFile};

/// How often a compaction that is waited for is looked at.
pub(super) const POLL: Duration = Duration::from_millis(50);

impl Run<'_> {
    /// Waits until the compaction that works on the WBL `segment` has written its blocks and
    /// deletes the segment. It never does when the server has died meanwhile.
    pub(super) fn await_compaction(&self, segment: &Path, harvest: &mut Harvest) {
        let begun = Instant::now();
        while segment.exists() && begun.elapsed() < self.options.patience {
            self.hooks.reached(Moment::Waiting);
            std::thread::sleep(POLL);
        }
        if segment.exists() {
            let detail = format!(
                "an out-of-order compaction did not end within {} s: Prometheus will not replay some samples of \
                 the WBL, which is archived as it is",
                self.options.patience.as_secs()
            );
            harvest
                .problems
                .push(ProblemKind::CompactionUnfinished.at("wbl", detail));
        }
    }

    pub(super) fn open_logs(&self, harvest: &mut Harvest) -> LogFiles {
        if !self.options.logs {
            for log in ["wal", "wbl"] {
                if self.source.dir.join(log).is_dir() {
                    harvest
                        .left_out
                        .insert(log.to_owned(), ASKED_FOR.to_owned());
                }
            }
            return LogFiles::default();
        }
        let opened = |log: &Path| self.hooks.reached(Moment::LogOpened(log));
        let logs = open_logs(&self.source.dir, self.options.links, &opened);
        harvest.missed.extend(logs.odd.clone());
        logs
    }

    /// Writes an object of what no archive has of the logs, which is not published yet; none where
    /// they are as the last archive has them.
    pub(super) fn stage_logs(
        &self,
        id: &ArchiveId,
        newest: Option<&Archive>,
        logs: &LogFiles,
        blocks_end: Option<Millis>,
        harvest: &mut Harvest,
    ) -> Result<Option<(StoredWal, Option<Staged>)>, Failure> {
        for path in &logs.left_out {
            let name = path.strip_prefix(&self.source.dir).unwrap_or(path);
            let name = name.to_string_lossy().into_owned();
            harvest
                .left_out
                .insert(name, "not needed for replay".into());
        }
        if logs.files.is_empty() {
            return Ok(None);
        }
        let before = newest.and_then(|newest| {
            let mut archives = harvest.catalog.up_to(newest);
            archives.find_map(|archive| archive.wal.as_ref())
        });
        let usable = |object: &StoredObject| harvest.known.holds(Some(object));
        let pieces = Pieces::of(&logs.files, before, &usable).map_err(Miss::from)?;
        let staged = self.stage_new(id, &pieces, harvest)?;
        let mode = self.options.verify.read_mode;
        let span = logs.prove(blocks_end, mode);
        let (held, files) = pieces
            .described(&logs.files, staged.as_ref(), &span.by_file, mode)
            .map_err(Miss::from)?
            .ok_or(Miss::Vanished)?;
        harvest.obscure_logs = !span.problems.is_empty();
        harvest.deletions_in_log = span.deletions;
        harvest.problems.extend(span.problems);
        self.mend_logs(&logs.files, harvest)?;
        let late = span.late.and_then(|(_, times)| times).unzip();
        // What the disk could not read is to be looked at again.
        let sound = logs.files.iter().filter(|file| !file.has_holes());
        let mut ends = pieces.ends;
        let sound: BTreeSet<_> = sound.map(|file| &file.name).collect();
        ends.retain(|name, _| sound.contains(name));
        let wal = StoredWal {
            held,
            files,
            ends,
            min_time: span.min_time,
            max_time: span.max_time,
            samples: span.samples,
            wbl_samples: span.late.map(|(samples, _)| samples),
            wbl_min_time: late.0,
            wbl_max_time: late.1,
            empty_dirs: logs.empty_dirs.clone(),
            start_problem: span.start_problem,
        };
        Ok(Some((wal, staged)))
    }

    /// Writes what is new of the logs of archive `id`.
    fn stage_new(
        &self,
        id: &ArchiveId,
        pieces: &Pieces<'_>,
        harvest: &Harvest,
    ) -> Result<Option<Staged>, Failure> {
        if pieces.new.is_empty() {
            return Ok(None);
        }
        let name = wal_object(id).map_err(Failure::Store)?;
        let parts = pieces.new.iter().map(|part| {
            let member = log_member(&part.file.name, part.from)?;
            Ok((member, part.section()))
        });
        let parts = parts.collect::<Result<Vec<_>, _>>();
        let parts = parts.map_err(Failure::Store)?;
        let staged = self
            .writer(harvest)
            .write_parts(&name, Root::Data, &parts)?;
        Ok(Some(staged))
    }

    /// Stores anew objects of logs of older archives that are damaged or gone, where `files` still
    /// have all their bytes: segments only ever grow.
    fn mend_logs(&self, files: &[SourceFile], harvest: &mut Harvest) -> Result<(), Failure> {
        let store = self.repository.store();
        for broken in harvest.catalog.broken_logs() {
            let sections = broken.parts.iter().map(|part| {
                let here = files.iter().find(|file| file.name == part.name)?;
                let range = part.from..part.end();
                let member = part.member().ok()?;
                (here.bytes >= range.end).then(|| (member, here.section(range)))
            });
            let Some(sections) = sections.collect::<Option<Vec<_>>>() else {
                continue;
            };
            let sources: Vec<_> = sections
                .iter()
                .map(|(member, content)| portable::SourceFile {
                    name: member.name.clone(),
                    content,
                })
                .collect();
            let members = sections.iter().map(|(member, _)| member);
            let name = mended_object(store, &broken.object.name).map_err(Failure::Store)?;
            let level = self.options.level;
            let staged = portable::write(store, &name, Root::Data, &sources, level, &Silent);
            // What changes under the reader is no replacement.
            let Ok(staged) = staged else {
                continue;
            };
            if staged.files().iter().eq(members) {
                staged.publish().map_err(Failure::Store)?;
                self.progress.remark(&format_args!(
                    "the log {} of an older archive is stored anew",
                    broken.object.name
                ));
                harvest.mended_logs.insert(name);
            }
        }
        Ok(())
    }
}
