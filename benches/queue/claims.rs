//! What reading work from the queue costs.

use std::time::{Duration, Instant};

use amp_write::clock::{Clock as _, SystemClock};
use amp_write::store::{
    Claimed, EndState, Ending, LaneAsk, LanePlace, Lease, NewResult, SHARDS, Settle, SharedStore, shard_of,
};
use sqlx::Executor as _;
use uuid::Uuid;

use crate::Scale;
use crate::cluster::Cluster;
use crate::data::{World, open};
use crate::report::{Goal, Report, median};

/// Lanes in one claim.
const LANES: usize = 50;
/// Claims of which the middle one counts.
const CLAIMS: usize = 21;
const BYTES: usize = 16 << 20;

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// One item of each of 50 lanes, chosen at random.
async fn claim_wide(store: &SharedStore, lanes: &[Uuid]) -> f64 {
    let mut times = Vec::new();
    for _ in 0..CLAIMS {
        let first = fastrand::usize(..lanes.len());
        let asks: Vec<LaneAsk> = (0..LANES)
            .map(|number| lanes[(first + number * 7) % lanes.len()])
            .map(|lane| LaneAsk::first(shard_of(lane), lane, 1))
            .collect();
        let started = Instant::now();
        let claim = store.claim(&asks, BYTES).await.expect("claimed");
        times.push(milliseconds(started.elapsed()));
        assert!(!claim.items.is_empty(), "every lane has work");
    }
    median(&times)
}

/// Deep and shallow queues, over the same lanes.
pub async fn by_depth(cluster: &Cluster, world: &World, report: &mut Report) {
    let deep = open(cluster, "bench_wide").await;
    let shallow = open(cluster, "bench_small").await;
    let mut pairs = Vec::new();
    for round in 0..13 {
        let pair = if round % 2 == 0 {
            let a = claim_wide(&deep, &world.lanes).await;
            (a, claim_wide(&shallow, &world.lanes).await)
        } else {
            let b = claim_wide(&shallow, &world.lanes).await;
            (claim_wide(&deep, &world.lanes).await, b)
        };
        if round > 0 {
            pairs.push(pair);
        }
    }
    let name = format!(
        "claim of {LANES}: 100 items per lane / 1 item per lane, {} lanes",
        world.lanes.len()
    );
    report.pairs(&name, "ms", Goal::AtMost(2.5), &pairs);
    let mut searches = Vec::new();
    let shards: Vec<i16> = (0..SHARDS).collect();
    for _ in 0..5 {
        let started = Instant::now();
        deep.due_lanes(&shards).await.expect("found");
        searches.push(milliseconds(started.elapsed()));
    }
    report.note(format!(
        "a search for all {} lanes with work takes {:.1} ms; it runs beside the claims, for a twentieth of the time at most",
        world.lanes.len(),
        median(&searches)
    ));
    deep.close().await;
    shallow.close().await;
}

/// Half of the lanes paused by their provider, and none.
pub async fn half_limited(cluster: &Cluster, world: &World, report: &mut Report) {
    let store = open(cluster, "bench_wide").await;
    let (limited, free) = world.lanes.split_at(world.lanes.len() / 2);
    let mut direct = cluster.connect("bench_wide").await;
    let mut pairs = Vec::new();
    for round in 0..9 {
        let none = claim_wide(&store, free).await;
        sqlx::query(
            "INSERT INTO lanes (lane_id, project_id, paused_until)
             SELECT id, $1, now() + INTERVAL '1 hour' FROM UNNEST($2::uuid[]) AS n (id)",
        )
        .bind(world.project)
        .bind(limited)
        .execute(&mut direct)
        .await
        .expect("paused");
        let half = claim_wide(&store, free).await;
        direct.execute("DELETE FROM lanes").await.expect("deleted");
        if round > 0 {
            pairs.push((half, none));
        }
    }
    report.pairs(
        "claim with half of the backlog rate-limited / none",
        "ms",
        Goal::AtMost(1.5),
        &pairs,
    );
    store.close().await;
}

