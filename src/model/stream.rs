//! Which of its sources' samples a block holds: a *stream*, as Thanos calls it.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::Millis;

/// The label by which Mimir's compactor tells apart blocks of the same sources that hold different
/// series.
pub const SHARD_LABEL: &str = "__compactor_shard_id__";

/// Hints of blocks that hold only some series of their sources.
const SELECTED: [&str; 2] = ["from-selected-series", "from-stale-series"];

/// What tells blocks apart that have the same sources. The default is that of a block that
/// Prometheus wrote: all samples, without external labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stream {
    /// Resolution in milliseconds of a block that holds aggregates; 0 for samples as they were
    /// scraped.
    pub resolution: Millis,
    /// External labels: cluster, replica, tenant, shard.
    pub labels: BTreeMap<String, String>,
    /// Whether the block was made of selected series of its sources.
    pub selected: bool,
}

/// One of several blocks that hold the series of their sources together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    /// Which one, from 1.
    pub number: u32,
    /// How many there are.
    pub of: u32,
}

impl Stream {
    /// The stream that the member `thanos` of a `meta.json`, if any, and its compaction hints
    /// describe. What is not as Thanos and Mimir write it is passed over; a resolution below 0
    /// is none.
    pub fn of_metadata<'h>(
        thanos: Option<&Json>,
        hints: impl IntoIterator<Item = &'h str>,
    ) -> Self {
        let labels = thanos.and_then(|thanos| thanos.get("labels"));
        let labels = labels.and_then(Json::as_object).into_iter().flatten();
        let text = |value: &Json| match value {
            Json::String(text) => text.clone(),
            other => other.to_string(),
        };
        let resolution = thanos
            .and_then(|thanos| thanos.get("downsample")?.get("resolution")?.as_i64())
            .unwrap_or(0);
        Stream {
            resolution: resolution.max(0),
            labels: labels
                .map(|(name, value)| (name.clone(), text(value)))
                .collect(),
            selected: Stream::is_selected(hints),
        }
    }

    /// Whether a block with these compaction hints holds only some series of its sources.
    pub fn is_selected<'h>(hints: impl IntoIterator<Item = &'h str>) -> bool {
        hints.into_iter().any(|hint| SELECTED.contains(&hint))
    }

    /// Whether a block of this stream holds aggregates, which a Prometheus cannot answer from.
    pub fn is_aggregate(&self) -> bool {
        self.resolution > 0
    }

    /// Which shard it is, where its labels say so (`3_of_8`).
    pub fn shard(&self) -> Option<Shard> {
        let (number, of) = self.labels.get(SHARD_LABEL)?.split_once("_of_")?;
        let shard = Shard {
            number: number.parse().ok()?,
            of: of.parse().ok()?,
        };
        (1..=shard.of).contains(&shard.number).then_some(shard)
    }

    /// The stream that all shards are parts of.
    #[must_use]
    pub fn whole(&self) -> Self {
        let mut whole = self.clone();
        whole.labels.remove(SHARD_LABEL);
        whole
    }

    /// Whether a block of this stream holds all that one of `other` with the same sources does:
    /// nothing coarser, and no label more.
    ///
    /// A label more stands for fewer series (a shard), or for one of several replicas that were
    /// merged into a block without it. A block of selected series is a source of its own, so
    /// one with the same sources holds them; it was compacted with others like it only.
    pub fn covers(&self, other: &Stream) -> bool {
        let has = |(name, value)| other.labels.get(name) == Some(value);
        (other.selected || !self.selected)
            && self.resolution <= other.resolution
            && self.labels.iter().all(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(thanos: &str) -> Stream {
        Stream::of_metadata(Some(&serde_json::from_str(thanos).unwrap()), [])
    }

    #[test]
    fn raw_covers_aggregates_and_fewer_labels_cover_more() {
        let raw = stream(r#"{"labels":{"a":"1"},"downsample":{"resolution":0}}"#);
        let five = stream(r#"{"labels":{"a":"1"},"downsample":{"resolution":300000}}"#);
        let replica = stream(r#"{"labels":{"a":"1","replica":"0"}}"#);
        let other = stream(r#"{"labels":{"a":"2"}}"#);
        assert!(raw.covers(&raw) && raw.covers(&five) && !five.covers(&raw));
        assert!(raw.covers(&replica) && !replica.covers(&raw));
        assert!(!raw.covers(&other) && !other.covers(&raw));
        assert!(Stream::default().covers(&five));
        let selected = Stream::of_metadata(None, ["from-stale-series"]);
        assert!(selected.covers(&selected) && Stream::default().covers(&selected));
        assert!(!selected.covers(&Stream::default()));
    }

    #[test]
    fn a_shard_is_what_its_label_says() {
        let shard = |id: &str| {
            let labels = BTreeMap::from([(SHARD_LABEL.to_owned(), id.to_owned())]);
            let stream = Stream {
                labels,
                ..Stream::default()
            };
            assert_eq!(stream.whole(), Stream::default());
            stream.shard()
        };
        assert_eq!(shard("3_of_4"), Some(Shard { number: 3, of: 4 }));
        for odd in [
            "0_of_4",
            "5_of_4",
            "_of_",
            "3",
            "a_of_b",
            "99999999999_of_4",
        ] {
            assert_eq!(shard(odd), None, "{odd}");
        }
    }

    #[test]
    fn what_is_not_as_thanos_writes_it_is_passed_over() {
        for odd in [
            "null",
            "3",
            r#"{"labels":null,"downsample":7}"#,
            r#"{"downsample":{"resolution":-5}}"#,
        ] {
            assert_eq!(stream(odd), Stream::default(), "{odd}");
        }
        assert_eq!(stream(r#"{"labels":{"a":1}}"#).labels["a"], "1");
    }
}
