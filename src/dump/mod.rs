//! Samples out of blocks, as text.
//!
//! [`dump`] writes every sample that a Prometheus querier would return for the same blocks: series
//! in label order across blocks, each timestamp once, deleted ranges left out. Unlike a querier it
//! does not stop at damage: what cannot be read is reported as a [`ReadProblem`], skipped and
//! counted, and at the end the counts are held against what the blocks' metadata promises.
//!
//! ```
//! use narthex::block::DataDir;
//! use narthex::dump::{DumpFormat, dump};
//! use narthex::model::{Millis, TimeRange};
//! use narthex::progress::Silent;
//! use narthex::raw::ReadMode;
//! use narthex::select::{Selection, SelectedBlocks};
//!
//! let dir = DataDir::scan("fixtures/night-1".as_ref())?;
//! let sources = SelectedBlocks::open(&dir, TimeRange::ALL, ReadMode::Map);
//! let up = Selection::new(Millis::MIN, Millis::MAX, vec!["up".parse()?]);
//! let mut text = Vec::new();
//! dump(&sources.blocks, &up, DumpFormat::default(), &mut text, &Silent, &mut |problem| panic!("{problem}"))?;
//! assert!(text.starts_with(b"{__name__=\"up\""));
//! # Ok::<(), narthex::Error>(())
//! ```

mod format;
mod lines;
mod tally;

use std::io::Write;

pub use format::DumpFormat;
pub use tally::{DumpTally, Unsaid};

use crate::block::Block;
use crate::error::Result;
use crate::progress::Progress;
use crate::select::{ReadProblem, Selection, Walk};
use lines::Lines;

/// Writes the samples of `blocks` that `selection` asks for to `out`, in `format`. What is damaged
/// goes to `report`, as soon as it is seen; `progress` is told how many bytes of chunks were read.
///
/// Blocks of aggregates are dumped as series of their own, behind those of samples: with the labels
/// [`AGGREGATE_LABEL`](crate::select::AGGREGATE_LABEL) and
/// [`RESOLUTION_LABEL`](crate::select::RESOLUTION_LABEL) beside those that they have.
///
/// Where blocks overlap and hold different samples for the same time, the block that begins later
/// wins.
///
/// # Errors
///
/// When `out` cannot be written to. Damage is no error.
pub fn dump(
    blocks: &[Block],
    selection: &Selection,
    format: DumpFormat,
    out: &mut dyn Write,
    progress: &dyn Progress,
    report: &mut dyn FnMut(ReadProblem),
) -> Result<DumpTally> {
    let everything = selection.selectors.is_empty();
    let total = blocks.iter().map(Block::chunk_bytes).sum();
    progress.begin("dump", everything.then_some(total));
    let mut walk = Walk::open(blocks, selection, Lines::new(out, format), report)?;
    while walk.next_series(report) {
        let mut bytes = 0;
        while let Some(read) = walk.step(report) {
            bytes += read;
            walk.sink.check()?;
        }
        progress.advance(bytes);
    }
    progress.end();
    walk.check_promises(report);
    let unsaid = walk.sink.unsaid;
    walk.sink.finish()?;
    Ok(DumpTally {
        read: walk.tally,
        unsaid,
    })
}
