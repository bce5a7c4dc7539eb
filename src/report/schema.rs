//! JSON schemas of what commands print with `--json`, made from the sheets: `docs/schema`. What
//! stands beside the sheets is said here.

use serde_json::{Map, Value as Json, json};

use super::{
    Described, Field, InJson, SheetOf, ValueKind, analyze, archives, backup, blocks, compare,
    config, copy, findings, forecast, inspect, keys, lock, logs, replaced, retain, start, stats,
    trouble, whatif,
};

/// The schema of what a command prints.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// The command.
    pub command: &'static str,
    /// What its document is when it could do what was asked: one of these.
    forms: fn() -> Vec<Json>,
}

/// A schema for each command that has `--json`. `narthex dump` prints a document per line.
pub const SCHEMAS: &[Schema] = &[
    Schema {
        command: "analyze",
        forms: of_analyze,
    },
    Schema {
        command: "archives",
        forms: of_archives,
    },
    Schema {
        command: "backup",
        forms: of_backup,
    },
    Schema {
        command: "check",
        forms: of_check,
    },
    Schema {
        command: "config",
        forms: of_config,
    },
    Schema {
        command: "copy",
        forms: of_copy,
    },
    Schema {
        command: "diff",
        forms: of_diff,
    },
    Schema {
        command: "dump",
        forms: of_dump,
    },
    Schema {
        command: "forecast",
        forms: of_forecast,
    },
    Schema {
        command: "forget",
        forms: of_forget,
    },
    Schema {
        command: "init",
        forms: of_init,
    },
    Schema {
        command: "inspect",
        forms: of_inspect,
    },
    Schema {
        command: "key",
        forms: of_key,
    },
    Schema {
        command: "list",
        forms: of_list,
    },
    Schema {
        command: "lock",
        forms: of_lock,
    },
    Schema {
        command: "prune",
        forms: of_prune,
    },
    Schema {
        command: "repair",
        forms: of_repair,
    },
    Schema {
        command: "restore",
        forms: of_restore,
    },
    Schema {
        command: "stats",
        forms: of_stats,
    },
    Schema {
        command: "verify",
        forms: of_verify,
    },
    Schema {
        command: "whatif",
        forms: of_whatif,
    },
    Schema {
        command: "witness",
        forms: of_witness,
    },
];

impl Schema {
    /// The schema, of draft 2020-12.
    pub fn json(&self) -> Json {
        let mut forms = (self.forms)();
        forms.push(json!({ "$ref": "#/$defs/error" }));
        let documents = forms.iter_mut();
        let documents = documents.filter_map(|form| form.get_mut("properties"));
        for keys in documents.filter_map(Json::as_object_mut) {
            keys.insert("traffic".to_owned(), json!({ "$ref": "#/$defs/traffic" }));
        }
        let command = self.command;
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": format!("narthex {command} --json"),
            "anyOf": forms,
            "$defs": {
                "error": Object::new().and(error()).perhaps("traffic", json!({ "$ref": "#/$defs/traffic" })).json(),
                "traffic": list(Object::row(&super::traffic::TRAFFIC).json()),
            },
        })
    }

    /// The schema as its file holds it.
    pub fn text(&self) -> String {
        format!("{:#}\n", self.json())
    }
}

/// An object of which every key is known.
#[derive(Default)]
struct Object {
    properties: Map<String, Json>,
    optional: Vec<&'static str>,
}

impl Object {
    fn new() -> Self {
        Self::default()
    }

    fn with(mut self, key: &str, schema: Json) -> Self {
        self.properties.insert(key.to_owned(), schema);
        self
    }

    /// A key that need not be there.
    fn perhaps(mut self, key: &'static str, schema: Json) -> Self {
        self.optional.push(key);
        self.with(key, schema)
    }

    fn and(mut self, other: Object) -> Self {
        self.properties.extend(other.properties);
        self.optional.extend(other.optional);
        self
    }

