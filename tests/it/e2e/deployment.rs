//! The deployment examples are what somebody pastes tonight: the program must understand their
//! command lines.

use std::fs;
use std::path::Path;

use super::program::{narthex, run};

#[test]
fn the_command_lines_of_the_deployment_examples_are_understood() {
    for (file, wanted) in [
        ("narthex-backup.service", 2),
        ("narthex-prune.service", 1),
        ("narthex.cron", 3),
        ("kubernetes-cronjob.yaml", 1),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("docs/deploy")
            .join(file);
        let text = fs::read_to_string(path).unwrap();
        let commands: Vec<_> = text.lines().filter_map(arguments).collect();
        assert_eq!(commands.len(), wanted, "{file}: {commands:?}");
        for arguments in commands {
            // Help comes after the arguments before it have been understood.
            let mut command = narthex(&arguments);
            run(
                command.arg("--help").env("NARTHEX_REPO", "/repository"),
                &[0],
            );
        }
    }
}

/// The arguments of `narthex` in a line of a shell or systemd file, or in a container's `args`.
fn arguments(line: &str) -> Option<Vec<String>> {
    let (separator, arguments) = match line.trim().strip_prefix("args: [") {
        Some(list) => (", ", list.trim_end_matches(']')),
        None => (" ", line.split_once("/usr/local/bin/narthex ")?.1),
    };
    Some(arguments.split(separator).map(str::to_owned).collect())
}
