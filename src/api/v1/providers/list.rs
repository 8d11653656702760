//! `GET /v1/providers`

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;

use super::ProviderInfo;
use crate::api::problem::{Code, Problem};
use crate::app::AppState;

/// List providers
///
/// All providers of this server's catalogue by name. No key is needed.
#[utoipa::path(get, path = "/v1/providers", tag = "Provider", operation_id = "listProviders",
    responses((status = 200, description = "The providers by name.", body = BTreeMap<String, ProviderInfo>)),
    security(()))]
pub async fn list_providers(
    State(app): State<AppState>,
) -> Result<Json<BTreeMap<String, ProviderInfo>>, Problem> {
    let catalog = app.catalog.current();
    // The first call reads every file: that takes longer than other tasks should wait.
    let all = tokio::task::spawn_blocking(move || {
        let providers = catalog.providers();
        providers
            .iter()
            .filter_map(|summary| Some((summary.provider.clone(), ProviderInfo::of(summary)?)))
            .collect()
    });
    all.await
        .map(Json)
        .map_err(|_| Problem::new(Code::Internal, "the catalogue could not be listed"))
}
