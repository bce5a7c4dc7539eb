//! Which server a directory belongs to, by its blocks and by where it lies.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;

use super::hooks::NoHooks;
use super::survey::{BlockSurvey, Survey, survey};
use super::{BackupProblem, ProblemKind, Source};
use crate::block::{DataDir, DirKind, Meta};
use crate::error::{Error, Result};
use crate::model::{Millis, Ulid};
use crate::raw::Links;
use crate::repository::{Archive, Marks, Repository, Server, StoredBlock};

/// A source, and whose it was taken for.
#[derive(Clone, Debug)]
pub struct Recognised {
    /// What is to be backed up.
    pub source: Source,
    /// The server whose blocks it shares, where only that says which one it is of.
    pub by_blocks: Option<Server>,
}

/// The source `dir`, whose host and name are those given, else those of the server it belongs to.
///
/// A data directory is its own server's. A Prometheus snapshot belongs to the server in whose data
/// directory it lies; if that has not been archived, or the snapshot lies somewhere else, to the
/// one whose blocks it shares. `machine` is the host of what no archive tells of.
///
/// # Errors
///
/// When there is no such directory, or it holds nothing to back up; `Refused` when a snapshot
/// shares blocks with several servers.
pub fn recognise(
    dir: &Path,
    host: Option<&str>,
    name: Option<&str>,
    machine: String,
    repository: Option<&Repository>,
) -> Result<Recognised> {
    let own_host = host.map_or(machine, str::to_owned);
    let local = Source::new(dir, own_host, name.map(str::to_owned))?;
    let is_snapshot = DataDir::scan(&local.dir)?.place() == DirKind::PrometheusSnapshot;
    let unknown = |source| Recognised {
        source,
        by_blocks: None,
    };
    let Some(repository) = repository.filter(|_| is_snapshot && name.is_none()) else {
        return Ok(unknown(local));
    };
    let archives = repository.archives()?.archives;
    let own = Server {
        host: local.host.clone(),
        source_name: local.name.clone(),
    };
    if archives.iter().any(|archive| Server::of(archive) == own) {
        return Ok(unknown(local));
    }
    let here =
        marks_of_blocks(&survey(&local.dir, &BTreeSet::new(), Links::Refused, &NoHooks)?.blocks);
    let relatives = archives
        .iter()
        .filter(|archive| host.is_none_or(|host| host == archive.host))
        .filter(|archive| Marks::of_archive(archive).are_shared_by(&here));
    let servers: BTreeSet<Server> = relatives.map(Server::of).collect();
    let mut left = servers.iter();
    match (left.next(), left.next()) {
        (None, _) => Ok(unknown(local)),
        (Some(server), None) => Ok(Recognised {
            source: Source {
                dir: local.dir,
                host: server.host.clone(),
                name: server.source_name.clone(),
            },
            by_blocks: Some(server.clone()),
        }),
        (Some(_), Some(_)) => {
            let named: Vec<_> = servers.iter().map(ToString::to_string).collect();
            Err(Error::refused(format!(
                "the Prometheus snapshot {} shares blocks with several servers: {}; say with --source (and --host) of which one it is",
                local.dir.display(),
                named.join(", ")
            )))
        }
    }
}

/// The directory that gives the source `dir` its name: for `DATA/snapshots/<stamp>-<hex>`, which is
/// another one every night, `DATA`.
pub(super) fn home(dir: &Path) -> &Path {
    let name = dir.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let above = dir
        .parent()
        .filter(|parent| parent.file_name() == Some(OsStr::new("snapshots")));
    match above.and_then(Path::parent) {
        Some(data) if is_snapshot_name(name) => data,
        _ => dir,
    }
}

