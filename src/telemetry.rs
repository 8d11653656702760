//! Logs: structured, to standard error, never with record values or secrets.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::FormatTime;

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
    let filter = EnvFilter::builder()
        .parse(wanted)
        .map_err(|error| format!("AMP_LOG (--log) `{wanted}` cannot be read: {error}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_timer(WireTime);
    // A second call, as in tests, changes nothing.
    let _ = match args.log_format {
        LogFormat::Text => builder
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .try_init(),
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .try_init(),
    };
    Ok(())
}
