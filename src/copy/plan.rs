//! What has to be done for each archive, before anything is.

use std::collections::BTreeSet;

use super::choose::{Chosen, CopyChoice};
use super::convert::{InCodec, Lost};
use super::manifest::unknown_member;
use super::problem::{CopyProblem, CopyProblemKind};
use super::report::{CopiedArchive, CopyOptions, CopyReport, Fate};
use super::same::{is_same, is_same_bytes};
use super::shelf::{Known, Shelf};
use crate::error::{ErrorKind, Result};
use crate::model::{Millis, Ulid};
use crate::progress::Progress;
use crate::repository::claim::NO_FILE;
use crate::repository::{
    Archive, Damaged, Digest, ManifestCache, Repository, StoredBlock, StoredObject, StoredWal,
    is_data,
};
use crate::store::ObjectName;

/// What is remembered of the manifests of `repository`.
pub(super) fn cache_of(repository: &Repository, options: &CopyOptions) -> ManifestCache {
    let dir = options.cache.as_ref();
    let cache = dir.map(|dir| ManifestCache::new(dir, &repository.local_id()));
    cache.unwrap_or_default()
}

/// How an archive stands to the repository copied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    New,
    /// It is there, and lacks objects.
    Incomplete,
    Present,
    LeftOut,
}

/// An archive that is meant, and what has to be brought for it.
pub(super) struct Planned {
    pub(super) archive: Archive,
    pub(super) way: Way,
    /// Objects that are not known to be there, nor needed by an archive before.
    pub(super) needs: Vec<(StoredObject, Known)>,
    /// Blocks that are not to be named by the objects that they have where it is copied from.
    pub(super) apart: BTreeSet<Ulid>,
    /// What it has lost of blocks that are in other objects there.
    pub(super) lost: Vec<Lost>,
    /// Number of blocks that are to be stored anew for it, and the size of their files.
    pub(super) converts: (u64, u64),
    /// Number and size of objects that were made for it.
    pub(super) made: (u64, u64),
    pub(super) reason: Option<String>,
}

impl Planned {
    /// Number and size of what is brought for it, and is not waiting to be proved.
    pub(super) fn to_bring(&self) -> (u64, u64) {
        let needs = self.needs.iter();
        let needs = needs.filter(|(_, known)| *known != Known::Unproven);
        needs.fold((0, 0), |(count, bytes), (object, _)| {
            (count + 1, bytes.saturating_add(object.bytes))
        })
    }

    /// What is reported of it.
    pub(super) fn told(self, fate: Fate) -> CopiedArchive {
        let (objects, bytes) = self.to_bring();
        let (objects, bytes) = (objects + self.made.0, bytes.saturating_add(self.made.1));
        CopiedArchive {
            fate,
            id: self.archive.id,
            time: self.archive.time,
            host: self.archive.host,
            source_name: self.archive.source_name,
            objects,
            bytes,
            reason: self.reason,
        }
    }
}

/// All archives that are meant.
pub(super) struct Plan {
    pub(super) archives: Vec<Planned>,
}

impl Plan {
    pub(super) fn of(
        from: &Repository,
        shelf: &Shelf,
        choice: &CopyChoice,
        options: &CopyOptions,
        now: Millis,
        progress: &dyn Progress,
    ) -> Result<(Self, Vec<CopyProblem>)> {
        let all = cache_of(from, options).archives(from)?;
        let has: Vec<_> = shelf.archives.iter().collect();
        let Chosen {
            archives,
            damaged,
            remarks,
        } = choice.of(from, all, &has, now)?;
        for remark in remarks {
            progress.remark(&remark);
        }
        let unread = |damaged: &Damaged| {
            let detail = format!("{}; its archive is not copied", damaged.error.chain());
            CopyProblemKind::ManifestUnread.at(damaged.name.as_str(), detail)
        };
        let mut problems: Vec<_> = damaged.iter().map(unread).collect();
        if choice.ids.is_empty() {
            let unseen = from.unseen()?.into_iter();
            problems.extend(unseen.map(|name| {
                let detail = format!("{name}: {NO_FILE}");
                CopyProblemKind::ManifestUnread.at(name, detail)
            }));
        }
        let mut plan = Plan {
            archives: Vec::new(),
        };
        let mut plans = Planning {
            from,
            shelf,
            seen: BTreeSet::new(),
            in_codec: options.codec.map(|codec| InCodec::of(shelf, codec)),
        };
        for archive in archives {
            let planned = plans.one(archive)?;
            problems.extend(planned.1);
            plan.archives.push(planned.0);
        }
        Ok((plan, problems))
    }

