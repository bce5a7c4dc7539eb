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

/// Names and values as of environment variables. Prints names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings(pub BTreeMap<String, String>);

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
