//! Reading a pack: its directory, its labels, its groups.

use std::io::Write;

use super::digests::SeriesDigest;
use super::directory::{
    Directory, GroupEntry, HEADER_LEN, Section, TRAILER_LEN, check_header, read_trailer,
};
use super::group::{self, Unpacked};
use super::labels::Labels;
use super::lines::Lines;
use super::timeline;
use super::version::PackVersion;
use crate::error::{Error, ErrorKind, Result};
use crate::raw::Malformed;

/// Largest section of a pack that is read, in bytes. A group holds some MiB of chunks; labels of
/// millions of series some hundred MiB.
const MAX_SECTION: u64 = 512 << 20;

/// Bytes of a pack, wherever they are kept.
pub trait PackBytes: Sync {
    /// Length of the pack.
    fn length(&self) -> u64;

    /// Exactly the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>>;

    /// What it is, for errors.
    fn describe(&self) -> String {
        "pack".to_owned()
    }
}

impl PackBytes for [u8] {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>> {
        let start = usize::try_from(offset).ok();
        let end = offset
            .checked_add(length)
            .and_then(|end| usize::try_from(end).ok());
        let bytes = start.zip(end).and_then(|(start, end)| self.get(start..end));
        bytes
            .map(<[u8]>::to_vec)
            .ok_or_else(|| Error::corrupt("expected more bytes of a pack"))
    }
}

/// A pack whose directory has been read.
#[derive(Debug)]
pub struct Pack<'p, P: ?Sized> {
    bytes: &'p P,
    version: PackVersion,
    directory: Directory,
}

impl<'p, P: PackBytes + ?Sized> Pack<'p, P> {
    /// Reads header, trailer and directory.
    ///
    /// # Errors
    ///
    /// When they are damaged, or of a version this program does not know.
    pub fn open(bytes: &'p P) -> Result<Self> {
        let length = bytes.length();
        if length < HEADER_LEN + TRAILER_LEN {
            return Err(Error::corrupt(format!(
                "expected a pack, found {length} bytes"
            )));
        }
        let version = check_header(&bytes.read(0, HEADER_LEN)?).map_err(malformed)?;
        let at = length - TRAILER_LEN;
        let section = read_trailer(&bytes.read(at, TRAILER_LEN)?, at).map_err(malformed)?;
        let content = read_section(bytes, section, "pack directory")?;
        let directory = Directory::read(&content, section.offset).map_err(malformed)?;
        Ok(Pack {
            bytes,
            version,
            directory,
        })
    }

