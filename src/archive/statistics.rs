//! What is learned of a block while it is verified before it is stored: its findings, and its
//! statistics.

use super::pipeline::{Pipeline, count};
use super::survey::BlockSurvey;
use crate::progress::Silent;
use crate::repository::STATISTICS_FILE;
use crate::statistics::{Amounts, Row, Statistics};
use crate::stored::write::{Failure, IsProved, Miss, OpenBlock, Verified};
use crate::verify::{Depth, JobMetric, VerifyOptions, verify_block};

impl Pipeline<'_> {
    /// What is wrong with a block that is being stored. That its chunks and its index came back as
    /// they were proves most of what deep verification would: only what has not been looked at is
    /// left to do.
    pub(super) fn examine(
        &self,
        survey: &BlockSurvey,
        block: &OpenBlock,
        is_proved: IsProved,
    ) -> Result<Verified, Failure> {
        let asked = self.options.verify.depth;
        let depth = match is_proved {
            IsProved::Yes => Depth::Quick,
            IsProved::No => asked,
        };
        let verified = self.verify(survey, block, depth)?;
        if depth == asked || !verified.has_problems {
            return Ok(verified);
        }
        // Where something is wrong all is to be known.
        self.verify(survey, block, asked)
    }

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
