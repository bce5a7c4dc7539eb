//! Blocks that the repository copied to has in the codec that is wanted.

use std::collections::BTreeMap;

use crate::copy::same::{has_same_body, has_same_files, has_same_objects, has_same_part};
use crate::copy::shelf::{Known, Shelf};
use crate::model::Ulid;
use crate::repository::lineage::is_damaged;
use crate::repository::{ObjectCodec, StoredBlock};
use crate::stored::Codec;

/// The codec of a block; `None` when this version does not know it.
pub(super) fn codec_of(block: &StoredBlock) -> Option<Codec> {
    match block.object.codec {
        ObjectCodec::Dense => Some(Codec::Dense),
        ObjectCodec::Portable => Some(Codec::Portable),
        ObjectCodec::Pack | ObjectCodec::Unknown(_) => None,
    }
}

/// Blocks in one codec, each way it is stored once.
pub(in crate::copy) struct InCodec {
    codec: Codec,
    blocks: BTreeMap<Ulid, Vec<StoredBlock>>,
}

impl InCodec {
    /// Those that archives on the shelf have in `codec`, with all their objects.
    pub(in crate::copy) fn of(shelf: &Shelf, codec: Codec) -> Self {
        let mut known = InCodec {
            codec,
            blocks: BTreeMap::new(),
        };
        let blocks = shelf.archives.iter().flat_map(|archive| &archive.blocks);
        for block in blocks.filter(|block| codec_of(block) == Some(codec)) {
            let is_there = || {
                let mut objects = block.objects();
                objects.all(|object| shelf.know(object) == Known::There)
            };
            if !known.has(block) && is_there() {
                known.add(block.clone());
            }
        }
        known
    }

    fn ways(&self, block: &StoredBlock) -> &[StoredBlock] {
        self.blocks.get(&block.ulid).map_or(&[], Vec::as_slice)
    }

    fn has(&self, block: &StoredBlock) -> bool {
        let mut ways = self.ways(block).iter();
        ways.any(|known| has_same_objects(known, block) && known.files == block.files)
    }

    /// Takes in one more.
    pub(in crate::copy) fn add(&mut self, block: StoredBlock) {
        self.blocks.entry(block.ulid).or_default().push(block);
    }

    /// Forgets those of which `is_bad` says so.
    pub(super) fn forget(&mut self, is_bad: impl Fn(&StoredBlock) -> bool) {
        let blocks = self.blocks.values_mut();
        blocks.for_each(|ways| ways.retain(|block| !is_bad(block)));
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &StoredBlock> {
        self.blocks.values().flatten()
    }

    /// The one that has the files of `block`.
    pub(in crate::copy) fn same(&self, block: &StoredBlock) -> Option<&StoredBlock> {
        let mut ways = self.ways(block).iter();
        ways.find(|known| has_same_files(known, block))
    }

    /// One that has the index and the segments of `block`.
    pub(in crate::copy) fn base(&self, block: &StoredBlock) -> Option<&StoredBlock> {
        let mut ways = self.ways(block).iter();
        ways.find(|known| has_same_part(known, block))
    }

    /// Whether `block` is in this codec where it is copied from; or is damaged, and portable, which
    /// keeps whatever its files hold.
    pub(in crate::copy) fn fits(&self, block: &StoredBlock) -> bool {
        let is_kept = || is_damaged(block) && codec_of(block) == Some(Codec::Portable);
        codec_of(block) == Some(self.codec) || is_kept()
    }

    /// Whether `block` is to be named by the objects that it has where it is copied from: it is in
    /// this codec, and the same index and segments do not lie here in others.
    pub(in crate::copy) fn is_as_it_is(&self, block: &StoredBlock) -> bool {
        let ways = || {
            self.ways(block)
                .iter()
                .filter(|known| has_same_part(known, block))
        };
        let is_here = ways().any(|known| has_same_body(known, block));
        self.fits(block) && (is_here || ways().next().is_none())
    }
}
