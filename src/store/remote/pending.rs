//! Objects on their way into an object store: small ones in one request, large ones in parts.

use std::io::{self, Write};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, CopyMode, CopyOptions, Error as StoreError, GetOptions, MultipartId,
    PutMode, PutMultipartOptions, PutOptions, PutPayload,
};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use ulid::Ulid;

use super::Service;
use super::inner::{CREATE_ONLY, Inner, PART, PARTS_AT_A_TIME};
use crate::error::{Error, ErrorKind, Result};
use crate::store::runtime::block_on;
use crate::store::{ObjectName, PendingObject, name_taken};

/// Parts that an object may have: S3 allows 10,000.
const MAX_PARTS: usize = 10_000;

/// Parts of that size; those behind them are [`LARGE_PART`], so that an object may have 270 GiB.
const SMALL_PARTS: usize = 5_000;
const LARGE_PART: usize = PARTS_AT_A_TIME as usize * PART;

/// How often an object is given its name when it is not known whether it has it.
const MAX_TRIES: u32 = 5;

/// Key of the metadata that say which attempt has written an object: whoever does not get an answer
/// looks whether it was its own that arrived.
pub(super) const PUT_ID: &str = "narthexput";

/// An object being written.
pub(super) struct Pending {
    inner: Arc<Inner>,
    name: ObjectName,
    /// What tells this attempt from others.
    id: String,
    buffer: Vec<u8>,
    upload: Option<Upload>,
}

/// The parts of an object, of which some are under way.
struct Upload {
    path: Path,
    id: MultipartId,
    done: Vec<Option<PartId>>,
    running: JoinSet<Result<(usize, PartId), StoreError>>,
}

/// Whose object has a name.
enum Holder {
    Nobody,
    Us,
    Another,
    /// Somebody: this host may not look who.
    Unknown,
}

impl Pending {
    pub(super) fn new(inner: Arc<Inner>, name: ObjectName) -> Self {
        Pending {
            inner,
            name,
            id: Ulid::generate().to_string(),
            buffer: Vec::new(),
            upload: None,
        }
    }

    fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::new();
        let key = Attribute::Metadata(PUT_ID.into());
        attributes.insert(key, self.id.clone().into());
        // What others may do is not known by what this machine may not.
        let is_denied = self.inner.is_denied.load(Ordering::Relaxed);
        if self.inner.is_create_only() == Some(true) && !is_denied {
            attributes.insert(Attribute::Metadata(CREATE_ONLY.into()), "yes".into());
        }
        attributes
    }

    /// Where parts are put together: with S3 under the object's name, on the condition that it is
    /// free; elsewhere that cannot be asked, so that it is copied there afterwards.
    fn assembled_at(&self) -> Path {
        match self.inner.address.service {
            Service::S3 => self.inner.path(&self.name),
            Service::Gcs | Service::Azure => self.inner.temporary(&self.id),
        }
    }

    fn part_size(&self) -> usize {
        let begun = self.upload.as_ref().map_or(0, |upload| upload.done.len());
        if begun < SMALL_PARTS {
            PART
        } else {
            LARGE_PART
        }
    }

    /// Sends what is in the buffer as the next part.
    async fn send_part(&mut self) -> Result<(), StoreError> {
        if self.upload.is_none() {
            let path = self.assembled_at();
            let options = PutMultipartOptions {
                // Azure takes none here. If the answer to the copy is lost, it looks like that of
                // another: the name is said to be taken, and nothing is said to be written.
                attributes: match self.inner.address.service {
                    Service::Azure => Attributes::new(),
                    _ => self.attributes(),
                },
                ..PutMultipartOptions::default()
            };
            let parts = &self.inner.client.parts;
            let id = parts.create_multipart_opts(&path, options).await?;
            self.upload = Some(Upload {
                path,
                id,
                done: Vec::new(),
                running: JoinSet::new(),
            });
        }
        let data = PutPayload::from(mem::take(&mut self.buffer));
        let permit = self.inner.permit(data.content_length()).await;
        let client = self.inner.client.clone();
        let Some(upload) = &mut self.upload else {
            return Ok(());
        };
        // An error is told early, and what is done makes room.
        while let Some(done) = upload.running.try_join_next() {
            upload.keep(done)?;
        }
        let place = upload.done.len();
        if place >= MAX_PARTS {
            return Err(StoreError::NotSupported {
                source: format!("an object of more than {MAX_PARTS} parts").into(),
            });
        }
        upload.done.push(None);
        let (path, id) = (upload.path.clone(), upload.id.clone());
        upload.running.spawn(async move {
            let _permit: OwnedSemaphorePermit = permit;
            let part = client.parts.put_part(&path, &id, place, data).await?;
            Ok((place, part))
        });
        Ok(())
    }

    /// Gives the object its name, which no other may have.
    async fn publish_parts(&mut self) -> Result<()> {
        if !self.buffer.is_empty() {
            let sent = self.send_part().await;
            sent.map_err(|e| self.failed(e))?;
        }
        let Some(mut upload) = self.upload.take() else {
            return Ok(());
        };
        let assembled = upload.finish().await;
        let parts = match assembled {
            Ok(parts) => parts,
            Err(error) => {
                self.abort(&upload).await;
                return Err(self.failed(error));
            }
        };
        let published = match self.inner.address.service {
            Service::S3 => self.complete(&upload, &parts).await,
            Service::Gcs | Service::Azure => self.copy_into_place(&upload, &parts).await,
        };
        if published.is_err() {
            self.abort(&upload).await;
        }
        published
    }

    /// Completes the upload under the object's name, unless that is taken.
    async fn complete(&self, upload: &Upload, parts: &[PartId]) -> Result<()> {
        let client = &self.inner.client;
        for attempt in 0.. {
            let completed = client
                .parts
                .complete_multipart(&upload.path, &upload.id, parts.to_vec())
                .await;
            let Err(error) = completed else {
                return Ok(());
            };
            if let Some(end) = self.after(error, attempt, &upload.id).await {
                return end;
            }
        }
        Ok(())
    }

    /// Completes the upload under a name of its own, and copies it to the object's name, unless
    /// that is taken.
    async fn copy_into_place(&self, upload: &Upload, parts: &[PartId]) -> Result<()> {
        let client = &self.inner.client;
        let completed = client
            .parts
            .complete_multipart(&upload.path, &upload.id, parts.to_vec())
            .await;
        completed.map_err(|e| self.failed(e))?;
        let to = self.inner.path(&self.name);
        let mut end = Ok(());
        for attempt in 0.. {
            let options = CopyOptions {
                mode: match self.inner.is_create_only() {
                    Some(false) => CopyMode::Overwrite,
                    _ => CopyMode::Create,
                },
                ..CopyOptions::default()
            };
            let copied = client.objects.copy_opts(&upload.path, &to, options).await;
            let Err(error) = copied else { break };
            if let Some(found) = self.after(error, attempt, &self.id).await {
                end = found;
                break;
            }
        }
        // What stays is listed as left over.
        let _ = object_store::ObjectStoreExt::delete(&*client.objects, &upload.path).await;
        end
    }

    /// Puts the object in one request.
    async fn put(&self) -> Result<()> {
        let path = self.inner.path(&self.name);
        let payload = PutPayload::from(self.buffer.clone());
        for attempt in 0.. {
            let options = PutOptions {
                mode: match self.inner.is_create_only() {
                    Some(false) => PutMode::Overwrite,
                    _ => PutMode::Create,
                },
                attributes: self.attributes(),
                ..PutOptions::default()
            };
            let objects = &self.inner.client.objects;
            let Err(error) = objects.put_opts(&path, payload.clone(), options).await else {
                return Ok(());
            };
            if let Some(end) = self.after(error, attempt, &self.id).await {
                return end;
            }
        }
        Ok(())
    }

    /// What an attempt that ended with `error` has come to; `None` when it is to be tried again.
    /// Answers get lost: the name may be taken by what this very attempt has written.
    /// `id` is what the wire knows the attempt by.
    async fn after(&self, error: StoreError, attempt: u32, id: &str) -> Option<Result<()>> {
        let is_final = match error {
            // Whoever may not write a name twice is told so of one that is taken.
            StoreError::PermissionDenied { .. } => self.is_listed().await != Some(true),
            StoreError::Unauthenticated { .. }
            | StoreError::NotSupported { .. }
            | StoreError::NotImplemented { .. } => true,
            _ => false,
        };
        if is_final {
            return Some(Err(self.failed(error)));
        }
        let is_taken = matches!(
            error,
            StoreError::AlreadyExists { .. }
                | StoreError::Precondition { .. }
                | StoreError::PermissionDenied { .. }
        );
        let has_lost = self.inner.wire.has_lost(id);
        match self.holder().await {
            Ok(Holder::Us) => Some(Ok(())),
            Ok(Holder::Another) => Some(Err(name_taken(&self.name))),
            // Every answer of this attempt has arrived: it was another's from the beginning.
            Ok(Holder::Unknown) | Err(_) if is_taken && !has_lost => {
                Some(Err(name_taken(&self.name)))
            }
            Ok(Holder::Unknown) => Some(Err(self.failed(error).context(format!(
                "object {} is there, and it cannot be told whether this run has written it, for an answer got lost and this host may not read",
                self.name
            )))),
            // A name that was taken a moment ago and is free again: somebody has deleted it.
            Ok(Holder::Nobody) if attempt + 1 < MAX_TRIES => {
                tokio::time::sleep(Duration::from_millis(50 << attempt)).await;
                None
            }
            Ok(Holder::Nobody) | Err(_) => Some(Err(self.failed(error))),
        }
    }

    async fn holder(&self) -> Result<Holder, StoreError> {
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        let path = self.inner.path(&self.name);
        match self.inner.client.objects.get_opts(&path, options).await {
            Ok(found) => {
                let key = Attribute::Metadata(PUT_ID.into());
                let id = found.attributes.get(&key).map(AsRef::as_ref);
                Ok(if id == Some(&*self.id) {
                    Holder::Us
                } else {
                    Holder::Another
                })
            }
            // Whoever may only write may list.
            Err(StoreError::PermissionDenied { .. }) if self.is_listed().await != Some(false) => {
                Ok(Holder::Unknown)
            }
            Err(StoreError::NotFound { .. } | StoreError::PermissionDenied { .. }) => {
                Ok(Holder::Nobody)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the object is there; `None` where that cannot be told.
    async fn is_listed(&self) -> Option<bool> {
        let name = self.name.as_str();
        let listed = self.inner.list(name, Some(1)).await;
        Some(listed.ok()?.contains_key(name))
    }

    /// Frees what the parts take. What cannot be freed is listed as left over.
    async fn abort(&self, upload: &Upload) {
        let parts = &self.inner.client.parts;
        let _ = parts.abort_multipart(&upload.path, &upload.id).await;
    }

    fn failed(&self, error: StoreError) -> Error {
        let failed = self.inner.failed_object("write", &self.name, error);
        match failed.kind() {
            // The upload is gone, or what should hold it: not the object.
            ErrorKind::NotFound => {
                Error::new(ErrorKind::Io, format!("cannot write object {}", self.name))
                    .with_source(failed)
            }
            _ => failed,
        }
    }
}

impl Upload {
    fn keep(
        &mut self,
        done: Result<Result<(usize, PartId), StoreError>, tokio::task::JoinError>,
    ) -> Result<(), StoreError> {
        let (place, part) = done.map_err(|source| StoreError::JoinError { source })??;
        if let Some(slot) = self.done.get_mut(place) {
            *slot = Some(part);
        }
        Ok(())
    }

    /// All parts, once they have arrived.
    async fn finish(&mut self) -> Result<Vec<PartId>, StoreError> {
        while let Some(done) = self.running.join_next().await {
            self.keep(done)?;
        }
        let parts = mem::take(&mut self.done).into_iter().collect::<Option<_>>();
        parts.ok_or_else(|| StoreError::NotSupported {
            source: "a part was not sent".into(),
        })
    }
}

impl Write for Pending {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        let room = self.part_size().saturating_sub(self.buffer.len());
        let taken = content.get(..room).unwrap_or(content);
        self.buffer.extend_from_slice(taken);
        if self.buffer.len() >= self.part_size() {
            self.inner.probe(false).map_err(io::Error::other)?;
            block_on(self.send_part()).map_err(|e| io::Error::other(self.failed(e)))?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl PendingObject for Pending {
    fn publish(mut self: Box<Self>) -> Result<()> {
        self.inner.probe(false)?;
        if self.inner.is_create_only() == Some(false) {
            self.expect_free()?;
        }
        if self.upload.is_some() {
            block_on(self.publish_parts())
        } else {
            block_on(self.put())
        }
    }
}

impl Pending {
    /// In a store that replaces objects: looks before it writes, which is enough where one process
    /// writes at a time.
    fn expect_free(&self) -> Result<()> {
        match block_on(self.holder()) {
            Ok(Holder::Nobody) => Ok(()),
            Ok(_) => Err(name_taken(&self.name)),
            Err(error) => Err(self.failed(error)),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            block_on(self.abort(&upload));
        }
    }
}
