//! A repository without bytes: what each design stores of a directory, and what that costs.

use std::collections::{BTreeMap, BTreeSet};

use narthex::block::Meta;
use narthex::model::{Millis, Ulid};
use serde::Serialize;

use super::cost::{self, Workload};
use super::cover::{Cover, Known, PackId, cover};
use super::forget;

/// How a new block is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Design {
    /// Packs that are stored already by reference, the other sources as a new pack.
    Sources,
    /// By reference if packs that are stored already hold all of it, else whole.
    WholeBlocks,
    /// Whole, as a pack.
    Ulids,
    /// Whole, as a compressed tar.
    UlidsPortable,
}

impl Design {
    /// All of them, in the order of the tables' columns.
    pub(crate) const ALL: [Design; 4] = [
        Design::Sources,
        Design::WholeBlocks,
        Design::Ulids,
        Design::UlidsPortable,
    ];
}

/// A block that is stored.
#[derive(Debug)]
struct Stored {
    sources: Vec<Ulid>,
    min_time: Millis,
    packs: Vec<PackId>,
    /// Bytes of its own object: recipe or compressed tar.
    object: f64,
}

#[derive(Debug)]
struct Archive {
    time: Millis,
    blocks: Vec<Ulid>,
    manifest: f64,
    wal: f64,
}

/// What one backup run did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Night {
    /// Objects put.
    pub(crate) objects: u64,
    /// Requests, of all kinds.
    pub(crate) requests: u64,
    /// Sources whose samples were stored.
    pub(crate) sources: usize,
    /// Bytes put for blocks: packs and blocks' own objects.
    pub(crate) bytes: f64,
}

/// What it takes to restore an archive.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Restore {
    /// Objects read.
    pub(crate) objects: u64,
    /// Requests.
    pub(crate) requests: u64,
    /// Bytes read, without the WAL.
    pub(crate) bytes: f64,
}

/// Bytes of a repository.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Size {
    /// Archives in it.
    pub(crate) archives: u64,
    /// Packs and blocks' own objects.
    pub(crate) blocks: f64,
    /// Manifests.
    pub(crate) manifests: f64,
    /// WALs.
    pub(crate) wals: f64,
}

/// A repository of one server.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// How blocks are stored in it.
    pub(crate) design: Design,
    workload: Workload,
    /// Bytes of each pack.
    packs: Vec<f64>,
    stored: BTreeMap<Ulid, Stored>,
    archives: Vec<Archive>,
    /// Every source that an archive holds.
    seen: BTreeSet<Ulid>,
    /// Compacted blocks stored.
    pub(crate) compacted: u64,
    /// Those of them whose sources the archive before held all.
    pub(crate) fully_known: u64,
    /// The backup runs, in their order.
    pub(crate) nights: Vec<Night>,
}

impl Keeper {
    /// An empty repository.
    pub(crate) fn new(design: Design, workload: Workload) -> Self {
        Keeper {
            design,
            workload,
            packs: Vec::new(),
            stored: BTreeMap::new(),
            archives: Vec::new(),
            seen: BTreeSet::new(),
            compacted: 0,
            fully_known: 0,
            nights: Vec::new(),
        }
    }

    /// Archives a directory that holds these blocks, and a WAL that begins at `head`.
    pub(crate) fn backup(&mut self, now: Millis, blocks: &[Meta], head: Millis) {
        let mut night = Night::default();
        // The newest manifest says what is known; listings say what exists.
        let names = [
            self.archives.len(),
            self.stored.len(),
            self.packs.len(),
            0, // nothing in the trash
        ];
        night.requests += names
            .map(|names| cost::list(names as u64))
            .iter()
            .sum::<u64>();
        night.requests += u64::from(!self.archives.is_empty());
        for block in blocks {
            if !self.stored.contains_key(&block.ulid) {
                self.store(block, &mut night);
            }
        }
        let listed = blocks.iter().map(|block| {
            let packs = self
                .stored
                .get(&block.ulid)
                .map_or(0, |stored| stored.packs.len());
            let compaction = &block.compaction;
            self.workload
                .listed(compaction.sources.len(), compaction.parents.len(), packs)
        });
        let archive = Archive {
            time: now,
            manifest: listed.sum(),
            blocks: blocks.iter().map(|block| block.ulid).collect(),
            wal: self.workload.wal(now - head),
        };
        for object in [archive.wal, archive.manifest] {
            night.objects += 1;
            night.requests += cost::put(object);
        }
        self.archives.push(archive);
        self.nights.push(night);
    }

