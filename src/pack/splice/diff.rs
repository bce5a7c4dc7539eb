//! What is done to the chunks that packs hold of a series to get those of the block.

use super::program::{Candidate, Output, Program, Recode, Step, pool, sort};
use super::sample::{decode_into, weight};
use crate::chunk::encode::EncodedChunk;
use crate::chunk::{OwnedSample, make_chunks};
use crate::model::CounterReset;
use crate::pack::group::{MAX_GROUP_SAMPLES, SourceChunk};

/// How the chunks of a series follow.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// What becomes of the candidates, among them the chunks of the block's own pack.
    pub(super) program: Program,
    /// Positions of the block's chunks that its own pack has to hold.
    pub(super) own: Vec<usize>,
    /// Chunks that it has to hold in addition: samples that are in no pack.
    pub(super) made: Vec<EncodedChunk>,
}

/// What becomes of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Take,
    Skip,
    /// It is one of those that this stretch encodes anew.
    Recode(usize),
}

/// A stretch of the block's chunks that are samples of a stretch of candidates, cut anew.
struct Stretch {
    recode: Recode,
    made: Vec<EncodedChunk>,
}

/// Finds how `chunks` follow from `known`. `own` is the position of the block's own pack;
/// `may_make` says whether it may get chunks that are not the block's.
pub(super) fn difference(
    known: Vec<Candidate<'_>>,
    chunks: &[SourceChunk<'_>],
    own: usize,
    may_make: bool,
) -> Difference {
    let mut known = known;
    sort(&mut known);
    let found = Search {
        known: &known,
        chunks,
        own,
        may_make,
    }
    .run();
    if is_proved(&found, &known, chunks, own) {
        return found;
    }
    // Everything anew: right whatever the chunks are.
    let mut fates: Vec<_> = known
        .iter()
        .map(|candidate| (*candidate, Fate::Skip))
        .collect();
    fates.extend(chunks.iter().map(|chunk| {
        (
            Candidate {
                pack: own,
                chunk: *chunk,
            },
            Fate::Take,
        )
    }));
    Difference {
        program: program(fates, &[]),
        own: (0..chunks.len()).collect(),
        made: Vec::new(),
    }
}

struct Search<'s, 'a> {
    known: &'s [Candidate<'a>],
    chunks: &'s [SourceChunk<'a>],
    own: usize,
    may_make: bool,
}

impl Search<'_, '_> {
    fn run(&self) -> Difference {
        let mut difference = Difference::default();
        let mut fates = Vec::with_capacity(self.known.len());
        let mut stretches = Vec::new();
        let (mut known, mut chunk) = (0, 0);
        // Between two chunks that are taken as they are, whatever differs.
        let ends = self
            .matches()
            .into_iter()
            .chain([(self.known.len(), self.chunks.len())]);
        for (next_known, next_chunk) in ends {
            let candidates = self.known.get(known..next_known).unwrap_or_default();
            let wanted = self.chunks.get(chunk..next_chunk).unwrap_or_default();
            let stretch = self.stretch(candidates, wanted);
            let fate = stretch
                .as_ref()
                .map_or(Fate::Skip, |_| Fate::Recode(stretches.len()));
            fates.extend(candidates.iter().map(|candidate| (*candidate, fate)));
            if stretch.is_none() {
                difference.own.extend(chunk..next_chunk);
            }
            stretches.extend(stretch);
            fates.extend(
                self.known
                    .get(next_known)
                    .map(|candidate| (*candidate, Fate::Take)),
            );
            (known, chunk) = (next_known + 1, next_chunk + 1);
        }
        let own = difference.own.iter().filter_map(|at| self.chunks.get(*at));
        fates.extend(own.map(|chunk| {
            (
                Candidate {
                    pack: self.own,
                    chunk: *chunk,
                },
                Fate::Take,
            )
        }));
        for (number, stretch) in stretches.iter().enumerate() {
            let made = stretch.made.iter().map(|chunk| Candidate {
                pack: self.own,
                chunk: chunk.into(),
            });
            fates.extend(made.map(|candidate| (candidate, Fate::Recode(number))));
        }
        difference.program = program(fates, &stretches);
        difference.made = stretches
            .into_iter()
            .flat_map(|stretch| stretch.made)
            .collect();
        difference
    }

    /// Candidates that are chunks of the block, with the positions of both, ascending.
    fn matches(&self) -> Vec<(usize, usize)> {
        let mut matches = Vec::new();
        let mut next = 0;
        for (at, chunk) in self.chunks.iter().enumerate() {
            let rest = self.known.get(next..).unwrap_or_default();
            let before =
                rest.partition_point(|candidate| candidate.chunk.min_time < chunk.min_time);
            let alike = rest
                .iter()
                .skip(before)
                .take_while(|candidate| candidate.chunk.min_time == chunk.min_time);
            if let Some(found) = alike
                .clone()
                .position(|candidate| is_same(&candidate.chunk, chunk))
            {
                next += before + found;
                matches.push((next, at));
                next += 1;
            }
        }
        matches
    }

