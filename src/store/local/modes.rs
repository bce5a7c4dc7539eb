//! For whom files and directories are.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;

use rustix::fs::OFlags;

use crate::error::{Error, Result};

/// Permissions of what is made, less the process' mask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Modes {
    pub(super) for_group: bool,
    /// User and group that get what root makes.
    pub(super) owner: Option<(u32, u32)>,
}

impl Modes {
    pub(super) fn file(self) -> u32 {
        if self.for_group { 0o640 } else { 0o600 }
    }

    fn dir(self) -> fs::DirBuilder {
        let mut builder = fs::DirBuilder::new();
        builder.mode(if self.for_group { 0o770 } else { 0o700 });
        builder
    }

    /// Gives a file or directory that was made just now to the owner of the repository.
    pub(super) fn hand_over(self, made: &File) -> io::Result<()> {
        match self.owner {
            Some((user, group)) => fchown(made, Some(user), Some(group)),
            None => Ok(()),
        }
    }

    /// The same for the directory `dir`, which may be a link by now: that is not followed.
    fn hand_over_dir(self, dir: &Path) -> io::Result<()> {
        if self.owner.is_none() {
            return Ok(());
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(dir);
        opened.and_then(|dir| self.hand_over(&dir))
    }
}

/// Creates `dir` and what is missing between `top`, or the first directory that is there, and it.
/// After each one `made` is called with the directory that holds it.
pub(super) fn make_dirs(
    dir: &Path,
    top: &Path,
    modes: Modes,
    made: fn(&Path) -> Result<()>,
) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let above = parent(dir);
    if dir != top {
        make_dirs(above, top, modes, made)?;
    }
    match modes.dir().create(dir) {
        Ok(()) => {
            let handed = modes.hand_over_dir(dir);
            // It fails as if there had been none when a deleter has removed it again.
            handed.map_err(|e| Error::io("change the owner of", dir, e))?;
            made(above)
        }
        // Another writer was faster.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(e) => Err(Error::io("create directory", dir, e)),
    }
}

/// The directory that holds `path`.
pub(super) fn parent(path: &Path) -> &Path {
    own(path.parent().unwrap_or(path))
}

/// The current directory under a name that can be opened.
fn own(dir: &Path) -> &Path {
    if dir == Path::new("") {
        Path::new(".")
    } else {
        dir
    }
}
