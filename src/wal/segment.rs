//! Records of one segment: fragments joined and decompressed.

use super::compression::{Compression, Decoder};
use super::oddity::{Oddities, Oddity};
use super::page::{Broken, Fragment, Fragments, Position};
use crate::raw::{Malformed, Reader};

/// One record, decompressed but not yet decoded. Lent until the next one is read.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'b> {
    /// Offset of its first fragment in the segment, in bytes.
    pub offset: u64,
    /// Offset of the end of its last fragment: where Prometheus cuts when the next record is
    /// broken.
    pub end: u64,
    /// How it is stored.
    pub compression: Compression,
    /// Type byte and content.
    pub payload: &'b [u8],
    /// Whether zeros were put in for what is missing of it at the end of the segment. One that
    /// does not decode is torn, then.
    pub is_padded: bool,
}

/// Reads the records of one segment in order.
///
/// A segment that ends in the middle of a page counts as padded with zeros, as Prometheus reads it.
/// After an error there are no more records.
#[derive(Debug)]
pub struct Records<'a> {
    fragments: Fragments<'a>,
    /// The fragments of a record that has several.
    joined: Vec<u8>,
    decoder: Decoder,
    fused: bool,
}

/// What is known of a record when its last fragment has been read.
struct Joined<'a> {
    offset: u64,
    compression: Compression,
    /// Its stored bytes, when they are one piece of the segment; else they are in
    /// [`Records::joined`].
    piece: Option<&'a [u8]>,
    is_padded: bool,
}

impl<'a> Records<'a> {
    /// Reads `segment`, the content of a segment file.
    pub fn new(segment: &'a [u8]) -> Self {
        Records {
            fragments: Fragments::new(segment),
            joined: Vec::new(),
            decoder: Decoder::default(),
            fused: false,
        }
    }

    /// What was unusual in the framing so far.
    pub fn oddities(&self) -> &Oddities {
        &self.fragments.oddities
    }

    /// The next record; nothing at the end of the segment.
    ///
    /// # Errors
    ///
    /// When the segment is torn or damaged here. From then on the answer is that there are no more
    /// records.
    pub fn next_record(&mut self) -> Result<Option<RawRecord<'_>>, Broken> {
        if self.fused {
            return Ok(None);
        }
        self.fused = true;
        let Some(record) = self.join()? else {
            return Ok(None);
        };
        let Joined {
            offset,
            compression,
            piece,
            is_padded,
        } = record;
        let stored = piece.unwrap_or(&self.joined);
        let payload = self
            .decoder
            .decode(compression, stored, offset)
            .map_err(if is_padded {
                Broken::Torn
            } else {
                Broken::Damaged
            })?;
        let end = self.fragments.offset();
        self.fused = false;
        Ok(Some(RawRecord {
            offset,
            end,
            compression,
            payload,
            is_padded,
        }))
    }

    /// Collects the fragments of the next record.
    fn join(&mut self) -> Result<Option<Joined<'a>>, Broken> {
        self.joined.clear();
        let mut first: Option<Fragment<'a>> = None;
        while let Some(fragment) = self.fragments.next_fragment()? {
            if fragment.position.starts() == first.is_some() {
                return Err(out_of_order(&fragment, first.is_some()));
            }
            let begin = *first.get_or_insert(fragment);
            self.note_compression(&begin, &fragment);
            let is_whole = fragment.position == Position::Full && !fragment.is_padded;
            if !is_whole {
                self.joined.extend_from_slice(fragment.payload);
                let joined = self.joined.len();
                self.joined.resize(joined + fragment.zeros, 0);
            }
            if fragment.position.ends() {
                return Ok(Some(Joined {
                    offset: begin.offset,
                    compression: compression_of(&fragment),
                    piece: is_whole.then_some(fragment.payload),
                    is_padded: fragment.is_padded,
                }));
            }
        }
        match first {
            None => Ok(None),
            Some(begin) => Err(Broken::Torn(Malformed::unexpected(
                "WAL record",
                begin.offset,
                "record",
                "with a last fragment",
                "the end of the segment",
            ))),
        }
    }

    fn note_compression(&mut self, begin: &Fragment<'_>, fragment: &Fragment<'_>) {
        let oddities = &mut self.fragments.oddities;
        if begin.snappy != fragment.snappy {
            oddities.note(Oddity::MixedCompression, fragment.offset);
        } else if begin.snappy && (begin.zstd || fragment.zstd) {
            oddities.note(Oddity::StrayZstd, fragment.offset);
        } else if begin.zstd != fragment.zstd {
            oddities.note(Oddity::MixedZstd, fragment.offset);
        }
    }
}

