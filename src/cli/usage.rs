//! Reading the command line and the environment: no value is shown that may hold a secret, and what is set by mistake is told.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory as _, Error, FromArgMatches as _};

use super::Cli;
use crate::manifest::nearest;
use crate::redact;

/// Reads the command line; an error is ready to be printed.
pub(super) fn parse(arguments: &[OsString]) -> Result<Cli, Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(arguments);
    matches
        .and_then(|matches| Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command)))
        .map_err(|error| told(error, &command, arguments))
}

/// The command line, whose help shows the names of variables and never their values.
fn command() -> Command {
    fn without_values(command: Command) -> Command {
        command
            .mut_args(|arg| arg.hide_env_values(true))
            .mut_subcommands(without_values)
    }
    without_values(Cli::command())
}

/// An error that names the variable beside the flag, and repeats only what cannot be a secret.
fn told(mut error: Error, command: &Command, arguments: &[OsString]) -> Error {
    let asked = asked_for(command, arguments);
    let text = |error: &Error, kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::ValueValidation
        | ErrorKind::InvalidValue
        | ErrorKind::TooManyValues
        | ErrorKind::NoEquals => {
            if let Some(value) = text(&error, ContextKind::InvalidValue).filter(|value| !value.is_empty()) {
                let shown = redact::word_or_number(&value).to_owned();
                error.insert(ContextKind::InvalidValue, ContextValue::String(shown));
            }
            if let Some(flag) = text(&error, ContextKind::InvalidArg)
                && let Some(variable) = variable(asked, &flag)
            {
                // It stands in quotes.
                let both = format!("{flag}' or '{variable}");
                error.insert(ContextKind::InvalidArg, ContextValue::String(both));
            }
        }
        ErrorKind::MissingRequiredArgument => {
            if let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg) {
                let both = |flag: &String| match variable(asked, flag) {
                    Some(variable) => format!("{flag}, or the variable {variable}"),
                    None => flag.clone(),
                };
                let missing = missing.iter().map(both).collect();
                error.insert(ContextKind::InvalidArg, ContextValue::Strings(missing));
            }
        }
        ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand => {
            for kind in [ContextKind::InvalidArg, ContextKind::InvalidSubcommand] {
                let Some(given) = text(&error, kind) else { continue };
                let name = given.trim_start_matches('-');
                if redact::word(name) != name {
                    let hyphens = &given[..given.len() - name.len()];
                    let shown = format!("{hyphens}{}", redact::HIDDEN);
                    error.insert(kind, ContextValue::String(shown));
                    // It repeats the text.
                    error.remove(ContextKind::Suggested);
                }
            }
        }
        // The others speak of flags and commands that there are.
        _ => {}
    }
    error
}

/// The subcommand that was asked for, as far as it can be told.
fn asked_for<'c>(command: &'c Command, arguments: &[OsString]) -> &'c Command {
    let words = arguments.iter().skip(1).filter_map(|argument| argument.to_str());
    words.fold(command, |command, word| {
        command.find_subcommand(word).unwrap_or(command)
    })
}

/// The environment variable of a flag, which is written as in usage: `--listen <IP:PORT>`.
fn variable(command: &Command, flag: &str) -> Option<String> {
    let name = flag.strip_prefix("--")?.split([' ', '=']).next()?;
    let found = command.get_arguments().find(|arg| arg.get_long() == Some(name))?;
    variable_of(found)
}

fn variable_of(arg: &Arg) -> Option<String> {
    arg.get_env().map(|name| name.to_string_lossy().into_owned())
}

/// Warns of variables that look like settings and are none.
pub(super) fn warn_of_unknown_variables() {
    let set = std::env::vars_os().filter_map(|(name, value)| {
        let value = value.to_string_lossy().into_owned();
        Some((name.into_string().ok()?, value))
    });
    for (name, meant) in unknown(set) {
        match meant {
            Some(meant) => tracing::warn!(
                "the environment variable {name} is no setting of amp-write: did you mean {meant}?"
            ),
            None => {
                tracing::warn!("the environment variable {name} is no setting of amp-write and has no effect")
            }
        }
    }
}

/// Those that are none, each with the setting that was perhaps meant.
fn unknown(set: impl Iterator<Item = (String, String)>) -> Vec<(String, Option<String>)> {
    let known = variables(&command());
    let mut unknown: Vec<_> = set
        .filter(|(name, value)| {
            name.starts_with("AMP_") && !known.contains(name) && !of_kubernetes(name, value)
        })
        .map(|(name, _)| {
            let meant = nearest(&name, known.iter().map(String::as_str)).map(str::to_owned);
            (name.chars().filter(|c| !c.is_control()).collect(), meant)
        })
        .collect();
    unknown.sort();
    unknown
}

