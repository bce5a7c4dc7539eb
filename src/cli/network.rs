//! Stores over a network: how they are reached, which this process has opened, and what it asked
//! of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use clap::Args;

use super::config::{self, Prices, Typed, amount_text};
use crate::error::{Error, Result};
use crate::report::traffic::{Bill, StoreTraffic};
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
static OPENED: Mutex<BTreeMap<String, Opened>> = Mutex::new(BTreeMap::new());

/// A store, and what it charges where that is known.
type Opened = (Arc<dyn Store>, Option<&'static Prices>);

impl NetworkArgs {
    /// What was typed or stands in the environment, by the options' names, as text.
    pub(super) fn typed(&self) -> Vec<Typed> {
        let path = |path: &PathBuf| path.display().to_string();
        let bytes = |rate: u64| bytes_text(rate).replace(' ', "");
        let all = [
            ("--endpoint", self.endpoint.clone()),
            ("--region", self.region.clone()),
            ("--profile", self.profile.clone()),
            ("--ca-file", self.ca_file.as_ref().map(path)),
            ("--limit-upload", self.limit_upload.map(bytes)),
            ("--limit-download", self.limit_download.map(bytes)),
            (
                "--limit-requests",
                self.limit_requests.map(|n| n.to_string()),
            ),
        ];
        let said = all.into_iter();
        said.filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }

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
    let prices = config::at(location)?.and_then(|repository| repository.prices.as_ref());
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((store, _)) = opened.get(&key) {
        return Ok(Arc::clone(store));
    }
    let none = StoreOptions::default();
    let typed = OPTIONS.get().unwrap_or(&none);
    let store = location.store(&config::complete(location, typed)?)?;
    opened.insert(key, (Arc::clone(&store), prices));
    Ok(store)
}

/// What this process has asked of stores over a network.
pub(super) fn traffic() -> Vec<StoreTraffic> {
    let opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let stores = opened.iter();
    stores
        .filter_map(|(place, (store, prices))| {
            let counts = store.traffic()?;
            Some(StoreTraffic {
                store: place.clone(),
                counts,
                bill: prices.map(|prices| prices.bill(&counts)),
            })
        })
        .filter(|traffic| traffic.counts.requests() > 0)
        .collect()
}

/// The same for people, in a line.
pub(super) fn sentence(traffic: &StoreTraffic) -> String {
    let place = &traffic.store;
    let bill = traffic.bill.as_ref().map(bill_text).unwrap_or_default();
    let TrafficCounts {
        writes,
        lists,
        reads,
        deletes,
        sent_bytes,
        received_bytes,
    } = traffic.counts;
    format!(
        "{place}: {} requests ({} writes, {} listings, {} reads, {} deletes), {} sent, {} received{bill}",
        count_text(traffic.counts.requests()),
        count_text(writes),
        count_text(lists),
        count_text(reads),
        count_text(deletes),
        bytes_text(sent_bytes),
        bytes_text(received_bytes),
    )
}

/// What it costs, behind what it is.
fn bill_text(bill: &Bill) -> String {
    let Bill {
        cost,
        cost_per_month,
        currency,
    } = bill;
    let kept = if *cost_per_month > 0.0 {
        let kept = amount_text(*cost_per_month);
        format!("; keeping what was sent, about {kept} {currency} a month")
    } else {
        String::new()
    };
    format!(
        "; cost about {} {currency} by the price table{kept}",
        amount_text(*cost)
    )
}

/// What `counts` would cost at `location` by its price table; `None` where there is none.
///
/// # Errors
///
/// When the configuration cannot be used.
pub(super) fn cost_text(location: &Location, counts: &TrafficCounts) -> Result<Option<String>> {
    let prices = config::at(location)?.and_then(|repository| repository.prices.as_ref());
    Ok(prices.map(|prices| {
        let bill = prices.bill(counts);
        format!(
            "about {} {} by the price table",
            amount_text(bill.cost),
            bill.currency
        )
    }))
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
