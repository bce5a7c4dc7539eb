//! Block after block into one analysis.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use super::costs::Costs;
use super::cross::Cross;
use super::cuts::{CutReason, CutRow};
use super::decode::Bits;
use super::lives::Lives;
use super::options::AnalyzeOptions;
use super::pairs::{PairTable, PairTally, Wide};
use super::scrapes::{ScrapeCounts, Scrapes};
use super::tally::{Tally, tally};
use super::walk::Walked;
use super::window::window;
use crate::block::Block;
use crate::chunk::SEGMENT_HEADER;
use crate::error::{InFile as _, Result};
use crate::inspect::{Distribution, FULL_CHUNK, Faults, SeriesCounts, sections};
use crate::model::{Kin, Millis, Stream, Succession, Ulid};
use crate::raw::Malformed;

/// One block that was analysed.
#[derive(Clone, Debug)]
pub struct BlockRow {
    /// Its identity.
    pub ulid: Ulid,
    /// Its directory.
    pub dir: PathBuf,
    /// Start of its range.
    pub min_time: Millis,
    /// End of its range, exclusive.
    pub max_time: Millis,
    /// Compaction level.
    pub level: i64,
    /// Series that count.
    pub series: u64,
    /// Their chunks.
    pub chunks: u64,
    /// Samples of these chunks.
    pub samples: u64,
    /// Bytes of its index.
    pub index_bytes: u64,
    /// Bytes of its segments.
    pub chunk_bytes: u64,
    /// Bytes of `meta.json` and `tombstones`.
    pub small_bytes: u64,
    /// Parts that could not be read.
    pub faults: u64,
    /// What decides whether it and others hold the same.
    pub kin: Kin,
}

impl BlockRow {
    /// Bytes of all its files.
    pub fn bytes(&self) -> u64 {
        self.index_bytes
            .saturating_add(self.chunk_bytes)
            .saturating_add(self.small_bytes)
    }
}

/// A kind of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByteKind {
    /// The file it is in.
    pub file: &'static str,
    /// What it is.
    pub name: &'static str,
    /// Bytes of this kind in all blocks.
    pub bytes: u64,
}

/// Sums over all blocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnalysisTotals {
    /// Blocks.
    pub blocks: u64,
    /// Start of the earliest block; nothing without blocks.
    pub min_time: Option<Millis>,
    /// End of the latest block, exclusive; nothing without blocks.
    pub max_time: Option<Millis>,
    /// Length of all blocks together.
    pub block_time: u64,
    /// Series entries that count.
    pub series_entries: u64,
    /// Series entries that do not.
    pub left_out: u64,
    /// Chunks that count.
    pub chunks: u64,
    /// Their samples.
    pub samples: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes of indexes.
    pub index_bytes: u64,
    /// Bytes of segments.
    pub chunk_bytes: u64,
    /// Label names of series that count.
    pub label_names: u64,
    /// Label pairs of series that count.
    pub label_pairs: u64,
    /// Labels of all these series together.
    pub postings: u64,
    /// Different series.
    pub series: u64,
    /// Series entries with one sample.
    pub one_sample: u64,
    /// The distance most samples have, an average of each chunk; zero where none is known.
    pub interval: Millis,
    /// Bits of times and values, if samples were read.
    pub bits: Bits,
    /// Chunks of floats.
    pub float_chunks: u64,
    /// Those with 120 samples or more.
    pub full_chunks: u64,
    /// Samples of chunks of floats.
    pub float_samples: u64,
    /// Blocks that could not be read at all: nothing of them is in any other number.
    pub unreadable: u64,
    /// Blocks that begin before an earlier one ends.
    pub overlapping: u64,
    /// Blocks that another one was compacted from.
    pub superseded: u64,
    /// Parts that could not be read.
    pub faults: u64,
}

/// Takes blocks.
#[derive(Debug)]
pub struct Analyzer {
    options: AnalyzeOptions,
    analysis: Analysis,
}

/// Everything about some blocks.
#[derive(Debug, Default)]
pub struct Analysis {
    /// The blocks, by time.
    pub blocks: Vec<BlockRow>,
    /// What could not be read.
    pub faults: Faults,
    /// Chunks: encodings, samples, bytes.
    pub counts: SeriesCounts,
    /// Bits of times and values; zero unless samples were read.
    pub bits: Bits,
    /// Buckets of histogram chunks; empty unless samples were read.
    pub histogram_buckets: Distribution,
    /// Whether the samples themselves were read.
    pub extended: bool,
    totals: AnalysisTotals,
    unreadable: u64,
    cuts: [(u64, u64); CutReason::ALL.len()],
    pub(super) parts: Vec<ByteKind>,
    pub(super) pairs: PairTable,
    pub(super) whole: PairTally,
    pub(super) whole_index: Wide,
    pub(super) left_out: PairTally,
    pub(super) left_out_index: Wide,
    /// Bytes of indexes that series bear.
    pub(super) borne_index: u64,
    /// Bytes of segments that series refer to.
    pub(super) borne_chunks: u64,
    pub(super) lives: Lives,
    scrapes: ScrapeCounts,
    pub(super) cross: Cross,
}

