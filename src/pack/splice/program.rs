//! How the chunks of a series follow from those that packs hold of it.

use super::sample::{OwnedSample, decode_into, encode};
use crate::chunk::Encoding;
use crate::error::{Error, Result};
use crate::model::CounterReset;
use crate::pack::group::{MAX_GROUP_SAMPLES, SourceChunk};
use crate::raw::varint::write_uvarint;
use crate::raw::{Malformed, Reader};

/// A chunk that a pack holds of a series: one that may become part of the block.
#[derive(Clone, Copy, Debug)]
pub(in crate::pack) struct Candidate<'a> {
    /// Position of the pack among those of the recipe.
    pub(in crate::pack) pack: usize,
    pub(in crate::pack) chunk: SourceChunk<'a>,
}

/// What becomes of the candidates of a series, one after the other. All are accounted for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::pack) struct Program(pub(in crate::pack) Vec<Step>);

/// What becomes of the next candidates.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::pack) enum Step {
    /// So many are taken as they are.
    Take(u64),
    /// So many are left out.
    Skip(u64),
    /// Their samples are encoded anew.
    Recode(Recode),
}

/// Samples of several chunks, merged in order of time, of which some are cut into new chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::pack) struct Recode {
    /// How many candidates it is about.
    pub(in crate::pack) chunks: u64,
    /// So many samples are taken, and then so many left out; and so on. What is behind the last is left out, too.
    pub(in crate::pack) runs: Vec<(u64, u64)>,
    /// The new chunks.
    pub(in crate::pack) outputs: Vec<Output>,
}

/// A chunk that is encoded anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::pack) struct Output {
    pub(in crate::pack) encoding: Encoding,
    /// How many samples it has.
    pub(in crate::pack) samples: u32,
    /// Its counter-reset header, as the file has it; 0 for floats.
    pub(in crate::pack) counter_reset: u8,
}

/// What steps are called in the file.
const TAKE: u8 = 0;
const SKIP: u8 = 1;
const RECODE: u8 = 2;

/// The section that errors name.
pub(super) const SECTION: &str = "splice";

/// Puts candidates into the order in which programs see them: that of their first samples, and of the packs.
pub(in crate::pack) fn sort(candidates: &mut [Candidate<'_>]) {
    candidates.sort_by_key(|candidate| (candidate.chunk.min_time, candidate.pack));
}

impl Program {
    /// Appends the program to `out`.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write_uvarint(out, self.0.len() as u64);
        for step in &self.0 {
            match step {
                Step::Take(count) => {
                    out.push(TAKE);
                    write_uvarint(out, *count);
                }
                Step::Skip(count) => {
                    out.push(SKIP);
                    write_uvarint(out, *count);
                }
                Step::Recode(recode) => {
                    out.push(RECODE);
                    write_uvarint(out, recode.chunks);
                    write_uvarint(out, recode.runs.len() as u64);
                    for (take, skip) in &recode.runs {
                        write_uvarint(out, *take);
                        write_uvarint(out, *skip);
                    }
                    write_uvarint(out, recode.outputs.len() as u64);
                    for output in &recode.outputs {
                        out.push(output.encoding.byte());
                        if !output.encoding.is_float() {
                            out.push(output.counter_reset);
                        }
                        write_uvarint(out, u64::from(output.samples));
                    }
                }
            }
        }
    }

    /// Reads what [`Program::write`] wrote.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let steps = (0..reader.count(2)?).map(|_| {
            let at = reader.offset();
            Ok(match reader.u8()? {
                TAKE => Step::Take(reader.uvarint()?),
                SKIP => Step::Skip(reader.uvarint()?),
                RECODE => {
                    let chunks = reader.uvarint()?;
                    let runs =
                        (0..reader.count(2)?).map(|_| Ok((reader.uvarint()?, reader.uvarint()?)));
                    let runs = runs.collect::<Result<_, Malformed>>()?;
                    let outputs = (0..reader.count(2)?).map(|_| Output::read(reader));
                    let outputs = outputs.collect::<Result<_, Malformed>>()?;
                    Step::Recode(Recode {
                        chunks,
                        runs,
                        outputs,
                    })
                }
                other => return Err(Malformed::unknown(SECTION, at, "step", i64::from(other))),
            })
        });
        Ok(Program(steps.collect::<Result<_, Malformed>>()?))
    }

    /// Runs the program over `candidates`, and lends each chunk of the block to `emit`.
    ///
    /// # Errors
    ///
    /// When it does not account for all candidates, or samples cannot be encoded as it says; whatever `emit` says.
    pub(in crate::pack) fn run(
        &self,
        candidates: &[Candidate<'_>],
        mut emit: impl FnMut(SourceChunk<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut rest = candidates;
        let mut take = |count: u64| {
            let split = usize::try_from(count)
                .ok()
                .and_then(|count| rest.split_at_checked(count));
            let (taken, behind) =
                split.ok_or_else(|| misfit("more chunks than packs hold of the series"))?;
            rest = behind;
            Ok::<_, Error>(taken)
        };
        for step in &self.0 {
            match step {
                Step::Take(count) => {
                    take(*count)?
                        .iter()
                        .try_for_each(|candidate| emit(candidate.chunk))?;
                }
                Step::Skip(count) => {
                    take(*count)?;
                }
                Step::Recode(recode) => recode.run(take(recode.chunks)?, &mut emit)?,
            }
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(misfit("fewer chunks than packs hold of the series"))
        }
    }
}

impl Output {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let encoding = Encoding::from_byte(reader.u8()?);
        let counter_reset = if encoding.is_float() { 0 } else { reader.u8()? };
        let at = *reader;
        let samples = reader.uvarint()?;
        let samples = u16::try_from(samples).ok().filter(|samples| *samples > 0);
        let samples =
            samples.ok_or_else(|| at.unexpected("chunk", "of 1 to 65,535 samples", "another"))?;
        Ok(Output {
            encoding,
            samples: u32::from(samples),
            counter_reset,
        })
    }
}

