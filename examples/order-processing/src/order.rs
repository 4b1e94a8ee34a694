//! An order: what it is, what can be asked of it, and what that leads to. Pure: no clock, no database.

use std::collections::BTreeMap;

use robson_eventlog::EventType;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

const LINES_MAX: usize = 100;
const QUANTITY_MAX: u32 = 1_000_000;
const TEXT_BYTES_MAX: usize = 100;
/// Most digits behind the point of a price.
const PRICE_SCALE_MAX: u32 = 4;

/// What is ordered of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    pub(crate) sku: String,
    pub(crate) quantity: u32,
    /// As text, so that no float comes near it.
    #[serde(with = "rust_decimal::serde::str")]
    pub(crate) unit_price: Decimal,
}

/// What is sent of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Item {
    pub(crate) sku: String,
    pub(crate) quantity: u32,
}

/// What happened to an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub(crate) enum OrderEvent {
    Placed { customer: String, lines: Vec<Line> },
    Shipped { tracking: String, items: Vec<Item> },
    Cancelled { reason: String },
}

impl OrderEvent {
    pub(crate) fn event_type(&self) -> EventType {
        let name = match self {
            Self::Placed { .. } => "ORDER_PLACED",
            Self::Shipped { .. } => "ORDER_SHIPPED",
            Self::Cancelled { .. } => "ORDER_CANCELLED",
        };
        EventType::new(name).expect("a plain name")
    }
}

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Place {
        customer: String,
        lines: Vec<Line>,
    },
    /// No items: all that is left.
    Ship {
        tracking: String,
        items: Vec<Item>,
    },
    Cancel {
        reason: String,
    },
}

/// Why an order does not do what it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// The request makes no sense, whatever the order's state.
    Invalid(String),
    /// The order is past that.
    WrongState { status: &'static str, asked: &'static str },
    /// More than is left.
    TooMuch { sku: String, left: u32 },
}

/// An order as its events make it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) customer: String,
    pub(crate) lines: Vec<Line>,
    pub(crate) shipped: BTreeMap<String, u32>,
    pub(crate) is_placed: bool,
    pub(crate) is_cancelled: bool,
}

impl Order {
    pub(crate) fn apply(&mut self, event: OrderEvent) {
        match event {
            OrderEvent::Placed { customer, lines } => {
                (self.customer, self.lines, self.is_placed) = (customer, lines, true);
            }
            OrderEvent::Shipped { items, .. } => {
                for item in items {
                    let shipped = self.shipped.entry(item.sku).or_default();
                    *shipped = shipped.saturating_add(item.quantity);
                }
            }
            OrderEvent::Cancelled { .. } => self.is_cancelled = true,
        }
    }

    pub(crate) fn status(&self) -> &'static str {
        if self.is_cancelled {
            "cancelled"
        } else if self.lines.iter().all(|line| self.left(line) == 0) {
            "shipped"
        } else if self.shipped.is_empty() {
            "placed"
        } else {
            "partly_shipped"
        }
    }

    /// What it costs; nothing where that is more than a decimal holds.
    pub(crate) fn total(&self) -> Option<Decimal> {
        total(&self.lines)
    }

    fn left(&self, line: &Line) -> u32 {
        line.quantity.saturating_sub(self.shipped.get(&line.sku).copied().unwrap_or(0))
    }

    /// What a command leads to.
    pub(crate) fn decide(&self, command: Command) -> Result<OrderEvent, Rejection> {
        match command {
            Command::Place { .. } if self.is_placed => {
                Err(Rejection::WrongState { status: self.status(), asked: "placed" })
            }
            Command::Place { customer, lines } => {
                check_text("customer", &customer)?;
                check_lines(&lines)?;
                Ok(OrderEvent::Placed { customer, lines })
            }
            Command::Ship { tracking, items } => {
                check_text("tracking", &tracking)?;
                if self.is_cancelled || self.status() == "shipped" {
                    return Err(Rejection::WrongState { status: self.status(), asked: "shipped" });
                }
                let items = if items.is_empty() { self.all_left() } else { self.check_items(items)? };
                Ok(OrderEvent::Shipped { tracking, items })
            }
            Command::Cancel { reason } => {
                check_text("reason", &reason)?;
                // What is on its way cannot be called back.
                if self.is_cancelled || !self.shipped.is_empty() {
                    return Err(Rejection::WrongState { status: self.status(), asked: "cancelled" });
                }
                Ok(OrderEvent::Cancelled { reason })
            }
        }
    }

    fn all_left(&self) -> Vec<Item> {
        let left = self.lines.iter().map(|line| Item { sku: line.sku.clone(), quantity: self.left(line) });
        left.filter(|item| item.quantity > 0).collect()
    }

    fn check_items(&self, items: Vec<Item>) -> Result<Vec<Item>, Rejection> {
        check_unique(items.iter().map(|item| &item.sku))?;
        for Item { sku, quantity } in &items {
            let line = self.lines.iter().find(|line| line.sku == *sku);
            let left = line.map_or(0, |line| self.left(line));
            if *quantity == 0 {
                return Err(Rejection::Invalid(format!("the quantity of `{sku}` is 0")));
            }
            if *quantity > left {
                return Err(Rejection::TooMuch { sku: sku.clone(), left });
            }
        }
        Ok(items)
    }
}

