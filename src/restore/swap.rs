//! Putting a proved copy of a block in the place of a damaged one, so that whatever moment a run
//! dies at, another run finishes or undoes it.
//!
//! Both lie in the same file system: the damaged block under its name, the copy in the hidden
//! directory of the restore. Where the file system can, they change places in one step, and then
//! the damaged one leaves the hidden directory for a name beside, `<ULID>.damaged`, which
//! Prometheus passes over. Elsewhere it goes through `<ULID>.replacing`, and as long as something
//! has such a name, [`settle`] knows what is to be done: without a block under the ULID it is the
//! damaged one and goes back; beside one it has been replaced.

use std::ffi::{OsStr, OsString};

use rustix::fs::FileType;

use crate::error::{Error, ErrorKind, Result};
use crate::model::Ulid;
use crate::raw::Folder;

/// Behind the name of a block that has been replaced.
const DAMAGED: &str = ".damaged";

/// Behind the name of a block that is being replaced.
const REPLACING: &str = ".replacing";

/// Most names that are tried for a block that has been replaced.
const MAX_NAMES: usize = 100;

/// One step of the way. Each is a single operation of the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The damaged block gets another name.
    Aside,
    /// The copy gets the name of the block.
    Place,
    /// The damaged block gets the name under which it stays.
    Keep,
}

/// What has become of something that an interrupted run left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// The block has its name again: nothing had come in its place.
    Undone(String),
    /// Its copy is in its place; the damaged one stays under this name.
    Kept(String, OsString),
}

/// A damaged block and its copy.
pub(super) struct Swap<'s> {
    /// The directory that the block is in.
    pub(super) folder: &'s Folder,
    /// The directory that the copy is in, under the same name.
    pub(super) hidden: &'s Folder,
    /// Their name.
    pub(super) name: &'s OsStr,
}

impl Swap<'_> {
    /// Puts the copy in the place of the block, and says under which name that one stays. `at_once`
    /// says whether the file system may be asked to let them change places; an exchange that
    /// has happened is said by `exchanged`, also where what comes after it fails.
    ///
    /// # Errors
    ///
    /// When the file system fails. Unless `exchanged` is set, the block is where it was, or
    /// [`settle`] puts it there.
    pub(super) fn carry_out(&self, at_once: bool, exchanged: &mut bool) -> Result<OsString> {
        if at_once && self.hidden.exchange(self.name, self.folder, self.name)? {
            *exchanged = true;
            self.sync()?;
            return keep(self.hidden, self.folder, self.name, self.name);
        }
        self.step(Step::Aside)?;
        if let Err(error) = self.step(Step::Place) {
            // What cannot be taken back is told by the name, and the next run takes it back.
            let _ = self
                .folder
                .rename(&self.replacing(), self.folder, self.name);
            return Err(error);
        }
        let kept = self.step(Step::Keep)?;
        Ok(kept.unwrap_or_else(|| self.replacing()))
    }

    fn replacing(&self) -> OsString {
        with(self.name, REPLACING)
    }

    /// Takes one step of the way that needs no exchange, and makes it durable.
    fn step(&self, step: Step) -> Result<Option<OsString>> {
        let kept = match step {
            Step::Aside => {
                self.folder
                    .rename(self.name, self.folder, &self.replacing())?;
                None
            }
            Step::Place => {
                self.hidden.rename(self.name, self.folder, self.name)?;
                None
            }
            Step::Keep => Some(keep(
                self.folder,
                self.folder,
                &self.replacing(),
                self.name,
            )?),
        };
        self.sync()?;
        Ok(kept)
    }

    fn sync(&self) -> Result<()> {
        self.folder.sync()?;
        self.hidden.sync()
    }
}

/// Blocks of which an interrupted run left the damaged one under a name of its own.
pub(super) fn unsettled(folder: &Folder) -> Result<Vec<OsString>> {
    let entries = folder.entries()?.into_iter();
    let names = entries.filter_map(|entry| {
        let stem = entry.name.to_str()?.strip_suffix(REPLACING)?;
        let is_block = entry.kind == FileType::Directory && stem.parse::<Ulid>().is_ok();
        is_block.then(|| OsString::from(stem))
    });
    Ok(names.collect())
}

/// Finishes or undoes what interrupted runs left in `folder`.
///
/// # Errors
///
/// When the file system fails.
pub(super) fn finish_swaps(folder: &Folder) -> Result<Vec<Settled>> {
    let mut settled = Vec::new();
    for name in unsettled(folder)? {
        let replacing = with(&name, REPLACING);
        let text = name.to_string_lossy().into_owned();
        settled.push(if folder.has(&name)? {
            let kept = keep(folder, folder, &replacing, &name)?;
            Settled::Kept(text, kept)
        } else {
            folder.rename(&replacing, folder, &name)?;
            folder.sync()?;
            Settled::Undone(text)
        });
    }
    Ok(settled)
}

