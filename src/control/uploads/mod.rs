//! Uploading a manifest before it is deployed. A sealed token makes a URL of this server valid for a while; what is put there
//! is then named as `gs://{bucket}/{path}`. Nothing but our own bucket is ever read: no URL is fetched.

mod zipped;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Control, Error, Kind};
use crate::clock::Time;

/// The bucket that uploads seem to lie in.
pub const BUCKET: &str = "amp-write-uploads";
/// How long an upload URL is good, in seconds.
const URL_SECONDS: u64 = 900;
/// What tokens are sealed for.
const PLACE: &str = "upload-url";
/// The longest token that is looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 1024;

/// What an upload URL allows; sealed inside it.
#[derive(Debug, Serialize, Deserialize)]
pub struct UploadToken {
    project_id: Uuid,
    id: Uuid,
    /// The MD5 that the content must have, if one was named.
    md5: Option<[u8; 16]>,
    until: Time,
}

/// A place for an upload.
#[derive(Debug)]
pub struct UploadPlace {
    /// The sealed token: whoever has it may upload.
    pub token: String,
    /// Where the upload will lie in the bucket.
    pub path: String,
}

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

fn bad_token() -> Error {
    Error::new(
        Kind::Forbidden,
        "this upload URL is not one of this server's, or its time is over",
    )
    .remedy("Ask for a new one at /v1/generate-upload-url.")
}

impl Control {
    /// Makes a place for an upload, whose content must have this MD5 if one is named.
    ///
    /// # Errors
    /// When the token cannot be sealed.
    pub fn place_upload(&self, project_id: Uuid, md5: Option<[u8; 16]>) -> Result<UploadPlace, Error> {
        let id = self.clock.new_id();
        let token = UploadToken {
            project_id,
            id,
            md5,
            until: self.clock.now().after(Duration::from_secs(URL_SECONDS)),
        };
        let sealed = serde_json::to_vec(&token)
            .ok()
            .and_then(|plain| self.vault.seal(PLACE, &plain).ok())
            .ok_or_else(|| Error::new(Kind::Defect, "an upload URL could not be made"))?;
        Ok(UploadPlace {
            token: URL_SAFE_NO_PAD.encode(sealed),
            path: path_of(project_id, id),
        })
    }

    /// Opens the token of an upload URL.
    ///
    /// # Errors
    /// When it is not one of this server's, or its time is over.
    pub fn open_upload(&self, token: &str) -> Result<UploadToken, Error> {
        let open = || {
            if token.len() > MAX_TOKEN_BYTES {
                return None;
            }
            let sealed = URL_SAFE_NO_PAD.decode(token).ok()?;
            let plain = self.vault.open(PLACE, &sealed).ok()?;
            serde_json::from_slice(&plain).ok()
        };
        open()
            .filter(|token: &UploadToken| token.until >= self.clock.now())
            .ok_or_else(bad_token)
    }

    /// Keeps what was uploaded for an hour. It must have the MD5 that was named for the URL, and the one that is named now.
    ///
    /// # Errors
    /// When it has another, or the store fails.
    pub async fn put_upload(
        &self,
        token: &UploadToken,
        content: &[u8],
        md5: Option<[u8; 16]>,
    ) -> Result<(), Error> {
        let actual: [u8; 16] = Md5::digest(content).into();
        if [token.md5, md5]
            .into_iter()
            .flatten()
            .any(|wanted| wanted != actual)
        {
            return Err(Error::invalid(
                "",
                "the content does not have the MD5 that was announced: it was changed on the way",
            )
            .remedy("Upload it again."));
        }
        Ok(self.store.put_upload(token.project_id, token.id, content).await?)
    }

    /// The text of the manifest in a zip that was uploaded before.
    ///
    /// # Errors
    /// When the URL is not one of ours, or the zip holds no manifest.
    pub async fn uploaded_manifest(&self, project_id: Uuid, url: &str) -> Result<String, Error> {
        let Some(id) = parse_url(url, project_id) else {
            return Err(Error::invalid(
                "sourceZipUrl",
                "is not an upload of this project; this server reads no other URL",
            )
            .remedy("Ask for a URL at /v1/generate-upload-url, put the zip there, and name it as gs://{bucket}/{path}; or send the text of amp.yaml as sourceYaml."));
        };
        let Some(content) = self.store.get_upload(project_id, id).await? else {
            return Err(Error::invalid(
                "sourceZipUrl",
                "names an upload that is not there: uploads are kept for an hour",
            )
            .remedy("Upload the zip again."));
        };
        zipped::manifest_in(content).map_err(|why| Error::invalid("sourceZipUrl", why))
    }
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
