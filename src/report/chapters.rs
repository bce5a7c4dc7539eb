//! Every sheet there is, by the command that prints it.

use super::{
    Described, SheetOf, analyze, archives, backup, blocks, compare, config, copy, findings,
    forecast, inspect, keys, lock, logs, prose, replaced, retain, start, stats, traffic, trouble,
    whatif,
};

/// What one command prints: its sheets, and what is around them.
#[derive(Clone, Copy, Debug)]
pub struct Chapter {
    /// The command.
    pub command: &'static str,
    /// What its JSON is apart from the sheets, in Markdown.
    pub prose: &'static str,
    /// Its sheets, as good as possible in the order of its JSON.
    pub sheets: fn() -> Vec<&'static dyn Described>,
    /// The option that prints one of the sheets by itself, by its name, if there is one.
    pub option: Option<&'static str>,
}

/// Every sheet that narthex prints, by command. `docs/report-columns.md` is made of it, and a test
/// finds sheets that do not stand here.
pub const CHAPTERS: &[Chapter] = &[
    Chapter {
        command: "list",
        prose: prose::LIST,
        sheets: || {
            let mut sheets = described(blocks::LISTS);
            sheets.extend([&logs::HEADS as &dyn Described, &logs::LOGS, &blocks::TOTALS]);
            sheets
        },
        option: None,
    },
    Chapter {
        command: "verify",
        prose: prose::VERIFY,
        sheets: || vec![&findings::BLOCKS, &findings::FINDINGS, &start::ENTRIES],
        option: None,
    },
    Chapter {
        command: "inspect",
        prose: prose::INSPECT,
        sheets: || {
            let mut sheets = described(inspect::SHEETS);
            sheets.push(&inspect::columns::BUCKETS);

            sheets
        },
        option: None,
    },
    Chapter {
        command: "analyze",
        prose: prose::ANALYZE,
        sheets: || {
            let mut sheets = described(analyze::SHEETS);
            sheets.push(&analyze::columns::groups::VALUES);
            sheets
        },
        option: Some("--by"),
    },
    Chapter {
        command: "whatif",
        prose: prose::WHATIF,
        sheets: || {
            let mut sheets: Vec<&dyn Described> =
                vec![&whatif::columns::OUTCOMES, &whatif::columns::COLLISIONS];
            sheets.extend(described(whatif::SHEETS_OF_USES));
            sheets
        },
        option: None,
    },
    Chapter {
        command: "backup",
        prose: prose::BACKUP,
        sheets: || {
            vec![
                &backup::BACKUP,
                &trouble::TROUBLE,
                &backup::LEFT_OUT,
                &copy::COPIES,
            ]
        },
        option: None,
    },
    Chapter {
        command: "copy",
        prose: prose::COPY,
        sheets: || vec![&copy::COPY, &copy::COPIED, &trouble::TROUBLE],
        option: None,
    },
    Chapter {
        command: "archives",
        prose: prose::ARCHIVES,
        sheets: || vec![&archives::ARCHIVES],
        option: None,
    },
    Chapter {
        command: "restore",
        prose: prose::RESTORE,
        sheets: || vec![&backup::RESTORE, &replaced::REPLACED, &trouble::TROUBLE],
        option: None,
    },
    Chapter {
        command: "check",
        prose: prose::CHECK,
        sheets: || {
            vec![
                &archives::CHECK_FINDINGS,
                &copy::COMPARED,
                &copy::DIFFERENCES,
            ]
        },
        option: None,
    },
    Chapter {
        command: "repair",
        prose: prose::REPAIR,
        sheets: || vec![&archives::REPAIR_STEPS],
        option: None,
    },
    Chapter {
        command: "stats",
        prose: prose::STATS,
        sheets: || {
            let mut sheets = described(stats::SHEETS);
            sheets.extend(described(stats::SHEETS_BY_GROUP));
            sheets
        },
        option: None,
    },
    Chapter {
        command: "diff",
        prose: prose::DIFF,
        sheets: || {
            let mut sheets: Vec<&dyn Described> = vec![
                &archives::CHANGES,
                &compare::SIDES,
                &compare::COUNTS,
                &compare::FILES,
            ];
            sheets.extend(described(compare::LISTS));
            sheets.push(&trouble::TROUBLE);
            sheets
        },
        option: None,
    },
    Chapter {
        command: "forget",
        prose: prose::FORGET,
        sheets: || vec![&retain::DECISIONS],
        option: None,
    },
    Chapter {
        command: "prune",
        prose: prose::PRUNE,
        sheets: || vec![&retain::PRUNED, &retain::ITEMS],
        option: None,
    },
    Chapter {
        command: "lock",
        prose: prose::LOCK,
        sheets: || vec![&lock::LOCKED],
        option: None,
    },
    Chapter {
        command: "key",
        prose: prose::KEY,
        sheets: || vec![&keys::KEYS],
        option: None,
    },
    Chapter {
        command: "witness",
        prose: prose::WITNESS,
        sheets: Vec::new,
        option: None,
    },
    Chapter {
        command: "forecast",
        prose: prose::FORECAST,
        sheets: || described(forecast::SHEETS),
        option: None,
    },
    Chapter {
        command: "dump",
        prose: prose::DUMP,
        sheets: Vec::new,
        option: None,
    },
    Chapter {
        command: "config",
        prose: prose::CONFIG,
        sheets: || vec![&config::CONFIG_FINDINGS, &config::CONFIG_SETTINGS],
        option: None,
    },
    Chapter {
        command: "COMMAND",
        prose: prose::NETWORK,
        sheets: || vec![&traffic::TRAFFIC],
        option: None,
    },
];