impl Recode {
    fn run(
        &self,
        candidates: &[Candidate<'_>],
        emit: &mut impl FnMut(SourceChunk<'_>) -> Result<()>,
    ) -> Result<()> {
        let pool = pool(candidates)?;
        let mut rest = &pool[..];
        let mut taken = Vec::new();
        for (take, skip) in &self.runs {
            let split = usize::try_from(*take)
                .ok()
                .and_then(|take| rest.split_at_checked(take));
            let (own, behind) = split.ok_or_else(|| misfit("more samples than the chunks have"))?;
            taken.extend_from_slice(own);
            let skip = usize::try_from(*skip).unwrap_or(usize::MAX);
            rest = behind
                .get(skip..)
                .ok_or_else(|| misfit("more samples than the chunks have"))?;
        }
        let mut rest = &taken[..];
        for output in &self.outputs {
            let split = rest.split_at_checked(output.samples as usize);
            let (own, behind) =
                split.ok_or_else(|| misfit("chunks of more samples than are taken"))?;
            rest = behind;
            let header = CounterReset::from_bits(output.counter_reset);
            let chunk = encode(output.encoding, header, own)?;
            emit(SourceChunk {
                encoding: output.encoding,
                data: &chunk,
                min_time: own.first().map_or(0, OwnedSample::time),
                max_time: own.last().map_or(0, OwnedSample::time),
            })?;
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(misfit("chunks of fewer samples than are taken"))
        }
    }
}

/// The samples of `candidates` in order of time, and of their packs; what is the same in two packs once.
///
/// # Errors
///
/// When a chunk is damaged, or there are too many samples.
pub(super) fn pool(candidates: &[Candidate<'_>]) -> Result<Vec<OwnedSample>> {
    let mut pool = Vec::new();
    let mut samples = Vec::new();
    for candidate in candidates {
        decode_into(&candidate.chunk, &mut samples)
            .map_err(|e| Error::new(e.kind(), "damaged chunk in a pack").with_source(e))?;
        pool.extend(samples.drain(..).map(|sample| (candidate.pack, sample)));
        if pool.len() > MAX_GROUP_SAMPLES {
            return Err(misfit("up to 4,194,304 samples"));
        }
    }
    pool.sort_by_key(|(pack, sample)| (sample.time(), *pack));
    pool.dedup_by(|(_, b), (_, a)| a.time() == b.time() && a.is_same(b));
    Ok(pool.into_iter().map(|(_, sample)| sample).collect())
}

#[cold]
fn misfit(wanted: &'static str) -> Error {
    Error::corrupt(format!(
        "damaged splice: expected a program that asks for {wanted}"
    ))
}
