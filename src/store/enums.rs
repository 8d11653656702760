//! Words in text columns that stand for one of a few values: decoded here, so that everything else has enums.

use crate::action::Action;

/// What a column holds that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("`{column}` holds `{word}`, which this version does not know")]
pub(super) struct UnknownWord {
    pub(super) column: &'static str,
    word: String,
}

impl UnknownWord {
    pub(super) fn new(column: &'static str, word: &str) -> Self {
        Self {
            column,
            word: word.to_owned(),
        }
    }
}

/// A value that has a word in the store.
pub trait StoredWord: Copy {
    /// The table and column that holds it.
    const COLUMN: &'static str;
    /// The value of a word.
    fn of_word(word: &str) -> Option<Self>;
    /// The word of a value.
    fn word(self) -> &'static str;
}

/// A word that is read together with much else, which must not fail for one that a later version wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MaybeKnown<T> {
    /// This version knows it.
    Known(T),
    /// It does not.
    Unknown(String),
}

impl<T: StoredWord> MaybeKnown<T> {
    pub(super) fn of_word(word: &str) -> Self {
        T::of_word(word).map_or_else(|| Self::Unknown(word.to_owned()), Self::Known)
    }

    /// The word, known or not.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(value) => value.word(),
            Self::Unknown(word) => word,
        }
    }

    /// The value, if this version knows it.
    pub fn known(&self) -> Option<T> {
        match self {
            Self::Known(value) => Some(*value),
            Self::Unknown(_) => None,
        }
    }
}

impl<T> From<T> for MaybeKnown<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

impl<DB: sqlx::Database, T> sqlx::Type<DB> for MaybeKnown<T>
where
    str: sqlx::Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        <str as sqlx::Type<DB>>::type_info()
    }
    fn compatible(ty: &DB::TypeInfo) -> bool {
        <str as sqlx::Type<DB>>::compatible(ty)
    }
}

impl<'r, DB: sqlx::Database, T: StoredWord> sqlx::Decode<'r, DB> for MaybeKnown<T>
where
    &'r str: sqlx::Decode<'r, DB>,
{
    fn decode(value: DB::ValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
        let word = <&str as sqlx::Decode<'r, DB>>::decode(value)?;
        Ok(Self::of_word(word))
    }
}

/// Lets a [`StoredWord`] be read from its column.
macro_rules! decode_word {
    ($name:ty) => {
        impl<DB: sqlx::Database> sqlx::Type<DB> for $name
        where
            str: sqlx::Type<DB>,
        {
            fn type_info() -> DB::TypeInfo {
                <str as sqlx::Type<DB>>::type_info()
            }
            fn compatible(ty: &DB::TypeInfo) -> bool {
                <str as sqlx::Type<DB>>::compatible(ty)
            }
        }

        impl<'r, DB: sqlx::Database> sqlx::Decode<'r, DB> for $name
        where
            &'r str: sqlx::Decode<'r, DB>,
        {
            fn decode(value: DB::ValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
                use $crate::store::enums::{StoredWord, UnknownWord};
                let word = <&str as sqlx::Decode<'r, DB>>::decode(value)?;
                Self::of_word(word).ok_or_else(|| UnknownWord::new(Self::COLUMN, word).into())
            }
        }
    };
}

/// Declares the values of a column, each with its word.
macro_rules! words {
    ($(#[$doc:meta])* $column:literal, pub enum $name:ident { $($(#[$value_doc:meta])* $value:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$value_doc])* $value,)+ }

        impl $name {
            /// The word in the store.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$value => $word,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::store::enums::StoredWord for $name {
            const COLUMN: &'static str = $column;
            fn of_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$value),)+ _ => None }
            }
            fn word(self) -> &'static str {
                self.as_str()
            }
        }

        $crate::store::enums::decode_word!($name);
    };
}

pub(super) use {decode_word, words};

impl StoredWord for Action {
    const COLUMN: &'static str = "operations.action";
    fn of_word(word: &str) -> Option<Self> {
        Self::parse(word)
    }
    fn word(self) -> &'static str {
        self.as_str()
    }
}

decode_word!(Action);