/// Gives the damaged block `from` in `source` a name in `folder` that says what it is, the first
/// that is free, and makes that durable.
fn keep(source: &Folder, folder: &Folder, from: &OsStr, block: &OsStr) -> Result<OsString> {
    for number in 1..=MAX_NAMES {
        let mut name = with(block, DAMAGED);
        if number > 1 {
            name.push(format!(".{number}"));
        }
        match source.rename(from, folder, &name) {
            Ok(()) => {
                folder.sync()?;
                source.sync()?;
                return Ok(name);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::refused(format!(
        "expected a free name such as {}{DAMAGED} in {}, found {MAX_NAMES} taken: remove what is not needed any more",
        block.to_string_lossy(),
        folder.path().display()
    )))
}

fn with(name: &OsStr, suffix: &str) -> OsString {
    let mut name = name.to_owned();
    name.push(suffix);
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::Links;
    use std::collections::BTreeMap;
    use std::path::Path;

    const BLOCK: &str = "01M80FJGSDDJPV4DWFG2XR4VJ2";

    /// A directory with a damaged block, and a hidden one with its copy.
    fn place() -> (tempfile::TempDir, Folder, Folder) {
        let dir = tempfile::tempdir().unwrap();
        for (at, content) in [("data", "damaged"), ("hidden", "copy")] {
            let block = dir.path().join(at).join(BLOCK);
            std::fs::create_dir_all(&block).unwrap();
            std::fs::write(block.join("index"), content).unwrap();
        }
        let folder = Folder::open(&dir.path().join("data"), Links::Refused).unwrap();
        let hidden = Folder::open(&dir.path().join("hidden"), Links::Refused).unwrap();
        (dir, folder, hidden)
    }

    /// Which blocks there are, and the content of each.
    fn content(dir: &Path) -> BTreeMap<String, String> {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
        let read = |entry: &std::fs::DirEntry| {
            let name = entry.file_name().into_string().unwrap();
            let name = name.replace(BLOCK, "B");
            let index = entry.path().join("index");
            (name, std::fs::read_to_string(index).unwrap())
        };
        entries.map(|entry| read(&entry)).collect()
    }

    fn of(blocks: &[(&str, &str)]) -> BTreeMap<String, String> {
        let own = |(name, content): &(&str, &str)| ((*name).to_owned(), (*content).to_owned());
        blocks.iter().map(own).collect()
    }

    #[test]
    fn at_once_or_step_by_step_the_copy_comes_in_place_and_the_damaged_one_stays() {
        for at_once in [true, false] {
            let (dir, folder, hidden) = place();
            let swap = Swap {
                folder: &folder,
                hidden: &hidden,
                name: BLOCK.as_ref(),
            };
            let kept = swap.carry_out(at_once, &mut false).unwrap();
            assert_eq!(kept, OsString::from(format!("{BLOCK}.damaged")));
            let data = content(&dir.path().join("data"));
            assert_eq!(data, of(&[("B", "copy"), ("B.damaged", "damaged")]));
            assert_eq!(content(&dir.path().join("hidden")), of(&[]));
        }
    }

    #[test]
    fn whatever_step_was_the_last_the_next_run_finishes_or_undoes() {
        let steps = [Step::Aside, Step::Place, Step::Keep];
        for last in 0..=steps.len() {
            let (dir, folder, hidden) = place();
            let swap = Swap {
                folder: &folder,
                hidden: &hidden,
                name: BLOCK.as_ref(),
            };
            for step in &steps[..last] {
                swap.step(*step).unwrap();
            }
            let settled = finish_swaps(&folder).unwrap();
            let data = content(&dir.path().join("data"));
            let undone = of(&[("B", "damaged")]);
            let done = of(&[("B", "copy"), ("B.damaged", "damaged")]);
            match last {
                0 => assert_eq!((settled, data), (Vec::new(), undone)),
                1 => assert_eq!(
                    (settled, data),
                    (vec![Settled::Undone(BLOCK.to_owned())], undone)
                ),
                2 => {
                    let kept = OsString::from(format!("{BLOCK}.damaged"));
                    let kept = vec![Settled::Kept(BLOCK.to_owned(), kept)];
                    assert_eq!((settled, data), (kept, done));
                }
                _ => assert_eq!((settled, data), (Vec::new(), done)),
            }
            assert_eq!(finish_swaps(&folder).unwrap(), Vec::new());
        }
    }

    #[test]
    fn a_block_that_was_replaced_before_is_not_overwritten_and_one_that_went_does_not_come_back() {
        let (dir, folder, hidden) = place();
        let old = dir.path().join("data").join(format!("{BLOCK}.damaged"));
        std::fs::create_dir(&old).unwrap();
        std::fs::write(old.join("index"), "older").unwrap();
        let swap = Swap {
            folder: &folder,
            hidden: &hidden,
            name: BLOCK.as_ref(),
        };
        let kept = swap.carry_out(true, &mut false).unwrap();
        assert_eq!(kept, OsString::from(format!("{BLOCK}.damaged.2")));
        let data = dir.path().join("data");
        // Retention deletes the block; what was kept stays what it is.
        std::fs::remove_dir_all(data.join(BLOCK)).unwrap();
        assert_eq!(finish_swaps(&folder).unwrap(), Vec::new());
        assert_eq!(
            content(&data),
            of(&[("B.damaged", "older"), ("B.damaged.2", "damaged")])
        );
    }

    #[test]
    fn a_copy_that_cannot_come_in_place_leaves_the_block_where_it_was() {
        let (dir, folder, hidden) = place();
        std::fs::remove_dir_all(dir.path().join("hidden").join(BLOCK)).unwrap();
        let swap = Swap {
            folder: &folder,
            hidden: &hidden,
            name: BLOCK.as_ref(),
        };
        for at_once in [true, false] {
            assert!(swap.carry_out(at_once, &mut false).is_err());
            assert_eq!(
                content(&dir.path().join("data")),
                of(&[("B", "damaged")]),
                "{at_once}"
            );
        }
    }
}
