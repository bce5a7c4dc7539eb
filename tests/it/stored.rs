//! Reading stored blocks without restoring them: files and single series, from either codec, and
//! what of the store is read for that.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use narthex::archive::{self, BackupOptions, Codec, Source};
use narthex::block::Block;
use narthex::chunk::encode::EncodedChunk;
use narthex::chunk::{OwnedSample, decode_owned};
use narthex::index::Series;
use narthex::model::{Label, Labels, Millis};
use narthex::progress::Silent;
use narthex::raw::ReadMode;
use narthex::repository::copies::Copies;
use narthex::repository::portable::FRAME_BYTES;
use narthex::repository::{ObjectCodec, Repository, StoredBlock};
use narthex::restore::{Target, TargetContent, Wanted, apply, plan};
use narthex::select::{Selection, Selector};
use narthex::store::{
    Leftover, LocalStore, MemoryStore, ObjectName, PendingObject, ReadStore, Store,
};
use narthex::stored::StoredReader;
use narthex::{ErrorKind, Result};

use crate::fixtures::{fixture, tree};
use crate::lost_parts::{Content, content, delete, lay, noise, only};
use crate::sick::copy;

/// A series as a block has it: its chunks, and its samples as a query finds them.
#[derive(Clone)]
struct Read {
    chunks: Vec<EncodedChunk>,
    /// `None` for aggregates.
    samples: Option<Vec<OwnedSample>>,
}

/// By labels.
type All = BTreeMap<Labels, Read>;

/// All series with chunks of the block in `dir`, read file by file.
fn of_dir(dir: &Path) -> All {
    let block = Block::open(dir, ReadMode::Map).unwrap();
    let (index, meta) = (block.index().unwrap(), block.meta());
    let symbols = index.symbols().unwrap();
    let mut all = All::new();
    let mut series = Series::default();
    for entry in index.series() {
        let entry = entry.unwrap();
        entry.decode(&mut series).unwrap();
        let labels = index.labels(&symbols, &series, entry.offset).unwrap();
        let deleted = &block.tombstones().records;
        let chunks: Vec<EncodedChunk> = series
            .chunks
            .iter()
            .filter(|chunk| chunk.max_time >= meta.min_time && chunk.min_time < meta.max_time)
            .map(|chunk| {
                let record = block.chunk(chunk.reference).unwrap();
                EncodedChunk {
                    encoding: record.encoding,
                    min_time: chunk.min_time,
                    max_time: chunk.max_time,
                    data: record.data.to_vec(),
                }
            })
            .collect();
        if chunks.is_empty() {
            continue;
        }
        let has = |time: Millis| {
            let mut own = deleted.iter().filter(|one| one.series == entry.reference);
            (meta.min_time..meta.max_time).contains(&time)
                && !own.any(|one| (one.min_time..=one.max_time).contains(&time))
        };
        let mut samples: BTreeMap<Millis, OwnedSample> = BTreeMap::new();
        let mut are_samples = true;
        for chunk in &chunks {
            let mut own = Vec::new();
            are_samples &= decode_owned(chunk.encoding, &chunk.data, &mut own).is_ok();
            for sample in own.into_iter().filter(|sample| has(sample.time())) {
                samples.entry(sample.time()).or_insert(sample);
            }
        }
        let samples = are_samples.then(|| samples.into_values().collect());
        all.insert(labels, Read { chunks, samples });
    }
    all
}

fn owned(labels: &[(&[u8], &[u8])]) -> Labels {
    let label = |(name, value): &(&[u8], &[u8])| Label {
        name: (*name).into(),
        value: (*value).into(),
    };
    Labels(labels.iter().map(label).collect())
}

/// What a reader of the stored block gives.
fn of_store(store: &dyn Store, block: &StoredBlock, asked: &Selection) -> Result<All> {
    let mut all = All::new();
    StoredReader::new(store, block).read_series(asked, &mut |series| {
        let samples = match series.samples() {
            Ok(samples) => Some(samples),
            Err(error) if error.kind() == ErrorKind::Unsupported => None,
            Err(error) => return Err(error),
        };
        let chunks = series.chunks().to_vec();
        let known = all.insert(owned(series.labels()), Read { chunks, samples });
        assert!(known.is_none(), "{:?} came twice", owned(series.labels()));
        Ok(())
    })?;
    Ok(all)
}

