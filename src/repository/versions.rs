//! Older versions of objects: what is right, where somebody has put another version over it.
//!
//! A name is given once ([`crate::store`]). In a store that keeps versions whoever may write can
//! put a newer one on top in spite of that, and whoever may delete can hide what is there behind a
//! marker; neither takes anything away. So of manifests, witnesses, key documents and the
//! descriptor the first version counts. Of an object with data that one counts whose digest is
//! what a manifest says, which is looked for when the current one is not.
//!
//! Nothing is asked of a store that has not said by an answer that it keeps versions.

#[cfg(feature = "encryption")]
use super::MAX_MANIFEST_BYTES;
use super::digest::{Digest, digest_of_object};
use super::layout::DESCRIPTOR;
use super::{StoredObject, is_data};
use crate::error::{ErrorKind, Result};
use crate::store::{ObjectHistory, ObjectName, Store, Version, Versions};

/// Most versions of one name that are read to find the right one.
const MAX_READ: usize = 16;

/// The versions of what begins with `prefix`; `None` where there are none, or they may not be
/// listed: what is read then is what lies on top.
pub(super) fn of<'s>(
    store: &'s dyn Store,
    prefix: &str,
) -> Result<Option<(&'s dyn ObjectHistory, Versions)>> {
    let history = store.history().filter(|history| history.keeps_versions());
    let Some(history) = history else {
        return Ok(None);
    };
    match history.versions(prefix) {
        Ok(versions) => Ok(Some((history, versions))),
        Err(error) if error.kind() == ErrorKind::Refused => Ok(None),
        Err(error) => Err(error),
    }
}

/// The first version of all, and whether another one covers it, or a marker hides it.
pub(super) fn first(versions: &[Version]) -> Option<(&Version, bool)> {
    let first = versions.iter().rfind(|version| !version.is_marker())?;
    let current = versions.first()?;
    Some((first, current.id != first.id))
}

/// Whether the current version says that there is no object.
pub(super) fn is_hidden(versions: &[Version]) -> bool {
    versions.first().is_some_and(Version::is_marker)
}

/// Reads from now on the first versions of all names that begin with `prefix`; of those that are
/// hidden only where nobody ever deletes them: `deletes`. Gives the names that have others on top.
pub(super) fn settle(store: &dyn Store, prefix: &str, deletes: bool) -> Result<Vec<ObjectName>> {
    let Some((history, all)) = of(store, prefix)? else {
        return Ok(Vec::new());
    };
    let mut odd = Vec::new();
    for (name, versions) in all {
        let Some((first, true)) = first(&versions) else {
            continue;
        };
        if !(deletes && is_hidden(&versions)) {
            history.read_version(&name, Some(first));
        }
        odd.push(name);
    }
    Ok(odd)
}

/// The same of the descriptor; whether it is read otherwise now.
pub(super) fn settle_descriptor(store: &dyn Store) -> Result<bool> {
    Ok(!settle(store, DESCRIPTOR, false)?.is_empty())
}

/// Reads from now on that version of `name` which has the bytes `bytes` and the digest `sha256` as
/// it lies there, if there is one. Reads those that have so many.
pub(super) fn read_right(
    store: &dyn Store,
    name: &ObjectName,
    bytes: u64,
    sha256: Digest,
) -> Result<bool> {
    read_first(store, name, sha256, |found| found == bytes)
}

/// The same of a manifest, however long it is.
#[cfg(feature = "encryption")]
pub(super) fn read_digest(store: &dyn Store, name: &ObjectName, sha256: Digest) -> Result<bool> {
    read_first(store, name, sha256, |bytes| bytes <= MAX_MANIFEST_BYTES)
}

fn read_first(
    store: &dyn Store,
    name: &ObjectName,
    sha256: Digest,
    may_be: impl Fn(u64) -> bool,
) -> Result<bool> {
    let Some((history, all)) = of(store, name.as_str())? else {
        return Ok(false);
    };
    let before = history.version_read(name);
    let versions = all.get(name).into_iter().flatten().rev();
    let alike =
        versions.filter_map(|version| Some((version, version.bytes.filter(|it| may_be(*it))?)));
    for (version, bytes) in alike.take(MAX_READ) {
        history.read_version(name, Some(version));
        if digest_of_object(store, name, bytes, |_| ()).is_ok_and(|found| found == sha256) {
            return Ok(true);
        }
    }
    history.read_version(name, before.as_ref());
    Ok(false)
}

