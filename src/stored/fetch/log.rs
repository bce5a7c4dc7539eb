//! Logs: from their own object, or from the beginnings of those of other archives.

use std::collections::BTreeSet;

use super::proof::Proof;
use super::{Fetch, Fetched, Sink};
use crate::error::Result;
use crate::repository::copies::{Copies, Redirected};
use crate::repository::portable::{Object, Root};
use crate::repository::{StoredFile, StoredWal};

/// Brings the files of `wal` into `sink`: from its own object, or from the logs of other archives
/// of the source `kin_of`, the nearest in time first. A log only grows, so a later one holds what
/// an earlier one had.
///
/// # Errors
///
/// When the sink fails.
pub fn fetch_wal(
    copies: &Copies,
    wal: &StoredWal,
    kin_of: Option<&str>,
    sink: &mut dyn Sink,
) -> Result<Fetched> {
    let mut fetch = Fetch::new(copies, &wal.files);
    let files: Vec<_> = wal.files.iter().collect();
    fetch.take_object(&wal.object, Root::Data, &files, true, sink)?;
    let Some(source) = kin_of.filter(|_| !fetch.is_complete()) else {
        return Ok(fetch.done());
    };
    let archives = copies.archives().iter();
    let archives = archives.filter(|archive| archive.source_name == source);
    let mut logs: Vec<_> = archives
        .filter_map(|archive| archive.wal.as_ref())
        .collect();
    let own = logs
        .iter()
        .position(|other| other.object.name == wal.object.name);
    let own = own.unwrap_or(logs.len());
    let mut numbered: Vec<_> = logs.drain(..).enumerate().collect();
    // Later ones before earlier ones.
    numbered.sort_by_key(|(number, _)| (number.abs_diff(own), *number < own));
    let mut seen = BTreeSet::from([&wal.object.name]);
    let others = numbered.into_iter().map(|(_, other)| other);
    for other in others
        .filter(|other| seen.insert(&other.object.name))
        .take(MAX_LOGS)
    {
        if fetch.is_complete() {
            break;
        }
        fetch.take_beginnings(other, sink)?;
    }
    Ok(fetch.done())
}

/// Most logs of other archives that are read for one.
const MAX_LOGS: usize = 64;

impl Fetch<'_> {
    /// Takes the files of `log` that begin as those that are wanted do, as far as these go.
    fn take_beginnings(&mut self, log: &StoredWal, sink: &mut dyn Sink) -> Result<()> {
        let begins = |file: &&StoredFile| {
            let wanted = self.wanted.get(&file.name);
            let is_long = wanted.is_some_and(|wanted| wanted.bytes <= file.bytes);
            is_long && !self.done.contains(&file.name)
        };
        if !log.files.iter().any(|file| begins(&file)) {
            return Ok(());
        }
        let files: Vec<&StoredFile> = log.files.iter().collect();
        for place in self.copies.places(&log.object) {
            let mut store = Redirected::new(self.copies.store());
            store.redirect(&log.object.name, place.clone());
            let Ok(mut opened) = Object::open_damaged(&store, &log.object.name, Root::Data) else {
                continue;
            };
            let before = self.done.len();
            for mut entry in opened.likely_entries(&files).0 {
                let wanted = self.wanted.get(&entry.name);
                let Some(wanted) = wanted.filter(|wanted| wanted.bytes <= entry.bytes) else {
                    continue;
                };
                entry.bytes = wanted.bytes;
                let mut proof = Proof::new(&self.wanted, &self.done, sink);
                let passed = opened.pass_on(&entry, &mut proof);
                let proved = proof.finish();
                if sink.has_failed() {
                    return passed;
                }
                self.done.extend(proved?);
            }
            if self.done.len() > before {
                self.from.push(place.to_string());
            }
        }
        Ok(())
    }
}
