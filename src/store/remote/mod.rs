//! Objects in S3, Google Cloud Storage and Azure Blob Storage.
//!
//! * **Complete or absent** is what these services promise of themselves: an object is there when
//!   the request that writes it has ended, and durable then.
//! * **Create-only** is asked for with every object (`If-None-Match: *`, or generation 0). Not
//!   every store that speaks a protocol knows it, and some do not say so. Hence it is tried before
//!   the first object is written, and the result written into the metadata of objects, so that no
//!   later run has to. In a store that failed the trial one process may write at a time.
//! * **Answers get lost.** Each attempt has an id, which is in the metadata of what it writes:
//!   whoever is told that a name is taken, or nothing at all, looks whether it was its own object.
//! * **Large objects** go in parts, a bounded number at a time. With S3 the last request, which
//!   makes them one object, asks for a free name; elsewhere parts are put together below `tmp/` and
//!   copied on that condition.
//!
//! All requests run on one small runtime of this process; callers wait for them as for a disk.

mod address;
mod failure;
mod guard;
mod inner;
mod pending;
mod profile;
mod signed;
mod uploads;
mod wire;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use object_store::client::HttpConnector as _;
use object_store::path::Path;
use object_store::{Error as StoreError, GetOptions, GetRange, ObjectMeta, ObjectStoreExt as _};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

pub use address::{Address, Service};

use super::name::TEMPORARY;
use super::runtime::{self, block_on, run, spawn};
use super::{
    Leftover, Locks, ObjectHistory, ObjectName, Origin, PendingObject, ReadStore, Store,
    StoreOptions, TrafficCounts, beyond_end, no_leftover, no_object, not_left_over, too_large,
};
use crate::error::{Error, Result};
use address::{Client, client_options};
use inner::{Inner, PARTS_AT_A_TIME};
use pending::Pending;
use wire::Wire;

/// Pages of a listing of all that are asked for before prefixes are listed by themselves.
const MOST_PAGES: usize = 8;

/// What stands between the name and the id of an unfinished upload in the name of a [`Leftover`].
const UPLOAD: &str = "?uploadId=";

/// Keeps objects in an object store.
#[derive(Clone, Debug)]
pub struct RemoteStore {
    inner: Arc<Inner>,
    /// The listing that was asked for before anybody waited for it.
    expected: Arc<Mutex<Option<Expected>>>,
}

/// A listing that is under way; `None` where there are too many pages.
type Expected = JoinHandle<Result<Option<Listing>>>;

/// What is there, by name.
type Listing = BTreeMap<String, ObjectMeta>;

impl RemoteStore {
    /// The store at `address`. Nothing is read or written yet.
    ///
    /// # Errors
    ///
    /// `Invalid`, when options, environment or files do not say enough of how to reach it.
    pub fn new(address: Address, options: &StoreOptions) -> Result<Self> {
        runtime::begin()?;
        let wire = Wire::new(
            &address.bucket,
            options.limits,
            address.service == Service::S3,
        );
        let client = Client::new(&address, options, wire.clone())?;
        let plain = client_options(options, client.endpoint.as_deref())?;
        let http = wire
            .connect(&plain)
            .map_err(|e| Error::invalid(format!("cannot use {address}: {e}")))?;
        Ok(RemoteStore {
            expected: Arc::default(),
            inner: Arc::new(Inner {
                address,
                client,
                http,
                wire,
                parts: Arc::new(Semaphore::new(PARTS_AT_A_TIME as usize)),
                create_only: Mutex::new(None),
                is_denied: AtomicBool::new(false),
                keeps_versions: AtomicBool::new(false),
                pinned: Mutex::default(),
            }),
        })
    }
}

