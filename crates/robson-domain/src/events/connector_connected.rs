//! CONNECTOR_CONNECTED: a connection to a venue or to a source of prices stands.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, StreamName};

/// A connection to a venue or to a source of prices stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectorConnected {
    /// Which connector, such as `paper`.
    pub connector: String,
    /// What it carries: `market`, `user` or `rest`.
    pub stream: String,
    /// Where it leads, without secrets; for a recorded feed the SHA-256 of what is played.
    pub endpoint: String,
    /// Tells this connection from the one before.
    pub connection_id: String,
}

impl EventBody for ConnectorConnected {
    const TYPE: &'static str = "CONNECTOR_CONNECTED";
    const AUTHOR: Author = Author::Connector;

    fn stream(&self) -> StreamName {
        StreamName::system("market-data")
    }
}
