//! What keeps a write from its turn, as SQL that stands once for all statements of both databases. Each is said of a row `q` that
//! has `lane_id`, `record_key` and `seq`, its place in the order of acceptance. `docs/queue-rules.md` has the rules in words.
//!
//! `ORDER BY … LIMIT 1` makes each a single probe of an index, whatever the planner thinks of the sizes of the tables. Behind a
//! flood the item just before is the one that is found soonest.

/// What was accepted before `q` and concerns its record.
macro_rules! earlier {
    ($alias:literal) => {
        concat!(
            $alias,
            ".lane_id = q.lane_id AND ",
            $alias,
            ".record_key = q.record_key AND ",
            $alias,
            ".seq < q.seq"
        )
    };
}

/// An earlier write to the record waits or runs.
macro_rules! behind_item {
    () => {
        sql!("(SELECT e.seq FROM queue_items e WHERE " earlier!("e") " ORDER BY e.seq DESC LIMIT 1) IS NOT NULL")
    };
}

/// An earlier batch that is going to write the record waits or runs.
macro_rules! behind_batch {
    () => {
        sql!("(SELECT e.seq FROM queue_records e WHERE " earlier!("e") " ORDER BY e.seq DESC LIMIT 1) IS NOT NULL")
    };
}

/// An earlier write to the record has failed, and holds it.
macro_rules! held {
    () => {
        sql!("(SELECT h.seq FROM record_holds h WHERE " earlier!("h") " ORDER BY h.seq LIMIT 1) IS NOT NULL")
    };
}

/// Until when a request of an earlier write to the record may still take effect, although that has left the queue.
macro_rules! straggles_until {
    () => {
        sql!("(SELECT g.until FROM stragglers g WHERE " earlier!("g") " AND g.until > " now!() ")")
    };
}

/// It is not its turn, and nothing but the end of another write gives it one.
macro_rules! blocked {
    () => {
        sql!("(" behind_item!() " OR " behind_batch!() " OR " held!() ")")
    };
}

/// The requests of `q`, here an operation, that left and got no usable answer, or none that was stored.
macro_rules! in_doubt {
    () => {
        "FROM attempts s
         WHERE s.project_id = q.project_id AND s.operation_id = q.operation_id AND s.state IN ('sent', 'unanswered')
           AND NOT EXISTS (SELECT 1 FROM attempts a
                           WHERE a.project_id = s.project_id AND a.operation_id = s.operation_id
                             AND a.id = s.id AND a.state = 'answered'
                             -- A success that lies here beside its item came from a worker that had lost it.
                             AND (a.class IS DISTINCT FROM 'success' OR a.records IS NOT NULL))"
    };
}
