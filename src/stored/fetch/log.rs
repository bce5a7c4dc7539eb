//! Logs: from their own objects, or from the beginnings of those of other archives.

use std::collections::{BTreeMap, BTreeSet};

use super::joined::{Joiner, parts_by_name};
use super::proof::Proof;
use super::{Fetch, Fetched, Sink, damage};
use crate::error::Result;
use crate::repository::copies::{Copies, Place, Redirected, Trust};
use crate::repository::portable::Visitor as _;
use crate::repository::{FilePath, Hasher, LogPart, LogPiece, StoredFile, StoredWal};
use crate::store::ObjectName;

/// Brings the files of `wal` into `sink`: from its own objects, or from the logs of other archives
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
    let mut found = Found::default();
    fetch.take_log(wal, true, &mut found, sink)?;
    let Some(source) = kin_of.filter(|_| !fetch.is_complete()) else {
        return Ok(fetch.done());
    };
    let archives = copies.archives().iter();
    let archives = archives.filter(|archive| archive.source_name == source);
    let logs: Vec<_> = archives
        .filter_map(|archive| archive.wal.as_ref())
        .collect();
    let own = logs.iter().position(|other| is_same(other, wal));
    let own = own.unwrap_or(logs.len());
    let mut numbered: Vec<_> = logs.into_iter().enumerate().collect();
    // Later ones before earlier ones.
    numbered.sort_by_key(|(number, _)| (number.abs_diff(own), *number < own));
    let others = numbered.into_iter().map(|(_, other)| other);
    for other in others.filter(|other| !is_same(other, wal)).take(MAX_LOGS) {
        if fetch.is_complete() {
            break;
        }
        fetch.take_log(other, false, &mut found, sink)?;
    }
    Ok(fetch.done())
}

/// Most logs of other archives that are read for one.
const MAX_LOGS: usize = 64;

fn is_same(one: &StoredWal, other: &StoredWal) -> bool {
    let names = |wal: &StoredWal| -> Vec<ObjectName> {
        wal.objects().map(|object| object.name.clone()).collect()
    };
    names(one) == names(other)
}

/// Where objects of logs can be read, as far as that was looked for.
#[derive(Default)]
struct Found {
    /// The places of each object, the best first.
    places: BTreeMap<ObjectName, Vec<Place>>,
    /// Parts that no place gives: nothing that needs them is tried again.
    hopeless: BTreeSet<(ObjectName, FilePath, u64)>,
}

impl Fetch<'_> {
    /// Takes the files of `log` that begin as those that are wanted do, as far as these go.
    fn take_log(
        &mut self,
        log: &StoredWal,
        is_own: bool,
        found: &mut Found,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let pieces = log.pieces();
        let mut joiner = Joiner::of_damaged();
        let parts = parts_by_name(&pieces);
        let wanted: Vec<&StoredFile> = self.wanted.values().copied().collect();
        for file in wanted {
            let own = parts.get(&file.name).map_or(&[][..], |own| &own[..]);
            let is_long = own.last().is_some_and(|(_, part)| part.end() >= file.bytes);
            if is_long && !self.done.contains(&file.name) && sink.takes(&file.name) {
                let own = own.iter().copied();
                let own = own.filter(|(_, part)| part.from < file.bytes || part.bytes == 0);
                self.take_joined(
                    &own.collect::<Vec<_>>(),
                    file,
                    is_own,
                    found,
                    &mut joiner,
                    sink,
                )?;
            }
        }
        Ok(())
    }

    /// Takes `file` from `parts`, each from the first place that gives it.
    fn take_joined(
        &mut self,
        parts: &[(&LogPiece, &LogPart)],
        file: &StoredFile,
        is_own: bool,
        found: &mut Found,
        joiner: &mut Joiner,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let key = |piece: &LogPiece, from| (piece.object.name.clone(), file.name.clone(), from);
        if parts
            .iter()
            .any(|(piece, part)| found.hopeless.contains(&key(piece, part.from)))
        {
            return Ok(());
        }
        // The place of each part that is tried next.
        let mut next = vec![0usize; parts.len()];
        loop {
            let mut failed = None;
            let mut used = Vec::new();
            let mut hasher = Hasher::default();
            let mut proof = Proof::new(&self.wanted, &self.done, sink);
            proof.begin(&file.name, file.bytes)?;
            for (number, ((piece, part), place)) in parts.iter().zip(&next).enumerate() {
                let places = found
                    .places
                    .entry(piece.object.name.clone())
                    .or_insert_with(|| self.copies.places(&piece.object));
                let Some(place) = places.get(*place).cloned() else {
                    failed = Some((number, None, damage(&piece.object, self.copies)));
                    break;
                };
                let mut store = Redirected::new(self.copies.store());
                store.redirect(&piece.object.name, place.clone());
                let mut take = |bytes: &[u8]| {
                    hasher.update(bytes);
                    proof.data(bytes)
                };
                if let Err(error) =
                    joiner.pass((&store, &place.name), piece, part, file.bytes, &mut take)
                {
                    failed = Some((number, Some(place), error));
                    break;
                }
                used.push(place);
            }
            if failed.is_none()
                && let Err(error) = proof.end(&file.name, hasher.finish())
            {
                // Of a part that is not taken whole nothing else tells that it is another one.
                failed = Some((parts.len().saturating_sub(1), used.last().cloned(), error));
            }
            let proved = proof.finish();
            let Some((number, place, error)) = failed else {
                self.done.extend(proved?);
                for place in used {
                    let place_name = place.to_string();
                    let is_told = is_own && place.trust == Trust::Sound;
                    if !is_told && !self.from.contains(&place_name) {
                        self.from.push(place_name);
                    }
                }
                return Ok(());
            };
            if sink.has_failed() {
                return Err(error);
            }
            proved?;
            let Some(((piece, part), tried)) = parts.get(number).zip(next.get_mut(number)) else {
                self.fail(error);
                return Ok(());
            };
            match place {
                Some(place) => self.fail_place(&place, error),
                None if *tried == 0 => self.fail(error),
                None => {}
            }
            *tried += 1;
            let places = found.places.get(&piece.object.name);
            if places.is_none_or(|places| places.len() <= *tried) {
                found.hopeless.insert(key(piece, part.from));
                return Ok(());
            }
        }
    }
}
