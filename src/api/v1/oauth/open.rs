//! `GET /connect/{link}`

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY, SET_COOKIE};
use http::{HeaderValue, StatusCode};

use super::page;
use crate::api::extract::Segments;
use crate::app::AppState;
use crate::control::authorize::{CALLBACK, LIFE};

/// Open a link to connect
///
/// Where a customer's browser begins: it gets a cookie of this connection and is sent on to the provider.
#[utoipa::path(get, path = "/connect/{link}", tag = "OAuth", operation_id = "openConnectLink",
    params(("link" = String, Path, description = "The secret of the link.")), security(()),
    responses((status = 303, description = "To the provider."), (status = 400, description = "A page that says why the link leads nowhere.", content_type = "text/html")))]
pub async fn open_connect_link(State(app): State<AppState>, segments: Segments<(String,)>) -> Response {
    let Segments((link,)) = segments;
    let out = match app.control.open_link(&link).await {
        Ok(out) => out,
        Err(error) => return page::failed(error),
    };
    let secure = if out.secure { "; Secure" } else { "" };
    let cookie = format!(
        "{}={}; Path={CALLBACK}; Max-Age={}; HttpOnly; SameSite=Lax{secure}",
        out.cookie_name,
        out.cookie.expose(),
        LIFE.as_secs()
    );
    let (Ok(mut cookie), Ok(mut location)) = (
        HeaderValue::from_str(&cookie),
        HeaderValue::from_str(out.url.expose()),
    ) else {
        return page::unusable();
    };
    cookie.set_sensitive(true);
    location.set_sensitive(true);
    let headers = [
        (SET_COOKIE, cookie),
        (LOCATION, location),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}
