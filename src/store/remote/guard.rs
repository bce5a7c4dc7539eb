//! Older versions and locks of S3.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::SystemTime;

use http::{Method, StatusCode};
use object_store::ObjectMeta;
use object_store::path::Path;

use super::RemoteStore;
use super::inner::Inner;
use super::signed::{Answer, ask, elements, failed};
use crate::error::{Error, Result};
use crate::store::runtime::block_on;
use crate::store::{
    Lock, LockMode, Locks, ObjectHistory, ObjectName, Version, Versions, no_object,
};

/// Most pages of versions that are read: a thousand are on each.
const MAX_PAGES: usize = 100_000;

/// What S3 calls the version of an object from before its bucket had any.
const NO_VERSION: &str = "null";

const LIST: &str = "list older versions";
const ASK_LOCKS: &str = "ask for the locks of the bucket";

/// The elements that say of a name that it has a version, or a delete marker.
const VERSION: &[u8] = b"Version";
const MARKER: &[u8] = b"DeleteMarker";

/// One page of versions, and where the next one begins.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    /// With their whole names, in the order of the page: the current one of each name first.
    versions: Vec<(String, Version)>,
    next: Option<(String, String)>,
}

impl Inner {
    fn pins(&self) -> MutexGuard<'_, BTreeMap<String, Version>> {
        self.pinned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version of `name` that is read in place of the current one.
    pub(super) fn pinned(&self, name: &ObjectName) -> Option<String> {
        let pins = self.pins();
        pins.get(name.as_str()).map(|version| version.id.clone())
    }

    /// Reads the current version of `name` again.
    pub(super) fn unpin(&self, name: &ObjectName) {
        self.pins().remove(name.as_str());
    }

    /// Learns from an answer whether there are versions.
    pub(super) fn learn_version(&self, meta: &ObjectMeta) {
        if meta.version.as_ref().is_some_and(|id| id != NO_VERSION) {
            self.keeps_versions.store(true, Ordering::Relaxed);
        }
    }

    /// Puts versions that are read in place of current ones into a listing of `prefix`.
    pub(super) fn show_pinned(&self, prefix: &str, found: &mut BTreeMap<String, ObjectMeta>) {
        for (name, version) in self.pins().iter() {
            let (Some(size), Some(since)) = (version.bytes, version.since) else {
                continue;
            };
            if name.starts_with(prefix) {
                let meta = ObjectMeta {
                    location: Path::from(format!("{}{name}", self.root())),
                    last_modified: since.into(),
                    size,
                    e_tag: None,
                    version: Some(version.id.clone()),
                };
                found.insert(name.clone(), meta);
            }
        }
    }

    async fn list_versions(&self, prefix: &str) -> Result<Versions> {
        let root = self.root();
        let prefix = format!("{root}{prefix}");
        let mut all = Versions::new();
        let mut next: Option<(String, String)> = None;
        for _ in 0..MAX_PAGES {
            let mut query = vec![("versions", ""), ("prefix", &*prefix)];
            if let Some((key, id)) = &next {
                query.push(("key-marker", key));
                if !id.is_empty() {
                    query.push(("version-id-marker", id));
                }
            }
            let bucket = Path::default();
            let asked = ask(self, LIST, Method::GET, &bucket, &query, Vec::new());
            let Some(answer) = asked.await?.filter(|answer| !answer.is_unknown()) else {
                return Ok(Versions::new());
            };
            if !answer.status.is_success() {
                return Err(answer.error(LIST, self));
            }
            let page = parse(&answer.body)?;
            for (key, version) in page.versions {
                let name = key.strip_prefix(&*root).map(ObjectName::new);
                if let Some(Ok(name)) = name {
                    all.entry(name).or_default().push(version);
                }
            }
            match page.next {
                Some(following) if next.as_ref() != Some(&following) => next = Some(following),
                _ => return Ok(all),
            }
        }
        Err(failed(
            LIST,
            &format!("there are more than {MAX_PAGES} pages of them"),
        ))
    }

