//! Servers that share one name: their archives take turns.

use std::collections::BTreeMap;

use super::{CheckFinding, Kind};
use crate::model::Millis;
use crate::repository::{Archive, ArchiveId, Marks, Server};

/// The archives of each server so far, by the blocks they have in common. Those of one second have
/// their order by chance in a listing: they wait until all of them are there.
#[derive(Default)]
pub(super) struct Turns {
    servers: BTreeMap<Server, Vec<Line>>,
    waiting: Vec<(Millis, Server, Line)>,
    found: Vec<CheckFinding>,
}

/// Archives that have blocks in common, each with the one before it.
struct Line {
    /// The blocks of the last of them.
    marks: Marks,
    /// The last of them, and its manifest.
    last: ArchiveId,
    manifest: String,
}

impl Turns {
    /// Takes note of `archive`. The seconds in which archives were made must not decrease.
    pub(super) fn add(&mut self, archive: &Archive) {
        let marks = Marks::of_archive(archive);
        let Ok(manifest) = archive.manifest_name().and_then(|name| name.object()) else {
            return;
        };
        if marks.is_empty() {
            return;
        }
        let second = |time: Millis| time.div_euclid(1000);
        let first = self.waiting.first();
        if first.is_some_and(|(time, ..)| second(*time) != second(archive.time)) {
            self.settle();
        }
        let line = Line {
            marks,
            last: archive.id.clone(),
            manifest: manifest.to_string(),
        };
        self.waiting.push((archive.time, Server::of(archive), line));
    }

    /// What was found: archives that go on with blocks of an earlier one, while those between the
    /// two have none of them. One that begins anew is no finding: a server may have lost its disk.
    pub(super) fn found(mut self) -> Vec<CheckFinding> {
        self.settle();
        self.found
    }

    fn settle(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_by_key(|(time, ..)| *time);
        for (_, server, line) in waiting {
            let lines = self.servers.entry(server.clone()).or_default();
            let is_own = |before: &Line| before.marks.are_shared_by(&line.marks);
            let Some(own) = lines.iter().rposition(is_own) else {
                lines.push(line);
                continue;
            };
            let before = lines.remove(own);
            if let Some(between) = lines.get(own..).and_then(<[Line]>::last) {
                let (short, then) = (line.last.short(), before.last.short());
                let detail = format!(
                    "archive {short} of {server} has blocks of archive {then}, and archive {} between them has none of either",
                    between.last.short(),
                );
                let mut finding =
                    CheckFinding::new(Kind::ServersShareName, &*line.manifest, detail);
                finding.archives = vec![before.last, between.last.clone(), line.last.clone()];
                self.found.push(finding);
            }
            lines.push(line);
        }
    }
}
