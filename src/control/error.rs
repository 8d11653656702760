//! Why a use case did not do what it was asked for.

use std::fmt;

use crate::manifest::Issue;
use crate::store::StoreError;
use crate::writes::WriteError;
use crate::writes::request::Invalid;

/// Why a use case did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be done, or not so.
    #[error("{0}")]
    Refused(Box<Refused>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A write that was part of it was neither accepted nor performed.
    #[error(transparent)]
    Write(Box<WriteError>),
}

/// The kind of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What was given is not what it must be.
    Invalid,
    /// A manifest breaks rules.
    InvalidManifest,
    /// Who asks may not do this.
    Forbidden,
    /// No such thing.
    NotFound,
    /// It exists already, or is in use.
    Conflict,
    /// Somebody else has changed it at the same time.
    Overtaken,
    /// The operation is not in a state in which this can be done.
    WrongState,
    /// No worker answers.
    NoWorker,
    /// A setting of this server is missing that it needs.
    NotSetUp,
    /// A defect.
    Defect,
}

/// What cannot be done, and why.
#[derive(Debug)]
pub struct Refused {
    /// The kind.
    pub kind: Kind,
    /// In words; what `issues` says when `None`.
    detail: Option<String>,
    /// Each thing that is wrong with what was given, by its path.
    pub issues: Vec<Invalid>,
    /// What to do.
    pub remedy: Option<String>,
    /// The state that an operation is in instead.
    pub state: Option<String>,
    /// Whether the paths lead through a document, such as a manifest: they say where by themselves.
    in_document: bool,
}

impl Refused {
    /// What is wrong, in words.
    #[must_use]
    pub fn detail(&self) -> String {
        let said = |issue: &Invalid| match issue.name.as_str() {
            "" => issue.detail.clone(),
            name => format!("{name} {}", issue.detail),
        };
        self.detail.clone().unwrap_or_else(|| {
            let all: Vec<String> = self.issues.iter().map(said).collect();
            all.join("; ")
        })
    }
}

impl fmt::Display for Refused {
    /// For people: everything that is wrong, and what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail())?;
        let is_said = |issue: &&Invalid| self.detail.as_ref().is_none_or(|said| *said == issue.detail);
        for issue in self.issues.iter().filter(|issue| !is_said(issue)) {
            write!(f, "\n  {}: {}", issue.name, issue.detail)?;
        }
        match &self.remedy {
            Some(remedy) => write!(f, "\n{remedy}"),
            None => Ok(()),
        }
    }
}

impl Error {
    fn refused(kind: Kind, detail: Option<String>, issues: Vec<Invalid>) -> Self {
        Self::Refused(Box::new(Refused {
            kind,
            detail,
            issues,
            remedy: None,
            state: None,
            in_document: false,
        }))
    }

    /// A refusal.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self::refused(kind, Some(detail.into()), Vec::new())
    }

    /// No such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, detail)
    }

    /// What is wrong at one place of what was given; `detail` goes on where the name of the place ends.
    pub fn invalid(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::refused(Kind::Invalid, None, vec![Invalid::new(name, detail)])
    }

    /// What is wrong at one place of what was given, in whole sentences.
    pub fn about(name: impl Into<String>, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let issue = Invalid::new(name, detail.clone());
        Self::refused(Kind::Invalid, Some(detail), vec![issue])
    }

    /// Everything that is wrong with a manifest, a config or a change of one.
    pub fn issues(kind: Kind, detail: impl Into<String>, issues: Vec<Issue>) -> Self {
        let issues = issues.into_iter().map(|issue| {
            let detail = match issue.line {
                Some(line) => format!("{} (line {line})", issue.detail),
                None => issue.detail,
            };
            Invalid::new(issue.path, detail)
        });
        let mut error = Self::refused(kind, Some(detail.into()), issues.collect());
        if let Self::Refused(refused) = &mut error {
            refused.in_document = true;
        }
        error
    }

    /// An operation is in another state than it would have to be.
    pub fn wrong_state(detail: impl Into<String>, state: impl Into<String>) -> Self {
        let mut error = Self::new(Kind::WrongState, detail);
        if let Self::Refused(refused) = &mut error {
            refused.state = Some(state.into());
        }
        error
    }

    /// Says what to do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        if let Self::Refused(refused) = &mut self {
            refused.remedy = Some(remedy.into());
        }
        self
    }

    /// Says where what was given stands for whoever asked: `prefix` comes before the name of each place.
    #[must_use]
    pub fn within(self, prefix: &str) -> Self {
        self.placed(|name| format!("{prefix}{name}"))
    }

    /// Says what whoever asked calls the places that are wrong.
    #[must_use]
    pub fn placed(mut self, place: impl Fn(&str) -> String) -> Self {
        if let Self::Refused(refused) = &mut self
            && !refused.in_document
        {
            for issue in &mut refused.issues {
                issue.name = place(&issue.name);
            }
        }
        self
    }
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        Self::Write(Box::new(error))
    }
}
