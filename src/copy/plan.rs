//! What has to be done for each archive, before anything is.

use std::collections::BTreeSet;

use super::choose::{Chosen, CopyChoice};
use super::manifest::{is_same, unknown_member};
use super::problem::{CopyProblem, CopyProblemKind};
use super::report::{CopiedArchive, CopyOptions, Fate};
use super::shelf::{Known, Shelf};
use crate::error::Result;
use crate::model::Millis;
use crate::progress::Progress;
use crate::repository::claim::NO_FILE;
use crate::repository::{
    Archive, Damaged, Digest, ManifestCache, Repository, StoredObject, is_data,
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
        let mut seen = BTreeSet::new();
        for archive in archives {
            let planned = plan_one(from, shelf, archive, &mut seen)?;
            problems.extend(planned.1);
            plan.archives.push(planned.0);
        }
        Ok((plan, problems))
    }

    /// The size of all that is to be brought, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        let sizes = self.archives.iter().map(|planned| planned.to_bring().1);
        sizes.fold(0, u64::saturating_add)
    }
}

/// What has to be done for `archive`, and why it cannot be; `seen` are objects that others need.
fn plan_one(
    from: &Repository,
    shelf: &Shelf,
    archive: Archive,
    seen: &mut BTreeSet<(ObjectName, Digest)>,
) -> Result<(Planned, Option<CopyProblem>)> {
    let short = archive.id.short();
    let name = archive.manifest_name()?.object()?;
    let odd = archive.objects().find(|(_, object)| !is_data(&object.name));
    let problem = if let Some((_, odd)) = odd {
        let detail = format!(
            "archive {short} is not copied: expected names of objects with data, found {}",
            odd.name
        );
        Some(CopyProblemKind::ManifestUnread.at(name.as_str(), detail))
    } else if let Some(there) = shelf.archive(&archive.id) {
        (!is_same(&archive, there)).then(|| {
            let detail = format!(
                "archive {short} is not copied: there is another one of this id, of {:?} on {:?}",
                there.source_name, there.host
            );
            CopyProblemKind::ArchiveDiffers.at(name.as_str(), detail)
        })
    } else if let Some(taken) = shelf.damaged.iter().find(|damaged| damaged.name == name) {
        let detail = format!(
            "archive {short} is not copied: what has the name of its manifest is damaged: {}",
            taken.error.chain()
        );
        Some(CopyProblemKind::ManifestTaken.at(name.as_str(), detail))
    } else {
        unknown_member(from, &archive)?.map(|member| {
            let detail = format!(
                "archive {short} is not copied: its manifest has the member {member:?}, which this narthex would lose"
            );
            CopyProblemKind::ManifestNewer.at(name.as_str(), detail)
        })
    };
    let (way, needs): (_, Vec<&StoredObject>) = match (&problem, shelf.archive(&archive.id)) {
        (Some(_), _) => (Way::LeftOut, Vec::new()),
        (None, None) => {
            let objects = archive.objects().map(|(_, object)| object);
            (Way::New, objects.collect())
        }
        (None, Some(there)) => match shelf.lacks(there) {
            lacks if lacks.is_empty() => (Way::Present, lacks),
            lacks => (Way::Incomplete, lacks),
        },
    };
    let needs = needs.into_iter().filter_map(|object| {
        let known = shelf.know(object);
        let is_new = known != Known::There && seen.insert((object.name.clone(), object.sha256));
        is_new.then(|| (object.clone(), known))
    });
    let planned = Planned {
        needs: needs.collect(),
        reason: problem.as_ref().map(|problem| problem.detail.clone()),
        way,
        archive,
    };
    Ok((planned, problem))
}
