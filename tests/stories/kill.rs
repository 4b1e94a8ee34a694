//! The daemon is killed again and again, and the run ends as if nothing had happened.

use std::time::Duration;

use anyhow::{Result, ensure};
use robson_stories::{Backend, Chance, Outcome, Place, Script, Signal};
use tokio::time::Instant;

/// Kills at moments of the run.
const KILLS: u64 = 30;
/// After so many of them, one more: while the daemon starts again.
const KILL_AT_START_EVERY: u64 = 4;
/// After so many of them, one that is told to stop, which is none.
const STOP_EVERY: u64 = 10;
/// From such a start to the kill, at most.
const AT_START_MAX: Duration = Duration::from_millis(800);
/// From a moment of the log to the kill, at most.
const SPIN_MAX: Duration = Duration::from_millis(3);

/// On Postgres the next daemon waits for the lease of the killed one.
async fn place(backend: Backend) -> Result<Place> {
    Ok(Place::new(backend).await?.with("ROBSON_LEASE_MS", "1500"))
}

#[expect(clippy::print_stdout, reason = "tells how often it was killed, and when")]
async fn killed_at_any_moment(backend: Backend) -> Result<()> {
    let mut chance = Chance::new();
    let calm = place(backend).await?;
    let script = Script::of_days(&calm, "2019-03-05", "2019-06-12")?;
    calm.run_to_end(&script.flags())?;
    let expected = Outcome::of(&calm).await?;

    let restless = place(backend).await?;
    let script = Script::of_days(&restless, "2019-03-05", "2019-06-12")?;
    let last = u64::try_from(expected.events)? * 19 / 20;
    let mut moments: Vec<i64> =
        (0..KILLS).map(|_| i64::try_from(chance.below(last))).collect::<Result<_, _>>()?;
    moments.sort_unstable();
    let mut killed_at = Vec::new();
    // Each start is an event of its own, which the calm run does not have.
    let mut starts = 0;
    for (moment, count) in moments.into_iter().zip(1_u64..) {
        let moment = (moment + starts).max(restless.head().await + 1);
        let began = Instant::now();
        let mut daemon = restless.robsond(&script.flags())?;
        let reached = restless.reach(moment, &mut daemon).await?;
        let start_time = began.elapsed();
        chance.spin_up_to(SPIN_MAX);
        ensure!(reached.is_some() && daemon.kill()?, "it ended before it could be killed");
        killed_at.extend(reached);
        starts += 1;
        // Not towards the end: it must not get there before it is killed.
        if count.is_multiple_of(KILL_AT_START_EVERY) && count < KILLS * 2 / 3 {
            let daemon = restless.robsond(&script.flags())?;
            chance.spin_up_to(start_time.min(AT_START_MAX));
            ensure!(daemon.kill()?, "it ended before it could be killed");
            starts += 1;
        }
        if count.is_multiple_of(STOP_EVERY) {
            let mut daemon = restless.robsond(&script.flags())?;
            let reached = restless.reach(restless.head().await + 20, &mut daemon).await?;
            daemon.signal(Signal::Terminate)?;
            ensure!(reached.is_some(), "it ended before it was told to");
            daemon.finish(10)?.printed()?;
            starts += 2;
        }
    }
    restless.run_to_end(&script.flags())?;
    println!("{backend:?}: {} events, killed {KILLS} times at {killed_at:?}", expected.events);

    let actual = Outcome::of(&restless).await?;
    expected.require_same(&actual);
    let verified = restless.robson(&["replay", "--verify"])?;
    ensure!(verified.code == Some(0), "replay differs from live: {verified:?}");
    Ok(())
}

/// What was acknowledged is kept, what was not is decided again, and no order is sent twice.
#[tokio::test]
async fn a_run_killed_at_any_moment_ends_as_if_it_had_not_been_on_sqlite() -> Result<()> {
    killed_at_any_moment(Backend::Sqlite).await
}

/// As on SQLite; each restart waits for the lease of the daemon that was killed.
#[tokio::test]
async fn a_run_killed_at_any_moment_ends_as_if_it_had_not_been_on_postgres() -> Result<()> {
    killed_at_any_moment(Backend::Postgres).await
}
