//! The databases that are measured: a project, its customers, and work for them.

use std::sync::Arc;

use amp_write::clock::{Clock as _, SystemClock};
use amp_write::control::keys;
use amp_write::outbound::Credentials;
use amp_write::store::{
    NewConfig, NewConnection, NewInstallation, NewIntegration, NewProject, SharedStore, connect,
};
use amp_write::vault::{Secret, Vault, generate_key};
use uuid::Uuid;

use crate::Scale;
use crate::cluster::Cluster;

/// The quiet customer.
pub const QUIET: &str = "quiet";
/// Bytes that a record holds beside its name.
pub const FILLER: usize = 900;

/// What all databases have in common.
#[derive(Debug)]
pub struct World {
    /// The key that seals.
    pub vault_key: Secret,
    /// An API key.
    pub api_key: String,
    /// The project.
    pub project: Uuid,
    /// The integration.
    pub integration: Uuid,
    /// The installation of [`QUIET`]; its config serves everybody.
    pub installation: Uuid,
    /// Its config.
    pub config: Uuid,
    /// The revision.
    pub revision: Uuid,
    /// The customers' connections, one lane each.
    pub lanes: Vec<Uuid>,
    /// The quiet customer's.
    pub quiet: Uuid,
}

fn credentials() -> Credentials {
    Credentials::OAuth2 {
        access_token: Secret::new("test-bench".to_owned()),
        refresh_token: None,
        access_token_expires: None,
        scopes: Vec::new(),
    }
}

/// Opens a database of the cluster.
pub async fn open(cluster: &Cluster, name: &str) -> SharedStore {
    connect(&cluster.database(name), 8, Arc::new(SystemClock))
        .await
        .expect("the database opens")
}