    fn store(&mut self, block: &Meta, night: &mut Night) {
        let sources = &block.compaction.sources;
        let cover = self.cover(sources);
        if block.compaction.level > 1 {
            self.compacted += 1;
            self.fully_known += u64::from(cover.unseen.is_empty());
        }
        let Cover { packs, unseen } = match self.design {
            Design::Sources => cover,
            Design::WholeBlocks if cover.unseen.is_empty() => cover,
            _ => Cover {
                packs: Vec::new(),
                unseen: sources.clone(),
            },
        };
        let mut stored = Stored {
            sources: sources.clone(),
            min_time: block.min_time,
            packs,
            object: self.workload.portable(sources.len()),
        };
        if self.design != Design::UlidsPortable {
            if !unseen.is_empty() {
                let bytes = self.workload.pack(unseen.len());
                stored.packs.push(self.packs.len());
                self.packs.push(bytes);
                night.put(bytes);
            }
            stored.object = Workload::recipe(stored.packs.len());
        }
        night.put(stored.object);
        night.sources += unseen.len();
        self.seen.extend(unseen);
        self.stored.insert(block.ulid, stored);
    }

    /// What of these sources the archive before holds.
    fn cover(&self, sources: &[Ulid]) -> Cover {
        let before = self
            .archives
            .last()
            .map_or(&[][..], |archive| &archive.blocks);
        let stored = before.iter().filter_map(|ulid| self.stored.get(ulid));
        let known: Vec<Known<'_>> = stored
            .map(|stored| Known {
                sources: &stored.sources,
                packs: &stored.packs,
                min_time: stored.min_time,
            })
            .collect();
        cover(sources, &known)
    }

    /// How many times each sample that an archive holds has been stored.
    pub(crate) fn times_stored(&self) -> f64 {
        let stored = self.nights.iter().map(|night| night.sources);
        stored.sum::<usize>() as f64 / self.seen.len().max(1) as f64
    }

    /// How many packs each block of the newest archive has, ascending.
    pub(crate) fn packs_per_block(&self) -> Vec<u64> {
        let newest = self
            .archives
            .last()
            .map_or(&[][..], |archive| &archive.blocks);
        let stored = newest.iter().filter_map(|ulid| self.stored.get(ulid));
        let mut counts: Vec<u64> = stored.map(|stored| stored.packs.len() as u64).collect();
        counts.sort_unstable();
        counts
    }

    /// What it takes to restore all of the newest archive.
    pub(crate) fn restore(&self) -> Restore {
        let mut restore = Restore::default();
        let Some(archive) = self.archives.last() else {
            return restore;
        };
        for ulid in &archive.blocks {
            let Some(stored) = self.stored.get(ulid) else {
                continue;
            };
            restore.get(stored.object, cost::get(stored.object));
            for bytes in stored.packs.iter().filter_map(|pack| self.packs.get(*pack)) {
                restore.get(*bytes, cost::get_pack(*bytes));
            }
        }
        restore.get(archive.manifest, 1 + cost::list(self.archives.len() as u64));
        restore.objects += 1;
        restore.requests += cost::get(archive.wal);
        restore
    }

    /// The repository with all archives.
    pub(crate) fn size(&self) -> Size {
        self.size_of(&self.archives.iter().collect::<Vec<_>>())
    }

    /// The repository after forgetting as [`forget`] says, and pruning.
    pub(crate) fn size_after_forgetting(&self) -> Size {
        let times: Vec<Millis> = self.archives.iter().map(|archive| archive.time).collect();
        let kept = forget::kept(&times);
        let archives = kept
            .iter()
            .filter_map(|position| self.archives.get(*position));
        self.size_of(&archives.collect::<Vec<_>>())
    }

    fn size_of(&self, archives: &[&Archive]) -> Size {
        let blocks: BTreeSet<Ulid> = archives
            .iter()
            .flat_map(|archive| archive.blocks.iter().copied())
            .collect();
        let stored: Vec<&Stored> = blocks
            .iter()
            .filter_map(|ulid| self.stored.get(ulid))
            .collect();
        let packs: BTreeSet<PackId> = stored
            .iter()
            .flat_map(|stored| stored.packs.iter().copied())
            .collect();
        let packed = packs.iter().filter_map(|pack| self.packs.get(*pack));
        Size {
            archives: archives.len() as u64,
            blocks: packed.sum::<f64>() + stored.iter().map(|stored| stored.object).sum::<f64>(),
            manifests: archives.iter().map(|archive| archive.manifest).sum(),
            wals: archives.iter().map(|archive| archive.wal).sum(),
        }
    }
}

impl Night {
    fn put(&mut self, bytes: f64) {
        self.objects += 1;
        self.requests += cost::put(bytes);
        self.bytes += bytes;
    }
}

impl Restore {
    fn get(&mut self, bytes: f64, requests: u64) {
        self.objects += 1;
        self.requests += requests;
        self.bytes += bytes;
    }
}