    /// None of the keys need be there.
    fn all_optional(mut self, keys: &[&'static str]) -> Self {
        self.optional.extend(keys);
        self
    }

    /// What [`SheetOf::add_to`] adds for the sheet.
    fn sheet(self, sheet: &dyn Described) -> Self {
        let row = Self::row(sheet);
        match sheet.in_json() {
            InJson::List(key) => self.with(key, list(row.json())),
            InJson::Object(key) => self.with(key, row.json()),
            InJson::Itself => self.and(row),
            InJson::Named(_) | InJson::Alone | InJson::Nowhere => self,
        }
    }

    fn sheets<Of: ?Sized>(self, sheets: &[&dyn SheetOf<Of>]) -> Self {
        sheets
            .iter()
            .fold(self, |object, sheet| object.sheet(*sheet))
    }

    /// A row of the sheet.
    fn row(sheet: &dyn Described) -> Self {
        let fields = sheet.fields();
        fields.iter().fold(Self::new(), |object, field| {
            object.with(field.key, value(field))
        })
    }

    fn json(self) -> Json {
        let keys = self.properties.keys();
        let required: Vec<_> = keys
            .filter(|key| !self.optional.contains(&key.as_str()))
            .collect();
        json!({
            "type": "object",
            "required": required,
            "properties": self.properties,
            "additionalProperties": false,
        })
    }
}

/// A value of a column: of the type of its unit, or null.
fn value(field: &Field) -> Json {
    let mut schema = match field.unit.kind() {
        ValueKind::Text => json!({ "type": ["string", "null"] }),
        ValueKind::List => json!({ "type": ["array", "null"], "items": string() }),
        ValueKind::Flag => json!({ "type": ["boolean", "null"] }),
        ValueKind::Count | ValueKind::Bytes => json!({ "type": ["integer", "null"], "minimum": 0 }),
        ValueKind::SignedCount | ValueKind::SignedBytes | ValueKind::Duration | ValueKind::Time => {
            json!({ "type": ["integer", "null"] })
        }
        ValueKind::Number => json!({ "type": ["number", "null"] }),
        ValueKind::Spans => json!({ "type": ["array", "null"], "items": span() }),
    };
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".to_owned(), json!(field.explanation));
    }
    schema
}

fn string() -> Json {
    json!({ "type": "string" })
}

fn strings() -> Json {
    list(string())
}

fn count() -> Json {
    json!({ "type": "integer", "minimum": 0 })
}

fn flag() -> Json {
    json!({ "type": "boolean" })
}

fn or_null(kind: &str) -> Json {
    json!({ "type": [kind, "null"] })
}

fn list(items: Json) -> Json {
    let array = [("type", json!("array")), ("items", items)];
    Json::Object(
        array
            .map(|(word, said)| (word.to_owned(), said))
            .into_iter()
            .collect(),
    )
}

/// An object with anything of a kind, by names.
fn named(of: Json) -> Json {
    let object = [("type", json!("object")), ("additionalProperties", of)];
    Json::Object(
        object
            .map(|(word, said)| (word.to_owned(), said))
            .into_iter()
            .collect(),
    )
}

/// A span of time.
fn span() -> Json {
    let time = json!({ "type": "integer" });
    let span = Object::new().with("min_time", time.clone());
    span.with("max_time", time).json()
}

/// What is said of an error, beside what was found until then.
fn error() -> Object {
    let kinds = [
        "corrupt",
        "unsupported",
        "not_found",
        "already_exists",
        "refused",
        "locked",
        "invalid",
        "io",
        "usage",
    ];
    Object::new()
        .with("error", string())
        .with("kind", json!({ "enum": kinds }))
        .with("causes", strings())
        .perhaps("advice", string())
        .with("exit_code", count())
}

fn place() -> Json {
    json!({ "enum": ["data directory", "Prometheus snapshot", "block"] })
}

/// Manifests that cannot be read.
fn damaged() -> Json {
    list(
        Object::new()
            .with("object", string())
            .with("error", string())
            .json(),
    )
}

fn of_list() -> Vec<Json> {
    let directory = Object::new().with("path", string()).with("place", place());
    let directory = directory
        .sheets(blocks::LISTS)
        .sheet(&logs::HEADS)
        .sheet(&logs::LOGS)
        .sheet(&blocks::TOTALS);
    vec![
        Object::new()
            .with("directories", list(directory.json()))
            .json(),
    ]
}

fn of_verify() -> Vec<Json> {
    let found = || {
        Object::new()
            .sheet(&findings::FINDINGS)
            .with("counts", named(count()))
    };
    let block = Object::row(&findings::BLOCKS).and(found());
    let start = json!({ "anyOf": [{ "type": "null" }, of_start()] });
    let path = Object::new()
        .with("path", string())
        .with("place", place())
        .with("healthy", flag())
        .with("blocks", list(block.json()))
        .with("start", start)
        .sheet(&logs::LOGS)
        .and(found());
    // A path that cannot be looked at does not hide the others.
    let mut failed = error();
    failed = failed.all_optional(&["error", "kind", "causes", "exit_code"]);
    vec![
        Object::new()
            .with("verified", list(path.json()))
            .and(failed)
            .json(),
    ]
}

