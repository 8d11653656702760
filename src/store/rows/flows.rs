//! Customers who are being asked to connect. Links, states and cookies are known by their hashes only.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::clock::Time;
use crate::store::Result;

/// Authorisation flows.
#[async_trait]
pub trait FlowStore: Send + Sync {
    /// Begins a flow that lasts for so long.
    async fn create_flow(&self, flow: &NewFlow, life: Duration) -> Result<()>;
    /// The flow of a link, whether it goes on or not.
    async fn find_flow(&self, link_hash: &[u8]) -> Result<Option<Flow>>;
    /// A browser sets out: from now on only this state and this cookie belong to the flow. False when it is over.
    async fn open_flow(&self, flow_id: Uuid, opened: &OpenedFlow) -> Result<bool>;
    /// The flow of a state, whether it goes on or not.
    async fn find_flow_of_state(&self, state_hash: &[u8]) -> Result<Option<Flow>>;
    /// Ends the flow of this state and cookie, once: `None` when it has ended, is too old, or the cookie is another one.
    async fn end_flow(&self, state_hash: &[u8], cookie_hash: &[u8]) -> Result<Option<Flow>>;
    /// Forgets flows that have been over for so long. (One statement for all projects, like every clean-up.)
    async fn forget_flows(&self, over_for: Duration) -> Result<()>;
}

row! {
    /// A customer who is being asked.
    pub struct Flow of "oauth_flows" {
        pub id: Uuid,
        pub project_id: Uuid,
        /// The app that asks.
        pub provider_app_id: Uuid,
        /// The connection that gets the new grant; none when one is made.
        pub connection_id: Option<Uuid>,
        /// The cookie of the browser that set out, hashed.
        pub cookie_hash: Option<Vec<u8>>,
        /// The verifier of PKCE, sealed.
        pub verifier: Option<Vec<u8>>,
        /// What was asked for: JSON text.
        pub request: String,
        /// Whether its time is over.
        pub expired: bool,
        /// When its callback came.
        pub end_time: Option<Time>,
        /// The time now, by the store's clock.
        pub store_now: Time,
    }
}

/// A flow to begin.
#[derive(Debug, Clone)]
pub struct NewFlow {
    /// Its id.
    pub id: Uuid,
    /// The project.
    pub project_id: Uuid,
    /// The app that asks.
    pub provider_app_id: Uuid,
    /// The connection that gets the new grant; none when one is made.
    pub connection_id: Option<Uuid>,
    /// The link's hash.
    pub link_hash: Vec<u8>,
    /// What was asked for: JSON text.
    pub request: String,
}

/// What belongs to a flow since a browser has set out.
#[derive(Debug, Clone)]
pub struct OpenedFlow {
    /// The state's hash.
    pub state_hash: Vec<u8>,
    /// The cookie's hash.
    pub cookie_hash: Vec<u8>,
    /// The verifier of PKCE, sealed.
    pub verifier: Option<Vec<u8>>,
}
