//! What can be read of blocks that do not come back as they were, as new blocks.
//!
//! Of a dense block that are the groups of its packs that are sound; of a portable one the chunks that its index names and that have the checksum
//! they should have. Where that is not all, other blocks of the same samples are read in the same way. All of it together is written as one
//! new block, which is verified before it becomes visible.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use super::apply::{Outcome, Work};
use super::exact::{CutBlock, Exact, is_of_target, verified};
use super::fetch::{Sink as _, fetch_file};
use super::guess::guess_empty;
use super::plan::Plan;
use super::stand_in::{Cover, Past};
use super::writer::{Below, Writer};
use crate::block::{
    Block, BlockOptions, BlockWriter, Compaction, META_VERSION, Meta, Stats, Tombstones,
};
use crate::cut::{Unread, merge_blocks};
use crate::dense::{Sound, with_sound_packs};
use crate::error::{Error, Result};
use crate::model::{Kin, Millis, Ulid};
use crate::raw::ReadMode;
use crate::repository::copies::{Copies, Redirected, Trust, is_stored_alike};
use crate::repository::lineage::{is_damaged, stream};
use crate::repository::portable::{Object, Root, Visitor as _};
use crate::repository::{FilePath, Hasher, StoredBlock, StoredFile, StoredObject};
use crate::select::Selection;

/// Most ways in which one block is stored, and most other blocks, that are read for one.
const MAX_WAYS: usize = 8;

/// Most blocks that are known to hold one atom, of which these are chosen.
const MAX_HOLDERS: usize = 256;

/// Most losses that are named.
const MAX_NAMED: usize = 16;

/// Largest file of tombstones that is applied, in bytes.
const MAX_TOMBSTONES: u64 = 64 << 20;

const INDEX: &str = "index";
const TOMBSTONES: &str = "tombstones";

/// What is done about blocks that do not come back as they were.
#[derive(Clone, Debug)]
pub struct Salvage {
    /// What will be read of what comes back: where that is sound, nothing is missing. All of it comes back nevertheless.
    pub asked: Selection,
    /// Whether what can be read of them is brought back; else it is only said that there is something.
    pub bring: bool,
    /// How staged files are read.
    pub read_mode: ReadMode,
}

/// What of a block is salvaged.
pub(super) struct SalvageOf {
    /// What is written.
    part: Selection,
    /// What may not be missing.
    asked: Selection,
    read_mode: ReadMode,
}

impl SalvageOf {
    /// What `exact` says.
    pub(super) fn exact(exact: &Exact) -> Self {
        SalvageOf {
            part: exact.part.clone(),
            asked: exact.part.clone(),
            read_mode: exact.read_mode,
        }
    }

    /// All of the block.
    fn all(salvage: &Salvage) -> Self {
        SalvageOf {
            part: Selection::default(),
            asked: salvage.asked.clone(),
            read_mode: salvage.read_mode,
        }
    }
}

/// What came back of a block that did not come back as it was.
#[derive(Debug)]
pub struct Salvaged {
    /// The block that was archived.
    pub original: Ulid,
    /// What could be read of it, as a new block; `None` when that is nothing of what is wanted.
    pub block: Option<CutBlock>,
    /// Series and samples that it is short of, by what the manifest says; `None` where not all of the block was wanted, or samples of it were
    /// deleted, which the manifest counts.
    pub short_of: Option<(u64, u64)>,
    /// What could not be read of its own objects.
    pub losses: Losses,
    /// What is wrong with them.
    pub reason: Error,
    /// Whether something that is wanted may be missing, or deleted samples have come back.
    pub is_short: bool,
    /// Other blocks of which everything that was read for it is in it.
    pub(super) others: BTreeSet<Ulid>,
}