fn of_start() -> Json {
    Object::new()
        .with("prometheus", string())
        .with("retention", or_null("integer"))
        .with("retention_size", or_null("integer"))
        .with("now", or_null("integer"))
        .with("starts", flag())
        .with("keeps", strings())
        .with("stored_until", or_null("integer"))
        .with("valid_from", or_null("integer"))
        .with("replays", json!({ "anyOf": [{ "type": "null" }, span()] }))
        .sheet(&start::ENTRIES)
        .json()
}

/// Distributions by name, each with its buckets.
fn distributions(sheet: &dyn Described) -> Json {
    named(Object::row(sheet).sheet(&inspect::columns::BUCKETS).json())
}

fn of_inspect() -> Vec<Json> {
    let block = Object::new()
        .sheets(inspect::SHEETS)
        .with(
            "distributions",
            distributions(&inspect::columns::DISTRIBUTIONS),
        )
        .with("faults", strings());
    vec![Object::new().with("blocks", list(block.json())).json()]
}

fn of_analyze() -> Vec<Json> {
    let whole = Object::new()
        .sheets(analyze::SHEETS)
        .with(
            "distributions",
            distributions(&analyze::columns::chunks::DISTRIBUTIONS),
        )
        .with("faults", strings());
    let alone = analyze::SHEETS.iter().map(|sheet| *sheet as &dyn Described);
    let values: &dyn Described = &analyze::columns::groups::VALUES;
    let alone = alone
        .chain([values])
        .map(|sheet| list(Object::row(sheet).json()));
    std::iter::once(whole.json()).chain(alone).collect()
}

fn of_whatif() -> Vec<Json> {
    let collisions = Object::new()
        .with("change", string())
        .sheet(&whatif::columns::COLLISIONS);
    let uses = [
        "metrics",
        "unused",
        "guessed",
        "files",
        "expressions",
        "problems",
    ];
    let object = Object::new()
        .with("covered", json!({ "type": "integer" }))
        .sheet(&whatif::columns::OUTCOMES)
        .with("collisions", list(collisions.json()))
        .with("snippet", string())
        .with("notes", strings())
        .with("metrics", count())
        .sheets(whatif::SHEETS_OF_USES)
        .with("files", count())
        .with("expressions", count())
        .with("problems", strings());
    vec![object.all_optional(&uses).json()]
}

fn of_key() -> Vec<Json> {
    let listed = Object::new()
        .with("number", count())
        .with("admin", or_null("string"))
        .sheet(&keys::KEYS);
    let made = Object::new()
        .with("kind", json!({ "enum": ["recipient", "signer"] }))
        .with("public", string());
    let recalled = Object::new()
        .with("archive", string())
        .with("directory", string());
    vec![listed.json(), made.json(), recalled.json()]
}

fn of_witness() -> Vec<Json> {
    let made = Object::new()
        .with("number", count())
        .with("archives", count())
        .with("accepted_gone", strings())
        .with("accepted_changed", strings())
        .with("accepted_witness", or_null("integer"));
    vec![made.json()]
}

fn of_init() -> Vec<Json> {
    vec![
        Object::new()
            .with("id", string())
            .with("repository", string())
            .with("by_source", flag())
            .with("admin", or_null("string"))
            .json(),
    ]
}

fn of_backup() -> Vec<Json> {
    let told = || {
        Object::new()
            .sheet(&backup::LEFT_OUT)
            .sheet(&trouble::TROUBLE)
    };
    let made = Object::row(&backup::BACKUP)
        .and(told())
        .sheet(&copy::COPIES)
        .with("mended", strings())
        .with("lock", locked_or_null());
    let new = Object::new().with("ulid", string()).with("bytes", count());
    let preview = Object::new()
        .with("new", list(new.json()))
        .with("updated", strings())
        .with("unchanged", strings())
        .and(told());
    let preview = preview.with("lock", locked_or_null());
    vec![made.json(), preview.json()]
}

/// What was locked, where that was wanted.
fn locked_or_null() -> Json {
    json!({ "anyOf": [Object::row(&lock::LOCKED).json(), { "type": "null" }] })
}

fn of_lock() -> Vec<Json> {
    let object = Object::row(&lock::LOCKED);
    vec![object.with("dry_run", flag()).json()]
}