    /// What the pack consists of, for statistics: the name of each part, and its bytes.
    ///
    /// # Errors
    ///
    /// When a group cannot be read.
    pub fn parts(&self) -> Result<Vec<(&'static str, u64)>> {
        let mut parts = vec![("labels", self.directory.labels.length)];
        let mut add = |name, bytes| match parts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += bytes,
            None => parts.push((name, bytes)),
        };
        let mut sections = HEADER_LEN + self.directory.labels.length;
        for entry in &self.directory.groups {
            add("timelines", entry.timelines.length);
            sections += entry.timelines.length + entry.section.length;
            let content = read_section(self.bytes, entry.section, "group")?;
            for (name, bytes) in group::parts(&content, entry.section.offset).map_err(malformed)? {
                add(name, bytes);
            }
        }
        add(
            "directory",
            self.bytes.length().saturating_sub(sections) + HEADER_LEN,
        );
        Ok(parts)
    }

    /// The two ends of the pack that hold everything but groups: up to which offset, and from which
    /// on.
    pub fn ends(&self) -> (u64, u64) {
        let labels = self.directory.labels;
        let groups = self.directory.groups.last();
        let head = labels.offset + labels.length;
        (
            head,
            groups.map_or(head, |group| group.section.offset + group.section.length),
        )
    }

    /// Samples in all groups.
    pub fn samples(&self) -> u64 {
        let samples = self.directory.groups.iter().map(|group| group.samples);
        samples.fold(0, u64::saturating_add)
    }

    /// Chunks in all groups.
    pub fn chunks(&self) -> u64 {
        let groups = self.directory.groups.iter();
        groups.fold(0, |sum, group| sum.saturating_add(group.chunks))
    }

    /// Writes digests of all series into `out`, as [`write_part`](super::write_part) does.
    ///
    /// # Errors
    ///
    /// When the pack is damaged, or `out` cannot be written.
    pub fn digests(&self, out: &mut dyn Write) -> Result<()> {
        let mut lines = Lines::new(self.groups());
        for (number, entry) in self.groups().iter().enumerate() {
            self.load_lines(&mut lines, number)?;
            let group = self.unpack_group(entry, &self.read_group(entry)?, &lines)?;
            let mut digests = Vec::new();
            for series in group.all_series() {
                SeriesDigest::of(&series).write(&mut digests);
            }
            out.write_all(&digests)
                .map_err(|e| Error::new(ErrorKind::Io, "cannot write digests").with_source(e))?;
        }
        Ok(())
    }

    /// What the pack is, for errors.
    pub(super) fn describe(&self) -> String {
        self.bytes.describe()
    }

    /// The groups, as the directory describes them.
    pub(super) fn groups(&self) -> &[GroupEntry] {
        &self.directory.groups
    }

    /// Reads the timelines that group `number` needs, those that are not in `lines` yet.
    pub(super) fn load_lines(&self, lines: &mut Lines, number: usize) -> Result<()> {
        let Some(entry) = self.directory.groups.get(number) else {
            return Ok(());
        };
        let needs = entry
            .needs
            .iter()
            .filter_map(|need| usize::try_from(*need).ok());
        for group in needs.chain([number]) {
            let Some(entry) = self
                .directory
                .groups
                .get(group)
                .filter(|_| !lines.has(group))
            else {
                continue;
            };
            let mut own = Vec::new();
            if entry.timelines.length > 0 {
                let bytes = read_section(self.bytes, entry.timelines, "timelines")?;
                let room = lines.room();
                own = timeline::read(&bytes, entry.timelines.offset, room).map_err(malformed)?;
            }
            if own.len() as u64 != entry.timeline_count {
                let wanted = format!("of {}, as the directory says", entry.timeline_count);
                let (offset, found) = (entry.timelines.offset, own.len());
                return Err(malformed(Malformed::unexpected(
                    "timelines",
                    offset,
                    "number",
                    wanted,
                    found,
                )));
            }
            lines.put(group, own);
        }
        Ok(())
    }

    /// The bytes of a group, as stored.
    pub(super) fn read_group(&self, entry: &GroupEntry) -> Result<Vec<u8>> {
        read_section(self.bytes, entry.section, "group")
    }

    /// Unpacks a group that was read, whose timelines are in `lines`.
    pub(super) fn unpack_group(
        &self,
        entry: &GroupEntry,
        bytes: &[u8],
        lines: &Lines,
    ) -> Result<Unpacked> {
        let line = |number: usize| lines.get(number);
        let offset = entry.section.offset;
        let unpacked = group::read(bytes, offset, self.version, line).map_err(malformed)?;
        check_group(&unpacked, entry).map_err(malformed)?;
        Ok(unpacked)
    }

    /// The section of labels, as stored.
    pub(super) fn label_section(&self) -> Result<Vec<u8>> {
        read_section(self.bytes, self.directory.labels, "labels")
    }

    /// Symbols and labels of all series, from their section.
    pub(super) fn parse_labels(&self, section: &[u8]) -> Result<Labels> {
        let labels = Labels::read(section, self.directory.labels.offset).map_err(malformed)?;
        self.check_series(&labels)?;
        Ok(labels)
    }

    /// Checks that `labels` are of as many series as the groups have.
    pub(super) fn check_series(&self, labels: &Labels) -> Result<()> {
        let groups = self.directory.groups.iter();
        let series = groups.fold(0u64, |sum, group| sum.saturating_add(group.series));
        if labels.series() == series {
            return Ok(());
        }
        let offset = self.directory.labels.offset;
        let wanted = format!("of {series} series, as many as the groups have");
        let found = labels.series();
        Err(malformed(Malformed::unexpected(
            "labels", offset, "number", wanted, found,
        )))
    }
}

/// Checks that a group holds what the directory says.
fn check_group(group: &Unpacked, entry: &GroupEntry) -> std::result::Result<(), Malformed> {
    let found = [group.series.len(), group.chunks.len(), group.data.len()].map(|len| len as u64);
    let wanted = [entry.series, entry.chunks, entry.chunk_bytes];
    if found == wanted {
        return Ok(());
    }
    let words = |[series, chunks, bytes]: [u64; 3]| {
        format!("{series} series, {chunks} chunks and {bytes} bytes of them")
    };
    let wanted = format!("of {}, as the directory says", words(wanted));
    let offset = entry.section.offset;
    Err(Malformed::unexpected(
        "group",
        offset,
        "content",
        wanted,
        words(found),
    ))
}

/// Reads a section and compares its checksum.
fn read_section<P: PackBytes + ?Sized>(
    bytes: &P,
    section: Section,
    name: &'static str,
) -> Result<Vec<u8>> {
    if section.length > MAX_SECTION {
        return Err(Error::unsupported(format!(
            "expected a section of up to {MAX_SECTION} bytes, found {}",
            section.length
        )));
    }
    let content = bytes.read(section.offset, section.length)?;
    section.check(&content, name).map_err(malformed)?;
    Ok(content)
}

pub(super) fn malformed(malformed: Malformed) -> Error {
    let what = if malformed.is_unsupported() {
        "unsupported pack"
    } else {
        "damaged pack"
    };
    Error::new(malformed.kind(), what).with_source(malformed)
}
