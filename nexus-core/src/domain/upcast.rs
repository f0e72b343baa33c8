use std::fmt;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::{DomainEvent, EventKind, Shape};
use crate::vocabulary::RecordedEvent;

/// A shape that events were stored in by earlier code, and what they stand for since.
///
/// Write the old shape down as a struct, say what became of it, and name it where the events are defined: it is then
/// applied wherever they are read, and what is stored stays as it is.
///
/// ```
/// use nexus_core::{DomainEvent, EventKind, RecordedEvent, Upcast};
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize, DomainEvent)]
/// #[event(upcast(PlacedV1, PlacedV2, NoteAdded))]
/// enum OrderEvent {
///     #[event(version = 3)]
///     Placed { customer: String, cents: u64, currency: String },
///     Paid { cents: u64 },
/// }
///
/// /// Amounts were dollars once.
/// #[derive(Deserialize, JsonSchema)]
/// struct PlacedV1 { customer: String, dollars: u64 }
///
/// impl Upcast for PlacedV1 {
///     const KIND: EventKind = EventKind::new("OrderPlaced", 1);
///     type Next = PlacedV2; // one step; the next takes it further
///     fn upcast(self, _: &RecordedEvent) -> impl IntoIterator<Item = PlacedV2> {
///         [PlacedV2 { customer: self.customer, cents: self.dollars * 100, is_paid: false }]
///     }
/// }
///
/// #[derive(Deserialize, JsonSchema)]
/// struct PlacedV2 { customer: String, cents: u64, is_paid: bool }
///
/// impl Upcast for PlacedV2 {
///     const KIND: EventKind = EventKind::new("OrderPlaced", 2);
///     type Next = OrderEvent;
///     fn upcast(self, _: &RecordedEvent) -> impl IntoIterator<Item = OrderEvent> {
///         let PlacedV2 { customer, cents, is_paid } = self;
///         let placed = OrderEvent::Placed { customer, cents, currency: "USD".into() };
///         [placed].into_iter().chain(is_paid.then_some(OrderEvent::Paid { cents })) // one became two
///     }
/// }
///
/// /// Notes are kept elsewhere since.
/// #[derive(Deserialize, JsonSchema)]
/// struct NoteAdded {}
///
/// impl Upcast for NoteAdded {
///     const KIND: EventKind = EventKind::new("OrderNoteAdded", 1);
///     type Next = OrderEvent;
///     fn upcast(self, _: &RecordedEvent) -> impl IntoIterator<Item = OrderEvent> {
///         None // dropped
///     }
/// }
/// ```
///
/// - An upcast is pure: the same stored event always becomes the same events. Where its meaning changes, so does the
///   state that was made of it: raise [`SNAPSHOT_VERSION`](crate::Aggregate::SNAPSHOT_VERSION) and the versions of
///   projections.
/// - A kind is read in one way: two readers of the same name and version do not compile.
/// - A step whose [`Next`](Self::Next) is not listed, too, does not compile.
pub trait Upcast: DeserializeOwned + JsonSchema {
    /// The stored name and version of this shape.
    const KIND: EventKind;

    /// What it becomes: the event type of today, or the next of its former shapes.
    type Next;

    /// What it stands for: one event, several, or none. `stored` is the event as it is stored, for what the content alone
    /// does not say.
    fn upcast(self, stored: &RecordedEvent) -> impl IntoIterator<Item = Self::Next>;
}

/// Leads to an `E` of today, in one step or several. Derived for `E`, and for the shapes that it lists.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no event of `{E}`, nor one of its former shapes",
    note = "list it: `#[event(upcast({Self}))]` on `{E}`"
)]
pub trait UpcastTo<E>: Sized {
    /// Adds what it stands for to `events`.
    fn upcast_to(self, stored: &RecordedEvent, events: &mut Vec<E>);
}

/// A kind of event that is stored, but not made any more, and how it is read.
pub struct FormerKind<E> {
    kind: EventKind,
    read: fn(&RecordedEvent) -> Result<Vec<E>, serde_json::Error>,
    shape: fn() -> Shape,
}

impl<E> FormerKind<E> {
    /// The kind that `U` reads.
    pub const fn of<U: Upcast + UpcastTo<E>>() -> Self {
        Self { kind: U::KIND, read: read::<U, E>, shape: Shape::of::<U> }
    }

    /// Its name and version.
    pub const fn kind(&self) -> &EventKind {
        &self.kind
    }

    /// What its content looks like.
    pub fn shape(&self) -> Shape {
        (self.shape)()
    }

    /// What an event of this kind stands for today.
    pub fn read(&self, event: &RecordedEvent) -> Result<Decoded<E>, serde_json::Error> {
        Ok(Decoded { first: None, rest: (self.read)(event)? })
    }
}

fn read<U: Upcast + UpcastTo<E>, E>(event: &RecordedEvent) -> Result<Vec<E>, serde_json::Error> {
    let mut events = Vec::with_capacity(1);
    event.payload().decode::<U>()?.upcast_to(event, &mut events);
    Ok(events)
}

impl<E> fmt::Debug for FormerKind<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FormerKind").field(&self.kind).finish()
    }
}

/// The events that a stored one stands for: one, or what its [`Upcast`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a stored event may stand for none, one or several"]
pub struct Decoded<E> {
    first: Option<E>,
    rest: Vec<E>,
}

impl<E> Decoded<E> {
    pub(super) fn one(event: E) -> Self {
        Self { first: Some(event), rest: Vec::new() }
    }

    pub(super) fn none() -> Self {
        Self { first: None, rest: Vec::new() }
    }

    /// The events, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.first.iter().chain(&self.rest)
    }
}

impl<E> IntoIterator for Decoded<E> {
    type Item = E;
    type IntoIter = std::iter::Chain<std::option::IntoIter<E>, std::vec::IntoIter<E>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.rest)
    }
}

/// Ends compilation where two readers are given for the same name and version.
pub const fn refuse_two_readers<E: DomainEvent>() {
    let (kinds, former) = (E::KINDS, E::FORMER);
    let mut index = 0;
    while index < former.len() {
        let mut other = 0;
        while other < kinds.len() {
            refuse_same(&former[index].kind, &kinds[other]);
            other += 1;
        }
        other = index + 1;
        while other < former.len() {
            refuse_same(&former[index].kind, &former[other].kind);
            other += 1;
        }
        index += 1;
    }
}

const fn refuse_same(one: &EventKind, other: &EventKind) {
    let is_same = one.version().get() == other.version().get() && is_equal(one.name(), other.name());
    assert!(!is_same, "an upcast reads a name and version that is read by something else, too");
}

const fn is_equal(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    let mut index = 0;
    while index < one.len() {
        if one[index] != other[index] {
            return false;
        }
        index += 1;
    }
    true
}