fn total(lines: &[Line]) -> Option<Decimal> {
    lines.iter().try_fold(Decimal::ZERO, |total, line| {
        total.checked_add(line.unit_price.checked_mul(Decimal::from(line.quantity))?)
    })
}

fn check_text(name: &str, text: &str) -> Result<(), Rejection> {
    let fits = !text.trim().is_empty() && text.len() <= TEXT_BYTES_MAX && !text.contains('\0');
    let why = || Rejection::Invalid(format!("`{name}` is a text of 1 to {TEXT_BYTES_MAX} bytes without NUL"));
    if fits { Ok(()) } else { Err(why()) }
}

fn check_unique<'a>(skus: impl Iterator<Item = &'a String>) -> Result<(), Rejection> {
    let mut seen = BTreeMap::new();
    for sku in skus {
        if seen.insert(sku, ()).is_some() {
            return Err(Rejection::Invalid(format!("`{sku}` stands twice")));
        }
    }
    Ok(())
}

fn check_lines(lines: &[Line]) -> Result<(), Rejection> {
    if lines.is_empty() || lines.len() > LINES_MAX {
        return Err(Rejection::Invalid(format!("an order has 1 to {LINES_MAX} lines")));
    }
    check_unique(lines.iter().map(|line| &line.sku))?;
    for Line { sku, quantity, unit_price } in lines {
        check_text("sku", sku)?;
        if !(1..=QUANTITY_MAX).contains(quantity) {
            return Err(Rejection::Invalid(format!("the quantity of `{sku}` is 1 to {QUANTITY_MAX}")));
        }
        if unit_price.is_sign_negative() || unit_price.normalize().scale() > PRICE_SCALE_MAX {
            let why = format!("the price of `{sku}` has a sign, or more than {PRICE_SCALE_MAX} decimals");
            return Err(Rejection::Invalid(why));
        }
    }
    total(lines).map(drop).ok_or_else(|| Rejection::Invalid("the total is out of bounds".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sku: &str, quantity: u32, price: &str) -> Line {
        Line { sku: sku.to_owned(), quantity, unit_price: price.parse().unwrap() }
    }

    fn place(lines: Vec<Line>) -> Command {
        Command::Place { customer: "ann".to_owned(), lines }
    }

    fn ship(items: &[(&str, u32)]) -> Command {
        let items = items.iter().map(|(sku, quantity)| Item { sku: (*sku).to_owned(), quantity: *quantity });
        Command::Ship { tracking: "T-1".to_owned(), items: items.collect() }
    }

    fn cancel() -> Command {
        Command::Cancel { reason: "late".to_owned() }
    }

    /// Carries the commands out one after the other; answers how each ended.
    fn check(commands: Vec<Command>, expected: &[&str]) {
        let mut order = Order::default();
        let ended: Vec<String> = commands
            .into_iter()
            .map(|command| match order.decide(command) {
                Ok(event) => {
                    order.apply(event);
                    order.status().to_owned()
                }
                Err(Rejection::Invalid(why)) => why,
                Err(Rejection::WrongState { status, asked }) => format!("{status}, cannot be {asked}"),
                Err(Rejection::TooMuch { sku, left }) => format!("{left} of {sku} left"),
            })
            .collect();
        assert_eq!(ended, expected);
    }

    #[test]
    fn an_order_is_shipped_in_parts_and_then_whole() {
        check(
            vec![
                place(vec![line("tea", 3, "3.50"), line("cup", 1, "8")]),
                ship(&[("tea", 2)]),
                cancel(),
                ship(&[("tea", 2)]),
                ship(&[("pot", 1)]),
                ship(&[]),
                ship(&[]),
            ],
            &[
                "placed",
                "partly_shipped",
                "partly_shipped, cannot be cancelled",
                "1 of tea left",
                "0 of pot left",
                "shipped",
                "shipped, cannot be shipped",
            ],
        );
    }

    #[test]
    fn a_cancelled_order_stays_cancelled() {
        let order = place(vec![line("tea", 1, "0")]);
        check(
            vec![order.clone(), cancel(), ship(&[]), cancel(), order],
            &[
                "placed",
                "cancelled",
                "cancelled, cannot be shipped",
                "cancelled, cannot be cancelled",
                "cancelled, cannot be placed",
            ],
        );
    }

    #[test]
    fn nonsense_is_invalid() {
        for command in [
            place(vec![]),
            place(vec![line("tea", 1, "1"), line("tea", 1, "1")]),
            place(vec![line("", 1, "1")]),
            place(vec![line("tea", 0, "1")]),
            place(vec![line("tea", 1, "-1")]),
            place(vec![line("tea", 1, "0.00001")]),
            place(vec![line("tea", QUANTITY_MAX, "79228162514264337593543950335")]),
            Command::Cancel { reason: "\0".to_owned() },
        ] {
            assert!(matches!(Order::default().decide(command), Err(Rejection::Invalid(_))));
        }
    }

    #[test]
    fn a_total_is_exact() {
        let order = Order { lines: vec![line("tea", 3, "3.35"), line("cup", 7, "0.1")], ..Order::default() };
        assert_eq!(order.total().map(|total| total.to_string()).as_deref(), Some("10.75"));
    }
}
