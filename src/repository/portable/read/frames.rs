//! Frames of an object: found without a seek table, and decompressed.

use zstd::bulk::Decompressor;

use crate::error::{Error, Result};
use crate::repository::portable::MAX_FRAME_BYTES;
use crate::repository::portable::buffer::Buffer;
use crate::repository::portable::seek_table::{Frame, SeekTable};
use crate::store::{ObjectName, Store};

/// Bytes that are read at a time where frames are looked for.
const WINDOW: u64 = 1 << 20;

/// Most bytes that one frame takes: a little more than its content where that does not compress.
const MAX_COMPRESSED: usize = 2 * MAX_FRAME_BYTES as usize;

/// The frames of an object from its begin on, up to the first that is none.
pub(super) fn find_frames(store: &dyn Store, name: &ObjectName) -> Result<SeekTable> {
    let total = store.size(name)?;
    let mut table = SeekTable::default();
    let (mut window, mut read) = (Vec::new(), 0);
    let mut at = 0;
    loop {
        let rest = window.get(at..).unwrap_or_default();
        let found = zstd::zstd_safe::find_frame_compressed_size(rest).ok();
        if let Some(bytes) = found {
            let raw = zstd::zstd_safe::get_frame_content_size(rest).ok().flatten();
            let raw = raw.and_then(|raw| u32::try_from(raw).ok());
            let raw = raw.filter(|raw| (1..=MAX_FRAME_BYTES).contains(raw));
            let (Some(raw), Ok(stored)) = (raw, u32::try_from(bytes)) else {
                // The seek table is a frame without content.
                return Ok(table);
            };
            table.push(stored, raw);
            at += bytes;
            continue;
        }
        if read == total || rest.len() > MAX_COMPRESSED {
            return Ok(table);
        }
        window.drain(..at);
        at = 0;
        // A frame that is not complete yet is looked at again when there is twice as much of it,
        // not for each megabyte.
        let step = WINDOW.max(window.len() as u64).min(total - read);
        window.append(&mut store.get_range(name, read..read + step)?);
        read += step;
    }
}

/// Bit of the frame header's descriptor that says that a content checksum follows (RFC 8878,
/// 3.1.1.1.1).
const CHECKSUM_FLAG: u8 = 1 << 2;

/// Decompresses exactly one frame, which must carry a checksum.
pub(super) fn decompress(frame: Frame, compressed: &[u8]) -> Result<Buffer> {
    let one = zstd::zstd_safe::find_frame_compressed_size(compressed) == Ok(compressed.len());
    if !one {
        return Err(Error::corrupt(
            "expected one whole zstd frame, found something else",
        ));
    }
    if compressed
        .get(4)
        .is_none_or(|descriptor| descriptor & CHECKSUM_FLAG == 0)
    {
        return Err(Error::corrupt(
            "expected a zstd frame with a checksum, found one without",
        ));
    }
    let wanted = usize::try_from(frame.raw_bytes).unwrap_or(usize::MAX);
    let damaged = |e| Error::corrupt("damaged zstd frame").with_source(e);
    let mut raw = Buffer::default();
    raw.reserve_exact(wanted);
    Decompressor::new()
        .and_then(|mut decompressor| decompressor.decompress_to_buffer(compressed, &mut *raw))
        .map_err(damaged)?;
    if raw.len() == wanted {
        return Ok(raw);
    }
    Err(Error::corrupt(format!(
        "expected {wanted} raw bytes, found {}",
        raw.len()
    )))
}