fn assert_same(found: &All, wanted: &All, what: &str) {
    assert!(found.keys().eq(wanted.keys()), "{what}: other series");
    for (labels, wanted) in wanted {
        let found = &found[labels];
        assert!(found.chunks == wanted.chunks, "{what}: chunks of {labels}");
        let same = match (&found.samples, &wanted.samples) {
            (None, None) => true,
            (Some(found), Some(wanted)) => {
                let mut pairs = found.iter().zip(wanted);
                found.len() == wanted.len() && pairs.all(|(one, other)| one.is_same(other))
            }
            _ => false,
        };
        assert!(same, "{what}: samples of {labels}");
    }
}

/// A selector of the series with these labels, and of those that have more.
fn selector(labels: &Labels) -> Selector {
    let matchers: Vec<_> = labels
        .0
        .iter()
        .map(|label| {
            let value = String::from_utf8(label.value.to_vec()).unwrap();
            let name = String::from_utf8(label.name.to_vec()).unwrap();
            format!("{name:?}={value:?}")
        })
        .collect();
    format!("{{{}}}", matchers.join(",")).parse().unwrap()
}

fn selects(selector: &Selector, labels: &Labels) -> bool {
    let labels = labels.0.iter().map(|label| (&*label.name, &*label.value));
    selector.selects(&labels.collect::<Vec<_>>())
}

/// Restores an archive, and compares each block with what is read of it where it is stored: its
/// files, all series, single series, and a part of their time. Says how many blocks there were of
/// each kind.
fn assert_reads_as_it_restores(repository: &Repository, kinds: &mut BTreeMap<&str, u32>) {
    for archive in repository.archives().unwrap().archives {
        let scratch = tempfile::tempdir().unwrap();
        let target = scratch.path().join("back");
        let wanted = plan(
            &Wanted::Archive,
            &archive,
            &[],
            false,
            &TargetContent::default(),
        )
        .unwrap();
        let copies = Copies::new(repository).unwrap();
        let report = apply(
            &wanted,
            &copies,
            &Target::new(&target, false).unwrap(),
            &Silent,
        );
        assert!(report.unwrap().failed.is_empty());
        for block in &archive.blocks {
            let dir = target.join(block.ulid.to_string());
            if !dir.is_dir() {
                continue;
            }
            assert_reads(repository.store(), block, &dir);
            let tombstones = fs::read(dir.join("tombstones")).unwrap_or_default();
            for (kind, is_it) in [
                ("portable", block.object.codec == ObjectCodec::Portable),
                ("dense", block.packs.len() == 1),
                ("spliced", block.packs.len() > 1),
                ("sidecar", block.sidecar.is_some()),
                ("deleted", tombstones.len() > 9),
                (
                    "dense and deleted",
                    tombstones.len() > 9 && !block.packs.is_empty(),
                ),
            ] {
                *kinds.entry(kind).or_default() += u32::from(is_it);
            }
        }
    }
}

fn assert_reads(store: &dyn Store, block: &StoredBlock, dir: &Path) {
    let reader = StoredReader::new(store, block);
    let what = block.ulid.to_string();
    let files = tree(dir);
    assert_eq!(reader.files().len(), files.len(), "{what}");
    for file in reader.files() {
        let mut bytes = Vec::new();
        reader.read_file(file, &mut bytes).unwrap();
        assert!(bytes == files[file.name.as_str()], "{what}: {}", file.name);
        assert!(reader.content(file, file.bytes.saturating_sub(1)).is_err() || file.bytes == 0);
    }
    let all = of_dir(dir);
    let found = of_store(store, block, &Selection::default()).unwrap();
    assert_same(&found, &all, &what);
    let middle = block.min_time.midpoint(block.max_time);
    for labels in all.keys().step_by(1 + all.len() / 5) {
        let one = selector(labels);
        let wanted = all.iter().filter(|(labels, _)| selects(&one, labels));
        let mut wanted: All = wanted
            .map(|(labels, read)| (labels.clone(), read.clone()))
            .collect();
        let asked = Selection::new(Millis::MIN, Millis::MAX, vec![one.clone()]);
        let found = of_store(store, block, &asked).unwrap();
        assert_same(&found, &wanted, &what);
        for read in wanted.values_mut() {
            read.chunks.retain(|chunk| chunk.min_time < middle);
            if let Some(samples) = &mut read.samples {
                samples.retain(|sample| sample.time() < middle);
            }
        }
        wanted.retain(|_, read| !read.chunks.is_empty());
        let asked = Selection::new(Millis::MIN, middle, vec![one]);
        let found = of_store(store, block, &asked).unwrap();
        assert_same(&found, &wanted, &what);
    }
    let none = "{narthex=\"nobody\"}".parse().unwrap();
    let asked = Selection::new(Millis::MIN, Millis::MAX, vec![none]);
    assert!(of_store(store, block, &asked).unwrap().is_empty(), "{what}");
}

