use super::{MAX_CENTS, MAX_LINES, MAX_UNITS, Sku, State};

/// Why the shop says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("there is no such order")]
    NotPlaced,
    #[error("the order was placed before")]
    PlacedBefore,
    #[error("an order needs a customer")]
    NoCustomer,
    #[error("an order needs at least one line")]
    NoLines,
    #[error("an order has {MAX_LINES} lines at most")]
    TooManyLines,
    #[error("{sku} has {units} units: a line takes 1 to {MAX_UNITS}")]
    Units { sku: Sku, units: u32 },
    #[error("{sku} costs {cents} cents: a line costs {MAX_CENTS} at most")]
    Price { sku: Sku, cents: u64 },
    #[error("{0} is on the order already: remove its line first")]
    LineExists(Sku),
    #[error("{0} is not on the order")]
    NoSuchLine(Sku),
    #[error("the lines of an order that is {} cannot be changed any more", .0.word())]
    Closed(State),
    #[error("the order costs {due} cents, not {offered}")]
    WrongAmount { due: u64, offered: u64 },
    #[error("the order is paid already")]
    PaidBefore,
    #[error("an order that is {} cannot be paid", .0.word())]
    NotPayable(State),
    #[error("the order was checked out: its lines are final")]
    CheckedOut,
    #[error("the order was not checked out")]
    NotCheckedOut,
    #[error("a payment needs a card")]
    NoCard,
    #[error("the order is not paid: it ships when it is")]
    Unpaid,
    #[error("the order is shipped already")]
    ShippedBefore,
    #[error("a parcel needs a carrier")]
    NoCarrier,
    #[error("an order that is {} cannot be shipped", .0.word())]
    NotShippable(State),
    #[error("an order that is {} cannot be delivered: it has to be shipped first", .0.word())]
    NotShipped(State),
    #[error("an order that is {} cannot be cancelled", .0.word())]
    NotCancellable(State),
    #[error("an order that is {} is not refunded: cancel it first, or wait until it is delivered", .0.word())]
    NotRefundable(State),
    #[error("{requested} cents cannot be refunded: of what was paid, {left} cents are left")]
    RefundTooLarge { requested: u64, left: u64 },
}
