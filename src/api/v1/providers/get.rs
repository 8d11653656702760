//! `GET /v1/providers/{provider}`

use axum::Json;
use axum::extract::State;

use super::ProviderInfo;
use crate::api::extract::Segments;
use crate::api::problem::Problem;
use crate::app::AppState;

/// Get a provider
///
/// By its name in the catalogue, such as `hubspot`. No key is needed.
#[utoipa::path(get, path = "/v1/providers/{provider}", tag = "Provider", operation_id = "getProvider",
    params(("provider" = String, Path, description = "The provider's name.")),
    responses((status = 200, description = "The provider.", body = ProviderInfo), (status = 404, description = "No such provider.")),
    security(()))]
pub async fn get_provider(
    State(app): State<AppState>,
    Segments(provider): Segments<String>,
) -> Result<Json<ProviderInfo>, Problem> {
    let catalog = app.catalog.current();
    let info = catalog
        .provider(&provider)
        .and_then(|summary| ProviderInfo::of(&summary));
    info.map(Json).ok_or_else(|| {
        let name: String = provider.chars().take(100).collect();
        Problem::not_found(format!("Provider not found: {name}"))
            .remedy("GET /v1/providers names all of them; names are written as there, such as `hubspot`.")
    })
}
