//! CONNECTOR_DISCONNECTED: a connection to a venue or to a source of prices ended.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, StreamName};

/// A connection to a venue or to a source of prices ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectorDisconnected {
    /// Which connector, such as `paper`.
    pub connector: String,
    /// What it carried: `market`, `user` or `rest`.
    pub stream: String,
    /// Why, without secrets.
    pub reason: String,
    /// How long nothing came, where it stands again already.
    pub downtime_ms: Option<i64>,
}

impl EventBody for ConnectorDisconnected {
    const TYPE: &'static str = "CONNECTOR_DISCONNECTED";
    const AUTHOR: Author = Author::Connector;

    fn stream(&self) -> StreamName {
        StreamName::system("market-data")
    }
}
