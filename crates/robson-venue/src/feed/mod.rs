//! Recorded market data: bars or trades from a file, checked whole, then played as ticks.
//!
//! The feed's clock is strictly increasing, so a tick is identified by its time. Within a bar the price runs
//! straight from step to step, so a tick can be split where the price reaches a stop. Nothing here waits: a
//! [`Speed`] says how long its caller should.

mod grid;
mod path;
mod playback;
mod recording;
mod rows;
mod spec;
mod speed;
mod tick;

pub use path::Path;
pub use playback::Playback;
pub use recording::{RecordedFeed, SourceSummary};
pub use rows::RowKind;
pub use spec::{FeedSource, FeedSpec, InvalidFeedSpec};
pub use speed::{InvalidSpeed, Speed};
pub use tick::{Bar, RunningBar, Tick};

pub(crate) use grid::TickGrid;
