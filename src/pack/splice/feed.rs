//! The chunks of several packs, series by series.

use std::collections::VecDeque;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::model::Millis;
use crate::pack::directory::GroupEntry;
use crate::pack::group::{GROUP_SERIES, SourceChunk, Unpacked};
use crate::pack::lines::Lines;
use crate::pack::{Pack, PackBytes};
use crate::raw::Reader;

/// Unpacks groups in the order in which they will be needed, several at a time.
pub(super) struct Feed<'p, P: ?Sized> {
    inputs: Vec<Input<'p, P>>,
    /// Pack and number of all groups, in the order of their first label sets. A pack may lie about
    /// these: then groups are unpacked later than would be good, but none is kept for long.
    schedule: VecDeque<(usize, usize)>,
    advance: &'p (dyn Fn(u64) + Sync),
    /// Groups that could not be read, if it goes on without them.
    lost: Option<Vec<LostGroup>>,
}

/// A group that cannot be read, by what the directory of its pack says of it.
#[derive(Debug)]
pub struct LostGroup {
    /// Position of its pack.
    pub pack: usize,
    /// Where it stands in the pack, in bytes.
    pub offset: u64,
    /// What is wrong with it.
    pub error: Error,
    /// Series in it.
    pub series: u64,
    /// Samples in it.
    pub samples: u64,
    /// Time of its first sample.
    pub min_time: Millis,
    /// Time of its last sample.
    pub max_time: Millis,
}

impl LostGroup {
    fn new(pack: usize, entry: &GroupEntry, error: Error) -> Self {
        LostGroup {
            pack,
            offset: entry.section.offset,
            error,
            series: entry.series,
            samples: entry.samples,
            min_time: entry.min_time,
            max_time: entry.max_time,
        }
    }
}

struct Input<'p, P: ?Sized> {
    pack: &'p Pack<'p, P>,
    /// Whether each group is read; all are, if nothing is said. The series of others come without
    /// chunks.
    wanted: Option<Vec<bool>>,
    lines: Lines,
    /// The group that is to be unpacked next.
    next: usize,
    unpacked: VecDeque<Group>,
    at: Position,
}

/// An unpacked group.
struct Group {
    unpacked: Unpacked,
    /// Its number among the lost ones, if it is lost: its series are there, without chunks.
    lost: Option<usize>,
}

/// The next series of the first unpacked group.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    series: usize,
    chunk: usize,
    data: usize,
}

