//! Whose restored files are, and who may read them.

use rustix::fs::{FileType, Gid, Mode, Uid};

use crate::error::Result;
use crate::raw::Folder;

/// Permissions and owner of what is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// Permissions of files, as in `chmod`; directories may also be searched by whoever may read
    /// them.
    pub mode: u32,
    /// Numbers of the user and the group that get them; otherwise they belong to whoever restores.
    pub owner: Option<(u32, u32)>,
}

impl Default for Permissions {
    /// For the owner alone: samples and labels are nobody else's business.
    fn default() -> Self {
        Permissions {
            mode: 0o600,
            owner: None,
        }
    }
}

impl Permissions {
    /// Permissions of directories.
    pub fn dir_mode(self) -> u32 {
        self.mode | (self.mode & 0o444) >> 2
    }

    /// Gives `folder` and everything below it, made by [`Folder`] for its owner alone, these
    /// permissions, and makes all entries durable.
    pub(super) fn finish(self, folder: &Folder) -> Result<()> {
        self.give_all(folder, self == Permissions::default())
    }

    /// As [`Permissions::settle`], whatever the permissions were before.
    pub(super) fn enforce(self, folder: &Folder) -> Result<()> {
        self.give_all(folder, false)
    }

    fn give_all(self, folder: &Folder, given: bool) -> Result<()> {
        for entry in folder.entries()? {
            if entry.kind == FileType::Directory {
                self.give_all(&folder.folder(entry.name.as_ref())?, given)?;
            } else if !given {
                let file = folder.file(entry.name.as_ref())?;
                let path = folder.path().join(&entry.name);
                self.give(&file, self.mode, &path)?;
                file.sync_all()
                    .map_err(|e| crate::Error::io("sync", &path, e))?;
            }
        }
        if !given {
            self.give(folder, self.dir_mode(), folder.path())?;
        }
        folder.sync()
    }

    /// Gives the directory itself these permissions.
    pub(super) fn give_folder(self, folder: &Folder) -> Result<()> {
        if self == Permissions::default() {
            return Ok(());
        }
        self.give(folder, self.dir_mode(), folder.path())
    }

    fn give(self, fd: impl std::os::fd::AsFd, mode: u32, path: &std::path::Path) -> Result<()> {
        let given = self.owner.map_or(Ok(()), |(user, group)| {
            rustix::fs::fchown(&fd, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))
        });
        let given = given.and_then(|()| rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode)));
        given.map_err(|e| crate::Error::io("set permissions of", path, e.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_can_be_searched_by_whoever_may_read_their_files() {
        let dir = |mode| Permissions { mode, owner: None }.dir_mode();
        assert_eq!([dir(0o600), dir(0o640), dir(0o644)], [0o700, 0o750, 0o755]);
    }
}
