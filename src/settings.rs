//! Settings: flags and `AMP_*` environment variables, checked at start-up. The manifest (`amp.yaml`) is no setting.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use uuid::Uuid;

use crate::redact;
use crate::vault::Secret;

/// Where the database is.
#[derive(Debug, Clone, Args)]
pub struct DatabaseArgs {
    /// The database: `postgres://user:password@host/name` or `sqlite://path/to/file`. Percent-encode what is special in a
    /// password: `#` is `%23`, `@` is `%40`
    #[arg(long, env = "DATABASE_URL", value_name = "URL")]
    pub database_url: Secret,

    /// Connections to Postgres, at most (SQLite has one writer and needs no number)
    #[arg(long, env = "AMP_DATABASE_CONNECTIONS", default_value_t = 16, value_name = "N",
          value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub database_connections: u32,
}

/// How the program logs.
#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// What to log: a level (error, warn, info, debug, trace) or directives like `info,amp_write::queue=debug`
    /// [default: info; warn for dev, deploy, write and operations]
    #[arg(long, env = "AMP_LOG", global = true, value_name = "FILTER")]
    pub log: Option<String>,

    /// How to log: text for people, json for machines
    #[arg(
        long,
        env = "AMP_LOG_FORMAT",
        default_value = "text",
        global = true,
        value_enum
    )]
    pub log_format: LogFormat,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One readable line each.
    Text,
    /// One JSON object each.
    Json,
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Answers requests and works the queue.
    All,
    /// Answers requests only.
    Api,
    /// Works the queue only (it still answers /healthz and /readyz).
    Worker,
}

impl Role {
    /// Whether the process answers the API.
    #[must_use]
    pub const fn serves_api(self) -> bool {
        matches!(self, Self::All | Self::Api)
    }

    /// Whether the process works the queue.
    #[must_use]
    pub const fn works_queue(self) -> bool {
        matches!(self, Self::All | Self::Worker)
    }
}

/// How the service serves.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// The database
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// The address to listen on
    #[arg(
        long,
        env = "AMP_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "IP:PORT",
        value_parser = address
    )]
    pub listen: SocketAddr,

    /// The key that seals customers' credentials: 32 random bytes in base64 (`openssl rand -base64 32`).
    /// While rotating, several, comma-separated: the first one seals, all of them open. Begin with old,new: docs/operating.md
    #[arg(long, env = "AMP_ENCRYPTION_KEY", value_name = "KEY")]
    pub encryption_key: Secret,

    /// What this process does
    #[arg(long, env = "AMP_ROLE", default_value = "all", value_enum)]
    pub role: Role,

    /// The tuning that has good defaults
    #[command(flatten)]
    pub tuning: TuningArgs,
}

/// Limits and times. The defaults suit production.
#[derive(Debug, Clone, Args)]
pub struct TuningArgs {
    /// Sends a provider's requests elsewhere: `provider=URL`, comma-separated. For sandboxes and tests, such as
    /// `hubspot=http://127.0.0.1:9090/hubspot`. This host and port may be private and may speak plain HTTP, for this provider
    #[arg(long, env = "AMP_PROVIDER_URLS", value_name = "PROVIDER=URL", value_delimiter = ',', value_parser = provider_url)]
    pub provider_urls: Vec<(String, String)>,

    /// A folder with connector files that add providers to the built-in ones or override them; read again on SIGHUP
    #[arg(long, env = "AMP_CONNECTORS_DIR", value_name = "DIR")]
    pub connectors_dir: Option<std::path::PathBuf>,

    /// Where clients and browsers reach this server, such as `https://write.example.com`: upload URLs and the links with which
    /// customers connect begin with it, and providers send customers back to its /callbacks/v1/oauth. Without it upload URLs
    /// begin with the host that the client named, and nobody can be connected through OAuth
    #[arg(long, env = "AMP_PUBLIC_URL", value_name = "URL", value_parser = http_url)]
    pub public_url: Option<String>,

