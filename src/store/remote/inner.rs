//! What all that is done to one object store shares: how it is reached, what is known of it, how it
//! is listed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::client::HttpClient;
use object_store::list::{PaginatedListOptions, PaginatedListResult};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error as StoreError, GetOptions, ObjectMeta, ObjectStoreExt as _,
    PutMode, PutOptions, PutPayload,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use ulid::Ulid;

use super::Service;
use super::address::{Address, Client};
use super::wire::Wire;
use crate::error::Result;
use crate::store::name::TEMPORARY;
use crate::store::runtime::block_on;
use crate::store::{ObjectName, Version};

/// Bytes of a part. Some services want all but the last to be equally large.
pub(super) const PART: usize = 8 << 20;

/// Key of the metadata that say that the store was seen to refuse a name that is taken.
pub(super) const CREATE_ONLY: &str = "narthexcreateonly";

/// Parts of objects that are under way at a time, with one store: with 8 MiB each they bound the
/// memory. A larger part counts as several.
pub(super) const PARTS_AT_A_TIME: u32 = 6;

/// Names that one request lists.
pub(super) const PAGE: usize = 1_000;

/// How often a page of a listing is asked for again when its answer was cut.
pub(super) const MOST_REPEATS: u32 = 3;

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) address: Address,
    pub(super) client: Client,
    /// For the requests that the client library does not know.
    pub(super) http: HttpClient,
    pub(super) wire: Wire,
    pub(super) parts: Arc<Semaphore>,
    /// Whether the store was seen to refuse a name that is taken; `None` until it was tried.
    pub(super) create_only: Mutex<Option<bool>>,
    /// Whether that was seen by a denial: it may be this machine that may not write a name twice.
    pub(super) is_denied: AtomicBool,
    /// Whether an answer has said that there are older versions of objects.
    pub(super) keeps_versions: AtomicBool,
    /// Versions that are read in place of the current ones, by the names of objects.
    pub(super) pinned: Mutex<BTreeMap<String, Version>>,
}

impl Inner {
    /// What all names in the bucket begin with.
    pub(super) fn root(&self) -> String {
        match &*self.address.prefix {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        }
    }

    pub(super) fn path(&self, name: &ObjectName) -> Path {
        Path::from(format!("{}{name}", self.root()))
    }

    /// The path of something that is no object yet.
    pub(super) fn temporary(&self, id: &str) -> Path {
        Path::from(format!("{}{TEMPORARY}/{id}", self.root()))
    }

    /// Leave to have one more part, of so many bytes, under way.
    pub(super) async fn permit(&self, bytes: usize) -> OwnedSemaphorePermit {
        let parts = Arc::clone(&self.parts);
        let count = u32::try_from(bytes.div_ceil(PART)).unwrap_or(PARTS_AT_A_TIME);
        let count = count.clamp(1, PARTS_AT_A_TIME);
        #[expect(clippy::expect_used, reason = "nobody closes the semaphore")]
        parts
            .acquire_many_owned(count)
            .await
            .expect("a semaphore that is open")
    }

