//! How the chunks of a series follow from those that packs hold of it.

use super::sample::{decode_into, weight};
use crate::chunk::encode::ChunkEncoder;
use crate::chunk::{Encoding, OwnedSample, Xor2Writer};
use crate::error::{Error, Result};
use crate::model::CounterReset;
use crate::pack::group::{MAX_GROUP_SAMPLES, SourceChunk};
use crate::pack::version::SpliceVersion;
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
    /// So many samples are taken, and then so many left out; and so on. What is behind the last is
    /// left out, too.
    pub(in crate::pack) runs: Vec<(u64, u64)>,
    /// The new chunks.
    pub(in crate::pack) outputs: Vec<Output>,
}

/// A chunk that is encoded anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::pack) struct Output {
    encoding: Encoding,
    /// How many samples it has.
    pub(in crate::pack) samples: u32,
    /// Its counter-reset header, as the file has it; 0 for floats.
    pub(in crate::pack) counter_reset: u8,
    /// Who would write it, if it is of encoding 4.
    writer: Xor2Writer,
    /// Whether a zero byte stands behind its samples, as the head of older Prometheus versions
    /// leaves it behind a first sample at which a chunk was cut.
    extra_zero: bool,
    /// The oldest version of the splice format that has such chunks.
    version: SpliceVersion,
}

/// Bytes that what is read of a splice may still take in memory: its file may be small, as what
/// repeats is compressed well.
pub(super) struct Room(pub(super) usize);

impl Room {
    /// Reads a number of `T` that follow, each of at least `item_bytes` bytes in the file, and
    /// takes room for them.
    pub(super) fn count<T>(
        &mut self,
        reader: &mut Reader<'_>,
        item_bytes: usize,
    ) -> Result<usize, Malformed> {
        let at = *reader;
        let count = reader.count(item_bytes)?;
        let left = self.0.checked_sub(count.saturating_mul(size_of::<T>()));
        self.0 = left.ok_or_else(|| at.unexpected("splice", "of up to 512 MiB", "more"))?;
        Ok(count)
    }
}

/// A number of things, one at least.
fn positive(reader: &mut Reader<'_>) -> Result<u64, Malformed> {
    let at = *reader;
    match reader.uvarint()? {
        0 => Err(at.unexpected("step", "of one chunk at least", 0)),
        count => Ok(count),
    }
}

/// What steps are called in the file.
const TAKE: u8 = 0;
const SKIP: u8 = 1;
const RECODE: u8 = 2;

/// What writers of encoding 4 are called in the file.
const BEFORE_316: u8 = 0;
const SINCE_316: u8 = 1;

/// What may stand behind the samples of a new chunk, from version 3 on.
const NOTHING: u8 = 0;
const ZERO_BYTE: u8 = 1;

/// Whether the file says who writes a new chunk: where the version has several writers.
fn has_writer(encoding: Encoding, version: SpliceVersion) -> bool {
    version.encoders(encoding) > 1
}

/// Whether the file says what stands behind the samples of a new chunk.
fn has_tail(version: SpliceVersion) -> bool {
    version >= SpliceVersion::V3
}

/// The section that errors name.
pub(super) const SECTION: &str = "splice";