impl Analyzer {
    /// Begins an analysis.
    pub fn new(options: AnalyzeOptions) -> Self {
        let analysis = Analysis {
            extended: options.extended,
            lives: Lives::new(options.several_blocks),
            ..Analysis::default()
        };
        Analyzer { options, analysis }
    }

    /// Adds a block, and returns how many parts of it could not be read. Blocks come by their
    /// start, earlier ones first: whether a series is born is asked of those before.
    ///
    /// # Errors
    ///
    /// When its symbol table cannot be read: then nothing can be said of its labels, and nothing of
    /// it counts.
    pub fn add(&mut self, block: &Block) -> Result<u64> {
        let index = block.index()?;
        let mut faults = Faults::default();
        for (path, fault) in block.faults() {
            faults.push(Some(path.clone()), fault.clone());
        }
        let costs = Costs::measure(&index, &mut faults).in_file(&block.files().index())?;
        block.release_index(&(index.toc().postings..block.index_bytes()));
        let walked = Walked {
            block,
            index,
            costs: &costs,
            selection: &self.options.selection,
        };
        let window = window(walked);
        let analysis = &mut self.analysis;
        let mut tally = tally(walked, &self.options, window, &analysis.lives, &mut faults);
        if analysis.lives.era(window).grows {
            analysis.pairs.forget_ends();
            analysis.whole.ends = 0;
        }
        analysis.cross.add(walked, &tally.pairs);
        block.release_index(&(index.toc().series..block.index_bytes()));
        let (lives, ids) = (
            std::mem::take(&mut tally.lives),
            std::mem::take(&mut tally.ids),
        );
        analysis.lives.add(&costs, lives, ids, window);
        analysis.scrapes.add(&costs, &tally);
        analysis.pairs.add(&costs, std::mem::take(&mut tally.pairs));
        if tally.unlisted > 0 {
            let found = format!("{} that are in none", tally.unlisted);
            faults.index(Malformed::unexpected(
                "postings",
                index.toc().postings,
                "labels of series",
                "in a postings list each",
                found,
            ));
        }
        // Of several blocks it must be said whose index it is.
        for (file, _) in &mut faults.first {
            file.get_or_insert_with(|| block.files().index());
        }
        let count = faults.count;
        analysis.block(walked, &tally, count);
        analysis.counts.merge(&tally.counts);
        analysis.bits.add(tally.decoded.bits);
        analysis.histogram_buckets.merge(&tally.decoded.buckets);
        for (known, (chunks, samples)) in analysis.cuts.iter_mut().zip(tally.cuts) {
            known.0 += chunks;
            known.1 += samples;
        }
        analysis.faults.merge(faults);
        Ok(count)
    }

    /// Counts a block that could not even be opened, or not be added.
    pub fn skip(&mut self) {
        self.analysis.unreadable += 1;
    }

    /// The analysis of the blocks that were added.
    pub fn finish(mut self) -> Analysis {
        self.analysis
            .blocks
            .sort_by_key(|block| (block.min_time, block.ulid));
        self.analysis.totals = self.analysis.sum();
        self.analysis
    }
}

impl Analysis {
    fn block(&mut self, walked: Walked<'_>, tally: &Tally, faults: u64) {
        let block = walked.block;
        let meta = block.meta();
        let files = block.files();
        let len = |path: PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let meta_bytes = len(files.meta());
        let tombstone_bytes = if files.has_tombstones {
            len(files.tombstones())
        } else {
            0
        };
        let (index_bytes, chunk_bytes) = (block.index_bytes(), block.chunk_bytes());
        let mut borne = Wide::default();
        borne.add(tally.whole.index);
        borne.add(tally.left_out.index);
        self.borne_index += borne.rounded().min(index_bytes);
        let chunks = tally
            .whole
            .chunk_bytes
            .saturating_add(tally.left_out.chunk_bytes)
            .min(chunk_bytes);
        self.borne_chunks += chunks;
        self.whole.add(&tally.whole);
        self.left_out.add(&tally.left_out);
        self.whole_index.add(tally.whole.index);
        self.left_out_index.add(tally.left_out.index);
        let headers = (block.segments().len() as u64)
            .saturating_mul(SEGMENT_HEADER)
            .min(chunk_bytes - chunks);
        self.part("chunks", "chunks of series", chunks);
        self.part("chunks", "headers of segments", headers);
        self.part(
            "chunks",
            "referred to by no series",
            chunk_bytes - chunks - headers,
        );
        for section in sections(&walked.index) {
            self.part("index", section.name, section.bytes);
        }
        self.part("meta.json", "metadata", meta_bytes);
        self.part("tombstones", "deletions", tombstone_bytes);
        self.blocks.push(BlockRow {
            ulid: meta.ulid,
            dir: block.dir().to_owned(),
            min_time: meta.min_time,
            max_time: meta.max_time,
            level: meta.compaction.level,
            series: u64::from(tally.whole.series),
            chunks: tally.counts.chunks(),
            samples: tally.whole.samples,
            index_bytes,
            chunk_bytes,
            small_bytes: meta_bytes.saturating_add(tombstone_bytes),
            faults,
            kin: meta.kin(meta.ulid),
        });
    }

