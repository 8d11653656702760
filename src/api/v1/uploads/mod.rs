//! Uploading a manifest before it is deployed: what `amp deploy` does.
//!
//! `GET /v1/generate-upload-url` answers a URL of this server that a sealed token makes valid for a while; the client puts
//! its zip there and then names it as `gs://{bucket}/{path}`. Nothing but our own bucket is ever read: no URL is fetched.

pub mod generate;
pub mod put;
mod zipped;

use uuid::Uuid;

use crate::api::problem::{Code, Problem};
use crate::app::App;

/// The bucket that uploads seem to lie in.
const BUCKET: &str = "amp-write-uploads";
/// How long an upload URL is good, in seconds.
const URL_SECONDS: u64 = 900;
/// What tokens are sealed for.
const PLACE: &str = "upload-url";

/// Where an upload lies in the bucket.
fn path_of(project_id: Uuid, id: Uuid) -> String {
    format!("{project_id}/{id}.zip")
}

/// The upload that a URL names, when it is one of ours and of this project.
fn parse_url(url: &str, project_id: Uuid) -> Option<Uuid> {
    let path = url
        .strip_prefix("gs://")?
        .strip_prefix(BUCKET)?
        .strip_prefix('/')?;
    let (project, file) = path.split_once('/')?;
    let id = Uuid::try_parse(file.strip_suffix(".zip")?).ok()?;
    (Uuid::try_parse(project).ok()? == project_id).then_some(id)
}

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
    let url = match (yaml, zip_url) {
        (Some(source), None) => return Ok(source),
        (None, Some(url)) => url,
        _ => {
            return Err(Problem::invalid(
                "sourceYaml",
                "is required: send exactly one of sourceYaml and sourceZipUrl",
            ));
        }
    };
    let Some(id) = parse_url(&url, project_id) else {
        return Err(Problem::invalid(
            "sourceZipUrl",
            "is not an upload of this project; this server reads no other URL",
        )
        .remedy("Ask for a URL at /v1/generate-upload-url, put the zip there, and name it as gs://{bucket}/{path}; or send the text of amp.yaml as sourceYaml."));
    };
    let Some(content) = app.store.get_upload(project_id, id).await? else {
        return Err(Problem::invalid(
            "sourceZipUrl",
            "names an upload that is not there: uploads are kept for an hour",
        )
        .remedy("Upload the zip again."));
    };
    zipped::manifest_in(content).map_err(|why| Problem::invalid("sourceZipUrl", why))
}

/// A problem of a token.
fn bad_token() -> Problem {
    Problem::new(
        Code::Forbidden,
        "this upload URL is not one of this server's, or its time is over",
    )
    .remedy("Ask for a new one at /v1/generate-upload-url.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_upload_of_the_same_project_is_recognised() {
        let (project, id) = (Uuid::from_u128(7), Uuid::from_u128(9));
        let good = format!("gs://{BUCKET}/{}", path_of(project, id));
        assert_eq!(parse_url(&good, project), Some(id));
        assert_eq!(parse_url(&good, id), None);
        for bad in [
            "https://storage.googleapis.com/x.zip",
            "gs://other/a/b.zip",
            "gs://amp-write-uploads/../b.zip",
            "file:///etc/passwd",
            "",
        ] {
            assert_eq!(parse_url(bad, project), None, "{bad}");
        }
    }
}
