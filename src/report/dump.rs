//! The closing words of `narthex dump`.

use crate::dump::DumpTally;
use crate::select::{ReadKind, UnreadableBlock};
use crate::trouble::Trouble;
use crate::units::count_text;

/// Why a block is not in the dump.
pub fn unreadable(block: &UnreadableBlock) -> String {
    let dir = block.dir.display();
    match block.superseded_by {
        Some(child) => format!("{dir} not read, nor needed: {child} was compacted from it"),
        None => format!("{dir} not dumped: {}", block.error.chain()),
    }
}

/// The same as data.
pub fn trouble(block: &UnreadableBlock) -> Trouble<ReadKind> {
    let kind = match block.superseded_by {
        Some(_) => ReadKind::BlockPassedOver,
        None => ReadKind::BlockUnread,
    };
    Trouble::new(kind, block.dir.display().to_string(), unreadable(block))
}

/// What was dumped, left out and lost: one sentence each.
pub fn closing(tally: &DumpTally) -> Vec<String> {
    let blocks = tally.read.blocks.len() as u64;
    let mut lines = vec![format!(
        "dumped {} of {} from {}",
        counted(tally.read.samples, "sample"),
        counted(tally.read.series, "series"),
        counted(blocks, "block")
    )];
    for (count, noun, sentence) in [
        (
            tally.read.deleted,
            "sample",
            "left out because they were deleted",
        ),
        (
            tally.read.duplicates,
            "sample",
            "left out because another block has the same time",
        ),
        (
            tally.read.unsayable,
            "sample",
            "left out because the format cannot say native histograms",
        ),
        (tally.unsaid.stale_as_nan, "stale marker", "written as NaN"),
        (
            tally.unsaid.starts,
            "sample",
            "written without their start timestamp",
        ),
        (
            tally.unsaid.replaced_labels,
            "series",
            "written with labels that are not UTF-8 replaced",
        ),
        (
            tally.read.lost_series,
            "series",
            "or parts of the index not readable",
        ),
        (tally.read.lost_chunks, "chunk", "not readable"),
        (tally.read.lost_samples, "sample", "known to be lost"),
    ] {
        if count > 0 {
            lines.push(format!("{} {sentence}", counted(count, noun)));
        }
    }
    lines
}

/// `1 block`, `2 blocks`; *series* is its own plural.
fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 || noun == "series" {
        ""
    } else {
        "s"
    };
    format!("{} {noun}{plural}", count_text(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happened_is_said() {
        let mut tally = DumpTally::default();
        tally.read.series = 2;
        tally.read.samples = 1;
        tally.read.lost_chunks = 1;
        assert_eq!(
            closing(&tally),
            [
                "dumped 1 sample of 2 series from 0 blocks",
                "1 chunk not readable"
            ]
        );
    }
}
