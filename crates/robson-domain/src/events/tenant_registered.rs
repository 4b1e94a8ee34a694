//! TENANT_REGISTERED: a tenant exists.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Author, EventBody, StreamName};

/// A tenant exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantRegistered {
    /// The tenant.
    pub tenant_id: Uuid,
    /// Its name.
    pub name: String,
}

impl EventBody for TenantRegistered {
    const TYPE: &'static str = "TENANT_REGISTERED";
    const AUTHOR: Author = Author::System;

    fn stream(&self) -> StreamName {
        StreamName::system("tenant")
    }
}
