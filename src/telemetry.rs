//! Logs: structured, to standard error, never with record values or secrets.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::clock::{Clock as _, SystemClock};
use crate::redact;
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
    let filter = filter(
        args.log
            .as_deref()
            .map(str::trim)
            .filter(|log| !log.is_empty())
            .unwrap_or(default),
    )?;
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

/// Reads a filter. One that would silence this program without saying so is a mistake: `off` says so.
fn filter(text: &str) -> Result<Targets, String> {
    let mut heard = false;
    let directives = || {
        text.split(',')
            .map(str::trim)
            .filter(|directive| !directive.is_empty())
    };
    for directive in directives() {
        match directive.split_once('=') {
            None if directive.parse::<LevelFilter>().is_ok() => heard = true,
            None => {
                return Err(format!(
                    "AMP_LOG (--log): `{}` is no level. {LEVELS}",
                    redact::word(directive)
                ));
            }
            // What other programs log is not told: a filter of these alone is silent.
            Some((target, level)) => {
                let target = target.trim();
                let level = level.trim();
                if level.is_empty() || level.parse::<LevelFilter>().is_err() {
                    let level = redact::word(level);
                    return Err(format!("AMP_LOG (--log): `{level}` is no level. {LEVELS}"));
                }
                heard |= target == OURS || target.starts_with("amp_write::");
            }
        }
    }
    if !heard {
        return Err(format!(
            "AMP_LOG (--log) would silence everything: it names no level for amp-write itself. {LEVELS}"
        ));
    }
    let plain: Vec<String> = directives()
        .map(|directive| directive.split_whitespace().collect())
        .collect();
    plain
        .join(",")
        .parse()
        .map_err(|_| format!("AMP_LOG (--log) cannot be read. {LEVELS}"))
}

const OURS: &str = "amp_write";

const LEVELS: &str = "Write error, warn, info, debug, trace or off, and behind it, if you like, levels of parts of the program, \
    such as info,amp_write::queue=debug.";

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

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn a_filter_is_a_level_or_parts_with_levels() {
        for good in [
            "info",
            "WARN",
            "off",
            "info,amp_write::queue=debug",
            "info, sqlx=warn",
            "info,",
            "amp_write=debug",
            "amp_write::queue=trace,hyper=error",
        ] {
            assert!(filter(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_filter_that_would_silence_everything_is_refused() {
        for bad in [
            "chatty",
            "inof",
            "info,chatty",
            "amp_write=",
            ",",
            "amp_write",
            "amp_write::queue",
            "amp-write=debug",
            "sqlx=debug",
            "amp_write=chatty",
            "a=b=c",
            "",
        ] {
            assert!(filter(bad).is_err(), "{bad}");
        }
        let why = filter("postgres://u:hunter2@h").expect_err("no level");
        assert!(!why.contains("hunter2"), "{why}");
        assert!(filter("chatty").is_err_and(|why| why.contains("`chatty`") && why.contains("info")));
    }
}