/// Claims of one deep lane, from where it was read to.
async fn claim_deep(store: &SharedStore, lane: Uuid, after: LanePlace) -> f64 {
    let mut times = Vec::new();
    for _ in 0..CLAIMS {
        let ask = LaneAsk {
            after,
            ..LaneAsk::first(shard_of(lane), lane, LANES)
        };
        let started = Instant::now();
        let claim = store.claim(&[ask], BYTES).await.expect("claimed");
        times.push(milliseconds(started.elapsed()));
        assert_eq!(claim.items.len(), LANES);
    }
    median(&times)
}

fn finish(worker: Uuid, lease: Lease, item: &Claimed) -> Settle {
    Settle {
        worker,
        lease,
        lane_id: item.lane_id,
        run_at: item.run_at,
        operation_id: item.operation_id,
        project_id: item.project_id,
        attempt: None,
        ending: Ending::Finish(NewResult {
            state: EndState::Succeeded,
            summary: "done".to_owned(),
            record_id: Some("1".to_owned()),
            errors: "[]".to_owned(),
            attempts: 1,
            records: None,
        }),
        freed: None,
        stragglers: None,
    }
}

/// An old transaction keeps Postgres from cleaning up what has been finished: all of it in one lane, the worst case.
pub async fn pinned(cluster: &Cluster, scale: Scale, report: &mut Report) {
    let store = open(cluster, "bench_deep").await;
    let worker = SystemClock.new_id();
    let leases = store
        .lease_shards(worker, Duration::from_secs(3_600), Duration::ZERO)
        .await
        .expect("leased");
    let lane = store
        .due_lanes(&(0..SHARDS).collect::<Vec<_>>())
        .await
        .expect("found")[0]
        .lane_id;
    let lease = *leases
        .held
        .iter()
        .find(|lease| lease.shard == shard_of(lane))
        .expect("every shard is held");
    let mut old = cluster.connect("bench_deep").await;
    old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        .await
        .expect("begun");
    old.execute("SELECT count(*) FROM shards")
        .await
        .expect("its view is fixed");
    claim_deep(&store, lane, LanePlace::START).await;
    let before: Vec<f64> = [
        claim_deep(&store, lane, LanePlace::START).await,
        claim_deep(&store, lane, LanePlace::START).await,
        claim_deep(&store, lane, LanePlace::START).await,
    ]
    .to_vec();
    let completions = scale.of(300_000);
    let (mut after, mut done) = (LanePlace::START, 0);
    while done < completions {
        let ask = LaneAsk {
            after,
            ..LaneAsk::first(shard_of(lane), lane, 500)
        };
        let claim = store.claim(&[ask], BYTES).await.expect("claimed");
        for items in claim.items.chunks(100) {
            let settles: Vec<Settle> = items.iter().map(|item| finish(worker, lease, item)).collect();
            let settled = store.settle(&settles).await.expect("settled");
            assert!(settled.iter().all(|settled| *settled));
            done += items.len() as u64;
        }
        after = claim.lanes[0].after;
    }
    let pairs: Vec<(f64, f64)> = {
        let mut pairs = Vec::new();
        for before in before {
            pairs.push((claim_deep(&store, lane, after).await, before));
        }
        pairs
    };
    let name = format!(
        "claim after {done} completions of one lane with an old REPEATABLE READ transaction open / before"
    );
    report.pairs(&name, "ms", Goal::AtMost(2.0), &pairs);
    let from_start = claim_deep(&store, lane, LanePlace::START).await;
    report.note(format!(
        "read from the lane's beginning, as happens once a minute, it takes {from_start:.1} ms then"
    ));
    old.execute("ROLLBACK").await.expect("ended");
    store.retire_worker(worker).await.expect("retired");
    store.close().await;
}
