//! What the configuration file says of an object store takes effect: credentials, endpoint, prices.

use std::fs;
use std::process::Command;

use super::nights::night;
use super::servers::{Kind, ObjectServer};
use crate::backup_command::Ran;

/// A machine whose configuration says how to reach a server.
struct Machine {
    home: tempfile::TempDir,
}

impl Machine {
    fn run(&self, arguments: &[&str], set: &[(&str, &str)]) -> Ran {
        let home = self.home.path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_narthex"));
        command.args(arguments).current_dir(home);
        for (name, _) in std::env::vars_os() {
            let shown = name.to_string_lossy().into_owned();
            if ["NARTHEX_", "AWS_"].iter().any(|it| shown.starts_with(it)) {
                command.env_remove(name);
            }
        }
        let output = command
            .env("NARTHEX_CONFIG", home.join("narthex.toml"))
            .env("NARTHEX_CACHE_DIR", home.join("cache"))
            .env("NARTHEX_STATE_DIR", home.join("state"))
            .env("HOME", home)
            .envs(set.iter().copied())
            .output()
            .unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

#[test]
fn credentials_endpoint_and_prices_come_from_the_configuration() {
    let Some(server) = ObjectServer::start_or_skip(Kind::Versity) else {
        return;
    };
    let options = server.options_through(server.port);
    let setting = |name: &str| options.settings.0[name].clone();
    let (id, secret) = (
        setting("AWS_ACCESS_KEY_ID"),
        setting("AWS_SECRET_ACCESS_KEY"),
    );
    let machine = Machine {
        home: tempfile::tempdir().unwrap(),
    };
    let home = machine.home.path();
    fs::write(home.join("secret"), format!("{secret}\n")).unwrap();
    let text = format!(
        r#"
[repository.main]
url = "{}"
endpoint = "{}"
access-key-id = "{id}"
secret-access-key-command = ["cat", "{}"]
[repository.main.prices]
currency = "EUR"
per-1000-put = 5
per-1000-get = 0.4
per-gb-out = 90
per-gb-month = 1000
[source.mon1]
path = "{}"
"#,
        server.address("configured"),
        options.endpoint.unwrap(),
        home.join("secret").display(),
        night("night-1").display(),
    );
    fs::write(home.join("narthex.toml"), text).unwrap();
    let backup = machine.run(&["backup", "mon1", "--json"], &[]);
    assert_eq!(backup.code, 0, "{}", backup.err);
    let traffic = &backup.json()["traffic"][0];
    let of = |key: &str| traffic[key].as_f64().unwrap();
    let cost = (of("writes") + of("lists")) * 0.005
        + of("reads") * 0.0004
        + of("received_bytes") / 1e9 * 90.0;
    assert!((of("cost") - cost).abs() < 1e-6, "{traffic} {cost}");
    assert!((of("cost_per_month") - of("sent_bytes") / 1e6).abs() < 1e-6);
    assert_eq!(traffic["currency"], "EUR");
    assert!(
        backup
            .err
            .contains("EUR by the price table; keeping what was sent"),
        "{}",
        backup.err
    );
    let checked = machine.run(&["config", "check", "--online"], &[]);
    assert_eq!(checked.code, 0, "{}{}", checked.out, checked.err);
    // A repository that is typed as its address has the same settings.
    let typed = server.address("configured").to_string();
    let listed = machine.run(&["archives", "--repo", &typed], &[]);
    assert_eq!(listed.code, 0, "{}", listed.err);

    // The wrong ones are refused, and not shown; it is said whose they are.
    fs::write(home.join("secret"), "wrong-and-very-secret").unwrap();
    let refused = machine.run(&["archives"], &[]);
    assert_eq!(refused.code, 1, "{}", refused.out);
    assert!(
        refused
            .err
            .contains("AWS_ACCESS_KEY_ID of the configuration"),
        "{}",
        refused.err
    );
    let refused = format!("{}{}", refused.out, refused.err);
    assert!(!refused.contains("very-secret"), "{refused}");
    let unreachable = machine.run(&["config", "check", "--online", "--json"], &[]);
    assert_eq!(unreachable.code, 3);
    assert_eq!(unreachable.json()["findings"][0]["kind"], "unreachable");
    // Those of the environment win, as a whole, and that is said.
    let own = [
        ("AWS_ACCESS_KEY_ID", &*id),
        ("AWS_SECRET_ACCESS_KEY", &*secret),
    ];
    let listed = machine.run(&["archives"], &own);
    assert_eq!(listed.code, 0, "{}", listed.err);
    assert!(
        listed
            .err
            .contains("come from AWS_ACCESS_KEY_ID of the environment, not from "),
        "{}",
        listed.err
    );
    // A program that fails is an error of its own: nobody goes on without credentials.
    fs::remove_file(home.join("secret")).unwrap();
    let failed = machine.run(&["archives"], &[]);
    assert_eq!(failed.code, 1);
    assert!(
        failed.err.contains("narthex.toml:6") && failed.err.contains("the command cat failed"),
        "{}",
        failed.err
    );
}
