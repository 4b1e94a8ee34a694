//! The real binary over HTTP: fifty clients at once, in each other's way, while it is killed and started again.
//!
//! What was acknowledged is compared with what is there afterwards: nothing lost, nothing doubled, no gap.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, bail, ensure};
use robson_eventlog::event_store::StoredEvent;
use robson_eventlog::{EventQuery, Store as _, TenantId};
use robson_stories::{Answer, Backend, Chance, Daemon, Http, Place, Ran, Signal, program};
use robson_testkit::wait_until;
use serde_json::{Value, json};
use uuid::Uuid;

const CLIENTS: u32 = 50;
const STEPS: u32 = 12;
/// Orders that every client ships from.
const SHARED: u64 = 5;
/// How long a client waits for a server that was killed.
const RESTART_SECONDS_MAX: u32 = 120;

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The server, which may be down at times.
struct Shop {
    /// Where it can be reached; nothing while it is down.
    http: Mutex<Option<Http>>,
    /// How many requests were acknowledged.
    acknowledged: AtomicUsize,
    conflicts: AtomicUsize,
    /// How many requests had no answer.
    unanswered: AtomicUsize,
    /// What was done, by its tracking number or reason, and the version that was told, where one was.
    done: Mutex<BTreeMap<String, (Uuid, Option<u64>)>>,
    orders: Mutex<BTreeSet<Uuid>>,
    /// Requests that were refused in the end: they must have left nothing.
    refused: Mutex<BTreeSet<String>>,
}

impl Shop {
    fn new(http: Http) -> Self {
        Self {
            http: Mutex::new(Some(http)),
            acknowledged: AtomicUsize::new(0),
            conflicts: AtomicUsize::new(0),
            unanswered: AtomicUsize::new(0),
            done: Mutex::default(),
            orders: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    /// Asks until there is an answer; for what changes nothing.
    fn get(&self, path: &str) -> Result<Answer> {
        let mut answer = None;
        let answers = wait_until(RESTART_SECONDS_MAX, || {
            let http = locked(&self.http).clone();
            answer = http.and_then(|http| http.get(path).ok()).filter(|answer| answer.status < 500);
            answer.is_some()
        });
        ensure!(answers, "{path}: no answer within {RESTART_SECONDS_MAX} s");
        answer.context("there was an answer")
    }

    /// Asks once; no answer where it is unknown whether it was done.
    fn post(&self, path: &str, body: &Value) -> Result<Option<Answer>> {
        let is_up = wait_until(RESTART_SECONDS_MAX, || locked(&self.http).is_some());
        ensure!(is_up, "the server is down for {RESTART_SECONDS_MAX} s");
        let Some(http) = locked(&self.http).clone() else { return Ok(None) };
        let answer = http.post(path, body).ok().filter(|answer| answer.status != 503);
        if answer.is_none() {
            self.unanswered.fetch_add(1, Ordering::Relaxed);
        }
        Ok(answer)
    }

    fn acknowledge(&self, what: &str, order: Uuid, version: Option<u64>) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        locked(&self.done).insert(what.to_owned(), (order, version));
    }

    /// Places an order under an id of the client's own.
    fn place(&self, id: Uuid, customer: &str, quantity: u32) -> Result<()> {
        let lines = json!([{ "sku": "tea", "quantity": quantity, "unit_price": "3.50" }]);
        let body = json!({ "order_id": id, "customer": customer, "lines": lines });
        locked(&self.orders).insert(id);
        loop {
            let Some(answer) = self.post("/orders", &body)? else { continue };
            match answer.status {
                201 => break self.acknowledge(&format!("placed {id}"), id, Some(1)),
                // An attempt without an answer had been carried out: it is our order, or the id is not unique.
                409 => {
                    let found = self.get(&format!("/orders/{id}"))?.json();
                    ensure!(found["customer"] == customer, "{id} belongs to {found}");
                    break self.acknowledge(&format!("placed {id}"), id, None);
                }
                _ => bail!("placing {id}: {answer:?}"),
            }
        }
        Ok(())
    }

    /// Ships or cancels until it is done or refused; `what` names the attempt in the order's events. Answers
    /// whether it was done.
    fn act(&self, id: Uuid, path: &str, what: &str, mut body: Value) -> Result<bool> {
        loop {
            let version = self.get(&format!("/orders/{id}"))?.json()["version"].as_u64();
            body["expected_version"] = json!(version);
            match self.post(&format!("/orders/{id}/{path}"), &body)? {
                Some(answer) if answer.status == 200 => {
                    self.acknowledge(what, id, answer.json()["version"].as_u64());
                    return Ok(true);
                }
                Some(answer) if answer.status == 409 => {
                    ensure!(answer.json()["code"] == "conflict", "{answer:?}");
                    self.conflicts.fetch_add(1, Ordering::Relaxed);
                }
                Some(answer) if answer.status == 422 => {
                    locked(&self.refused).insert(what.to_owned());
                    return Ok(false);
                }
                Some(answer) => bail!("{what}: {answer:?}"),
                None if self.get(&format!("/orders/{id}/events"))?.text.contains(&format!("\"{what}\"")) => {
                    self.acknowledge(what, id, None);
                    return Ok(true);
                }
                None => {}
            }
        }
    }

    fn ship_one(&self, id: Uuid, tracking: &str) -> Result<bool> {
        let items = json!([{ "sku": "tea", "quantity": 1 }]);
        self.act(id, "ship", tracking, json!({ "tracking": tracking, "items": items }))
    }
}

const fn shared_order(number: u64) -> Uuid {
    Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0001_0000 + number as u128)
}

