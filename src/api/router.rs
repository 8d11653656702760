//! Every route, and what stands around them.

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};
use http::{HeaderName, Method};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{Any, CorsLayer};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Code, Problem, ProblemBody};
use super::v1::{
    api_keys, connections, installations, integrations, jwt_keys, oauth, object_metadata, operations,
    projects, provider_apps, providers, uploads, writes,
};
use super::{auth, docs, health, layer, metrics};
use crate::app::AppState;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "amp-write",
        description = "A self-hosted service that speaks Ampersand's Write API. Errors are problem details (RFC 9457) as `application/problem+json`; a write that the provider rejects answers 422 with the shape of a write.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        oauth::update::oauth_update,
        operations::cancel::cancel_operation,
        operations::release::release_operation,
        operations::replay::replay_operation,
        operations::resolve::resolve_operation,
    ),
    components(schemas(ProblemBody, connections::CredentialBlocks, writes::preview::PreviewResponse)),
    modifiers(&Security),
    // Who takes JWTs says so.
    security(("apiKey" = [])),
)]
struct Api;

struct Security;

impl Modify for Security {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
            "X-Api-Key",
            "A key of the project. `frontend` keys cannot write records, read or steer operations, manage keys or deploy.",
        )));
        let jwt = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some(
                "Signed by your backend with RS256; `kid` is the id of a JWT key of the project, the claims are `groupRef`, `consumerRef`, `iat` and `exp`, at most 600 seconds apart. It may do what a `frontend` key may, within its group.",
            ))
            .build();
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("apiKey", scheme);
        components.add_security_scheme("jwt", SecurityScheme::Http(jwt));
    }
}

fn documented() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(writes::create::write_records))
        .routes(routes!(operations::get::get_operation))
        // A verb behind an id is no route of its own.
        .route(
            "/v1/projects/{project}/operations/{operation}",
            post(operations::steer::steer_operation),
        )
        .routes(routes!(operations::watch::watch_operations))
        .routes(routes!(operations::replay_many::replay_operations))
        .routes(routes!(operations::logs::list_operation_logs))
        .routes(routes!(operations::list::list_operations))
        .routes(routes!(operations::list_for_project::list_project_operations))
        .routes(routes!(projects::list::list_projects))
        .routes(routes!(projects::get::get_project))
        .routes(routes!(providers::list::list_providers))
        .routes(routes!(providers::get::get_provider))
        .routes(routes!(
            api_keys::list::list_api_keys,
            api_keys::create::create_api_key
        ))
        .routes(routes!(
            api_keys::get::get_api_key,
            api_keys::update::update_api_key,
            api_keys::delete::delete_api_key
        ))
        .routes(routes!(
            jwt_keys::list::list_jwt_keys,
            jwt_keys::create::create_jwt_key
        ))
        .routes(routes!(
            jwt_keys::get::get_jwt_key,
            jwt_keys::update::update_jwt_key,
            jwt_keys::delete::delete_jwt_key
        ))
        .routes(routes!(integrations::batch_upsert::batch_upsert_integrations))
        .routes(routes!(integrations::plan::plan_integrations))
        .routes(routes!(
            integrations::list::list_integrations,
            integrations::create::create_integration
        ))
        .routes(routes!(
            integrations::get::get_integration,
            integrations::delete::delete_integration
        ))
        .routes(routes!(integrations::create_revision::create_revision))
        .routes(routes!(integrations::hydrate::get_hydrated_revision))
        .routes(routes!(
            object_metadata::for_installation::get_object_metadata_for_installation
        ))
        .routes(routes!(
            object_metadata::for_connection::get_object_metadata_for_connection
        ))
        .routes(routes!(uploads::generate::generate_upload_url))
        .routes(routes!(uploads::put::put_upload))
        .routes(routes!(
            installations::list_for_project::list_installations_for_project
        ))
        .routes(routes!(
            installations::list::list_installations,
            installations::create::create_installation
        ))
        .routes(routes!(
            installations::get::get_installation,
            installations::update::update_installation,
            installations::delete::delete_installation
        ))
        .routes(routes!(installations::patch_object::patch_object_config_content))
        .routes(routes!(connections::generate::generate_connection))
        .routes(routes!(connections::list::list_connections))
        .routes(routes!(
            connections::get::get_connection,
            connections::update::update_connection,
            connections::delete::delete_connection
        ))
        .routes(routes!(
            provider_apps::list::list_provider_apps,
            provider_apps::create::create_provider_app
        ))
        .routes(routes!(
            provider_apps::get::get_provider_app,
            provider_apps::update::update_provider_app,
            provider_apps::delete::delete_provider_app
        ))
        .routes(routes!(oauth::connect::oauth_connect))
        .routes(routes!(oauth::callback::oauth_callback))
        .routes(routes!(oauth::open::open_connect_link))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
}

/// The description of the API, generated from the handlers.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    documented().into_openapi()
}

/// The whole API.
pub fn router(app: AppState) -> Router {
    let (router, openapi) = documented().split_for_parts();
    let json = openapi.to_pretty_json().unwrap_or_default();
    let page = docs::page(&openapi);
    around(
        router
            .route(
                "/openapi.json",
                get(move || async move { ([(http::header::CONTENT_TYPE, "application/json")], json) }),
            )
            .route("/docs", get(move || async move { axum::response::Html(page) }))
            .merge(own_metrics(&app)),
        app,
    )
}

/// Only whether the process is alive and ready, for processes that just work the queue.
pub fn health_router(app: AppState) -> Router {
    let router = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .merge(own_metrics(&app));
    around(router, app)
}

/// Only the metrics, for an address of their own.
pub fn metrics_router(app: AppState) -> Router {
    around(Router::new().route("/metrics", get(metrics::metrics)), app)
}

/// The metrics beside the rest, unless they have an address of their own.
fn own_metrics(app: &AppState) -> Router<AppState> {
    match app.tuning.metrics_listen {
        Some(_) => Router::new(),
        None => Router::new().route("/metrics", get(metrics::metrics)),
    }
}

/// How long a browser may remember what it was told before its first call: as long as browsers remember at most.
const CORS_MAX_AGE: std::time::Duration = std::time::Duration::from_secs(7200);

/// What stands around every answer, errors too: the request id, problems as JSON, CORS, and a net under panics.
fn around(router: Router<AppState>, app: AppState) -> Router {
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers([
            http::header::CONTENT_TYPE,
            HeaderName::from_static(auth::API_KEY),
            http::header::AUTHORIZATION,
            HeaderName::from_static("x-amp-client"),
            HeaderName::from_static("x-amp-client-version"),
            HeaderName::from_static("idempotency-key"),
        ])
        .max_age(CORS_MAX_AGE)
        .expose_headers([
            layer::REQUEST_ID,
            HeaderName::from_static("amp-operation-id"),
            HeaderName::from_static("amp-warnings"),
            HeaderName::from_static("amp-replayed"),
            http::header::RETRY_AFTER,
        ]);
    router
        .fallback(|| async {
            Problem::new(Code::NotServed, "this server does not serve this path")
                .remedy("See /docs for what it serves. Reads, subscriptions, proxying, organisations and billing are not part of it.")
        })
        .method_not_allowed_fallback(|| async { Problem::new(Code::MethodNotAllowed, "this path does not take this method") })
        .layer(CatchPanicLayer::new())
        .layer(middleware::from_fn_with_state(app.clone(), layer::around))
        .layer(cors)
        .with_state(app)
}