    /// Refuses, before anything is sent to `to`, what this machine cannot sign there.
    ///
    /// # Errors
    ///
    /// `Refused`.
    pub(super) fn refuse_unheard(&self, to: &Repository) -> Result<()> {
        let new = self.archives.iter().filter(|it| it.way == Way::New);
        let sources: BTreeSet<_> = new.map(|it| &it.archive.source_name).collect();
        sources
            .into_iter()
            .try_for_each(|source| to.refuse_unheard(source))
    }

    /// The size of all that is to be brought, and of the files of what is to be stored anew, in
    /// bytes.
    pub(super) fn bytes(&self) -> u64 {
        let planned = self.archives.iter();
        let sizes = planned.flat_map(|planned| [planned.to_bring().1, planned.converts.1]);
        sizes.fold(0, u64::saturating_add)
    }
}

/// Says what [`copy`](super::copy) would do, and reads and writes no object. Without a repository
/// to copy to nothing is there.
///
/// # Errors
///
/// As [`copy`](super::copy).
pub fn preview(
    from: &Repository,
    to: Option<&Repository>,
    choice: &CopyChoice,
    options: &CopyOptions,
    now: Millis,
    progress: &dyn Progress,
) -> Result<CopyReport> {
    let shelf = match to {
        Some(to) => Shelf::look(to, &cache_of(to, options))?,
        None => Shelf::default(),
    };
    let (plan, problems) = Plan::of(from, &shelf, choice, options, now, progress)?;
    if let Some(to) = to {
        plan.refuse_unheard(to)?;
    }
    let mut report = CopyReport {
        problems,
        ..CopyReport::default()
    };
    for planned in plan.archives {
        let (count, bytes) = planned.to_bring();
        report.objects += count;
        report.bytes = report.bytes.saturating_add(bytes);
        let (count, bytes) = planned.converts;
        report.converted_blocks += count;
        report.converted_bytes = report.converted_bytes.saturating_add(bytes);
        let fate = match planned.way {
            Way::New | Way::Incomplete => Fate::Planned,
            Way::Present => Fate::Present,
            Way::LeftOut => Fate::LeftOut,
        };
        report.archives.push(planned.told(fate));
    }
    Ok(report)
}

/// What is planned, archive by archive.
struct Planning<'a> {
    from: &'a Repository,
    shelf: &'a Shelf,
    /// Objects that archives before need.
    seen: BTreeSet<(ObjectName, Digest)>,
    /// Blocks that are there in the codec that is wanted, or will be.
    in_codec: Option<InCodec>,
}

