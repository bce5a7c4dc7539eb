//! Which places of several objects are tried together.

use std::collections::BTreeSet;

use crate::repository::copies::Place;

/// Most ways in which places are tried together.
const MAX_CHOICES: usize = 24;

/// Which places to try together: all the best, then the second best of those that have one, and so
/// on; then each of one with each of another, the best first.
pub(super) fn choices(places: &[Vec<Place>]) -> Vec<Vec<&Place>> {
    let most = places.iter().map(Vec::len).max().unwrap_or(0);
    let alike = (0..most).map(|rank| {
        let ranks = places.iter().map(|of| rank.min(of.len().saturating_sub(1)));
        ranks.collect::<Vec<_>>()
    });
    let mut tried: Vec<Vec<usize>> = alike.collect();
    let mut next = BTreeSet::from([(0, vec![0; places.len()])]);
    while tried.len() < MAX_CHOICES
        && let Some((sum, ranks)) = next.pop_first()
    {
        for (at, of) in places.iter().enumerate() {
            let mut worse = ranks.clone();
            if let Some(rank) = worse.get_mut(at).filter(|rank| **rank + 1 < of.len()) {
                *rank += 1;
                next.insert((sum + 1, worse));
            }
        }
        if !tried.contains(&ranks) {
            tried.push(ranks);
        }
    }
    let chosen = |ranks: &Vec<usize>| {
        let chosen = places.iter().zip(ranks);
        chosen.map(|(places, rank)| places.get(*rank)).collect()
    };
    tried.iter().filter_map(chosen).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::copies::Trust;
    use crate::store::ObjectName;

    #[test]
    fn each_place_of_a_pack_meets_each_of_another() {
        let place = |name: &str| Place {
            name: ObjectName::new(format!("packs/{name}")).unwrap(),
            bytes: 1,
            trust: Trust::Mended,
        };
        let of = |names: &[&str]| names.iter().map(|name| place(name)).collect::<Vec<_>>();
        let places = [of(&["a", "b"]), of(&["c", "d", "e"]), of(&["f"])];
        let found = choices(&places);
        let name = |place: &&Place| place.name.as_str().replace("packs/", "");
        let found = found
            .iter()
            .map(|choice| choice.iter().map(name).collect::<String>());
        let found: Vec<_> = found.collect();
        assert_eq!(found[..3], ["acf", "bdf", "bef"]);
        let distinct: BTreeSet<_> = found.iter().collect();
        assert_eq!((distinct.len(), found.len()), (6, 6));
        assert!(choices(&[of(&["a"]), Vec::new()]).is_empty());
        let many = vec![of(&["a", "b", "c"]); 50];
        assert_eq!(choices(&many).len(), MAX_CHOICES);
    }
}