/// Prometheus heeds the flags of the last fragment, and snappy's before zstd's.
fn compression_of(last: &Fragment<'_>) -> Compression {
    match (last.snappy, last.zstd) {
        (true, _) => Compression::Snappy,
        (false, true) => Compression::Zstd,
        (false, false) => Compression::None,
    }
}

#[cold]
fn out_of_order(fragment: &Fragment<'_>, inside: bool) -> Broken {
    let wanted = if inside {
        "middle or last, as a record is open"
    } else {
        "full or first, as no record is open"
    };
    let found = match fragment.position {
        Position::Full => "full",
        Position::First => "first",
        Position::Middle => "middle",
        Position::Last => "last",
    };
    let at = Reader::new(&[], fragment.offset, "WAL fragment");
    Broken::Damaged(at.unexpected("type", wanted, found))
}

#[cfg(test)]
mod tests {
    use super::super::writer::SegmentWriter;
    use super::*;

    /// Offset, compression and payload of each record, and how the segment ends.
    type Read = (Vec<(u64, Compression, Vec<u8>)>, Option<Broken>);

    fn read(segment: &[u8]) -> Read {
        let mut records = Records::new(segment);
        let mut found = Vec::new();
        loop {
            match records.next_record() {
                Ok(Some(r)) => found.push((r.offset, r.compression, r.payload.to_vec())),
                Ok(None) => return (found, None),
                Err(broken) => {
                    assert!(records.next_record().unwrap().is_none(), "fused");
                    return (found, Some(broken));
                }
            }
        }
    }

    fn damage(segment: &[u8]) -> String {
        match read(segment).1 {
            Some(Broken::Damaged(malformed)) => malformed.to_string(),
            other => panic!("expected damage, found {other:?}"),
        }
    }

    #[test]
    fn records_of_every_size_and_compression_come_back() {
        let mut writer = SegmentWriter::default();
        let mut written = Vec::new();
        for (i, compression) in [Compression::None, Compression::Snappy, Compression::Zstd]
            .into_iter()
            .cycle()
            .take(30)
            .enumerate()
        {
            let record: Vec<u8> = (0..i * i * i * 9)
                .flat_map(|b| (b * b / 7).to_le_bytes())
                .step_by(8)
                .collect();
            let compression = if record.is_empty() {
                Compression::None
            } else {
                compression
            };
            writer.log(&record, compression);
            written.push((compression, record));
        }
        for pad in [false, true] {
            if pad {
                writer.pad();
            }
            let (found, broken) = read(&writer.bytes);
            assert_eq!(broken, None);
            let found: Vec<_> = found
                .into_iter()
                .map(|(_, c, payload)| (c, payload))
                .collect();
            assert_eq!(found, written);
        }
    }

    #[test]
    fn a_header_never_straddles_pages_and_zeros_between_records_are_padding() {
        let page = 32 * 1024;
        for left in 0..=8 {
            let long = vec![2; page - 7 - left];
            let segment = SegmentWriter::with([&long[..], &[3; 20]]);
            let (found, broken) = read(&segment);
            assert_eq!(broken, None, "{left} bytes left in the page");
            assert_eq!(found[1].2, [3; 20]);
        }
        let (found, broken) = read(&vec![0; 100_000]);
        assert_eq!((found.len(), broken), (0, None));
    }

    #[test]
    fn every_cut_is_clean_between_records_and_torn_inside_them() {
        let segment = SegmentWriter::with([&[1; 9][..], &vec![2; 40_000], &[3; 5]]);
        let (whole, _) = read(&segment);
        let ends = [0, 16, 40_030, 40_042].map(|end: usize| end);
        assert_eq!(segment.len(), ends[3]);
        for cut in (0..200).chain((200..segment.len()).step_by(97)).chain(ends) {
            let (found, broken) = read(&segment[..cut]);
            let sound = ends.iter().rposition(|end| *end <= cut).unwrap();
            // Of a record that is one fragment, the type byte and zeros are a record of no bytes.
            let is_empty = sound != 1 && (1..=2).contains(&(cut - ends[sound]));
            let empty = is_empty.then(|| (ends[sound] as u64, Compression::None, Vec::new()));
            let wanted: Vec<_> = whole[..sound].iter().cloned().chain(empty).collect();
            assert_eq!(found, wanted, "cut at {cut}");
            if is_empty || ends.contains(&cut) {
                assert_eq!(broken, None, "cut at {cut}");
            } else {
                assert!(matches!(broken, Some(Broken::Torn(_))), "cut at {cut}");
            }
        }
    }

