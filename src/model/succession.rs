//! Which blocks take the place of those they were compacted from.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Held, Kin, Ulid, inherit_atoms};

/// Blocks, and what names them as parents. A Prometheus deletes every parent of a block that it
/// loads; whether nothing is lost with it depends on what the children hold: aggregates of a block,
/// or one shard of it, do not take its place.
#[derive(Clone, Debug, Default)]
pub struct Succession {
    blocks: Vec<Kin>,
    at: HashMap<Ulid, usize>,
    /// Of each parent the places of its children, by their ULIDs.
    children: BTreeMap<Ulid, Vec<usize>>,
}

impl Succession {
    /// That of these blocks.
    pub fn of(blocks: impl IntoIterator<Item = Kin>) -> Self {
        let mut blocks: Vec<Kin> = blocks.into_iter().collect();
        blocks.sort_by_key(|kin| kin.ulid);
        inherit_atoms(&mut blocks);
        let mut children: BTreeMap<Ulid, Vec<usize>> = BTreeMap::new();
        for (at, kin) in blocks.iter().enumerate() {
            let mut parents = kin.parents.clone();
            parents.sort_unstable();
            parents.dedup();
            for parent in parents {
                if parent != Ulid::ZERO && parent != kin.ulid {
                    children.entry(parent).or_default().push(at);
                }
            }
        }
        let at = blocks.iter().enumerate();
        Succession {
            at: at.map(|(at, kin)| (kin.ulid, at)).collect(),
            blocks,
            children,
        }
    }

    /// All that are named as parents.
    pub fn parents(&self) -> impl Iterator<Item = Ulid> {
        self.children.keys().copied()
    }

    /// The blocks that name `parent`.
    pub fn children(&self, parent: Ulid) -> impl Iterator<Item = Ulid> {
        self.kins(parent).map(|kin| kin.ulid)
    }

    fn kins(&self, parent: Ulid) -> impl Iterator<Item = &Kin> {
        let places = self.children.get(&parent).into_iter().flatten();
        places.filter_map(|at| self.blocks.get(*at))
    }

    /// The children of the block `parent` that hold all it did, as their metadata says; none if
    /// they do not. Of a block that is not among these, `told` is what is known; where nothing
    /// is, it is taken for what Prometheus writes.
    pub fn heirs(&self, parent: Ulid, told: Option<&Kin>) -> BTreeSet<Ulid> {
        let own = self.at.get(&parent).and_then(|at| self.blocks.get(*at));
        let Some(own) = own.or(told) else {
            let is_plain = |kin: &&Kin| {
                let stream = &kin.stream;
                !stream.is_aggregate() && !stream.selected && stream.shard().is_none()
            };
            let plain = self.kins(parent).filter(is_plain);
            return plain.map(|kin| kin.ulid).collect();
        };
        let holds = |kin: &&Kin| {
            // What `clean_tombstones` wrote has no other source than itself.
            let is_rewritten = kin.atoms.len() == 1 && kin.atoms.contains(&kin.ulid);
            kin.stream.covers(&own.stream) && (is_rewritten || own.atoms.is_subset(&kin.atoms))
        };
        let heirs: BTreeSet<Ulid> = self
            .kins(parent)
            .filter(holds)
            .map(|kin| kin.ulid)
            .collect();
        if !heirs.is_empty() {
            return heirs;
        }
        let shards = self.kins(parent).filter(|kin| kin.stream.shard().is_some());
        let shards: Vec<Kin> = shards.cloned().collect();
        if !shards.is_empty() && Held::by(&shards).covers(&own.atoms, &own.stream) {
            return shards.iter().map(|kin| kin.ulid).collect();
        }
        BTreeSet::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SHARD_LABEL, Stream};
    use super::*;

    fn ulid(number: u64) -> Ulid {
        Ulid::from_parts(0, u128::from(number))
    }

    fn kin(number: u64, atoms: &[u64], parents: &[u64], stream: Stream) -> Kin {
        let [atoms, parents] =
            [atoms, parents].map(|list| list.iter().copied().map(ulid).collect::<Vec<_>>());
        Kin::new(ulid(number), &atoms, parents, stream)
    }

    fn shard(id: &str) -> Stream {
        Stream {
            labels: [(SHARD_LABEL.to_owned(), id.to_owned())].into(),
            ..Stream::default()
        }
    }

    fn heirs(blocks: &[Kin], parent: u64) -> Vec<Ulid> {
        let succession = Succession::of(blocks.iter().cloned());
        succession.heirs(ulid(parent), None).into_iter().collect()
    }

    #[test]
    fn a_child_that_holds_all_of_its_parent_takes_its_place_and_aggregates_do_not() {
        let plain = Stream::default();
        let five = Stream {
            resolution: 300_000,
            ..Stream::default()
        };
        let mut blocks = vec![
            kin(1, &[1], &[], plain.clone()),
            kin(2, &[2], &[], plain.clone()),
            kin(3, &[1, 2], &[1, 2], five),
        ];
        assert!(heirs(&blocks, 1).is_empty());
        blocks.push(kin(4, &[1, 2], &[1, 2], plain.clone()));
        assert_eq!(heirs(&blocks, 1), [ulid(4)]);
        blocks.push(kin(5, &[9], &[4], plain.clone()));
        assert!(heirs(&blocks, 4).is_empty(), "other sources");
        // A block without its deletions, and what is not there to ask.
        blocks.push(kin(6, &[6], &[4], plain));
        assert_eq!(heirs(&blocks, 4), [ulid(6)]);
        blocks.retain(|kin| kin.ulid != ulid(1));
        assert_eq!(heirs(&blocks, 1), [ulid(4)]);
        assert!(heirs(&blocks, 7).is_empty());
    }

    #[test]
    fn only_all_shards_take_the_place_of_a_block() {
        let mut blocks = vec![
            kin(1, &[1], &[], Stream::default()),
            kin(2, &[1], &[1], shard("1_of_2")),
        ];
        assert!(heirs(&blocks, 1).is_empty());
        let told = Succession::of(blocks[1..].iter().cloned());
        assert!(told.heirs(ulid(1), None).is_empty());
        blocks.push(kin(3, &[1], &[1], shard("2_of_2")));
        assert_eq!(heirs(&blocks, 1), [ulid(2), ulid(3)]);
    }
}
