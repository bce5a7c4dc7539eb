//! Addresses of web servers as they are typed.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

use crate::error::{Error, Result};

/// The directory of a web server below which objects lie: `https://HOST[:PORT]/PATH`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpAddress {
    /// Without a slash at its end.
    url: String,
}

impl HttpAddress {
    /// Whether `text` begins as an address does.
    pub fn is_one(text: &str) -> bool {
        text.starts_with("https://") || text.starts_with("http://")
    }

    /// Where the object or directory `name` is.
    pub(super) fn url_of(&self, name: &str) -> String {
        format!("{}/{name}", self.url)
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.url.starts_with("https://")
    }

    /// Whether it leads to this machine, where nobody listens in.
    pub(super) fn is_loopback(&self) -> bool {
        let url = Url::parse(&self.url).ok();
        let host = url.as_ref().and_then(Url::host_str);
        host.is_some_and(|host| matches!(host, "127.0.0.1" | "localhost" | "[::1]"))
    }
}

impl FromStr for HttpAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // Not shown before it is known to hold no password.
        let wrong =
            |what: &str| Error::invalid(format!("expected https://HOST/PATH, found one {what}"));
        if !Self::is_one(text) {
            return Err(wrong("that does not begin with https://"));
        }
        let url = Url::parse(text).map_err(|e| wrong(&format!("that is no URL: {e}")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("with a user or password, which are not sent"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("with a question mark or a number sign"));
        }
        let plain = |it: char| it.is_ascii_graphic() && it != '\\';
        if !text.chars().all(plain) || text.split('/').any(|it| matches!(it, "." | "..")) {
            return Err(wrong(
                "with characters that are not those of a URL, or a component that is . or ..",
            ));
        }
        Ok(HttpAddress {
            url: text.trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// How web servers are spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpOptions {
    /// Whether `http://` may lead to another machine. `NARTHEX_ALLOW_HTTP=1` says it as well.
    pub allow_http: bool,
    /// Certificates of authorities to believe beside the system's, in PEM.
    pub ca: Option<Vec<u8>>,
}

impl HttpOptions {
    pub(super) fn allows_http(&self) -> bool {
        let set = || std::env::var("NARTHEX_ALLOW_HTTP").is_ok_and(|value| value == "1");
        self.allow_http || set()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for text in [
            "https://h.example.org/backups/p",
            "http://127.0.0.1:8080",
            "https://[::1]/x",
        ] {
            let address: HttpAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(address.url_of("a/b"), format!("{text}/a/b"));
        }
        let slash: HttpAddress = "https://h/x/".parse().unwrap();
        assert_eq!(slash.to_string(), "https://h/x");
    }

    #[test]
    fn what_is_not_sent_is_refused_and_a_password_not_shown() {
        for text in [
            "https://",
            "https://h/x?y",
            "https://h/#x",
            "https://h/../x",
            "https://h/a b",
        ] {
            assert!(text.parse::<HttpAddress>().is_err(), "{text}");
        }
        let error = "https://me:s3cret@h/x".parse::<HttpAddress>().unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        let is_loopback = |text: &str| text.parse::<HttpAddress>().unwrap().is_loopback();
        assert!(is_loopback("http://127.0.0.1:9000") && is_loopback("http://[::1]/x"));
        assert!(!is_loopback("http://localhost.example.org") && !is_loopback("http://10.0.0.1"));
    }
}