/// What one client does: ships from orders that all ship from, places orders of its own, and runs against
/// another client for an order that only one of them can have.
fn client(shop: &Shop, number: u32, mut chance: Chance) -> Result<()> {
    let own = |step: u32| {
        Uuid::from_u128(0x0198_0000_0000_7000_9000_0000_0000_0000 + u128::from(number * 1_000 + step))
    };
    for step in 0..STEPS {
        let name = format!("c{number}-{step}");
        match chance.below(10) {
            0..5 => {
                let shipped = shop.ship_one(shared_order(chance.below(SHARED)), &name)?;
                ensure!(shipped, "{name}: there is enough for all");
            }
            5..8 => {
                shop.place(own(step), &name, 2)?;
                shop.ship_one(own(step), &format!("{name}-a"))?;
                ensure!(shop.ship_one(own(step), &format!("{name}-b"))?);
                ensure!(!shop.ship_one(own(step), &format!("{name}-c"))?, "nothing is left to ship");
            }
            _ => {
                // The neighbour may do the opposite at the same moment.
                let pair = Uuid::from_u128(
                    0x0198_0000_0000_7000_a000_0000_0000_0000 + u128::from(number / 2 * 1_000 + step),
                );
                shop.place(pair, &format!("pair-{}-{step}", number / 2), 1)?;
                if number.is_multiple_of(2) {
                    shop.act(pair, "cancel", &name, json!({ "reason": name }))?;
                } else {
                    shop.ship_one(pair, &name)?;
                }
            }
        }
    }
    Ok(())
}

/// What is in the events of all orders: each tracking number and reason with its order and version.
fn compare(shop: &Shop) -> Result<u64> {
    let mut there: BTreeMap<String, Vec<(Uuid, u64)>> = BTreeMap::new();
    let mut count = 0;
    for id in locked(&shop.orders).iter() {
        let events = shop.get(&format!("/orders/{id}/events"))?.json();
        let events = events["events"].as_array().context("a list of events")?.clone();
        for (event, version) in events.iter().zip(1_u64..) {
            ensure!(event["version"] == version, "{id}: {event} stands at {version}");
            let data = &event["data"];
            let what = match event["event_type"].as_str() {
                Some("ORDER_PLACED") => format!("placed {id}"),
                Some("ORDER_SHIPPED") => data["tracking"].as_str().context("a tracking number")?.to_owned(),
                Some("ORDER_CANCELLED") => data["reason"].as_str().context("a reason")?.to_owned(),
                _ => bail!("{id}: {event}"),
            };
            there.entry(what).or_default().push((*id, version));
            count += 1;
        }
    }
    let done = locked(&shop.done);
    for (what, (order, version)) in done.iter() {
        let found = there.remove(what).unwrap_or_default();
        let [(at_order, at_version)] = found.as_slice() else {
            bail!("`{what}` was acknowledged, there is {found:?}")
        };
        let is_right = at_order == order && version.is_none_or(|version| version == *at_version);
        ensure!(is_right, "`{what}` was acknowledged at {version:?} of {order}, there is {found:?}");
    }
    ensure!(there.is_empty(), "there is what nobody was told of: {there:?}");
    ensure!(locked(&shop.refused).iter().all(|what| !done.contains_key(what)), "refused and done");
    Ok(count)
}

/// The server with its clients, and what becomes of it.
struct Story {
    place: Place,
    backend: Option<Backend>,
    shop: Arc<Shop>,
    daemon: Option<Daemon>,
}

fn start(place: &Place, backend: Option<Backend>) -> Result<(Daemon, Http)> {
    let mut arguments = vec!["--listen", "127.0.0.1:0", "--lease-ms", "1500"];
    if backend.is_some() {
        arguments.extend(["--database", place.url()]);
    }
    let mut daemon = Daemon::start(&mut place.command("order-processing", &arguments)?)?;
    let http = Http::of(&mut daemon)?;
    Ok((daemon, http))
}

