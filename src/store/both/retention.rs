//! What leaves by age and is not the history itself: holds behind which nothing waits, and definitions that nothing needs.

use std::time::Duration;

use uuid::Uuid;

use super::ThisStore;
use crate::clock::Time;
use crate::store::time::before;
use crate::store::{Result, first_id_of};

/// A config or a revision that was replaced may be needed by operations accepted a little later (routes are kept in memory)
/// and kept a little longer (a day of history leaves whole): it stays so much longer than they do.
const DEFINITIONS_MARGIN: Duration = Duration::from_secs(3 * 86_400);

/// Configs that were replaced before $1, or whose installation is gone; then revisions that no config needs any more.
const EXPIRE_DEFINITIONS: [&str; 2] = [
    "DELETE FROM configs AS c WHERE c.create_time < $1
       AND (EXISTS (SELECT 1 FROM configs n
                    WHERE n.project_id = c.project_id AND n.installation_id = c.installation_id
                      AND n.create_time > c.create_time AND n.create_time < $1)
            OR NOT EXISTS (SELECT 1 FROM installations i
                           WHERE i.project_id = c.project_id AND i.id = c.installation_id))
       AND NOT EXISTS (SELECT 1 FROM installations i WHERE i.project_id = c.project_id AND i.config_id = c.id)",
    "DELETE FROM revisions AS r WHERE r.create_time < $1
       AND (EXISTS (SELECT 1 FROM revisions n
                    WHERE n.project_id = r.project_id AND n.integration_id = r.integration_id
                      AND n.create_time > r.create_time AND n.create_time < $1)
            OR NOT EXISTS (SELECT 1 FROM integrations i
                           WHERE i.project_id = r.project_id AND i.id = r.integration_id))
       AND NOT EXISTS (SELECT 1 FROM integrations i WHERE i.project_id = r.project_id AND i.latest_revision_id = r.id)
       AND NOT EXISTS (SELECT 1 FROM configs c WHERE c.project_id = r.project_id AND c.revision_id = r.id)",
];

impl ThisStore {
    /// What holds a record for which something waits is kept as if it were queued; other holds of operations before this one
    /// end: nothing keeps the operation any more.
    pub(in crate::store) async fn expire_holds(&self, before: Uuid) -> Result<()> {
        sqlx::query(
            "DELETE FROM record_holds AS h WHERE h.operation_id < $1
               AND NOT EXISTS (SELECT 1 FROM queue_items q
                               WHERE q.lane_id = h.lane_id AND q.record_key = h.record_key AND q.seq > h.seq)
               AND NOT EXISTS (SELECT 1 FROM queue_records q
                               WHERE q.lane_id = h.lane_id AND q.record_key = h.record_key AND q.seq > h.seq)",
        )
        .bind(before)
        .execute(self.writer())
        .await?;
        Ok(())
    }

    /// Answers how many configs and revisions went. `history` is the time before which history leaves.
    pub(in crate::store) async fn expire_definitions(&self, history: Time) -> Result<u64> {
        let replaced = before(history, DEFINITIONS_MARGIN);
        // Work that is older still, and what holds a record, may need them.
        let needed: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM queue_items WHERE operation_id < $1)
                 OR EXISTS (SELECT 1 FROM record_holds WHERE operation_id < $1)",
        )
        .bind(first_id_of(replaced))
        .fetch_one(self.readers())
        .await?;
        if needed {
            return Ok(0);
        }
        let (mut gone, mut transaction) = (0, self.begin().await?);
        for statement in EXPIRE_DEFINITIONS {
            let left = sqlx::query(statement)
                .bind(replaced)
                .execute(&mut *transaction)
                .await?;
            gone += left.rows_affected();
        }
        crate::store::commit(transaction).await?;
        Ok(gone)
    }
}