    /// The largest request body that is read, in bytes
    #[arg(long, env = "AMP_MAX_BODY_BYTES", default_value_t = 1 << 20, value_name = "BYTES",
          value_parser = clap::value_parser!(u64).range(1024..=1 << 30))]
    pub max_body_bytes: u64,

    /// Connections of clients that may be open at the same time. When all are taken, those that have been without a request
    /// for longest are closed; when all are at work, new clients wait
    #[arg(long, env = "AMP_MAX_CONNECTIONS", default_value_t = 10_000, value_name = "N",
          value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    pub max_connections: u32,

    /// How long a client may take for the headers of a request, and how long it may pause while it sends a body or takes an
    /// answer, in seconds
    #[arg(long, env = "AMP_READ_TIMEOUT_SECONDS", default_value_t = 30, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub read_timeout_seconds: u64,

    /// How long a client may take for a whole request body, in seconds
    #[arg(long, env = "AMP_BODY_TIMEOUT_SECONDS", default_value_t = 300, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub body_timeout_seconds: u64,

    /// How long a client's connection is kept open between two requests, in seconds. More than what a proxy in front keeps its
    /// own open
    #[arg(long, env = "AMP_IDLE_TIMEOUT_SECONDS", default_value_t = 75, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub idle_timeout_seconds: u64,

    /// The largest answer of a provider that is read, in bytes; of a longer one only the beginning is used
    #[arg(long, env = "AMP_MAX_PROVIDER_BYTES", default_value_t = 4 << 20, value_name = "BYTES",
          value_parser = clap::value_parser!(u64).range(1024..=1 << 30))]
    pub max_provider_bytes: u64,

    /// How long a provider may take to answer, in seconds
    #[arg(long, env = "AMP_PROVIDER_TIMEOUT_SECONDS", default_value_t = 30, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=600))]
    pub provider_timeout_seconds: u64,

    /// Calls to providers that one worker makes at the same time
    #[arg(long, env = "AMP_WORKER_CONCURRENCY", default_value_t = 64, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub worker_concurrency: u32,

    /// OAuth tokens that are refreshed at one provider at the same time, by one process
    #[arg(long, env = "AMP_REFRESH_CONCURRENCY", default_value_t = 4, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub refresh_concurrency: u32,

    /// Calls that one customer's connection may have open at the same time
    #[arg(long, env = "AMP_LANE_CONCURRENCY", default_value_t = 8, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub lane_concurrency: u32,

    /// Whether asynchronous writes keep to the limits that a connector file names: calls at the same time, calls within a time.
    /// Turn it off only for sandboxes and load tests
    #[arg(long, env = "AMP_PROVIDER_LIMITS", default_value_t = true, value_name = "BOOL", action = clap::ArgAction::Set)]
    pub provider_limits: bool,

    /// Connections that start more than one write in their turn: `connection-id=N`, comma-separated (others start 1)
    #[arg(long, env = "AMP_LANE_WEIGHTS", value_name = "ID=N", value_delimiter = ',', value_parser = lane_weight)]
    pub lane_weights: Vec<(Uuid, u32)>,

    /// How long a worker's lease lasts, in seconds: the time until others take over from a process that died
    #[arg(long, env = "AMP_LEASE_SECONDS", default_value_t = 15, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=300))]
    pub lease_seconds: u64,

    /// How long a stopping process may take to finish what is in flight, in seconds
    #[arg(long, env = "AMP_SHUTDOWN_SECONDS", default_value_t = 25, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub shutdown_seconds: u64,

    /// The first wait before a write is retried, in milliseconds; it doubles with each attempt
    #[arg(long, env = "AMP_RETRY_BASE_MS", default_value_t = 1000, value_name = "MS",
          value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub retry_base_ms: u64,

    /// How long finished operations are kept, in days
    #[arg(long, env = "AMP_RETENTION_DAYS", default_value_t = 30, value_name = "DAYS",
          value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub retention_days: u32,

    /// How long the stored requests of finished operations are kept, in days; without them an operation stays visible, but
    /// cannot be replayed [default: as long as the operations]
    #[arg(long, env = "AMP_PAYLOAD_RETENTION_DAYS", value_name = "DAYS",
          value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub payload_retention_days: Option<u32>,

    /// Asynchronous writes that may wait for one customer's connection; more are refused with 429
    #[arg(long, env = "AMP_QUEUE_LIMIT_INSTALLATION", default_value_t = 1_000_000, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub queue_limit_installation: u64,

    /// Asynchronous writes that may wait in one project; more are refused with 429
    #[arg(long, env = "AMP_QUEUE_LIMIT_PROJECT", default_value_t = 5_000_000, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub queue_limit_project: u64,

    /// How long asynchronous writes wait for a customer with dead credentials to reconnect, in hours; then they fail
    #[arg(long, env = "AMP_MAX_HOLD_HOURS", default_value_t = 168, value_name = "HOURS",
          value_parser = clap::value_parser!(u64).range(1..=87_600))]
    pub max_hold_hours: u64,

    /// An address of its own for /metrics [default: beside the API]
    #[arg(long, env = "AMP_METRICS_LISTEN", value_name = "IP:PORT", value_parser = address)]
    pub metrics_listen: Option<SocketAddr>,
}

impl TuningArgs {
    /// What is wrong with the address at which browsers are said to reach this server.
    #[must_use]
    pub fn public_url_fault(&self) -> Option<String> {
        let given = self.public_url.as_deref()?;
        let url = url::Url::parse(given).ok()?;
        let is_loopback = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        (url.scheme() != "https" && !is_loopback).then(|| {
            format!("AMP_PUBLIC_URL is {given}, which is not encrypted: providers refuse to send customers back to it, and whoever listens can take over their connections. Use https://")
        })
    }

