//! The backends of the storage contract: memory, SQLite and PostgreSQL.
