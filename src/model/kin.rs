//! Which blocks hold the same samples: the one notion by which everything that counts, compares or
//! brings back blocks tells copies from parts.
//!
//! A block holds what its [`Stream`] says of its *atoms*, the level-1 blocks that went into it. Two
//! blocks of the same atoms may be copies, two shards, or a raw block and its aggregates.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Millis, Stream, Ulid};

/// Most atoms that are added for blocks that were rewritten, over all blocks. A directory where
/// everything was rewritten a hundred times stays far below.
const MAX_INHERITED: usize = 1 << 20;

/// What decides whether blocks hold the same samples, and whether they may stand beside each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kin {
    /// The block.
    pub ulid: Ulid,
    /// The level-1 blocks whose samples it holds; itself, where it does not say.
    pub atoms: BTreeSet<Ulid>,
    /// The blocks it was compacted from, which Prometheus deletes when it loads this one.
    pub parents: Vec<Ulid>,
    /// Begin of its time, and its end, exclusive.
    pub range: (Millis, Millis),
    /// Which of these samples it holds.
    pub stream: Stream,
    /// How much there is of them.
    pub content: KinContent,
}

/// How much a block holds, and what, as far as that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct KinContent {
    /// Number of series.
    pub series: u64,
    /// Number of chunks.
    pub chunks: u64,
    /// Number of samples.
    pub samples: u64,
    /// A digest over index and segments, whichever; those of two blocks must have been made alike.
    pub digest: Option<[u8; 32]>,
}

impl KinContent {
    /// Whether nothing speaks against both being the same.
    fn agrees(&self, other: &KinContent) -> bool {
        let counts = |content: &KinContent| (content.series, content.chunks, content.samples);
        let digests = self.digest.zip(other.digest);
        counts(self) == counts(other) && digests.is_none_or(|(a, b)| a == b)
    }
}

impl Kin {
    /// A block with these sources, or with itself as its only one where there are none.
    pub fn new(ulid: Ulid, sources: &[Ulid], parents: Vec<Ulid>, stream: Stream) -> Self {
        let mut atoms: BTreeSet<Ulid> = sources.iter().copied().collect();
        if atoms.is_empty() {
            atoms.insert(ulid);
        }
        Kin {
            ulid,
            atoms,
            parents,
            range: (0, 0),
            stream,
            content: KinContent::default(),
        }
    }

    /// Whether it and `other`, of the same atoms and stream, hold the same: one was rewritten from
    /// the other, or they agree in all that is known of them.
    pub fn is_copy_of(&self, other: &Kin) -> bool {
        self.parents.contains(&other.ulid)
            || other.parents.contains(&self.ulid)
            || self.content.agrees(&other.content)
    }
}

/// Gives blocks that Prometheus rewrote without their deleted samples, and what was compacted from
/// such blocks, the atoms of what they replace.
///
/// `clean_tombstones` makes a block of level 1 and of the same time whose only source is itself and
/// whose parent is the old one, whatever that one was made of.
pub fn inherit_atoms(blocks: &mut [Kin]) {
    let known: HashMap<Ulid, &Kin> = blocks.iter().map(|kin| (kin.ulid, kin)).collect();
    let is_rewritten = |kin: &&Kin| kin.atoms.len() == 1 && kin.atoms.contains(&kin.ulid);
    let replaced: HashMap<Ulid, Vec<&Kin>> = blocks
        .iter()
        .filter(is_rewritten)
        .map(|kin| {
            let parents = kin.parents.iter().filter_map(|parent| known.get(parent));
            let within =
                |parent: &&&Kin| kin.range.0 <= parent.range.0 && parent.range.1 <= kin.range.1;
            (kin.ulid, parents.filter(within).copied().collect())
        })
        .filter(|(_, parents): &(_, Vec<_>)| !parents.is_empty())
        .collect();
    if replaced.is_empty() {
        return;
    }
    let mut budget = MAX_INHERITED;
    let mut inherited = Vec::new();
    for kin in blocks.iter() {
        let mut own = kin.atoms.clone();
        let mut pending: Vec<Ulid> = own.iter().copied().collect();
        while let Some(atom) = pending.pop() {
            let parents = replaced.get(&atom).into_iter().flatten();
            for atom in parents.flat_map(|parent| &parent.atoms) {
                if budget > 0 && own.insert(*atom) {
                    budget -= 1;
                    pending.push(*atom);
                }
            }
        }
        inherited.push(own);
    }
    for (kin, own) in blocks.iter_mut().zip(inherited) {
        kin.atoms = own;
    }
}

