//! Who asks for a use case, and what of a project they may see.

use std::sync::Arc;

use uuid::Uuid;

use super::{Error, Kind};

/// Who asks. Each use case that changes something takes one, and each that finds what belongs to a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// An API key.
    Key {
        /// Its id.
        id: Uuid,
        /// Whether it has the scope `full`. A key without lies in browsers.
        full: bool,
    },
    /// A customer's person, with a token that the app's backend has signed.
    Consumer(Consumer),
    /// Whoever runs this program on the database itself.
    Operator,
}

/// A customer's person, as a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// The key that the token was verified with.
    pub key_id: Uuid,
    /// The customer: nothing of another one is seen or changed.
    pub group_ref: Arc<str>,
    /// The person.
    pub consumer_ref: Arc<str>,
}

impl Actor {
    /// Whom a change is attributed to when nobody is named.
    #[must_use]
    pub fn attribution(&self) -> String {
        match self {
            Self::Key { id, .. } => format!("api:{id}"),
            Self::Consumer(consumer) => format!("consumer:{}", consumer.consumer_ref),
            Self::Operator => "operator".to_owned(),
        }
    }

    /// Whom a change is attributed to when `named` was named for it. A token says who it is, whatever the request says.
    pub(super) fn author(&self, named: &str) -> String {
        match self {
            Self::Consumer(_) => self.attribution(),
            Self::Key { .. } | Self::Operator => named.to_owned(),
        }
    }

    /// Lets only those pass who may do everything in the project.
    ///
    /// # Errors
    /// [`Kind::Forbidden`].
    pub fn require_full(&self) -> Result<(), Error> {
        let who = match self {
            Self::Key { full: true, .. } | Self::Operator => return Ok(()),
            Self::Key { full: false, .. } => "this API key has the scope frontend, which cannot do this",
            Self::Consumer(_) => "a JWT cannot do this: it is for a customer's browser",
        };
        Err(forbidden(who).remedy("Use a key with the scope full, from your backend."))
    }

    /// The rule that confines a token to its group, in one place: lets pass who may see and change what belongs to the group.
    /// Every use case that finds something of a customer ends here or in [`Actor::group`].
    ///
    /// # Errors
    /// [`Kind::Forbidden`].
    pub fn confine(&self, group_ref: &str) -> Result<(), Error> {
        match self {
            Self::Consumer(consumer) if *consumer.group_ref != *group_ref => {
                Err(forbidden("the JWT is for another group than this belongs to")
                    .remedy("Sign a JWT whose groupRef is the group that is asked for."))
            }
            Self::Consumer(_) | Self::Key { .. } | Self::Operator => Ok(()),
        }
    }

    /// The same for lists: the group that is looked into when `asked` was asked for, all of them when `None`.
    ///
    /// # Errors
    /// [`Kind::Forbidden`].
    pub fn group(&self, asked: Option<String>) -> Result<Option<String>, Error> {
        match (self, asked) {
            (_, Some(asked)) => self.confine(&asked).map(|()| Some(asked)),
            (Self::Consumer(consumer), None) => Ok(Some(consumer.group_ref.as_ref().to_owned())),
            (Self::Key { .. } | Self::Operator, None) => Ok(None),
        }
    }

    /// Lets only those pass who may act for this person of the group: a token acts for the one that it names. People have names
    /// that all groups of the project share.
    ///
    /// # Errors
    /// [`Kind::Forbidden`].
    pub fn confine_person(&self, group_ref: &str, consumer_ref: &str) -> Result<(), Error> {
        self.confine(group_ref)?;
        match self {
            Self::Consumer(consumer) if *consumer.consumer_ref != *consumer_ref => Err(forbidden(
                "the JWT is for another consumer than consumerRef names",
            )
            .remedy("Send the consumerRef that the JWT was signed for.")),
            Self::Consumer(_) | Self::Key { .. } | Self::Operator => Ok(()),
        }
    }
}

fn forbidden(detail: &str) -> Error {
    Error::new(Kind::Forbidden, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(group_ref: &str, consumer_ref: &str) -> Actor {
        Actor::Consumer(Consumer {
            key_id: Uuid::nil(),
            group_ref: group_ref.into(),
            consumer_ref: consumer_ref.into(),
        })
    }

    #[test]
    fn a_token_sees_its_own_group_and_acts_for_its_own_person() {
        let own = of("acme", "ann");
        assert!(own.confine("acme").is_ok());
        // Groups are compared letter for letter.
        for other in ["globex", "Acme", "acme ", "", "acm"] {
            assert!(own.confine(other).is_err(), "{other}");
            assert!(own.group(Some(other.to_owned())).is_err(), "{other}");
            assert!(own.confine_person(other, "ann").is_err(), "{other}");
        }
        assert_eq!(own.group(None).expect("its own"), Some("acme".to_owned()));
        assert_eq!(
            own.group(Some("acme".to_owned())).expect("its own"),
            Some("acme".to_owned())
        );
        assert!(own.confine_person("acme", "ann").is_ok());
        assert!(own.confine_person("acme", "bob").is_err());
        assert!(own.require_full().is_err());
        assert_eq!(own.author("consumer:bob"), "consumer:ann");
    }

    #[test]
    fn keys_and_operators_are_confined_to_no_group() {
        let key = |full| Actor::Key {
            id: Uuid::nil(),
            full,
        };
        for actor in [key(true), key(false), Actor::Operator] {
            assert!(actor.confine("acme").is_ok());
            assert!(actor.confine_person("acme", "ann").is_ok());
            assert_eq!(actor.group(None).expect("all"), None);
            assert_eq!(actor.author("builder:x"), "builder:x");
        }
        assert!(key(false).require_full().is_err());
        assert!(key(true).require_full().is_ok());
    }
}
