//! Parts: bytes compressed by zstd, after their length and their length as stored.

use std::io::Read as _;

pub(super) use zstd::bulk::Compressor;
use zstd::stream::read::Decoder;
use zstd::zstd_safe::DCtx;

use crate::raw::varint::write_uvarint;
use crate::raw::{Malformed, Reader};

/// Shorter parts only grow by being compressed.
const WORTH_COMPRESSING: usize = 20;

/// Appends a part to `out`, compressed where that makes it shorter.
pub(super) fn write(
    content: &[u8],
    compressor: &mut Compressor<'_>,
    out: &mut Vec<u8>,
) -> std::io::Result<()> {
    let compressed = if content.len() < WORTH_COMPRESSING {
        Vec::new()
    } else {
        compressor.compress(content)?
    };
    let stored = if !compressed.is_empty() && compressed.len() < content.len() {
        &compressed
    } else {
        content
    };
    write_uvarint(out, content.len() as u64);
    write_uvarint(out, stored.len() as u64);
    out.extend_from_slice(stored);
    Ok(())
}

/// Reads parts, one after the other.
#[derive(Default)]
pub(super) struct Decompressor(DCtx<'static>);

impl std::fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decompressor")
    }
}

/// Reads a part of at most `max` bytes; memory grows with what really comes out of it.
pub(super) fn read(
    reader: &mut Reader<'_>,
    decompressor: &mut Decompressor,
    max: usize,
) -> Result<Vec<u8>, Malformed> {
    let at = *reader;
    let length = reader.uvarint()?;
    let fits = usize::try_from(length).ok().filter(|length| *length <= max);
    let length =
        fits.ok_or_else(|| at.unexpected("length", format!("up to {max} bytes"), length))?;
    let stored = reader.count(1)?;
    let stored = reader.take(stored)?;
    if stored.len() == length {
        return Ok(stored.to_vec());
    }
    let mut content = Vec::new();
    let decoded = Decoder::with_context(stored, &mut decompressor.0)
        .take(length as u64 + 1)
        .read_to_end(&mut content);
    match decoded {
        Ok(decoded) if decoded == length => Ok(content),
        Ok(_) => Err(at.unexpected("content", format!("of {length} bytes"), "another length")),
        Err(e) => Err(at.unexpected("content", "compressed by zstd", e)),
    }
}