/// Blocks of the same atoms that only together hold what there is of them: one block, as a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Their places in the list that [`families`] was given. Copies of a member are none.
    pub members: Vec<usize>,
    /// Their atoms.
    pub atoms: BTreeSet<Ulid>,
    /// What they hold together.
    pub stream: Stream,
    /// Whether nothing says why there are several: they may be parts, or one of them may be
    /// needless.
    pub doubtful: bool,
}

/// Puts together which of `blocks` hold the same.
///
/// All shards of a set are one family, without the shard's label; of a set that is not complete
/// each is one. Of copies the one that others were made from is left out, or else the one with the
/// smaller ULID. Blocks of the same atoms and stream that are no copies of each other are one
/// doubtful family.
pub fn families(blocks: &[Kin]) -> Vec<Family> {
    let mut groups: BTreeMap<(&BTreeSet<Ulid>, Stream), Vec<usize>> = BTreeMap::new();
    for (at, kin) in blocks.iter().enumerate() {
        groups
            .entry((&kin.atoms, kin.stream.clone()))
            .or_default()
            .push(at);
    }
    // By atoms, whole stream and size of the set: the shards that there are.
    let mut sets: BTreeMap<(&BTreeSet<Ulid>, Stream, u32), Vec<Family>> = BTreeMap::new();
    let mut families = Vec::new();
    for ((atoms, stream), group) in groups {
        let members = if stream.selected {
            group
        } else {
            without_copies(blocks, group)
        };
        let family = Family {
            doubtful: members.len() > 1 && !stream.selected,
            members,
            atoms: atoms.clone(),
            stream,
        };
        match family.stream.shard() {
            Some(shard) if !family.stream.selected => {
                let set = (atoms, family.stream.whole(), shard.of);
                sets.entry(set).or_default().push(family);
            }
            _ => families.push(family),
        }
    }
    for ((atoms, stream, of), shards) in sets {
        if shards.len() as u64 == u64::from(of) {
            families.push(Family {
                members: shards.iter().flat_map(|s| &s.members).copied().collect(),
                atoms: atoms.clone(),
                stream,
                doubtful: shards.iter().any(|shard| shard.doubtful),
            });
        } else {
            families.extend(shards);
        }
    }
    families
}

/// One of each copy.
fn without_copies(blocks: &[Kin], mut group: Vec<usize>) -> Vec<usize> {
    let get = |at: usize| blocks.get(at);
    let replaced: BTreeSet<Ulid> = group
        .iter()
        .filter_map(|at| get(*at))
        .flat_map(|kin| kin.parents.iter().copied())
        .collect();
    group.sort_by_key(|at| std::cmp::Reverse(get(*at).map(|kin| kin.ulid)));
    // Comparing each with each is for the rare group in which some digests are unknown.
    let has_digest = |at: &usize| get(*at).is_some_and(|kin| kin.content.digest.is_some());
    let is_mixed = group.iter().any(has_digest) && !group.iter().all(has_digest);
    let mut seen: BTreeSet<KinContent> = BTreeSet::new();
    let mut kept: Vec<usize> = Vec::new();
    for at in group {
        let Some(kin) = get(at) else { continue };
        let is_replaced = replaced.contains(&kin.ulid) && !kin.parents.contains(&kin.ulid);
        let agrees =
            |other: &usize| get(*other).is_some_and(|other| kin.content.agrees(&other.content));
        let is_copy = seen.contains(&kin.content) || is_mixed && kept.iter().any(agrees);
        if !is_replaced && !is_copy {
            seen.insert(kin.content);
            kept.push(at);
        }
    }
    kept.sort_unstable();
    kept
}

/// Which samples are there: of which atoms, and of which stream of each.
#[derive(Clone, Debug, Default)]
pub struct Held {
    streams: Vec<Stream>,
    numbers: HashMap<Stream, usize>,
    /// Of each atom, numbers of streams.
    atoms: HashMap<Ulid, Vec<usize>>,
}

impl Held {
    /// What `blocks` hold, shards together.
    pub fn by(blocks: &[Kin]) -> Self {
        let mut held = Held::default();
        for family in families(blocks) {
            held.add(&family.atoms, &family.stream);
        }
        held
    }