/// What could not be read.
#[derive(Debug, Default)]
pub struct Losses {
    /// The first of them.
    pub named: Vec<Loss>,
    /// How many there are beside those.
    pub more: u64,
    /// Whether one of them may have held what is wanted.
    concern: bool,
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Where it stood, and what is wrong there.
    pub place: String,
    /// How many series were in it, if it is known.
    pub series: Option<u64>,
    /// How many samples were in it, if it is known.
    pub samples: Option<u64>,
    /// Time of its first sample, and of its last, as far as they are known.
    pub span: Option<(Millis, Millis)>,
}

impl Losses {
    fn add(&mut self, loss: Loss, concerns: bool) {
        self.concern |= concerns;
        if self.named.len() < MAX_NAMED {
            self.named.push(loss);
        } else {
            self.more += 1;
        }
    }

    fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// Adds what could not be read of the files of `block`.
    fn add_unread(&mut self, block: &StoredBlock, unread: &[Unread]) {
        for unread in unread.iter().filter(|unread| unread.block == block.ulid) {
            let name = unread.file.file_name().unwrap_or_default();
            let (name, count, first) = (name.display(), unread.count, &unread.first);
            let loss = Loss {
                place: format!("{count} parts of file {name}, of which the first: {first}"),
                series: None,
                samples: None,
                span: unread.span,
            };
            self.add(loss, unread.concerns);
        }
    }
}

/// The name of what is salvaged of the block `ulid`: always the same, so that whoever does it twice has it once.
pub(super) fn salvaged_ulid(ulid: Ulid) -> Ulid {
    let mut hasher = Hasher::default();
    hasher.update(b"salvaged by narthex from ");
    hasher.update(ulid.to_string().as_bytes());
    let digest = hasher.finish();
    let random = digest.as_bytes().iter().take(10);
    let random = random.fold(0u128, |random, byte| random << 8 | u128::from(*byte));
    Ulid::from_parts(ulid.time(), random)
}

impl Work<'_> {
    /// Whether something can be read of `block`, which nothing brings back, and `plan` does not ask for that. Reads no samples.
    pub(super) fn may_salvage(&self, plan: &Plan<'_>, block: &StoredBlock) -> bool {
        if plan.brings(block) || plan.salvage.is_none() || is_damaged(block) {
            return false;
        }
        let has_index = |object: &StoredObject| {
            let files: Vec<&StoredFile> = block.files_from(object).collect();
            self.copies.places(object).into_iter().any(|place| {
                let mut store = Redirected::new(self.copies.store());
                store.redirect(&object.name, place);
                let opened = Object::open_damaged(&store, &object.name, Root::Block(block.ulid));
                opened.is_ok_and(|mut opened| {
                    let entries = opened.likely_entries(&files).0;
                    entries.iter().any(|entry| entry.name.as_str() == INDEX)
                })
            })
        };
        if block.packs.is_empty() {
            block.file_objects().any(has_index)
        } else {
            with_sound_packs(self.copies, block, |_| Ok(())).is_ok_and(|sound| sound.is_some())
        }
    }

    /// Stages what can be read of `block`, which nothing brings back because of `reason`, as far as `plan` asks for that.
    pub(super) fn salvage_lost(
        &self,
        plan: &Plan<'_>,
        block: &StoredBlock,
        reason: Error,
    ) -> Result<(Error, Option<Salvaged>)> {
        if !plan.brings(block) {
            return Ok((reason, None));
        }
        let exact = plan.exact.as_ref().filter(|exact| exact.cuts(block));
        let wanted = match (exact, &plan.salvage) {
            (Some(exact), _) => SalvageOf::exact(exact),
            (None, Some(salvage)) => SalvageOf::all(salvage),
            (None, None) => return Ok((reason, None)),
        };
        // Aggregates are asked for by labels that they do not have in their blocks.
        let mut wanted = wanted;
        if stream(block).is_aggregate() {
            wanted.asked.selectors.clear();
        }
        let is_asked = plan.salvage.as_ref().is_some_and(|salvage| salvage.bring);
        if is_damaged(block) && !is_asked {
            return Ok((reason, None));
        }
        let ulid = salvaged_ulid(block.ulid);
        if plan.present.iter().any(|kin| kin.ulid == ulid) {
            let there = format!("what could be read of it is there already, as {ulid}");
            return Ok((reason.context(there), None));
        }
        let nothing = match self.salvage(block, &wanted, true)? {
            Ok(salvaged) if salvaged.block.is_some() || !salvaged.is_short => {
                return Ok((reason, Some(salvaged)));
            }
            Ok(_) => "nothing of what is wanted can be read of it".to_owned(),
            Err(error) => format!("it cannot be salvaged ({})", error.chain()),
        };
        Ok((reason.context(nothing), None))
    }

    /// Stages what can be read of what is `wanted` of `block`, which does not come back as it was; the caller says why. With `with_kin`, blocks of the
    /// same samples are read as well, if its own objects do not give all.
    pub(super) fn salvage(
        &self,
        block: &StoredBlock,
        wanted: &SalvageOf,
        with_kin: bool,
    ) -> Result<Outcome<Salvaged>> {
        let name = format!("{}.salvage", block.ulid);
        let mut sources = Sources {
            work: self,
            block,
            wanted,
            writer: self.stage.writer(&name)?,
            dir: self.stage.path(&name),
            blocks: Vec::new(),
            others: Vec::new(),
            has_others: false,
            undeleted: Losses::default(),
            past: &NOTHING,
        };
        let read = sources.read(with_kin);
        let has_failed = sources.writer.has_failed();
        let merged = read.and_then(|losses| sources.merge(losses));
        drop(sources);
        self.stage.remove(&name)?;
        match merged {
            Ok(salvaged) => {
                if let Some(made) = &salvaged.block {
                    self.stage.settle(&made.ulid.to_string())?;
                }
                Ok(Ok(salvaged))
            }
            Err(error) if has_failed || is_of_target(&error) => Err(error),
            Err(error) => Ok(Err(error)),
        }
    }
}