fn of_copy() -> Vec<Json> {
    let object = Object::row(&copy::COPY)
        .sheet(&copy::COPIED)
        .sheet(&trouble::TROUBLE);
    vec![object.with("dry_run", flag()).json()]
}

fn of_archives() -> Vec<Json> {
    let object = Object::new().sheet(&archives::ARCHIVES);
    vec![object.with("damaged", damaged()).json()]
}

fn of_restore() -> Vec<Json> {
    let planned = || {
        let replaced = Object::new()
            .with("block", string())
            .with("by", strings())
            .with("undeleted", flag())
            .with("sources", strings());
        let kept = Object::new()
            .perhaps("block", string())
            .perhaps("findings", strings())
            .perhaps("log", string())
            .perhaps("problem", string());
        Object::new()
            .with("blocks", strings())
            .with("already_there", strings())
            .with("wal", flag())
            .with("bytes", count())
            .with("gaps", list(span()))
            .with("replaced", list(replaced.json()))
            .with("aggregates", strings())
            .with("aggregates_left_out", strings())
            .with("doubtful", list(strings()))
            .with("excluded", strings())
            .sheet(&trouble::TROUBLE)
            .with("newest_sample", or_null("integer"))
            .with("prometheus_starts", flag())
            .with("keeps_from_starting", list(kept.json()))
            .with("start", of_start())
            .with("blocks_older_than_default_retention", count())
    };
    let failed = || Object::new().with("name", string()).with("error", string());
    let cut = Object::new()
        .with("original", string())
        .with("block", or_null("string"))
        .with("series", or_null("integer"))
        .with("samples", or_null("integer"));
    let head = Object::new()
        .with("block", string())
        .with("series", count())
        .with("samples", count());
    let taken = Object::new()
        .with("name", string())
        .with("from", strings())
        .with("reason", string());
    let done = planned()
        .with("archive", string())
        .with("min_time", or_null("integer"))
        .with("max_time", or_null("integer"))
        .with(
            "head",
            json!({ "anyOf": [{ "type": "null" }, head.json()] }),
        )
        .with("cut", list(cut.json()))
        .with("beside", strings())
        .with("failed", list(failed().with("salvageable", flag()).json()))
        .with("mixed", list(failed().json()))
        .with("salvaged", list(salvaged()))
        .with("taken", list(taken.json()));
    let to_do = planned()
        .with("head", flag())
        .with("to_cut", strings())
        .with("room", count())
        .with("free", or_null("integer"));
    let in_place = Object::new()
        .with("archive", string())
        .with("dry_run", flag())
        .with("room", count())
        .sheet(&replaced::REPLACED)
        .sheet(&trouble::TROUBLE);
    vec![done.json(), to_do.json(), in_place.json()]
}

fn salvaged() -> Json {
    let loss = Object::new()
        .with("place", string())
        .with("series", or_null("integer"))
        .with("samples", or_null("integer"))
        .with("min_time", or_null("integer"))
        .with("max_time", or_null("integer"));
    Object::new()
        .with("original", string())
        .with("block", or_null("string"))
        .with("series", or_null("integer"))
        .with("samples", or_null("integer"))
        .with("complete", flag())
        .with("lost_series", or_null("integer"))
        .with("lost_samples", or_null("integer"))
        .with("losses", list(loss.json()))
        .with("more_losses", count())
        .with("reason", string())
        .json()
}

fn of_check() -> Vec<Json> {
    let counts = ["archives", "objects", "bytes", "objects_read", "bytes_read"];
    let object = counts
        .iter()
        .fold(Object::new(), |object, key| object.with(key, count()));
    let object = object
        .sheet(&archives::CHECK_FINDINGS)
        .sheet(&copy::COMPARED)
        .sheet(&copy::DIFFERENCES)
        .all_optional(&["compared", "differences"]);
    vec![object.json()]
}

fn of_repair() -> Vec<Json> {
    let object = Object::new().with("dry_run", flag());
    vec![object.sheet(&archives::REPAIR_STEPS).json()]
}

fn of_stats() -> Vec<Json> {
    let by_group = Object::new().with("archive", string());
    vec![
        Object::new().sheets(stats::SHEETS).json(),
        by_group.sheets(stats::SHEETS_BY_GROUP).json(),
    ]
}

