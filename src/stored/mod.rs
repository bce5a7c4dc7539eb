//! Stored blocks: how a block becomes objects of a repository, and how it is read out of them, its
//! files as they were or single series of it.
//!
//! A [`StoredReader`] hides what a block is made of: an object with files, a sidecar with those
//! that have changed since, a recipe and packs. Of a block in the portable codec and of one in the
//! dense codec it gives the same. It stands here, and what reads for it (`files`, `deleted`) is
//! handed one: so these files name one another.
//!
//! Series are read by parts of the objects: of packs the labels, and the groups that hold what is
//! asked for; of files the index, and the frames that hold the chunks. So the cost is about that of
//! what is read, not that of the block. Only blocks with deletions need their index for that, which
//! packs must be unpacked for.
//!
//! # Writing
//!
//! What stores blocks is not public: [`backup`](crate::archive::backup) decides which blocks are
//! stored and when, and how is said in the module `write` here, in both codecs.
//!
//! # Proof
//!
//! Files are held to their digests. Parts of objects have none: they are held to the checksums of
//! what they are parts of, which are those of groups, frames and chunks. Damage that was there when
//! a checksum was made is not found here.
//!
//! ```
//! use std::sync::Arc;
//!
//! use narthex::archive::{BackupOptions, Source, backup};
//! use narthex::model::now;
//! use narthex::progress::Silent;
//! use narthex::repository::Repository;
//! use narthex::store::MemoryStore;
//! use narthex::model::Millis;
//! use narthex::select::Selection;
//! use narthex::stored::StoredReader;
//!
//! let repository = Repository::open_or_init(Arc::new(MemoryStore::new()))?;
//! let source = Source::new("fixtures/night-1".as_ref(), "my-host".to_owned(), None)?;
//! let archive = backup(&source, &repository, &BackupOptions::default(), now(), &Silent)?.archive;
//!
//! let reader = StoredReader::new(repository.store(), &archive.blocks[0]);
//! let up = Selection::new(Millis::MIN, Millis::MAX, vec!["up".parse()?]);
//! let mut samples = 0;
//! reader.read_series(&up, &mut |series| {
//!     samples += series.samples()?.len();
//!     Ok(())
//! })?;
//! assert!(samples > 0);
//! # Ok::<(), narthex::Error>(())
//! ```

mod deleted;
mod fetch;
mod files;
mod guess;
mod holes;
mod missing;
mod packed;
mod series;
mod sound;
mod unnamed;
mod whole;
pub(crate) mod write;

pub use fetch::{Detour, Fetched, Sink, fetch_block, fetch_file, fetch_wal, read_pieces};
pub use files::content_in;
pub use guess::{guess, guess_empty};
pub use holes::{FileWithHoles, has_index, has_samples, read_with_holes};
pub use missing::{MissingContent, missing_of_block, missing_of_logs};
pub use series::StoredSeries;
pub use sound::{Sound, recipe_of, with_sound_packs};
pub use unnamed::{UnnamedBlock, describe_block, describe_log, join_log};
pub use write::Codec;

use crate::block::Meta;
use crate::error::{Error, Result};
use crate::repository::{StoredBlock, StoredFile, StoredObject};
use crate::select::Selection;
use crate::store::Store;
use deleted::Deleted;
use files::Objects;

/// Name of the index file.
const INDEX: &str = "index";
/// Name of the file with a block's metadata.
const META: &str = "meta.json";
/// Name of the file that says what is deleted.
const TOMBSTONES: &str = "tombstones";

/// A reader of one stored block.
#[derive(Clone, Copy, Debug)]
pub struct StoredReader<'s> {
    store: &'s dyn Store,
    block: &'s StoredBlock,
}

impl<'s> StoredReader<'s> {
    /// A reader of `block`, whose objects are in `store`. Reads nothing yet, and objects in a codec
    /// that this version does not know fail when they are read.
    ///
    /// Objects are read where the manifest says; whoever knows a better place for one redirects its
    /// name (see [`Redirected`](crate::repository::copies::Redirected)). Marks of damage are
    /// not looked for.
    pub fn new(store: &'s dyn Store, block: &'s StoredBlock) -> Self {
        StoredReader { store, block }
    }

    /// All files of the block.
    pub fn files(&self) -> &'s [StoredFile] {
        &self.block.files
    }

    /// The file called `name`.
    pub fn file(&self, name: &str) -> Option<&'s StoredFile> {
        let mut files = self.files().iter();
        files.find(|file| file.name.as_str() == name)
    }

    /// Lends the series that `selection` asks for to `visit`, in their order, as a query would find
    /// them: samples outside the block's range and deleted ones are none of theirs. Series
    /// without chunks of the time that is asked for are left out.
    ///
    /// Aggregates of downsampled blocks are not taken apart: selectors see the labels that stand in
    /// the block.
    ///
    /// # Errors
    ///
    /// When what is read is damaged, in whatever part: nothing is passed over. Whatever `visit`
    /// says.
    pub fn read_series(
        &self,
        selection: &Selection,
        visit: &mut dyn FnMut(&StoredSeries<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut objects = Objects::of(*self);
        let meta = objects.meta()?;
        let asked = selection.within(&meta);
        let deleted = Deleted::read(self, &mut objects, &meta)?;
        if self.is_packed() {
            packed::read_series(self, &asked, &deleted, visit)
        } else {
            whole::read_series(self, objects, &meta, &asked, &deleted, visit)
        }
    }

    /// Its `meta.json`, proved by its digest.
    ///
    /// # Errors
    ///
    /// When it is missing, damaged, or of a version that this program does not know.
    pub fn meta(&self) -> Result<Meta> {
        Objects::of(*self).meta()
    }

    /// Whether its samples lie in packs.
    fn is_packed(&self) -> bool {
        !self.block.packs.is_empty()
    }

    /// Checks that its packs are in the codec of packs.
    fn expect_packs(&self) -> Result<()> {
        self.block.packs.iter().try_for_each(|pack| {
            let known = pack.codec.expect_pack();
            known.map_err(|e| e.context(format!("object {}", pack.name)))
        })
    }

    /// The object that holds `file` whole.
    fn object_of(&self, file: &StoredFile) -> Result<&'s StoredObject> {
        let mut objects = self.block.file_objects();
        let holds = |object: &&StoredObject| {
            let mut held = self.block.files_from(object);
            held.any(|held| held.name == file.name)
        };
        objects.find(holds).ok_or_else(|| {
            Error::corrupt(format!(
                "expected file {} in an object, found none",
                file.name
            ))
        })
    }
}