/// Puts candidates into the order in which programs see them: that of their first samples, and of
/// the packs.
pub(in crate::pack) fn sort(candidates: &mut [Candidate<'_>]) {
    candidates.sort_by_key(|candidate| (candidate.chunk.min_time, candidate.pack));
}

impl Program {
    /// The oldest version of the splice format that has all new chunks.
    pub(super) fn version(&self) -> SpliceVersion {
        let outputs = self.0.iter().flat_map(|step| match step {
            Step::Recode(recode) => &recode.outputs[..],
            Step::Take(_) | Step::Skip(_) => &[],
        });
        outputs
            .map(|output| output.version)
            .max()
            .unwrap_or(SpliceVersion::V1)
    }

    /// Appends the program to `out`, for a splice of `version`.
    pub(super) fn write(&self, version: SpliceVersion, out: &mut Vec<u8>) {
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
                        if output.encoding.is_histogram() {
                            out.push(output.counter_reset);
                        }
                        if has_writer(output.encoding, version) {
                            out.push(match output.writer {
                                Xor2Writer::Before316 => BEFORE_316,
                                Xor2Writer::Since316 => SINCE_316,
                            });
                        }
                        if has_tail(version) {
                            let zero = output.extra_zero;
                            out.push(if zero { ZERO_BYTE } else { NOTHING });
                        }
                        write_uvarint(out, u64::from(output.samples));
                    }
                }
            }
        }
    }

    /// Reads what [`Program::write`] wrote.
    ///
    /// Steps and runs must be about something: so a program takes no longer than what it is run
    /// over, however often it is used.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        version: SpliceVersion,
        room: &mut Room,
    ) -> Result<Self, Malformed> {
        let steps = room.count::<Step>(reader, 2)?;
        let steps = (0..steps).map(|_| {
            let at = reader.offset();
            Ok(match reader.u8()? {
                TAKE => Step::Take(positive(reader)?),
                SKIP => Step::Skip(positive(reader)?),
                RECODE => Step::Recode(Recode::read(reader, version, room)?),
                other => return Err(Malformed::unknown(SECTION, at, "step", i64::from(other))),
            })
        });
        Ok(Program(steps.collect::<Result<_, Malformed>>()?))
    }

    /// Runs the program over `candidates`, and lends each chunk of the block to `emit`.
    ///
    /// # Errors
    ///
    /// `Corrupt` when it does not account for all candidates, or asks for a chunk that its encoding
    /// cannot hold; whatever `emit` says.
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
    /// A chunk of so many samples with this counter-reset header, as `writer` writes it; `None` if
    /// no version of the splice format has such chunks.
    pub(super) fn new(
        encoding: Encoding,
        writer: Xor2Writer,
        counter_reset: u8,
        samples: u32,
    ) -> Option<Self> {
        Some(Output {
            encoding,
            samples,
            counter_reset,
            writer,
            extra_zero: false,
            version: SpliceVersion::of(encoding.encoder(writer)?)?,
        })
    }

    /// The same with a zero byte behind the samples.
    pub(super) fn with_extra_zero(self) -> Self {
        Output {
            extra_zero: true,
            version: self.version.max(SpliceVersion::V3),
            ..self
        }
    }

    /// The data of the chunk that Prometheus makes of `samples`, when it is to be as this says.
    ///
    /// # Errors
    ///
    /// When they do not go into one chunk of this encoding.
    pub(super) fn encode(self, samples: &[OwnedSample]) -> Result<Vec<u8>> {
        let mut encoder = ChunkEncoder::of_writer(self.encoding, self.writer)?;
        let counter_reset = CounterReset::from_bits(self.counter_reset);
        for sample in samples {
            sample.push(&mut encoder, counter_reset)?;
        }
        let mut data = encoder.finish().data;
        if self.extra_zero {
            data.push(0);
        }
        Ok(data)
    }

    fn read(reader: &mut Reader<'_>, version: SpliceVersion) -> Result<Self, Malformed> {
        let at_encoding = reader.offset();
        let encoding = Encoding::from_byte(reader.u8()?);
        let lacks = || version.lacks(encoding, SECTION, at_encoding);
        if version.encoders(encoding) == 0 {
            return Err(lacks());
        }
        let at = *reader;
        let has_header = encoding.is_histogram();
        let counter_reset = if has_header { reader.u8()? } else { 0 };
        if counter_reset > 3 {
            return Err(at.unexpected("counter-reset header", "of 0 to 3", counter_reset));
        }
        let at = *reader;
        let has_writer = has_writer(encoding, version);
        let writer = if has_writer { reader.u8()? } else { BEFORE_316 };
        let writer = match writer {
            BEFORE_316 => Xor2Writer::Before316,
            SINCE_316 => Xor2Writer::Since316,
            other => {
                let (writer, other) = ("writer of encoding 4", i64::from(other));
                return Err(Malformed::unknown(SECTION, at.offset(), writer, other));
            }
        };
        let at = *reader;
        let has_tail = has_tail(version);
        let tail = if has_tail { reader.u8()? } else { NOTHING };
        let extra_zero = match tail {
            NOTHING => false,
            ZERO_BYTE => true,
            other => return Err(at.unexpected("end of a new chunk", "of kind 0 or 1", other)),
        };
        let at = *reader;
        let samples = reader.uvarint()?;
        let samples = u16::try_from(samples).ok().filter(|samples| *samples > 0);
        let samples =
            samples.ok_or_else(|| at.unexpected("chunk", "of 1 to 65,535 samples", "another"))?;
        let output = Output::new(encoding, writer, counter_reset, u32::from(samples));
        let output = output.ok_or_else(lacks)?;
        Ok(if extra_zero {
            output.with_extra_zero()
        } else {
            output
        })
    }
}

