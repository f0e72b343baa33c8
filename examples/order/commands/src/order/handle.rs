//! The rules, one handler a command.

use nexus_core::{CommandContext, CommandHandler};

use super::{
    AddLine, Cancel, CheckOut, Deliver, Dispatch, Line, MAX_CENTS, MAX_LINES, MAX_UNITS, Order, OrderEvent,
    PARCEL_UNITS, Pay, Place, Refund, Refused, RemoveLine, Ship, State,
};

type Decision = Result<Vec<OrderEvent>, Refused>;

impl Order {
    /// Lines can be changed until the order is paid.
    fn open(&self) -> Result<(), Refused> {
        match self.state {
            State::Placed if self.checked_out => Err(Refused::CheckedOut),
            State::Placed => Ok(()),
            State::None => Err(Refused::NotPlaced),
            state => Err(Refused::Closed(state)),
        }
    }

    /// How many parcels its CDs fill.
    fn parcels_needed(&self) -> u32 {
        u32::try_from(self.units().div_ceil(PARCEL_UNITS)).unwrap_or(u32::MAX).max(1)
    }

    fn check_line(line: &Line) -> Result<(), Refused> {
        let sku = line.sku.clone();
        if !(1..=MAX_UNITS).contains(&line.units) {
            return Err(Refused::Units { sku, units: line.units });
        }
        if line.total_cents > MAX_CENTS {
            return Err(Refused::Price { sku, cents: line.total_cents });
        }
        Ok(())
    }
}

impl CommandHandler<Place> for Order {
    type Rejection = Refused;

    fn handle(&self, command: &Place, _: &CommandContext) -> Decision {
        let Place { customer, ordered_on, lines } = command;
        if self.state != State::None {
            return Err(Refused::PlacedBefore);
        }
        if customer.is_empty() {
            return Err(Refused::NoCustomer);
        }
        if lines.is_empty() {
            return Err(Refused::NoLines);
        }
        if lines.len() > MAX_LINES {
            return Err(Refused::TooManyLines);
        }
        for (index, line) in lines.iter().enumerate() {
            Self::check_line(line)?;
            if lines[..index].iter().any(|other| other.sku == line.sku) {
                return Err(Refused::LineExists(line.sku.clone()));
            }
        }
        let (customer, lines) = (customer.clone(), lines.clone());
        Ok(vec![OrderEvent::Placed { customer, ordered_on: *ordered_on, lines }])
    }
}

impl CommandHandler<AddLine> for Order {
    type Rejection = Refused;

    fn handle(&self, AddLine { line }: &AddLine, _: &CommandContext) -> Decision {
        self.open()?;
        Self::check_line(line)?;
        if self.lines.len() == MAX_LINES {
            return Err(Refused::TooManyLines);
        }
        if self.lines.iter().any(|other| other.sku == line.sku) {
            return Err(Refused::LineExists(line.sku.clone()));
        }
        Ok(vec![OrderEvent::LineAdded { line: line.clone() }])
    }
}

impl CommandHandler<RemoveLine> for Order {
    type Rejection = Refused;

    fn handle(&self, RemoveLine { sku }: &RemoveLine, _: &CommandContext) -> Decision {
        self.open()?;
        let line = self.lines.iter().find(|line| line.sku == *sku);
        let line = line.ok_or_else(|| Refused::NoSuchLine(sku.clone()))?;
        if self.lines.len() == 1 {
            return Err(Refused::NoLines);
        }
        Ok(vec![OrderEvent::LineRemoved { line: line.clone() }])
    }
}

impl CommandHandler<Pay> for Order {
    type Rejection = Refused;

    fn handle(&self, &Pay { cents }: &Pay, _: &CommandContext) -> Decision {
        match self.state {
            State::None => Err(Refused::NotPlaced),
            State::Cancelled => Err(Refused::NotPayable(self.state)),
            State::Paid | State::Shipped | State::Delivered => Err(Refused::PaidBefore),
            // An order worth nothing is paid with nothing.
            State::Placed if cents != self.total_cents() => {
                Err(Refused::WrongAmount { due: self.total_cents(), offered: cents })
            }
            State::Placed => Ok(vec![OrderEvent::Paid { cents }]),
        }
    }
}

