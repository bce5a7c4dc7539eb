//! The configuration that `narthex whatif` prints, in front of a real Prometheus.

use std::fs;

use serde_json::Value;

use super::program::{narthex, run};
use super::server::{Server, wait_until};
use super::tools::{Release, Tools};
use super::tree::fixture;

/// Arguments with every kind of rule.
const CHANGES: [&str; 11] = [
    "--drop-metric",
    "go_memstats_.*|process_open_fds",
    "--drop-series",
    r#"{__name__=~"^prometheus_http_.*$",handler!="/metrics"}"#,
    "--drop-series",
    r#"prometheus_tsdb_head_chunks{job!~"x|y"}"#,
    "--drop-label",
    "quantile|job",
    "--match",
    r#"{__name__=~"go_gc.*|prometheus_target.*",quantile=~"0.*"}"#,
    "--json",
];

fn snippet(arguments: &[&str]) -> String {
    let mut command = narthex(["whatif"]);
    command.arg(fixture("night-1")).args(arguments);
    // Quantiles collide without their label.
    let output = run(&mut command, &[0, 3]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["snippet"].as_str().unwrap().to_owned()
}

#[test]
fn promtool_accepts_the_configuration() {
    for release in [Release::Packaged, Release::Current] {
        let Some(tools) = Tools::find_or_skip(release) else {
            continue;
        };
        let rules = fixture("usage/rules");
        let rules = rules.to_str().unwrap();
        for arguments in [
            &CHANGES[..],
            &["--drop-label", "le", "--interval", "90s", "--json"],
            &["--rules", rules, "--json"],
        ] {
            let yaml = snippet(arguments).replace('\n', "\n  ");
            let home = tempfile::tempdir().unwrap();
            let file = home.path().join("prometheus.yml");
            fs::write(&file, format!("scrape_configs:\n- job_name: x\n  {yaml}\n")).unwrap();
            tools.promtool(&["check", "config"], &file);
        }
    }
}

#[test]
fn a_server_with_the_configuration_stores_what_was_predicted() {
    let Some(tools) = Tools::find_or_skip(Release::Current) else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let server = Server::scraping_itself(&tools, data.path(), &snippet(&CHANGES));
    let name = |series: &Value| series["__name__"].as_str().unwrap().to_owned();
    wait_until("a scrape", || {
        server.series().iter().any(|it| name(it) == "go_threads")
    });
    let series = server.series();
    let of = |metric: &str| -> Vec<&Value> {
        series
            .iter()
            .filter(|series| name(series) == metric)
            .collect()
    };
    for gone in [
        "process_open_fds",
        "go_memstats_alloc_bytes",
        "prometheus_tsdb_head_chunks",
    ] {
        assert_eq!(of(gone), Vec::<&Value>::new());
    }
    assert!(!of("process_max_fds").is_empty());
    let requests = of("prometheus_http_requests_total");
    assert!(
        requests.iter().all(|it| it["handler"] == "/metrics"),
        "{requests:?}"
    );
    // What the selector selects has lost both labels, although one of them is asked for by it.
    let quantiles = of("go_gc_duration_seconds");
    let bare = quantiles.iter().filter(|it| it.get("quantile").is_none());
    assert!(bare.clone().count() > 0, "{quantiles:?}");
    assert!(
        bare.clone().all(|it| it.get("job").is_none()),
        "{quantiles:?}"
    );
    let kept: Vec<_> = quantiles
        .iter()
        .filter(|it| it.get("quantile").is_some())
        .collect();
    assert!(
        kept.iter()
            .all(|it| it["quantile"] == "1" || it["quantile"] == "1.0"),
        "{kept:?}"
    );
    let temporary = |it: &&Value| it.to_string().contains("__tmp");
    assert_eq!(series.iter().find(temporary), None);
}
