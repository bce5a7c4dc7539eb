//! `meta.json`: what a block says of itself.
//!
//! Source: Prometheus `tsdb/block.go`, `BlockMeta`. Go matches keys without regard to case, lets
//! the last of several equal keys win and ignores keys it does not know; so does [`Meta::parse`],
//! which also keeps the unknown ones (Thanos and Mimir put theirs there).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Kin, KinContent, Millis, Stream, Ulid};

/// The only version of `meta.json` that Prometheus loads.
pub const META_VERSION: i64 = 1;

/// What `meta.json` says. Missing keys have the value Go gives them: zero, empty or false.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// Identity of the block; the directory should have this name.
    #[serde(default = "zero_ulid", deserialize_with = "lax_ulid")]
    pub ulid: Ulid,
    /// Start of the half-open range of time, in milliseconds.
    #[serde(default)]
    pub min_time: Millis,
    /// End of the half-open range of time, in milliseconds; no sample is that late.
    #[serde(default)]
    pub max_time: Millis,
    /// Counts.
    #[serde(default)]
    pub stats: BlockStats,
    /// Where the block came from.
    #[serde(default)]
    pub compaction: Compaction,
    /// Version of this file; [`META_VERSION`] is the only one Prometheus loads.
    #[serde(default)]
    pub version: i64,
    /// Every key that is not Prometheus', for example `thanos`.
    #[serde(flatten)]
    pub extra: Map<String, Json>,
}

/// What a block's `meta.json` counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockStats {
    /// All samples.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_samples: u64,
    /// Float samples; 0 before Prometheus 3.6.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_float_samples: u64,
    /// Native histogram samples; 0 before Prometheus 3.6.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_histogram_samples: u64,
    /// Series.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_series: u64,
    /// Chunks.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_chunks: u64,
    /// Intervals in the `tombstones` file.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_tombstones: u64,
}

/// Where a block came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Compaction {
    /// 1 for a block cut from the head, more for each compaction.
    pub level: i64,
    /// The level-1 blocks whose samples it holds, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lax_ulids")]
    pub sources: Vec<Ulid>,
    /// Everything in it was deleted; Prometheus removes the block at its next reload.
    #[serde(skip_serializing_if = "is_false")]
    pub deletable: bool,
    /// The blocks it was compacted from, in the order they were merged. Prometheus deletes any of
    /// them that is still there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<Parent>,
    /// A compaction of this block failed; Prometheus does not try again.
    #[serde(skip_serializing_if = "is_false")]
    pub failed: bool,
    /// Hints such as `from-out-of-order`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

/// A block that went into a compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parent {
    /// Its identity; all zero for blocks cut from out-of-order data.
    #[serde(default = "zero_ulid", deserialize_with = "lax_ulid")]
    pub ulid: Ulid,
    /// Start of its range.
    #[serde(default)]
    pub min_time: Millis,
    /// End of its range, exclusive.
    #[serde(default)]
    pub max_time: Millis,
}

impl Meta {
    /// The `compaction.hints` that Prometheus knows: the first since it takes late samples, the
    /// others since 3.14 and 3.10.
    pub const KNOWN_HINTS: [&str; 3] = [
        "from-out-of-order",
        "from-selected-series",
        "from-stale-series",
    ];

    /// Parses the content of a `meta.json`.
    ///
    /// Any `version` parses; whether it is one Prometheus loads is for the caller to ask.
    ///
    /// # Errors
    ///
    /// When it is not JSON, or a known key has a value of the wrong type.
    pub fn parse(content: &[u8]) -> Result<Self> {
        let malformed = |source: serde_json::Error| {
            Error::new(ErrorKind::Corrupt, "expected block metadata as JSON").with_source(source)
        };
        let mut json = json_of(content).map_err(malformed)?;
        as_go_reads(&mut json, &KEYS);
        for (object, keys) in OBJECTS {
            if let Some(object) = json.get_mut(object) {
                as_go_reads(object, keys);
            }
        }
        let parents = json
            .get_mut("compaction")
            .and_then(|c| c.get_mut("parents"));
        for parent in parents.and_then(Json::as_array_mut).into_iter().flatten() {
            as_go_reads(parent, &PARENT_KEYS);
        }
        serde_json::from_value(json).map_err(malformed)
    }

