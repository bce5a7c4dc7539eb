//! The frame of a pack: header, directory, trailer.
//!
//! The directory stands at the end, because it is known last; the trailer says where. It has the
//! place, length and checksum of every section, and what is in each group, so that a few series can
//! be read without the rest.

use super::part;
use super::version::PackVersion;
use crate::model::Millis;
use crate::raw::varint::{write_uvarint, write_varint};
use crate::raw::{Malformed, Reader};

/// First bytes of a pack, and last.
pub(super) const MAGIC: [u8; 8] = *b"narthexP";
/// Bytes before the first section: magic number, version, three more.
pub(super) const HEADER_LEN: u64 = 12;
/// Bytes behind the directory: its offset, length and checksum, and the magic number.
pub(super) const TRAILER_LEN: u64 = 24;
/// No group takes fewer bytes: two for each of its streams, twelve for residuals.
const MIN_GROUP: u64 = 42;
/// Largest directory a reader accepts, in bytes: a group of four MiB takes some hundred bytes of
/// it.
const MAX_DIRECTORY: usize = 64 << 20;
const LEVEL: i32 = 9;
const SECTION: &str = "pack directory";

/// Where a section stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    /// Offset in the pack, in bytes.
    pub(super) offset: u64,
    /// Length in bytes.
    pub(super) length: u64,
    /// CRC-32 (IEEE) of its bytes.
    pub(super) checksum: u32,
}

/// A group, and what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GroupEntry {
    /// The timelines that no group before had; length 0 if there are none.
    pub(super) timelines: Section,
    pub(super) section: Section,
    /// How many those are.
    pub(super) timeline_count: u64,
    /// Groups before this one whose timelines it needs, too.
    pub(super) needs: Vec<u64>,
    pub(super) series: u64,
    pub(super) chunks: u64,
    pub(super) samples: u64,
    /// Bytes of the chunks' data, unpacked.
    pub(super) chunk_bytes: u64,
    /// Time of the first sample, and of the last.
    pub(super) min_time: Millis,
    pub(super) max_time: Millis,
    /// Labels of the first series, and of the last: for each label its name and value, each after
    /// its length.
    pub(super) first_labels: Vec<u8>,
    pub(super) last_labels: Vec<u8>,
}

/// All sections of a pack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Directory {
    pub(super) labels: Section,
    pub(super) groups: Vec<GroupEntry>,
}

/// Where the directory stands, as the trailer says.
pub(super) fn read_trailer(bytes: &[u8], offset: u64) -> Result<Section, Malformed> {
    let mut reader = Reader::new(bytes, offset, "pack trailer");
    let directory = reader.u64_le()?;
    let (length, checksum) = (u64::from(reader.u32_le()?), reader.u32_le()?);
    reader.magic_word(&MAGIC)?;
    if directory.checked_add(length) != Some(offset) {
        let found = format!("one of {length} bytes at {directory}");
        return Err(reader.unexpected("directory", format!("that ends at offset {offset}"), found));
    }
    Ok(Section {
        offset: directory,
        length,
        checksum,
    })
}

/// Checks the header of a pack, and says of which version it is.
pub(super) fn check_header(bytes: &[u8]) -> Result<PackVersion, Malformed> {
    let mut reader = Reader::new(bytes, 0, "pack header");
    reader.magic_word(&MAGIC)?;
    let byte = reader.u8()?;
    let Some(version) = PackVersion::from_byte(byte) else {
        let byte = i64::from(byte);
        return Err(Malformed::unknown("pack header", 8, "pack version", byte));
    };
    let (wanted, found) = (&behind_version(version), reader.take(3)?);
    if found == wanted {
        return Ok(version);
    }
    let (wanted, found) = (wanted.escape_ascii(), found.escape_ascii());
    Err(reader.unexpected("bytes behind the version", wanted.to_string(), found))
}

/// What stands between the version and the first section: the version again where one flipped bit
/// would make another one of it.
fn behind_version(version: PackVersion) -> [u8; 3] {
    match version {
        PackVersion::V1 | PackVersion::V2 => [0, 0, 0],
        PackVersion::V3 => [0, 0, version.byte()],
    }
}

