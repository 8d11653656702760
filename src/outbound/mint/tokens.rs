//! Minted tokens in memory: one per connection and version of its credentials, fetched once however many writes want it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{MintError, Minted, answer, ask};
use crate::clock::Clock;
use crate::connectors::{Connector, Mint, Refusal};
use crate::outbound::client::Outbound;
use crate::outbound::credentials::Credentials;
use crate::outbound::inputs::Inputs;

/// Tokens kept in memory. One takes a few kilobytes at most.
const CAPACITY: usize = 10_000;

/// A customer's account, as far as a token depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Account<'a> {
    /// The connection.
    pub id: Uuid,
    /// The version of its credentials.
    pub credentials_version: i64,
    /// Its credentials.
    pub credentials: &'a Credentials,
    /// Its variables.
    pub vars: &'a std::collections::BTreeMap<String, String>,
}

/// A minted token.
#[derive(Debug, Clone)]
pub struct Token {
    minted: Arc<Minted>,
    /// True when it was there before it was asked for: then a refusal may only mean that it has ended.
    pub remembered: bool,
}

impl Token {
    /// The token as it is attached.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.minted.credentials
    }

    /// The URL of a request where the token answer says that the account is elsewhere.
    ///
    /// # Errors
    /// When that is not a URL that may be called.
    pub fn moved(
        &self,
        connector: &Connector,
        account: &Account<'_>,
        url: String,
    ) -> Result<String, Refusal> {
        connector.moved(url, account.vars, &self.minted.found)
    }
}

/// Connection, version of its credentials, and what else a token depends on.
type Key = (Uuid, i64, u64);

/// Tokens in memory.
#[derive(Debug)]
pub(in crate::outbound) struct Tokens(Cache<Key, Arc<Slot>>);

/// The token of one account, and who fetches it.
#[derive(Debug, Default)]
struct Slot {
    /// How many fetches have ended.
    ended: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    minted: Option<Arc<Minted>>,
    /// How the last fetch failed.
    failed: Option<MintError>,
}

impl Tokens {
    pub fn new() -> Self {
        Self(Cache::new(CAPACITY))
    }

    fn slot(&self, key: Key) -> Arc<Slot> {
        let made = self
            .0
            .get_or_insert_with(&key, || Ok::<_, std::convert::Infallible>(Arc::default()));
        made.unwrap_or_default()
    }
}

impl Slot {
    /// The token, or a new one when there is none that is good at this time; `refused` is one that the provider did not take.
    /// Who waits while another fetches gets what the other got, be it an error.
    async fn get<F>(&self, clock: &dyn Clock, refused: Option<&Token>, fetch: F) -> Result<Token, MintError>
    where
        F: AsyncFnOnce() -> Result<Minted, MintError>,
    {
        let ended = self.ended.load(Ordering::SeqCst);
        let mut state = self.state.lock().await;
        if let Some(minted) = &state.minted
            && minted.until > clock.now()
            && refused.is_none_or(|refused| !Arc::ptr_eq(&refused.minted, minted))
        {
            let minted = Arc::clone(minted);
            return Ok(Token {
                minted,
                remembered: true,
            });
        }
        if let Some(failed) = &state.failed
            && self.ended.load(Ordering::SeqCst) != ended
        {
            return Err(failed.clone());
        }
        let fetched = fetch().await.map(Arc::new);
        self.ended.fetch_add(1, Ordering::SeqCst);
        state.failed = fetched.as_ref().err().cloned();
        state.minted = fetched.as_ref().ok().cloned();
        Ok(Token {
            minted: fetched?,
            remembered: false,
        })
    }
}

