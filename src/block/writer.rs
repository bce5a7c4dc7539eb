//! Writing a block directory: complete under a temporary name, then renamed.

#![deny(clippy::wildcard_enum_match_arm)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::{BlockStats, Compaction, META_VERSION, Meta, Tombstones};
use crate::chunk::encode::EncodedChunk;
use crate::chunk::{ChunkKind, SEGMENT_LIMIT, SegmentWriter, promised_samples};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Generation, IndexWriter, SymbolRef};
use crate::model::{ChunkMeta, Labels, Millis, Ulid};
use crate::raw::{DurableFile, sync_dir};

/// What the files of a block look like, apart from what is in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockOptions {
    /// Which sections the index has.
    pub generation: Generation,
    /// Size in bytes at which a new segment begins.
    pub segment_limit: u64,
}

impl Default for BlockOptions {
    /// As Prometheus 3.7 and later write.
    fn default() -> Self {
        BlockOptions {
            generation: Generation::Plain,
            segment_limit: SEGMENT_LIMIT,
        }
    }
}

/// Writes one block. Until [`BlockWriter::finish`] it stands under the name
/// `<ULID>.tmp-for-creation`, which Prometheus ignores and removes; a writer that is dropped
/// removes it itself.
#[derive(Debug)]
pub struct BlockWriter<'a, S> {
    meta: Meta,
    stats: BlockStats,
    /// A series went wrong half-way: segments and index do not belong together.
    torn: bool,
    index: IndexWriter<'a, DurableFile, S>,
    segments: SegmentWriter,
    staging: Staging,
    target: PathBuf,
}

impl<'a, S: AsRef<[u8]>> BlockWriter<'a, S> {
    /// Begins the block that `meta` describes, in the directory `parent`. Its statistics are
    /// counted anew.
    ///
    /// `symbols` is the complete symbol table, sorted, used or not.
    ///
    /// # Errors
    ///
    /// When the block or a leftover of writing it exists, files cannot be created, or the symbols
    /// are not sorted.
    pub fn create(
        parent: &Path,
        meta: Meta,
        symbols: &'a [S],
        options: BlockOptions,
    ) -> Result<Self> {
        let target = parent.join(meta.ulid.to_string());
        if target.symlink_metadata().is_ok() {
            let message = format!("{} exists already", target.display());
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        let staging = Staging::create(parent.join(format!("{}.tmp-for-creation", meta.ulid)))?;
        let chunks = staging.dir.join("chunks");
        fs::create_dir(&chunks).map_err(|e| Error::io("create", &chunks, e))?;
        let index = DurableFile::create(staging.dir.join("index"))?;
        let index = IndexWriter::new(index, options.generation, symbols);
        Ok(BlockWriter {
            index: index.map_err(|e| e.context(staging.dir.display().to_string()))?,
            segments: SegmentWriter::new(chunks, options.segment_limit),
            stats: BlockStats::default(),
            torn: false,
            meta,
            staging,
            target,
        })
    }

    /// Writes the next series: its labels, as positions in the symbol table, and its chunks.
    ///
    /// # Errors
    ///
    /// As [`IndexWriter::add_series`] and [`SegmentWriter::write_series`], and when a chunk's
    /// encoding is unknown. The block takes no more series then and cannot be finished.
    pub fn add_series<D: AsRef<[u8]>>(
        &mut self,
        labels: &[(SymbolRef, SymbolRef)],
        chunks: &[EncodedChunk<D>],
    ) -> Result<()> {
        self.refuse_torn()?;
        self.torn = true;
        for chunk in chunks {
            self.count(chunk)?;
        }
        let data = chunks
            .iter()
            .map(|chunk| (chunk.encoding, chunk.data.as_ref()));
        let references = self.segments.write_series(data)?;
        let meta = |(chunk, reference): (&EncodedChunk<D>, _)| ChunkMeta {
            min_time: chunk.min_time,
            max_time: chunk.max_time,
            reference,
        };
        let metas: Vec<_> = chunks.iter().zip(references).map(meta).collect();
        self.index
            .add_series(labels, &metas)
            .map_err(|e| e.context(self.staging.dir.display().to_string()))?;
        self.stats.num_series += 1;
        self.torn = false;
        Ok(())
    }

    /// Completes the block, makes it durable, and gives it its name. Returns its directory.
    ///
    /// # Errors
    ///
    /// When something cannot be written, synced or renamed, or a series could not be; then no block
    /// appears.
    pub fn finish(mut self) -> Result<PathBuf> {
        let dir = self.staging.dir.clone();
        self.refuse_torn()?;
        self.segments.finish()?;
        let index = self.index.finish();
        index
            .map_err(|e| e.context(dir.display().to_string()))?
            .finish()?;
        self.meta.stats = self.stats;
        for (name, content) in [
            ("meta.json", &self.meta.to_json()[..]),
            ("tombstones", &Tombstones::EMPTY_FILE),
        ] {
            let mut file = DurableFile::create(dir.join(name))?;
            file.append(content)?;
            file.finish()?;
        }
        sync_dir(&dir.join("chunks"))?;
        sync_dir(&dir)?;
        self.staging.publish(&self.target)?;
        Ok(self.target)
    }

    fn refuse_torn(&self) -> Result<()> {
        if self.torn {
            let dir = self.staging.dir.display();
            let message = format!("a series of {dir} could not be written, so the block cannot be");
            return Err(Error::refused(message));
        }
        Ok(())
    }

    fn count<D: AsRef<[u8]>>(&mut self, chunk: &EncodedChunk<D>) -> Result<()> {
        let samples =
            promised_samples(chunk.encoding, chunk.data.as_ref(), 0).map_err(|malformed| {
                Error::new(malformed.kind(), "cannot count a chunk's samples")
                    .with_source(malformed)
            })?;
        self.stats.num_chunks += 1;
        self.stats.num_samples += u64::from(samples);
        match chunk.encoding.kind() {
            ChunkKind::Floats => self.stats.num_float_samples += u64::from(samples),
            ChunkKind::Histograms | ChunkKind::FloatHistograms => {
                self.stats.num_histogram_samples += u64::from(samples);
            }
            // As Prometheus does, which counts neither.
            ChunkKind::Aggregates | ChunkKind::Unknown(_) => {}
        }
        Ok(())
    }
}

/// The directory of a block that is being written.
#[derive(Debug)]
struct Staging {
    dir: PathBuf,
    published: bool,
}

impl Staging {
    fn create(dir: PathBuf) -> Result<Self> {
        fs::create_dir(&dir).map_err(|e| Error::io("create", &dir, e))?;
        Ok(Staging {
            dir,
            published: false,
        })
    }

