//! What a use case refuses, as a [`Problem`].

use std::time::Duration;

use serde_json::json;

use super::problem::{Code, Problem};
use super::v1::writes::answer;
use crate::control::{Error, Kind, Refused};

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refused) => of_refused(*refused),
            Error::Store(error) => error.into(),
            Error::Write(error) => answer::of_error(*error),
        }
    }
}

fn of_refused(refused: Refused) -> Problem {
    let code = match refused.kind {
        Kind::Invalid => Code::InvalidRequest,
        Kind::InvalidManifest => Code::InvalidManifest,
        Kind::Forbidden => Code::Forbidden,
        Kind::NotFound => Code::NotFound,
        Kind::Conflict | Kind::Overtaken => Code::Conflict,
        Kind::WrongState => Code::WrongState,
        Kind::NoWorker => Code::NoWorker,
        Kind::NotSetUp => Code::NotSetUp,
        Kind::Defect => Code::Internal,
    };
    let mut problem = Problem::with_issues(code, refused.detail(), refused.issues);
    if let Some(remedy) = refused.remedy {
        problem = problem.remedy(remedy);
    }
    if let Some(state) = refused.state {
        problem = problem.context(json!({ "state": state }));
    }
    match refused.kind {
        Kind::Overtaken => problem.retryable(true),
        Kind::NoWorker => problem.retry_after(Duration::from_secs(1)),
        _ => problem,
    }
}
