//! The trading daemon: configuration, wiring, HTTP interface and shutdown.
