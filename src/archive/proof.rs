//! Whether a block holds all samples of those it was compacted from, by reading both.

use std::path::PathBuf;

use crate::block::Block;
use crate::compare::{self, chunks_stand_in, compare};
use crate::error::Result;
use crate::progress::Silent;
use crate::raw::ReadMode;
use crate::select::Selection;

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

/// The blocks in which samples of their parents are looked for.
pub(super) struct Children {
    /// Where each lies.
    pub(super) dirs: Vec<PathBuf>,
    /// Whether they were verified, and nothing was found: then chunks that their parents have
    /// count without being decoded.
    pub(super) sound: bool,
    /// Whether one was made of several blocks. Where several of them have a sample of one series
    /// and time, the child has one of them, and another value is none that is missing.
    pub(super) merged: bool,
}

/// Looks for the samples of each of the blocks `parents` in `children`.
///
/// What tombstones of a parent cover counts as deleted: a compaction leaves it out.
pub(super) fn prove(parents: &[PathBuf], children: &Children, mode: ReadMode) -> Vec<Proof> {
    let opened = children.dirs.iter().map(|dir| Block::open(dir, mode));
    let Ok(opened) = opened.collect::<Result<Vec<_>>>() else {
        return vec![Proof::Unknown; parents.len()];
    };
    let mut proofs = vec![Proof::Unknown; parents.len()];
    let blocks = parents.iter().map(|dir| Block::open(dir, mode)).enumerate();
    let (places, blocks): (Vec<_>, Vec<_>) = blocks
        .filter_map(|(place, block)| Some((place, block.ok()?)))
        .unzip();
    let copied = match opened.as_slice() {
        [child] if children.sound && child.tombstones().records.is_empty() => {
            chunks_stand_in(&blocks, child)
        }
        _ => vec![false; blocks.len()],
    };
    for ((place, parent), copied) in places.into_iter().zip(blocks).zip(copied) {
        let proof = if copied {
            Proof::Held
        } else {
            look(parent, &opened, children.merged).unwrap_or(Proof::Unknown)
        };
        if let Some(place) = proofs.get_mut(place) {
            *place = proof;
        }
    }
    proofs
}

fn look(parent: Block, children: &[Block], merged: bool) -> Result<Proof> {
    let options = compare::CompareOptions {
        selection: Selection::default(),
        named: 0,
    };
    let found = compare(&[parent], children, &options, &Silent, &mut |_, _| {})?;
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
