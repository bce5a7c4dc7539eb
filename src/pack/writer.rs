//! Packing a block.

use std::io::Write;
use std::ops::Range;

use rayon::prelude::*;

use super::digests::SeriesDigest;
use super::directory::{Directory, GroupEntry, Section, header};
use super::group::{self, Scanned, SourceChunk, Unpacked, scan};
use super::index::IndexProof;
use super::labels::{LabelIter, LabelRefs, LabelWriter, Labels, move_to};
use super::selection::{PackSelection, SelectedWalk, SelectionCursor};
use super::source::{BlockBytes, Grouping, Source, SourceGroup, Unpackable};
use super::timeline::{self, Timelines};
use super::version::PackVersion;
use crate::chunk::decode;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Generation, Series, SymbolRef, Symbols};
use crate::model::ChunkMeta;
use crate::raw::Malformed;
use crate::raw::varint::write_uvarint;

/// A block that was packed, and proved to come back byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Length of the pack in bytes.
    pub bytes: u64,
    /// Number of chunks in each segment.
    pub segments: Vec<u64>,
    /// How the index is rebuilt; `None` when it must be kept as it is.
    pub index: Option<Generation>,
    /// Number of series, chunks and samples.
    pub series: u64,
    /// See `series`.
    pub chunks: u64,
    /// See `series`.
    pub samples: u64,
    /// Chunks that were kept as they are.
    pub verbatim: u64,
    /// Whether each chunk has its samples in order of time, within the times that the index gives
    /// for it. Histograms have rules of their own and are not looked at: with them, a block
    /// does not count as sound.
    pub is_sound: bool,
}

/// Packs `block` into `out`; `advance` hears of each group how many bytes of chunks are done.
///
/// Everything is read back and compared before this returns: the chunks of every group as soon as
/// it is packed, the index at the end. What was written must be thrown away if this fails or
/// returns [`Unpackable`].
///
/// # Errors
///
/// When `out` cannot be written.
pub fn write_pack(
    block: &BlockBytes<'_>,
    out: &mut dyn Write,
    advance: &(dyn Fn(u64) + Sync),
) -> Result<Result<Packed, Unpackable>> {
    write_part(block, None, out, &mut std::io::sink(), advance)
}

