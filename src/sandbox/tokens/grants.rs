//! All grants, found by any refresh token they have or had, and by their id: there may be tens of thousands.

use std::collections::HashMap;

use super::Grant;
use crate::sandbox::message::Provider;

type Key = (Provider, String);

#[derive(Debug, Default)]
pub(super) struct Grants {
    list: Vec<Grant>,
    by_token: HashMap<Key, usize>,
    by_id: HashMap<Key, usize>,
}

impl Grants {
    /// The place of the grant that this token is, or was, the refresh token of.
    pub fn place(&self, provider: Provider, refresh: &str) -> Option<usize> {
        self.by_token.get(&(provider, refresh.to_owned())).copied()
    }

    pub fn at(&self, place: usize) -> &Grant {
        &self.list[place]
    }

    /// The grant at that place; who changes its refresh token puts it back with [`Grants::index`].
    pub fn at_mut(&mut self, place: usize) -> &mut Grant {
        &mut self.list[place]
    }

    pub fn of_token(&self, provider: Provider, refresh: &str) -> Option<&Grant> {
        self.place(provider, refresh).map(|at| &self.list[at])
    }

    pub fn of_id(&self, provider: Provider, id: &str) -> Option<&Grant> {
        self.by_id
            .get(&(provider, id.to_owned()))
            .map(|at| &self.list[*at])
    }

    pub fn of_id_mut(&mut self, provider: Provider, id: &str) -> Option<&mut Grant> {
        let place = *self.by_id.get(&(provider, id.to_owned()))?;
        Some(&mut self.list[place])
    }

    pub fn of_account(&mut self, provider: Provider, account: &str) -> impl Iterator<Item = &mut Grant> {
        let ours = move |g: &&mut Grant| g.provider == provider && g.account == account;
        self.list.iter_mut().filter(ours)
    }

    /// Adds a grant, or replaces the one that has its refresh token or one of those it replaced (the journal tells of a
    /// grant before each rotation and after it); its place.
    pub fn put(&mut self, mut grant: Grant) -> usize {
        let mut known = std::iter::once(&grant.refresh_token).chain(&grant.used);
        let place = known.find_map(|token| self.place(grant.provider, token));
        if grant.id.is_empty() {
            let id = place.map_or(&grant.refresh_token, |at| &self.list[at].id);
            grant.id = id.clone();
        }
        let place = match place {
            Some(at) => {
                self.list[at] = grant;
                at
            }
            None => {
                self.list.push(grant);
                self.list.len() - 1
            }
        };
        self.index(place);
        place
    }

    /// Makes the grant at that place found by its present token and id, as it is by the earlier ones.
    pub fn index(&mut self, place: usize) {
        let grant = &self.list[place];
        let provider = grant.provider;
        for token in std::iter::once(&grant.refresh_token).chain(&grant.used) {
            self.by_token.insert((provider, token.clone()), place);
        }
        self.by_id.insert((provider, grant.id.clone()), place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_found_by_every_token_it_had() {
        let mut grants = Grants::default();
        grants.put(Grant::new(Provider::HubSpot, "acme", "x"));
        let place = grants.put(Grant::new(Provider::Salesforce, "acme", "a"));
        let grant = grants.at_mut(place);
        grant
            .used
            .push(std::mem::replace(&mut grant.refresh_token, "b".to_owned()));
        grants.index(place);
        for token in ["a", "b"] {
            assert_eq!(grants.place(Provider::Salesforce, token), Some(place));
            assert_eq!(grants.place(Provider::HubSpot, token), None);
        }
        assert_eq!(
            grants.of_id(Provider::Salesforce, "a").unwrap().refresh_token,
            "b"
        );
    }

    #[test]
    fn the_journals_later_line_of_a_grant_replaces_the_earlier_and_keeps_its_id() {
        let mut grants = Grants::default();
        let place = grants.put(Grant::new(Provider::Salesforce, "acme", "a"));
        let mut later = Grant::new(Provider::Salesforce, "acme", "b");
        later.id.clear();
        later.used.push("a".to_owned());
        assert_eq!(grants.put(later), place);
        assert_eq!(grants.of_token(Provider::Salesforce, "a").unwrap().id, "a");
        assert_eq!(grants.of_account(Provider::Salesforce, "acme").count(), 1);
    }
}