impl CommandHandler<CheckOut> for Order {
    type Rejection = Refused;

    fn handle(&self, CheckOut { card, carrier }: &CheckOut, _: &CommandContext) -> Decision {
        self.open()?;
        if card.is_empty() {
            return Err(Refused::NoCard);
        }
        if carrier.is_empty() {
            return Err(Refused::NoCarrier);
        }
        let (card, carrier, lines) = (card.clone(), carrier.clone(), self.lines.clone());
        Ok(vec![OrderEvent::CheckedOut { card, carrier, lines, cents: self.total_cents() }])
    }
}

impl CommandHandler<Dispatch> for Order {
    type Rejection = Refused;

    fn handle(&self, Dispatch { carrier, cents }: &Dispatch, context: &CommandContext) -> Decision {
        if self.state == State::Placed && !self.checked_out {
            return Err(Refused::NotCheckedOut);
        }
        let paid = self.handle(&Pay { cents: *cents }, context)?;
        let parcels = self.parcels_needed();
        Ok(paid.into_iter().chain([OrderEvent::Shipped { carrier: carrier.clone(), parcels }]).collect())
    }
}

impl CommandHandler<Ship> for Order {
    type Rejection = Refused;

    fn handle(&self, Ship { carrier }: &Ship, _: &CommandContext) -> Decision {
        match self.state {
            State::None => Err(Refused::NotPlaced),
            State::Placed => Err(Refused::Unpaid),
            State::Cancelled => Err(Refused::NotShippable(self.state)),
            State::Shipped | State::Delivered => Err(Refused::ShippedBefore),
            State::Paid if carrier.is_empty() => Err(Refused::NoCarrier),
            State::Paid => {
                Ok(vec![OrderEvent::Shipped { carrier: carrier.clone(), parcels: self.parcels_needed() }])
            }
        }
    }
}

impl CommandHandler<Deliver> for Order {
    type Rejection = Refused;

    fn handle(&self, Deliver: &Deliver, _: &CommandContext) -> Decision {
        match self.state {
            State::None => Err(Refused::NotPlaced),
            State::Shipped => Ok(vec![OrderEvent::Delivered]),
            State::Delivered => Ok(vec![]),
            State::Placed | State::Paid | State::Cancelled => Err(Refused::NotShipped(self.state)),
        }
    }
}

impl CommandHandler<Cancel> for Order {
    type Rejection = Refused;

    fn handle(&self, Cancel { reason }: &Cancel, _: &CommandContext) -> Decision {
        match self.state {
            State::None => Err(Refused::NotPlaced),
            State::Placed | State::Paid => Ok(vec![OrderEvent::Cancelled { reason: reason.clone() }]),
            State::Cancelled => Ok(vec![]),
            State::Shipped | State::Delivered => Err(Refused::NotCancellable(self.state)),
        }
    }
}

impl CommandHandler<Refund> for Order {
    type Rejection = Refused;

