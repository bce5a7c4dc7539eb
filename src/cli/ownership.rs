//! Whose restored files are, as typed.

use nix::unistd::{Group, User};

use crate::error::{Error, Result};
use crate::restore::{Permissions, Wishes};

/// Permissions and owner of what is restored.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct OwnershipArgs {
    /// Permissions of restored files, as for chmod; whoever may read a file may also search its
    /// directory [default: 0600; with --replace-damaged, as those of the damaged block]
    #[arg(long, value_name = "MODE", value_parser = parse_mode)]
    mode: Option<u32>,
    /// User, or user and group, that restored files are given to, by name or number [default:
    /// whoever restores; with --replace-damaged, the owner of the damaged block]
    #[arg(long, value_name = "USER[:GROUP]", value_parser = parse_owner)]
    chown: Option<Owner>,
}

/// Numbers of a user and a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner(u32, u32);

impl OwnershipArgs {
    pub(crate) fn permissions(self) -> Permissions {
        Permissions {
            mode: self.mode.unwrap_or(Permissions::default().mode),
            owner: self.owner(),
        }
    }

    /// What is given for blocks that come in the place of others.
    pub(crate) fn wishes(self) -> Wishes {
        Wishes {
            mode: self.mode,
            owner: self.owner(),
        }
    }

    fn owner(self) -> Option<(u32, u32)> {
        self.chown.map(|Owner(user, group)| (user, group))
    }
}

fn parse_mode(text: &str) -> Result<u32> {
    let mode = u32::from_str_radix(text, 8).ok();
    let usable = mode.filter(|mode| *mode <= 0o777 && mode & 0o600 == 0o600);
    usable.ok_or_else(|| {
        Error::invalid(format!(
            "expected permissions such as 0640, with which the owner may read and write, found {text:?}"
        ))
    })
}

/// `USER` means the user's own group, `USER:GROUP` that group.
fn parse_owner(text: &str) -> Result<Owner> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let (user, own_group) = find_user(user)?;
    let group = match group {
        Some(group) => find_group(group)?,
        None => own_group.ok_or_else(|| {
            Error::invalid(format!("expected USER:GROUP, as {text} is no known user"))
        })?,
    };
    Ok(Owner(user, group))
}

/// Numbers of a user, and of its group where that is known: a number need not be one of a known
/// user.
fn find_user(name: &str) -> Result<(u32, Option<u32>)> {
    let number = name.parse().ok();
    let found = match number {
        Some(number) => User::from_uid(nix::unistd::Uid::from_raw(number)),
        None => User::from_name(name),
    };
    match (found, number) {
        (Ok(Some(user)), _) => Ok((user.uid.as_raw(), Some(user.gid.as_raw()))),
        (_, Some(number)) => Ok((number, None)),
        _ => Err(Error::invalid(format!("no user is called {name:?}"))),
    }
}

fn find_group(name: &str) -> Result<u32> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        _ => Err(Error::invalid(format!("no group is called {name:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_names_or_numbers() {
        assert_eq!(parse_owner("root").unwrap(), Owner(0, 0));
        assert_eq!(parse_owner("root:12345").unwrap(), Owner(0, 12345));
        assert_eq!(parse_owner("54321:0").unwrap(), Owner(54321, 0));
        for text in [
            "",
            ":",
            "nobody-of-this-name",
            "root:no-such-group",
            "54321",
        ] {
            assert!(parse_owner(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn modes_are_octal_and_leave_the_owner_its_files() {
        assert_eq!(parse_mode("0640").unwrap(), 0o640);
        assert_eq!(parse_mode("644").unwrap(), 0o644);
        for text in ["", "8", "04755", "0400", "u+r", "-1"] {
            assert!(parse_mode(text).is_err(), "{text:?}");
        }
    }
}
