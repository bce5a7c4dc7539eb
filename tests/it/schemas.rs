//! What commands print with `--json` is what their schemas in `docs/schema` say, key by key.

use std::collections::BTreeSet;
use std::path::Path;

use assert_cmd::Command;
use serde_json::{Map, Value as Json};

use crate::fixtures::fixture;

/// What is wrong with `value` by `schema`, which may refer to the `$defs` of `root`. Knows the
/// words that the schemas use, and no others.
fn faults(value: &Json, schema: &Json, root: &Json, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    let schema = schema.as_object().unwrap();
    let empty = Map::new();
    let properties = schema
        .get("properties")
        .and_then(Json::as_object)
        .unwrap_or(&empty);
    for (word, said) in schema {
        match word.as_str() {
            "$schema" | "$defs" | "title" | "description" => {}
            "$ref" => {
                let path = said.as_str().unwrap().strip_prefix('#').unwrap();
                found.extend(faults(value, root.pointer(path).unwrap(), root, at));
            }
            "anyOf" => {
                let forms = said.as_array().unwrap().iter();
                let tried: Vec<_> = forms.map(|form| faults(value, form, root, at)).collect();
                if !tried.iter().any(Vec::is_empty) {
                    found.push(format!("{at}: is none of {} forms: {tried:?}", tried.len()));
                }
            }
            "enum" => {
                if !said.as_array().unwrap().contains(value) {
                    found.push(format!("{at}: {value} is none of {said}"));
                }
            }
            "type" => {
                let one = [said.clone()];
                let mut types = said.as_array().map_or(&one[..], Vec::as_slice).iter();
                if !types.any(|kind| is_a(value, kind.as_str().unwrap())) {
                    found.push(format!("{at}: expected {said}, found {value}"));
                }
            }
            "minimum" => {
                if value
                    .as_i64()
                    .is_some_and(|number| number < said.as_i64().unwrap())
                {
                    found.push(format!("{at}: expected {said} at least, found {value}"));
                }
            }
            "items" => {
                for (place, item) in value.as_array().into_iter().flatten().enumerate() {
                    found.extend(faults(item, said, root, &format!("{at}[{place}]")));
                }
            }
            "required" => {
                let keys = said
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|key| key.as_str().unwrap());
                let lacking = keys.filter(|key| value.is_object() && value.get(key).is_none());
                found.extend(lacking.map(|key| format!("{at}: there is no {key}")));
            }
            "properties" => {
                for (key, of) in properties {
                    if let Some(inner) = value.get(key) {
                        found.extend(faults(inner, of, root, &format!("{at}.{key}")));
                    }
                }
            }
            "additionalProperties" => {
                for (key, inner) in value.as_object().into_iter().flatten() {
                    match said {
                        _ if properties.contains_key(key) => {}
                        Json::Bool(false) => found.push(format!("{at}: {key} is not known")),
                        of => found.extend(faults(inner, of, root, &format!("{at}.{key}"))),
                    }
                }
            }
            unknown => panic!("the schemas say {unknown}, which is not checked"),
        }
    }
    found
}

fn is_a(value: &Json, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        unknown => panic!("there is no type {unknown}"),
    }
}