impl RemoteStore {
    /// The listing that was asked for before, once.
    fn expected(&self) -> Option<Expected> {
        lock(&self.expected).take()
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ReadStore for RemoteStore {
    fn get(&self, name: &ObjectName, max_bytes: u64) -> Result<Vec<u8>> {
        let inner = &self.inner;
        block_on(async {
            let failed = |error| inner.failed_object("read", name, error);
            let path = inner.path(name);
            let options = GetOptions {
                version: inner.pinned(name),
                ..GetOptions::default()
            };
            let found = inner.client.objects.get_opts(&path, options).await;
            let found = found.map_err(failed)?;
            inner.learn(&found.attributes);
            inner.learn_version(&found.meta);
            if found.meta.size > max_bytes {
                return Err(too_large(name, found.meta.size, max_bytes));
            }
            let bytes = found.meta.size;
            let content = found.bytes().await.map_err(failed)?;
            if content.len() as u64 != bytes {
                return Err(beyond_end(name, content.len() as u64, &(0..bytes)));
            }
            Ok(content.into())
        })
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>> {
        let inner = &self.inner;
        let bytes_of = |name| self.size(name);
        if range.start >= range.end {
            let bytes = bytes_of(name)?;
            return if range.start == range.end && range.end <= bytes {
                Ok(Vec::new())
            } else {
                Err(beyond_end(name, bytes, &range))
            };
        }
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            version: inner.pinned(name),
            ..GetOptions::default()
        };
        let (asked, path, wanted) = (Arc::clone(inner), inner.path(name), range.clone());
        // The few threads of the runtime put answers together, not each of the many that wait:
        // what an allocator keeps for each thread adds up to more than all answers.
        let read = run(async move {
            let found = asked.client.objects.get_opts(&path, options).await?;
            asked.learn(&found.attributes);
            asked.learn_version(&found.meta);
            if found.range != wanted {
                return Ok(Err(found.meta.size));
            }
            found.bytes().await.map(Ok)
        });
        match read {
            Ok(Ok(content)) if content.len() as u64 == range.end - range.start => {
                Ok(content.into())
            }
            Ok(Ok(content)) => Err(Error::new(
                crate::ErrorKind::Io,
                format!(
                    "cannot read object {name}: expected bytes {} to {}, found {} bytes",
                    range.start,
                    range.end,
                    content.len()
                ),
            )),
            Ok(Err(bytes)) => Err(beyond_end(name, bytes, &range)),
            Err(error @ StoreError::NotFound { .. }) => {
                Err(inner.failed_object("read", name, error))
            }
            // Services refuse a range that begins behind the end, each in its own words.
            Err(error) => match bytes_of(name) {
                Ok(bytes) if bytes < range.end => Err(beyond_end(name, bytes, &range)),
                _ => Err(inner.failed_object("read", name, error)),
            },
        }
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        let inner = &self.inner;
        let found = block_on(inner.head(&inner.path(name), inner.pinned(name)));
        let found = found.map_err(|e| inner.failed_object("look at", name, e))?;
        Ok(found.size)
    }

    fn list(&self, prefix: &str) -> Result<Vec<(ObjectName, u64)>> {
        let found = block_on(self.inner.list(prefix, None))?;
        Ok(objects(found))
    }

    fn arrivals(&self, prefix: &str) -> Result<BTreeMap<ObjectName, SystemTime>> {
        let found = block_on(self.inner.list(prefix, None))?;
        let named = found
            .into_iter()
            .filter_map(|(name, meta)| Some((ObjectName::new(name).ok()?, modified(&meta))));
        Ok(named.collect())
    }

    fn list_many(&self, prefixes: &[&str]) -> Result<Vec<(ObjectName, u64)>> {
        let inner = &self.inner;
        let found = block_on(async {
            // All of a small repository is on few pages. Of a large one each prefix is listed.
            let above = above_all(prefixes);
            if prefixes.len() > 1 {
                let expected = self.expected().filter(|_| above.is_empty());
                let listed = match expected {
                    // What fails is tried again.
                    Some(listing) => listing.await.ok().and_then(Result::ok),
                    None => None,
                };
                let listed = match listed {
                    Some(listed) => listed,
                    None => inner.list_pages(above, MOST_PAGES).await?,
                };
                if let Some(mut all) = listed {
                    inner.show_pinned(above, &mut all);
                    return Ok(all);
                }
            }
            let mut found = BTreeMap::new();
            for prefix in prefixes {
                found.append(&mut inner.list(prefix, None).await?);
            }
            Ok(found)
        });
        let mut objects = objects(found?);
        objects.retain(|(name, _)| prefixes.iter().any(|it| name.as_str().starts_with(it)));
        Ok(objects)
    }

    fn expect_listing(&self) {
        let inner = Arc::clone(&self.inner);
        let listing = spawn(async move { inner.list_pages("", MOST_PAGES).await });
        *lock(&self.expected) = Some(listing);
    }

    fn dirs(&self, prefix: &str) -> Result<Vec<String>> {
        block_on(self.inner.dirs(prefix))
    }

    fn describe(&self) -> String {
        self.inner.address.to_string()
    }

    fn traffic(&self) -> Option<TrafficCounts> {
        Some(self.inner.wire.traffic().counts())
    }

    fn history(&self) -> Option<&dyn ObjectHistory> {
        (self.inner.address.service == Service::S3).then_some(self)
    }
}

impl Store for RemoteStore {
    fn create(&self, name: &ObjectName) -> Result<Box<dyn PendingObject>> {
        Ok(Box::new(Pending::new(
            Arc::clone(&self.inner),
            name.clone(),
        )))
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        let inner = &self.inner;
        let path = inner.path(name);
        block_on(async {
            // Deleting what is not there is a success to these services.
            inner.head(&path, inner.pinned(name)).await?;
            inner.client.objects.delete(&path).await?;
            inner.unpin(name);
            Ok(())
        })
        .map_err(|e| inner.failed_object("delete", name, e))
    }

    /// What is there is durable. It is looked for in a listing: whoever may only write may list.
    fn settle(&self, name: &ObjectName) -> Result<()> {
        let found = block_on(self.inner.list(name.as_str(), Some(1)))?;
        if found.contains_key(name.as_str()) {
            Ok(())
        } else {
            Err(no_object(name))
        }
    }

    fn leftovers(&self, prefix: &str) -> Result<Vec<Leftover>> {
        let inner = &self.inner;
        block_on(async {
            let mut leftovers = Vec::new();
            for (name, meta) in inner.list(prefix, None).await? {
                let origin = if name.split('/').next() == Some(TEMPORARY) {
                    Origin::Unpublished
                } else if ObjectName::new(name.as_str()).is_err() {
                    Origin::Foreign
                } else {
                    continue;
                };
                leftovers.push(Leftover {
                    name,
                    bytes: meta.size,
                    modified: Some(modified(&meta)),
                    origin,
                });
            }
            if inner.address.service == Service::S3 {
                let root = inner.root();
                let prefix = format!("{root}{prefix}");
                for upload in uploads::begun(inner, &prefix).await? {
                    let Some(name) = upload.key.strip_prefix(&*root) else {
                        continue;
                    };
                    leftovers.push(Leftover {
                        name: format!("{name}{UPLOAD}{}", upload.id),
                        bytes: 0,
                        modified: upload.since,
                        origin: Origin::Unpublished,
                    });
                }
            }
            leftovers.sort_unstable();
            Ok(leftovers)
        })
    }

    fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        let inner = &self.inner;
        if leftover.origin == Origin::Foreign {
            return Err(not_left_over(leftover, "something of somebody else"));
        }
        if let Some((name, id)) = leftover.name.split_once(UPLOAD) {
            let path = Path::from(format!("{}{name}", inner.root()));
            let aborted = block_on(inner.client.parts.abort_multipart(&path, &id.to_owned()));
            return aborted.map_err(|error| match error {
                StoreError::NotFound { .. } => no_leftover(leftover),
                error => inner.failed(&format!("remove {}", leftover.name), &error),
            });
        }
        if leftover.name.split('/').next() != Some(TEMPORARY) {
            return Err(not_left_over(leftover, "a name of an object"));
        }
        let path = Path::from(format!("{}{}", inner.root(), leftover.name));
        block_on(async {
            let found = match inner.head(&path, None).await {
                Ok(found) => found,
                Err(StoreError::NotFound { .. }) => return Err(no_leftover(leftover)),
                Err(error) => {
                    return Err(inner.failed(&format!("look at {}", leftover.name), &error));
                }
            };
            if leftover
                .modified
                .is_some_and(|listed| !is_same_second(listed, modified(&found)))
            {
                return Err(not_left_over(leftover, "something written since"));
            }
            let deleted = inner.client.objects.delete(&path).await;
            deleted.map_err(|e| inner.failed(&format!("remove {}", leftover.name), &e))
        })
    }

    fn is_create_only(&self) -> Result<bool> {
        self.inner.probe(false)
    }

    fn try_create_only(&self) -> Result<bool> {
        self.inner.probe(true)
    }

    fn is_vacant(&self) -> Result<bool> {
        let found = block_on(self.inner.list("", Some(inner::PAGE)))?;
        // What a run has begun, or has tried names with, is nothing yet.
        Ok(found
            .keys()
            .all(|name| name.split('/').next() == Some(TEMPORARY)))
    }

    fn locks(&self) -> Option<&dyn Locks> {
        (self.inner.address.service == Service::S3).then_some(self)
    }
}

/// The innermost directory in which all names lie that begin with one of `prefixes`; empty, or with
/// a `/` at its end.
fn above_all<'p>(prefixes: &[&'p str]) -> &'p str {
    let Some(first) = prefixes.first() else {
        return "";
    };
    let mut ends = first.match_indices('/').rev().map(|(at, _)| at + 1);
    let above = ends.find_map(|end| {
        let dir = first.get(..end)?;
        prefixes.iter().all(|it| it.starts_with(dir)).then_some(dir)
    });
    above.unwrap_or_default()
}

/// What of a listing are objects, with their sizes.
fn objects(found: BTreeMap<String, ObjectMeta>) -> Vec<(ObjectName, u64)> {
    let objects = found.into_iter().filter_map(|(name, meta)| {
        let name = ObjectName::new(name).ok()?;
        Some((name, meta.size))
    });
    objects.collect()
}

fn modified(meta: &ObjectMeta) -> SystemTime {
    meta.last_modified.into()
}

/// Listings give fractions of seconds, answers to single requests do not.
fn is_same_second(a: SystemTime, b: SystemTime) -> bool {
    let seconds = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    };
    seconds(a) == seconds(b)
}
