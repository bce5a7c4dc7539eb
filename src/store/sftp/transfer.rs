//! Bytes of files, with many requests on their way at a time: else a line's delay would be paid for
//! each 32 KiB.

use std::collections::VecDeque;
use std::sync::Arc;

use super::failure::Failure;
use super::packet::Request;
use super::session::{Session, Ticket};

/// Bytes that one request carries: what every server must take.
pub(super) const CHUNK: usize = 32 << 10;

/// Requests for one file that are on their way at a time. With [`CHUNK`] they bound the memory of a
/// transfer, and fill the 2 MiB that OpenSSH lets be on its way.
pub(super) const WINDOW: usize = 64;

/// Most bytes that are made room for before they are there.
const ROOM: u64 = 8 << 20;

/// What an open file holds from `offset` on: `len` bytes, or less if it ends before.
pub(super) fn read(
    session: &Session,
    handle: &[u8],
    offset: u64,
    len: u64,
) -> Result<Vec<u8>, Failure> {
    let room = usize::try_from(len.min(ROOM)).unwrap_or_default();
    let mut content = Vec::with_capacity(room);
    read_to(session, handle, offset, len, &mut |data| {
        content.extend_from_slice(data);
    })?;
    Ok(content)
}

/// Passes what an open file holds from `offset` on to `sink`, in order: `len` bytes, or less if it
/// ends before.
pub(super) fn read_to(
    session: &Session,
    handle: &[u8],
    offset: u64,
    len: u64,
    sink: &mut dyn FnMut(&[u8]),
) -> Result<(), Failure> {
    let end = offset.saturating_add(len);
    let ask = |from: u64, until: u64| {
        let len = until.saturating_sub(from).min(CHUNK as u64);
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        session.send(&Request::Get(handle, from, len))
    };
    let mut next = offset;
    let mut flying: VecDeque<(u64, u64, Ticket)> = VecDeque::new();
    loop {
        while flying.len() < WINDOW && next < end {
            let until = next.saturating_add(CHUNK as u64).min(end);
            flying.push_back((next, until, ask(next, until)?));
            next = until;
        }
        let Some((mut from, until, ticket)) = flying.pop_front() else {
            return Ok(());
        };
        let mut data = ticket.data()?;
        loop {
            if data.is_empty() {
                return Ok(());
            }
            let got = data.len() as u64;
            if got > until.saturating_sub(from) {
                return Err(Failure::Garbled(
                    "more bytes than were asked for".to_owned(),
                ));
            }
            sink(&data);
            from = from.saturating_add(got);
            if from >= until {
                break;
            }
            // A server may send less than it was asked for.
            data = ask(from, until)?.data()?;
        }
    }
}

/// Bytes that were sent and of which no answer has come.
#[derive(Debug)]
struct Chunk {
    offset: u64,
    data: Vec<u8>,
    /// `None` until it is sent over the connection that there is now.
    ticket: Option<Ticket>,
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Upload {
    pub session: Arc<Session>,
    pub handle: Vec<u8>,
    flying: VecDeque<Chunk>,
    /// Bytes that were handed to [`Upload::push`].
    pub sent: u64,
    /// Connections that have written to it.
    pub connections: u32,
}

impl Upload {
    pub(super) fn new(session: Arc<Session>, handle: Vec<u8>) -> Self {
        Upload {
            session,
            handle,
            flying: VecDeque::new(),
            sent: 0,
            connections: 1,
        }
    }

    /// Bytes that the server is known to have.
    pub(super) fn arrived(&self) -> u64 {
        self.flying.front().map_or(self.sent, |chunk| chunk.offset)
    }

    /// Takes the next bytes, at most [`CHUNK`] of them, to be sent.
    pub(super) fn push(&mut self, data: Vec<u8>) {
        let offset = self.sent;
        self.sent = self.sent.saturating_add(data.len() as u64);
        self.flying.push_back(Chunk {
            offset,
            data,
            ticket: None,
        });
    }

    /// Sends what is not sent, and waits until no more than `most` chunks are on their way.
    pub(super) fn drain(&mut self, most: usize) -> Result<(), Failure> {
        for chunk in self.flying.iter_mut().filter(|it| it.ticket.is_none()) {
            let request = Request::Put(&self.handle, chunk.offset, &chunk.data);
            chunk.ticket = Some(self.session.send(&request)?);
        }
        while self.flying.len() > most {
            let Some(ticket) = self.flying.front_mut().and_then(|it| it.ticket.take()) else {
                break;
            };
            // The chunk stays until its answer is there: else it is sent again.
            ticket.done()?;
            self.flying.pop_front();
        }
        Ok(())
    }

    /// Goes on over another connection; everything of which no answer has come is sent again.
    pub(super) fn resume(&mut self, session: Arc<Session>, handle: Vec<u8>) {
        self.session = session;
        self.handle = handle;
        self.connections = self.connections.saturating_add(1);
        for chunk in &mut self.flying {
            chunk.ticket = None;
        }
    }
}
