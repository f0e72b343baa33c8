//! The order in disintegrate's terms. Its macros make more than is used here.
#![allow(dead_code)]

use std::convert::Infallible;

use disintegrate::{Decision, Event, StateMutate, StateQuery};
use serde::{Deserialize, Serialize};

use crate::order::{AddLine, Order, OrderEvent};

/// The event, with the id that streams are found by: it is a field of the event here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
pub(crate) enum Happened {
    Placed {
        #[id]
        order_id: i64,
        customer: u32,
        currency: String,
    },
    LineAdded {
        #[id]
        order_id: i64,
        line: u32,
        title: String,
        units: u32,
        cents: u64,
    },
}

impl Happened {
    pub(crate) fn of(order_id: i64, event: OrderEvent) -> Self {
        match event {
            OrderEvent::Placed { customer, currency } => Self::Placed { order_id, customer, currency },
            OrderEvent::LineAdded { line, title, units, cents } => {
                Self::LineAdded { order_id, line, title, units, cents }
            }
        }
    }

    pub(crate) fn into_order_event(self) -> OrderEvent {
        match self {
            Self::Placed { customer, currency, .. } => OrderEvent::Placed { customer, currency },
            Self::LineAdded { line, title, units, cents, .. } => {
                OrderEvent::LineAdded { line, title, units, cents }
            }
        }
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, StateQuery)]
#[state_query(Happened)]
pub(crate) struct OrderState {
    #[id]
    pub(crate) order_id: i64,
    pub(crate) order: Order,
}

impl OrderState {
    pub(crate) fn of(order_id: i64) -> Self {
        Self { order_id, order: Order::default() }
    }
}

impl StateMutate for OrderState {
    fn mutate(&mut self, event: Self::Event) {
        self.order.fold(&event.into_order_event());
    }
}

/// The command.
pub(crate) struct Adding {
    pub(crate) order_id: i64,
    pub(crate) command: AddLine,
}

impl Decision for Adding {
    type Event = Happened;
    type StateQuery = OrderState;
    type Error = Infallible;

    fn state_query(&self) -> OrderState {
        OrderState::of(self.order_id)
    }

    fn process(&self, state: &OrderState) -> Result<Vec<Happened>, Infallible> {
        Ok(vec![Happened::of(self.order_id, state.order.add(&self.command))])
    }
}
