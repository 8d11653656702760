//! Single writes that the app wants gathered: which of them share an operation.

use std::time::Duration;

use super::request::StoredRequest;
use crate::store::{Gather, NewOperation};
use crate::vault::sha256;

/// Makes the operation of a single write one in which it is gathered with others like it, for `delay` at most. `deadline` is
/// how long it may be retried afterwards. `None` when the request holds no record.
pub(super) fn gather(
    operation: &mut NewOperation,
    stored: &StoredRequest,
    delay: Duration,
    deadline: Duration,
) -> Option<Gather> {
    let item = stored.as_item(operation.client_ref.as_deref())?;
    operation.request = stored.open_batch();
    // The name of one of its records.
    operation.client_ref = None;
    Some(Gather {
        batch_key: batch_key(operation, deadline),
        item,
        delay,
    })
}

/// A hash of all that writes must have in common to be performed, and to end, as one.
fn batch_key(operation: &NewOperation, deadline: Duration) -> Vec<u8> {
    let mut text = Vec::new();
    for part in [
        operation.installation_id.as_bytes().as_slice(),
        operation.config_id.as_bytes(),
        operation.revision_id.as_bytes(),
        operation.connection_id.as_bytes(),
        operation.object.as_bytes(),
        operation.action.as_str().as_bytes(),
        // Headers, and what to do when the outcome stays unknown.
        operation.request.as_bytes(),
        &deadline.as_secs().to_be_bytes(),
    ] {
        // Each part ends with its length, so that no two look alike when they are joined.
        text.extend_from_slice(part);
        text.extend_from_slice(&(part.len() as u64).to_be_bytes());
    }
    sha256(&text)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::action::Action;
    use crate::writes::request::WriteRequest;

    fn key(change: impl FnOnce(&mut NewOperation, &mut StoredRequest, &mut Duration)) -> Vec<u8> {
        let body = r#"{"groupRef":"g","type":"create","mode":"asynchronous","record":{"a":1}}"#;
        let mut stored = WriteRequest::parse(body.as_bytes()).expect("valid").stored;
        let id = Uuid::nil();
        let mut operation = NewOperation {
            id,
            project_id: id,
            integration_id: id,
            installation_id: id,
            config_id: id,
            revision_id: id,
            connection_id: id,
            object: "contacts".to_owned(),
            action: Action::Create,
            request: String::new(),
            client_ref: None,
            replay_of: None,
        };
        let mut deadline = Duration::from_secs(3600);
        change(&mut operation, &mut stored, &mut deadline);
        gather(&mut operation, &stored, Duration::from_secs(60), deadline)
            .expect("a record")
            .batch_key
    }

    #[test]
    fn what_is_performed_alike_is_gathered_and_nothing_else() {
        let other = Uuid::from_u128(1);
        let same = key(|_, _, _| {});
        assert_eq!(key(|o, _, _| o.client_ref = Some("n".to_owned())), same);
        assert_eq!(key(|o, _, _| o.id = other), same);
        for (what, different) in [
            ("installation", key(|o, _, _| o.installation_id = other)),
            ("config", key(|o, _, _| o.config_id = other)),
            ("revision", key(|o, _, _| o.revision_id = other)),
            ("connection", key(|o, _, _| o.connection_id = other)),
            ("object", key(|o, _, _| o.object = "deals".to_owned())),
            ("action", key(|o, _, _| o.action = Action::Update)),
            (
                "headers",
                key(|_, s, _| s.headers = vec![("a".to_owned(), "b".to_owned())]),
            ),
            (
                "on unknown",
                key(|_, s, _| s.on_unknown = crate::writes::request::OnUnknown::Retry),
            ),
            ("deadline", key(|_, _, d| *d = Duration::from_secs(7200))),
        ] {
            assert_ne!(different, same, "{what}");
        }
    }
}
