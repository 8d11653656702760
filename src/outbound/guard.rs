//! Keeps requests out of private networks: a connection variable must never turn the service against its own hosts.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Why a URL is not called. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// The URL cannot be read.
    #[error("`{0}` is not a URL")]
    NotAUrl(String),
    /// Plain HTTP to a host that was not allowed it.
    #[error("{0} is not called without TLS")]
    NotHttps(String),
    /// An address that only exists inside some network.
    #[error("{0} is an internal address and is not called")]
    Internal(String),
}

/// Decides which hosts may be called.
#[derive(Debug, Clone)]
pub struct Guard {
    /// Hosts that the operator named in the settings: they may be private and may speak plain HTTP.
    trusted: Arc<BTreeSet<String>>,
}

impl Guard {
    /// A guard that trusts the hosts of these URLs, which come from the operator's settings.
    pub fn new<'a>(urls: impl IntoIterator<Item = &'a str>) -> Self {
        let hosts = urls
            .into_iter()
            .filter_map(|url| Url::parse(url).ok()?.host_str().map(str::to_owned))
            .collect();
        Self {
            trusted: Arc::new(hosts),
        }
    }

    /// Checks scheme and literal addresses. Names are checked again when they are resolved.
    ///
    /// # Errors
    /// [`GuardError`] says what is not allowed.
    pub fn check(&self, url: &str) -> Result<Url, GuardError> {
        let parsed = Url::parse(url).map_err(|_| GuardError::NotAUrl(url.chars().take(100).collect()))?;
        let host = parsed.host_str().unwrap_or_default().to_owned();
        if self.trusted.contains(&host) {
            return Ok(parsed);
        }
        if parsed.scheme() != "https" {
            return Err(GuardError::NotHttps(host));
        }
        let literal = match parsed.host() {
            Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
            _ => None,
        };
        match literal {
            Some(ip) if !is_public(ip) => Err(GuardError::Internal(host)),
            _ => Ok(parsed),
        }
    }
}

/// Resolves names and leaves out every address that is not public. What is checked is what is connected to.
impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let trusted = self.trusted.contains(name.as_str());
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> = found
                .iter()
                .copied()
                .filter(|address| trusted || is_public(address.ip()))
                .collect();
            if allowed.is_empty() && !found.is_empty() {
                return Err(Box::new(GuardError::Internal(host)) as Box<dyn std::error::Error + Send + Sync>);
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is reachable from anywhere: not loopback, private, link-local, shared, reserved or multicast.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            !(ip.is_loopback()
                || ip.is_private()
                || ip.is_link_local()
                || ip.is_broadcast()
                || ip.is_documentation()
                || ip.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (18..20).contains(&b)))
        }
        IpAddr::V6(ip) => {
            if let Some(v4) = ip.to_ipv4_mapped() {
                return is_public(IpAddr::V4(v4));
            }
            let first = ip.segments()[0];
            // Global unicast is 2000::/3; of it 6to4 and Teredo wrap an IPv4 address, and 2001:db8 is for documents.
            let global = first & 0xe000 == 0x2000;
            global
                && first != 0x2002
                && !(first == 0x2001 && (ip.segments()[1] == 0 || ip.segments()[1] == 0xdb8))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_addresses_and_plain_http_are_refused() {
        let guard = Guard::new(["http://127.0.0.1:9090/hubspot"]);
        for bad in [
            "https://10.0.0.1/",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]/",
            "https://192.168.1.1/",
            "https://0.0.0.0/",
            "https://[::ffff:10.0.0.1]/",
            "https://[fd00::1]/",
            "https://100.64.0.1/",
            "https://167772161/",
            "http://api.hubapi.com/",
            "ftp://api.hubapi.com/",
            "nonsense",
        ] {
            assert!(guard.check(bad).is_err(), "{bad} must be refused");
        }
        for good in [
            "https://api.hubapi.com/crm",
            "http://127.0.0.1:9090/hubspot/crm",
            "https://8.8.8.8/",
        ] {
            assert!(guard.check(good).is_ok(), "{good} must be allowed");
        }
    }
}
