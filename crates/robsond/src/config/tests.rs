//! Later origins win, unknown names stop the start, and secrets stay secret.

use std::collections::BTreeMap;
use std::io::Write as _;

use robson_domain::Symbol;

use super::*;

/// A file with this text, under a name of its own; gone with the value.
fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn load(text: &str, pairs: &[(&str, &str)], flags: Flags) -> Result<Configuration, String> {
    let file = file(text);
    let flags = Flags { config: Some(file.path().to_owned()), ..flags };
    let shown = file.path().display().to_string();
    Configuration::load(&flags, &variables(pairs)).map_err(|e| e.to_string().replace(&shown, "robson.toml"))
}

fn refused(text: &str, pairs: &[(&str, &str)], expected: &str) {
    assert_eq!(load(text, pairs, Flags::default()).unwrap_err(), expected);
}

#[test]
fn what_nobody_sets_has_its_default() {
    let settings = load("", &[], Flags::default()).unwrap().settings;
    assert_eq!(settings.database.url.to_string(), "sqlite://robson.db");
    assert_eq!(settings.api.as_ref().unwrap().address.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.risk.default_risk.to_string(), "0.01");
    assert_eq!(settings.risk.stops, robson_engine::StopRules::default());
    assert_eq!(
        settings.risk.sizing,
        robson_engine::SizingRules::with_fee(settings.paper.rules.taker_fee),
        "the engine's own defaults and the documented ones are the same"
    );
    assert_eq!(settings.paper.rules, robson_venue::paper::PaperRules::new("USD".parse().unwrap()));
    assert_eq!(settings.filters(&"BTCUSD".parse().unwrap()), SymbolFilters::default());
}

#[test]
fn the_environment_wins_over_the_file_and_a_flag_over_both() {
    let text = "[api]\nport = 1\nhost = \"127.0.0.2\"\n[run]\nseed = 3\n";
    let flags = Flags { api_port: Some("3".to_owned()), ..Flags::default() };
    let loaded = load(text, &[("ROBSON_API_PORT", "2"), ("ROBSON_SEED", "4")], flags).unwrap();
    assert_eq!(loaded.settings.api.unwrap().address.to_string(), "127.0.0.2:3");
    assert_eq!(loaded.settings.run.seed, 4);
    let printed = loaded.effective.to_toml();
    for line in ["port = 3  # --api-port", "seed = 4  # ROBSON_SEED", "lease_ms = 10000  # default"] {
        assert!(printed.contains(line), "{line} in\n{printed}");
    }
    assert!(printed.contains(".toml:3\n"), "the host comes from line 3 of the file:\n{printed}");
}

#[test]
fn an_unknown_variable_stops_the_start_but_those_of_others_do_not() {
    refused(
        "",
        &[("ROBSON_API_PROT", "1")],
        "ROBSON_API_PROT: there is no such setting: correct the name, or unset it",
    );
    let known = [("ROBSON_TEST_DATABASE_URL", "x"), ("ROBSON_OPERATOR_ID", "x"), ("HOME", "/")];
    assert_eq!(load("", &known, Flags::default()).unwrap().warnings, Vec::<String>::new());
    let loaded = load("", &[("PROJECTION_STREAM_KEY", "x")], Flags::default()).unwrap();
    assert_eq!(loaded.warnings, ["PROJECTION_STREAM_KEY has no effect: the whole log is followed"]);
}

#[test]
fn an_unknown_key_is_refused_with_file_and_line() {
    refused(
        "[api]\n\nprot = 1\n",
        &[],
        "robson.toml:3: `api.prot` is unknown: [api] takes enabled, host, port, token",
    );
    refused(
        "speed = 1\n",
        &[],
        "robson.toml:1: `speed` is unknown: there are environment, [database], [api], [risk], [paper], [run] and [symbols.X]",
    );
    refused(
        "[symbols.BTCUSD]\nlot = 1\n",
        &[],
        "robson.toml:2: `lot` is unknown: [symbols.BTCUSD] takes tick, step, min_quantity, min_notional",
    );
    refused("[api\n", &[], "robson.toml:1: this is not TOML: unclosed table, expected `]`");
    refused(
        "\n[api]\nport = true\n",
        &[],
        "robson.toml:3: api.port is a decimal number, not a value of the type boolean",
    );
}

#[test]
fn a_value_that_makes_no_sense_is_refused_with_its_origin() {
    refused(
        "",
        &[("ROBSON_DEFAULT_RISK_PERCENT", "0.0101")],
        "ROBSON_DEFAULT_RISK_PERCENT: 0.0101 is not above 0 and at most 0.01, which is 1 %",
    );
    refused(
        "[risk]\ndefault_risk_percent = 0.02\n",
        &[],
        "robson.toml:2: risk.default_risk_percent: 0.02 is not above 0 and at most 0.01, which is 1 %",
    );
    refused("", &[("ROBSON_PAPER_CAPITAL", "0")], "ROBSON_PAPER_CAPITAL: 0 is not a capital above 0");
    refused(
        "",
        &[("DATABASE_URL", "mysql://u:secret@h/d")],
        "DATABASE_URL: unknown database URL `mysql://`: use sqlite://FILE, postgres://USER@HOST/DATABASE or memory:",
    );
    refused("[symbols.BTCUSD]\nstep = 0\n", &[], "robson.toml:2: step 0 is too small");
    refused(
        "[symbols.BTCUSD]\ntick = 1e400\n",
        &[],
        "robson.toml:2: tick: `1e400` is not a decimal number of at most 28 digits",
    );
    refused("", &[("ROBSON_API_TOKEN", "")], "ROBSON_API_TOKEN: it is empty: leave it out, or give a secret");
}

