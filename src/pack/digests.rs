//! What is remembered of the series of a pack, so that they are recognized without the pack.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use super::group::SourceChunk;
use crate::model::Millis;

/// The chunks of a series in a pack: as strong as the chunks themselves for saying whether others
/// are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SeriesDigest {
    /// How many there are.
    pub(super) chunks: u32,
    /// Time of the first sample of the first.
    pub(super) min_time: Millis,
    /// SHA-256 over encoding, times, length and data of each.
    pub(super) sha256: [u8; 32],
}

/// Bytes that a digest takes.
const LEN: usize = 4 + 8 + 32;

impl SeriesDigest {
    /// The digest of `chunks`.
    pub(super) fn of(chunks: &[SourceChunk<'_>]) -> Self {
        let mut sha256 = Sha256::new();
        for chunk in chunks {
            let mut head = [0; 1 + 3 * 8];
            let (encoding, numbers) = head.split_at_mut(1);
            encoding.fill(chunk.encoding.byte());
            let values = [
                chunk.min_time.to_le_bytes(),
                chunk.max_time.to_le_bytes(),
                (chunk.data.len() as u64).to_le_bytes(),
            ];
            numbers.copy_from_slice(values.as_flattened());
            sha256.update(head);
            sha256.update(chunk.data);
        }
        SeriesDigest {
            chunks: u32::try_from(chunks.len()).unwrap_or(u32::MAX),
            min_time: chunks.first().map_or(0, |chunk| chunk.min_time),
            sha256: sha256.finalize().into(),
        }
    }

    /// Appends it to `out`.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.chunks.to_le_bytes());
        out.extend_from_slice(&self.min_time.to_le_bytes());
        out.extend_from_slice(&self.sha256);
    }

    /// Reads what [`SeriesDigest::write`] wrote.
    pub(super) fn read(from: &mut dyn Read) -> io::Result<Self> {
        let mut bytes = [0; LEN];
        from.read_exact(&mut bytes)?;
        let (chunks, rest) = bytes.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
        let (min_time, rest) = rest.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
        Ok(SeriesDigest {
            chunks: u32::from_le_bytes(*chunks),
            min_time: Millis::from_le_bytes(*min_time),
            sha256: rest.try_into().unwrap_or([0; 32]),
        })
    }
}