impl Story {
    /// On a backend; none: in memory.
    async fn begin(backend: Option<Backend>) -> Result<Self> {
        let place = Place::new(backend.unwrap_or(Backend::Sqlite)).await?;
        let (daemon, http) = start(&place, backend)?;
        Ok(Self { place, backend, shop: Arc::new(Shop::new(http)), daemon: Some(daemon) })
    }

    /// Ends the server, in order or not, once so many requests were acknowledged, and starts it again.
    fn restart_after(&mut self, acknowledged: usize, is_killed: bool, running: &AtomicU32) -> Result<()> {
        let is_due = || self.shop.acknowledged.load(Ordering::Relaxed) >= acknowledged;
        let came = wait_until(300, || is_due() || running.load(Ordering::Relaxed) == 0);
        ensure!(came && is_due(), "the clients never came to {acknowledged} acknowledged requests");
        ensure!(running.load(Ordering::Relaxed) > 0, "the clients were done before");
        // Whoever asks from now on waits; whoever has asked is cut off, or answered if it ends in order.
        *locked(&self.shop.http) = None;
        let daemon = self.daemon.take().context("it runs")?;
        if is_killed {
            ensure!(daemon.kill()?, "it ended by itself");
        } else {
            end(daemon)?;
        }
        let (daemon, http) = start(&self.place, self.backend)?;
        self.daemon = Some(daemon);
        *locked(&self.shop.http) = Some(http);
        Ok(())
    }

    /// Ends the server in order.
    fn end(&mut self) -> Result<()> {
        end(self.daemon.take().context("it runs")?)
    }
}

fn end(daemon: Daemon) -> Result<()> {
    daemon.signal(Signal::Terminate)?;
    daemon.finish(10)?.printed().map(drop)
}

#[expect(clippy::print_stdout, reason = "what the run came to")]
async fn fifty_clients(backend: Option<Backend>) -> Result<()> {
    let mut story = Story::begin(backend).await?;
    let mut chance = Chance::new();
    for number in 0..SHARED {
        story.shop.place(shared_order(number), "everybody", 1_000)?;
    }
    let running = Arc::new(AtomicU32::new(CLIENTS));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (shop, running) = (Arc::clone(&story.shop), Arc::clone(&running));
            let chance = Chance::of(chance.below(u64::MAX));
            std::thread::spawn(move || {
                let result = client(&shop, number, chance);
                running.fetch_sub(1, Ordering::Relaxed);
                result
            })
        })
        .collect();
    let restarted = match backend {
        None => Ok(()),
        Some(_) => story
            .restart_after(150, true, &running)
            .and_then(|()| story.restart_after(350, true, &running))
            .and_then(|()| story.restart_after(500, false, &running)),
    };
    for client in clients {
        client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
    }
    restarted?;
    let shop = Arc::clone(&story.shop);
    let events = compare(&shop)?;
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    let (conflicts, unanswered) = (count(&shop.conflicts), count(&shop.unanswered));
    println!("{backend:?}: {events} events, {conflicts} conflicts, {unanswered} requests without an answer");
    ensure!(conflicts > 0, "nobody got in another's way: this showed nothing");
    story.end()?;
    if backend.is_some() {
        require_whole_log(&story.place, events).await?;
    }
    Ok(())
}

