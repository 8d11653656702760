//! `amp-write lanes`

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use uuid::Uuid;

use crate::clock::{SystemClock, Time};
use crate::connectors::{Catalog, Limits};
use crate::settings::DatabaseArgs;
use crate::store::{LaneStatus, Opening, open};
use crate::writes::limits::{asked, in_force};

/// Which lanes, and how to show them.
#[derive(Debug, Args)]
pub(super) struct LanesArgs {
    #[command(flatten)]
    database: DatabaseArgs,

    /// Only the lanes of this project, by name or id
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,

    /// One JSON list instead of a table
    #[arg(long)]
    json: bool,

    /// As for serve: a folder with connector files. They say how much each provider takes
    #[arg(long, env = "AMP_CONNECTORS_DIR", value_name = "DIR")]
    connectors_dir: Option<PathBuf>,

    /// As for serve: calls that one connection may have open at the same time
    #[arg(long, env = "AMP_LANE_CONCURRENCY", default_value_t = 8, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    lane_concurrency: u32,
}

/// A lane as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    connection_id: Uuid,
    project: Option<String>,
    provider: Option<String>,
    group_ref: Option<String>,
    depth: i64,
    state: &'static str,
    /// Records of which later writes are held because an earlier one failed.
    held_records: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Time>,
    /// How long the oldest item that is due has been due.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_due_seconds: Option<u64>,
    concurrency: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_seconds: Option<f64>,
    /// True when an installation says something else than the connector file.
    limits_of_installation: bool,
}

pub(super) async fn run(args: LanesArgs) -> Result<(), String> {
    let catalog = Catalog::load(args.connectors_dir.as_deref(), &std::collections::BTreeMap::new()).map_err(
        |errors| {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            format!("the connectors cannot be loaded:\n{}", errors.join("\n"))
        },
    )?;
    let store = open(
        args.database.database_url.expose(),
        args.database.database_connections,
        Arc::new(SystemClock),
        Opening::Look,
    )
    .await
    .map_err(|error| error.to_string())?;
    let lanes = async {
        let project = match &args.project {
            None => None,
            Some(name) => {
                let found = store
                    .find_project(name)
                    .await
                    .map_err(|error| error.to_string())?;
                let found = found.ok_or_else(|| format!("there is no project `{name}`"))?;
                Some(found.id)
            }
        };
        let lanes = store
            .list_lanes(project)
            .await
            .map_err(|error| error.to_string())?;
        let ids: Vec<Uuid> = lanes.iter().map(|lane| lane.lane_id).collect();
        let configs = store.list_lane_configs(&ids).await;
        Ok::<_, String>((lanes, asked(&configs.map_err(|error| error.to_string())?)))
    };
    let lanes = lanes.await;
    store.close().await;
    let (lanes, asked) = lanes?;
    let shown: Vec<Shown> = lanes
        .into_iter()
        .map(|lane| {
            let of_file = lane
                .provider
                .as_deref()
                .and_then(|provider| catalog.get(provider))
                .map(|connector| connector.limits());
            let asked = asked.get(&lane.lane_id).copied();
            let mut shown = show(lane, in_force(of_file, asked), args.lane_concurrency);
            shown.limits_of_installation = asked.is_some();
            shown
        })
        .collect();
    let text = if args.json {
        let json = serde_json::to_string_pretty(&shown).map_err(|error| error.to_string())?;
        format!("{json}\n")
    } else {
        table(&shown)
    };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // A reader that has seen enough, as `head` does, is no error.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.to_string()),
        _ => Ok(()),
    }
}

fn show(lane: LaneStatus, limits: Option<Limits>, cap: u32) -> Shown {
    let now = lane.store_now;
    let due = lane.run_at <= now;
    let paused = lane.paused_until.filter(|until| *until > now);
    let (state, until) = if lane.hold_reason.is_some() {
        ("held", None)
    } else if paused.is_some() {
        ("paused", paused)
    } else if !lane.has_worker {
        ("no worker", None)
    } else if due {
        ("ready", None)
    } else {
        ("waiting", Some(lane.run_at))
    };
    Shown {
        connection_id: lane.lane_id,
        project: lane.project,
        provider: lane.provider,
        group_ref: lane.group_ref,
        depth: lane.depth,
        state,
        held_records: lane.held_records,
        hold_reason: lane.hold_reason.map(|reason| reason.as_str().to_owned()),
        until,
        oldest_due_seconds: due.then(|| now.since(lane.run_at).as_secs()),
        concurrency: limits.map_or(cap, |limits| limits.concurrency.min(cap)),
        requests: limits.and_then(|limits| limits.requests),
        per_seconds: limits
            .filter(|limits| limits.requests.is_some())
            .map(|limits| Duration::from_millis(limits.per_millis).as_secs_f64()),
        limits_of_installation: false,
    }
}

