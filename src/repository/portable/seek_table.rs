//! The seek table: zstd's seekable format, version 0.1.0 (`contrib/seekable_format` in the zstd
//! sources).
//!
//! A skippable frame at the end of the object, which every zstd passes over. All integers are
//! little-endian:
//!
//! ```text
//! u32 0x184D2A5E   u32 size of what follows
//! per frame: u32 compressed size, u32 raw size
//! u32 number of frames   u8 descriptor   u32 0x8F92EAB1
//! ```
//!
//! The descriptor is 0: entries carry no checksum, since every frame carries its own.

use crate::raw::{Malformed, Reader};

const SKIPPABLE_MAGIC: u32 = 0x184D_2A5E;
const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;
const SECTION: &str = "seek table";

/// Magic number, frame header, one block, content checksum: no zstd frame is shorter. It bounds the
/// number of frames.
const MIN_FRAME_BYTES: u32 = 13;
/// Bytes of the footer, with which an object ends.
pub(super) const FOOTER_BYTES: u64 = 9;
const HEADER_BYTES: u64 = 8;
const ENTRY_BYTES: u64 = 8;

/// Where one frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Offset in the object.
    pub(super) offset: u64,
    /// Compressed size.
    pub(super) bytes: u32,
    /// Offset in the raw stream.
    pub(super) raw_offset: u64,
    /// Raw size.
    pub(super) raw_bytes: u32,
}

/// All frames, in order, without gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SeekTable {
    pub(super) frames: Vec<Frame>,
}

impl SeekTable {
    /// Compressed size of all frames, which is where the table stands.
    pub(super) fn bytes(&self) -> u64 {
        self.frames
            .last()
            .map_or(0, |frame| frame.offset + u64::from(frame.bytes))
    }

    /// Raw size of all frames.
    pub(super) fn raw_bytes(&self) -> u64 {
        self.frames
            .last()
            .map_or(0, |frame| frame.raw_offset + u64::from(frame.raw_bytes))
    }

    /// Appends a frame. Offsets cannot overflow: 2^32 frames of at most 2^32 bytes.
    pub(super) fn push(&mut self, bytes: u32, raw_bytes: u32) {
        self.frames.push(Frame {
            offset: self.bytes(),
            bytes,
            raw_offset: self.raw_bytes(),
            raw_bytes,
        });
    }

    /// The frames that hold any byte of the raw stream from `start` to `end`, with their positions.
    pub(super) fn covering(&self, start: u64, end: u64) -> impl Iterator<Item = (usize, Frame)> {
        let first = self
            .frames
            .partition_point(|frame| frame.raw_offset + u64::from(frame.raw_bytes) <= start);
        let frames = self.frames.iter().copied().enumerate().skip(first);
        frames.take_while(move |(_, frame)| frame.raw_offset < end)
    }

    /// The table as it stands at the end of an object; `None` when it has more frames than the
    /// format can say.
    pub(super) fn to_bytes(&self) -> Option<Vec<u8>> {
        let frames = u32::try_from(self.frames.len()).ok()?;
        let size = u32::try_from(u64::from(frames) * ENTRY_BYTES + FOOTER_BYTES).ok()?;
        let mut bytes = Vec::new();
        let mut put = |value: u32| bytes.extend_from_slice(&value.to_le_bytes());
        put(SKIPPABLE_MAGIC);
        put(size);
        for frame in &self.frames {
            put(frame.bytes);
            put(frame.raw_bytes);
        }
        put(frames);
        bytes.push(0);
        bytes.extend_from_slice(&SEEKABLE_MAGIC.to_le_bytes());
        Some(bytes)
    }