    fn handle(&self, Refund { cents, reason }: &Refund, _: &CommandContext) -> Decision {
        match self.state {
            State::None => Err(Refused::NotPlaced),
            State::Placed | State::Paid | State::Shipped => Err(Refused::NotRefundable(self.state)),
            State::Cancelled | State::Delivered if !(1..=self.kept_cents()).contains(cents) => {
                Err(Refused::RefundTooLarge { requested: *cents, left: self.kept_cents() })
            }
            State::Cancelled | State::Delivered => {
                Ok(vec![OrderEvent::Refunded { cents: *cents, reason: reason.clone() }])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::{Date, date};
    use nexus_core::testing::Scenario;

    use super::*;
    use crate::order::Sku;
    use OrderEvent::{
        Cancelled, CheckedOut, Delivered, LineAdded, LineRemoved, Paid, Placed, Refunded, Shipped,
    };

    const DAY: Date = date(1997, 1, 12);

    fn blue() -> Line {
        Line::new("kind-of-blue", 2, 2_354)
    }

    fn train() -> Line {
        Line::new("blue-train", 1, 1_177)
    }

    fn placed(lines: &[Line]) -> OrderEvent {
        Placed { customer: "ada".into(), ordered_on: DAY, lines: lines.to_vec() }
    }

    fn place(lines: &[Line]) -> Place {
        Place { customer: "ada".into(), ordered_on: DAY, lines: lines.to_vec() }
    }

    fn paid() -> [OrderEvent; 2] {
        [placed(&[blue()]), Paid { cents: 2_354 }]
    }

    fn shipped() -> [OrderEvent; 3] {
        [placed(&[blue()]), Paid { cents: 2_354 }, Shipped { carrier: "ups".into(), parcels: 1 }]
    }

    fn cancelled() -> [OrderEvent; 3] {
        [placed(&[blue()]), Paid { cents: 2_354 }, Cancelled { reason: "lost interest".into() }]
    }

    fn given(events: impl IntoIterator<Item = OrderEvent>) -> Scenario<Order> {
        Scenario::given(events)
    }

    #[test]
    fn an_order_is_placed_once() {
        given([]).when(place(&[blue(), train()])).then([placed(&[blue(), train()])]);
        given([placed(&[blue()])]).when(place(&[blue()])).then_refused(Refused::PlacedBefore);
    }

    #[test]
    fn an_order_needs_a_customer_and_lines_of_different_titles() {
        given([]).when(place(&[])).then_refused(Refused::NoLines);
        let nobody = Place { customer: String::new(), ..place(&[blue()]) };
        given([]).when(nobody).then_refused(Refused::NoCustomer);
        given([]).when(place(&[blue(), blue()])).then_refused(Refused::LineExists(blue().sku));
        let many: Vec<Line> = (0..=MAX_LINES).map(|number| Line::new(&number.to_string(), 1, 1)).collect();
        given([]).when(place(&many)).then_refused(Refused::TooManyLines);
        given([]).when(place(&many[1..])).then([placed(&many[1..])]);
    }

    #[test]
    fn quantities_and_prices_are_bounded() {
        for units in [0, MAX_UNITS + 1] {
            let line = Line::new("x", units, 1);
            given([]).when(place(&[line])).then_refused(Refused::Units { sku: Sku("x".into()), units });
        }
        let dear = Line::new("x", 1, MAX_CENTS + 1);
        let refused = Refused::Price { sku: Sku("x".into()), cents: MAX_CENTS + 1 };
        given([placed(&[blue()])]).when(AddLine { line: dear }).then_refused(refused);
        let free = Line::new("x", MAX_UNITS, 0);
        given([]).when(place(std::slice::from_ref(&free))).then([placed(&[free])]);
    }

    #[test]
    fn lines_change_until_the_order_is_paid() {
        given([placed(&[blue()])]).when(AddLine { line: train() }).then([LineAdded { line: train() }]);
        given([placed(&[blue()])])
            .when(AddLine { line: blue() })
            .then_refused(Refused::LineExists(blue().sku));
        given([placed(&[blue(), train()])])
            .when(RemoveLine { sku: blue().sku })
            .then([LineRemoved { line: blue() }]);
        given([placed(&[blue()])]).when(RemoveLine { sku: blue().sku }).then_refused(Refused::NoLines);
        given([placed(&[blue()])])
            .when(RemoveLine { sku: train().sku })
            .then_refused(Refused::NoSuchLine(train().sku));
        given(paid()).when(AddLine { line: train() }).then_refused(Refused::Closed(State::Paid));
        given(paid()).when(RemoveLine { sku: blue().sku }).then_refused(Refused::Closed(State::Paid));
        given([]).when(AddLine { line: train() }).then_refused(Refused::NotPlaced);
    }

    #[test]
    fn an_order_is_paid_once_and_in_full() {
        given([placed(&[blue()])]).when(Pay { cents: 2_354 }).then([Paid { cents: 2_354 }]);
        given([placed(&[blue()])])
            .when(Pay { cents: 2_353 })
            .then_refused(Refused::WrongAmount { due: 2_354, offered: 2_353 });
        given(paid()).when(Pay { cents: 2_354 }).then_refused(Refused::PaidBefore);
        given(cancelled()).when(Pay { cents: 2_354 }).then_refused(Refused::NotPayable(State::Cancelled));
        given([]).when(Pay { cents: 0 }).then_refused(Refused::NotPlaced);
        given([placed(&[Line::new("gift", 1, 0)])]).when(Pay { cents: 0 }).then([Paid { cents: 0 }]);
    }

    fn checked_out() -> [OrderEvent; 2] {
        let (card, carrier) = ("visa-1".to_owned(), "post".to_owned());
        [placed(&[blue()]), CheckedOut { card, carrier, lines: vec![blue()], cents: 2_354 }]
    }

    #[test]
    fn an_order_that_is_checked_out_is_final_and_can_be_dispatched() {
        let check_out = |card: &str| CheckOut { card: card.into(), carrier: "post".into() };
        given([placed(&[blue()])]).when(check_out("visa-1")).then([checked_out()[1].clone()]);
        given([placed(&[blue()])]).when(check_out("")).then_refused(Refused::NoCard);
        given(checked_out()).when(check_out("visa-1")).then_refused(Refused::CheckedOut);
        given(checked_out()).when(AddLine { line: train() }).then_refused(Refused::CheckedOut);
        let dispatch = |cents| Dispatch { carrier: "post".into(), cents };
        given(checked_out())
            .when(dispatch(2_354))
            .then([Paid { cents: 2_354 }, Shipped { carrier: "post".into(), parcels: 1 }]);
        given(checked_out()).when(dispatch(1)).then_refused(Refused::WrongAmount { due: 2_354, offered: 1 });
        given([placed(&[blue()])]).when(dispatch(2_354)).then_refused(Refused::NotCheckedOut);
        let called_off = checked_out().into_iter().chain([Cancelled { reason: "lost interest".into() }]);
        given(called_off).when(dispatch(2_354)).then_refused(Refused::NotPayable(State::Cancelled));
    }

    #[test]
    fn an_order_ships_when_it_is_paid() {
        let ship = || Ship { carrier: "ups".into() };
        given(paid()).when(ship()).then([Shipped { carrier: "ups".into(), parcels: 1 }]);
        given([placed(&[blue()])]).when(ship()).then_refused(Refused::Unpaid);
        given(shipped()).when(ship()).then_refused(Refused::ShippedBefore);
        given(cancelled()).when(ship()).then_refused(Refused::NotShippable(State::Cancelled));
        given(paid()).when(Ship { carrier: String::new() }).then_refused(Refused::NoCarrier);
        given([]).when(ship()).then_refused(Refused::NotPlaced);
    }

    #[test]
    fn an_order_is_delivered_after_it_is_shipped_and_hearing_it_twice_is_no_harm() {
        given(shipped()).when(Deliver).then([Delivered]);
        given(shipped().into_iter().chain([Delivered])).when(Deliver).then_nothing();
        given(paid()).when(Deliver).then_refused(Refused::NotShipped(State::Paid));
        given([]).when(Deliver).then_refused(Refused::NotPlaced);
    }

    #[test]
    fn an_order_can_be_cancelled_until_it_is_shipped() {
        let cancel = || Cancel { reason: "lost interest".into() };
        given(paid()).when(cancel()).then([Cancelled { reason: "lost interest".into() }]);
        given([placed(&[blue()])]).when(cancel()).then([Cancelled { reason: "lost interest".into() }]);
        given(shipped()).when(cancel()).then_refused(Refused::NotCancellable(State::Shipped));
        given(cancelled()).when(cancel()).then_nothing();
        given([]).when(cancel()).then_refused(Refused::NotPlaced);
    }

    #[test]
    fn no_more_is_refunded_than_was_paid() {
        let refund = |cents| Refund { cents, reason: "scratched".into() };
        let refunded = |cents| Refunded { cents, reason: "scratched".into() };
        given(cancelled()).when(refund(2_354)).then([refunded(2_354)]);
        given(cancelled().into_iter().chain([refunded(2_000)]))
            .when(refund(355))
            .then_refused(Refused::RefundTooLarge { requested: 355, left: 354 });
        given(cancelled().into_iter().chain([refunded(2_000)]))
            .when(refund(354))
            .then_state(|order| assert_eq!(order.kept_cents(), 0));
        given(shipped().into_iter().chain([Delivered])).when(refund(1)).then([refunded(1)]);
        given(cancelled())
            .when(refund(0))
            .then_refused(Refused::RefundTooLarge { requested: 0, left: 2_354 });
        given(paid()).when(refund(1)).then_refused(Refused::NotRefundable(State::Paid));
        given([]).when(refund(1)).then_refused(Refused::NotPlaced);
    }
}
