//! The index file of a block.
//!
//! [`Index::open`] reads the header and the table of contents only; everything else is decoded when
//! asked for, straight from the (usually mapped) bytes. [`Section`] frames what the file protects
//! with a checksum, and leaves it to the caller whether a wrong checksum ends the matter: readers
//! refuse, `verify` reports and reads on.
//!
//! Source: Prometheus `tsdb/index/index.go`; layout in `docs/tsdb-format.md`.
//!
//! ```
//! use narthex::index::Index;
//! use narthex::raw::{FileBytes, ReadMode};
//!
//! let path = "fixtures/night-1/01M80FJGSDDJPV4DWFG2XR4VJ2/index";
//! let bytes = FileBytes::open(path.as_ref(), ReadMode::Map)?;
//! let index = Index::open(&bytes).map_err(|e| narthex::Error::corrupt(e.to_string()))?;
//! assert_eq!(index.version(), 2);
//! # Ok::<(), narthex::Error>(())
//! ```

mod label_indices;
mod layout;
mod output;
mod postings;
mod section;
mod series;
mod symbols;
mod toc;
mod writer;

pub use label_indices::{LabelIndex, LabelIndexEntry, LabelIndices};
pub use layout::IndexLayout;
pub use postings::{Postings, PostingsEntry, PostingsTable};
pub use section::Section;
pub use series::{SERIES_ALIGNMENT, Series, SeriesEntries, SeriesEntry, SoundEntries};
pub use symbols::{SymbolRef, Symbols};
pub use toc::{TOC_LEN, Toc};
pub use writer::{Generation, IndexWriter};

use crate::model::{Label, Labels, SeriesRef};
use crate::raw::{Malformed, Reader};

/// First four bytes of the file.
pub const MAGIC: u32 = 0xbaaa_d700;
/// Bytes before the symbol table: magic number and version.
pub const HEADER_LEN: u64 = 5;

/// How series and symbols are addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexFormat {
    /// Prometheus 2.0: both by byte offset, series not aligned.
    V1,
    /// Prometheus 2.1 and later: symbols by ordinal, series by offset divided by 16.
    V2,
}

/// An index file: its bytes and its table of contents.
#[derive(Clone, Copy, Debug)]
pub struct Index<'a> {
    bytes: &'a [u8],
    version: u8,
    format: IndexFormat,
    toc: Toc,
}

