//! What a real server does on a data directory: whether it starts, what it answers, whether it can
//! compact.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::http;
use super::server::{Attempt, Server};
use super::tools::Tools;

/// One question to a server: the path of a request.
pub(crate) type Question = String;

/// What it answers: JSON in a form that can be compared, or what it says instead.
pub(crate) type Reply = Result<Value, String>;

/// All replies of a server, by question.
pub(crate) type Replies = BTreeMap<Question, Reply>;

/// What a server did.
#[derive(Debug)]
pub(crate) enum Trial {
    /// It ended before it was ready; its log.
    Refused(String),
    /// It started.
    Started {
        /// What it answered first.
        replies: Replies,
        /// How the rewrite of all blocks with deletions ended.
        compaction: Result<(), String>,
        /// What it answered after that.
        rewritten: Replies,
    },
}

/// Starts a server on `data`, asks it `questions`, has it rewrite all blocks with deletions, asks
/// again, and kills it. `look` is called between the questions and the rewrite.
pub(crate) fn trial(
    tools: &Tools,
    data: &Path,
    questions: &[Question],
    look: impl FnOnce(),
) -> Trial {
    let server = match Server::attempt(tools, data, &["--web.enable-admin-api"]) {
        Attempt::Ready(server) => server,
        Attempt::Ended(log) => return Trial::Refused(log),
    };
    let port = server.port();
    let ask = || -> Replies {
        let reply = |question: &Question| (question.clone(), reply(port, question));
        questions.iter().map(reply).collect()
    };
    let replies = ask();
    look();
    let compaction =
        http::post(port, "/api/v1/admin/tsdb/clean_tombstones").map_err(|error| error.to_string());
    let rewritten = ask();
    Trial::Started {
        replies,
        compaction,
        rewritten,
    }
}

fn reply(port: u16, question: &str) -> Reply {
    let body = http::get(port, question).map_err(|error| error.to_string())?;
    let mut answer: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
    let mut data = answer["data"].take();
    // Series come in no order that is promised.
    let rows = if data.is_array() {
        &mut data
    } else {
        &mut data["result"]
    };
    if let Some(rows) = rows.as_array_mut() {
        rows.sort_by_key(Value::to_string);
    }
    Ok(data)
}

/// Asks for every sample of the series that `selector` selects, in the time `width` before `until`
/// (milliseconds).
pub(crate) fn samples(selector: &str, until: i64, width: &str) -> Question {
    let query = http::percent_encoded(&format!("{selector}[{width}]"));
    format!("/api/v1/query?query={query}&time={}", seconds(until))
}

/// Asks how many samples they have in the week before `until`, which reads all of them.
pub(crate) fn counts(selector: &str, until: i64) -> Question {
    let query = http::percent_encoded(&format!("count_over_time({selector}[7d])"));
    format!("/api/v1/query?query={query}&time={}", seconds(until))
}

/// Asks which values a label has, as the interfaces of dashboards do.
pub(crate) fn label_values(name: &str, since: i64, until: i64) -> Question {
    let (since, until) = (seconds(since), seconds(until));
    format!("/api/v1/label/{name}/values?start={since}&end={until}")
}

/// Asks which series there are that `selector` selects.
pub(crate) fn series(selector: &str, since: i64, until: i64) -> Question {
    let selector = http::percent_encoded(selector);
    let (since, until) = (seconds(since), seconds(until));
    format!("/api/v1/series?match[]={selector}&start={since}&end={until}")
}

fn seconds(time: i64) -> String {
    format!("{}.{:03}", time.div_euclid(1000), time.rem_euclid(1000))
}
