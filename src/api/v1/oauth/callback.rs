//! `GET /callbacks/v1/oauth`

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::HeaderMap;
use http::header::COOKIE;

use super::page;
use crate::app::AppState;
use crate::control::authorize::Callback;

/// The longest query that is read, in bytes: providers send long codes.
const MAX_QUERY_BYTES: usize = 32 << 10;

/// The end of connecting
///
/// Where providers send customers back to. It ends in a page that tells its opener, closes itself, and says in words what happened.
#[utoipa::path(get, path = "/callbacks/v1/oauth", tag = "OAuth", operation_id = "oauthCallback", security(()),
    responses((status = 200, description = "The customer is connected.", content_type = "text/html"), (status = 400, description = "Nobody is connected; the page says why.", content_type = "text/html")))]
pub async fn oauth_callback(
    State(app): State<AppState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    if query.len() > MAX_QUERY_BYTES {
        return page::unusable();
    }
    let query = url::form_urlencoded::parse(query.as_bytes()).into_owned();
    let callback = Callback {
        query: query.collect(),
        cookies: cookies(&headers),
    };
    // The code is good once: what it gives is stored also when the browser does not wait for it.
    let control = Arc::clone(&app);
    let done = app
        .in_flight
        .spawn(async move { control.control.finish_flow(callback).await });
    match done.await {
        Ok(Ok(connected)) => page::connected(&connected),
        Ok(Err(error)) => page::failed(error),
        Err(_) => page::unusable(),
    }
}

fn cookies(headers: &HeaderMap) -> BTreeMap<String, String> {
    let all = headers.get_all(COOKIE).iter();
    let texts = all.filter_map(|value| value.to_str().ok());
    texts
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
