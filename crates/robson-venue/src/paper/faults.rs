//! Faults on demand, so that a test can drive every outcome that a venue has. None by default.

use robson_domain::{ClientOrderId, Fraction, Timestamp};
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};

/// How often the paper exchange misbehaves: a function of the seed and the order's id, not of chance.
///
/// A lost request leaves no trace, so whether one is lost is drawn anew for each time at which it is sent; all
/// else strikes an order once. So a restart changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultPlan {
    /// What the draws are made from.
    pub seed: u64,
    /// The part of orders that are lost on the way: the outcome is unknown and nothing was taken.
    pub lost_request: Fraction,
    /// The part of orders whose answer is lost: the outcome is unknown and the order was taken.
    pub lost_reply: Fraction,
    /// The part of orders that are refused.
    pub refusal: Fraction,
    /// The part of orders whose fills are reported twice.
    pub duplicate_report: Fraction,
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    LostReply,
    Refusal,
    DuplicateReport,
}

impl FaultPlan {
    /// Nothing goes wrong.
    pub const NONE: Self = Self {
        seed: 0,
        lost_request: Fraction::ZERO,
        lost_reply: Fraction::ZERO,
        refusal: Fraction::ZERO,
        duplicate_report: Fraction::ZERO,
    };

    /// Whether a request that is sent at this time is lost on the way.
    pub(super) fn loses_request(&self, id: &ClientOrderId, at: Timestamp) -> bool {
        let rate = self.lost_request.get();
        !rate.is_zero() && self.draw(&format!("lost_request {at}"), id) < rate
    }

    pub(super) fn strikes(&self, fault: Fault, id: &ClientOrderId) -> bool {
        let (name, rate) = match fault {
            Fault::LostReply => ("lost_reply", self.lost_reply),
            Fault::Refusal => ("refusal", self.refusal),
            Fault::DuplicateReport => ("duplicate_report", self.duplicate_report),
        };
        !rate.get().is_zero() && self.draw(name, id) < rate.get()
    }

    /// A number from 0 up to, but not including, 1, in millionths.
    fn draw(&self, name: &str, id: &ClientOrderId) -> Decimal {
        let digest = Sha256::new()
            .chain_update(self.seed.to_be_bytes())
            .chain_update(name)
            .chain_update([0])
            .chain_update(id.as_str())
            .finalize();
        let drawn = digest[..4].iter().fold(0_u32, |drawn, byte| drawn << 8 | u32::from(*byte));
        Decimal::new(i64::from(drawn % 1_000_000), 6)
    }
}

impl Default for FaultPlan {
    fn default() -> Self {
        Self::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_as_often_as_planned_and_the_same_orders_again() {
        let plan = FaultPlan { seed: 7, lost_reply: "0.25".parse().unwrap(), ..FaultPlan::NONE };
        let struck = |fault| {
            let hit = |i: &u32| plan.strikes(fault, &ClientOrderId::from(format!("o{i}")));
            (0..1000).filter(hit).collect::<Vec<_>>()
        };
        let replies = struck(Fault::LostReply);
        assert!((200..300).contains(&replies.len()), "{}", replies.len());
        assert_eq!(replies, struck(Fault::LostReply));
        assert!(struck(Fault::Refusal).is_empty());
        let always = FaultPlan { refusal: "1".parse().unwrap(), ..FaultPlan::NONE };
        assert!(always.strikes(Fault::Refusal, &ClientOrderId::from("o".to_owned())));
    }
}