    async fn retention(
        &self,
        what: &str,
        method: Method,
        name: &ObjectName,
        body: Vec<u8>,
    ) -> Result<Answer> {
        let version = self.pinned(name);
        let mut query = vec![("retention", "")];
        if let Some(id) = &version {
            query.push(("versionId", id));
        }
        let asked = ask(self, what, method, &self.path(name), &query, body).await?;
        let answer = asked.ok_or_else(|| no_locks(self))?;
        match &*answer.code() {
            "NoSuchKey" | "NoSuchVersion" => Err(no_object(name)),
            _ => Ok(answer),
        }
    }
}

fn no_locks(inner: &Inner) -> Error {
    Error::unsupported(format!("{} knows no locks on objects", inner.address))
}

impl ObjectHistory for RemoteStore {
    fn keeps_versions(&self) -> bool {
        self.inner.keeps_versions.load(Ordering::Relaxed)
    }

    fn versions(&self, prefix: &str) -> Result<Versions> {
        block_on(self.inner.list_versions(prefix))
    }

    fn read_version(&self, name: &ObjectName, version: Option<&Version>) {
        let mut pins = self.inner.pins();
        match version.filter(|version| !version.is_marker()) {
            Some(version) => {
                pins.insert(name.to_string(), version.clone());
            }
            None => {
                pins.remove(name.as_str());
            }
        }
    }

    fn version_read(&self, name: &ObjectName) -> Option<Version> {
        self.inner.pins().get(name.as_str()).cloned()
    }
}

impl Locks for RemoteStore {
    fn can_lock(&self) -> Result<bool> {
        let inner = &self.inner;
        let query = [("object-lock", "")];
        let bucket = Path::default();
        let asked = ask(inner, ASK_LOCKS, Method::GET, &bucket, &query, Vec::new());
        let Some(answer) = block_on(asked)? else {
            return Ok(false);
        };
        let is_none = answer.is_unknown() || answer.status == StatusCode::NOT_FOUND;
        if is_none && answer.code() != "NoSuchBucket" {
            return Ok(false);
        }
        if !answer.status.is_success() {
            return Err(answer.error(ASK_LOCKS, inner));
        }
        let mut is_enabled = false;
        let read = elements(&answer.body, |name, text| {
            is_enabled |= name == b"ObjectLockEnabled" && text == "Enabled";
        });
        read.map_err(|e| failed(ASK_LOCKS, &e))?;
        Ok(is_enabled)
    }

    fn lock_of(&self, name: &ObjectName) -> Result<Option<Lock>> {
        let inner = &self.inner;
        let what = format!("ask for the lock of {name}");
        let answer = block_on(inner.retention(&what, Method::GET, name, Vec::new()))?;
        // An object that never had any.
        if answer.code() == "NoSuchObjectLockConfiguration" {
            return Ok(None);
        }
        if !answer.status.is_success() {
            return Err(answer.error(&what, inner));
        }
        let (mut until, mut mode) = (None, None);
        let read = elements(&answer.body, |name, text| match (name, text) {
            (b"RetainUntilDate", text) => until = time(text),
            (b"Mode", "COMPLIANCE") => mode = Some(LockMode::Compliance),
            (b"Mode", "GOVERNANCE") => mode = Some(LockMode::Governance),
            _ => {}
        });
        read.map_err(|e| failed(&what, &e))?;
        match (until, mode) {
            (Some(until), Some(mode)) => Ok(Some(Lock { until, mode })),
            _ => Err(failed(&what, &"expected a time and a mode, found neither")),
        }
    }

    fn lock(&self, name: &ObjectName, lock: Lock) -> Result<()> {
        let inner = &self.inner;
        let what = format!("lock {name}");
        let until = jiff::Timestamp::try_from(lock.until).map_err(|e| failed(&what, &e))?;
        // To the second, which all services read.
        let until = until.strftime("%Y-%m-%dT%H:%M:%SZ");
        let mode = match lock.mode {
            LockMode::Compliance => "COMPLIANCE",
            LockMode::Governance => "GOVERNANCE",
        };
        let mut body = String::new();
        let _ = write!(
            body,
            "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>"
        );
        let answer = block_on(inner.retention(&what, Method::PUT, name, body.into()))?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(answer.error(&what, inner))
    }
}

