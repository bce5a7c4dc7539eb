//! How stores over a network are spoken to.

use std::collections::BTreeMap;
use std::fmt;

use super::Limits;

/// How stores over a network are spoken to; what is not said here comes from the environment.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct StoreOptions {
    /// How much may be sent, received and asked for.
    pub limits: Limits,
    /// The URL of the service, where it is not the vendor's own.
    pub endpoint: Option<String>,
    /// The region of the bucket.
    pub region: Option<String>,
    /// The profile of `~/.aws/credentials` and `~/.aws/config`.
    pub profile: Option<String>,
    /// Certificates of authorities to believe beside the system's, in PEM.
    pub ca: Option<Vec<u8>>,
    /// Whatever environment variables say as well, by their names; what stands here wins. May hold
    /// secrets, and does not print them.
    pub settings: Settings,
}

/// What [`StoreOptions::ca`] is called on the command line.
#[cfg(feature = "remote")]
pub(super) const CA_FILE: &str = "--ca-file";

#[cfg(feature = "remote")]
impl StoreOptions {
    /// What is said, as it is called on the command line; settings stand for the environment, which
    /// is there for whoever asks it.
    pub(super) fn said(&self) -> Vec<&'static str> {
        let StoreOptions {
            limits,
            endpoint,
            region,
            profile,
            ca,
            settings: _,
        } = self;
        [
            ("--limit-upload", limits.upload.is_some()),
            ("--limit-download", limits.download.is_some()),
            ("--limit-requests", limits.requests.is_some()),
            ("--endpoint or NARTHEX_ENDPOINT", endpoint.is_some()),
            ("--region", region.is_some()),
            ("--profile", profile.is_some()),
            (CA_FILE, ca.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, is_said)| is_said.then_some(name))
        .collect()
    }
}

/// Names and values as of environment variables. Prints names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings(pub BTreeMap<String, String>);

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