/// Header of a pack of `version`.
pub(super) fn header(version: PackVersion) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.push(version.byte());
    bytes.extend(behind_version(version));
    bytes
}

impl Section {
    /// Compares the checksum with that of `bytes`.
    pub(super) fn check(&self, bytes: &[u8], section: &'static str) -> Result<(), Malformed> {
        let computed = crc32fast::hash(bytes);
        if computed == self.checksum {
            return Ok(());
        }
        let stored = self.checksum;
        Err(Malformed::checksum(section, self.offset, stored, computed))
    }

    fn write(self, out: &mut Vec<u8>) {
        write_uvarint(out, self.offset);
        write_uvarint(out, self.length);
        out.extend_from_slice(&self.checksum.to_be_bytes());
    }

    /// Reads a section that stands at `start`, directly behind the one before, and does not reach
    /// beyond `end`.
    ///
    /// Sections that overlap would turn a few bytes into any number of groups; bytes between two
    /// would be protected by nothing.
    fn read(reader: &mut Reader<'_>, start: u64, end: u64) -> Result<Self, Malformed> {
        let at = *reader;
        let section = Section {
            offset: reader.uvarint()?,
            length: reader.uvarint()?,
            checksum: reader.u32()?,
        };
        let last = section.offset.checked_add(section.length);
        if section.offset == start && last.is_some_and(|last| last <= end) {
            Ok(section)
        } else {
            let wanted = format!("that begins at {start} and ends before {end}");
            let found = format!("one of {} bytes at {}", section.length, section.offset);
            Err(at.unexpected("section", wanted, found))
        }
    }
}

/// Fewest bytes that a group takes: two sections of six, and ten numbers.
const MIN_ENTRY: usize = 22;

impl Directory {
    /// The directory, to stand at `offset`, and the trailer.
    pub(super) fn write(&self, offset: u64) -> std::io::Result<Vec<u8>> {
        let mut content = Vec::new();
        self.labels.write(&mut content);
        write_uvarint(&mut content, self.groups.len() as u64);
        for group in &self.groups {
            group.timelines.write(&mut content);
            group.section.write(&mut content);
            write_uvarint(&mut content, group.timeline_count);
            write_uvarint(&mut content, group.needs.len() as u64);
            group
                .needs
                .iter()
                .for_each(|needed| write_uvarint(&mut content, *needed));
            for number in [group.series, group.chunks, group.samples, group.chunk_bytes] {
                write_uvarint(&mut content, number);
            }
            write_varint(&mut content, group.min_time);
            write_varint(&mut content, group.max_time);
            for labels in [&group.first_labels, &group.last_labels] {
                write_uvarint(&mut content, labels.len() as u64);
                content.extend_from_slice(labels);
            }
        }
        let mut bytes = Vec::new();
        part::write(&content, &mut part::Compressor::new(LEVEL)?, &mut bytes)?;
        let checksum = crc32fast::hash(&bytes);
        let length = u32::try_from(bytes.len()).map_err(|_| std::io::ErrorKind::FileTooLarge)?;
        bytes.extend_from_slice(&offset.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes.extend_from_slice(&MAGIC);
        Ok(bytes)
    }

    /// Reads the directory `bytes`, which stands at `offset`: behind all sections.
    pub(super) fn read(bytes: &[u8], offset: u64) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, offset, SECTION);
        let content = part::read(
            &mut reader,
            &mut part::Decompressor::default(),
            MAX_DIRECTORY,
        )?;
        let mut reader = Reader::new(&content, offset, SECTION);
        let labels = Section::read(&mut reader, HEADER_LEN, offset)?;
        let mut end = labels.offset + labels.length;
        let at = reader;
        let count = reader.count(MIN_ENTRY)?;
        let most = (offset - end) / MIN_GROUP;
        if count as u64 > most {
            return Err(at.unexpected("groups", format!("of up to {most}"), count));
        }
        let mut groups = Vec::with_capacity(count);
        for number in 0..count as u64 {
            let timelines = Section::read(&mut reader, end, offset)?;
            end += timelines.length;
            let section = Section::read(&mut reader, end, offset)?;
            end += section.length;
            let timeline_count = reader.uvarint()?;
            let needs = (0..reader.count(1)?)
                .map(|_| reader.uvarint())
                .collect::<Result<Vec<_>, _>>()?;
            if !needs.is_sorted_by(|a, b| a < b) || needs.last().is_some_and(|last| *last >= number)
            {
                let wanted = format!("in ascending order and before {number}");
                return Err(reader.unexpected("groups needed", wanted, "others"));
            }
            groups.push(GroupEntry {
                section,
                timelines,
                timeline_count,
                needs,
                series: reader.uvarint()?,
                chunks: reader.uvarint()?,
                samples: reader.uvarint()?,
                chunk_bytes: reader.uvarint()?,
                min_time: reader.varint()?,
                max_time: reader.varint()?,
                first_labels: reader.string()?.to_vec(),
                last_labels: reader.string()?.to_vec(),
            });
        }
        if !reader.is_empty() {
            return Err(reader.unexpected("the end", "after the last group", "more bytes"));
        }
        if end != offset {
            let wanted = format!("up to the directory at {offset}");
            return Err(reader.unexpected("sections", wanted, format!("the last up to {end}")));
        }
        Ok(Directory { labels, groups })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> Directory {
        let section = |offset| Section {
            offset,
            length: 10,
            checksum: 7,
        };
        let group = GroupEntry {
            timelines: section(22),
            section: Section {
                length: 90,
                ..section(32)
            },
            timeline_count: 3,
            series: 5,
            chunks: 9,
            samples: 100,
            chunk_bytes: 1000,
            min_time: -5,
            max_time: 5,
            first_labels: b"a".to_vec(),
            ..GroupEntry::default()
        };
        let next = GroupEntry {
            needs: vec![0],
            timelines: Section {
                length: 0,
                ..section(122)
            },
            section: Section {
                length: 50,
                ..section(122)
            },
            ..group.clone()
        };
        Directory {
            labels: section(12),
            groups: vec![group, next],
        }
    }

