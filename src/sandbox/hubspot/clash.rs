//! Unique values that another record holds.

use super::account::Account;
use super::errors::Failure;
use super::validate::Problem;

/// What a new record would clash with.
#[derive(Debug)]
pub(super) enum Clash {
    /// The primary unique property (a contact's email) is taken by this record.
    Exists(u64),
    /// A custom unique property is taken.
    Values(Vec<Problem>),
}

/// Looks for other records that hold one of the unique values.
pub(super) fn clash(account: &Account, name: &str, values: &[(String, String)], own: u64) -> Option<Clash> {
    let object = account.types.get(name)?;
    let table = account.table(name)?;
    let mut problems = Vec::new();
    for (property, value) in values
        .iter()
        .filter(|(p, v)| !v.is_empty() && object.properties.get(p).is_some_and(|p| p.unique))
    {
        let Some(holder) = table.holder(property, value).filter(|&h| h != own) else {
            continue;
        };
        if property == "email" && object.type_id == "0-1" {
            return Some(Clash::Exists(holder));
        }
        let message = format!(
            "Cannot set PropertyValueCoordinates{{portalId={}, objectTypeId=ObjectTypeId{{legacyObjectType={}}}, \
             propertyName={property}, value={value}}} on {own}. {holder} already has that value.",
            account.settings.hub_id,
            object.legacy_name(),
        );
        problems.push(Problem {
            property: property.clone(),
            code: "CONFLICTING_UNIQUE_VALUE",
            message,
        });
    }
    (!problems.is_empty()).then_some(Clash::Values(problems))
}

impl Clash {
    pub(super) fn failure(&self, account: &Account, name: &str, in_batch: bool) -> Failure {
        match self {
            Self::Exists(id) => {
                let title = account
                    .types
                    .get(name)
                    .map(super::ObjectType::title)
                    .unwrap_or_default();
                Failure::new(409, format!("{title} already exists. Existing ID: {id}")).category("CONFLICT")
            }
            Self::Values(problems) => Failure::properties(problems, account.settings.hub_id, in_batch),
        }
    }
}
