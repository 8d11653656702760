//! Logs: structured, to standard error, never with record values or secrets.

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::clock::{Clock as _, SystemClock};
use crate::settings::{LogArgs, LogFormat};

/// The same form of time as on the wire.
struct WireTime;

impl FormatTime for WireTime {
    fn format_time(&self, writer: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
        write!(writer, "{}", SystemClock.now())
    }
}

/// Starts logging what `args` ask for, or else `default`.
///
/// # Errors
/// When the filter cannot be read; the text says which part.
pub fn init(args: &LogArgs, default: &str) -> Result<(), String> {
    let wanted = args.log.as_deref().unwrap_or(default);
    let filter: Targets = wanted
        .parse()
        .map_err(|error| format!("AMP_LOG (--log) `{wanted}` cannot be read: {error}"))?;
    let fmt = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_timer(WireTime);
    let registry = tracing_subscriber::registry().with(filter);
    // A second call, as in tests, changes nothing.
    let _ = match args.log_format {
        LogFormat::Text => {
            let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
            registry.with(fmt.with_ansi(ansi)).try_init()
        }
        LogFormat::Json => registry
            .with(fmt.json().flatten_event(true).with_current_span(true))
            .try_init(),
    };
    Ok(())
}

/// Something that may go on failing: its beginning is worth a line in the log, and so is its end, but not each time between.
#[derive(Debug, Default)]
pub struct Spell(bool);

impl Spell {
    /// Notes that it failed; true for the first time.
    pub const fn begins(&mut self) -> bool {
        !std::mem::replace(&mut self.0, true)
    }

    /// Notes that it worked; true when it had failed before.
    pub const fn ends(&mut self) -> bool {
        std::mem::replace(&mut self.0, false)
    }
}
