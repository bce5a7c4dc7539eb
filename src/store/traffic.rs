//! What is asked of a store over a network: counted for reports and bills, and limited.

#[cfg(feature = "remote")]
use std::sync::atomic::{AtomicU64, Ordering};

/// Requests to a store and bytes of their bodies. Repeated requests count each time: they are
/// billed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficCounts {
    /// Requests that write: `PUT`, `POST`; over SFTP whatever changes something.
    pub writes: u64,
    /// Requests that list.
    pub lists: u64,
    /// Other requests that read: `GET`, `HEAD`; over SFTP opening, looking and closing, too.
    pub reads: u64,
    /// Requests that delete.
    pub deletes: u64,
    /// Bytes of the bodies of requests; over SFTP of packets.
    pub sent_bytes: u64,
    /// Bytes of the bodies of answers; over SFTP of packets.
    pub received_bytes: u64,
}

impl TrafficCounts {
    /// Requests of all kinds.
    pub fn requests(&self) -> u64 {
        [self.writes, self.lists, self.reads, self.deletes]
            .into_iter()
            .fold(0, u64::saturating_add)
    }
}

/// What a request to a store does.
#[cfg(feature = "remote")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Write,
    List,
    Read,
    Delete,
}

/// Counts requests and bytes of a process to one store.
#[cfg(feature = "remote")]
#[derive(Debug, Default)]
pub struct Traffic {
    writes: AtomicU64,
    lists: AtomicU64,
    reads: AtomicU64,
    deletes: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

#[cfg(feature = "remote")]
impl Traffic {
    /// What has been counted so far.
    pub fn counts(&self) -> TrafficCounts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        TrafficCounts {
            writes: of(&self.writes),
            lists: of(&self.lists),
            reads: of(&self.reads),
            deletes: of(&self.deletes),
            sent_bytes: of(&self.sent),
            received_bytes: of(&self.received),
        }
    }

    /// Counts a request whose body has `sent` bytes.
    pub(super) fn request(&self, deed: Deed, sent: u64) {
        let kind = match deed {
            Deed::Write => &self.writes,
            Deed::List => &self.lists,
            Deed::Read => &self.reads,
            Deed::Delete => &self.deletes,
        };
        kind.fetch_add(1, Ordering::Relaxed);
        self.sent.fetch_add(sent, Ordering::Relaxed);
    }

    /// Counts bytes of the body of an answer.
    pub(super) fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// How much of the network and of a store one process may use; no limit where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Bytes a second that are sent.
    pub upload: Option<u64>,
    /// Bytes a second that are received.
    pub download: Option<u64>,
    /// Requests a second.
    pub requests: Option<u64>,
}
