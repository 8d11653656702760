//! OAuth grants. Each statement names the process and the epoch: who has lost a grant changes nothing.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::changes::note_changes;
use super::connections::{hold_for_authorization, release_authorization_hold};
use super::{DbConnection, ThisStore};
use crate::store::time::micros;
use crate::store::{
    AfterFailure, Change, ChangeKind, ConnectionStatus, DueGrant, Grant, GrantFailure, GrantStore,
    GrantToRefresh, HeldGrant, NewGrant, NewTokens, Result, StoreError, TakeGrant,
};

const TO_REFRESH: &str = sql!("
    SELECT c.id AS connection_id, c.project_id, c.provider, c.provider_workspace_ref, c.provider_metadata, c.status,
           c.credentials, c.credentials_version, g.provider_app_id, g.account_id, g.life_seconds, g.epoch,
           COALESCE(g.owner = $3 AND g.owner_until > " now!() ", FALSE) AS taken,
           COALESCE(g.owner_until > " now!() " AND " owner_lives!("$3") ", FALSE) AS busy,
           g.sent_time, g.failures, g.retry_time, g.last_error, " now!() " AS store_now
    FROM connections c
    JOIN grants g ON g.connection_id = c.id
    WHERE c.project_id = $1 AND c.id = $2" lock!(" FOR UPDATE OF g"));

/// Makes the grant of a connection, or begins it anew: whoever refreshes the old one has lost it. To be done before the
/// connection itself is changed: refreshing takes the two in this order.
pub(super) async fn begin_grant(
    connection: &mut DbConnection,
    project_id: Uuid,
    connection_id: Uuid,
    new: &NewGrant,
) -> Result<()> {
    sqlx::query(
        sql!("INSERT INTO grants (connection_id, project_id, provider_app_id, account_id, account_name, scopes,
             life_seconds, refresh_time, refresh_expire_time, epoch, failures)
         SELECT id, project_id, $3, $4, $5, $6, $7, " now!() " + " micros!("$8") ", " now!() " + " micros!("$9") ", 1, 0
         FROM connections WHERE project_id = $1 AND id = $2
         ON CONFLICT (connection_id) DO UPDATE SET
             provider_app_id = excluded.provider_app_id, account_id = excluded.account_id,
             account_name = excluded.account_name, scopes = excluded.scopes, life_seconds = excluded.life_seconds,
             refresh_time = excluded.refresh_time, refresh_expire_time = excluded.refresh_expire_time,
             epoch = grants.epoch + 1, owner = NULL, owner_until = NULL, sent_time = NULL, failures = 0,
             retry_time = NULL, last_error = NULL, last_error_time = NULL, last_refresh_time = " now!()),
    )
    .bind(project_id)
    .bind(connection_id)
    .bind(new.provider_app_id)
    .bind(&new.account_id)
    .bind(&new.account_name)
    .bind(&new.scopes)
    .bind(new.life_seconds)
    .bind(new.refresh_in.map(micros))
    .bind(new.refresh_expires_in.map(micros))
    .execute(connection)
    .await?;
    Ok(())
}

/// The credentials were replaced by some that are no grant.
pub(super) async fn drop_grant(
    connection: &mut DbConnection,
    project_id: Uuid,
    connection_id: Uuid,
) -> Result<()> {
    sqlx::query("DELETE FROM grants WHERE project_id = $1 AND connection_id = $2")
        .bind(project_id)
        .bind(connection_id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether what is taken is free, and may be taken now.
fn may_take(found: &GrantToRefresh, take: &TakeGrant) -> bool {
    found.credentials_version == take.credentials_version
        && found.status != ConnectionStatus::BadCredentials
        && !found.busy
        && found.retry_time.is_none_or(|time| time <= found.store_now)
}

#[async_trait]
impl GrantStore for ThisStore {
    async fn get_grant(&self, project_id: Uuid, connection_id: Uuid) -> Result<Option<Grant>> {
        Ok(
            sqlx::query_as("SELECT * FROM grants WHERE project_id = $1 AND connection_id = $2")
                .bind(project_id)
                .bind(connection_id)
                .fetch_optional(self.readers())
                .await?,
        )
    }

    async fn take_grant(&self, take: &TakeGrant) -> Result<Option<GrantToRefresh>> {
        let mut transaction = self.begin().await?;
        // Tokens that were brought from elsewhere by an earlier version have no row yet.
        sqlx::query(
            "INSERT INTO grants (connection_id, project_id, epoch, failures)
             SELECT id, project_id, 0, 0 FROM connections WHERE project_id = $1 AND id = $2
             ON CONFLICT DO NOTHING",
        )
        .bind(take.project_id)
        .bind(take.connection_id)
        .execute(&mut *transaction)
        .await?;
        let found: Option<GrantToRefresh> = sqlx::query_as(TO_REFRESH)
            .bind(take.project_id)
            .bind(take.connection_id)
            .bind(take.owner)
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(mut found) = found else { return Ok(None) };
        found.taken = may_take(&found, take);
        if found.taken {
            found.epoch = sqlx::query_scalar(
                sql!("UPDATE grants SET owner = $3, owner_until = " now!() " + " micros!("$4") ", epoch = epoch + 1,
                     sent_time = COALESCE(sent_time, " now!() ")
                 WHERE project_id = $1 AND connection_id = $2 RETURNING epoch"),
            )
            .bind(take.project_id)
            .bind(take.connection_id)
            .bind(take.owner)
            .bind(micros(take.lease))
            .fetch_one(&mut *transaction)
            .await?;
        }
        crate::store::commit(transaction).await?;
        Ok(Some(found))
    }

    async fn keep_grant(&self, held: &HeldGrant, lease: Duration) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let kept = sqlx::query(
            sql!("UPDATE grants SET owner_until = " now!() " + " micros!("$5") "
             WHERE project_id = $1 AND connection_id = $2 AND owner = $3 AND epoch = $4"),
        )
        .bind(held.project_id)
        .bind(held.connection_id)
        .bind(held.owner)
        .bind(held.epoch)
        .bind(micros(lease))
        .execute(&mut *transaction)
        .await?;
        crate::store::commit(transaction).await?;
        Ok(kept.rows_affected() > 0)
    }

    async fn store_grant(&self, held: &HeldGrant, tokens: &NewTokens) -> Result<Option<i64>> {
        let mut transaction = self.begin().await?;
        let new = &tokens.grant;
        let given_back = sqlx::query(
            sql!("UPDATE grants SET owner = NULL, owner_until = NULL, sent_time = NULL, failures = 0, retry_time = NULL,
                 last_error = NULL, last_error_time = NULL, last_refresh_time = " now!() ",
                 provider_app_id = COALESCE($5, provider_app_id), account_id = COALESCE($6, account_id),
                 account_name = COALESCE($7, account_name), scopes = COALESCE($8, scopes), life_seconds = $9,
                 refresh_time = " now!() " + " micros!("$10") ",
                 refresh_expire_time = COALESCE(" now!() " + " micros!("$11") ", refresh_expire_time)
             WHERE project_id = $1 AND connection_id = $2 AND owner = $3 AND epoch = $4"),
        )
        .bind(held.project_id)
        .bind(held.connection_id)
        .bind(held.owner)
        .bind(held.epoch)
        .bind(new.provider_app_id)
        .bind(&new.account_id)
        .bind(&new.account_name)
        .bind(&new.scopes)
        .bind(new.life_seconds)
        .bind(new.refresh_in.map(micros))
        .bind(new.refresh_expires_in.map(micros))
        .execute(&mut *transaction)
        .await?;
        if given_back.rows_affected() == 0 {
            return Ok(None);
        }
        let version: Option<(i64, ConnectionStatus)> = sqlx::query_as(
            sql!("UPDATE connections SET credentials = $4, credentials_version = credentials_version + 1,
                 provider_metadata = COALESCE($5, provider_metadata), update_time = " now!() "
             WHERE project_id = $1 AND id = $2 AND credentials_version = $3 RETURNING credentials_version, status"),
        )
        .bind(held.project_id)
        .bind(held.connection_id)
        .bind(held.credentials_version)
        .bind(&tokens.credentials)
        .bind(&tokens.provider_metadata)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some((version, status)) = version else {
            return Ok(None);
        };
        if status != ConnectionStatus::BadCredentials {
            // What was held because the provider did not accept the app.
            release_authorization_hold(&mut transaction, held.project_id, held.connection_id).await?;
        }
        let touched = Change::of(held.project_id, ChangeKind::Connection, held.connection_id);
        note_changes(&mut transaction, &[touched]).await?;
        crate::store::commit(transaction).await?;
        Ok(Some(version))
    }

    async fn fail_grant(&self, held: &HeldGrant, failure: &GrantFailure) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let (wait, failed) = match failure.then {
            AfterFailure::Retry(wait) | AfterFailure::Hold(_, wait) => (Some(wait), true),
            AfterFailure::Dead => (None, true),
            AfterFailure::StillGood(wait) => (Some(wait), false),
        };
        let given_back = sqlx::query(
            sql!("UPDATE grants SET owner = NULL, owner_until = NULL,
                 sent_time = CASE WHEN $5 THEN sent_time END,
                 failures = CASE WHEN $6 THEN failures + 1 ELSE 0 END,
                 retry_time = CASE WHEN $6 THEN " now!() " + " micros!("$7") " END,
                 refresh_time = " now!() " + " micros!("$7") ",
                 last_error = CASE WHEN $6 THEN $8 END,
                 last_error_time = CASE WHEN $6 THEN " now!() " END
             WHERE project_id = $1 AND connection_id = $2 AND owner = $3 AND epoch = $4
               AND EXISTS (SELECT 1 FROM connections c WHERE c.project_id = $1 AND c.id = $2 AND c.credentials_version = $9)"),
        )
        .bind(held.project_id)
        .bind(held.connection_id)
        .bind(held.owner)
        .bind(held.epoch)
        .bind(failure.in_doubt)
        .bind(failed)
        .bind(wait.map(micros))
        .bind(&failure.said)
        .bind(held.credentials_version)
        .execute(&mut *transaction)
        .await?;
        if given_back.rows_affected() == 0 {
            return Ok(false);
        }
        let held_too = match failure.then {
            AfterFailure::Dead => {
                let marked = sqlx::query(sql!("UPDATE connections SET status = $4, update_time = " now!() "
                     WHERE project_id = $1 AND id = $2 AND credentials_version = $3"))
                .bind(held.project_id)
                .bind(held.connection_id)
                .bind(held.credentials_version)
                .bind(ConnectionStatus::BadCredentials.as_str())
                .execute(&mut *transaction)
                .await?;
                if marked.rows_affected() == 0 {
                    return Ok(false);
                }
                true
            }
            AfterFailure::Hold(..) => true,
            AfterFailure::Retry(_) | AfterFailure::StillGood(_) => false,
        };
        if held_too {
            hold_for_authorization(&mut transaction, held.project_id, held.connection_id).await?;
            let touched = Change::of(held.project_id, ChangeKind::Connection, held.connection_id);
            note_changes(&mut transaction, &[touched]).await?;
        }
        crate::store::commit(transaction).await?;
        Ok(true)
    }

    async fn due_grants(&self, limit: i64, except: &[String]) -> Result<Vec<DueGrant>> {
        Ok(sqlx::query_as(sql!(
            "SELECT g.connection_id, g.project_id, c.provider, c.credentials_version
             FROM grants g JOIN connections c ON c.project_id = g.project_id AND c.id = g.connection_id
             WHERE g.refresh_time <= " now!() " AND (g.retry_time IS NULL OR g.retry_time <= " now!() ")
               AND (g.owner_until IS NULL OR g.owner_until <= " now!() ") AND c.status <> 'bad_credentials'
               AND c.provider NOT IN (" json_texts!("$2") ")
             ORDER BY g.refresh_time LIMIT $1"))
        .bind(limit)
        .bind(serde_json::Value::from(except).to_string())
        .fetch_all(self.readers())
        .await?)
    }

    async fn next_due_grant(&self) -> Result<Option<Duration>> {
        let next: Option<(crate::clock::Time, crate::clock::Time)> = sqlx::query_as(
            sql!("SELECT refresh_time, " now!() " FROM grants WHERE refresh_time > " now!() "
             ORDER BY refresh_time LIMIT 1"),
        )
        .fetch_optional(self.readers())
        .await
        .map_err(StoreError::from)?;
        Ok(next.map(|(time, now)| time.since(now)))
    }
}