impl Planning<'_> {
    /// What has to be done for `archive`, and why it cannot be.
    fn one(&mut self, archive: Archive) -> Result<(Planned, Option<CopyProblem>)> {
        let shelf = self.shelf;
        let problem = obstacle(self.from, shelf, &archive)?;
        let mut planned = Planned {
            needs: Vec::new(),
            apart: BTreeSet::new(),
            lost: Vec::new(),
            converts: (0, 0),
            made: (0, 0),
            reason: problem.as_ref().map(|problem| problem.detail.clone()),
            way: Way::LeftOut,
            archive,
        };
        match (&problem, shelf.archive(&planned.archive.id)) {
            (Some(_), _) => {}
            (None, None) => {
                planned.way = Way::New;
                self.blocks(&mut planned);
            }
            (None, Some(there)) => {
                let lacks = shelf.lacks(there);
                planned.way = if lacks.is_empty() {
                    Way::Present
                } else {
                    Way::Incomplete
                };
                self.lacking(&mut planned, there, &lacks);
            }
        }
        Ok((planned, problem))
    }

    /// Plans the blocks and the logs of a new archive.
    fn blocks(&mut self, planned: &mut Planned) {
        let Planned { archive, apart, .. } = &mut *planned;
        let mut needs = Vec::new();
        let mut anew: Vec<&StoredBlock> = Vec::new();
        for block in &archive.blocks {
            let Some(in_codec) = &mut self.in_codec else {
                needs.extend(block.objects());
                continue;
            };
            if in_codec.is_as_it_is(block) {
                needs.extend(block.objects());
            } else {
                apart.insert(block.ulid);
                if in_codec.base(block).is_none() {
                    anew.push(block);
                }
            }
            if in_codec.same(block).is_none() {
                in_codec.add(block.clone());
            }
        }
        needs.extend(archive.wal.iter().flat_map(StoredWal::objects));
        let sizes = anew.iter().map(|block| block.bytes());
        let converts = (anew.len() as u64, sizes.fold(0, u64::saturating_add));
        planned.needs = self.new_among(needs);
        planned.converts = converts;
    }

    /// Plans what an archive that is `there` lacks: it is brought where the same objects hold it,
    /// and stored anew else.
    fn lacking(&mut self, planned: &mut Planned, there: &Archive, lacks: &[&StoredObject]) {
        let Planned { archive, .. } = &*planned;
        let is_named = |lacking: &StoredObject| {
            let mut objects = archive.objects();
            objects.any(|(_, own)| own.name == lacking.name && is_same_bytes(own, lacking))
        };
        let (named, others): (Vec<&StoredObject>, Vec<_>) =
            lacks.iter().copied().partition(|it| is_named(it));
        let mut lost = Vec::new();
        for (there, block) in there.blocks.iter().zip(&archive.blocks) {
            let objects = there.objects().filter(|it| others.contains(it));
            let objects: BTreeSet<_> = objects.map(|object| object.name.clone()).collect();
            if !objects.is_empty() {
                lost.push(Lost {
                    there: there.clone(),
                    block: block.clone(),
                    objects,
                });
            }
        }
        let sizes = lost.iter().map(|lost| lost.block.bytes());
        planned.converts = (lost.len() as u64, sizes.fold(0, u64::saturating_add));
        planned.needs = self.new_among(named);
        planned.lost = lost;
    }

    /// Those of `objects` that are not known to be there, nor needed by an archive before.
    fn new_among(&mut self, objects: Vec<&StoredObject>) -> Vec<(StoredObject, Known)> {
        let needs = objects.into_iter().filter_map(|object| {
            let known = self.shelf.know(object);
            let is_new =
                known != Known::There && self.seen.insert((object.name.clone(), object.sha256));
            is_new.then(|| (object.clone(), known))
        });
        needs.collect()
    }
}

/// Why `archive` cannot be copied.
fn obstacle(from: &Repository, shelf: &Shelf, archive: &Archive) -> Result<Option<CopyProblem>> {
    let short = archive.id.short();
    let name = archive.manifest_name()?.object()?;
    let odd = archive.objects().find(|(_, object)| !is_data(&object.name));
    if let Some((_, odd)) = odd {
        let detail = format!(
            "archive {short} is not copied: expected names of objects with data, found {}",
            odd.name
        );
        return Ok(Some(
            CopyProblemKind::ManifestUnread.at(name.as_str(), detail),
        ));
    }
    if let Some(there) = shelf.archive(&archive.id) {
        return Ok((!is_same(archive, there)).then(|| {
            let detail = format!(
                "archive {short} is not copied: there is another one of this id, of {:?} on {:?}",
                there.source_name, there.host
            );
            CopyProblemKind::ArchiveDiffers.at(name.as_str(), detail)
        }));
    }
    if shelf.is_closed(&name) {
        let detail = format!(
            "archive {short} is not copied: the repository copied to has a manifest of its name, which this machine cannot read: give --identity"
        );
        return Ok(Some(
            CopyProblemKind::ManifestTaken.at(name.as_str(), detail),
        ));
    }
    if let Some(taken) = shelf.damaged.iter().find(|damaged| damaged.name == name) {
        let is = match taken.error.kind() {
            ErrorKind::Locked => "opens with none of the identities that were given",
            ErrorKind::Refused => "counts for nothing",
            ErrorKind::Io => "cannot be read",
            _ => "is damaged",
        };
        let detail = format!(
            "archive {short} is not copied: what has the name of its manifest in the repository copied to {is}: {}",
            taken.error.chain()
        );
        return Ok(Some(
            CopyProblemKind::ManifestTaken.at(name.as_str(), detail),
        ));
    }
    let lost = match unknown_member(from, archive) {
        // It is not any more what this machine remembers of it.
        Err(error) if error.kind() != ErrorKind::Io => {
            let detail = format!("archive {short} is not copied: {}", error.chain());
            return Ok(Some(
                CopyProblemKind::ManifestUnread.at(name.as_str(), detail),
            ));
        }
        lost => lost?,
    };
    Ok(lost.map(|member| {
        let detail = format!(
            "archive {short} is not copied: its manifest has the member {member:?}, which this narthex would lose"
        );
        CopyProblemKind::ManifestNewer.at(name.as_str(), detail)
    }))
}
