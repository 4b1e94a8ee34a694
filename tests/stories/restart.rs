//! In one process, and so at every await: a session that is dropped in the middle of a step leaves behind
//! what a crash leaves, and the next one takes up from there.
//!
//! A signal from outside hardly ever meets the moment between two appends of one decision; here each step
//! is as likely to be cut off as another. Nothing is durable here, so the stories with SIGKILL come first.

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::Poll;

use anyhow::{Result, ensure};
use robson_eventlog::WriterId;
use robson_stories::{Chance, Outcome, gaping_market};
use robsond::config::{Configuration, Flags, Settings};
use robsond::session::{Databases, Script, Session};
use tempfile::TempDir;

/// One in so many starts may be cut off.
const CUT_START: u64 = 3;
/// Any step may be; most have nothing to wait for, and are not.
const CUT_STEP: u64 = 1;
/// How often a future is polled before it is dropped, at most.
const POLLS_MAX: u64 = 8;

/// What is played and armed.
struct Market {
    settings: Settings,
    script: Script,
    _folder: TempDir,
}

impl Market {
    /// Two symbols with gaps, longs armed on both again and again, with orders too big for a bar.
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut flags = Flags {
            database: Some("memory:".to_owned()),
            plan: Some(folder.path().join("plan.toml").display().to_string()),
            capital: Some("200000".to_owned()),
            ..Flags::default()
        };
        let mut plan = String::new();
        for (symbol, seed, side, trailing, risk) in [
            ("BTCUSD", 2, "long", "continuous", "1"),
            ("BTCUSD", 2, "short", "span", "0.3"),
            ("ETHUSD", 3, "long", "span", "0.5"),
        ] {
            let feed = folder.path().join(format!("{symbol}.csv"));
            std::fs::write(&feed, gaping_market(seed, 34)?)?;
            let spec = format!("{symbol}={}", feed.display());
            if !flags.feed.contains(&spec) {
                flags.feed.push(spec);
            }
            plan.push_str(&format!(
                "[[every]]\nhours = 5\nfrom = 2020-01-05T00:00:00Z\nuntil = 2020-02-03T00:00:00Z\n\
                 symbol = \"{symbol}\"\nside = \"{side}\"\nentry = \"immediate\"\n\
                 trailing = \"{trailing}\"\nrisk = \"{risk}\"\n\n"
            ));
        }
        std::fs::write(folder.path().join("plan.toml"), plan)?;
        let settings = Configuration::load(&flags, &BTreeMap::new())?.settings;
        let script = Script::read(&settings)?;
        Ok(Self { settings, script, _folder: folder })
    }

    async fn open(&self, databases: &Databases) -> Result<Session> {
        let writer = WriterId::new("story")?;
        Ok(Session::open(&self.settings, databases, &self.script, &writer).await?)
    }

    /// Plays it to its end, cut off again and again where there is chance; answers how often it was.
    async fn play(&self, mut chance: Option<Chance>) -> Result<(Outcome, u64)> {
        let databases = Databases::open(&self.settings.database.url).await?;
        let mut cuts = 0;
        let mut session = None;
        loop {
            let Some(opened) = &mut session else {
                match polled(self.open(&databases), polls(chance.as_mut(), CUT_START)).await {
                    Some(opened) => session = Some(opened?),
                    None => cuts += 1,
                }
                continue;
            };
            match polled(opened.step(), polls(chance.as_mut(), CUT_STEP)).await {
                Some(has_more) => {
                    if !has_more? {
                        break;
                    }
                }
                None => {
                    cuts += 1;
                    session = None;
                }
            }
        }
        Ok((Outcome::within(&databases).await?, cuts))
    }
}

/// After how many polls one in so many futures is dropped.
fn polls(chance: Option<&mut Chance>, one_in: u64) -> u64 {
    let Some(chance) = chance else { return u64::MAX };
    if chance.below(one_in) == 0 { 1 + chance.below(POLLS_MAX) } else { u64::MAX }
}

/// What a future comes to, unless it is dropped first, when it was polled so many times. It waits only for
/// what it has to: the runtime's own turns would be cut off where nothing happens.
async fn polled<T>(future: impl Future<Output = T>, polls_max: u64) -> Option<T> {
    let mut future = pin!(tokio::task::unconstrained(future));
    let mut polls = 0;
    std::future::poll_fn(move |context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => {
            polls += 1;
            if polls >= polls_max { Poll::Ready(None) } else { Poll::Pending }
        }
    })
    .await
}

/// Entries, partial fills, stops, refusals, exits and a month's halt: each is found done or is done again,
/// wherever the one before was cut off.
#[tokio::test]
async fn a_session_cut_off_at_any_await_ends_as_if_it_had_not_been() -> Result<()> {
    let market = Market::new()?;
    let (expected, _) = market.play(None).await?;
    let count = |what: &str| expected.trades.iter().filter(|line| line.contains(what)).count();
    ensure!(count("trailing_stop") > 0 && count("monthly_halt") > 0, "the market spares the stops");
    ensure!(count("fills ") > count("orders_current "), "no order is filled in parts");
    let (actual, cuts) = market.play(Some(Chance::new())).await?;
    println!("{} events, {} lines of trades, cut off {cuts} times", expected.events, expected.trades.len());
    ensure!(cuts > 50, "cut off only {cuts} times");
    expected.require_same(&actual);
    Ok(())
}