impl Recode {
    fn read(
        reader: &mut Reader<'_>,
        version: SpliceVersion,
        room: &mut Room,
    ) -> Result<Self, Malformed> {
        let chunks = positive(reader)?;
        let count = room.count::<(u64, u64)>(reader, 2)?;
        let runs = (1..=count).map(|number| {
            let at = *reader;
            let (take, skip) = (reader.uvarint()?, reader.uvarint()?);
            if (take == 0 && number > 1) || (skip == 0 && number < count) {
                return Err(at.unexpected("run", "of samples", "one of none"));
            }
            Ok((take, skip))
        });
        let runs = runs.collect::<Result<_, Malformed>>()?;
        let count = room.count::<Output>(reader, 2)?;
        let outputs = (0..count).map(|_| Output::read(reader, version));
        let outputs = outputs.collect::<Result<_, Malformed>>()?;
        Ok(Recode {
            chunks,
            runs,
            outputs,
        })
    }

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
            // Whatever an encoder refuses, a splice must not ask for.
            let chunk = output.encode(own).map_err(|error| {
                misfit("chunks that their encodings can hold").with_source(error)
            })?;
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

/// The samples of `candidates` in order of time, and of their packs; what is the same in two packs
/// once.
///
/// # Errors
///
/// When a chunk is damaged, or there are too many samples.
pub(super) fn pool(candidates: &[Candidate<'_>]) -> Result<Vec<OwnedSample>> {
    let mut pool = Vec::new();
    let mut samples = Vec::new();
    let mut room = MAX_GROUP_SAMPLES;
    for candidate in candidates {
        // Before they are decoded: a few bytes can claim very many.
        let left = room.checked_sub(weight(&candidate.chunk));
        room =
            left.ok_or_else(|| misfit("up to 4,194,304 samples, counts of histograms among them"))?;
        decode_into(&candidate.chunk, &mut samples)
            .map_err(|e| Error::new(e.kind(), "damaged chunk in a pack").with_source(e))?;
        pool.extend(samples.drain(..).map(|sample| (candidate.pack, sample)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CounterReset, FloatSample, HistogramLayout, HistogramSample, Sample, Span};

    #[test]
    fn histograms_that_claim_counts_without_number_are_not_decoded() {
        let layout = HistogramLayout {
            positive: vec![Span {
                offset: 0,
                length: 1000,
            }],
            ..HistogramLayout::default()
        };
        let sample = Sample::Histogram(HistogramSample {
            time: 0,
            start: 0,
            counter_reset: CounterReset::Unknown,
            layout: &layout,
            sum: 0,
            count: 0,
            zero_count: 0,
            positive: &[0; 1000],
            negative: &[],
        });
        let mut encoder = ChunkEncoder::new(Encoding::Histogram).unwrap();
        encoder.push(&sample).unwrap();
        let mut data = encoder.finish().data;
        let found = |data: &[u8]| {
            let chunk = SourceChunk {
                encoding: Encoding::Histogram,
                data,
                min_time: 0,
                max_time: 0,
            };
            pool(&[Candidate { pack: 0, chunk }]).map_err(|e| e.chain())
        };
        assert_eq!(found(&data).unwrap().len(), 1);
        data[..2].fill(0xff);
        let error = found(&data).unwrap_err();
        assert!(error.contains("up to 4,194,304 samples"), "{error}");
    }

    #[test]
    fn a_chunk_that_its_encoding_cannot_hold_is_corruption() {
        let mut encoder = ChunkEncoder::new(Encoding::Xor).unwrap();
        encoder
            .push(&Sample::Float(FloatSample {
                time: 10,
                start: 0,
                bits: 0,
            }))
            .unwrap();
        let data = encoder.finish().data;
        let candidate = Candidate {
            pack: 0,
            chunk: SourceChunk {
                encoding: Encoding::Xor,
                data: &data,
                min_time: 10,
                max_time: 10,
            },
        };
        let run = |encoding| {
            let output = Output::new(encoding, Xor2Writer::Before316, 0, 1).unwrap();
            let recode = Recode {
                chunks: 1,
                runs: vec![(1, 0)],
                outputs: vec![output],
            };
            Program(vec![Step::Recode(recode)]).run(&[candidate], |_| Ok(()))
        };
        run(Encoding::Xor).unwrap();
        let with_zero = Program(vec![Step::Recode(Recode {
            chunks: 1,
            runs: vec![(1, 0)],
            outputs: vec![
                Output::new(Encoding::Xor, Xor2Writer::Before316, 0, 1)
                    .unwrap()
                    .with_extra_zero(),
            ],
        })]);
        let mut made = Vec::new();
        let mut keep = |chunk: SourceChunk<'_>| {
            made = chunk.data.to_vec();
            Ok(())
        };
        with_zero.run(&[candidate], &mut keep).unwrap();
        assert_eq!(made, [&data[..], &[0]].concat());
        let error = run(Encoding::Histogram).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Corrupt, "{}", error.chain());
        assert!(error.chain().contains("can hold: "), "{}", error.chain());
    }

    #[test]
    fn an_encoding_that_the_version_lacks_is_unsupported_and_named_with_those_it_has() {
        for encoding in [254, 255] {
            let bytes = [encoding, 1];
            let mut reader = Reader::new(&bytes, 40, SECTION);
            let error = Output::read(&mut reader, SpliceVersion::V2).unwrap_err();
            assert!(error.is_unsupported(), "{error}");
            let wanted = "splice at offset 40: expected an encoding of new chunks in splice version 2 (1, 2, 3, 4, 5, 6), found";
            assert_eq!(error.to_string(), format!("{wanted} {encoding}"));
            let encoding = Encoding::from_byte(encoding);
            assert!(Output::new(encoding, Xor2Writer::Before316, 0, 1).is_none());
        }
    }

    #[test]
    fn the_version_follows_from_the_new_chunks() {
        for encoding in Encoding::encodable() {
            for writer in Xor2Writer::ALL {
                let output = Output::new(encoding, writer, 0, 1).unwrap();
                let recode = Recode {
                    chunks: 1,
                    outputs: vec![output],
                    ..Recode::default()
                };
                let program = Program(vec![Step::Take(1), Step::Recode(recode)]);
                let is_newer = (encoding, writer) == (Encoding::Xor2, Xor2Writer::Since316);
                let wanted = if is_newer {
                    SpliceVersion::V2
                } else {
                    SpliceVersion::V1
                };
                assert_eq!(program.version(), wanted, "{encoding}");
                let mut bytes = Vec::new();
                program.write(wanted, &mut bytes);
                let mut reader = Reader::new(&bytes, 0, SECTION);
                let read = Program::read(&mut reader, wanted, &mut Room(1 << 20)).unwrap();
                assert_eq!(read.0.len(), 2, "{encoding}");
                assert_eq!(read.version(), wanted, "{encoding}");
                let mut with_zero = Program(vec![Step::Recode(Recode {
                    chunks: 1,
                    outputs: vec![output, output.with_extra_zero()],
                    ..Recode::default()
                })]);
                assert_eq!(with_zero.version(), SpliceVersion::V3, "{encoding}");
                bytes.clear();
                with_zero.write(SpliceVersion::V3, &mut bytes);
                let mut reader = Reader::new(&bytes, 0, SECTION);
                let read = Program::read(&mut reader, SpliceVersion::V3, &mut Room(1 << 20));
                let mut again = Vec::new();
                read.unwrap().write(SpliceVersion::V3, &mut again);
                assert_eq!(again, bytes, "{encoding}");
                // Before the number of samples.
                let tail = bytes.len() - 2;
                bytes[tail] = 2;
                let mut reader = Reader::new(&bytes, 0, SECTION);
                let read = Program::read(&mut reader, SpliceVersion::V3, &mut Room(1 << 20));
                assert!(read.is_err(), "{encoding}");
                with_zero.0.clear();
                assert_eq!(with_zero.version(), SpliceVersion::V1);
            }
        }
    }
}