/// What can be read of a block, in directories of its own below a staged one.
struct Sources<'s, 'w> {
    work: &'s Work<'w>,
    block: &'s StoredBlock,
    wanted: &'s SalvageOf,
    writer: Writer,
    dir: PathBuf,
    blocks: Vec<Block>,
    /// Other blocks that were read, and everything of which could be.
    others: Vec<&'s StoredBlock>,
    /// Whether other blocks were read.
    has_others: bool,
    /// Deletions that are not applied.
    undeleted: Losses,
    /// Which of these blocks were rewritten from others.
    past: &'s Past,
}

static NOTHING: Past = Past::none();

impl Sources<'_, '_> {
    /// Reads the block in each way it is stored, until one gives all; then, `with_kin`, others that hold its samples.
    fn read(&mut self, with_kin: bool) -> Result<Losses> {
        let block = self.block;
        let mut ways = self.work.copies.variants(block.ulid);
        ways.retain(|way| !is_stored_alike(way, block));
        ways.insert(0, block);
        let mut first = None;
        for way in ways.into_iter().take(MAX_WAYS) {
            let before = self.blocks.len();
            let losses = self.add(way)?;
            if losses.is_empty() {
                // Where this one has all, the others add nothing but what was deleted.
                self.blocks.drain(..before);
                self.undeleted = Losses::default();
                return Ok(losses);
            }
            // What one way gives is not lost because another does not.
            if first
                .as_ref()
                .is_none_or(|first: &Losses| first.concern && !losses.concern)
            {
                first = Some(losses);
            }
        }
        if !with_kin {
            return Ok(first.unwrap_or_default());
        }
        let relatives = &self.work.relatives;
        let relatives = relatives.get_or_init(|| Relatives::of(self.work.copies));
        self.past = &relatives.past;
        for other in relatives.other_holders(block) {
            self.has_others = true;
            let mut losses = self.add(other)?;
            if losses.is_empty() {
                self.others.push(other);
            }
            let (own, theirs) = (self.past.kin(block), self.past.kin(other));
            let mut rewritten = self.past.rewritten(&own).copied();
            let has_deleted = rewritten.any(|atom| !theirs.atoms.contains(&atom));
            drop(rewritten);
            if has_deleted {
                let place =
                    "from which it was rewritten without deleted samples: they have come back";
                let span = Some((other.min_time, other.max_time.saturating_sub(1)));
                self.add_undeleted(other, &mut losses, place.to_owned(), span, true);
            }
        }
        Ok(first.unwrap_or_default())
    }

