//! What is learned of a block while it is verified before it is stored: its findings, and its
//! statistics.

use super::pipeline::{Failure, Pipeline, count};
use super::source::{Miss, OpenBlock};
use super::survey::BlockSurvey;
use crate::progress::Silent;
use crate::repository::{FindingCounts, STATISTICS_FILE, StoredFile};
use crate::statistics::{Amounts, Row, Statistics};
use crate::verify::{Depth, JobMetric, VerifyOptions, verify_block};

/// What was learned of a block.
pub(super) struct Verified {
    pub(super) findings: FindingCounts,
    /// Whether any finding is more than a note.
    pub(super) has_problems: bool,
    /// The file of statistics: of a damaged block of what could be read. None where the index
    /// cannot be opened, or the block has a file of that name.
    pub(super) statistics: Option<Vec<u8>>,
}

impl Pipeline<'_> {
    /// Verifies a block.
    pub(super) fn verify(
        &self,
        survey: &BlockSurvey,
        block: &OpenBlock,
        depth: Depth,
    ) -> Result<Verified, Failure> {
        let options = VerifyOptions {
            depth,
            by_group: true,
            ..self.options.verify
        };
        let verdict = verify_block(&survey.found.dir, options, &Silent).map_err(Miss::from)?;
        let is_free = block.get(STATISTICS_FILE).is_none();
        let groups = Some(verdict.groups).filter(|groups| is_free && !groups.is_empty());
        Ok(Verified {
            findings: count(&verdict.findings),
            has_problems: verdict.findings.has_problems(),
            statistics: groups.map(|groups| {
                let rows = groups.into_iter().map(row).collect();
                Statistics::of(rows).to_bytes()
            }),
        })
    }
}

/// Takes the file of statistics out of the files of an object that holds `block`, unless it is one
/// of the block's; whether it was there.
pub(super) fn take_statistics(files: &mut Vec<StoredFile>, block: &OpenBlock) -> bool {
    let all = files.len();
    if block.get(STATISTICS_FILE).is_none() {
        files.retain(|file| file.name.as_str() != STATISTICS_FILE);
    }
    files.len() < all
}

fn row(group: JobMetric) -> Row {
    Row {
        job: group.job,
        metric: group.metric,
        amounts: Amounts {
            series: group.series,
            samples: group.samples,
            chunk_bytes: group.chunk_bytes,
            entry_bytes: group.entry_bytes,
        },
    }
}