    pub(super) fn is_create_only(&self) -> Option<bool> {
        *self
            .create_only
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns from the metadata of an object that was read.
    pub(super) fn learn(&self, attributes: &Attributes) {
        if attributes
            .get(&Attribute::Metadata(CREATE_ONLY.into()))
            .is_some_and(|value| value.as_ref() == "yes")
        {
            let mut known = self
                .create_only
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            known.get_or_insert(true);
        }
    }

    /// Finds out whether the store refuses a name that is taken: `anew`, or unless that is known.
    pub(super) fn probe(&self, anew: bool) -> Result<bool> {
        let mut known = self
            .create_only
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(is_create_only) = known.filter(|_| !anew) {
            return Ok(is_create_only);
        }
        let is_create_only = block_on(self.try_twice())?;
        if !is_create_only {
            self.wire.complete_unconditionally();
        }
        *known = Some(is_create_only);
        Ok(is_create_only)
    }

    /// Writes one name twice. The second attempt must fail.
    async fn try_twice(&self) -> Result<bool> {
        let path = self.temporary(&format!("probe-{}", Ulid::generate()));
        let create = || PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        let objects = &self.client.objects;
        let failed = |error| self.failed("try whether names are given once", &error);
        let first = objects
            .put_opts(&path, PutPayload::from_static(b"1"), create())
            .await;
        let knows_conditions = match first {
            // The second when an answer was lost: it is there all the same.
            Ok(_) | Err(StoreError::AlreadyExists { .. }) => true,
            Err(StoreError::NotSupported { .. } | StoreError::NotImplemented { .. }) => false,
            Err(error) if is_method_refused(&error) => false,
            Err(error) => return Err(failed(error)),
        };
        if !knows_conditions {
            return Ok(false);
        }
        let second = objects
            .put_opts(&path, PutPayload::from_static(b"2"), create())
            .await;
        let is_refused = match second {
            Ok(_) => false,
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => true,
            Err(StoreError::PermissionDenied { .. }) => {
                self.is_denied.store(true, Ordering::Relaxed);
                true
            }
            Err(error) => return Err(failed(error)),
        };
        // Where it may not be deleted it stays, and is listed as left over.
        let _ = objects.delete(&path).await;
        Ok(is_refused)
    }

    /// Everything whose name begins with `prefix`, by its name without the store's own.
    pub(super) async fn list(
        &self,
        prefix: &str,
        max: Option<usize>,
    ) -> Result<BTreeMap<String, ObjectMeta>> {
        let mut found = BTreeMap::new();
        let mut token: Option<String> = None;
        loop {
            let keys = max.unwrap_or(PAGE);
            let next = self.page(prefix, keys, token, &mut found).await?;
            if next.is_none() || max.is_some_and(|max| found.len() >= max) {
                self.show_pinned(prefix, &mut found);
                return Ok(found);
            }
            token = next;
        }
    }

    /// Everything whose name begins with `prefix`, if no more than `most` pages hold it, in the
    /// order of names.
    pub(super) async fn list_pages(
        &self,
        prefix: &str,
        most: usize,
    ) -> Result<Option<BTreeMap<String, ObjectMeta>>> {
        let mut found = BTreeMap::new();
        let mut token = None;
        for _ in 0..most {
            let mut page = BTreeMap::new();
            token = self.page(prefix, PAGE, token, &mut page).await?;
            // Whoever lists manifests before what they name relies on the order, which a few
            // services do not keep.
            let is_next = page.keys().next() > found.keys().next_back();
            found.append(&mut page);
            if token.is_none() {
                return Ok(Some(found));
            }
            if !is_next {
                break;
            }
        }
        Ok(None)
    }

    /// Puts a page of what begins with `prefix` into `found`, and says what the next one is asked
    /// for by.
    async fn page(
        &self,
        prefix: &str,
        keys: usize,
        token: Option<String>,
        found: &mut BTreeMap<String, ObjectMeta>,
    ) -> Result<Option<String>> {
        let root = self.root();
        let options = PaginatedListOptions {
            max_keys: Some(keys),
            page_token: token,
            ..PaginatedListOptions::default()
        };
        let page = self.ask_page(prefix, options).await?;
        for meta in page.result.objects {
            let name = meta.location.as_ref().strip_prefix(&*root);
            if let Some(name) = name.filter(|name| name.starts_with(prefix)) {
                found.insert(name.to_owned(), meta);
            }
        }
        Ok(page.page_token)
    }

    /// The directories in `dir`, which is empty or ends in `/`.
    pub(super) async fn dirs(&self, dir: &str) -> Result<Vec<String>> {
        let above = format!("{}{dir}", self.root());
        let mut found = Vec::new();
        let mut token = None;
        loop {
            let options = PaginatedListOptions {
                delimiter: Some("/".into()),
                max_keys: Some(PAGE),
                page_token: token,
                ..PaginatedListOptions::default()
            };
            let page = self.ask_page(dir, options).await?;
            let dirs = page.result.common_prefixes.iter();
            let names = dirs.filter_map(|path| path.as_ref().strip_prefix(&above));
            let names = names.map(|name| name.trim_end_matches('/').to_owned());
            found.extend(names.filter(|name| !name.is_empty()));
            token = page.page_token;
            if token.is_none() {
                found.sort_unstable();
                found.dedup();
                return Ok(found);
            }
        }
    }

    /// A page of what begins with `prefix`.
    async fn ask_page(
        &self,
        prefix: &str,
        options: PaginatedListOptions,
    ) -> Result<PaginatedListResult> {
        let mut prefix = format!("{}{prefix}", self.root());
        if self.address.service == Service::Azure && !prefix.ends_with('/') {
            // Its client leaves out what is called like the prefix.
            prefix.pop();
        }
        let asked = (!prefix.is_empty()).then_some(&*prefix);
        let mut attempt = 0;
        loop {
            let options = options.clone();
            match self.client.pages.list_paginated(asked, options).await {
                Ok(page) => return Ok(page),
                // An answer that is cut: the client library repeats requests, but no page.
                Err(StoreError::Generic { .. }) if attempt < MOST_REPEATS => {
                    attempt += 1;
                    tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
                }
                Err(error) => return Err(self.failed("list objects", &error)),
            }
        }
    }

    /// What is said of an object, or of a version of it.
    pub(super) async fn head(
        &self,
        path: &Path,
        version: Option<String>,
    ) -> Result<ObjectMeta, StoreError> {
        let options = GetOptions {
            head: true,
            version,
            ..GetOptions::default()
        };
        let found = self.client.objects.get_opts(path, options).await?;
        self.learn(&found.attributes);
        self.learn_version(&found.meta);
        Ok(found.meta)
    }
}

/// Whether the store said that it does not know what was asked. The wire makes this of 501, so that
/// it is not asked again.
fn is_method_refused(error: &StoreError) -> bool {
    error.to_string().contains("status code: 405")
}
