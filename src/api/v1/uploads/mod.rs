//! Uploading a manifest before it is deployed: what `amp deploy` does.
//!
//! `GET /v1/generate-upload-url` answers a URL of this server; the client puts its zip there and then names it as
//! `gs://{bucket}/{path}`.

pub mod generate;
pub mod put;

use uuid::Uuid;

use crate::api::problem::Problem;
use crate::app::App;

/// The text of the manifest that a deploy names: itself, or the zip that was uploaded before.
///
/// # Errors
/// 400 when neither or both are named, the URL is not one of ours, or the zip holds no manifest.
pub async fn source_of(
    app: &App,
    project_id: Uuid,
    yaml: Option<String>,
    zip_url: Option<String>,
) -> Result<String, Problem> {
    match (yaml, zip_url) {
        (Some(source), None) => Ok(source),
        (None, Some(url)) => Ok(app.control.uploaded_manifest(project_id, &url).await?),
        _ => Err(Problem::invalid(
            "sourceYaml",
            "is required: send exactly one of sourceYaml and sourceZipUrl",
        )),
    }
}