/// Whether the admin API calls Prometheus snapshots like this: `20260921T000000Z-1111111111111111`.
fn is_snapshot_name(name: &str) -> bool {
    let Some((stamp, random)) = name.split_once('-') else {
        return false;
    };
    let is_stamp = stamp.len() == 16
        && stamp.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    is_stamp && !random.is_empty() && random.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn marks_of_blocks(blocks: &[BlockSurvey]) -> Marks {
    let mut marks = Marks::default();
    for block in blocks {
        let sources = block.meta.iter().flat_map(|meta| &meta.compaction.sources);
        marks.add(block.ulid(), sources.copied().chain(block.parents()));
        let has_series = |meta: &Meta| meta.stats.num_series > 0;
        if block.meta.as_ref().is_some_and(has_series) {
            marks.fingerprints.insert(block.fingerprint.clone());
        }
    }
    marks
}

/// Refuses, unless `force` is set, what must be another server than `newest` was made of. An older
/// archive of the source knows blocks that have been rewritten or compacted since: it is asked
/// where `newest` does not know this one.
pub(super) fn refuse_other_server(
    source: &Source,
    repository: &Repository,
    force: bool,
    newest: Option<&Archive>,
    here: &Survey,
) -> Result<()> {
    // A snapshot in a data directory is of that server, however much of the head it has under new
    // names.
    let lies_within = |newest: &Archive| {
        let (data, before) = (home(&source.dir), Path::new(&newest.source));
        data == home(before) && before != source.dir
    };
    match newest {
        Some(newest)
            if !force
                && !lies_within(newest)
                && is_other_server(newest, here)
                && !was_rewritten(source, newest, here)
                && !was_known(source, repository, here)? =>
        {
            Err(Error::refused(format!(
                "archive {} of source {:?} and {} cover the same time and have no block in common, and no older archive knows its blocks: give \
                 this server a name of its own with --source NAME, or use --force, once, if it is the same one and its blocks were rewritten since",
                newest.id.short(),
                source.name,
                source.dir.display(),
            )))
        }
        _ => Ok(()),
    }
}

/// What is to be said, unless `force` is set, where nothing tells that the blocks here are of the
/// server that `newest` was made of: no archive of the source knows one of them, and they lie in
/// another directory. Both may be of one server that was away for long.
pub(super) fn doubt_server(
    source: &Source,
    repository: &Repository,
    force: bool,
    newest: Option<&Archive>,
    here: &Survey,
) -> Result<Option<BackupProblem>> {
    let Some(newest) = newest.filter(|newest| !force && !newest.blocks.is_empty()) else {
        return Ok(None);
    };
    let before = Path::new(&newest.source);
    if here.blocks.is_empty()
        // Servers of one name on two machines are two.
        || newest.host != source.host
        || home(before) == home(&source.dir)
        || Marks::of_archive(newest).are_shared_by(&marks_of(here))
        || was_known(source, repository, here)?
    {
        return Ok(None);
    }
    let detail = format!(
        "archive {} of source {:?} was made of {}, and no archive of that source knows a block of {}: if this is another server, give it a name of its own \
         with --source NAME, and forget this archive; if it is the same one, back it up by a path that stays the same, or use --force",
        newest.id.short(),
        source.name,
        before.display(),
        source.dir.display(),
    );
    Ok(Some(ProblemKind::ServerDoubtful.at("", detail)))
}

/// Whether any archive of `source` knows a block that is here.
fn was_known(source: &Source, repository: &Repository, here: &Survey) -> Result<bool> {
    let marks = marks_of(here);
    let filter = source.filter();
    let archives = repository.archives()?.archives;
    let mut own = archives.iter().filter(|archive| filter.matches(archive));
    Ok(own.any(|archive| Marks::of_archive(archive).are_shared_by(&marks)))
}

/// What the blocks here are known by.
fn marks_of(here: &Survey) -> Marks {
    let mut marks = marks_of_blocks(&here.blocks);
    if !here.is_snapshot {
        // Only snapshots have blocks of a server under other names; a data directory with such
        // blocks is made from a copy.
        marks.fingerprints.clear();
    }
    marks
}

/// Whether the blocks here must belong to another server than the one `newest` was made of: both
/// cover some of the same time, and yet neither knows a block of the other.
fn is_other_server(newest: &Archive, here: &Survey) -> bool {
    let ranges = || here.blocks.iter().filter_map(range);
    let overlaps = newest.blocks.iter().any(|stored: &StoredBlock| {
        ranges().any(|(since, until)| since < stored.max_time && stored.min_time < until)
    });
    overlaps && !Marks::of_archive(newest).are_shared_by(&marks_of(here))
}

/// Whether what is here was made of the blocks of `newest`, an archive of this directory, more than
/// once since, so that what was in between is in no archive: `clean_tombstones` keeps the range of
/// each block, and compactions that of all together.
fn was_rewritten(source: &Source, newest: &Archive, here: &Survey) -> bool {
    if newest.host != source.host || Path::new(&newest.source) != source.dir {
        return false;
    }
    let begins: BTreeSet<Millis> = newest.blocks.iter().map(|known| known.min_time).collect();
    let ends: BTreeSet<Millis> = newest.blocks.iter().map(|known| known.max_time).collect();
    let end = ends.last().copied().unwrap_or(Millis::MIN);
    let metas = here.blocks.iter().filter_map(|block| block.meta.as_ref());
    // Late samples make new blocks of old times.
    let mut made = metas
        .filter(|meta| meta.is_in_order() && meta.min_time < end)
        .peekable();
    made.peek().is_some()
        && made.all(|meta| {
            let parents = meta.compaction.parents.iter();
            let mut parents = parents.filter(|parent| parent.ulid != Ulid::ZERO);
            parents
                .any(|parent| begins.contains(&parent.min_time) && ends.contains(&parent.max_time))
        })
}

fn range(block: &BlockSurvey) -> Option<(Millis, Millis)> {
    let meta = block.meta.as_ref()?;
    Some((meta.min_time, meta.max_time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_named_by_the_data_directory_it_lies_in() {
        for (dir, named_by) in [
            ("/data/snapshots/20260921T000000Z-1111111111111111", "/data"),
            ("/data/snapshots/20260921T000000Z-0a", "/data"),
            ("/data/snapshots/mine", "/data/snapshots/mine"),
            (
                "/data/snapshots/20260921T000000Z-xy",
                "/data/snapshots/20260921T000000Z-xy",
            ),
            ("/data/20260921T000000Z-11", "/data/20260921T000000Z-11"),
            ("/data", "/data"),
            ("/", "/"),
        ] {
            assert_eq!(home(Path::new(dir)), Path::new(named_by), "{dir}");
        }
    }
}