/// Archives a directory.
fn back_up(repository: &Repository, data: &Path, codec: Codec, time: Millis) {
    let source = Source::new(data, "host".into(), Some("test".into())).unwrap();
    let options = BackupOptions {
        codec,
        force: true,
        ..BackupOptions::default()
    };
    archive::backup(&source, repository, &options, time, &Silent).unwrap();
}

const TIMES: [Millis; 2] = [1_795_312_000_000, 1_795_398_400_000];

#[test]
fn series_of_kept_repositories_are_read_as_they_restore() {
    let mut kinds = BTreeMap::new();
    for version in ["v1", "v2", "v3"] {
        let dir = fixture("repositories").join(version).join("repository");
        let repository = Repository::open(Arc::new(LocalStore::new(dir))).unwrap();
        assert_reads_as_it_restores(&repository, &mut kinds);
    }
    for kind in ["portable", "dense", "spliced", "deleted"] {
        assert!(kinds[kind] > 0, "{kind}: {kinds:?}");
    }
}

#[test]
fn series_of_two_nights_are_read_as_they_restore_from_either_codec() {
    for codec in [Codec::Dense, Codec::Portable] {
        let repository = Repository::init(Arc::new(MemoryStore::new())).unwrap();
        for (night, time) in ["night-1", "night-2"].into_iter().zip(TIMES) {
            back_up(&repository, &fixture(night), codec, time);
        }
        let mut kinds = BTreeMap::new();
        assert_reads_as_it_restores(&repository, &mut kinds);
        let own: &[&str] = match codec {
            Codec::Dense => &["dense", "spliced", "dense and deleted"],
            Codec::Portable => &["portable", "deleted"],
        };
        for kind in own {
            assert!(kinds[kind] > 0, "{kind}: {kinds:?}");
        }
    }
}

#[test]
fn deletions_in_sidecars_are_applied_and_overlapping_chunks_merged_from_either_codec() {
    for codec in [Codec::Dense, Codec::Portable] {
        let place = tempfile::tempdir().unwrap();
        let data = place.path();
        for set in [
            "overlap-a",
            "overlap-xor2",
            "encodings-456",
            "segments-of-3000",
        ] {
            for entry in fs::read_dir(fixture("blocks").join(set)).unwrap() {
                let from = entry.unwrap().path();
                copy(&from, &data.join(from.file_name().unwrap()));
            }
        }
        let repository = Repository::init(Arc::new(MemoryStore::new())).unwrap();
        back_up(&repository, data, codec, TIMES[0]);
        for name in ["01M80H6AV5BEZCSYPGW9KXHCTR", "01M7ZT0F5VETPW96NJS5PYDEZ6"] {
            let dir = data.join(name);
            let meta = Block::open(&dir, ReadMode::Map).unwrap().meta().clone();
            let middle = meta.min_time.midpoint(meta.max_time);
            delete(&dir, 1, meta.min_time, middle);
        }
        back_up(&repository, data, codec, TIMES[1]);
        let mut kinds = BTreeMap::new();
        assert_reads_as_it_restores(&repository, &mut kinds);
        assert!(kinds["sidecar"] == 2 && kinds["deleted"] > 2, "{kinds:?}");
    }
}

#[test]
fn chunks_of_aggregates_are_handed_out_and_are_no_samples() {
    for codec in [Codec::Dense, Codec::Portable] {
        let repository = Repository::init(Arc::new(MemoryStore::new())).unwrap();
        back_up(&repository, &fixture("thanos/aggregates"), codec, TIMES[0]);
        assert_reads_as_it_restores(&repository, &mut BTreeMap::new());
    }
}

/// Counts the bytes that are read of packs and of other objects.
#[derive(Debug)]
struct Counting {
    store: MemoryStore,
    read: AtomicU64,
}

impl ReadStore for Counting {
    fn get(&self, name: &ObjectName, max_bytes: u64) -> Result<Vec<u8>> {
        let bytes = self.store.get(name, max_bytes)?;
        self.read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>> {
        self.read
            .fetch_add(range.end - range.start, Ordering::Relaxed);
        self.store.get_range(name, range)
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        self.store.size(name)
    }

    fn list(&self, prefix: &str) -> Result<Vec<(ObjectName, u64)>> {
        self.store.list(prefix)
    }

    fn describe(&self) -> String {
        self.store.describe()
    }
}

impl Store for Counting {
    fn create(&self, name: &ObjectName) -> Result<Box<dyn PendingObject>> {
        self.store.create(name)
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        self.store.delete(name)
    }

    fn settle(&self, name: &ObjectName) -> Result<()> {
        self.store.settle(name)
    }

    fn leftovers(&self, prefix: &str) -> Result<Vec<Leftover>> {
        self.store.leftovers(prefix)
    }

    fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        self.store.remove_leftover(leftover)
    }

    fn is_create_only(&self) -> Result<bool> {
        self.store.is_create_only()
    }

    fn try_create_only(&self) -> Result<bool> {
        self.store.try_create_only()
    }

    fn is_vacant(&self) -> Result<bool> {
        self.store.is_vacant()
    }
}

/// Series of the large block, each of so many samples of noise. 120 of them make a chunk of about a
/// KiB, so that 50 series close a group at 4 MiB of chunks, and as many are in a frame.
const SERIES: u32 = 400;
const SAMPLES: u32 = 10_000;

/// The large block, stored in `codec`.
struct Large {
    store: Counting,
    block: StoredBlock,
    content: Content,
}

impl Large {
    fn new(codec: Codec) -> Self {
        let place = tempfile::tempdir().unwrap();
        let content = content(0..SERIES, 0, SAMPLES, noise);
        lay(place.path(), 1, &[1], &content);
        let store = MemoryStore::new();
        let repository = Repository::init(Arc::new(store.clone())).unwrap();
        back_up(&repository, place.path(), codec, TIMES[0]);
        let archive = repository.archives().unwrap().archives.pop().unwrap();
        Large {
            store: Counting {
                store,
                read: AtomicU64::new(0),
            },
            block: archive.blocks.iter().next().unwrap().clone(),
            content,
        }
    }

    /// How many bytes are read of the store for the series `number` alone.
    fn read_one(&self, number: u32) -> u64 {
        self.store.read.store(0, Ordering::Relaxed);
        let one = only(number).parse().unwrap();
        let asked = Selection::new(Millis::MIN, Millis::MAX, vec![one]);
        let found = of_store(&self.store, &self.block, &asked).unwrap();
        let (labels, read) = found.first_key_value().unwrap();
        assert_eq!((found.len(), &read.chunks), (1, &self.content[labels]));
        self.store.read.load(Ordering::Relaxed)
    }
}

/// Beside one group, of eight, labels are read, the directory, the recipe and `meta.json`, which
/// are some KiB here. A quarter leaves room for groups that are not all equally large.
#[test]
fn for_one_series_of_a_large_pack_one_of_its_groups_is_read() {
    let large = Large::new(Codec::Dense);
    let [pack] = &large.block.packs[..] else {
        panic!("expected one pack, found {:?}", large.block.packs);
    };
    assert!(pack.bytes > 10 << 20, "{}", pack.bytes);
    for number in [0, SERIES / 2, SERIES - 1] {
        let read = large.read_one(number);

        assert!(read < pack.bytes / 4, "{read} of {}", pack.bytes);
    }
}

/// Whatever the size of the object: of frames are read the first (names, `meta.json`, the segment's
/// header), those with the index and with the names behind the segment, and those with the chunks,
/// some of them again after another one. None is larger than its content.
#[test]
fn for_one_series_of_a_large_object_few_of_its_frames_are_read() {
    let large = Large::new(Codec::Portable);
    let object = large.block.object.bytes;
    assert!(object > 30 << 20, "{object}");
    let read = large.read_one(SERIES / 2);

    assert!(read < 6 * FRAME_BYTES as u64, "{read} of {object}");
}

/// Whatever byte of an object is flipped, a series comes as it was or not at all; damage in other
/// groups or frames does not concern it.
#[test]
fn damage_is_an_error_where_it_is_read_and_nothing_elsewhere() {
    for codec in [Codec::Dense, Codec::Portable] {
        let large = Large::new(codec);
        let object = large.block.packs.first().unwrap_or(&large.block.object);
        let sound = large.store.store.get(&object.name, u64::MAX).unwrap();
        let store: &dyn Store = &large.store.store;
        let mut came = BTreeMap::from([(false, 0), (true, 0)]);
        for percent in (0..=100).step_by(4) {
            let mut bytes = sound.clone();
            let at = (bytes.len() - 1) * percent / 100;
            bytes[at] ^= 4;
            store.delete(&object.name).unwrap();
            store.put(&object.name, &bytes).unwrap();
            let one = only(SERIES / 2).parse().unwrap();
            let asked = Selection::new(Millis::MIN, Millis::MAX, vec![one]);
            let found = of_store(store, &large.block, &asked);
            if let Ok(found) = &found {
                let (labels, read) = found.first_key_value().unwrap();
                assert_eq!((found.len(), &read.chunks), (1, &large.content[labels]));
            }
            *came.entry(found.is_ok()).or_default() += 1;
        }
        assert!(came[&true] > 10 && came[&false] > 1, "{codec:?}: {came:?}");
    }
}