/// One line per lane, in aligned columns.
fn table(lanes: &[Shown]) -> String {
    if lanes.is_empty() {
        return "no lane has work\n".to_owned();
    }
    let absent = || "-".to_owned();
    let mut rows = vec![
        [
            "CONNECTION",
            "PROJECT",
            "PROVIDER",
            "GROUP",
            "DEPTH",
            "STATE",
            "OLDEST DUE",
            "LIMIT",
        ]
        .map(str::to_owned),
    ];
    for lane in lanes {
        let state = match (&lane.hold_reason, lane.until) {
            (Some(reason), _) => format!("held: {reason}"),
            (None, Some(until)) => format!("{} until {until}", lane.state),
            (None, None) => lane.state.to_owned(),
        };
        let state = match lane.held_records {
            0 => state,
            1 => format!("{state}, 1 record held"),
            records => format!("{state}, {records} records held"),
        };
        let rate = match (lane.requests, lane.per_seconds) {
            (Some(requests), Some(seconds)) => format!(", {requests} per {seconds} s"),
            _ => String::new(),
        };
        let whose = if lane.limits_of_installation {
            " (installation)"
        } else {
            ""
        };
        rows.push([
            lane.connection_id.to_string(),
            lane.project.clone().unwrap_or_else(absent),
            lane.provider.clone().unwrap_or_else(absent),
            printable(lane.group_ref.as_deref().unwrap_or("-")),
            lane.depth.to_string(),
            state,
            lane.oldest_due_seconds
                .map_or_else(absent, |seconds| age(Duration::from_secs(seconds))),
            format!("{} at once{rate}{whose}", lane.concurrency),
        ]);
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = rows
                .iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0);
            let padding = " ".repeat(width - cell.chars().count() + 2);
            line.push_str(cell);
            line.push_str(&padding);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A name that an app has chosen must not move the cursor.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// `42s`, `3m 5s`, `2h 7m`, `3d 4h`.
fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::HoldReason;

    fn lane() -> LaneStatus {
        LaneStatus {
            shard: 1,
            lane_id: Uuid::from_u128(7),
            project: Some("demo".to_owned()),
            provider: Some("hubspot".to_owned()),
            group_ref: Some("acme\u{1b}[2J".to_owned()),
            depth: 12,
            run_at: Time::from_micros(0),
            hold_reason: None,
            held_from: None,
            paused_until: None,
            held_records: 0,
            has_worker: true,
            store_now: Time::from_micros(125_000_000),
        }
    }

    #[test]
    fn a_lane_shows_what_keeps_it_from_starting() {
        let state = |lane: LaneStatus| show(lane, None, 8).state;
        assert_eq!(state(lane()), "ready");
        let later = Some(Time::from_micros(200_000_000));
        assert_eq!(
            state(LaneStatus {
                paused_until: later,
                ..lane()
            }),
            "paused"
        );
        assert_eq!(
            state(LaneStatus {
                paused_until: Some(Time::from_micros(1)),
                ..lane()
            }),
            "ready"
        );
        let held = LaneStatus {
            hold_reason: Some(HoldReason::Authorization.into()),
            paused_until: later,
            ..lane()
        };
        assert_eq!(state(held), "held");
        assert_eq!(
            state(LaneStatus {
                run_at: Time::from_micros(126_000_000),
                ..lane()
            }),
            "waiting"
        );
        assert_eq!(
            state(LaneStatus {
                has_worker: false,
                ..lane()
            }),
            "no worker"
        );
    }

    #[test]
    fn the_table_is_aligned_and_shows_limits_and_ages() {
        let limits = Limits {
            concurrency: 6,
            requests: Some(100),
            per_millis: 10_000,
            batch: 1,
        };
        let of_installation = Shown {
            limits_of_installation: true,
            held_records: 2,
            ..show(lane(), Some(limits), 2)
        };
        let text = table(&[
            show(lane(), Some(limits), 8),
            show(lane(), None, 4),
            of_installation,
        ]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(
            lines[1].ends_with("2m 5s       6 at once, 100 per 10 s"),
            "{text}"
        );
        assert!(lines[2].ends_with("4 at once"), "{text}");
        assert!(lines[3].contains("ready, 2 records held"), "{text}");
        assert!(
            lines[3].ends_with("2 at once, 100 per 10 s (installation)"),
            "{text}"
        );
        let column = lines[0].find("DEPTH").expect("a column");
        assert_eq!(lines[1].chars().skip(column).take(2).collect::<String>(), "12");
        assert!(!text.contains('\u{1b}'), "a name cannot move the cursor");
    }
}
