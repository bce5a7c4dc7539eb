//! A real Prometheus on a port of this machine, for as long as the value lives.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::answer::Answer;
use super::http;
use super::late_target;
use super::tools::{Release, Tools};

/// Level-1 blocks of four seconds, compacted ones of twelve and 36: minutes show what takes weeks
/// elsewhere.
const SHORT_BLOCKS: [&str; 3] = [
    "--storage.tsdb.min-block-duration=4s",
    "--storage.tsdb.max-block-duration=36s",
    "--web.enable-admin-api",
];

/// Without it a server refuses late samples; a WBL that is there already is read in any case.
const OUT_OF_ORDER: &str = "storage: {tsdb: {out_of_order_time_window: 10m}}\n";

/// How long anything may take on a busy machine before a test gives up.
const PATIENCE: Duration = Duration::from_mins(1);

/// How a start ended.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// The server answers.
    Ready(Server),
    /// It ended by itself; its log.
    Ended(String),
}

/// A running server; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    port: u16,
    /// Holds the configuration and the server's log.
    home: tempfile::TempDir,
}

impl Server {
    /// Starts a server that scrapes itself and a late target four times a second into `data`, in
    /// short blocks.
    pub(crate) fn scraping(tools: &Tools, data: &Path) -> Self {
        let late = late_target::start();
        Self::start(tools, data, &SHORT_BLOCKS, |port| {
            let native = match tools.release {
                Release::Packaged => "",
                Release::Current => ", scrape_native_histograms: true",
            };
            format!(
                "{OUT_OF_ORDER}\
                 global: {{scrape_interval: 250ms, scrape_timeout: 250ms{native}}}\n\
                 scrape_configs:\n\
                 - {{job_name: self, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}\n\
                 - {{job_name: late, static_configs: [{{targets: ['127.0.0.1:{late}']}}]}}\n"
            )
        })
    }

    /// Starts a server that scrapes itself four times a second into `data`, in short blocks.
    pub(crate) fn scraping_in_order(tools: &Tools, data: &Path) -> Self {
        Self::scraping_with(tools, data, &SHORT_BLOCKS, "")
    }

    /// Starts a server that scrapes itself four times a second into `data`, in blocks of this
    /// duration.
    pub(crate) fn scraping_in_blocks(tools: &Tools, data: &Path, duration: &str) -> Self {
        let shortest = format!("--storage.tsdb.min-block-duration={duration}");
        let longest = format!("--storage.tsdb.max-block-duration={duration}");
        Self::scraping_with(tools, data, &[&shortest, &longest], "")
    }

    /// Starts a server that scrapes itself four times a second into `data`, with `scrape` in its
    /// scrape configuration.
    pub(crate) fn scraping_itself(tools: &Tools, data: &Path, scrape: &str) -> Self {
        Self::scraping_with(tools, data, &[], scrape)
    }

    fn scraping_with(tools: &Tools, data: &Path, flags: &[&str], scrape: &str) -> Self {
        let scrape = scrape.replace('\n', "\n  ");
        Self::start(tools, data, flags, |port| {
            format!(
                "scrape_configs:\n\
                 - job_name: self\n  \
                   static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n  \
                   scrape_interval: 250ms\n  \
                   scrape_timeout: 250ms\n  \
                   {scrape}\n"
            )
        })
    }

    /// The labels of all series, as JSON objects.
    pub(crate) fn series(&self) -> Vec<Value> {
        let series = self.query(r#"{__name__=~".+"}"#);
        let series = series.as_array().unwrap().iter();
        series.map(|series| series["metric"].clone()).collect()
    }

    /// Starts a server that only answers from `data`.
    pub(crate) fn answering_from(tools: &Tools, data: &Path) -> Self {
        Self::start(tools, data, &[], |_| OUT_OF_ORDER.to_owned())
    }

    /// Starts a server on `data` with these flags and this configuration.
    pub(crate) fn configured(
        tools: &Tools,
        data: &Path,
        flags: &[&str],
        configuration: &str,
    ) -> Self {
        Self::start(tools, data, flags, |_| configuration.to_owned())
    }

    /// Starts a server on `data` that rewrites every block with deletions, and waits until it has.
    pub(crate) fn clean_tombstones(tools: &Tools, data: &Path) {
        let server = Self::start(tools, data, &["--web.enable-admin-api"], |_| {
            OUT_OF_ORDER.to_owned()
        });
        server.clean();
    }

    /// Starts a server that only answers from `data`, which may keep it from starting.
    pub(crate) fn attempt(tools: &Tools, data: &Path, flags: &[&str]) -> Attempt {
        loop {
            let mut server = Self::spawn(tools, data, flags, |_| OUT_OF_ORDER.to_owned());
            if server.becomes_ready() {
                return Attempt::Ready(server);
            }
            let log = server.log();
            // Another process may take the port that was free a moment ago.
            if !log.contains("address already in use") {
                return Attempt::Ended(log);
            }
        }
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Another process may take the port that was free a moment ago: then another port is tried.
    fn start(
        tools: &Tools,
        data: &Path,
        flags: &[&str],
        configuration: impl Fn(u16) -> String,
    ) -> Self {
        let mut failures = String::new();
        for _ in 0..3 {
            let mut server = Self::spawn(tools, data, flags, &configuration);
            if server.becomes_ready() {
                return server;
            }
            failures.push_str(&server.log());
        }
        panic!(
            "prometheus does not start on {}:\n{failures}",
            data.display()
        );
    }

    fn spawn(
        tools: &Tools,
        data: &Path,
        flags: &[&str],
        configuration: impl Fn(u16) -> String,
    ) -> Self {
        let home = tempfile::tempdir().unwrap();
        let port = free_port();
        let file = home.path().join("prometheus.yml");
        fs::write(&file, configuration(port)).unwrap();
        let log = File::create(home.path().join("log")).unwrap();
        let process = Command::new(&tools.prometheus)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            process,
            port,
            home,
        }
    }

    /// Waits until the server answers; `false` when it ended instead.
    fn becomes_ready(&mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            if http::get(self.port, "/-/ready").is_ok() {
                return true;
            }
            thread::sleep(Duration::from_millis(50));
        }
        false
    }