/// Reads a `ListVersionsResult`.
fn parse(xml: &[u8]) -> Result<Page> {
    let mut page = Page::default();
    let (mut is_truncated, mut next_key, mut next_id) = (false, String::new(), String::new());
    // Of the version that is being read.
    let (mut key, mut id, mut bytes, mut since) = (String::new(), String::new(), None, None);
    let mut is_latest = false;
    let mut found: Vec<(String, bool, Version)> = Vec::new();
    let read = elements(xml, |name, text| match name {
        b"Key" => text.clone_into(&mut key),
        b"VersionId" => text.clone_into(&mut id),
        b"Size" => bytes = text.parse::<u64>().ok(),
        b"LastModified" => since = time(text),
        b"IsLatest" => is_latest = text == "true",
        VERSION | MARKER => {
            let size = bytes.take().unwrap_or(0);
            let version = Version {
                id: std::mem::take(&mut id),
                bytes: (name == VERSION).then_some(size),
                since: since.take(),
            };
            found.push((
                std::mem::take(&mut key),
                std::mem::take(&mut is_latest),
                version,
            ));
        }
        b"IsTruncated" => is_truncated = text == "true",
        b"NextKeyMarker" => text.clone_into(&mut next_key),
        b"NextVersionIdMarker" => text.clone_into(&mut next_id),
        _ => {}
    });
    read.map_err(|e| failed(LIST, &e))?;
    // Some services list markers behind all versions. What is of the same second stays as it
    // stands: S3 lists the later first.
    found.sort_by_cached_key(|(key, is_latest, version)| {
        let age = Reverse(version.since.map(seconds));
        (key.clone(), !is_latest, age)
    });
    let found = found.into_iter();
    page.versions = found.map(|(key, _, version)| (key, version)).collect();
    if is_truncated && !next_key.is_empty() {
        page.next = Some((next_key, next_id));
    }
    Ok(page)
}

fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn time(text: &str) -> Option<SystemTime> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(time.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_s3_writes_them() {
        let xml = br#"<?xml version="1.0" encoding="UTF-8"?>
<ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
  <Name>b</Name><Prefix>p/</Prefix><KeyMarker/><VersionIdMarker/><MaxKeys>1000</MaxKeys>
  <NextKeyMarker>p/b</NextKeyMarker><NextVersionIdMarker>3</NextVersionIdMarker>
  <IsTruncated>true</IsTruncated>
  <Version><Key>p/a</Key><VersionId>2</VersionId><IsLatest>false</IsLatest>
    <LastModified>2026-11-10T20:48:33.000Z</LastModified><Size>20</Size>
    <Owner><ID>x</ID></Owner></Version>
  <Version><Key>p/a</Key><VersionId>1</VersionId><IsLatest>false</IsLatest>
    <LastModified>2026-11-10T20:48:33.000Z</LastModified><Size>10</Size></Version>
  <Version><Key>p/b</Key><VersionId>3</VersionId><IsLatest>true</IsLatest>
    <LastModified>2026-11-10T20:48:33.000Z</LastModified><Size>30</Size></Version>
  <DeleteMarker><Key>p/a</Key><VersionId>m</VersionId><IsLatest>true</IsLatest>
    <LastModified>2026-11-10T20:48:33.466Z</LastModified></DeleteMarker>
</ListVersionsResult>"#;
        let page = parse(xml).unwrap();
        let found = page.versions.iter();
        let found: Vec<_> = found.map(|(key, it)| (&**key, &*it.id, it.bytes)).collect();
        let expected = [
            ("p/a", "m", None),
            ("p/a", "2", Some(20)),
            ("p/a", "1", Some(10)),
            ("p/b", "3", Some(30)),
        ];
        assert_eq!(found, expected);
        assert_eq!(page.next, Some(("p/b".to_owned(), "3".to_owned())));
        assert_eq!(parse(b"").unwrap(), Page::default());
        assert!(parse(b"<a><b></a>").is_err());
    }
}