impl Outbound {
    /// The token that requests of this account carry, fetched when there is none; `None` where nothing is minted, because
    /// the connector asks for other credentials or the connection holds a token itself. `refused` is a token that the
    /// provider did not take: another one is fetched.
    ///
    /// # Errors
    /// See [`MintError`].
    pub async fn token(
        &self,
        connector: &Connector,
        account: &Account<'_>,
        refused: Option<&Token>,
        clock: &dyn Clock,
    ) -> Result<Option<Token>, MintError> {
        let (Some(mint), Credentials::Custom { .. }) = (connector.auth().mint(), account.credentials) else {
            return Ok(None);
        };
        let mut rest = DefaultHasher::new();
        (connector.provider(), mint, account.vars).hash(&mut rest);
        let slot = self
            .tokens
            .slot((account.id, account.credentials_version, rest.finish()));
        let fetch = async || self.mint(connector, mint, account, clock).await;
        slot.get(clock, refused, fetch).await.map(Some)
    }

    async fn mint(
        &self,
        connector: &Connector,
        mint: &Mint,
        account: &Account<'_>,
        clock: &dyn Clock,
    ) -> Result<Minted, MintError> {
        let inputs = Inputs::new(connector, account.credentials, account.vars);
        let request = ask::request(connector, mint, &inputs, clock.now(), clock.new_id())?;
        let response = self.send(request.wire).await?;
        answer::read(connector, &request.secrets, &response, clock.now())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use tokio::sync::Notify;

    use super::*;
    use crate::clock::SystemClock;
    use crate::vault::Secret;

    fn minted(lives: u64) -> Minted {
        Minted {
            credentials: Credentials::of_token(Secret::new("t".to_owned())),
            found: BTreeMap::new(),
            until: SystemClock.now().after(Duration::from_secs(lives)),
        }
    }

    fn refusal() -> MintError {
        MintError::Refused {
            said: "no".to_owned(),
            status: 400,
        }
    }

    /// Three ask at the same time, the first of whom fetches until all have asked. Answers what they got, and the fetches.
    async fn three(
        slot: &Slot,
        refused: Option<&Token>,
        result: Result<(), ()>,
    ) -> (Vec<Result<Token, MintError>>, u64) {
        let (asked, fetches) = (Notify::new(), AtomicU64::new(0));
        let fetch = async || {
            fetches.fetch_add(1, Ordering::SeqCst);
            asked.notified().await;
            result.map(|()| minted(600)).map_err(|()| refusal())
        };
        let get = || slot.get(&SystemClock, refused, fetch);
        // They are polled in this order.
        let (a, b, c, ()) = tokio::join!(get(), get(), get(), async { asked.notify_waiters() });
        (vec![a, b, c], fetches.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn who_waits_for_a_token_gets_what_the_first_one_got_be_it_an_error() {
        let slot = Slot::default();
        let (failed, fetches) = three(&slot, None, Err(())).await;
        assert!(
            failed
                .iter()
                .all(|got| matches!(got, Err(MintError::Refused { .. }))),
            "{failed:?}"
        );
        assert_eq!(fetches, 1);
        // Whoever comes later asks again.
        let (got, fetches) = three(&slot, None, Ok(())).await;
        let remembered: Vec<bool> = got
            .iter()
            .map(|got| got.as_ref().expect("a token").remembered)
            .collect();
        assert_eq!((remembered, fetches), (vec![false, true, true], 1));
        // All of them find it refused: one replaces it.
        let old = got.into_iter().next().expect("three").expect("a token");
        let (got, fetches) = three(&slot, Some(&old), Ok(())).await;
        assert!(
            got.iter()
                .flatten()
                .all(|token| !Arc::ptr_eq(&token.minted, &old.minted))
        );
        assert_eq!((got.iter().flatten().count(), fetches), (3, 1));
    }

    #[tokio::test]
    async fn a_token_is_used_until_its_time_is_over() {
        let slot = Slot::default();
        let over = slot.get(&SystemClock, None, async || Ok(minted(0))).await;
        assert!(!over.expect("a token").remembered);
        let good = slot.get(&SystemClock, None, async || Ok(minted(600))).await;
        assert!(!good.expect("a token").remembered);
        let kept = slot.get(&SystemClock, None, async || Err(refusal())).await;
        assert!(kept.expect("a token").remembered);
    }
}
