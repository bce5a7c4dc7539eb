//! Servers that share one name: their archives take turns.

use std::collections::BTreeMap;

use super::{CheckFinding, Kind};
use crate::model::Millis;
use crate::repository::{Archive, ArchiveId, Marks, Server};

/// The archives of each server so far, by the blocks they have in common. Those of one second have
/// their order by chance in a listing: they wait until all of them are there.
#[derive(Default)]
pub(super) struct Turns {
    servers: BTreeMap<Server, Lines>,
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
    /// Whether they went on after another line had begun.
    has_resumed: bool,
}

/// The archives of one server.
#[derive(Default)]
struct Lines {
    /// The one that was last told of goes last.
    lines: Vec<Line>,
    is_found: bool,
}

impl Turns {
    /// Takes note of `archive`. The seconds in which archives were made must not decrease.
    pub(super) fn add(&mut self, archive: &Archive) {
        let marks = Marks::of_archive(archive);
        let Ok(manifest) = archive.manifest_name().and_then(|name| name.object()) else {
            return;
        };
        // What repair has made is of no server that is known.
        if marks.is_empty() || archive.is_reconstructed() {
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
            has_resumed: false,
        };
        self.waiting.push((archive.time, Server::of(archive), line));
    }

    /// What was found, once for each server: two lines of archives that both go on, in turns. One
    /// that begins anew is no finding, as a server may have lost its disk; nor is one that goes on
    /// after another, as that may have been an empty directory where a disk was not mounted.
    pub(super) fn found(mut self) -> Vec<CheckFinding> {
        self.settle();
        self.found
    }

    fn settle(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_by_key(|(time, ..)| *time);
        for (_, server, mut line) in waiting {
            let text = server.to_string();
            let known = self.servers.entry(server).or_default();
            let lines = &mut known.lines;
            let is_own = |before: &Line| before.marks.are_shared_by(&line.marks);
            let Some(own) = lines.iter().rposition(is_own) else {
                lines.push(line);
                continue;
            };
            let before = lines.remove(own);
            let has_turned = own < lines.len();
            line.has_resumed = before.has_resumed || has_turned;
            let mut others = lines.iter().rev().filter(|other| other.has_resumed);
            if let Some(other) = others.next().filter(|_| has_turned && !known.is_found) {
                let detail = format!(
                    "archives of {text} take turns: {} goes on with blocks of {}, and {} between them with others",
                    line.last.short(),
                    before.last.short(),
                    other.last.short(),
                );
                let mut finding =
                    CheckFinding::new(Kind::ServersShareName, &*line.manifest, detail);
                finding.archives = vec![before.last, other.last.clone(), line.last.clone()];
                self.found.push(finding);
                known.is_found = true;
            }
            lines.push(line);
        }
    }
}