impl<'a> Index<'a> {
    /// Reads header and table of contents of the index whose content is `bytes`.
    ///
    /// # Errors
    ///
    /// What Prometheus would not open either: a wrong magic number, an unknown version, a table of
    /// contents that is cut off or whose checksum is wrong.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let version = Self::check_header(bytes)?;
        let toc = Toc::read(bytes)?;
        let format = if version == 1 {
            IndexFormat::V1
        } else {
            IndexFormat::V2
        };
        Ok(Index {
            bytes,
            version,
            format,
            toc,
        })
    }

    /// An index whose table of contents was found in some other way than at its end: to read on
    /// where [`Index::open`] refuses.
    pub fn assume(bytes: &'a [u8], format: IndexFormat, toc: Toc) -> Self {
        let version = if format == IndexFormat::V1 { 1 } else { 2 };
        Index {
            bytes,
            version,
            format,
            toc,
        }
    }

    /// Checks magic number and version, and returns the version.
    ///
    /// # Errors
    ///
    /// When either is not one Prometheus opens.
    pub fn check_header(bytes: &[u8]) -> Result<u8, Malformed> {
        let mut reader = Reader::new(bytes, 0, "index header");
        reader.magic(MAGIC)?;
        reader.version("index version", 1..=3)
    }

    /// The same index, read as `format`: blocks of Prometheus 2.1 carry version 1 over a version 2
    /// layout.
    #[must_use]
    pub fn read_as(self, format: IndexFormat) -> Self {
        Index { format, ..self }
    }

    /// The version byte.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// How series and symbols are addressed.
    pub fn format(&self) -> IndexFormat {
        self.format
    }

    /// The table of contents.
    pub fn toc(&self) -> Toc {
        self.toc
    }

    /// The whole file.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The symbol table.
    ///
    /// # Errors
    ///
    /// When its checksum is wrong or its strings do not fill it.
    pub fn symbols(&self) -> Result<Symbols<'a>, Malformed> {
        Symbols::read(self.symbol_section()?.checked()?, self.format)
    }

    /// The symbol table's frame.
    ///
    /// # Errors
    ///
    /// When it does not fit the file.
    pub fn symbol_section(&self) -> Result<Section<'a>, Malformed> {
        Section::at(self.bytes, self.toc.symbols, "symbol table")
    }

    /// All series entries in file order.
    pub fn series(&self) -> SeriesEntries<'a> {
        SeriesEntries::new(
            self.bytes,
            self.toc.series,
            self.toc.series_end(),
            self.format,
        )
    }

    /// The series entries whose checksum is right, and an error for each damaged stretch between
    /// them.
    pub fn sound_series(&self) -> SoundEntries<'a> {
        SoundEntries(self.series())
    }

    /// The series entries in the part of the file from `start` to `end`, for reading in parallel.
    pub fn series_between(&self, start: u64, end: u64) -> SeriesEntries<'a> {
        SeriesEntries::new(
            self.bytes,
            start,
            end.min(self.toc.series_end()),
            self.format,
        )
    }

    /// The series entry that `reference` names.
    ///
    /// # Errors
    ///
    /// When it points outside the series section or the entry there does not fit.
    pub fn series_at(&self, reference: SeriesRef) -> Result<SeriesEntry<'a>, Malformed> {
        SeriesEntry::at(
            self.bytes,
            reference,
            self.toc.series,
            self.toc.series_end(),
            self.format,
        )
    }

    /// The postings offset table: which list belongs to which label pair.
    ///
    /// # Errors
    ///
    /// When its checksum is wrong.
    pub fn postings_table(&self) -> Result<PostingsTable<'a>, Malformed> {
        PostingsTable::read(self.postings_table_section()?.checked()?)
    }

    /// The postings offset table's frame.
    ///
    /// # Errors
    ///
    /// When it does not fit the file.
    pub fn postings_table_section(&self) -> Result<Section<'a>, Malformed> {
        Section::at(self.bytes, self.toc.postings_table, "postings offset table")
    }

    /// Bytes of the framed section at `offset` as its length field says, without reading it;
    /// nothing where none fits.
    pub fn section_len(&self, offset: u64) -> Option<u64> {
        let rest = self.bytes.get(usize::try_from(offset).ok()?..)?;
        let len = u64::from(Reader::new(rest, offset, "section").u32().ok()?) + 8;
        (len <= rest.len() as u64).then_some(len)
    }

    /// The frame of the postings list at `offset`.
    ///
    /// # Errors
    ///
    /// When it does not fit the file.
    pub fn postings_section(&self, offset: u64) -> Result<Section<'a>, Malformed> {
        Section::at(self.bytes, offset, "postings")
    }

    /// Label indices and their offset table, which writers before Prometheus 3.7 left; nobody reads
    /// them.
    pub fn label_indices(&self) -> Option<LabelIndices<'a>> {
        self.toc
            .has_label_indices()
            .then(|| LabelIndices::new(self.bytes, self.toc))
    }

    /// The labels of `series` as strings.
    ///
    /// # Errors
    ///
    /// When a symbol does not exist.
    pub fn labels(
        &self,
        symbols: &Symbols<'a>,
        series: &Series,
        at: u64,
    ) -> Result<Labels, Malformed> {
        let label = |&(name, value): &(SymbolRef, SymbolRef)| {
            Ok(Label {
                name: symbols.get(name, at)?.into(),
                value: symbols.get(value, at)?.into(),
            })
        };
        series
            .labels
            .iter()
            .map(label)
            .collect::<Result<Vec<_>, Malformed>>()
            .map(Labels)
    }
}
