//! Samples of chunks that may become part of other ones.

use crate::chunk::{OwnedSample, Xor2Writer, decode_owned, numbers_per_sample, promised_samples};
use crate::model::CounterReset;
use crate::pack::group::SourceChunk;
use crate::raw::Malformed;

/// Appends the samples of `chunk` to `out`, as [`decode_owned`].
///
/// # Errors
///
/// Where the chunk is damaged.
pub(super) fn decode_into(
    chunk: &SourceChunk<'_>,
    out: &mut Vec<OwnedSample>,
) -> std::result::Result<(CounterReset, Xor2Writer), Malformed> {
    decode_owned(chunk.encoding, chunk.data, out)
}

/// How many numbers the samples of `chunk` have together, or more.
pub(super) fn weight(chunk: &SourceChunk<'_>) -> usize {
    let samples = promised_samples(chunk.encoding, chunk.data, 0).unwrap_or(0) as usize;
    let each = numbers_per_sample(chunk.encoding, chunk.data).unwrap_or(0);
    samples.saturating_mul(each.saturating_add(1))
}
