//! What an order has been charged, and what of it was given back.

use nexus_core::{Aggregate, Command, CommandContext, CommandHandler, DomainEvent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The payment for an order, known by the order's id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    pub charged_cents: Option<u64>,
    pub returned: bool,
    /// Nothing is given back while somebody looks into it.
    pub disputed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, DomainEvent)]
pub enum PaymentEvent {
    Charged { card: String, cents: u64 },
    Returned { cents: u64 },
    Disputed,
    Settled,
}

/// Takes money from a card. Cards whose names start with `empty` are declined.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Command)]
#[command(name = "ChargeCard")]
pub struct Charge {
    pub card: String,
    pub cents: u64,
}

/// Gives all of it back. The second time nothing happens.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Command)]
#[command(name = "ReturnPayment")]
pub struct GiveBack {}

/// Has somebody look into a payment; or ends that.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Command)]
#[command(name = "DisputePayment")]
pub struct Dispute {
    pub is_open: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    #[error("the card is declined")]
    Card,
    #[error("the order was charged before")]
    ChargedBefore,
    #[error("the payment is disputed: nothing is given back until that is settled")]
    Disputed,
}

impl Aggregate for Payment {
    const CATEGORY: &'static str = "payment";
    type Id = String;
    type Event = PaymentEvent;

    fn apply(&mut self, event: &PaymentEvent) {
        match event {
            PaymentEvent::Charged { cents, .. } => self.charged_cents = Some(*cents),
            PaymentEvent::Returned { .. } => self.returned = true,
            PaymentEvent::Disputed => self.disputed = true,
            PaymentEvent::Settled => self.disputed = false,
        }
    }
}

impl CommandHandler<Charge> for Payment {
    type Rejection = Declined;

    fn handle(&self, command: &Charge, _: &CommandContext) -> Result<Vec<PaymentEvent>, Declined> {
        let Charge { card, cents } = command.clone();
        if self.charged_cents.is_some() {
            return Err(Declined::ChargedBefore);
        }
        if card.starts_with("empty") {
            return Err(Declined::Card);
        }
        Ok(vec![PaymentEvent::Charged { card, cents }])
    }
}

impl CommandHandler<GiveBack> for Payment {
    type Rejection = Declined;

    fn handle(&self, GiveBack {}: &GiveBack, _: &CommandContext) -> Result<Vec<PaymentEvent>, Declined> {
        match self.charged_cents {
            Some(_) if self.disputed => Err(Declined::Disputed),
            Some(cents) if !self.returned => Ok(vec![PaymentEvent::Returned { cents }]),
            _ => Ok(vec![]),
        }
    }
}

impl CommandHandler<Dispute> for Payment {
    type Rejection = Declined;

    fn handle(
        &self,
        &Dispute { is_open }: &Dispute,
        _: &CommandContext,
    ) -> Result<Vec<PaymentEvent>, Declined> {
        Ok(match (self.disputed, is_open) {
            (false, true) => vec![PaymentEvent::Disputed],
            (true, false) => vec![PaymentEvent::Settled],
            _ => vec![],
        })
    }
}

#[cfg(test)]
mod tests {
    use nexus_core::testing::Scenario;

    use super::PaymentEvent::{Charged, Disputed, Returned, Settled};
    use super::*;

    #[test]
    fn an_order_is_charged_once_and_given_back_once() {
        let charge = |card: &str| Charge { card: card.into(), cents: 5 };
        let charged = || Charged { card: "visa-1".into(), cents: 5 };
        Scenario::<Payment>::given([]).when(charge("visa-1")).then([charged()]);
        Scenario::<Payment>::given([]).when(charge("empty-1")).then_refused(Declined::Card);
        Scenario::<Payment>::given([charged()]).when(charge("visa-1")).then_refused(Declined::ChargedBefore);
        Scenario::<Payment>::given([charged()]).when(GiveBack {}).then([Returned { cents: 5 }]);
        Scenario::<Payment>::given([charged(), Returned { cents: 5 }]).when(GiveBack {}).then_nothing();
        Scenario::<Payment>::given([]).when(GiveBack {}).then_nothing();
    }

    #[test]
    fn nothing_is_given_back_while_it_is_disputed() {
        let charged = || Charged { card: "visa-1".into(), cents: 5 };
        let dispute = |is_open| Dispute { is_open };
        Scenario::<Payment>::given([charged()]).when(dispute(true)).then([Disputed]);
        Scenario::<Payment>::given([charged(), Disputed]).when(GiveBack {}).then_refused(Declined::Disputed);
        Scenario::<Payment>::given([charged(), Disputed]).when(dispute(false)).then([Settled]);
        Scenario::<Payment>::given([charged(), Disputed, Settled])
            .when(GiveBack {})
            .then([Returned { cents: 5 }]);
    }
}
