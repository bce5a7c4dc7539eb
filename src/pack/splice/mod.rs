//! Blocks from several packs.
//!
//! Compaction writes samples again that are stored already. So a block need not have a pack of its
//! own that holds all of it: it is *spliced* from the packs that hold its samples, and what none of
//! them has goes into a pack of its own. All packs are walked at once, label set by label set; the
//! chunks they have of a series are its *candidates*, and where compaction only put blocks behind
//! one another, the block's chunks are the candidates in order of time. For other series a
//! [`Program`](program::Program) says which candidates are taken and which samples are cut into new
//! chunks.
//!
//! [`plan()`] finds out how a block follows from packs that are known by digests of their series;
//! [`unpack`] rebuilds a block. Every byte is in `docs/pack-format.md`.

mod diff;
mod extract;
mod feed;
mod known;
mod plan;
mod program;
mod sample;
mod sound;
mod tables;
mod union;
mod unpack;

pub use extract::{Extract, extract, symbols};
pub use feed::LostGroup;
pub use known::KnownPack;
pub use plan::{SplicePlan, plan};
pub use sound::{SoundPacks, SoundSeries};
pub use unpack::unpack;

use super::group::{SourceChunk, Successors};
use super::version::SpliceVersion;
use crate::error::{Error, Result};
use crate::model::Millis;
use crate::raw::varint::{write_uvarint, write_varint};
use crate::raw::{Malformed, Reader};
use program::{Program, Room, SECTION};

/// First bytes of a splice.
const MAGIC: [u8; 8] = *b"narthexS";
/// Most bytes that a splice takes in memory: bounds what a hostile one can make a reader allocate.
const MAX_MEMORY: usize = 1 << 29;

/// How a block differs from all chunks of its packs in order of time. The default is: not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Splice {
    /// Chunks that do not touch this half-open range of time are no candidates.
    range: Option<(Millis, Millis)>,
    /// Positions, in the union of the packs' symbols, of those that the block does not have.
    /// Ascending.
    dropped: Vec<u32>,
    programs: Vec<Program>,
    /// Positions of series, in the union of the packs' label sets, and the program of each.
    /// Ascending.
    exceptions: Vec<(u64, usize)>,
}

impl Splice {
    /// All chunks of the packs that touch the half-open `range`, in order of time.
    pub fn of_range(range: (Millis, Millis)) -> Self {
        Splice {
            range: Some(range),
            ..Splice::default()
        }
    }

    /// Whether the block is all chunks of its packs in order of time.
    pub fn is_plain(&self) -> bool {
        *self == Splice::default()
    }

    /// Number of series that do not just take all chunks of the packs.
    pub fn exceptions(&self) -> usize {
        self.exceptions.len()
    }

    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let versions = self.programs.iter().map(Program::version);
        let version = versions.max().unwrap_or(SpliceVersion::V1);
        let mut out = MAGIC.to_vec();
        out.push(version.byte());
        out.push(u8::from(self.range.is_some()));
        if let Some((since, until)) = self.range {
            write_varint(&mut out, since);
            write_varint(&mut out, until);
        }
        write_uvarint(&mut out, self.dropped.len() as u64);
        let mut next = 0u64;
        for symbol in &self.dropped {
            let symbol = u64::from(*symbol);
            write_uvarint(&mut out, symbol.saturating_sub(next));
            next = symbol + 1;
        }
        write_uvarint(&mut out, self.programs.len() as u64);
        for program in &self.programs {
            program.write(version, &mut out);
        }
        write_uvarint(&mut out, self.exceptions.len() as u64);
        let mut next = 0u64;
        let mut programs = Successors::default();
        for (series, program) in &self.exceptions {
            write_uvarint(&mut out, series.saturating_sub(next));
            next = series.saturating_add(1);
            write_uvarint(&mut out, programs.code(*program));
        }
        out
    }

    /// Reads what [`Splice::to_bytes`] wrote.
    ///
    /// # Errors
    ///
    /// When it is damaged, or of a version this program does not know.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let read = || {
            let mut reader = Reader::new(bytes, 0, SECTION);
            reader.magic_word(&MAGIC)?;
            let byte = reader.u8()?;
            let Some(version) = SpliceVersion::from_byte(byte) else {
                return Err(Malformed::unknown(SECTION, 8, "version", i64::from(byte)));
            };
            Splice::read_content(&mut reader, version)
        };
        read().map_err(|e| {
            let what = if e.is_unsupported() {
                "unsupported splice"
            } else {
                "damaged splice"
            };
            Error::new(e.kind(), what).with_source(e)
        })
    }

    fn read_content(reader: &mut Reader<'_>, version: SpliceVersion) -> Result<Self, Malformed> {
        let range = match reader.u8()? {
            0 => None,
            1 => Some((reader.varint()?, reader.varint()?)),
            other => return Err(reader.unexpected("range", "or none", other)),
        };
        let mut room = Room(MAX_MEMORY);
        let mut next = 0u64;
        let dropped = (0..room.count::<u32>(reader, 1)?).map(|_| {
            let at = *reader;
            let symbol = next.checked_add(reader.uvarint()?);
            let symbol = symbol.and_then(|symbol| u32::try_from(symbol).ok());
            let symbol =
                symbol.ok_or_else(|| at.unexpected("symbol", "below 4,294,967,296", "another"))?;
            next = u64::from(symbol) + 1;
            Ok(symbol)
        });
        let dropped = dropped.collect::<Result<_, Malformed>>()?;
        let programs = room.count::<Program>(reader, 1)?;
        let programs = (0..programs).map(|_| Program::read(reader, version, &mut room));
        let programs: Vec<Program> = programs.collect::<Result<_, _>>()?;
        let mut next = 0u64;
        let mut successors = Successors::default();
        let exceptions = (0..room.count::<(u64, usize)>(reader, 2)?).map(|_| {
            let at = *reader;
            let series = next.checked_add(reader.uvarint()?);
            let program = successors.number(reader.uvarint()?);
            let program = program.filter(|program| *program < programs.len());
            let found = series.and_then(|series| Some((series, program?)));
            let (series, program) = found
                .ok_or_else(|| at.unexpected("exception", "of a program that exists", "another"))?;
            next = series.saturating_add(1);
            Ok((series, program))
        });
        let exceptions = exceptions.collect::<Result<_, Malformed>>()?;
        if !reader.is_empty() {
            return Err(reader.unexpected("the end", "after the last exception", "more bytes"));
        }
        Ok(Splice {
            range,
            dropped,
            programs,
            exceptions,
        })
    }

    /// Whether a chunk is a candidate.
    fn admits(&self, chunk: &SourceChunk<'_>) -> bool {
        self.range.is_none_or(|range| touches(range, chunk))
    }
}

/// Whether a chunk has its first or its last sample in the half-open `range`, or spans it.
fn touches((since, until): (Millis, Millis), chunk: &SourceChunk<'_>) -> bool {
    chunk.max_time >= since && chunk.min_time < until
}
