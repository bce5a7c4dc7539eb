//! Series of a block whose files lie whole in objects.

use std::path::Path;

use super::deleted::Deleted;
use super::files::{Objects, open_index};
use super::{INDEX, StoredReader, StoredSeries};
use crate::block::Meta;
use crate::chunk::encode::EncodedChunk;
use crate::chunk::{ChunkRecord, SEGMENT_HEADER, Segment};
use crate::error::{InFile as _, Result};
use crate::index::Series;
use crate::model::{ChunkMeta, ChunkRef};
use crate::raw::{Malformed, Reader};
use crate::repository::StoredFile;
use crate::repository::portable::{FileEntry, Object};
use crate::select::{Candidates, Filter, Selection};

/// Most bytes of the length at the beginning of a chunk's record.
const MAX_LENGTH: u64 = 10;
/// Bytes of a record behind its length, beside the chunk's data: encoding and checksum.
const BESIDE_DATA: u64 = 5;

/// Lends the series that are `asked` for to `visit`, reading the index and only the frames that
/// hold their chunks.
pub(super) fn read_series(
    reader: &StoredReader<'_>,
    mut objects: Objects<'_>,
    meta: &Meta,
    asked: &Selection,
    deleted: &Deleted,
    visit: &mut dyn FnMut(&StoredSeries<'_>) -> Result<()>,
) -> Result<()> {
    let path = Path::new(INDEX);
    let bytes = objects.index()?;
    let index = open_index(&bytes, meta)?;
    let symbols = index.symbols().in_file(path)?;
    let mut candidates = Candidates::beside(&index, &asked.selectors, &[]);
    let mut filter = Filter::new(&asked.selectors, &symbols);
    let mut segments = Segments::find(reader.files(), objects)?;
    let mut series = Series::default();
    let mut labels: Vec<(&[u8], &[u8])> = Vec::new();
    let mut chunks = Vec::new();
    while let Some(entry) = candidates.next(&index) {
        let entry = entry.in_file(path)?;
        entry.check().in_file(path)?;
        entry.decode(&mut series).in_file(path)?;
        let selects = filter.selects(&series, &symbols, entry.offset);
        if !selects.in_file(path)? {
            continue;
        }
        chunks.clear();
        for chunk in series.chunks.iter().filter(|chunk| asked.concerns(chunk)) {
            chunks.push(segments.chunk(chunk)?);
        }
        if chunks.is_empty() {
            continue;
        }
        labels.clear();
        for (name, value) in &series.labels {
            let name = symbols.get(*name, entry.offset).in_file(path)?;
            labels.push((name, symbols.get(*value, entry.offset).in_file(path)?));
        }
        let deleted = deleted.at(entry.reference);
        visit(&StoredSeries::new(&labels, &chunks, deleted, asked.range))?;
    }
    Ok(())
}

/// The segments of a block, in the objects that hold them.
struct Segments<'s> {
    objects: Objects<'s>,
    /// In the order in which chunk references count them.
    segments: Vec<StoredSegment<'s>>,
}

struct StoredSegment<'s> {
    file: &'s StoredFile,
    /// Number of its object.
    object: usize,
    entry: FileEntry,
    /// Whether its header was looked at.
    is_checked: bool,
}

impl<'s> Segments<'s> {
    fn find(files: &'s [StoredFile], mut objects: Objects<'s>) -> Result<Self> {
        let mut segments = Vec::new();
        for file in files.iter().filter(|file| file.name.is_segment()) {
            let (object, entry) = objects.find(file)?;
            segments.push(StoredSegment {
                file,
                object,
                entry,
                is_checked: false,
            });
        }
        // As Prometheus counts them: names as text.
        segments.sort_by_key(|segment| &segment.file.name);
        Ok(Segments { objects, segments })
    }

    /// The chunk that the index describes as `meta`, its checksum compared.
    fn chunk(&mut self, meta: &ChunkMeta) -> Result<EncodedChunk> {
        let (segments, number) = (self.segments.len(), meta.reference.segment());
        let Some(segment) = self.segments.get_mut(number) else {
            let found = number.saturating_add(1);
            let offset = meta.reference.offset();
            let wanted = format!("of {segments} segments");
            let fault = Malformed::unexpected("chunk", offset, "segment", wanted, found);
            return Err(fault).in_file(Path::new(INDEX));
        };
        let path = Path::new(segment.file.name.as_str());
        let object = self.objects.at(segment.object)?;
        if !segment.is_checked {
            let header = SEGMENT_HEADER.min(segment.entry.bytes);
            let header = object.read_range(&segment.entry, 0..header)?;
            Segment::new(&header).check_header().in_file(path)?;
            segment.is_checked = true;
        }
        let bytes = read_record(object, &segment.entry, meta.reference)?;
        let record = ChunkRecord::read(&bytes, meta.reference.offset()).in_file(path)?;
        record.check().in_file(path)?;
        Ok(EncodedChunk {
            encoding: record.encoding,
            min_time: meta.min_time,
            max_time: meta.max_time,
            data: record.data.to_vec(),
        })
    }
}

/// The bytes of the record at `reference`, as far as its length says.
fn read_record(
    object: &mut Object<'_>,
    segment: &FileEntry,
    reference: ChunkRef,
) -> Result<Vec<u8>> {
    let path = Path::new(segment.name.as_str());
    let offset = reference.offset();
    if offset < SEGMENT_HEADER || offset >= segment.bytes {
        let wanted = format!(
            "between {SEGMENT_HEADER} and the file's {} bytes",
            segment.bytes
        );
        let fault = Malformed::unexpected("chunk", offset, "chunk offset", wanted, offset);
        return Err(fault).in_file(path);
    }
    let end = segment.bytes.min(offset.saturating_add(MAX_LENGTH));
    let beginning = object.read_range(segment, offset..end)?;
    let mut reader = Reader::new(&beginning, offset, "chunk");
    let length = reader.uvarint().in_file(path)?;
    let rest = length.saturating_add(BESIDE_DATA);
    let end = reader.offset().saturating_add(rest);
    if end > segment.bytes {
        let left = segment.bytes.saturating_sub(reader.offset());
        return Err(Malformed::truncated("chunk", offset, rest, left)).in_file(path);
    }
    object.read_range(segment, offset..end)
}