    /// Keys in the content of a `meta.json` that are those of Prometheus but for one character, and
    /// so are passed over: each with the key it nearly is. Nothing where the content is not
    /// JSON.
    pub fn misspelled_keys(content: &[u8]) -> Vec<(String, &'static str)> {
        let Ok(json) = json_of(content) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        misspelled_in(&json, &KEYS, &mut found);
        for (object, keys) in OBJECTS {
            if let Some(object) = json.get(object) {
                misspelled_in(object, keys, &mut found);
            }
        }
        let parents = json.get("compaction").and_then(|c| c.get("parents"));
        for parent in parents.and_then(Json::as_array).into_iter().flatten() {
            misspelled_in(parent, &PARENT_KEYS, &mut found);
        }
        found.truncate(MOST_MISSPELLED);
        found
    }

    /// Texts in the content of a `meta.json` that stand where ULIDs must and are none, though
    /// Prometheus takes them for some: whether it is that of the block itself, and the text.
    /// Nothing where the content is not metadata.
    pub fn misspelled_ulids(content: &[u8]) -> Vec<(bool, String)> {
        let Ok(mut json) = json_of(content) else {
            return Vec::new();
        };
        as_go_reads(&mut json, &KEYS);
        for (object, keys) in OBJECTS {
            if let Some(object) = json.get_mut(object) {
                as_go_reads(object, keys);
            }
        }
        let mut found = Vec::new();
        let mut look = |is_own: bool, text: Option<&Json>| {
            let text = text.and_then(Json::as_str);
            if let Some(text) = text.filter(|text| text.parse::<Ulid>().is_err()) {
                found.push((is_own, text.to_owned()));
            }
        };
        look(true, json.get("ulid"));
        let list = |key: &str| {
            let list = json.get("compaction").and_then(|c| c.get(key));
            list.and_then(Json::as_array).into_iter().flatten()
        };
        list("sources").for_each(|source| look(false, Some(source)));
        for parent in list("parents") {
            let mut parent = parent.clone();
            as_go_reads(&mut parent, &PARENT_KEYS);
            look(false, parent.get("ulid"));
        }
        found.truncate(MOST_MISSPELLED);
        found
    }

    /// As Prometheus writes it: indented with tabs, keys in its order, no newline at the end.
    pub fn to_json(&self) -> Vec<u8> {
        let mut content = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut content, formatter);
        // Serialising plain strings and numbers into a vector has no way to fail.
        let written = self.serialize(&mut serializer);
        debug_assert!(written.is_ok());
        content
    }

    /// Whether the block holds what came in order of time, so that a start of Prometheus expects no
    /// older samples in the WAL.
    pub fn is_in_order(&self) -> bool {
        !Self::KNOWN_HINTS.iter().any(|hint| self.has_hint(hint))
    }

    /// Whether `hint` is among the compaction hints.
    pub fn has_hint(&self, hint: &str) -> bool {
        self.compaction.hints.iter().any(|h| h == hint)
    }

    /// Length of the block's range in milliseconds; 0 when the range is the wrong way round.
    pub fn duration(&self) -> Millis {
        self.max_time.saturating_sub(self.min_time).max(0)
    }

    /// What Thanos and Mimir write beside Prometheus' keys for a block of these external labels and
    /// this resolution in milliseconds; nothing for one that only Prometheus knows.
    pub fn thanos(labels: &BTreeMap<String, String>, resolution: Millis) -> Map<String, Json> {
        if labels.is_empty() && resolution == 0 {
            return Map::new();
        }
        let thanos = json!({"labels": labels, "downsample": {"resolution": resolution}});
        Map::from_iter([("thanos".to_owned(), thanos)])
    }

    /// The resolution of a Thanos downsampled block in milliseconds, which Prometheus cannot read.
    pub fn downsampled(&self) -> Option<Millis> {
        let stream = self.stream();
        stream.is_aggregate().then_some(stream.resolution)
    }

    /// Which of its sources' samples the block holds.
    pub fn stream(&self) -> Stream {
        let hints = self.compaction.hints.iter().map(String::as_str);
        Stream::of_metadata(self.extra.get("thanos"), hints)
    }

    /// What the block, which lies in a directory called `ulid`, is to others.
    pub fn kin(&self, ulid: Ulid) -> Kin {
        let compaction = &self.compaction;
        let parents = compaction.parents.iter().map(|parent| parent.ulid);
        let content = KinContent {
            series: self.stats.num_series,
            chunks: self.stats.num_chunks,
            samples: self.stats.num_samples,
            digest: None,
        };
        let kin = Kin::new(ulid, &compaction.sources, parents.collect(), self.stream());
        Kin {
            range: (self.min_time, self.max_time),
            content,
            ..kin
        }
    }
}