    /// Adds `stream` of `atoms`.
    pub fn add(&mut self, atoms: &BTreeSet<Ulid>, stream: &Stream) {
        let number = if let Some(number) = self.numbers.get(stream) {
            *number
        } else {
            self.numbers.insert(stream.clone(), self.streams.len());
            self.streams.push(stream.clone());
            self.streams.len() - 1
        };
        for atom in atoms {
            let numbers = self.atoms.entry(*atom).or_default();
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
    }

    /// Whether `stream` of all `atoms` is there.
    pub fn covers(&self, atoms: &BTreeSet<Ulid>, stream: &Stream) -> bool {
        atoms.iter().all(|atom| self.has(*atom, stream))
    }

    /// Whether something of `atom` is there that was merged into what `stream` holds of it, and is
    /// not just a shard of it.
    pub fn has_merged(&self, atom: Ulid, stream: &Stream) -> bool {
        let numbers = self.atoms.get(&atom).into_iter().flatten();
        numbers
            .filter_map(|number| self.streams.get(*number))
            .any(|held| held.shard().is_none() && stream.covers(held))
    }

    /// Whether `stream` of `atom` is there.
    pub fn has(&self, atom: Ulid, stream: &Stream) -> bool {
        let numbers = self.atoms.get(&atom).into_iter().flatten();
        numbers
            .filter_map(|number| self.streams.get(*number))
            .any(|held| held.covers(stream))
    }
}

#[cfg(test)]
mod tests {
    use super::super::stream::SHARD_LABEL;
    use super::*;

    fn ulid(number: u64) -> Ulid {
        Ulid::from_parts(0, u128::from(number))
    }

    fn kin(number: u64, atoms: &[u64], parents: &[u64]) -> Kin {
        let [atoms, parents] =
            [atoms, parents].map(|list| list.iter().copied().map(ulid).collect::<Vec<_>>());
        Kin::new(ulid(number), &atoms, parents, Stream::default())
    }

    fn shard(number: u64, atoms: &[u64], id: &str) -> Kin {
        let mut kin = kin(number, atoms, &[]);
        kin.stream.labels.insert(SHARD_LABEL.into(), id.into());
        kin
    }

    fn with_samples(mut kin: Kin, samples: u64) -> Kin {
        kin.content.samples = samples;
        kin
    }

    #[test]
    fn a_complete_set_of_shards_holds_the_whole_and_an_incomplete_one_its_parts() {
        let shards = [shard(1, &[8, 9], "1_of_2"), shard(2, &[8, 9], "2_of_2")];
        let all = families(&shards);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].members, [0, 1]);
        assert!(!all[0].doubtful);
        let whole = kin(3, &[8, 9], &[]);
        assert!(Held::by(&shards).covers(&whole.atoms, &whole.stream));
        let part = Held::by(&shards[..1]);
        assert!(!part.covers(&whole.atoms, &whole.stream));
        assert!(!part.covers(&shards[1].atoms, &shards[1].stream));
        assert!(Held::by(&[whole]).covers(&shards[0].atoms, &shards[0].stream));
    }

    #[test]
    fn copies_count_once_and_what_may_be_parts_counts_whole() {
        let once = [kin(1, &[9], &[]), kin(2, &[9], &[])];
        assert_eq!(families(&once)[0].members, [1], "the same counts");
        let parts = [with_samples(once[0].clone(), 4), once[1].clone()];
        let parts = families(&parts);
        assert_eq!((parts.len(), parts[0].doubtful), (1, true));
        assert_eq!(parts[0].members, [0, 1]);
        let rewritten = [with_samples(kin(1, &[1], &[]), 4), kin(2, &[1], &[1])];
        assert_eq!(families(&rewritten)[0].members, [1]);
    }

    #[test]
    fn two_digests_tell_apart_what_counts_do_not() {
        let mut twins = [kin(1, &[9], &[]), kin(2, &[9], &[])];
        twins[0].content.digest = Some([1; 32]);
        assert!(!families(&twins)[0].doubtful);
        twins[1].content.digest = Some([2; 32]);
        assert!(families(&twins)[0].doubtful);
    }

    #[test]
    fn a_block_without_its_deletions_stands_for_all_that_the_old_one_was_made_of() {
        let mut blocks = [
            kin(7, &[1, 2, 3], &[4, 5]),
            kin(8, &[8], &[7]),
            kin(9, &[8, 10], &[8, 10]),
            kin(11, &[11], &[0]),
            kin(12, &[12], &[7]),
        ];
        blocks[4].range = (1, 2);
        inherit_atoms(&mut blocks);
        let numbers = |at: usize| -> Vec<u64> {
            (0..20)
                .filter(|n| blocks[at].atoms.contains(&ulid(*n)))
                .collect()
        };
        assert_eq!(numbers(0), [1, 2, 3]);
        assert_eq!(numbers(1), [1, 2, 3, 8]);
        assert_eq!(numbers(2), [1, 2, 3, 8, 10]);
        assert_eq!(
            numbers(3),
            [11],
            "the parent of out-of-order blocks is none"
        );
    }
}