/// Like [`write_pack`]; with a `selection` only that part of `block` is packed, and neither
/// segments nor index are told of. `digests` receives what [`KnownPack`](super::KnownPack) needs to
/// recognize the series later.
///
/// # Errors
///
/// When `out` or `digests` cannot be written.
pub fn write_part(
    block: &BlockBytes<'_>,
    selection: Option<&PackSelection>,
    out: &mut dyn Write,
    digests: &mut dyn Write,
    advance: &(dyn Fn(u64) + Sync),
) -> Result<Result<Packed, Unpackable>> {
    match pack(block, selection, out, digests, advance) {
        Ok(packed) => Ok(Ok(packed)),
        Err(Stop::Unpackable(why)) => Ok(Err(why)),
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// Why packing ended early.
pub(super) enum Stop {
    Unpackable(Unpackable),
    Failed(Error),
}

impl From<Unpackable> for Stop {
    fn from(why: Unpackable) -> Self {
        Stop::Unpackable(why)
    }
}

impl From<Malformed> for Stop {
    fn from(malformed: Malformed) -> Self {
        Stop::Unpackable(malformed.into())
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error)
    }
}

fn pack(
    block: &BlockBytes<'_>,
    selection: Option<&PackSelection>,
    out: &mut dyn Write,
    digests: &mut dyn Write,
    advance: &(dyn Fn(u64) + Sync),
) -> Result<Packed, Stop> {
    let source = Source::open(block)?;
    let mut writer = Writer {
        out: Output { out, position: 0 },
        digests,
        is_part: selection.is_some(),
        version: version_of(&source, selection)?,
        directory: Directory::default(),
        timelines: Timelines::default(),
        group_of_timeline: Vec::new(),
    };
    writer.out.put(&header(writer.version))?;
    let labels = writer.put_labels(&source, selection)?;
    let generation = Generation::of(&source.index.toc());
    let symbols: Vec<&[u8]> = labels.symbols().iter().collect();
    // Of a part there is no index.
    let mut proof = selection.is_none().then(|| Proof {
        labels: labels.walk(),
        refs: LabelRefs::new(),
        index: IndexProof::new(block.index, generation, &symbols),
    });
    let mut packed = Packed {
        bytes: 0,
        segments: Vec::new(),
        index: None,
        series: 0,
        chunks: 0,
        samples: 0,
        verbatim: 0,
        is_sound: true,
    };
    let mut walk = SelectedWalk::new(&source, selection);
    let mut grouping = Grouping::default();
    loop {
        // As many groups at a time as there are threads: their timelines are found one after the
        // other.
        let mut wave = Vec::new();
        while wave.len() < rayon::current_num_threads() {
            let Some(group) = grouping.next(|| walk.next())? else {
                break;
            };
            wave.push(group);
        }
        if wave.is_empty() {
            break;
        }
        writer.put_wave(&source.symbols, &wave, proof.as_mut(), &mut packed, advance)?;
    }
    if let Some(proof) = proof {
        packed.segments = walk.finish()?;
        packed.index = proof.finish().then_some(generation);
    }
    packed.bytes = writer.finish()?;
    Ok(packed)
}

/// The oldest version whose columns have all chunks, of those that are written. It stands in front
/// of everything, so it has to be known before anything is packed. Chunks that no version has ask
/// for none: they are kept as they are.
fn version_of(source: &Source<'_>, selection: Option<&PackSelection>) -> Result<PackVersion, Stop> {
    let mut version = PackVersion::PLAIN;
    let mut walk = SelectedWalk::new(source, selection);
    while let Some(walked) = walk.next()? {
        for chunk in walked.series.chunks {
            version = version.max(wanted_version(&chunk).unwrap_or(version));
            if version.is_newest() {
                return Ok(version);
            }
        }
    }
    Ok(version)
}

/// The oldest version whose columns have `chunk`, if any has. Where releases write an encoding in
/// several ways, its data tell.
fn wanted_version(chunk: &SourceChunk<'_>) -> Option<PackVersion> {
    let encoder = match chunk.encoding.encoders() {
        [] => return None,
        [only] => only,
        [..] => {
            let shape = decode(chunk.encoding, chunk.data, 0, |_| ()).ok()?;
            chunk
                .encoding
                .encoder(shape.xor2_writer.unwrap_or_default())?
        }
    };
    PackVersion::of(encoder)
}

/// Proves the index from what was read back.
struct Proof<'a, 'l> {
    labels: LabelIter<'l>,
    refs: LabelRefs,
    index: IndexProof<'a, 'l>,
}

impl Proof<'_, '_> {
    /// Adds the series of a group, whose chunks stand where `group` says.
    fn add(&mut self, unpacked: &Unpacked, group: &SourceGroup<'_>) -> Result<(), Stop> {
        let mut chunks = unpacked.chunks.iter().zip(&group.places);
        for count in &unpacked.series {
            self.labels.next(&mut self.refs)?;
            let metas = chunks
                .by_ref()
                .take(*count)
                .map(|(chunk, reference)| ChunkMeta {
                    min_time: chunk.min_time,
                    max_time: chunk.max_time,
                    reference: *reference,
                });
            self.index.add(&self.refs, metas);
        }
        Ok(())
    }

    /// Whether the index is the original.
    fn finish(mut self) -> bool {
        matches!(self.labels.next(&mut self.refs), Ok(false)) && self.index.finish()
    }
}

struct Output<'o> {
    out: &'o mut dyn Write,
    position: u64,
}

impl Output<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.out
            .write_all(bytes)
            .map_err(|e| Error::new(ErrorKind::Io, "cannot write the pack").with_source(e))?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn put_section(&mut self, bytes: &[u8]) -> Result<Section> {
        let section = Section {
            offset: self.position,
            length: bytes.len() as u64,
            checksum: crc32fast::hash(bytes),
        };
        self.put(bytes)?;
        Ok(section)
    }
}