fn of_diff() -> Vec<Json> {
    let lists = Object::new()
        .with("a", string())
        .with("b", string())
        .with("shared", count())
        .sheet(&archives::CHANGES);
    let files = Object::row(&compare::FILES).json();
    let samples = Object::new()
        .with(
            "equal",
            json!({ "enum": ["files", "samples", "series", "none"] }),
        )
        .with("complete", flag())
        .sheet(&compare::SIDES)
        .sheet(&compare::COUNTS)
        .with("files", json!({ "anyOf": [{ "type": "null" }, files] }))
        .sheets(compare::LISTS)
        .sheet(&trouble::TROUBLE);
    vec![lists.json(), samples.json()]
}

fn of_config() -> Vec<Json> {
    let object = || Object::new().with("file", string());
    vec![
        object().sheet(&config::CONFIG_FINDINGS).json(),
        object().sheet(&config::CONFIG_SETTINGS).json(),
    ]
}

fn of_forget() -> Vec<Json> {
    let object = Object::new()
        .sheet(&retain::DECISIONS)
        .with("damaged", damaged())
        .with("removed_damaged", strings())
        .with("ahead", strings())
        .with("damaged_blocks", strings())
        .with("held", strings())
        .with("dry_run", flag())
        .perhaps("policy", policy())
        .perhaps("prune", pruned());
    vec![object.json()]
}

/// A policy that the configuration says.
fn policy() -> Json {
    let object = Object::new().with("place", string());
    object.with("words", string()).json()
}

fn of_prune() -> Vec<Json> {
    vec![pruned()]
}

fn pruned() -> Json {
    let object = Object::new().sheet(&retain::PRUNED);
    object.with("dry_run", flag()).sheet(&retain::ITEMS).json()
}

fn of_forecast() -> Vec<Json> {
    let object = Object::new().sheets(forecast::SHEETS);
    vec![object.with("cautions", strings()).json()]
}

fn of_dump() -> Vec<Json> {
    // What JSON has no number for is a word: NaN, +Inf, -Inf, stale.
    let value = || json!({ "type": ["number", "string"] });
    let sample = || {
        let object = Object::new().with("labels", named(string()));
        object
            .with("time", json!({ "type": "integer" }))
            .perhaps("start", json!({ "type": "integer" }))
    };
    let float = sample().with("value", value()).perhaps("bits", string());
    let spans = || {
        let span = Object::new().with("offset", json!({ "type": "integer" }));
        list(span.with("length", count()).json())
    };
    let histogram = Object::new()
        .with("kind", json!({ "enum": ["integer", "float"] }))
        .with(
            "counter_reset",
            json!({ "enum": ["unknown", "no", "yes", "gauge"] }),
        )
        .with("sum", value())
        .with("count", value())
        .with("schema", json!({ "type": "integer" }))
        .with("zero_threshold", value())
        .with("zero_count", value())
        .perhaps("custom_bounds", list(value()))
        .perhaps("positive_spans", spans())
        .perhaps("positive_buckets", list(value()))
        .perhaps("negative_spans", spans())
        .perhaps("negative_buckets", list(value()));
    vec![
        float.json(),
        sample().with("histogram", histogram.json()).json(),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_schemas_in_docs_are_made_from_the_sheets() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema");
        let file = |schema: &Schema| dir.join(format!("{}.json", schema.command));
        if std::env::var_os("NARTHEX_WRITE_REFERENCE").is_some() {
            fs::create_dir_all(&dir).unwrap();
            for schema in SCHEMAS {
                fs::write(file(schema), schema.text()).unwrap();
            }
        }
        for schema in SCHEMAS {
            assert!(
                fs::read_to_string(file(schema)).unwrap() == schema.text(),
                "{} is not what src/report says: `NARTHEX_WRITE_REFERENCE=1 cargo test --lib report::` writes it anew; commit it with the change",
                file(schema).display()
            );
        }
        let there = fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let there: BTreeSet<_> = there.collect();
        assert_eq!(there, SCHEMAS.iter().map(file).collect());
    }

    #[test]
    fn every_key_is_of_small_letters() {
        fn keys(schema: &Json) {
            match schema {
                Json::Object(object) => {
                    let properties = object.get("properties").and_then(Json::as_object);
                    for key in properties.into_iter().flat_map(Map::keys) {
                        let is_small =
                            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
                        assert!(key.chars().all(is_small), "{key}");
                    }
                    object.values().for_each(keys);
                }
                Json::Array(array) => array.iter().for_each(keys),
                _ => {}
            }
        }
        for schema in SCHEMAS {
            keys(&schema.json());
        }
    }
}