    /// Reads what can be read of `block`, and says what cannot.
    fn add(&mut self, block: &StoredBlock) -> Result<Losses> {
        let mut losses = Losses::default();
        let number = self.blocks.len();
        let is_there = if block.packs.is_empty() {
            self.stage_files(block, number, &mut losses)?
        } else {
            self.stage_groups(block, number, &mut losses)?
        };
        let dir = self.dir.join(number.to_string());
        let opened = is_there
            .then(|| Block::open_damaged(&dir.join(block.ulid.to_string()), self.wanted.read_mode));
        match opened {
            Some(Ok(opened)) => self.blocks.push(opened),
            Some(Err(error)) => {
                losses.add(all_of(block, error.chain()), true);
                self.remove(number)?;
            }
            None => self.remove(number)?,
        }
        Ok(losses)
    }

    fn remove(&mut self, number: usize) -> Result<()> {
        self.writer.remove(&number.to_string())
    }

    /// Stages the groups of packs that can be read, as a block; whether there are any.
    fn stage_groups(
        &mut self,
        block: &StoredBlock,
        number: usize,
        losses: &mut Losses,
    ) -> Result<bool> {
        self.writer.make_dir(&number.to_string())?;
        let dir = self.dir.join(number.to_string());
        let asked = &self.wanted.asked;
        let staged = with_sound_packs(self.work.copies, block, |sound: &Sound<'_>| {
            let symbols = sound.packs.symbols();
            let mut options = BlockOptions::default();
            options.generation = sound.generation.unwrap_or(options.generation);
            let meta = new_meta(block, &Selection::default(), block.ulid);
            let mut writer = BlockWriter::create(&dir, meta, &symbols, options)?;
            // Lost groups that hold series which are asked for.
            let mut wanted: BTreeSet<usize> = BTreeSet::new();
            let mut labels: Vec<(&[u8], &[u8])> = Vec::new();
            let mut is_empty = true;
            let lost = sound.packs.walk(&mut |series| {
                if !series.lost.is_empty() {
                    let symbol = |at: u32| symbols.get(at as usize).copied().unwrap_or_default();
                    labels.clear();
                    let refs = series.labels.iter();
                    labels.extend(refs.map(|(name, value)| (symbol(name.0), symbol(value.0))));
                    if asked.concerns_series(&labels, asked.range.since, asked.range.last()) {
                        wanted.extend(series.lost);
                    }
                }
                if !series.chunks.is_empty() {
                    is_empty = false;
                    writer.add_series(series.labels, series.chunks)?;
                }
                Ok(())
            })?;
            for (number, group) in lost.iter().enumerate() {
                let span = (group.min_time, group.max_time);
                let concerns = wanted.contains(&number) && asked.range.overlaps(span.0, span.1);
                let name = sound.names.get(group.pack).map_or("", |name| name.as_str());
                let place = format!(
                    "a group at offset {} of {name}: {}",
                    group.offset,
                    group.error.chain()
                );
                let loss = Loss {
                    place,
                    series: Some(group.series),
                    samples: Some(group.samples),
                    span: Some(span),
                };
                losses.add(loss, concerns);
            }
            for (name, error) in &sound.lost {
                losses.add(
                    all_of(block, format!("all of {name}: {}", error.chain())),
                    true,
                );
            }
            if is_empty {
                return Ok(false);
            }
            writer.finish().map(|_| true)
        });
        match staged {
            Ok(Some(false)) => Ok(false),
            Ok(Some(true)) => {
                self.forego_deletions(block, losses);
                Ok(true)
            }
            Ok(None) => {
                losses.add(all_of(block, "no pack of it can be read".to_owned()), true);
                Ok(false)
            }
            Err(error) if is_of_target(&error) => Err(error),
            Err(error) => {
                losses.add(all_of(block, error.chain()), true);
                Ok(false)
            }
        }
    }

    /// The deletions of `block`; `None` where nothing is deleted.
    fn tombstones(&self, block: &StoredBlock) -> Option<Result<Vec<u8>>> {
        // The block's own count, however it is stored.
        let own = self.block;
        let block = if own.ulid == block.ulid && own.fingerprint == block.fingerprint {
            own
        } else {
            block
        };
        let file = deletions(block)?;
        let fetched = fetch_file(self.work.copies, block, file, MAX_TOMBSTONES);
        Some(fetched.map(|(content, _)| content))
    }

    /// Says of the deletions of `block` that they are not applied: they name series by their place in the index, which nobody knows of series between
    /// lost ones.
    fn forego_deletions(&mut self, block: &StoredBlock, losses: &mut Losses) {
        let asked = &self.wanted.asked;
        let (place, span, concerns) = match self.tombstones(block) {
            None => return,
            Some(Ok(content)) => {
                let read = Tombstones::read(&content);
                let mut records = read.records.iter();
                let concerns = records.any(|one| asked.range.overlaps(one.min_time, one.max_time));
                let spans = read.records.iter().map(|one| (one.min_time, one.max_time));
                let span = spans.reduce(|(a, b), (c, d)| (a.min(c), b.max(d)));
                let place = "its tombstones: they name series by their place in an index that is not whole, and what they delete has come back";
                (place.to_owned(), span, concerns || !read.faults.is_empty())
            }
            Some(Err(error)) => (unread_tombstones(&error), None, true),
        };
        self.add_undeleted(block, losses, place, span, concerns);
    }

    fn add_undeleted(
        &mut self,
        block: &StoredBlock,
        losses: &mut Losses,
        place: String,
        span: Option<(Millis, Millis)>,
        concerns: bool,
    ) {
        let place = if block.ulid == self.block.ulid {
            place
        } else {
            format!("of block {}, {place}", block.ulid)
        };
        let loss = Loss {
            place,
            span,
            ..all_of(block, String::new())
        };
        self.undeleted.add(loss.clone(), concerns);
        losses.add(loss, false);
    }

    /// Stages the files of a block that is stored whole, with zeros in the place of what cannot be read; whether its index is among them.
    fn stage_files(
        &mut self,
        block: &StoredBlock,
        number: usize,
        losses: &mut Losses,
    ) -> Result<bool> {
        let prefix = format!("{number}/{}", block.ulid);
        let mut there = BTreeSet::new();
        for object in block.file_objects() {
            let files: Vec<&StoredFile> = block.files_from(object).collect();
            let places = self.work.copies.places(object);
            // What stands in for it was tried when the block was to come back whole.
            for place in places
                .into_iter()
                .filter(|place| place.trust != Trust::Mended)
            {
                let mut store = Redirected::new(self.work.copies.store());
                store.redirect(&object.name, place);
                let opened = Object::open_damaged(&store, &object.name, Root::Block(block.ulid));
                let Ok(mut opened) = opened else {
                    continue;
                };
                for entry in opened.likely_entries(&files).0 {
                    let mut listed = files.iter();
                    let Some(file) = listed.find(|file| file.name == entry.name && is_read(file))
                    else {
                        continue;
                    };
                    if !there.insert(file.name.clone()) {
                        continue;
                    }
                    let mut out = Below {
                        prefix: &prefix,
                        writer: &mut self.writer,
                    };
                    let missing = opened.pass_on_with_holes(&entry, &mut out)?;
                    if missing > 0 {
                        let (name, object) = (&file.name, &object.name);
                        let place = format!("{missing} bytes of file {name} in {object}");
                        losses.add(
                            Loss {
                                place,
                                ..all_of(block, String::new())
                            },
                            false,
                        );
                    }
                }
                break;
            }
        }
        let mut wanted = block.files.iter().filter(|file| is_read(file));
        let is_complete = wanted.all(|file| there.contains(&file.name));
        if !there.iter().any(|name| name.as_str() == INDEX) {
            losses.add(all_of(block, "its index cannot be read".to_owned()), true);
            return Ok(false);
        }
        if !is_complete {
            for file in block.files.iter().filter(|file| is_read(file)) {
                if there.contains(&file.name) {
                    continue;
                }
                let place = format!("all of file {}", file.name);
                losses.add(
                    Loss {
                        place,
                        ..all_of(block, String::new())
                    },
                    false,
                );
                // References count segments by their position.
                self.write(&prefix, &file.name, &[])?;
            }
        }
        match self.tombstones(block) {
            None => {}
            Some(Ok(content)) => self.write(&prefix, &FilePath::new(TOMBSTONES)?, &content)?,
            Some(Err(error)) => {
                self.add_undeleted(block, losses, unread_tombstones(&error), None, true);
            }
        }
        self.writer.make_dir(&format!("{prefix}/chunks"))?;
        let meta = new_meta(block, &Selection::default(), block.ulid);
        self.write(&prefix, &FilePath::new("meta.json")?, &meta.to_json())?;
        self.writer.sync()?;
        Ok(true)
    }

    fn write(&mut self, prefix: &str, name: &FilePath, content: &[u8]) -> Result<()> {
        let mut out = Below {
            prefix,
            writer: &mut self.writer,
        };
        out.begin(name, content.len() as u64)?;
        out.data(content)?;
        let mut hasher = Hasher::default();
        hasher.update(content);
        out.end(name, hasher.finish())
    }

    /// Makes one block of all.
    fn merge(&mut self, mut losses: Losses) -> Result<Salvaged> {
        if self.blocks.is_empty() {
            return Err(Error::corrupt(
                "expected something that can be read, found nothing",
            ));
        }
        let (block, asked) = (self.block, &self.wanted.asked);
        let part = &self.wanted.part;
        let ulid = if part.covers_block(block.min_time, block.max_time) {
            salvaged_ulid(block.ulid)
        } else {
            Ulid::generate()
        };
        let meta = new_meta(block, part, ulid);
        let parent = self.dir.parent().unwrap_or(&self.dir);
        let merged = merge_blocks(&self.blocks, part, asked, meta, parent)?;
        losses.add_unread(block, &merged.unread);
        let is_unread = |other: &&StoredBlock| {
            let mut unread = merged.unread.iter();
            unread.any(|unread| unread.block == other.ulid)
        };
        self.others.retain(|other| !is_unread(other));
        let made = merged
            .dir
            .map(|dir| verified(block, &dir, self.wanted.read_mode));
        let made = made.transpose()?;

        let (series, samples) = made.map_or((0, 0), |made| (made.series, made.samples));
        let short = (
            block.series.saturating_sub(series),
            block.samples.saturating_sub(samples),
        );
        let is_all = asked.covers_block(block.min_time, block.max_time);
        let short_of = (is_all && deletions(block).is_none()).then_some(short);
        // As many samples as there were are those that there were, unless other blocks gave some; and these have all only where they hold all of its sources.
        let has_all = if self.has_others {
            Cover::of(&self.others, self.past).by(block).is_some()
        } else {
            short_of == Some((0, 0))
        };
        let undeleted = std::mem::take(&mut self.undeleted);
        let is_short = losses.concern && !has_all
            || undeleted.concern
            || short_of.is_some_and(|short| short != (0, 0));
        for loss in undeleted.named {
            if !losses.named.contains(&loss) {
                losses.add(loss, true);
            }
        }
        Ok(Salvaged {
            original: block.ulid,
            block: made,
            short_of,
            losses,
            reason: Error::corrupt("it does not come back"),
            is_short,
            others: self.others.iter().map(|other| other.ulid).collect(),
        })
    }
}

