//! Packs from which a block may be spliced.

use std::io::Read;
use std::ops::Range;

use crate::error::Result;
use crate::model::Millis;
use crate::pack::digests::SeriesDigest;
use crate::pack::group::{SourceChunk, Unpacked};
use crate::pack::lines::Lines;
use crate::pack::{Pack, PackBytes};

/// A pack that is stored, and the digests of its series.
pub struct KnownPack<'k, P: ?Sized> {
    pub(super) pack: Pack<'k, P>,
    digests: Box<dyn Read + 'k>,
    /// Times of the first sample of the pack and of the last; `None` if it has none.
    ends: Option<(Millis, Millis)>,
    /// Whether each chunk was found to hold its samples in order, within its times, when the pack
    /// was written.
    pub(super) is_sound: bool,
    /// The series behind the one that [`KnownPack::next`] gave last.
    series: u64,
    lines: Lines,
    /// The group that was unpacked last.
    group: Option<LoadedGroup>,
}

struct LoadedGroup {
    /// Numbers of its series in the pack.
    series: Range<u64>,
    /// For each its first chunk, and where the data of that stands.
    starts: Vec<[usize; 2]>,
    unpacked: Unpacked,
}

impl<P: ?Sized> std::fmt::Debug for KnownPack<'_, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KnownPack").finish_non_exhaustive()
    }
}

impl<'k, P: PackBytes + ?Sized> KnownPack<'k, P> {
    /// The pack `pack`; `digests` is what [`write_pack`](crate::pack::write_pack) or
    /// [`Pack::digests`] have written of it.
    pub fn new(pack: Pack<'k, P>, digests: Box<dyn Read + 'k>, is_sound: bool) -> Self {
        let groups = pack.groups().iter();
        let ends = groups.map(|group| (group.min_time, group.max_time));
        KnownPack {
            ends: ends.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))),
            lines: Lines::new(pack.groups()),
            pack,
            digests,
            is_sound,
            series: 0,
            group: None,
        }
    }

    /// Whether all samples of the pack lie in the half-open `range`.
    pub(super) fn is_within(&self, range: (Millis, Millis)) -> bool {
        self.ends
            .is_none_or(|(first, last)| first >= range.0 && last < range.1)
    }

    /// Goes to the next series, and gives its digest if it is known.
    pub(super) fn next(&mut self) -> Option<SeriesDigest> {
        self.series += 1;
        SeriesDigest::read(&mut self.digests).ok()
    }

    /// The chunks of the series to which [`KnownPack::next`] went, from the pack itself.
    ///
    /// # Errors
    ///
    /// When the pack cannot be read.
    pub(super) fn chunks(&mut self) -> Result<Vec<SourceChunk<'_>>> {
        let number = self.series.saturating_sub(1);
        if self
            .group
            .as_ref()
            .is_none_or(|group| !group.series.contains(&number))
        {
            self.group = self
                .load(number)
                .map_err(|e| e.context(self.pack.describe()))?;
        }
        let found = self.group.as_ref().and_then(|group| {
            let at = usize::try_from(number - group.series.start).ok()?;
            let [chunk, data] = group.starts.get(at).copied()?;
            let count = *group.unpacked.series.get(at)?;
            Some(group.unpacked.chunks_from(chunk, data, count).collect())
        });
        Ok(found.unwrap_or_default())
    }

    /// Unpacks the group that has the series `number`.
    fn load(&mut self, number: u64) -> Result<Option<LoadedGroup>> {
        let mut first = 0u64;
        for (at, entry) in self.pack.groups().iter().enumerate() {
            let series = first..first.saturating_add(entry.series);
            first = series.end;
            if !series.contains(&number) {
                continue;
            }
            self.pack.load_lines(&mut self.lines, at)?;
            let bytes = self.pack.read_group(entry)?;
            let unpacked = self.pack.unpack_group(entry, &bytes, &self.lines)?;
            let (mut chunk, mut data) = (0, 0);
            let starts = unpacked.series.iter().map(|count| {
                let start = [chunk, data];
                let own = unpacked.chunks.iter().skip(chunk).take(*count);
                data += own.map(|chunk| chunk.length).sum::<usize>();
                chunk += count;
                start
            });
            return Ok(Some(LoadedGroup {
                starts: starts.collect(),
                series,
                unpacked,
            }));
        }
        Ok(None)
    }
}