/// Reads from now on the first version of each of `objects` that is covered or hidden and has a
/// version of the right size; nothing is read of them. Gives what there is to be said of each.
pub(super) fn settle_data<'o>(
    store: &dyn Store,
    objects: impl IntoIterator<Item = &'o StoredObject>,
) -> Result<Vec<Odd>> {
    match of(store, "")? {
        Some((history, all)) => Ok(settle_among(history, &all, objects)),
        None => Ok(Vec::new()),
    }
}

/// The same of a store with these versions.
pub(super) fn settle_among<'o>(
    history: &dyn ObjectHistory,
    all: &Versions,
    objects: impl IntoIterator<Item = &'o StoredObject>,
) -> Vec<Odd> {
    let mut odd = Vec::new();
    for object in objects {
        let versions = all.get(&object.name).filter(|_| is_data(&object.name));
        let Some(versions) = versions else {
            continue;
        };
        if let Some(version) = right(versions, object.listed_bytes()) {
            history.read_version(&object.name, Some(version));
            odd.push(Odd::of(&object.name, versions, version));
        }
    }
    odd
}

/// The version of an object of `bytes` bytes that is to be read in place of the current one.
fn right(versions: &[Version], bytes: u64) -> Option<&Version> {
    let current = versions.first()?;
    let mut alike = versions.iter().rev();
    let right = alike.find(|version| version.bytes == Some(bytes))?;
    // Whoever has deleted an object and stored it anew has a marker in between.
    let was_deleted = versions.iter().skip(1).any(Version::is_marker);
    let is_right = current.bytes == Some(bytes) && (was_deleted || current.id == right.id);
    (!is_right).then_some(right)
}

/// A name of which an older version is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Odd {
    /// The name.
    pub name: ObjectName,
    /// Whether a marker hides it; else other versions cover it.
    pub is_hidden: bool,
    /// The version that is read.
    pub version: Version,
    /// What is on top of it.
    pub detail: String,
}

impl Odd {
    /// `version` is read of `name`, which has these `versions`.
    pub(super) fn of(name: &ObjectName, versions: &[Version], version: &Version) -> Self {
        let above = versions.iter().take_while(|it| it.id != version.id);
        let ids: Vec<_> = above.map(|it| it.id.as_str()).collect();
        let is_hidden = is_hidden(versions);
        let what = if is_hidden {
            "a delete marker is on top"
        } else {
            "another version is on top"
        };
        Odd {
            name: name.clone(),
            is_hidden,
            version: version.clone(),
            detail: format!(
                "{what} of version {}, which is read: {}",
                version.id,
                ids.join(", ")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(id: &str, bytes: Option<u64>) -> Version {
        Version {
            id: id.to_owned(),
            bytes,
            since: None,
        }
    }

    #[test]
    fn an_older_version_is_read_where_it_alone_can_be_right() {
        let id = |versions: &[(&str, Option<u64>)]| {
            let versions: Vec<_> = versions.iter().map(|(id, it)| version(id, *it)).collect();
            right(&versions, 10).map(|version| version.id.clone())
        };
        // The current one is the only one.
        assert_eq!(id(&[("1", Some(10))]), None);
        // Covered, by what is as long or not.
        let first = Some("1".to_owned());
        assert_eq!(id(&[("2", Some(10)), ("1", Some(10))]), first);
        assert_eq!(id(&[("2", Some(3)), ("1", Some(10))]), first);
        // Hidden.
        assert_eq!(id(&[("m", None), ("1", Some(10))]), first);
        // Deleted and stored anew: a digest tells which is right.
        assert_eq!(id(&[("2", Some(10)), ("m", None), ("1", Some(10))]), None);
        assert_eq!(id(&[("2", Some(3)), ("m", None), ("1", Some(10))]), first);
        // Nothing of the right size.
        assert_eq!(id(&[("2", Some(3)), ("1", Some(4))]), None);
    }
}