fn variables(command: &Command) -> Vec<String> {
    let own = command.get_arguments().filter_map(variable_of);
    let below = command.get_subcommands().flat_map(variables);
    own.chain(below).collect()
}

/// Kubernetes gives every process such variables for each service; one that is called `amp` or `amp-write` is likely.
fn of_kubernetes(name: &str, value: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.contains("_TCP_")
        || name.contains("_UDP_")
        || value.starts_with("tcp://")
        || value.starts_with("udp://")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(arguments: &[&str]) -> String {
        let arguments: Vec<OsString> = std::iter::once("amp-write")
            .chain(arguments.iter().copied())
            .map(OsString::from)
            .collect();
        parse(&arguments).expect_err("refused").to_string()
    }

    #[test]
    fn no_value_is_repeated_that_may_hold_a_secret() {
        for arguments in [
            [
                "serve",
                "--provider-urls",
                "hubspot=http://u:hunter2@",
                "--database-url=x",
                "--encryption-key=x",
            ]
            .as_slice(),
            &["serve", "--public-url", "http://u:hunter2@h:port"],
            &["serve", "--listen", "postgres://u:hunter2@h/db"],
            &["serve", "--role", "hunter2"],
            &["serve", "--lease-seconds", "hunter2"],
            &["serve", "postgres://u:hunter2@h/db"],
            &["serve", "password=hunter2 host=x"],
            &["serve", "--pasword=hunter2"],
            &["serve", "--databse-url=postgres://u:hunter2@h/db"],
            &["--hunter2=x"],
            &["hunter2"],
            &["postgres://u:hunter2@h/db"],
            &["project", "create", "demo", "postgres://u:hunter2@h/db"],
            &["project", "postgres://u:hunter2@h/db"],
            &["sandbox", "--fault", "{\"key\": \"hunter2\""],
            &["connectors", "try", "hubspot", "create", "x", "--var", "hunter2"],
            &["deploy", ".", "hunter2"],
            &["operations", "show", "x", "hunter2"],
            &["--log-format", "hunter2", "serve"],
        ] {
            let told = error(arguments);
            assert!(!told.contains("hunter2"), "{arguments:?}: {told}");
        }
    }

    #[test]
    fn an_error_names_the_variable_beside_the_flag_and_repeats_plain_words_and_numbers() {
        let told = error(&["serve", "--lease-seconds", "0"]);
        assert!(
            told.contains("'0'") && told.contains("--lease-seconds") && told.contains("AMP_LEASE_SECONDS"),
            "{told}"
        );
        let told = error(&["serve", "--role", "wroker"]);
        assert!(
            told.contains("wroker") && told.contains("AMP_ROLE") && told.contains("possible values"),
            "{told}"
        );
        let told = error(&["srve"]);
        assert!(told.contains("srve") && told.contains("serve"), "{told}");
        let told = error(&["--log", "info"]);
        assert!(told.contains("'amp-write' requires a subcommand"), "{told}");
        let told = error(&["dev", "--listen", "nonsense"]);
        assert!(
            told.contains("AMP_LISTEN") && told.contains("127.0.0.1:8080"),
            "{told}"
        );
    }

    #[test]
    fn help_shows_no_value_of_a_variable() {
        fn all(command: &Command) -> bool {
            command.get_arguments().all(Arg::is_hide_env_values_set) && command.get_subcommands().all(all)
        }
        assert!(all(&command()));
    }

    #[test]
    fn a_variable_that_is_no_setting_is_told_with_the_one_that_was_meant() {
        let set = [
            ("AMP_RETENTION_DAY", "3"),
            ("AMP_LISTEN", "x"),
            ("AMP_NONSENSE_THAT_IS_FAR_OFF", "x"),
            ("AMP_WRITE_SERVICE_HOST", "10.0.0.1"),
            ("AMP_PORT", "tcp://10.0.0.1:80"),
            ("AMP_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("AMPLIFY", "x"),
        ];
        let set = set
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(
            unknown(set),
            [
                ("AMP_NONSENSE_THAT_IS_FAR_OFF".to_owned(), None),
                (
                    "AMP_RETENTION_DAY".to_owned(),
                    Some("AMP_RETENTION_DAYS".to_owned())
                ),
            ]
        );
    }
}