struct Writer<'o> {
    out: Output<'o>,
    digests: &'o mut dyn Write,
    /// Whether only part of the block is packed: then no index tells whether the times of chunks
    /// come back.
    is_part: bool,
    version: PackVersion,
    directory: Directory,
    timelines: Timelines,
    /// For each timeline the group that has it.
    group_of_timeline: Vec<u64>,
}

/// A group on its way into the pack.
struct Member<'a> {
    scanned: Scanned<'a>,
    /// The timelines it is the first to have.
    new_lines: Range<usize>,
}

/// A group that was packed and came back.
struct Proved {
    bytes: Vec<u8>,
    digests: Vec<u8>,
    timelines: Vec<u8>,
    unpacked: Unpacked,
}

impl Writer<'_> {
    /// Writes the labels of all series, or those of the selected ones, and reads them back.
    fn put_labels(
        &mut self,
        source: &Source<'_>,
        selection: Option<&PackSelection>,
    ) -> Result<Labels, Stop> {
        let mut writer = LabelWriter::default();
        let mut series = Series::default();
        let places = selection.map(|selection| selection.symbol_places(source.symbols.len()));
        let mut cursor = SelectionCursor::new(selection);
        for entry in source.index.series() {
            entry?.decode(&mut series)?;
            if !cursor.pass(series.chunks.len()) {
                continue;
            }
            if let Some(places) = &places {
                move_to(&mut series.labels, places);
            }
            writer.push(&series.labels);
        }
        let is_in =
            |symbol: &SymbolRef| selection.is_none_or(|selection| selection.has_symbol(*symbol));
        let symbols = source.symbols.iter().filter(|(number, _)| is_in(number));
        let mut bytes = Vec::new();
        writer
            .finish(symbols.map(|(_, symbol)| symbol), &mut bytes)
            .map_err(compressor_failed)?;
        self.directory.labels = self.out.put_section(&bytes)?;
        Ok(Labels::read(&bytes, self.directory.labels.offset)?)
    }

    fn put_wave(
        &mut self,
        symbols: &Symbols<'_>,
        wave: &[SourceGroup<'_>],
        mut proof: Option<&mut Proof<'_, '_>>,
        packed: &mut Packed,
        advance: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Stop> {
        let version = self.version;
        let scanned = wave.par_iter().map(|group| scan(&group.series, version));
        let scanned: Vec<Scanned<'_>> = scanned.collect();
        let members: Vec<Member<'_>> = scanned
            .into_iter()
            .map(|mut scanned| {
                let first = self.timelines.lines().len();
                scanned.place(&mut self.timelines);
                Member {
                    scanned,
                    new_lines: first..self.timelines.lines().len(),
                }
            })
            .collect();
        let (timelines, with_times) = (&self.timelines, self.is_part);
        let proved: Vec<Result<Option<Proved>>> = members
            .par_iter()
            .zip(wave)
            .map(|(member, group)| {
                let proved = pack_and_prove(member, group, version, timelines, with_times);
                advance(group.chunk_bytes);
                proved
            })
            .collect();
        for ((member, group), proved) in members.iter().zip(wave).zip(proved) {
            let Some(proved) = proved? else {
                return Err(Unpackable::Unusual("its chunks do not come back as they were").into());
            };
            self.put_group(symbols, member, group, &proved)?;
            self.digests
                .write_all(&proved.digests)
                .map_err(|e| Error::new(ErrorKind::Io, "cannot write digests").with_source(e))?;
            if let Some(proof) = &mut proof {
                proof.add(&proved.unpacked, group)?;
            }
            packed.series += group.series.len() as u64;
            packed.chunks += group.chunks;
            packed.samples += group.samples;
            packed.verbatim += member.scanned.verbatim();
            packed.is_sound &= member.scanned.is_sound;
        }
        Ok(())
    }

    fn put_group(
        &mut self,
        symbols: &Symbols<'_>,
        member: &Member<'_>,
        group: &SourceGroup<'_>,
        proved: &Proved,
    ) -> Result<()> {
        let number = self.directory.groups.len() as u64;
        self.group_of_timeline.resize(member.new_lines.end, number);
        let of = |line: usize| self.group_of_timeline.get(line).copied();
        let mut needs: Vec<u64> = member
            .scanned
            .timelines()
            .filter_map(of)
            .filter(|needed| *needed != number)
            .collect();
        needs.sort_unstable();
        needs.dedup();
        let [first, last] = match &group.ends {
            Some(ends) => ends.each_ref().map(|labels| label_strings(symbols, labels)),
            None => [Vec::new(), Vec::new()],
        };
        let timelines = self.out.put_section(&proved.timelines)?;
        let section = self.out.put_section(&proved.bytes)?;
        self.directory.groups.push(GroupEntry {
            section,
            timelines,
            timeline_count: member.new_lines.len() as u64,
            needs,
            series: group.series.len() as u64,
            chunks: group.chunks,
            samples: group.samples,
            chunk_bytes: group.chunk_bytes,
            min_time: group.min_time,
            max_time: group.max_time,
            first_labels: first,
            last_labels: last,
        });
        Ok(())
    }

    fn finish(mut self) -> Result<u64> {
        let directory = self
            .directory
            .write(self.out.position)
            .map_err(compressor_failed)?;
        self.out.put(&directory)?;
        Ok(self.out.position)
    }
}

/// Packs a group, unpacks it, and compares; `None` if it is not the same.
fn pack_and_prove(
    member: &Member<'_>,
    group: &SourceGroup<'_>,
    version: PackVersion,
    timelines: &Timelines,
    with_times: bool,
) -> Result<Option<Proved>> {
    let lines = timelines.lines();
    let new_lines = lines.get(member.new_lines.clone()).unwrap_or_default();
    let mut timeline_bytes = Vec::new();
    if !new_lines.is_empty() {
        timeline::write(new_lines, &mut timeline_bytes).map_err(compressor_failed)?;
        let read = timeline::read(&timeline_bytes, 0, usize::MAX);
        if !read.is_ok_and(|read| read == new_lines) {
            return Ok(None);
        }
    }
    let mut bytes = Vec::new();
    group::write(&member.scanned, &mut bytes).map_err(compressor_failed)?;
    let line = |number: usize| lines.get(number).map(|line| &**line);
    let Ok(unpacked) = group::read(&bytes, 0, version, line) else {
        return Ok(None);
    };
    let same = is_same(&unpacked, group, with_times);
    let mut digests = Vec::new();
    // Of what comes back: an index may say other times of a chunk than its samples have.
    for series in unpacked.all_series() {
        SeriesDigest::of(&series).write(&mut digests);
    }
    Ok(same.then_some(Proved {
        bytes,
        digests,
        timelines: timeline_bytes,
        unpacked,
    }))
}

/// Whether the chunks of `unpacked` are those of `group`, byte for byte; `with_times` asks for the
/// times that the index says, too.
fn is_same(unpacked: &Unpacked, group: &SourceGroup<'_>, with_times: bool) -> bool {
    let counts = group.series.iter().map(|series| series.chunks.len());
    let mut rest = &unpacked.data[..];
    let mut chunks = unpacked.chunks.iter();
    let same_chunks = group
        .series
        .iter()
        .flat_map(|series| &series.chunks)
        .all(|source| {
            let Some(chunk) = chunks.next() else {
                return false;
            };
            let (data, behind) = rest.split_at_checked(chunk.length).unwrap_or_default();
            rest = behind;
            let times = (chunk.min_time, chunk.max_time) == (source.min_time, source.max_time);
            (times || !with_times) && chunk.encoding == source.encoding && data == source.data
        });
    same_chunks
        && rest.is_empty()
        && chunks.next().is_none()
        && unpacked.series.iter().copied().eq(counts)
}

/// Names and values of labels, each after its length.
fn label_strings(symbols: &Symbols<'_>, labels: &[(SymbolRef, SymbolRef)]) -> Vec<u8> {
    let mut out = Vec::new();
    for symbol in labels.iter().flat_map(|(name, value)| [name, value]) {
        let string = symbols.get(*symbol, 0).unwrap_or_default();
        write_uvarint(&mut out, string.len() as u64);
        out.extend_from_slice(string);
    }
    out
}

fn compressor_failed(source: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "cannot compress").with_source(source)
}