/// All blocks of a repository that were sound when they were archived, by the samples that they hold.
pub(super) struct Relatives<'c> {
    past: Past,
    /// The latest first.
    blocks: Vec<(&'c StoredBlock, Kin)>,
    by_atom: HashMap<Ulid, Vec<usize>>,
}

impl<'c> Relatives<'c> {
    fn of(copies: &'c Copies) -> Self {
        let archives = copies.archives().iter();
        let past = Past::of(archives.clone().flat_map(|archive| &archive.blocks));
        let mut seen = BTreeSet::new();
        let latest = archives.rev().flat_map(|archive| &archive.blocks);
        let sound = latest.filter(|block| !is_damaged(block) && seen.insert(block.ulid));
        let blocks: Vec<_> = sound.map(|block| (block, past.kin(block))).collect();
        let mut by_atom: HashMap<Ulid, Vec<usize>> = HashMap::new();
        for (number, (_, kin)) in blocks.iter().enumerate() {
            for atom in &kin.atoms {
                let holders = by_atom.entry(*atom).or_default();
                if holders.len() < MAX_HOLDERS {
                    holders.push(number);
                }
            }
        }
        Relatives {
            past,
            blocks,
            by_atom,
        }
    }

    /// Blocks that may hold samples of `block` in other objects.
    fn other_holders(&self, block: &StoredBlock) -> Vec<&'c StoredBlock> {
        let own = self.past.kin(block);
        let numbers = own.atoms.iter().filter_map(|atom| self.by_atom.get(atom));
        let numbers: BTreeSet<usize> = numbers.flatten().copied().collect();
        let mut packs: BTreeSet<_> = block.packs.iter().map(|pack| &pack.name).collect();
        let mut found: Vec<&StoredBlock> = Vec::new();
        for (other, theirs) in numbers.iter().filter_map(|number| self.blocks.get(*number)) {
            if other.ulid == block.ulid || theirs.stream != own.stream || found.len() == MAX_WAYS {
                continue;
            }
            let mut names = other.packs.iter().map(|pack| &pack.name);
            if other.packs.is_empty() || names.any(|pack| !packs.contains(pack)) {
                packs.extend(other.packs.iter().map(|pack| &pack.name));
                found.push(other);
            }
        }
        found
    }
}