/// Reads JSON as Go does, for which bytes that are not UTF-8 are so many replacement characters.
fn json_of(content: &[u8]) -> serde_json::Result<Json> {
    serde_json::from_str(&String::from_utf8_lossy(content))
}

/// Most misspelled keys, or ULIDs, that are named.
const MOST_MISSPELLED: usize = 100;

fn misspelled_in(json: &Json, keys: &[&'static str], found: &mut Vec<(String, &'static str)>) {
    let Json::Object(map) = json else { return };
    for key in map.keys() {
        let differs = |known: &&&'static str| {
            let pairs = key.chars().zip(known.chars());
            key.chars().count() == known.len()
                && pairs.filter(|(a, b)| !a.eq_ignore_ascii_case(b)).count() == 1
        };
        if !keys.iter().any(|known| known.eq_ignore_ascii_case(key))
            && let Some(known) = keys.iter().find(differs)
        {
            found.push((key.clone(), *known));
        }
    }
}

/// Prometheus' keys of `meta.json`.
const KEYS: [&str; 6] = [
    "ulid",
    "minTime",
    "maxTime",
    "stats",
    "compaction",
    "version",
];

/// Prometheus' keys of the objects in it.
const OBJECTS: [(&str, &[&str]); 2] = [
    (
        "stats",
        &[
            "numSamples",
            "numFloatSamples",
            "numHistogramSamples",
            "numSeries",
            "numChunks",
            "numTombstones",
        ],
    ),
    (
        "compaction",
        &[
            "level",
            "sources",
            "deletable",
            "parents",
            "failed",
            "hints",
        ],
    ),
];

const PARENT_KEYS: [&str; 3] = ["ulid", "minTime", "maxTime"];

/// Gives known keys in odd spelling (`MinTime`) the one they have here, unless that exists as well;
/// and takes those away whose value is `null`, which Go reads as if they were not there.
fn as_go_reads(json: &mut Json, keys: &[&str]) {
    let Json::Object(map) = json else { return };
    for key in keys {
        if !map.contains_key(*key) {
            let odd = map.keys().find(|k| k.eq_ignore_ascii_case(key)).cloned();
            if let Some(value) = odd.and_then(|odd| map.shift_remove(&odd)) {
                map.insert((*key).to_owned(), value);
            }
        }
        if map.get(*key).is_some_and(Json::is_null) {
            map.shift_remove(*key);
        }
    }
}

/// A ULID as Prometheus reads it.
struct Lax(Ulid);

impl<'de> Deserialize<'de> for Lax {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let ulid = Ulid::as_go_reads(&text);
        let wrong = || serde::de::Error::custom(format!("expected a ULID, found {text:?}"));
        ulid.map(Lax).ok_or_else(wrong)
    }
}

fn lax_ulid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Ulid, D::Error> {
    Lax::deserialize(deserializer).map(|Lax(ulid)| ulid)
}

fn lax_ulids<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Ulid>, D::Error> {
    let all = Vec::<Lax>::deserialize(deserializer)?;
    Ok(all.into_iter().map(|Lax(ulid)| ulid).collect())
}

