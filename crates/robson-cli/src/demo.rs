//! `demo`: trades recorded prices and tells the story.

use crate::failure::Failure;
use crate::printer::Printer;

/// Where the demo leaves its database when no other is named.
pub const DATABASE: &str = "sqlite://robson-demo.db";

/// Runs the demo; `database` is what the flag or the environment named.
///
/// # Errors
/// It is not built yet.
pub async fn run(database: Option<&str>, printer: &mut Printer) -> Result<(), Failure> {
    let _ = printer;
    std::future::ready(()).await;
    Err(Failure::error(format!("the demo on {} is not built yet", database.unwrap_or(DATABASE))))
}
