//! What tests share: a private PostgreSQL server, fixed clocks and fixtures.