fn zero_ulid() -> Ulid {
    Ulid::ZERO
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGULAR: &str = "{\n\t\"ulid\": \"01M7ZTRF1PQ7K3FCJT989E37AF\",\n\t\"minTime\": 1795290480070,\n\t\"maxTime\": 1795290720000,\n\t\"stats\": {\n\t\t\"numSamples\": 1769089,\n\t\t\"numSeries\": 3826,\n\t\t\"numChunks\": 14421\n\t},\n\t\"compaction\": {\n\t\t\"level\": 1,\n\t\t\"sources\": [\n\t\t\t\"01M7ZTRF1PQ7K3FCJT989E37AF\"\n\t\t]\n\t},\n\t\"version\": 1\n}";

    #[test]
    fn what_prometheus_wrote_is_written_back_byte_for_byte() {
        let meta = Meta::parse(REGULAR.as_bytes()).unwrap();
        assert_eq!(meta.stats.num_series, 3826);
        assert_eq!(meta.duration(), 239_930);
        assert_eq!(String::from_utf8(meta.to_json()).unwrap(), REGULAR);
    }

    #[test]
    fn odd_but_legal_spellings_parse_as_go_parses_them() {
        let meta = Meta::parse(
            br#"{"VERSION":1,"ULID":"01M7ZTRF1PQ7K3FCJT989E37AF","mintime":-5,"maxTime":1,"maxTime":7,
                "stats":{},"compaction":{"Level":2,"sources":null},
                "thanos":{"downsample":{"resolution":300000}}}"#,
        )
        .unwrap();
        assert_eq!((meta.version, meta.min_time, meta.max_time), (1, -5, 7));
        assert_eq!(meta.compaction.level, 2);
        assert_eq!(meta.downsampled(), Some(300_000));
        assert!(meta.extra.contains_key("thanos"));
    }

    #[test]
    fn null_is_read_as_if_the_key_were_not_there() {
        let null = br#"{"ulid":null,"minTime":null,"maxTime":null,"stats":null,"compaction":null,"version":null}"#;
        assert_eq!(Meta::parse(null).unwrap(), Meta::parse(b"{}").unwrap());
        let inside = br#"{"STATS":{"numSeries":null},"compaction":{"level":null,"sources":null,"Parents":null,
            "hints":null,"failed":null,"deletable":null}}"#;
        assert_eq!(Meta::parse(inside).unwrap(), Meta::parse(b"{}").unwrap());
        let parent = br#"{"compaction":{"parents":[{"ULID":null,"minTime":null,"maxTime":3}]}}"#;
        let parents = Meta::parse(parent).unwrap().compaction.parents;
        assert_eq!(
            parents,
            [Parent {
                ulid: Ulid::ZERO,
                min_time: 0,
                max_time: 3
            }]
        );
        let thanos = Meta::parse(br#"{"thanos":null}"#).unwrap();
        assert!(
            thanos.extra.contains_key("thanos"),
            "not a key of Prometheus"
        );
    }

    #[test]
    fn keys_with_one_wrong_character_are_named_and_foreign_ones_are_not() {
        let content = br#"{"ulic":"x","MINTIME":1,"stats":{"numseriez":1},"thanos":{"ulic":1},
            "compaction":{"sourcez":[],"parents":[{"maxTine":1}]}}"#;
        let found = Meta::misspelled_keys(content);
        let known: Vec<_> = found.iter().map(|(_, known)| *known).collect();
        assert_eq!(known, ["ulid", "numSeries", "sources", "maxTime"]);
        assert!(Meta::misspelled_keys(REGULAR.as_bytes()).is_empty());
    }

    #[test]
    fn what_is_no_ulid_and_no_utf_8_is_read_as_go_reads_it_and_named() {
        let own = REGULAR.replacen("01M7ZTRF1PQ7", "01M7ZTRF1PQI", 1);
        let meta = Meta::parse(own.as_bytes()).unwrap();
        assert_eq!(meta.ulid.to_string(), "01M7ZTRF1PQZK3FCJT989E37AF");
        assert_eq!(meta.stats.num_series, 3826);
        let odd = "01M7ZTRF1PQIK3FCJT989E37AF".to_owned();
        assert_eq!(Meta::misspelled_ulids(own.as_bytes()), [(true, odd)]);
        assert!(Meta::misspelled_ulids(REGULAR.as_bytes()).is_empty());

        let mut key = REGULAR.as_bytes().to_vec();
        let at = REGULAR.find("nTime").unwrap();
        key[at] |= 0x80;
        let meta = Meta::parse(&key).unwrap();
        assert_eq!((meta.min_time, meta.max_time), (0, 1_795_290_720_000));
        assert_eq!(Meta::misspelled_keys(&key)[0].1, "minTime");
        let mut ulid = REGULAR.as_bytes().to_vec();
        ulid[15] |= 0x80;
        assert!(Meta::parse(&ulid).is_err());
    }

    #[test]
    fn what_is_not_metadata_is_an_error() {
        for bad in [
            "",
            "{",
            "\0\0\0",
            "[]",
            r#"{"minTime":"x"}"#,
            r#"{"ulid":"no"}"#,
            r#"{"ulid":"81M7ZTRF1PQ7K3FCJT989E37AF"}"#,
        ] {
            assert_eq!(
                Meta::parse(bad.as_bytes()).unwrap_err().kind(),
                ErrorKind::Corrupt,
                "{bad}"
            );
        }
    }
}