/// The same sheets without the type of what they are about.
fn described<Of: ?Sized>(
    sheets: &'static [&'static dyn SheetOf<Of>],
) -> Vec<&'static dyn Described> {
    sheets
        .iter()
        .map(|sheet| *sheet as &dyn Described)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_sheet_stands_in_a_chapter() {
        let registered: BTreeMap<*const (), &str> = CHAPTERS
            .iter()
            .flat_map(|chapter| (chapter.sheets)())
            .map(|sheet| (std::ptr::from_ref(sheet).cast(), sheet.name()))
            .collect();
        let mut described: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (file, name) in described_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
            described.entry(name).or_default().push(file);
        }
        for (name, files) in &described {
            let known = registered.values().filter(|known| *known == name).count();
            assert!(
                known >= files.len(),
                "a sheet {name:?} is in no chapter of src/report/chapters.rs, nor in a list of sheets that one takes: {files:?}"
            );
        }
        let found: usize = described.values().map(Vec::len).sum();
        assert_eq!(
            found,
            registered.len(),
            "a sheet is described in a way that this test does not find (`= Sheet {{`, then `name: \"…\",`)"
        );
    }

    /// File and name of every sheet that is described below `dir`, tests apart.
    fn described_in(dir: &Path) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(described_in(&path));
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for after in code.split("= Sheet {\n").skip(1) {
                let name = after.trim_start().strip_prefix("name: \"");
                let name = name.and_then(|rest| rest.split('"').next());
                let name = name.expect("a sheet begins with its name");
                found.push((path.display().to_string(), name.to_owned()));
            }
        }
        found
    }

    #[test]
    fn names_are_unique_in_a_chapter_and_keys_in_a_sheet_and_every_column_is_explained() {
        for chapter in CHAPTERS {
            let mut names = BTreeSet::new();
            for sheet in (chapter.sheets)() {
                let name = format!("{} {}", chapter.command, sheet.name());
                assert!(names.insert(sheet.name()), "{name}");
                assert!(
                    !sheet.title().is_empty() && !sheet.row().is_empty(),
                    "{name}"
                );
                let mut keys = BTreeSet::new();
                for field in sheet.fields() {
                    assert!(keys.insert(field.key), "{name}: {}", field.key);
                    assert!(field.explanation.ends_with('.'), "{name}: {}", field.key);
                }
            }
        }
    }
}
