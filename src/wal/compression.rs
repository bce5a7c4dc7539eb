//! Decompression of records, with a bound on what comes out.

use std::borrow::Cow;
use std::fmt;

use crate::raw::Malformed;

/// How a record is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// Snappy's block format.
    Snappy,
    /// A zstd frame (since 2.46).
    Zstd,
}

/// Largest record that is decompressed: the size at which Prometheus closes a whole segment.
///
/// How many times larger than what zstd makes of it a record is says nothing: samples with start
/// timestamps are all differences to their neighbours, of which next to nothing is left.
pub const MAX_RECORD_BYTES: usize = 128 << 20;

/// How many times larger than what snappy makes of it a record may be; no record is.
const MAX_SNAPPY_RATIO: usize = 32;

/// Decompresses records one after the other, and keeps what can be used again.
#[derive(Default)]
pub(super) struct Decoder {
    zstd: Option<zstd::bulk::Decompressor<'static>>,
    out: Vec<u8>,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

impl Decoder {
    /// The bytes of the record `stored`, which stands at `offset` in its segment.
    pub(super) fn decode<'b>(
        &'b mut self,
        compression: Compression,
        stored: &'b [u8],
        offset: u64,
    ) -> Result<&'b [u8], Malformed> {
        let limit = limit(compression, stored.len());
        let decoded = match compression {
            Compression::None => return Ok(stored),
            // As Prometheus: whatever the flag says, nothing is nothing.
            Compression::Snappy | Compression::Zstd if stored.is_empty() => return Ok(stored),
            Compression::Snappy => self.snappy(stored, limit),
            Compression::Zstd => self.zstd(stored, limit),
        };
        match decoded {
            Ok(()) => Ok(&self.out),
            Err(found) => {
                let wanted = format!("that decompresses to at most {limit} bytes");
                Err(Malformed::unexpected(
                    "WAL record",
                    offset,
                    "compressed record",
                    wanted,
                    found,
                ))
            }
        }
    }

    fn snappy(&mut self, record: &[u8], limit: usize) -> Result<(), Found> {
        let len = snap::raw::decompress_len(record).map_err(|e| e.to_string())?;
        if len > limit {
            return Err(format!("one of {len} bytes").into());
        }
        self.out.clear();
        self.out.resize(len, 0);
        let mut decoder = snap::raw::Decoder::new();
        decoder
            .decompress(record, &mut self.out)
            .map_err(|e| e.to_string())?;
        Ok(())
    }

    /// In one piece, never streaming: a stream allocates the window that the frame's header asks
    /// for.
    fn zstd(&mut self, record: &[u8], limit: usize) -> Result<(), Found> {
        let Ok(stated) = zstd::zstd_safe::get_frame_content_size(record) else {
            return Err("no zstd frame".into());
        };
        if let Some(size) = stated.filter(|size| *size > limit as u64) {
            return Err(format!("one of {size} bytes").into());
        }
        let decoder = match &mut self.zstd {
            Some(decoder) => decoder,
            none => none.insert(zstd::bulk::Decompressor::new().map_err(|e| e.to_string())?),
        };
        // A frame need not say its size, and more frames may follow the first: try larger buffers
        // up to the limit.
        let mut capacity = stated
            .and_then(|size| usize::try_from(size).ok())
            .unwrap_or(record.len().saturating_mul(4))
            .clamp(1, limit);
        loop {
            self.out.clear();
            self.out.reserve_exact(capacity);
            match decoder.decompress_to_buffer(record, &mut self.out) {
                Ok(len) if len > limit => return Err(format!("one of {len} bytes").into()),
                Ok(_) => return Ok(()),
                Err(e) if capacity >= limit => return Err(e.to_string().into()),
                Err(_) => capacity = capacity.saturating_mul(4).min(limit),
            }
        }
    }
}

/// What was found instead.
type Found = Cow<'static, str>;

/// How large a record may be of which this many bytes are stored.
fn limit(compression: Compression, stored: usize) -> usize {
    match compression {
        Compression::Snappy => stored.saturating_mul(MAX_SNAPPY_RATIO),
        Compression::None | Compression::Zstd => MAX_RECORD_BYTES,
    }
    .min(MAX_RECORD_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decompressed(compression: Compression, record: &[u8]) -> Result<Vec<u8>, Malformed> {
        Decoder::default()
            .decode(compression, record, 7)
            .map(<[u8]>::to_vec)
    }

    #[test]
    fn both_compressions_give_the_record_back() {
        let record: Vec<u8> = (0..100_000u32)
            .flat_map(|i| (i / 7).to_be_bytes())
            .collect();
        let snappy = snap::raw::Encoder::new().compress_vec(&record).unwrap();
        assert_eq!(decompressed(Compression::Snappy, &snappy).unwrap(), record);
        let zstd = zstd::bulk::compress(&record, 3).unwrap();
        assert_eq!(decompressed(Compression::Zstd, &zstd).unwrap(), record);
    }

    #[test]
    fn a_zstd_frame_need_not_state_its_size_and_may_have_followers() {
        let half = vec![9; 300_000];
        let streamed = zstd::stream::encode_all(&half[..], 3).unwrap();
        assert_eq!(decompressed(Compression::Zstd, &streamed).unwrap(), half);
        let twice = [streamed.clone(), streamed].concat();
        assert_eq!(
            decompressed(Compression::Zstd, &twice).unwrap(),
            vec![9; 600_000]
        );
    }

    #[test]
    fn a_record_of_which_zstd_makes_next_to_nothing_is_read() {
        let record = [&[11][..], &[0, 1, 2, 0, 0, 0].repeat(600_000)].concat();
        let zstd = zstd::bulk::compress(&record, 3).unwrap();
        assert!(record.len() / zstd.len() > 5000, "{}", zstd.len());
        assert!(decompressed(Compression::Zstd, &zstd).unwrap() == record);
    }

    #[test]
    fn a_bomb_is_refused_before_its_size_is_reserved() {
        let size = MAX_RECORD_BYTES + 1;
        let stated = zstd::bulk::compress(&vec![0; size], 3).unwrap();
        let unstated = zstd::stream::encode_all(&vec![0; size][..], 3).unwrap();
        let mut liar = snap::raw::Encoder::new().compress_vec(b"x").unwrap();
        liar.splice(..1, [0xff, 0xff, 0xff, 0xff, 0x0f]);
        for (compression, bomb) in [
            (Compression::Zstd, &stated),
            (Compression::Zstd, &unstated),
            (Compression::Snappy, &liar),
        ] {
            let mut decoder = Decoder::default();
            let error = decoder.decode(compression, bomb, 7).unwrap_err();
            assert_eq!(error.offset, 7);
            assert!(
                decoder.out.capacity() <= limit(compression, bomb.len()),
                "{} for {}",
                decoder.out.capacity(),
                bomb.len()
            );
        }
    }

    #[test]
    fn what_is_no_compressed_record_is_refused() {
        assert!(decompressed(Compression::Zstd, b"nonsense").is_err());
        assert!(decompressed(Compression::Snappy, b"nonsense").is_err());
        assert_eq!(decompressed(Compression::Zstd, b"").unwrap(), b"");
    }
}