    fn publish(&mut self, target: &Path) -> Result<()> {
        fs::rename(&self.dir, target).map_err(|e| Error::io("rename to", target, e))?;
        self.published = true;
        target.parent().map_or(Ok(()), sync_dir)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed keeps a name that says what it is.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// Writes a level-1 block, as if cut from a head that held these series and nothing else, and
/// returns its directory below `parent`. Its range is just what the chunks need.
///
/// # Errors
///
/// As [`BlockWriter`]; and when there is no chunk.
pub fn write_block<D: AsRef<[u8]>>(
    parent: &Path,
    ulid: Ulid,
    series: &BTreeMap<Labels, Vec<EncodedChunk<D>>>,
    options: BlockOptions,
) -> Result<PathBuf> {
    let (min_time, max_time) = range(series.values().flatten())
        .ok_or_else(|| Error::invalid("expected a block with chunks, found none"))?;
    let meta = Meta {
        ulid,
        min_time,
        max_time,
        stats: BlockStats::default(),
        compaction: Compaction {
            level: 1,
            sources: vec![ulid],
            ..Compaction::default()
        },
        version: META_VERSION,
        extra: serde_json::Map::new(),
    };
    let symbols = symbols_of(series.keys());
    let mut writer = BlockWriter::create(parent, meta, &symbols, options)?;
    for (labels, chunks) in series {
        writer.add_series(&refer(labels, &symbols), chunks)?;
    }
    writer.finish()
}

/// The half-open range that holds `chunks`.
fn range<'a, D: 'a>(
    chunks: impl Iterator<Item = &'a EncodedChunk<D>> + Clone,
) -> Option<(Millis, Millis)> {
    let min = chunks.clone().map(|chunk| chunk.min_time).min()?;
    let max = chunks.map(|chunk| chunk.max_time).max()?;
    Some((min, max.saturating_add(1)))
}

/// The symbol table for `series`, with the empty string that every head has in it.
fn symbols_of<'a>(series: impl Iterator<Item = &'a Labels>) -> Vec<&'a [u8]> {
    let strings = series
        .flat_map(|labels| &labels.0)
        .flat_map(|label| [&*label.name, &*label.value]);
    let symbols: BTreeSet<&[u8]> = strings.chain([&b""[..]]).collect();
    symbols.into_iter().collect()
}

/// The labels as positions in `symbols`, which has them all.
fn refer(labels: &Labels, symbols: &[&[u8]]) -> Vec<(SymbolRef, SymbolRef)> {
    let position = |string: &[u8]| {
        let (Ok(position) | Err(position)) = symbols.binary_search(&string);
        SymbolRef(u32::try_from(position).unwrap_or(u32::MAX))
    };
    let pair = |label: &crate::model::Label| (position(&label.name), position(&label.value));
    labels.0.iter().map(pair).collect()
}
