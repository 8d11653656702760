//! Keeps requests out of private networks: a connection variable must never turn the service against its own hosts.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Origin, Url};

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

/// A URL that may be called, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Allowed {
    /// The operator named this very scheme, host and port for this provider: it may be private and speak plain HTTP.
    ByOperator(Url),
    /// As long as its name leads to a public address, which is seen when it is resolved.
    IfPublic(Url),
}

/// Decides which URLs may be called.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    /// Scheme, host and port that the operator named in the settings, by provider.
    trusted: Arc<BTreeMap<String, Origin>>,
}

impl Guard {
    /// A guard that trusts these URLs, which come from the operator's settings, each for its provider.
    pub fn new(urls: &BTreeMap<String, String>) -> Self {
        let origin = |(provider, url): (&String, &String)| {
            let origin = Url::parse(url).ok()?.origin();
            Some((provider.clone(), origin))
        };
        Self {
            trusted: Arc::new(urls.iter().filter_map(origin).collect()),
        }
    }

    /// Checks scheme and literal addresses of a URL that is called for a provider. Names are checked when they are resolved.
    ///
    /// # Errors
    /// [`GuardError`] says what is not allowed.
    pub fn check(&self, provider: &str, url: &str) -> Result<Allowed, GuardError> {
        let parsed = Url::parse(url).map_err(|_| GuardError::NotAUrl(url.chars().take(100).collect()))?;
        if self.trusted.get(provider) == Some(&parsed.origin()) {
            return Ok(Allowed::ByOperator(parsed));
        }
        let host = parsed.host_str().unwrap_or_default().to_owned();
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
            _ => Ok(Allowed::IfPublic(parsed)),
        }
    }
}

/// Resolves names and leaves out every address that is not public. What is checked is what is connected to.
#[derive(Debug, Clone, Copy)]
pub(super) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public = only_public(name.as_str(), found)?;
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// The public ones of the addresses that a name leads to.
///
/// # Errors
/// When all of them are internal.
pub(super) fn only_public(
    name: &str,
    found: impl Iterator<Item = SocketAddr>,
) -> Result<Vec<SocketAddr>, GuardError> {
    let (public, internal): (Vec<_>, Vec<_>) = found.partition(|address| is_public(address.ip()));
    if public.is_empty() && !internal.is_empty() {
        return Err(GuardError::Internal(name.to_owned()));
    }
    Ok(public)
}