    /// The defaults, as the command line would give them.
    #[must_use]
    pub fn defaults() -> Self {
        Self {
            provider_urls: Vec::new(),
            connectors_dir: None,
            public_url: None,
            max_body_bytes: 1 << 20,
            max_connections: 10_000,
            read_timeout_seconds: 30,
            body_timeout_seconds: 300,
            idle_timeout_seconds: 75,
            max_provider_bytes: 4 << 20,
            provider_timeout_seconds: 30,
            worker_concurrency: 64,
            refresh_concurrency: 4,
            lane_concurrency: 8,
            provider_limits: true,
            lane_weights: Vec::new(),
            lease_seconds: 15,
            shutdown_seconds: 25,
            retry_base_ms: 1000,
            retention_days: 30,
            payload_retention_days: None,
            queue_limit_installation: 1_000_000,
            queue_limit_project: 5_000_000,
            max_hold_hours: 168,
            metrics_listen: None,
        }
    }

    /// The overridden providers with their URLs.
    #[must_use]
    pub fn provider_urls(&self) -> BTreeMap<String, String> {
        self.provider_urls.iter().cloned().collect()
    }

    /// The lease.
    #[must_use]
    pub const fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds)
    }
}

/// Reads an address to listen on: `127.0.0.1:8080`, `[::1]:8080` or `localhost:8080`.
///
/// # Errors
/// When it is something else. Names other than localhost are not looked up: which of its addresses is meant is not certain.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let port = text
        .strip_prefix("localhost:")
        .and_then(|port| port.parse::<u16>().ok());
    port.map(|port| SocketAddr::from(([127, 0, 0, 1], port))).ok_or_else(|| {
        "write it as IP:PORT, such as 127.0.0.1:8080, or 0.0.0.0:8080 for all of this machine's addresses; of names only \
         localhost is known"
            .to_owned()
    })
}

/// An http or https URL with a host, without the slash at its end. Nothing of it is repeated in the error: it may hold a password.
fn http_url(text: &str) -> Result<String, String> {
    let parsed = url::Url::parse(text).map_err(|error| format!("it is not a URL: {error}"))?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host().is_none() {
        return Err("it must be an http or https URL with a host".to_owned());
    }
    // It would be shown wherever the URL is: in previews, in upload URLs.
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("it must not hold a user or a password".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn provider_url(text: &str) -> Result<(String, String), String> {
    let (provider, url) = text.split_once('=').ok_or("write it as provider=URL")?;
    if provider.is_empty() {
        return Err("the provider's name is missing before the `=`".to_owned());
    }
    let url = http_url(url).map_err(|why| format!("the URL of `{}`: {why}", redact::word(provider)))?;
    Ok((provider.to_owned(), url))
}

fn lane_weight(text: &str) -> Result<(Uuid, u32), String> {
    let (id, weight) = text.split_once('=').ok_or("write it as connection-id=N")?;
    let id = Uuid::try_parse(id).map_err(|_| "what stands before the `=` is not the id of a connection")?;
    match weight.parse() {
        Ok(weight @ 1..=1_000) => Ok((id, weight)),
        _ => Err(format!("the weight of {id} is not from 1 to 1000")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Probe {
        #[command(flatten)]
        tuning: TuningArgs,
    }

    #[test]
    fn the_defaults_in_code_are_those_of_the_command_line() {
        let parsed = Probe::try_parse_from(["probe"])
            .expect("no argument is needed")
            .tuning;
        assert_eq!(format!("{parsed:?}"), format!("{:?}", TuningArgs::defaults()));
    }

    #[test]
    fn provider_urls_are_checked() {
        assert_eq!(
            provider_url("hubspot=http://127.0.0.1:9/hubspot/")
                .expect("good")
                .1,
            "http://127.0.0.1:9/hubspot"
        );
        for bad in [
            "hubspot",
            "hubspot=nonsense",
            "hubspot=file:///etc/passwd",
            "=http://x",
        ] {
            assert!(provider_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_error_repeats_a_url() {
        for bad in [
            "hubspot=http://user:hunter2@",
            "hubspot=ftp://user:hunter2@host",
            "hubspot=http://u:p@hunter2:x",
            "hubspot=http://u:hunter2@host",
            "http://user:hunter2=@x",
            "hunter2",
        ] {
            let why = provider_url(bad).expect_err(bad);
            assert!(!why.contains("hunter2"), "{bad}: {why}");
        }
        let why = http_url("http://user:hunter2@host:port").expect_err("no port");
        assert!(!why.contains("hunter2"), "{why}");
    }

    #[test]
    fn an_address_to_listen_on_is_an_ip_and_a_port_or_localhost() {
        assert_eq!(address("localhost:8080"), Ok(([127, 0, 0, 1], 8080).into()));
        assert_eq!(address("0.0.0.0:0"), Ok(([0, 0, 0, 0], 0).into()));
        assert!(address("[::1]:8080").is_ok());
        for bad in [
            "localhost",
            "8080",
            ":8080",
            "localhost:99999",
            "example.com:80",
            "nonsense",
            "",
        ] {
            assert!(
                address(bad).is_err_and(|why| why.contains("127.0.0.1:8080")),
                "{bad}"
            );
        }
    }
}
