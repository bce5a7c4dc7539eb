//! The logs of a run: opened before all else, stored last.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Harvest, Run};
use crate::archive::ProblemKind;
use crate::archive::hooks::Moment;
use crate::archive::logs::{LogFiles, open_logs};
use crate::model::Millis;
use crate::progress::Silent;
use crate::repository::portable::{self, Root, Staged};
use crate::repository::{ASKED_FOR, ArchiveId, StoredWal, mended_object, wal_object};
use crate::stored::write::{Failure, SourceFile};

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

    /// Writes the object of the logs, which is not published yet.
    pub(super) fn stage_logs(
        &self,
        id: &ArchiveId,
        logs: &LogFiles,
        blocks_end: Option<Millis>,
        harvest: &mut Harvest,
    ) -> Result<Option<(StoredWal, Staged)>, Failure> {
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
        let name = wal_object(id).map_err(Failure::Store)?;
        let files: Vec<_> = logs.files.iter().collect();
        let staged = self.writer(harvest).write(&name, Root::Data, &files)?;
        let span = logs.prove(blocks_end, self.options.verify.read_mode);
        harvest.obscure_logs = !span.problems.is_empty();
        harvest.deletions_in_log = span.deletions;
        harvest.problems.extend(span.problems);
        self.mend_logs(&logs.files, harvest)?;
        let late = span.late.and_then(|(_, times)| times).unzip();
        let wal = StoredWal {
            object: staged.object().clone(),
            files: staged.files().to_vec(),
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

    /// Stores anew the logs of older archives whose object is damaged or gone, where `files` still
    /// have all their bytes: segments only ever grow.
    fn mend_logs(&self, files: &[SourceFile], harvest: &mut Harvest) -> Result<(), Failure> {
        let store = self.repository.store();
        for broken in harvest.catalog.broken_logs() {
            let wanted = broken.files.iter();
            let prefixes = wanted.map(|wanted| {
                let here = files.iter().find(|file| file.name == wanted.name)?;
                (here.bytes >= wanted.bytes).then_some((here, wanted.bytes))
            });
            let Some(prefixes) = prefixes.collect::<Option<Vec<_>>>() else {
                continue;
            };
            let prefixes: Vec<_> = prefixes
                .iter()
                .map(|(file, bytes)| file.prefix(*bytes))
                .collect();
            let sources = broken.files.iter().zip(&prefixes);
            let sources: Vec<_> = sources
                .map(|(wanted, content)| portable::SourceFile {
                    name: wanted.name.clone(),
                    content,
                })
                .collect();
            let name = mended_object(store, &broken.object.name).map_err(Failure::Store)?;
            let level = self.options.level;
            let staged = portable::write(store, &name, Root::Data, &sources, level, &Silent);
            // What changes under the reader is no replacement.
            let Ok(staged) = staged else {
                continue;
            };
            if staged.files() == broken.files {
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
