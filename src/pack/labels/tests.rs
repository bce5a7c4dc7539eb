use super::*;
use proptest::prelude::*;

fn round_trip(symbols: &[Vec<u8>], series: &[LabelRefs]) -> usize {
    let mut writer = LabelWriter::default();
    for labels in series {
        writer.push(labels);
    }
    let mut bytes = Vec::new();
    writer
        .finish(symbols.iter().map(Vec::as_slice), &mut bytes)
        .unwrap();
    let labels = Labels::read(&bytes, 0).unwrap();
    assert!(
        labels
            .symbols()
            .iter()
            .eq(symbols.iter().map(Vec::as_slice))
    );
    let (mut iter, mut found) = (labels.walk(), Vec::new());
    for expected in series {
        assert!(iter.next(&mut found).unwrap());
        assert_eq!(&found, expected);
    }
    assert!(!iter.next(&mut found).unwrap());
    bytes.len()
}

#[test]
fn the_same_targets_under_every_metric_cost_next_to_nothing() {
    let symbols: Vec<Vec<u8>> = (0..400)
        .map(|i| format!("symbol-{i:04}").into_bytes())
        .collect();
    let label = |name: u32, value: u32| (SymbolRef(name), SymbolRef(value));
    let series: Vec<LabelRefs> = (0..200)
        .flat_map(|metric| {
            (0..50).map(move |pod| {
                vec![
                    label(0, 100 + metric),
                    label(1, 300 + pod),
                    label(2, 350 + pod / 7),
                ]
            })
        })
        .collect();
    let bytes = round_trip(&symbols, &series);
    assert!(bytes < 900, "{bytes} bytes for 10,000 series");
}

proptest! {
    #[test]
    fn any_labels_come_back(
        symbols in prop::collection::btree_set(prop::collection::vec(any::<u8>(), 0..12), 1..40),
        picks in prop::collection::vec(prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..6), 0..60),
    ) {
        let symbols: Vec<Vec<u8>> = symbols.into_iter().collect();
        let pick = |index: &prop::sample::Index| SymbolRef(u32::try_from(index.index(symbols.len())).unwrap());
        let series: Vec<LabelRefs> = picks.iter().map(|labels| labels.iter().map(|(name, value)| (pick(name), pick(value))).collect()).collect();
        round_trip(&symbols, &series);
    }
}