#[test]
fn exit_codes_tell_usage_from_configuration() {
    let code = |pairs: &[(&str, &str)], flags: &Flags| {
        Configuration::load(flags, &variables(pairs)).unwrap_err().exit_code()
    };
    let none = Flags::default();
    assert_eq!(code(&[("ROBSON_API_PORT", "x")], &none), 78);
    assert_eq!(code(&[], &Flags { speed: Some("fast".to_owned()), ..Flags::default() }), 2);
    assert_eq!(
        code(&[("DATABASE_URL", "mysql://h/d")], &none),
        2,
        "an unknown scheme is usage wherever it is"
    );
    assert_eq!(code(&[], &Flags { live: true, ..Flags::default() }), 2);
    assert_eq!(code(&[], &Flags { config: Some("/nowhere/robson.toml".into()), ..Flags::default() }), 78);
}

#[test]
fn off_loopback_and_in_production_a_token_is_needed() {
    refused(
        "",
        &[("ROBSON_API_HOST", "0.0.0.0")],
        "ROBSON_API_HOST: 0.0.0.0 can be reached from elsewhere: set a token (ROBSON_API_TOKEN)",
    );
    refused(
        "",
        &[("ROBSON_ENV", "production")],
        "ROBSON_ENV: production needs a token: set ROBSON_API_TOKEN",
    );
    let with_token = [("ROBSON_API_HOST", "::"), ("ROBSON_API_TOKEN", "hunter2")];
    assert!(load("", &with_token, Flags::default()).is_ok());
    let no_api = Flags { no_api: true, ..Flags::default() };
    assert_eq!(load("", &[("ROBSON_API_HOST", "0.0.0.0")], no_api).unwrap().settings.api, None);
}

#[test]
fn secrets_are_nowhere_to_be_seen() {
    let pairs = [
        ("ROBSON_API_TOKEN", "hunter2"),
        ("DATABASE_URL", "postgres://robson:hunter2@db/robson?password=hunter2"),
    ];
    let loaded = load("", &pairs, Flags::default()).unwrap();
    let token = loaded.settings.api.clone().unwrap().token.unwrap();
    assert!(token.matches("hunter2") && !token.matches("hunter3") && !token.matches("hunter22"));
    for shown in [
        loaded.effective.to_toml(),
        loaded.effective.to_json().to_string(),
        format!("{loaded:?}"),
        token.to_string(),
    ] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    assert!(loaded.effective.to_toml().contains("url = \"postgres://robson@db/robson\"  # DATABASE_URL\n"));
    let refusal = load("", &[("ROBSON_API_TOKEN", "hunter 2")], Flags::default()).unwrap_err();
    assert!(!refusal.contains("hunter"), "{refusal}");
}

#[test]
fn what_is_printed_reads_back_as_the_same() {
    let text =
        "[symbols.BTC-USD]\ntick = 0.1\nmin_notional = 10\n[run]\nfeed = [\"A=a.csv\", \"b\\\"c.csv\"]\n";
    let first = load(text, &[("ROBSON_STOP_GAP_BPS", "2.5")], Flags::default()).unwrap();
    let second = load(&first.effective.to_toml(), &[], Flags::default()).unwrap();
    assert_eq!(first.settings, second.settings);
    let symbol: Symbol = "BTC-USD".parse().unwrap();
    assert_eq!(second.settings.filters(&symbol).min_quantity, SymbolFilters::default().min_quantity);
}

#[test]
fn the_hash_sees_what_trades_depend_on_and_nothing_else() {
    let hash = |text: &str, pairs: &[(&str, &str)]| {
        load(text, pairs, Flags::default()).unwrap().settings.config_hash().to_owned()
    };
    let plain = hash("", &[]);
    let elsewhere = [("DATABASE_URL", "memory:"), ("ROBSON_API_PORT", "9"), ("ROBSON_API_TOKEN", "x")];
    assert_eq!(hash("[run]\nplan = \"p.toml\"\n", &elsewhere), plain);
    assert_eq!(hash("", &[("ROBSON_DEFAULT_RISK_PERCENT", "0.0100")]), plain);
    assert_ne!(hash("", &[("ROBSON_DEFAULT_RISK_PERCENT", "0.005")]), plain);
    assert_ne!(hash("[symbols.BTCUSD]\ntick = 0.5\n", &[]), plain);
}
