//! Process-level stories: start, trade, kill, restart, compare.
