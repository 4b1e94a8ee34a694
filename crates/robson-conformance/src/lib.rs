//! The storage contract as executable cases.
