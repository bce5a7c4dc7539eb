//! Stores over a network: how they are reached, which this process has opened, and what it asked
//! of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use clap::Args;

use crate::error::{Error, Result};
use crate::report::traffic::StoreTraffic;
use crate::store::{Limits, Location, Store, StoreOptions, TrafficCounts};
use crate::units::{bytes_text, count_text, parse_rate};

/// How repositories in object stores and on other machines are reached.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkArgs {
    /// Where the service is, for s3://, gs:// and az:// [default: the vendor's own, or what
    /// `AWS_ENDPOINT_URL` and the like say]
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "NARTHEX_ENDPOINT",
        hide_env_values = true
    )]
    endpoint: Option<String>,
    /// Region of the bucket
    #[arg(long, global = true, value_name = "NAME")]
    region: Option<String>,
    /// Profile of ~/.aws/credentials and ~/.aws/config
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    /// Certificates (PEM) of authorities to believe, beside those of the system
    #[arg(long, global = true, value_name = "FILE", visible_alias = "cacert")]
    ca_file: Option<PathBuf>,
    /// Most bytes that are sent in a second, such as 20MiB
    #[arg(long, global = true, value_name = "SIZE", value_parser = parse_rate)]
    limit_upload: Option<u64>,
    /// Most bytes that are received in a second, such as 20MiB
    #[arg(long, global = true, value_name = "SIZE", value_parser = parse_rate)]
    limit_download: Option<u64>,
    /// Most requests in a second
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit_requests: Option<u64>,
}

/// The options of this process: every command opens stores with the same.
static OPTIONS: OnceLock<StoreOptions> = OnceLock::new();

/// The stores that were opened, by where they are: each is opened once, so that what is known of it
/// need not be asked again, and limits hold for all that is done to it.
static OPENED: Mutex<BTreeMap<String, Arc<dyn Store>>> = Mutex::new(BTreeMap::new());

impl NetworkArgs {
    /// Makes these the options of this process.
    ///
    /// # Errors
    ///
    /// When the file of certificates cannot be read.
    pub(crate) fn apply(&self) -> Result<()> {
        let ca = self.ca_file.as_ref().map(|path| {
            let pem = std::fs::read(path);
            pem.map_err(|e| Error::io("read", path, e))
        });
        let options = StoreOptions {
            limits: Limits {
                upload: self.limit_upload,
                download: self.limit_download,
                requests: self.limit_requests,
            },
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            profile: self.profile.clone(),
            ca: ca.transpose()?,
            ..StoreOptions::default()
        };
        let _ = OPTIONS.set(options);
        Ok(())
    }
}

/// The store at `location`, the same each time.
///
/// # Errors
///
/// `Invalid`, when options and environment do not say how to reach it.
pub(crate) fn store(location: &Location) -> Result<Arc<dyn Store>> {
    let key = location.to_string();
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(store) = opened.get(&key) {
        return Ok(Arc::clone(store));
    }
    let store = match OPTIONS.get() {
        Some(options) => location.store(options)?,
        None => location.store(&StoreOptions::default())?,
    };
    opened.insert(key, Arc::clone(&store));
    Ok(store)
}

/// What this process has asked of stores over a network.
pub(super) fn traffic() -> Vec<StoreTraffic> {
    let opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let stores = opened.iter();
    stores
        .filter_map(|(place, store)| Some((place.clone(), store.traffic()?)))
        .filter(|(_, counts)| counts.requests() > 0)
        .collect()
}

/// The same for people, in a line.
pub(super) fn sentence((place, counts): &StoreTraffic) -> String {
    let TrafficCounts {
        writes,
        lists,
        reads,
        deletes,
        sent_bytes,
        received_bytes,
    } = *counts;
    format!(
        "{place}: {} requests ({} writes, {} listings, {} reads, {} deletes), {} sent, {} received",
        count_text(counts.requests()),
        count_text(writes),
        count_text(lists),
        count_text(reads),
        count_text(deletes),
        bytes_text(sent_bytes),
        bytes_text(received_bytes),
    )
}

/// `text` without what stands before an `@` in addresses; `None` where there is none.
pub(super) fn without_passwords(text: &str) -> Option<String> {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end = behind.find(|c: char| c.is_whitespace() || "/'\"".contains(c));
        let (host, more) = behind.split_at_checked(end.unwrap_or(behind.len()))?;
        match host.rsplit_once('@') {
            Some((user, host)) if user.contains(':') => shown.extend(["…@", host]),
            _ => shown.push_str(host),
        }
        rest = more;
    }
    shown.push_str(rest);
    (shown != text).then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_addresses_are_not_shown() {
        assert_eq!(
            without_passwords("invalid value 's3://KEY:SECRET@b/x' for").as_deref(),
            Some("invalid value 's3://…@b/x' for")
        );
        assert_eq!(
            without_passwords("a sftp://u:p@h, b http://x:y@z").as_deref(),
            Some("a sftp://…@h, b http://…@z")
        );
        for plain in ["sftp://user@host/x", "s3://b/p", "x@y", ""] {
            assert_eq!(without_passwords(plain), None, "{plain}");
        }
    }
}
