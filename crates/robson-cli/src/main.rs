//! The `robson` command: parses, runs, and ends with one sentence and one exit code.

use std::process::ExitCode;

use clap::Parser as _;
use robson_cli::args::Cli;
use robson_cli::failure::Failure;
use robson_cli::printer::Printer;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let is_json = cli.global.json;
    let mut printer = Printer::stdout(is_json);
    let done = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(robson_cli::run(cli, &mut printer)),
        Err(error) => Err(Failure::error(format!("cannot start: {error}"))),
    };
    let done = done.and_then(|()| Ok(printer.flush()?));
    let Err(failure) = done else { return ExitCode::SUCCESS };
    if !failure.sentence.is_empty() {
        if is_json {
            let json = serde_json::json!({ "error": failure.sentence, "exit_code": failure.code as u8 });
            eprintln!("{json}");
        } else {
            eprintln!("robson: {}", failure.sentence);
        }
    }
    ExitCode::from(failure.code as u8)
}
