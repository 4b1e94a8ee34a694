//! The trader's tables: which row an event changes, and how an entity becomes a row.