    /// `wanted` as samples of `candidates`, with chunks for those that are in none. `None` when
    /// nothing is won by that, or they are not what the encoder makes of their samples.
    fn stretch(&self, candidates: &[Candidate<'_>], wanted: &[SourceChunk<'_>]) -> Option<Stretch> {
        if candidates.is_empty() || wanted.is_empty() {
            return None;
        }
        // As many as will be read again.
        let numbers = wanted.iter().map(weight);
        if numbers.fold(0, usize::saturating_add) > MAX_GROUP_SAMPLES {
            return None;
        }
        let known = pool(candidates).ok()?;
        let mut samples = Vec::new();
        let mut outputs = Vec::new();
        for chunk in wanted {
            outputs.push(decode_plain(chunk, &mut samples)?);
        }
        if !samples.is_sorted_by(|a, b| a.time() < b.time()) {
            return None;
        }
        let mut rest = &known[..];
        let mut new = Vec::new();
        // Whether each sample of the pool is wanted, in runs: taken, left out, taken, …
        let mut runs: Vec<(u64, u64)> = Vec::new();
        let leave = |count: usize, runs: &mut Vec<(u64, u64)>| {
            if count > 0 {
                match runs.last_mut() {
                    Some((_, skip)) => *skip += count as u64,
                    None => runs.push((0, count as u64)),
                }
            }
        };
        for sample in &samples {
            let before = rest.partition_point(|known| known.time() < sample.time());
            rest = rest.get(before..)?;
            let alike = rest.partition_point(|known| known.time() == sample.time());
            let (alike, behind) = rest.split_at_checked(alike)?;
            rest = behind;
            let found = alike.iter().position(|known| known.is_same(sample));
            // A new one will come behind those that the packs have of the same time.
            let chosen = found.unwrap_or(alike.len());
            leave(before + chosen, &mut runs);
            match runs.last_mut() {
                Some((take, 0)) => *take += 1,
                _ => runs.push((1, 0)),
            }
            if found.is_some() {
                leave(alike.len() - chosen - 1, &mut runs);
            } else {
                new.push(sample.clone());
            }
        }
        leave(rest.len(), &mut runs);
        if new.len() == samples.len() || (!new.is_empty() && !self.may_make) {
            return None;
        }
        Some(Stretch {
            recode: Recode {
                chunks: 0,
                runs,
                outputs,
            },
            made: make_chunks(&new, CounterReset::Unknown).ok()?,
        })
    }
}

/// Appends the samples of a chunk, and says how they are encoded; `None` if they would not be
/// encoded like that.
fn decode_plain(chunk: &SourceChunk<'_>, samples: &mut Vec<OwnedSample>) -> Option<Output> {
    let first = samples.len();
    let (header, writer) = decode_into(chunk, samples).ok()?;
    let own = samples.get(first..)?;
    let ends = (own.first()?.time(), own.last()?.time());
    let count = u32::try_from(own.len()).ok()?;
    let output = Output::new(chunk.encoding, writer, header.bits(), count)?;
    if ends != (chunk.min_time, chunk.max_time) {
        return None;
    }
    match chunk.data.strip_prefix(&output.encode(own).ok()?[..])? {
        [] => Some(output),
        [0] => Some(output.with_extra_zero()),
        _ => None,
    }
}

fn is_same(a: &SourceChunk<'_>, b: &SourceChunk<'_>) -> bool {
    a.encoding == b.encoding
        && (a.min_time, a.max_time) == (b.min_time, b.max_time)
        && a.data == b.data
}

/// The steps that give the candidates these fates.
fn program(mut fates: Vec<(Candidate<'_>, Fate)>, stretches: &[Stretch]) -> Program {
    fates.sort_by_key(|(candidate, _)| (candidate.chunk.min_time, candidate.pack));
    let mut steps: Vec<Step> = Vec::new();
    let mut last = None;
    for (_, fate) in fates {
        match (fate, steps.last_mut()) {
            (Fate::Take, Some(Step::Take(count))) | (Fate::Skip, Some(Step::Skip(count))) => {
                *count += 1;
            }
            (Fate::Take, _) => steps.push(Step::Take(1)),
            (Fate::Skip, _) => steps.push(Step::Skip(1)),
            (Fate::Recode(_), Some(Step::Recode(recode))) if last == Some(fate) => {
                recode.chunks += 1;
            }
            (Fate::Recode(number), _) => {
                let recode = stretches.get(number).map(|stretch| stretch.recode.clone());
                steps.push(Step::Recode(Recode {
                    chunks: 1,
                    ..recode.unwrap_or_default()
                }));
            }
        }
        last = Some(fate);
    }
    Program(steps)
}

/// Whether the program makes `chunks` of `known` and of what the own pack is to hold.
fn is_proved(
    found: &Difference,
    known: &[Candidate<'_>],
    chunks: &[SourceChunk<'_>],
    own: usize,
) -> bool {
    let mut candidates = known.to_vec();
    let verbatim = found.own.iter().filter_map(|at| chunks.get(*at)).copied();
    let made = found.made.iter().map(SourceChunk::from);
    candidates.extend(
        verbatim
            .chain(made)
            .map(|chunk| Candidate { pack: own, chunk }),
    );
    sort(&mut candidates);
    let mut wanted = chunks.iter();
    let run = found.program.run(&candidates, |chunk| match wanted.next() {
        Some(wanted) if is_same(wanted, &chunk) => Ok(()),
        _ => Err(crate::error::Error::corrupt("expected another chunk")),
    });
    run.is_ok() && wanted.next().is_none()
}
