//! CONNECTOR_RATE_LIMITED: a venue asked us to slow down.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, StreamName};

/// A venue asked us to slow down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectorRateLimited {
    /// Which connector, such as `paper`.
    pub connector: String,
    /// What the venue answered: 429, or 418 when it has shut us out.
    pub http_status: i64,
    /// How long to stay away.
    pub retry_after_ms: i64,
    /// How much of its allowance was used, where it told.
    pub used_weight: Option<i64>,
}

impl EventBody for ConnectorRateLimited {
    const TYPE: &'static str = "CONNECTOR_RATE_LIMITED";
    const AUTHOR: Author = Author::Connector;

    fn stream(&self) -> StreamName {
        StreamName::system("market-data")
    }
}