impl<'p, P: PackBytes + ?Sized> Feed<'p, P> {
    /// The chunks of `packs`; `advance` hears of each group how many bytes of chunks are done.
    pub(super) fn new(packs: &'p [Pack<'p, P>], advance: &'p (dyn Fn(u64) + Sync)) -> Self {
        let inputs = packs.iter().map(|pack| Input {
            pack,
            wanted: None,
            lines: Lines::new(pack.groups()),
            next: 0,
            unpacked: VecDeque::new(),
            at: Position::default(),
        });
        let groups = packs.iter().enumerate().flat_map(|(number, pack)| {
            let groups = pack.groups().iter().enumerate();
            groups.map(move |(group, entry)| (number, group, entry))
        });
        let mut schedule: Vec<_> = groups.collect();
        if packs.len() > 1 {
            schedule.sort_by_cached_key(|(_, _, entry)| first_labels(entry));
        }
        Feed {
            inputs: inputs.collect(),
            schedule: schedule
                .into_iter()
                .map(|(pack, group, _)| (pack, group))
                .collect(),
            advance,
            lost: None,
        }
    }

    /// As [`Feed::new`], but groups that cannot be read are passed over: their series have no
    /// chunks then.
    pub(super) fn of_sound(packs: &'p [Pack<'p, P>], advance: &'p (dyn Fn(u64) + Sync)) -> Self {
        Feed {
            lost: Some(Vec::new()),
            ..Feed::new(packs, advance)
        }
    }

    /// As [`Feed::new`], but of the groups of each pack only those are read that are `wanted`: the
    /// series of others have no chunks.
    pub(super) fn of_wanted(
        packs: &'p [Pack<'p, P>],
        wanted: Vec<Vec<bool>>,
        advance: &'p (dyn Fn(u64) + Sync),
    ) -> Self {
        let mut feed = Feed::new(packs, advance);
        for (input, wanted) in feed.inputs.iter_mut().zip(wanted) {
            input.wanted = Some(wanted);
        }
        feed
    }

    /// Whether what cannot be read is passed over.
    pub(super) fn passes_over(&self) -> bool {
        self.lost.is_some()
    }

    /// The groups that could not be read.
    pub(super) fn into_lost(self) -> Vec<LostGroup> {
        self.lost.unwrap_or_default()
    }

    /// The number of the lost group in which pack `number` has its next series; `None` where it is
    /// sound.
    pub(super) fn lost_group(&self, number: usize) -> Option<usize> {
        self.inputs.get(number)?.unpacked.front()?.lost
    }

    /// Makes sure that [`Feed::chunks`] has the next series of pack `number`.
    ///
    /// # Errors
    ///
    /// When the pack is damaged, or has no more series.
    pub(super) fn prepare(&mut self, number: usize) -> Result<()> {
        loop {
            let input = self.input(number)?;
            match input.unpacked.front() {
                Some(group) if input.at.series < group.unpacked.series.len() => return Ok(()),
                Some(_) => {
                    input.unpacked.pop_front();
                    input.at = Position::default();
                }
                None => self.unpack_wave(number)?,
            }
        }
    }

    /// The chunks that pack `number` has of its next series.
    pub(super) fn chunks(&self, number: usize) -> impl Iterator<Item = SourceChunk<'_>> {
        let input = self.inputs.get(number);
        let group = input.and_then(|input| Some((input.unpacked.front()?, input.at)));
        group.into_iter().flat_map(|(group, at)| {
            let count = group.unpacked.series.get(at.series).copied().unwrap_or(0);
            group.unpacked.chunks_from(at.chunk, at.data, count)
        })
    }

    /// Goes to the series behind.
    pub(super) fn advance(&mut self, number: usize) {
        let Some(input) = self.inputs.get_mut(number) else {
            return;
        };
        let Some(Group {
            unpacked: group, ..
        }) = input.unpacked.front()
        else {
            return;
        };
        let at = &mut input.at;
        let count = group.series.get(at.series).copied().unwrap_or(0);
        let chunks = group
            .chunks
            .get(at.chunk..at.chunk + count)
            .unwrap_or_default();
        at.data += chunks.iter().map(|chunk| chunk.length).sum::<usize>();
        at.chunk += count;
        at.series += 1;
    }

    fn input(&mut self, number: usize) -> Result<&mut Input<'p, P>> {
        self.inputs
            .get_mut(number)
            .ok_or_else(|| Error::corrupt("expected more packs"))
    }

    /// Unpacks the next group of pack `number`, and others that will be needed soon: as many as
    /// there are threads.
    fn unpack_wave(&mut self, number: usize) -> Result<()> {
        let threads = rayon::current_num_threads();
        let kept: usize = self.inputs.iter().map(|input| input.unpacked.len()).sum();
        let room = (self.inputs.len() + threads)
            .saturating_sub(kept)
            .clamp(1, threads);
        let input = self.input(number)?;
        if input.next == input.pack.groups().len() {
            return Err(Error::corrupt(
                "expected as many series as labels, found fewer",
            ));
        }
        let mut wave = vec![(number, input.next)];
        input.next += 1;
        while wave.len() < room
            && let Some((pack, group)) = self.schedule.pop_front()
        {
            // What was unpacked out of turn is behind its pack's next; what comes too early waits
            // for its turn.
            if let Some(input) = self.inputs.get_mut(pack)
                && input.next == group
            {
                input.next += 1;
                wave.push((pack, group));
            }
        }
        let mut jobs = Vec::with_capacity(wave.len());
        for (number, group) in wave {
            let input = self.input(number)?;
            let pack = input.pack;
            let Some(entry) = pack.groups().get(group) else {
                continue;
            };
            let bytes = input.wants(group).then(|| {
                let lines = pack.load_lines(&mut input.lines, group);
                lines.and_then(|()| pack.read_group(entry))
            });
            jobs.push((number, entry, bytes));
        }
        let (inputs, advance) = (&self.inputs, self.advance);
        let unpacked: Vec<Result<Unpacked>> = jobs
            .par_iter_mut()
            .map(|(number, entry, bytes)| {
                let Some(input) = inputs.get(*number) else {
                    return Ok(Unpacked::default());
                };
                let Some(bytes) = bytes.take() else {
                    return without_chunks(entry);
                };
                let unpacked =
                    bytes.and_then(|bytes| input.pack.unpack_group(entry, &bytes, &input.lines));
                let unpacked = unpacked.map_err(|e| e.context(input.pack.describe()))?;
                advance(entry.chunk_bytes);
                Ok(unpacked)
            })
            .collect();
        for ((number, entry, _), unpacked) in jobs.into_iter().zip(unpacked) {
            let group = match unpacked {
                Ok(unpacked) => Group {
                    unpacked,
                    lost: None,
                },
                Err(error) => self.pass_over(number, entry, error)?,
            };
            self.input(number)?.unpacked.push_back(group);
        }
        Ok(())
    }

    /// What stands in the place of a group that cannot be read.
    fn pass_over(&mut self, pack: usize, entry: &GroupEntry, error: Error) -> Result<Group> {
        let Some((lost, unpacked)) = self.lost.as_mut().zip(without_chunks(entry).ok()) else {
            return Err(error);
        };
        lost.push(LostGroup::new(pack, entry, error));
        Ok(Group {
            unpacked,
            lost: Some(lost.len() - 1),
        })
    }
}

impl<P: ?Sized> Input<'_, P> {
    fn wants(&self, group: usize) -> bool {
        let wanted = self.wanted.as_ref();
        wanted.is_none_or(|wanted| wanted.get(group).copied().unwrap_or(false))
    }
}

/// The series of a group, as if they had no chunks.
fn without_chunks(entry: &GroupEntry) -> Result<Unpacked> {
    let series = usize::try_from(entry.series).ok();
    let series = series.filter(|series| *series <= GROUP_SERIES);
    let series = series.ok_or_else(|| {
        let found = entry.series;
        Error::corrupt(format!(
            "expected a group of up to {GROUP_SERIES} series, found {found}"
        ))
    })?;
    Ok(Unpacked {
        series: vec![0; series],
        ..Unpacked::default()
    })
}

/// The labels of a group's first series, for sorting.
fn first_labels(entry: &GroupEntry) -> Vec<Vec<u8>> {
    let mut reader = Reader::new(&entry.first_labels, 0, "pack directory");
    let strings = std::iter::from_fn(|| reader.string().ok().map(<[u8]>::to_vec));
    strings.collect()
}