    /// Size of the table, by the `footer` of an object of `object_bytes` bytes.
    pub(super) fn size(footer: &[u8], object_bytes: u64) -> Result<u64, Malformed> {
        let offset = object_bytes.saturating_sub(FOOTER_BYTES);
        let mut reader = Reader::new(footer, offset, SECTION);
        let at = reader;
        let frames = u64::from(reader.u32_le()?);
        let descriptor = reader.u8()?;
        let magic = reader.u32_le()?;
        if magic != SEEKABLE_MAGIC {
            return Err(at.unexpected(
                "magic number",
                format!("{SEEKABLE_MAGIC:08x}"),
                format_args!("{magic:08x}"),
            ));
        }
        if descriptor != 0 {
            return Err(Malformed::unknown(
                SECTION,
                offset,
                "descriptor",
                descriptor.into(),
            ));
        }
        let size = HEADER_BYTES + frames * ENTRY_BYTES + FOOTER_BYTES;
        if size > object_bytes {
            return Err(Malformed::truncated(SECTION, offset, size, object_bytes));
        }
        Ok(size)
    }

    /// Reads a whole table, which begins at `offset` of its object.
    pub(super) fn parse(bytes: &[u8], offset: u64) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, offset, SECTION);
        expect(&mut reader, "magic number", SKIPPABLE_MAGIC)?;
        let size = (bytes.len() as u64).saturating_sub(HEADER_BYTES);
        expect(&mut reader, "size", u32::try_from(size).unwrap_or(u32::MAX))?;
        let mut table = SeekTable::default();
        while reader.remaining() as u64 > FOOTER_BYTES {
            let at = reader;
            let (bytes, raw_bytes) = (reader.u32_le()?, reader.u32_le()?);
            if bytes < MIN_FRAME_BYTES {
                let wanted = format!("{MIN_FRAME_BYTES} or more");
                return Err(at.unexpected("compressed size of a frame", wanted, bytes));
            }
            if raw_bytes == 0 || raw_bytes > super::MAX_FRAME_BYTES {
                let wanted = format!("from 1 to {}", super::MAX_FRAME_BYTES);
                return Err(at.unexpected("raw size of a frame", wanted, raw_bytes));
            }
            table.push(bytes, raw_bytes);
        }
        if table.bytes() != offset {
            let at = Reader::new(&[], offset, SECTION);
            return Err(at.unexpected("size of all frames", offset.to_string(), table.bytes()));
        }
        Ok(table)
    }
}

fn expect(reader: &mut Reader<'_>, what: &'static str, wanted: u32) -> Result<(), Malformed> {
    let at = *reader;
    match reader.u32_le()? {
        found if found == wanted => Ok(()),
        found => Err(at.unexpected(what, format!("{wanted:08x}"), format_args!("{found:08x}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_reads_back_and_finds_the_frames_of_any_range() {
        let mut table = SeekTable::default();
        table.push(20, 100);
        table.push(30, 100);
        table.push(15, 50);
        let bytes = table.to_bytes().unwrap();
        let footer = &bytes[bytes.len() - 9..];
        let object_bytes = 65 + bytes.len() as u64;
        assert_eq!(
            SeekTable::size(footer, object_bytes).unwrap(),
            bytes.len() as u64
        );
        assert_eq!(SeekTable::parse(&bytes, 65).unwrap(), table);
        let covering =
            |start, end| -> Vec<usize> { table.covering(start, end).map(|(i, _)| i).collect() };
        assert_eq!(covering(0, 1), [0]);
        assert_eq!(covering(99, 101), [0, 1]);
        assert_eq!(covering(100, 250), [1, 2]);
        assert_eq!(covering(250, 300), [0; 0]);
    }

    #[test]
    fn a_table_that_does_not_fit_its_object_is_refused() {
        let mut table = SeekTable::default();
        table.push(20, 100);
        let bytes = table.to_bytes().unwrap();
        assert!(SeekTable::parse(&bytes, 20).is_ok());
        assert!(
            SeekTable::parse(&bytes, 21).is_err(),
            "frames must end where the table begins"
        );
        let footer = &bytes[bytes.len() - 9..];
        assert!(
            SeekTable::size(footer, 20).is_err(),
            "more frames than bytes"
        );
        let mut huge = SeekTable::default();
        huge.push(20, u32::MAX);
        assert!(
            SeekTable::parse(&huge.to_bytes().unwrap(), 20).is_err(),
            "a bomb"
        );
        let mut nothing = SeekTable::default();
        nothing.push(0, 100);
        assert!(
            SeekTable::parse(&nothing.to_bytes().unwrap(), 0).is_err(),
            "frames of no bytes, of which millions would fit"
        );
    }
}
