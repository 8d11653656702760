//! What a request may say besides its path.

use super::errors::Fault;
use crate::sandbox::message::Request;

/// Refuses query parameters other than these. A test that passes because something was not looked at proves nothing.
pub(super) fn parameters(request: &Request, known: &[&str]) -> Result<(), Fault> {
    // Any POST may say that it stands for another method.
    let unknown = request.unknown_query(&[known, &["_HttpMethod"]].concat());
    unknown.map_or(Ok(()), |name| {
        let message = format!(
            "The query parameter '{name}' is not one of this call, or the sandbox does not simulate it"
        );
        Err(Fault::new(400, "INVALID_PARAMETER", message))
    })
}