    #[test]
    fn a_directory_comes_back_and_every_cut_is_noticed() {
        let bytes = directory().write(172).unwrap();
        let (content, trailer) =
            bytes.split_at(bytes.len() - usize::try_from(TRAILER_LEN).unwrap());
        let section = read_trailer(trailer, 172 + content.len() as u64).unwrap();
        assert_eq!(
            (section.offset, section.length),
            (172, content.len() as u64)
        );
        section.check(content, SECTION).unwrap();
        assert_eq!(Directory::read(content, 172).unwrap(), directory());
        for cut in 0..content.len() {
            assert!(Directory::read(&content[..cut], 172).is_err());
        }
        for cut in 0..trailer.len() {
            assert!(read_trailer(&trailer[..cut], 42).is_err());
        }
    }

    #[test]
    fn sections_that_do_not_follow_one_another_and_needs_of_later_groups_are_refused() {
        let damaged = |change: &dyn Fn(&mut Directory)| {
            let mut directory = directory();
            change(&mut directory);
            let bytes = directory.write(172).unwrap();
            Directory::read(&bytes[..bytes.len() - 24], 172)
        };
        assert!(damaged(&|_| ()).is_ok());
        assert!(damaged(&|d| d.labels.length = 31).is_err());
        assert!(damaged(&|d| d.groups[1].section.length = 51).is_err());
        assert!(damaged(&|d| d.groups[1].section.length = 49).is_err());
        assert!(damaged(&|d| d.groups[1].section = d.groups[0].section).is_err());
        assert!(damaged(&|d| d.groups[0].section.offset += 1).is_err());
        assert!(damaged(&|d| d.groups = vec![GroupEntry::default(); 4]).is_err());
        assert!(damaged(&|d| d.labels.offset = u64::MAX).is_err());
        assert!(damaged(&|d| d.groups[1].needs = vec![1]).is_err());
    }
}
