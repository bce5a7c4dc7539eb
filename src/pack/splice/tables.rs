//! Symbols and label sets of several packs.

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::pack::labels::Labels;
use crate::pack::symbols::SymbolTable;
use crate::pack::{Pack, PackBytes};

/// What each chunk of an unpacked group takes beside its data, in bytes.
const CHUNK_OVERHEAD: u64 = 40;

/// The label sets of one or more packs: targets that stay the same have the same series, block
/// after block.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) labels: Labels,
    /// Their symbols.
    pub(super) symbols: SymbolTable,
    /// Positions of the packs that have these. Ascending.
    pub(super) packs: Vec<usize>,
}

/// Reads the label sets of `packs`, as long as walking them all takes no more than `limit` bytes of
/// memory: their labels, and a group of each. `false` when packs are left out.
///
/// # Errors
///
/// When a pack cannot be read.
pub(super) fn read_tables<'p, P: PackBytes + ?Sized + 'p>(
    packs: impl Iterator<Item = &'p Pack<'p, P>>,
    limit: u64,
) -> Result<(Vec<Table>, bool)> {
    let mut tables: Vec<([u8; 32], Table)> = Vec::new();
    let mut left = limit;
    let mut is_complete = true;
    for (number, pack) in packs.enumerate() {
        let named = |e: Error| e.context(pack.describe());
        let groups = pack.groups().iter();
        let group = groups.map(|group| {
            group
                .chunk_bytes
                .saturating_add(group.chunks.saturating_mul(CHUNK_OVERHEAD))
        });
        let group = group.max().unwrap_or(0);
        let section = pack.label_section().map_err(named)?;
        let sha256: [u8; 32] = Sha256::digest(&section).into();
        let known = tables.iter_mut().find(|(known, _)| *known == sha256);
        if let Some((_, table)) = known {
            pack.check_series(&table.labels).map_err(named)?;
            if let Some(rest) = left.checked_sub(group) {
                left = rest;
                table.packs.push(number);
            } else {
                is_complete = false;
            }
            continue;
        }
        let mut labels = pack.parse_labels(&section).map_err(named)?;
        let Some(rest) = left.checked_sub(group.saturating_add(labels.memory())) else {
            is_complete = false;
            continue;
        };
        left = rest;
        let symbols = labels.take_symbols();
        let packs = vec![number];
        tables.push((
            sha256,
            Table {
                labels,
                symbols,
                packs,
            },
        ));
    }
    Ok((
        tables.into_iter().map(|(_, table)| table).collect(),
        is_complete,
    ))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::pack::{BlockBytes, write_pack};

    fn pack_of(fixture: &str) -> Vec<u8> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures/blocks")
            .join(fixture);
        let file = |name: &str| std::fs::read(dir.join(name)).unwrap();
        let (index, segment) = (file("index"), file("chunks/000001"));
        let block = BlockBytes {
            index: &index,
            segments: vec![&segment],
        };
        let mut pack = Vec::new();
        write_pack(&block, &mut pack, &|_| ()).unwrap().unwrap();
        pack
    }

    #[test]
    fn packs_of_the_same_label_sets_share_them_and_what_exceeds_the_limit_is_left_out() {
        let tiny = pack_of("tiny/01M7ZTB71NJ67GWWE5SXTVHFTH");
        let other = pack_of("child-of-three/01M7ZSW0E54S2QBYR3D192CSMG");
        let packs = [&tiny, &other, &tiny].map(|pack| Pack::open(&pack[..]).unwrap());
        let read = |limit| {
            let (tables, is_complete) = read_tables(packs.iter(), limit).unwrap();
            let packs = tables.into_iter().map(|table| table.packs);
            (packs.collect::<Vec<_>>(), is_complete)
        };
        assert_eq!(read(u64::MAX), (vec![vec![0, 2], vec![1]], true));
        assert_eq!(read(0), (vec![], false));
        // The small ones fit, the one between them does not.
        assert_eq!(read(10_000), (vec![vec![0, 2]], false));
    }
}