fn schema(command: &str) -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema");
    let text = std::fs::read_to_string(path.join(format!("{command}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A repository, a place to restore to, and the commands that were tried.
struct Desk {
    dir: tempfile::TempDir,
    tried: BTreeSet<String>,
}

impl Desk {
    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Runs a command with `--json` and holds what it prints to its schema. Where it is said, it
    /// ends like this.
    fn holds(&mut self, arguments: &[&str], code: i32) -> Json {
        let output = Command::cargo_bin("narthex")
            .unwrap()
            .args(arguments)
            .arg("--json")
            .current_dir(fixture(""))
            .env("NARTHEX_REPO", self.dir.path().join("repo"))
            .env("NARTHEX_STATE_DIR", self.dir.path().join("state"))
            .env("NARTHEX_CACHE_DIR", self.dir.path().join("cache"))
            .output()
            .unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {err}{out}"
        );
        let command = arguments[0];
        let schema = schema(command);
        let mut last = Json::Null;
        let documents: Vec<_> = if command == "dump" {
            out.lines().collect()
        } else {
            vec![&*out]
        };
        assert!(!documents.is_empty(), "{arguments:?}");
        for document in documents {
            last = serde_json::from_str(document)
                .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {document}"));
            let faults = faults(&last, &schema, &schema, command);
            assert!(faults.is_empty(), "{arguments:?}: {faults:#?}");
        }
        assert_eq!(
            last.get("exit_code").is_some(),
            code == 1 || code == 2,
            "{arguments:?}"
        );
        self.tried.insert(command.to_owned());
        last
    }
}

fn write(path: &Path, text: &str) -> String {
    std::fs::write(path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Commands of encrypted repositories.
#[cfg(feature = "encryption")]
fn hold_keys(desk: &mut Desk) {
    let [reader, host, admin, sealed, written] =
        ["reader.key", "host.key", "admin.key", "sealed", "written"].map(|name| desk.path(name));
    let made = desk.holds(&["key", "generate", &reader], 0);
    let recipient = made["public"].as_str().unwrap().to_owned();
    let made = desk.holds(&["key", "generate", "--signing", &host], 0);
    let signer = made["public"].as_str().unwrap().to_owned();
    desk.holds(&["key", "generate", &host], 1);
    let made = [
        "init",
        "--repo",
        &sealed,
        "--recipient",
        &recipient,
        "--admin",
        &admin,
    ];
    desk.holds(&made, 0);
    let changed = ["--signer", &signer, "--admin", &admin, "--repo", &sealed];
    desk.holds(&[&["key", "add"][..], &changed].concat(), 0);
    desk.holds(&["key", "list", "--repo", &sealed], 0);
    desk.holds(&["key", "list"], 1);
    let keys = ["--signing-key", &host, "-i", &reader, "--repo", &sealed];
    desk.holds(
        &[&["backup", "night-1", "--source", "s"][..], &keys].concat(),
        0,
    );
    desk.holds(&[&["key", "memory", &written][..], &keys].concat(), 0);
    desk.holds(&[&["witness"][..], &keys].concat(), 0);
    desk.holds(&[&["archives"][..], &keys].concat(), 0);
    desk.holds(&["archives", "--repo", &sealed], 1);
    desk.holds(&["check", "--read-data", "--repo", &sealed], 0);
}

#[test]
fn every_command_prints_what_its_schema_says() {
    let mut desk = Desk {
        dir: tempfile::tempdir().unwrap(),
        tried: BTreeSet::new(),
    };
    let rules = write(
        &desk.dir.path().join("rules.yml"),
        "groups: [{name: a, rules: [{record: b, expr: 'sum(up) / rate($metric[5m])'}]}]",
    );
    let sick = desk.path("sick");
    std::fs::create_dir(&sick).unwrap();
    std::fs::create_dir(format!("{sick}/01M80FJGSDDJPV4DWFG2XR4VJ2")).unwrap();
    let thanos = std::fs::read_dir(fixture("thanos")).unwrap().next();
    let thanos = thanos.unwrap().unwrap().path();
    let thanos = thanos.to_str().unwrap();

    desk.holds(&["init"], 0);
    desk.holds(&["init"], 1);
    for directory in ["night-1", "night-2", "wal/wal-1", "blocks/child-of-three"] {
        desk.holds(&["list", directory], 0);
        desk.holds(&["verify", directory], 0);
    }
    desk.holds(&["list", &sick], 3);
    desk.holds(&["list", thanos], 0);
    desk.holds(&["verify", &sick], 3);
    desk.holds(&["verify", "night-1", "not/there"], 1);
    desk.holds(&["inspect", "blocks/child-of-three"], 0);
    desk.holds(&["inspect", "night-1"], 0);
    for by in [
        None,
        Some("metric"),
        Some("summary"),
        Some("block"),
        Some("churn"),
        Some("label=job"),
    ] {
        let by: Vec<_> = by.iter().flat_map(|by| ["--by", by]).collect();
        desk.holds(
            &[&["analyze", "night-1", "--extended"][..], &by].concat(),
            0,
        );
    }
    desk.holds(&["analyze", "blocks/child-of-three"], 0);
    desk.holds(
        &[
            "whatif",
            "night-1/01M80FJGSDDJPV4DWFG2XR4VJ2",
            "--drop-label",
            "handler",
        ],
        3,
    );
    desk.holds(
        &[
            "whatif",
            "night-1/01M80FJGSDDJPV4DWFG2XR4VJ2",
            "--rules",
            &rules,
        ],
        0,
    );
    for directory in [
        "night-1/01M80FJGSDDJPV4DWFG2XR4VJ2",
        "blocks/child-of-three",
    ] {
        desk.holds(&["dump", directory], 0);
    }
    desk.holds(&["backup", "night-1", "--source", "s", "--dry-run"], 0);
    let first = desk.holds(&["backup", "night-1", "--source", "s"], 0);
    let second = desk.holds(&["backup", "night-2", "--source", "s", "--label", "a=b"], 0);
    desk.holds(&["backup", "night-2", "--source", "s", "--dry-run"], 0);
    let (first, second) = (
        first["id"].as_str().unwrap(),
        second["id"].as_str().unwrap(),
    );
    desk.holds(&["archives"], 0);
    desk.holds(&["archives", "--host", "nobody"], 1);
    let target = desk.path("target");
    desk.holds(&["restore", "latest", "--target", &target, "--dry-run"], 0);
    desk.holds(&["restore", "latest", "--target", &target], 0);
    desk.holds(&["restore", "latest", "--target", &target], 1);
    let cut = desk.path("cut");
    let span = [
        "--since",
        "2026-11-22 01:56:30",
        "--until",
        "2026-11-22 01:57:10",
    ];
    desk.holds(
        &[&["restore", first, "--target", &cut, "--exact"][..], &span].concat(),
        0,
    );
    desk.holds(&["diff", first, second], 0);
    desk.holds(&["diff", first, second, "--content"], 0);
    desk.holds(&["diff", "night-1", "night-2"], 0);
    let config = write(
        &desk.dir.path().join("narthex.toml"),
        "[repository.main]\nurl = \"/not/there\"\n[source.s]\npath = \"/not/there\"\nkeep-last = 1\n",
    );
    desk.holds(&["config", "check", "--config", &config], 3);
    desk.holds(&["config", "show", "--config", &config], 0);
    desk.holds(&["config", "show", "--config", "none"], 1);
    desk.holds(
        &["forget", "--config", &config, "--source", "s", "--dry-run"],
        0,
    );
    desk.holds(&["stats"], 0);
    desk.holds(&["stats", "--quick"], 0);
    desk.holds(&["stats", "--by", "both"], 0);
    desk.holds(&["check"], 0);
    desk.holds(&["check", "--read-data"], 0);
    let other = desk.path("other");
    desk.holds(&["copy", "--to", &other, "--dry-run"], 0);
    desk.holds(&["copy", first, "--to", &other], 0);
    desk.holds(&["check", "--compare", &other], 3);
    desk.holds(&["copy", "--to", &other], 0);
    desk.holds(&["check", "--compare", &other], 0);
    desk.holds(&["copy"], 2);
    desk.holds(&["copy", "--to", &desk.path("repo")], 1);
    let copied = ["backup", "night-2", "--source", "s", "--copy-to", &other];
    desk.holds(&copied, 0);
    desk.holds(
        &[
            "forecast",
            "night-1",
            "--disk",
            "1GiB",
            "--retention",
            "15d",
        ],
        0,
    );
    desk.holds(&["forecast"], 0);
    desk.holds(&["forget", "--keep-last", "1", "--dry-run", "--prune"], 0);
    desk.holds(&["forget", "--keep-last", "1"], 0);
    desk.holds(&["prune", "--dry-run"], 0);
    desk.holds(&["prune", "--grace", "0s"], 0);
    desk.holds(&["repair"], 0);
    #[cfg(feature = "encryption")]
    hold_keys(&mut desk);
    // What it prints elsewhere is held to its schema beside a bucket that can lock.
    desk.holds(&["lock", "latest", "--for", "30d"], 1);
    // Damage.
    for entry in crate::fixtures::tree(&desk.dir.path().join("repo/blocks")).keys() {
        let path = desk.dir.path().join("repo/blocks").join(entry);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    desk.holds(&["check", "--read-data"], 3);
    desk.holds(&["repair", "--dry-run"], 0);
    let rest = desk.path("rest");
    desk.holds(&["restore", "latest", "--target", &rest, "--salvage"], 3);
    desk.holds(&["restore", "latest"], 2);

    let known = narthex::report::schema::SCHEMAS.iter();
    let known: BTreeSet<_> = known.map(|schema| schema.command.to_owned()).collect();
    assert_eq!(desk.tried, known, "every command is tried");
}

/// Proves that `value` is what the schema of `command` says.
#[cfg(feature = "remote")]
pub(crate) fn assert_fits(command: &str, value: &Json) {
    let schema = schema(command);
    let faults = faults(value, &schema, &schema, "");
    assert!(faults.is_empty(), "{command}: {faults:?}");
}

#[test]
fn the_validator_finds_what_is_wrong() {
    let schema = schema("archives");
    let fits = |text: &str| {
        let value: Json = serde_json::from_str(text).unwrap();
        faults(&value, &schema, &schema, "").is_empty()
    };
    assert!(fits(r#"{"archives":[],"damaged":[]}"#));
    assert!(fits(
        r#"{"archives":[],"damaged":[{"object":"a","error":"b"}]}"#
    ));
    assert!(!fits(r#"{"archives":[]}"#), "a key is missing");
    assert!(
        !fits(r#"{"archives":[],"damaged":[],"more":1}"#),
        "a key is unknown"
    );
    assert!(!fits(r#"{"archives":{},"damaged":[]}"#), "no list");
    assert!(
        !fits(r#"{"archives":[],"damaged":[{"object":"a","error":1}]}"#),
        "no string"
    );
    assert!(fits(
        r#"{"error":"a","kind":"io","causes":[],"exit_code":1}"#
    ));
    assert!(!fits(
        r#"{"error":"a","kind":"bad","causes":[],"exit_code":1}"#
    ));
}