/// The log itself: no gap, no event too many, each as it was appended.
async fn require_whole_log(place: &Place, events: u64) -> Result<()> {
    let store = place.reader().await?;
    let mut query = EventQuery::all(TenantId(Uuid::from_u128(1)));
    let mut log_seq = 0;
    let mut versions: BTreeMap<String, u64> = BTreeMap::new();
    loop {
        let page = store.read(&query).await?;
        if page.events.is_empty() {
            break;
        }
        for event in page.events {
            log_seq += 1;
            ensure!(event.log_seq == log_seq && event.expected_hash() == event.hash, "{event:?}");
            let stored = StoredEvent::try_from(event)?;
            let version = versions.entry(stored.stream_id.to_string()).or_default();
            *version += 1;
            ensure!(stored.version == *version, "{stored:?}");
        }
        query.after = log_seq;
    }
    store.close().await;
    ensure!(u64::try_from(log_seq)? == events, "{log_seq} events in the log, {events} over HTTP");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_clients_get_what_they_were_promised_in_memory() -> Result<()> {
    fifty_clients(None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_clients_get_what_they_were_promised_on_sqlite() -> Result<()> {
    fifty_clients(Some(Backend::Sqlite)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_clients_get_what_they_were_promised_on_postgres() -> Result<()> {
    fifty_clients(Some(Backend::Postgres)).await
}

fn check(answer: &Answer, status: u16, code: &str) -> Result<()> {
    let body = answer.json();
    ensure!(answer.status == status && body["code"] == code, "expected {status} {code}, got {answer:?}");
    ensure!(body["error"].as_str().is_some_and(|error| !error.is_empty()), "{answer:?}");
    Ok(())
}

/// Each way in which a request fails has its status and its code.
#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_has_a_status_and_a_code() -> Result<()> {
    let mut story = Story::begin(None).await?;
    let http = locked(&story.shop.http).clone().context("it is up")?;
    let line = json!({ "sku": "tea", "quantity": 2, "unit_price": "3.50" });
    let order = json!({ "customer": "ann", "lines": [line] });
    let placed = http.post("/orders", &order)?;
    ensure!(placed.status == 201 && placed.json()["total"] == "7.00", "{placed:?}");
    let id = placed.json()["order_id"].as_str().context("an id")?.to_owned();
    let (ship, cancel) = (format!("/orders/{id}/ship"), format!("/orders/{id}/cancel"));

    let missing = "/orders/01980000-0000-7000-8000-000000000000";
    for path in [missing.to_owned(), format!("{missing}/events"), "/order".to_owned()] {
        check(&http.get(&path)?, 404, "not_found")?;
    }
    check(&http.post(&format!("{missing}/cancel"), &json!({ "reason": "late" }))?, 404, "not_found")?;
    check(&http.delete(&format!("/orders/{id}"))?, 405, "method_not_allowed")?;
    check(&http.get("/orders/17")?, 400, "invalid")?;
    for body in [
        json!(null),
        json!([]),
        json!({ "customer": "ann" }),
        json!({ "customer": "ann", "lines": [] }),
        json!({ "customer": " ", "lines": [line] }),
        json!({ "customer": "ann", "lines": [line, line] }),
        json!({ "customer": "ann", "lines": [line], "discount": 5 }),
        json!({ "customer": "ann", "lines": [{ "sku": "tea", "quantity": -1, "unit_price": "1" }] }),
        json!({ "customer": "ann", "lines": [{ "sku": "tea", "quantity": 1, "unit_price": 3.5 }] }),
        json!({ "order_id": "17", "customer": "ann", "lines": [line] }),
    ] {
        check(&http.post("/orders", &body)?, 400, "invalid")?;
    }
    let large = json!({ "customer": "a".repeat(100_000), "lines": [line] });
    check(&http.post("/orders", &large)?, 413, "too_large")?;
    let again = json!({ "order_id": id, "customer": "bob", "lines": [line] });
    check(&http.post("/orders", &again)?, 409, "conflict")?;

    check(&http.post(&ship, &json!({ "tracking": "T-1", "expected_version": 7 }))?, 409, "conflict")?;
    let too_much = json!({ "tracking": "T-1", "items": [{ "sku": "tea", "quantity": 3 }] });
    check(&http.post(&ship, &too_much)?, 422, "too_much")?;
    let part =
        json!({ "tracking": "T-1", "items": [{ "sku": "tea", "quantity": 1 }], "expected_version": 1 });
    let shipped = http.post(&ship, &part)?;
    ensure!(shipped.status == 200 && shipped.json()["status"] == "partly_shipped", "{shipped:?}");
    check(&http.post(&ship, &part)?, 409, "conflict")?;
    check(&http.post(&cancel, &json!({ "reason": "late" }))?, 422, "wrong_state")?;
    let rest = http.post(&ship, &json!({ "tracking": "T-2" }))?;
    ensure!(rest.json()["status"] == "shipped" && rest.json()["version"] == 3, "{rest:?}");
    check(&http.post(&ship, &json!({ "tracking": "T-3" }))?, 422, "wrong_state")?;
    ensure!(http.get("/health")?.status == 200);
    story.end()
}

/// It says how to use it, and what is wrong with a database that it cannot use.
#[test]
fn it_explains_itself() -> Result<()> {
    let run = |arguments: &[&str]| Ran::to_end(Command::new(program("order-processing")?).args(arguments));
    let help = run(&["--help"])?.printed()?;
    ensure!(help.contains("Example:") && help.contains("curl") && help.contains("sqlite://"), "{help}");
    for (arguments, code, said) in [
        (["--database", "mysql://x"], 1, "unknown database URL"),
        (["--database", "sqlite:///nowhere/at/all.db"], 1, "open sqlite://"),
        (["--listen", "nowhere"], 2, "--listen"),
        (["--lease-ms", "1"], 2, "--lease-ms"),
    ] {
        let ran = run(&arguments)?;
        ensure!(ran.code == Some(code) && ran.err.contains(said), "{arguments:?}: {ran:?}");
    }
    Ok(())
}