    /// What the server has written to its log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    /// Calls `during` while the server stands still: whatever changes then, it has not changed.
    pub(crate) fn while_stopped<T>(&self, during: impl FnOnce() -> T) -> T {
        self.signal("-STOP");
        // A thread stops when it next returns from the kernel, where it may be writing.
        wait_until("all threads to stop", || self.stands_still());
        let done = during();
        self.signal("-CONT");
        done
    }

    fn stands_still(&self) -> bool {
        let threads = format!("/proc/{}/task", self.process.id());
        fs::read_dir(threads).unwrap().all(|thread| {
            // A thread that has ended meanwhile writes nothing either.
            let stat = fs::read_to_string(thread.unwrap().path().join("stat"));
            stat.is_err() || stat.is_ok_and(|stat| stat.contains(") T "))
        })
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Kills the server the hard way: nothing is flushed, nothing tidied up.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Has the server end by itself, with all that it does then.
    pub(crate) fn end(mut self) {
        let pid = self.process.id().to_string();
        let ended = Command::new("kill").arg(pid).status().unwrap();
        assert!(ended.success());
        self.process.wait().unwrap();
    }

    /// Makes a snapshot with the head in it, and gives the name of its directory in `snapshots/`.
    pub(crate) fn snapshot(&self) -> String {
        let body = http::post_for_answer(self.port, "/api/v1/admin/tsdb/snapshot").unwrap();
        let answer: Value = serde_json::from_str(&body).unwrap();
        answer["data"]["name"].as_str().unwrap().to_owned()
    }

    /// Deletes all samples so far of the series that `selector` selects.
    pub(crate) fn delete_series(&self, selector: &str) {
        let selector = http::percent_encoded(selector);
        let path = format!("/api/v1/admin/tsdb/delete_series?match[]={selector}");
        http::post(self.port, &path).unwrap();
    }

    /// Deletes the samples of all series from `start` to `end`, both included, in milliseconds.
    pub(crate) fn delete_between(&self, start: i64, end: i64) {
        let all = http::percent_encoded("{__name__=~\".+\"}");
        let seconds = |millis: i64| format!("{}.{:03}", millis / 1000, millis % 1000);
        let (start, end) = (seconds(start), seconds(end));
        let path = "/api/v1/admin/tsdb/delete_series";
        http::post(
            self.port,
            &format!("{path}?match[]={all}&start={start}&end={end}"),
        )
        .unwrap();
    }

    /// Rewrites every block with deletions.
    pub(crate) fn clean(&self) {
        http::post(self.port, "/api/v1/admin/tsdb/clean_tombstones").unwrap();
    }

    /// Every sample of every series that the server can answer.
    pub(crate) fn everything(&self) -> Answer {
        Answer::from_matrix(&self.query(r#"{__name__=~".+"}[1d]"#))
    }

    /// The samples of the series that `selector` selects, from the day before `end` (milliseconds)
    /// to the second after it.
    pub(crate) fn range_until(&self, selector: &str, end: i64) -> Answer {
        let end = end / 1000 + 1;
        Answer::from_matrix(&self.query(&format!("{selector}[1d] @ {end}")))
    }

    /// What the server measures of itself, as text.
    pub(crate) fn metrics(&self) -> String {
        http::get(self.port, "/metrics").unwrap()
    }

    /// The result of a query, or what the server says instead.
    pub(crate) fn try_query(&self, expression: &str) -> Result<Value, String> {
        let path = format!("/api/v1/query?query={}", http::percent_encoded(expression));
        let body = http::get(self.port, &path).map_err(|error| error.to_string())?;
        let mut answer: Value = serde_json::from_str(&body).unwrap();
        Ok(answer["data"]["result"].take())
    }

    /// What `expression` is at `time`, in seconds.
    pub(crate) fn instant(&self, expression: &str, time: i64) -> Value {
        let expression = http::percent_encoded(expression);
        self.result(&format!("query?query={expression}&time={time}"))
    }

    /// What `expression` is from `start` to `end`, every `step`, in seconds.
    pub(crate) fn range(&self, expression: &str, start: i64, end: i64, step: i64) -> Value {
        let expression = http::percent_encoded(expression);
        let times = format!("start={start}&end={end}&step={step}");
        self.result(&format!("query_range?query={expression}&{times}"))
    }

    fn query(&self, expression: &str) -> Value {
        self.result(&format!(
            "query?query={}",
            http::percent_encoded(expression)
        ))
    }

    fn result(&self, question: &str) -> Value {
        let body = http::get(self.port, &format!("/api/v1/{question}")).unwrap();
        let mut answer: Value = serde_json::from_str(&body).unwrap();
        answer["data"]["result"].take()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("log of the server on port {}:\n{}", self.port, self.log());
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Waits until `condition` holds, looking every few milliseconds.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