/// Whether an address is reachable from anywhere: none of the ranges that IANA's registries of special-purpose addresses call
/// not globally reachable, nor one that leads to such an address through a gateway.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            !(ip.is_loopback()
                || ip.is_private()
                || ip.is_link_local()
                || ip.is_documentation()
                || ip.is_multicast()
                // This network, and all that is reserved, broadcast included.
                || a == 0
                || a >= 240
                // Shared by the customers of a carrier; Alibaba's metadata service is here.
                || (a == 100 && (64..128).contains(&b))
                // Protocol assignments; Oracle's metadata service is here.
                || (a == 192 && b == 0 && c == 0)
                // 6to4 relays, which lead to whatever address is wrapped.
                || (a == 192 && b == 88 && c == 99)
                // Benchmarks.
                || (a == 198 && (18..20).contains(&b))
                // Azure's own service for its virtual machines, though it looks public.
                || [a, b, c, d] == [168, 63, 129, 16])
        }
        IpAddr::V6(ip) => {
            if let Some(v4) = ip.to_ipv4_mapped() {
                return is_public(IpAddr::V4(v4));
            }
            let [first, second, ..] = ip.segments();
            // Global unicast is 2000::/3. What wraps an IPv4 address elsewhere, such as NAT64 (64:ff9b::/96), is outside of it.
            let global = first & 0xe000 == 0x2000;
            let special = match first {
                // Protocol assignments (2001::/23), Teredo among them, and documents.
                0x2001 => second < 0x200 || second == 0xdb8,
                // 6to4.
                0x2002 => true,
                // Documents.
                0x3fff => second < 0x1000,
                _ => false,
            };
            global && !special
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(urls: &[(&str, &str)]) -> Guard {
        let urls = urls.iter();
        Guard::new(
            &urls
                .map(|(p, url)| ((*p).to_owned(), (*url).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn internal_addresses_and_plain_http_are_refused() {
        let guard = guard(&[("hubspot", "http://127.0.0.1:9090/hubspot")]);
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
            "https://127.1/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://127.0.0.1./",
            "http://api.hubapi.com/",
            "ftp://api.hubapi.com/",
            "nonsense",
        ] {
            assert!(guard.check("hubspot", bad).is_err(), "{bad} must be refused");
        }
        for good in ["https://api.hubapi.com/crm", "https://8.8.8.8/"] {
            let allowed = guard.check("hubspot", good).expect(good);
            assert!(matches!(allowed, Allowed::IfPublic(_)), "{good}");
        }
    }

    #[test]
    fn what_the_operator_named_is_trusted_for_its_scheme_host_port_and_provider_only() {
        let guard = guard(&[
            ("hubspot", "http://127.0.0.1:9090/hubspot"),
            ("odoo", "https://10.0.0.5"),
        ]);
        for (provider, url) in [
            ("hubspot", "http://127.0.0.1:9090/hubspot/crm"),
            ("hubspot", "http://127.1:9090/elsewhere"),
            ("odoo", "https://10.0.0.5/jsonrpc"),
            ("odoo", "https://10.0.0.5:443/jsonrpc"),
        ] {
            let allowed = guard.check(provider, url).expect(url);
            assert!(matches!(allowed, Allowed::ByOperator(_)), "{url}");
        }
        for (provider, url) in [
            ("kaseyaVSAX", "http://127.0.0.1:9090/hubspot/crm"),
            ("kaseyaVSAX", "https://127.0.0.1:9090/"),
            ("kaseyaVSAX", "https://10.0.0.5/"),
            ("", "http://127.0.0.1:9090/"),
            ("hubspot", "http://127.0.0.1:9091/"),
            ("hubspot", "http://127.0.0.1/"),
            ("hubspot", "https://127.0.0.1:9090/"),
            ("hubspot", "http://127.0.0.2:9090/"),
            ("hubspot", "https://10.0.0.5/"),
            ("odoo", "http://10.0.0.5/"),
            ("odoo", "http://10.0.0.5:443/"),
            ("odoo", "https://10.0.0.5:8443/"),
        ] {
            assert!(
                guard.check(provider, url).is_err(),
                "{provider} must not reach {url}"
            );
        }
    }

    /// The first and the last address of each range that is not public, and its neighbours that are.
    #[test]
    fn every_special_range_is_internal_from_its_first_address_to_its_last() {
        for (first, last) in [
            ("0.0.0.0", "0.255.255.255"),
            ("10.0.0.0", "10.255.255.255"),
            ("100.64.0.0", "100.127.255.255"),
            ("127.0.0.0", "127.255.255.255"),
            ("168.63.129.16", "168.63.129.16"),
            ("169.254.0.0", "169.254.255.255"),
            ("172.16.0.0", "172.31.255.255"),
            ("192.0.0.0", "192.0.0.255"),
            ("192.0.2.0", "192.0.2.255"),
            ("192.88.99.0", "192.88.99.255"),
            ("192.168.0.0", "192.168.255.255"),
            ("198.18.0.0", "198.19.255.255"),
            ("198.51.100.0", "198.51.100.255"),
            ("203.0.113.0", "203.0.113.255"),
            ("224.0.0.0", "239.255.255.255"),
            ("240.0.0.0", "255.255.255.255"),
            // Unspecified, loopback, and what wraps an IPv4 address without saying so.
            ("::", "::1"),
            ("::7f00:1", "::ffff:ffff"),
            ("::ffff:0.0.0.0", "::ffff:0.255.255.255"),
            ("::ffff:10.0.0.0", "::ffff:10.255.255.255"),
            ("::ffff:127.0.0.1", "::ffff:169.254.169.254"),
            // NAT64, well known and local.
            ("64:ff9b::", "64:ff9b::ffff:ffff"),
            ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"),
            // Discard-only and dummy prefixes.
            ("100::", "100:0:0:1:ffff:ffff:ffff:ffff"),
            // Teredo and the other protocol assignments.
            ("2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("2001:2::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("2002:7f00:1::", "2002:a9fe:a9fe::1"),
            ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
            // Segment routing, unique local (Amazon's metadata service is in it), link-local, site-local, multicast.
            ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("fd00:ec2::254", "fd20:ce::254"),
            ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            for address in [first, last] {
                assert!(!is_public(address.parse().expect("an address")), "{address}");
            }
        }
        for public in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "203.0.114.0",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "2000::1",
            "2001:200::1",
            "2001:db7:ffff::1",
            "2001:db9::1",
            "2003::1",
            "2606:4700::1111",
            "3ffe::1",
            "3fff:1000::1",
        ] {
            assert!(is_public(public.parse().expect("an address")), "{public}");
        }
    }

    #[test]
    fn of_the_addresses_of_a_name_only_public_ones_are_tried() {
        let resolve = |found: &[&str]| {
            let found = found.iter().map(|text| text.parse().expect("an address"));
            only_public("crm.example.com", found)
        };
        let (public, internal) = ("8.8.8.8:0", "10.0.0.1:0");
        let only: Vec<SocketAddr> = vec![public.parse().expect("an address")];
        assert_eq!(resolve(&[internal, public, "[::1]:0"]).as_ref(), Ok(&only));
        assert_eq!(resolve(&[public]).as_ref(), Ok(&only));
        assert_eq!(
            resolve(&[internal, "[fe80::1]:0"]),
            Err(GuardError::Internal("crm.example.com".to_owned()))
        );
        // A name that leads nowhere is no internal one: it cannot be reached.
        assert_eq!(resolve(&[]), Ok(Vec::new()));
    }
}
