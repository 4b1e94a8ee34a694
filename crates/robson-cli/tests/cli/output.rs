//! What commands print, over a small log in memory.

use crate::small_log::{LONG, Paper, SHORT};
use clap::Parser as _;
use robson_cli::args::{Cli, Command};
use robson_cli::failure::{ExitCode, Failure};

pub(crate) async fn run(words: &str) -> (String, Result<(), Failure>) {
    let db = crate::small_log::database().await;
    let cli = Cli::try_parse_from(words.split(' ')).unwrap();
    let paper = Paper::default();
    let done = robson_cli::read(&db, cli.command, &mut paper.printer(cli.global.json)).await;
    (paper.text(), done)
}

pub(crate) async fn printed(words: &str) -> String {
    let (text, done) = run(words).await;
    assert_eq!(done, Ok(()), "{words}");
    text
}

#[tokio::test]
async fn the_story_of_a_trade_goes_from_signal_to_exit() {
    insta::assert_snapshot!(printed(&format!("robson why {LONG}")).await);
}

#[tokio::test]
async fn the_story_shows_each_move_of_the_stop_on_request() {
    let all = printed(&format!("robson why {LONG} --all")).await;
    assert_eq!(all.matches("stop moved").count(), 5);
    assert!(!all.contains("more moves"));
}

#[tokio::test]
async fn the_story_of_a_refusal_says_which_limit_was_hit() {
    insta::assert_snapshot!(printed(&format!("robson why {SHORT}")).await);
}

#[tokio::test]
async fn a_story_in_json_nests_what_follows() {
    let json: serde_json::Value =
        serde_json::from_str(&printed(&format!("robson why {LONG} --json")).await).unwrap();
    let detector = &json["story"][1];
    assert_eq!(detector["event_type"], "DETECTOR_STARTED");
    assert_eq!(detector["followed_by"][0]["event_type"], "SIGNAL_DETECTED");
    assert_eq!(json["position"]["state"], "closed");
}

#[tokio::test]
async fn a_position_is_found_by_the_end_of_its_id() {
    assert_eq!(printed("robson why 0000b1").await, printed(&format!("robson why {LONG}")).await);
    for (id, code) in [("b9", ExitCode::NotFound), ("01970000", ExitCode::Usage), ("%", ExitCode::NotFound)] {
        let (text, done) = run(&format!("robson why {id}")).await;
        assert_eq!((text.as_str(), done.unwrap_err().code), ("", code), "{id}");
    }
}

#[tokio::test]
async fn tables_of_the_small_log() {
    let mut all = String::new();
    for words in ["positions", "orders", "fills", "balances", "status"] {
        all.push_str(&format!("$ robson {words}\n{}\n", printed(&format!("robson {words}")).await));
    }
    insta::assert_snapshot!(all);
}

#[tokio::test]
async fn positions_are_chosen_by_state_and_symbol() {
    let ids = |text: String| -> Vec<String> {
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        json.as_array().unwrap().iter().map(|p| p["position_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(printed("robson positions --json --state closed").await), [LONG]);
    assert_eq!(ids(printed("robson positions --json --symbol BTCUSD").await), [LONG, SHORT]);
    assert_eq!(ids(printed("robson positions --json --symbol ETHUSD").await), [""; 0]);
}

#[tokio::test]
async fn events_are_listed_searched_and_tailed() {
    insta::assert_snapshot!(printed("robson events list --after 4 --limit 3").await);
    let seqs = |text: String| -> Vec<i64> {
        text.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
    };
    assert_eq!(seqs(printed("robson events list --type fill_received").await), [15, 26, 27]);
    assert_eq!(seqs(printed("robson events search RISK_BUDGET").await), [32, 33]);
    assert_eq!(seqs(printed("robson events search risk_budget --limit 1").await), [32]);
    assert_eq!(seqs(printed("robson events search --query risk_budget --position-id 00b2").await), [32, 33]);
    assert_eq!(run("robson events search").await.1.unwrap_err().code, ExitCode::Usage, "for what?");
    assert_eq!(seqs(printed("robson events tail --limit 2").await), [32, 33]);
    let of_long = seqs(printed("robson events list --position-id 00b1").await);
    assert_eq!(of_long, (5..=28).collect::<Vec<_>>(), "its own stream, its orders', and what names it");
    let fills = seqs(printed("robson events list --position-id 00b1 --type FILL_RECEIVED --limit 2").await);
    assert_eq!(fills, [15, 26]);
}

#[tokio::test]
async fn replay_equals_live() {
    let text = printed("robson replay --verify").await;
    assert!(text.ends_with("33 events: replay equals live, and the chain of hashes is whole\n"), "{text}");
}

#[tokio::test]
async fn a_digest_covers_the_log_and_every_table() {
    let names = |text: String| -> Vec<String> {
        text.lines().skip(1).map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
    };
    let all = names(printed("robson digest").await);
    assert_eq!(all[0], "event_log");
    assert_eq!(all.len(), 8);
    assert_eq!(names(printed("robson digest --content").await), all[1..]);
}

#[tokio::test]
async fn a_row_that_was_changed_behind_the_log_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("robson.db");
    let url = format!("sqlite://{}", path.display()).parse().unwrap();
    let store = robson_store::AnyStore::open(&url, &Default::default()).await.unwrap();
    let store = crate::small_log::write_log(store).await;
    let robson_store::AnyStore::Sqlite(sqlite) = store.as_ref() else { panic!("not a file") };
    sqlite
        .execute_foreign("UPDATE positions_current SET total_fees = '1' WHERE state = 'closed'")
        .await
        .unwrap();
    let db = robson_cli::db::Database::on(store, None).await.unwrap();
    let paper = Paper::default();
    let verify = Command::Replay(robson_cli::args::Replay { verify: true, ..Default::default() });
    let done = robson_cli::read(&db, verify, &mut paper.printer(false)).await;
    assert_eq!(done, Err(Failure::reported(ExitCode::Error)));
    let expected = format!("positions_current {LONG}: total_fees is \"1\", the replay says \"5.663855\"\n");
    assert!(paper.text().contains(&expected), "{}", paper.text());
}
