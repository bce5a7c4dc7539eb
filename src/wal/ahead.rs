//! Records of a segment, read by one thread while another takes them apart.

use std::ops::{ControlFlow, Range};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

use super::compression::Compression;
use super::oddity::Oddities;
use super::page::Broken;
use super::segment::{RawRecord, Records};

/// Payloads are handed over in batches of about this size, in bytes. A single record may be larger.
const BATCH: usize = 256 << 10;

/// Batches that may wait to be taken apart.
const AHEAD: usize = 1;

/// Segments that are not larger than this, in bytes, are not worth a thread.
const SMALL: usize = 1 << 20;

/// How a segment ended.
pub(super) struct Ending {
    /// Why it could not be read to its end; nothing where it could, and where whoever took it
    /// apart stopped before.
    pub(super) broken: Option<Broken>,
    /// What was unusual in the framing up to there.
    pub(super) oddities: Oddities,
}

/// Hands every record of `segment` to `see`, until that breaks the loop.
pub(super) fn for_each_record(
    segment: &[u8],
    see: impl FnMut(&RawRecord<'_>) -> ControlFlow<()>,
) -> Ending {
    if segment.len() > SMALL && rayon::current_num_threads() > 1 {
        side_by_side(segment, see)
    } else {
        one_by_one(segment, see)
    }
}

fn one_by_one(segment: &[u8], mut see: impl FnMut(&RawRecord<'_>) -> ControlFlow<()>) -> Ending {
    let mut records = Records::new(segment);
    let broken = loop {
        match records.next_record() {
            Ok(Some(record)) => {
                if see(&record).is_break() {
                    break None;
                }
            }
            Ok(None) => break None,
            Err(broken) => break Some(broken),
        }
    };
    Ending {
        broken,
        oddities: records.oddities().clone(),
    }
}

fn side_by_side(segment: &[u8], mut see: impl FnMut(&RawRecord<'_>) -> ControlFlow<()>) -> Ending {
    let (filled, batches) = sync_channel(AHEAD);
    let (emptied, empty) = channel();
    thread::scope(|scope| {
        let reader = scope.spawn(move || read(segment, &filled, &empty));
        let mut seen = 0;
        for batch in batches {
            for entry in &batch.entries {
                seen += 1;
                if see(&entry.record(&batch.payloads)).is_break() {
                    // The reader is ahead, and may have met something unusual behind this record.
                    return Ending {
                        broken: None,
                        oddities: oddities_before(segment, seen),
                    };
                }
            }
            // Nobody waits for it any more when the last batch is on its way.
            let _ = emptied.send(batch);
        }
        reader
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Records on their way from one thread to the other.
#[derive(Default)]
struct Batch {
    payloads: Vec<u8>,
    entries: Vec<Entry>,
}

/// A [`RawRecord`] whose payload lies in a batch.
struct Entry {
    offset: u64,
    end: u64,
    compression: Compression,
    payload: Range<usize>,
    is_padded: bool,
}

impl Entry {
    fn record<'b>(&self, payloads: &'b [u8]) -> RawRecord<'b> {
        RawRecord {
            offset: self.offset,
            end: self.end,
            compression: self.compression,
            payload: payloads.get(self.payload.clone()).unwrap_or_default(),
            is_padded: self.is_padded,
        }
    }
}

/// Fills batches until the segment ends or nobody wants more.
fn read(segment: &[u8], filled: &SyncSender<Batch>, empty: &Receiver<Batch>) -> Ending {
    let mut batch = Batch::default();
    let ending = one_by_one(segment, |record| {
        let begin = batch.payloads.len();
        batch.payloads.extend_from_slice(record.payload);
        batch.entries.push(Entry {
            offset: record.offset,
            end: record.end,
            compression: record.compression,
            payload: begin..batch.payloads.len(),
            is_padded: record.is_padded,
        });
        if batch.payloads.len() < BATCH {
            return ControlFlow::Continue(());
        }
        let mut next = empty.try_recv().unwrap_or_default();
        next.payloads.clear();
        next.entries.clear();
        match filled.send(std::mem::replace(&mut batch, next)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    let _ = filled.send(batch);
    ending
}

/// What is unusual in the framing of the first `records` records.
fn oddities_before(segment: &[u8], records: usize) -> Oddities {
    let mut left = records;
    let ending = one_by_one(segment, |_| {
        left -= 1;
        if left == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    ending.oddities
}

#[cfg(test)]
mod tests {
    use super::super::writer::SegmentWriter;
    use super::*;

    /// What is seen of a segment until `stop` records were.
    type Seen = (
        Vec<(u64, u64, Compression, Vec<u8>, bool)>,
        Option<Broken>,
        Oddities,
    );

    fn seen(
        segment: &[u8],
        stop: usize,
        read: impl Fn(&[u8], &mut dyn FnMut(&RawRecord<'_>) -> ControlFlow<()>) -> Ending,
    ) -> Seen {
        let mut records = Vec::new();
        let ending = read(segment, &mut |record| {
            let payload = record.payload.to_vec();
            let RawRecord {
                offset,
                end,
                compression,
                is_padded,
                ..
            } = *record;
            records.push((offset, end, compression, payload, is_padded));
            if records.len() == stop {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        (records, ending.broken, ending.oddities)
    }

    #[test]
    fn two_threads_see_what_one_sees() {
        let mut writer = SegmentWriter::default();
        for number in 0..3000u32 {
            let record: Vec<u8> = (0..number % 1500)
                .map(|byte| (byte * number) as u8)
                .collect();
            writer.log(&[&[9][..], &record].concat(), Compression::Snappy);
            if number % 700 == 0 {
                // Reserved bits, which Prometheus overlooks.
                writer.fragment(0x21, b"x");
            }
        }
        let sound = writer.bytes;
        let mut flipped = sound.clone();
        flipped[sound.len() / 2] ^= 1;
        let torn = &sound[..sound.len() - 5];
        for segment in [&sound[..], &flipped, torn, &[]] {
            for stop in [usize::MAX, 1, 1000] {
                let one = seen(segment, stop, |segment, see| one_by_one(segment, see));
                let two = seen(segment, stop, |segment, see| side_by_side(segment, see));
                assert_eq!(one, two);
                let payloads: usize = two
                    .0
                    .iter()
                    .map(|(_, _, _, payload, _)| payload.len())
                    .sum();
                assert!(stop < 3000 || segment.len() < sound.len() || payloads > 4 * BATCH);
            }
        }
    }
}
