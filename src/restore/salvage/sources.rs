//! What can be read of a block and of others that hold its samples, and one block of all of it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::losses::{Losses, SalvageLoss, all_of};
use super::{SalvageOf, Salvaged, salvaged_ulid};
use crate::block::{
    Block, BlockOptions, BlockStats, BlockWriter, Compaction, META_VERSION, Meta, Tombstones,
};
use crate::cut::merge_blocks;
use crate::error::{Error, Result};
use crate::model::{MAX_TOMBSTONES_BYTES, Millis, Ulid};
use crate::repository::copies::is_stored_alike;
use crate::repository::portable::Visitor as _;
use crate::repository::{FilePath, Hasher, StoredBlock, StoredFile};
use crate::restore::exact::{is_of_target, verified};
use crate::restore::relatives::{MAX_WAYS, Relatives};
use crate::restore::stand_in::{Cover, Past};
use crate::restore::work::Work;
use crate::restore::writer::{Below, Writer};
use crate::select::Selection;
use crate::stored::{
    Sink as _, Sound, fetch_file, guess_empty, has_samples, read_with_holes, with_sound_packs,
};

const INDEX: &str = "index";
const TOMBSTONES: &str = "tombstones";

/// What can be read of a block, in directories of its own below a staged one.
pub(super) struct Sources<'s, 'w> {
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

impl<'s, 'w> Sources<'s, 'w> {
    /// Sources of what is `wanted` of `block`, none of them read; they are staged below `name`.
    pub(super) fn of(
        work: &'s Work<'w>,
        block: &'s StoredBlock,
        wanted: &'s SalvageOf,
        name: &str,
    ) -> Result<Self> {
        Ok(Sources {
            work,
            block,
            wanted,
            writer: work.stage.writer(name)?,
            dir: work.stage.path(name),
            blocks: Vec::new(),
            others: Vec::new(),
            has_others: false,
            undeleted: Losses::default(),
            past: &NOTHING,
        })
    }

    /// Whether it is the target that failed.
    pub(super) fn has_failed(&self) -> bool {
        self.writer.has_failed()
    }

    /// Reads the block in each way it is stored, until one gives all; then, `with_kin`, others that
    /// hold its samples.
    pub(super) fn read(&mut self, with_kin: bool) -> Result<Losses> {
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
                let loss = SalvageLoss {
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
        let fetched = fetch_file(self.work.copies, block, file, MAX_TOMBSTONES_BYTES);
        Some(fetched.map(|(content, _)| content))
    }

    /// Says of the deletions of `block` that they are not applied: they name series by their place
    /// in the index, which nobody knows of series between lost ones.
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
        let loss = SalvageLoss {
            place,
            span,
            ..all_of(block, String::new())
        };
        self.undeleted.add(loss.clone(), concerns);
        losses.add(loss, false);
    }

    /// Stages the files of a block that is stored whole, with zeros in the place of what cannot be
    /// read; whether its index is among them.
    fn stage_files(
        &mut self,
        block: &StoredBlock,
        number: usize,
        losses: &mut Losses,
    ) -> Result<bool> {
        let prefix = format!("{number}/{}", block.ulid);
        let mut out = Below {
            prefix: &prefix,
            writer: &mut self.writer,
        };
        let there = read_with_holes(self.work.copies, block, &mut out)?;
        for file in there.iter().filter(|file| file.missing_bytes > 0) {
            let (missing, name, object) = (file.missing_bytes, &file.name, &file.object);
            let place = format!("{missing} bytes of file {name} in {object}");
            losses.add(
                SalvageLoss {
                    place,
                    ..all_of(block, String::new())
                },
                false,
            );
        }
        let there: BTreeSet<FilePath> = there.into_iter().map(|file| file.name).collect();
        let mut wanted = block.files.iter().filter(|file| has_samples(file));
        let is_complete = wanted.all(|file| there.contains(&file.name));
        if !there.iter().any(|name| name.as_str() == INDEX) {
            losses.add(all_of(block, "its index cannot be read".to_owned()), true);
            return Ok(false);
        }
        if !is_complete {
            for file in block.files.iter().filter(|file| has_samples(file)) {
                if there.contains(&file.name) {
                    continue;
                }
                let place = format!("all of file {}", file.name);
                losses.add(
                    SalvageLoss {
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
    pub(super) fn merge(&mut self, mut losses: Losses) -> Result<Salvaged> {
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
        // As many samples as there were are those that there were, unless other blocks gave some;
        // and these have all only where they hold all of its sources.
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

/// Metadata for what is made of `part` of `block`. As a block that is cut it has no past: whoever
/// finds the block itself has both.
fn new_meta(block: &StoredBlock, part: &Selection, ulid: Ulid) -> Meta {
    Meta {
        ulid,
        min_time: part.range.since.max(block.min_time),
        max_time: part.range.until.min(block.max_time),
        stats: BlockStats::default(),
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