impl World {
    /// Makes `bench_base`, which the others are copies of.
    pub async fn make(cluster: &Cluster, scale: Scale) -> Self {
        cluster.create("bench_base", None).await;
        let store = open(cluster, "bench_base").await;
        let mut world = Self::furnish(&store).await;
        store.close().await;
        world.lanes = (0..scale.of(10_000)).map(|_| SystemClock.new_id()).collect();
        let vault = Vault::from_keys(&world.vault_key).expect("a key");
        let sealed = |connection: Uuid| {
            let sealed = credentials().seal(&vault, world.project, connection);
            sealed.expect("sealed")
        };
        let mut direct = cluster.connect("bench_base").await;
        sqlx::query(
            "INSERT INTO connections (id, project_id, provider, group_ref, consumer_ref, auth_scheme, status,
                 credentials, credentials_version, create_time)
             SELECT n.id, $1, 'hubspot', $2, 'person', 'oauth2', 'created', n.credentials, 1, now()
             FROM UNNEST($3::uuid[], $4::bytea[]) AS n (id, credentials)",
        )
        .bind(world.project)
        .bind(QUIET)
        .bind(&world.lanes)
        .bind(world.lanes.iter().map(|lane| sealed(*lane)).collect::<Vec<_>>())
        .execute(&mut direct)
        .await
        .expect("the customers are made");
        world
    }

    /// Makes a project with the quiet customer, and nobody else.
    pub async fn furnish(store: &SharedStore) -> Self {
        let vault_key = generate_key().expect("random");
        let vault = Vault::from_keys(&vault_key).expect("a key");
        let id = || SystemClock.new_id();
        let (api_key, new_key) = keys::generate(
            id(),
            "bench".to_owned(),
            amp_write::store::KeyScope::Full.into(),
            None,
        )
        .expect("a key");
        let project = NewProject {
            id: id(),
            name: "bench".to_owned(),
            app_name: "Bench".to_owned(),
            org_id: id(),
        };
        store.create_project(&project, &new_key).await.expect("a project");
        let project = project.id;
        let content =
            r#"{"name":"hs","provider":"hubspot","write":{"objects":[{"objectName":"companies"}]}}"#;
        let integration = NewIntegration {
            id: id(),
            revision_id: id(),
            name: "hs".to_owned(),
            provider: "hubspot".to_owned(),
            spec_version: "1.0.0".to_owned(),
            content: content.to_owned(),
        };
        store
            .deploy(project, std::slice::from_ref(&integration), false)
            .await
            .expect("deployed");
        let quiet = id();
        let connection = NewConnection {
            id: quiet,
            provider: "hubspot".to_owned(),
            group_ref: QUIET.to_owned(),
            group_name: None,
            consumer_ref: "person".to_owned(),
            consumer_name: None,
            provider_workspace_ref: None,
            provider_metadata: None,
            auth_scheme: "oauth2".to_owned(),
            credentials: credentials().seal(&vault, project, quiet).expect("sealed"),
            grant: None,
        };
        store
            .create_connection(project, &connection)
            .await
            .expect("a connection");
        let installation = NewInstallation {
            id: id(),
            integration_id: integration.id,
            connection_id: quiet,
            group_ref: QUIET.to_owned(),
            created_by: "api:bench".to_owned(),
            config: NewConfig {
                id: id(),
                revision_id: integration.revision_id,
                content: r#"{"provider":"hubspot"}"#.to_owned(),
                created_by: "api:bench".to_owned(),
            },
        };
        store
            .create_installation(project, &installation)
            .await
            .expect("an installation");
        Self {
            vault_key,
            api_key,
            project,
            integration: integration.id,
            installation: installation.id,
            config: installation.config.id,
            revision: integration.revision_id,
            lanes: Vec::new(),
            quiet,
        }
    }

    /// Makes a database with so many items, all of one lane or spread over all of them.
    pub async fn load(&self, cluster: &Cluster, name: &str, items: u64, only: Option<Uuid>) {
        println!("making {name}: {items} items …");
        cluster.create(name, Some("bench_base")).await;
        let lanes = only.map_or_else(|| self.lanes.clone(), |lane| vec![lane]);
        let mut connection = cluster.connect(name).await;
        let filler = "x".repeat(FILLER);
        sqlx::query("CREATE TEMPORARY TABLE lane AS SELECT id, (position - 1)::bigint AS position FROM UNNEST($1::uuid[]) WITH ORDINALITY AS n (id, position)")
            .bind(&lanes)
            .execute(&mut connection)
            .await
            .expect("the lanes are noted");
        sqlx::query(
            "CREATE TEMPORARY TABLE item AS
             SELECT g.n, lane.id AS lane_id, now() - INTERVAL '1 hour' + g.n * INTERVAL '1 microsecond' AS run_at,
                    (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '7' || substr(m.md5, 1, 3)
                     || '8' || substr(m.md5, 4, 15))::uuid AS operation_id
             FROM generate_series(1, $1) AS g (n)
             CROSS JOIN LATERAL (SELECT md5(g.n::text) AS md5) AS m
             JOIN lane ON lane.position = g.n % $2",
        )
        .bind(i64::try_from(items).expect("fits"))
        .bind(i64::try_from(lanes.len()).expect("fits"))
        .execute(&mut connection)
        .await
        .expect("the items are made");
        sqlx::query(
            "INSERT INTO operations (project_id, id, integration_id, installation_id, config_id, revision_id, connection_id,
                 object, action, mode, request, accept_time, deadline)
             SELECT $1, operation_id, $2, $3, $4, $5, lane_id, 'companies', 'create', 'asynchronous', $6, run_at,
                    now() + INTERVAL '40 hours'
             FROM item ORDER BY n",
        )
        .bind(self.project)
        .bind(self.integration)
        .bind(self.installation)
        .bind(self.config)
        .bind(self.revision)
        .bind(format!(r#"{{"record":{{"name":"noisy","description":"{filler}"}}}}"#))
        .execute(&mut connection)
        .await
        .expect("the operations are made");
        sqlx::query(
            "INSERT INTO queue_items (shard, lane_id, run_at, operation_id, project_id, seq, record_key, attempt, deadline)
             SELECT get_byte(uuid_send(lane_id), 15) % 64, lane_id, run_at, operation_id, $1, nextval('queue_seq'), NULL, 0,
                    now() + INTERVAL '40 hours'
             FROM item ORDER BY n",
        )
        .bind(self.project)
        .execute(&mut connection)
        .await
        .expect("the items are queued");
        cluster.run(name, "VACUUM ANALYZE".to_owned()).await;
        cluster.run(name, "CHECKPOINT".to_owned()).await;
    }
}
