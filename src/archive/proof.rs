//! Whether a block holds all samples of those it was compacted from, by reading both.

use std::path::{Path, PathBuf};

use crate::block::Block;
use crate::compare::{self, compare};
use crate::dump;
use crate::error::Result;
use crate::progress::Silent;
use crate::raw::ReadMode;

/// What was found out about a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Every sample that was not deleted from it stands in a child.
    Held,
    /// Some do not.
    Missing,
    /// Something could not be read.
    Unknown,
}

/// Looks for the samples of the block `parent` in the blocks `children`.
///
/// What tombstones of the parent cover counts as deleted: a compaction leaves it out. Where several parents have a sample of one series
/// and time, the child has one of them; so with `merged` another value is none that is missing.
pub(super) fn prove(parent: &Path, children: &[PathBuf], merged: bool, mode: ReadMode) -> Proof {
    look(parent, children, merged, mode).unwrap_or(Proof::Unknown)
}

fn look(parent: &Path, children: &[PathBuf], merged: bool, mode: ReadMode) -> Result<Proof> {
    let parent = [Block::open(parent, mode)?];
    let children = children.iter().map(|child| Block::open(child, mode));
    let children = children.collect::<Result<Vec<_>>>()?;
    let options = compare::Options {
        selection: dump::Options::default(),
        named: 0,
    };
    let found = compare(&parent, &children, &options, &Silent, &mut |_, _| {})?;
    Ok(if found.has_problems() {
        Proof::Unknown
    } else if found.series.only_a == 0
        && found.samples.only_a == 0
        && (merged || found.samples.different == 0)
    {
        Proof::Held
    } else {
        Proof::Missing
    })
}
