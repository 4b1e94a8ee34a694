//! Two daemons on one log: one writes, whatever the other does.

use anyhow::{Context as _, Result, ensure};
use robson_stories::{Backend, Chance, Http, Outcome, Place, Script, Signal};

const FROM: &str = "2019-03-05";
const UNTIL: &str = "2019-05-05";

/// A second daemon on the same file is refused, and the first does not notice.
#[tokio::test]
async fn a_second_daemon_on_a_file_is_refused() -> Result<()> {
    let place = Place::new(Backend::Sqlite).await?;
    let script = Script::of_days(&place, FROM, UNTIL)?;
    let mut first = place.robsond(&script.flags_at("200000x"))?;
    place.reach(10, &mut first).await?.context("the first trades")?;
    let second = place.robsond(&script.flags())?.finish(30)?;
    ensure!(second.code == Some(78), "{second:?}");
    ensure!(second.err.lines().count() == 1 && second.err.contains("another"), "{}", second.err);
    let head = place.head().await;
    place.reach(head + 5, &mut first).await?.context("the first goes on")?;
    first.signal(Signal::Terminate)?;
    first.finish(10)?.printed()?;
    Ok(())
}

/// The flags of a daemon that can be asked how it is.
fn listening<'a>(script: &'a Script, speed: &'a str) -> Vec<&'a str> {
    let mut flags: Vec<&str> =
        script.flags_at(speed).into_iter().filter(|flag| *flag != "--no-api").collect();
    flags.extend(["--api-port", "0"]);
    flags
}

/// What an uninterrupted run comes to, and a place where two daemons will run it.
async fn prepared() -> Result<(Outcome, Place, Script)> {
    let calm = Place::new(Backend::Postgres).await?;
    calm.run_to_end(&Script::of_days(&calm, FROM, UNTIL)?.flags())?;
    let place = Place::new(Backend::Postgres).await?.with("ROBSON_LEASE_MS", "2000");
    let script = Script::of_days(&place, FROM, UNTIL)?;
    Ok((Outcome::of(&calm).await?, place, script))
}

async fn require_same(expected: &Outcome, place: &Place) -> Result<()> {
    expected.require_same(&Outcome::of(place).await?);
    place.robson(&["replay", "--verify"])?.printed().context("replay equals live").map(drop)
}

/// On a server the second waits and says so; when the first is killed, it goes on where that one was.
#[tokio::test]
async fn a_standby_takes_over_from_a_daemon_that_was_killed() -> Result<()> {
    let (expected, place, script) = prepared().await?;
    let mut first = place.robsond(&script.flags_at("1000000x"))?;
    place.reach(10, &mut first).await?.context("the first trades")?;
    let mut second = place.robsond(&listening(&script, "max"))?;
    let http = Http::of(&mut second)?;
    let ready = http.wait_for("/ready", |answer| answer.text.contains("this daemon stands by"))?;
    ensure!(ready.status == 503, "{ready:?}");
    ensure!(http.get("/health")?.status == 200, "it lives");
    place.reach(expected.events / 3, &mut first).await?.context("the first trades on")?;
    ensure!(first.kill()?, "the first ended before it could be killed");
    http.wait_for("/ready", |answer| answer.status == 200)?;
    second.finish(120)?.printed()?;
    require_same(&expected, &place).await
}

/// A daemon that was only paused finds another one writing: it says so, sends nothing, and ends.
#[tokio::test]
async fn a_daemon_that_was_paused_is_fenced_and_sends_nothing() -> Result<()> {
    let (expected, place, script) = prepared().await?;
    let mut first = place.robsond(&script.flags())?;
    place.reach(expected.events / 3, &mut first).await?.context("the first trades")?;
    Chance::new().spin_up_to(std::time::Duration::from_millis(2));
    first.signal(Signal::Stop)?;
    let paused_at = place.head().await;
    let mut second = place.robsond(&script.flags())?;
    place.reach(paused_at + 100, &mut second).await?.context("the second trades on")?;
    first.signal(Signal::Continue)?;
    let fenced = first.finish(30)?;
    println!("paused at {paused_at}, then: {}", fenced.err.lines().last().unwrap_or_default());
    ensure!(fenced.code == Some(1), "{fenced:?}");
    ensure!(fenced.err.contains("taken over"), "{}", fenced.err);
    second.finish(120)?.printed()?;
    require_same(&expected, &place).await
}
