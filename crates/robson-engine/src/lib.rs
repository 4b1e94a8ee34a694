//! Decisions: sizing, stop analysis, entry policies, trailing stop and risk gate.