    #[test]
    fn zeros_that_are_cut_off_are_read_as_if_they_were_there() {
        let record = [&[7; 9][..], &[0; 8]].concat();
        let long = [&vec![2; 40_000][..], &[0; 4]].concat();
        let segment = SegmentWriter::with([&record[..], &long]);
        let (whole, _) = read(&segment);
        for (end, zeros) in [(7 + 17, 8), (segment.len(), 4)] {
            for cut in 0..=zeros {
                let (found, broken) = read(&segment[..end - cut]);
                assert_eq!(broken, None, "{cut} cut off at {end}");
                let count = found.len();
                assert!(
                    count > 0 && found == whole[..count],
                    "{cut} cut off at {end}"
                );
            }
            let (_, broken) = read(&segment[..end - zeros - 1]);
            assert!(matches!(broken, Some(Broken::Torn(_))), "{broken:?}");
        }
    }

    #[test]
    fn damage_names_section_offset_wanted_and_found() {
        let sound = SegmentWriter::with([&[1; 9][..], &[2; 9]]);
        let mut flipped = sound.clone();
        flipped[16 + 7] ^= 1;
        assert!(
            damage(&flipped).starts_with("WAL fragment at offset 16: expected checksum "),
            "{}",
            damage(&flipped)
        );
        let mut too_long = sound.clone();
        too_long[17] = 0x80;
        assert_eq!(
            damage(&too_long),
            "WAL fragment at offset 16: expected length of at most 32761 bytes, found 32777"
        );
        let mut beyond_page = sound.clone();
        beyond_page[17..19].copy_from_slice(&[0x7f, 0xf0]);
        assert_eq!(
            damage(&beyond_page),
            "WAL fragment at offset 16: expected length that ends inside its page, found 32752"
        );
        let mut padding = sound.clone();
        padding.extend([0, 0, 7]);
        assert_eq!(
            damage(&padding),
            "WAL page padding at offset 34: expected byte 0, found another value"
        );
    }

    #[test]
    fn fragments_in_a_wrong_order_are_damage() {
        for (kinds, wanted) in [
            (
                &[1, 3][..],
                "offset 8: expected type full or first, as no record is open, found middle",
            ),
            (
                &[4],
                "offset 0: expected type full or first, as no record is open, found last",
            ),
            (
                &[2, 1],
                "offset 8: expected type middle or last, as a record is open, found full",
            ),
            (
                &[2, 3, 2],
                "offset 16: expected type middle or last, as a record is open, found first",
            ),
            (&[1, 5], "offset 8: expected type from 0 to 4, found 5"),
        ] {
            let mut writer = SegmentWriter::default();
            for kind in kinds {
                writer.fragment(*kind, b"x");
            }
            assert_eq!(damage(&writer.bytes), format!("WAL fragment at {wanted}"));
        }
    }

    #[test]
    fn what_prometheus_overlooks_is_noted() {
        let mut writer = SegmentWriter::default();
        writer.fragment(0x21, b"x");
        writer.fragment(0x08 | 2, b"");
        writer.fragment(4, b"y");
        writer.bytes.extend([0x10, 0, 0]);
        let mut records = Records::new(&writer.bytes);
        while records.next_record().unwrap().is_some() {}
        let odd: Vec<_> = records.oddities().iter().collect();
        let seen = |first, count| super::super::Seen { first, count };
        assert_eq!(
            odd,
            [
                (Oddity::ReservedBits, seen(0, 2)),
                (Oddity::MixedCompression, seen(15, 1))
            ]
        );
    }

    #[test]
    fn a_record_that_does_not_decompress_is_damage_at_its_start() {
        let mut writer = SegmentWriter::default();
        writer.fragment(1, b"x");
        writer.fragment(0x11, b"no zstd");
        assert_eq!(
            damage(&writer.bytes),
            "WAL record at offset 8: expected compressed record that decompresses to at most 134217728 bytes, found \
             no zstd frame"
        );
    }
}
