//! What is asked of a store over a network: counted for reports and bills, and limited.

/// Requests to a store and bytes of their bodies. Repeated requests count each time: they are
/// billed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficCounts {
    /// Requests that write: `PUT`, `POST`.
    pub writes: u64,
    /// Requests that list.
    pub lists: u64,
    /// Other requests that read: `GET`, `HEAD`.
    pub reads: u64,
    /// Requests that delete.
    pub deletes: u64,
    /// Bytes of the bodies of requests.
    pub sent_bytes: u64,
    /// Bytes of the bodies of answers.
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