    fn part(&mut self, file: &'static str, name: &'static str, bytes: u64) {
        let known = self
            .parts
            .iter_mut()
            .find(|part| part.file == file && part.name == name);
        match known {
            Some(part) => part.bytes = part.bytes.saturating_add(bytes),
            None => self.parts.push(ByteKind { file, name, bytes }),
        }
    }

    /// Where the bytes are, by kind; they add up to the size of the files.
    pub fn parts(&self) -> &[ByteKind] {
        &self.parts
    }

    /// Why chunks ended.
    pub fn cuts(&self) -> Vec<CutRow> {
        let cuts = CutReason::ALL.into_iter().zip(self.cuts);
        cuts.filter(|(_, (chunks, _))| *chunks > 0)
            .map(|(cut, (chunks, samples))| CutRow {
                cut,
                chunks,
                samples,
                of_chunks: self.totals.chunks,
            })
            .collect()
    }

    /// How regularly each job is scraped, by its name.
    pub fn scrapes(&self) -> Vec<Scrapes> {
        self.scrapes.of_jobs()
    }

    /// Sums over all blocks.
    pub fn totals(&self) -> &AnalysisTotals {
        &self.totals
    }

    fn sum(&self) -> AnalysisTotals {
        let sum =
            |of: fn(&BlockRow) -> u64| self.blocks.iter().map(of).fold(0, u64::saturating_add);
        AnalysisTotals {
            blocks: self.blocks.len() as u64,
            min_time: self.blocks.iter().map(|b| b.min_time).min(),
            max_time: self.blocks.iter().map(|b| b.max_time).max(),
            block_time: sum(|b| b.max_time.saturating_sub(b.min_time).max(0).unsigned_abs()),
            series_entries: sum(|b| b.series),
            left_out: u64::from(self.left_out.series),
            chunks: sum(|b| b.chunks),
            samples: sum(|b| b.samples),
            bytes: sum(BlockRow::bytes),
            index_bytes: sum(|b| b.index_bytes),
            chunk_bytes: sum(|b| b.chunk_bytes),
            label_names: self.pairs.names.len() as u64,
            label_pairs: self.pairs.len(),
            postings: self
                .pairs
                .iter()
                .map(|(_, pair)| u64::from(pair.tally.series))
                .fold(0, u64::saturating_add),
            series: self.series(),
            one_sample: u64::from(self.whole.one_sample),
            interval: self.counts.scrape_interval().map_or(0, |(found, _)| found),
            bits: self.bits,
            float_chunks: self.counts.float_samples.count(),
            full_chunks: self.counts.float_samples.at_least(FULL_CHUNK),
            float_samples: self.counts.float_samples.sum(),
            unreadable: self.unreadable,
            overlapping: self.overlapping(),
            superseded: self.superseded().len() as u64,
            faults: self.faults.count,
        }
    }

    fn overlapping(&self) -> u64 {
        let mut ends: BTreeMap<&Stream, Millis> = BTreeMap::new();
        let mut count = 0;
        for block in &self.blocks {
            let end = ends.entry(&block.kin.stream).or_insert(Millis::MIN);
            count += u64::from(block.min_time < *end);
            *end = block.max_time.max(*end);
        }
        count
    }

    /// The places in `blocks` of those that another one was compacted from.
    fn superseded(&self) -> BTreeSet<usize> {
        let succession = Succession::of(self.blocks.iter().map(|block| block.kin.clone()));
        let blocks = self.blocks.iter().enumerate();
        blocks
            .filter(|(_, block)| !succession.heirs(block.ulid, None).is_empty())
            .map(|(place, _)| place)
            .collect()
    }

    /// Blocks whose samples may be in others of `blocks` too: those that overlap with one and those
    /// that lie beside what was compacted from them.
    pub(super) fn doubled(&self) -> u64 {
        let mut places = self.superseded();
        let mut last: BTreeMap<&Stream, (Millis, usize)> = BTreeMap::new();
        for (place, block) in self.blocks.iter().enumerate() {
            let (end, with) = *last.get(&block.kin.stream).unwrap_or(&(Millis::MIN, place));
            if block.min_time < end {
                places.extend([with, place]);
            }
            if block.max_time > end {
                last.insert(&block.kin.stream, (block.max_time, place));
            }
        }
        places.len() as u64
    }
}
