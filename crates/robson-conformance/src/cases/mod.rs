//! The cases, one file for each group.

mod append;