/// Whether samples of a block are read out of a file.
fn is_read(file: &StoredFile) -> bool {
    file.name.is_segment() || file.name.as_str() == INDEX
}

/// The file that says which samples of `block` are deleted; `None` where none is.
fn deletions(block: &StoredBlock) -> Option<&StoredFile> {
    let mut files = block.files.iter();
    let file = files.find(|file| file.name.as_str() == TOMBSTONES)?;
    guess_empty(file).is_none().then_some(file)
}

fn unread_tombstones(error: &Error) -> String {
    let why = error.chain();
    format!("its tombstones: what they delete may have come back: {why}")
}

/// The loss of all that `block` holds.
fn all_of(block: &StoredBlock, place: String) -> Loss {
    Loss {
        place,
        series: None,
        samples: None,
        span: Some((block.min_time, block.max_time.saturating_sub(1))),
    }
}

/// Metadata for what is made of `part` of `block`. As a block that is cut it has no past: whoever finds the block itself has both.
fn new_meta(block: &StoredBlock, part: &Selection, ulid: Ulid) -> Meta {
    Meta {
        ulid,
        min_time: part.range.since.max(block.min_time),
        max_time: part.range.until.min(block.max_time),
        stats: Stats::default(),
        compaction: Compaction {
            level: 1,
            sources: vec![ulid],
            hints: block.hints.clone(),
            ..Compaction::default()
        },
        version: META_VERSION,
        extra: Meta::thanos(&block.external_labels, block.resolution.unwrap_or(0)),
    }
}
