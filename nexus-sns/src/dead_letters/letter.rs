use std::collections::HashMap;
use std::error::Error;

use aws_sdk_sqs::types::MessageAttributeValue;
use nexus_core::{BoxError, Clock, EventId, InvalidCloudEvent, RecordedEvent, SystemClock, Timestamp};

use crate::client::Client;
use crate::message;
use crate::queue::Received;
use crate::setup::QueueUrl;

/// The attributes of a dead letter, beside those that its message has.
const CLASS: &str = "errorclass";
const ERROR: &str = "error";
const TRIES: &str = "tries";
const FAILED_AT: &str = "failedat";
const OWN: [&str; 4] = [CLASS, ERROR, TRIES, FAILED_AT];

/// The class of what SQS itself has taken to the dead-letter queue.
const ABANDONED: &str = "abandoned";

/// So much of an error is kept, in bytes.
const ERROR_BYTES: usize = 1_024;

/// So many attributes a message may have; what it may have with all of them; and what is kept back for those that are no error.
const ATTRIBUTES: usize = 10;
const BYTES: usize = 256 * 1_024;
const RESERVE: usize = 512;

/// Why a message is a dead letter.
#[derive(Clone, Copy)]
pub(crate) struct Cause<'cause> {
    pub(crate) class: &'cause str,
    pub(crate) error: &'cause (dyn Error + Send + Sync + 'static),
    pub(crate) tries: u32,
}

/// A dead letter: a message that nobody could see to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeadMessage {
    /// The message's id in the dead-letter queue.
    pub id: String,
    /// What kind of error it was: as the handler has said, `unreadable` for what is no event, `panic`; `abandoned` where SQS itself has taken the message there,
    /// since those who had it died, or let it go, again and again.
    pub class: String,
    /// What the last try said, in up to 1,024 bytes.
    pub error: Option<String>,
    /// How often it was tried, where that is known.
    pub tries: Option<u32>,
    /// When it failed last, where that is known.
    pub failed_at: Option<Timestamp>,
    /// What the message has, as it came.
    pub body: String,
    pub(super) attributes: HashMap<String, MessageAttributeValue>,
    pub(super) group: Option<String>,
}

impl DeadMessage {
    /// The events of the message, of which there is one as [`SnsPublisher`](crate::SnsPublisher) publishes.
    ///
    /// # Errors
    /// It has none.
    pub fn events(&self) -> Result<Vec<RecordedEvent>, InvalidCloudEvent> {
        message::read(&self.body)
    }

    pub(super) fn of(received: &Received) -> Self {
        let mut attributes = received.attributes.clone();
        let mut own = |name: &str| attributes.remove(name).and_then(|value| value.string_value);
        let (class, error) = (own(CLASS), own(ERROR));
        let tries = own(TRIES).and_then(|tries| tries.parse().ok());
        let failed_at = own(FAILED_AT).and_then(|time| time.parse().ok());
        Self {
            id: received.id.clone(),
            class: class.unwrap_or_else(|| ABANDONED.to_owned()),
            error,
            tries,
            failed_at,
            body: received.body.clone(),
            attributes,
            group: received.group.clone(),
        }
    }
}

/// Which dead letters are meant: all, unless told otherwise; what is told must all be so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadMessages {
    class: Option<String>,
    event: Option<EventId>,
    message: Option<String>,
}

impl DeadMessages {
    /// All.
    pub fn all() -> Self {
        Self::default()
    }

    /// Those of a class: see [`DeadMessage::class`].
    #[must_use]
    pub fn of_class(self, class: impl Into<String>) -> Self {
        Self { class: Some(class.into()), ..self }
    }

    /// That of an event.
    #[must_use]
    pub fn of_event(self, event: EventId) -> Self {
        Self { event: Some(event), ..self }
    }

    /// That with this [`id`](DeadMessage::id).
    #[must_use]
    pub fn of_message(self, id: impl Into<String>) -> Self {
        Self { message: Some(id.into()), ..self }
    }

    pub(super) fn has(&self, letter: &DeadMessage) -> bool {
        let of =
            |event: EventId| letter.events().is_ok_and(|events| events.iter().any(|one| one.id() == event));
        self.class.as_ref().is_none_or(|class| *class == letter.class)
            && self.message.as_ref().is_none_or(|id| *id == letter.id)
            && self.event.is_none_or(of)
    }
}

/// Sends a message to the dead-letter queue, with why it is there.
pub(crate) async fn bury(
    client: &Client,
    dead: &QueueUrl,
    received: &Received,
    cause: Cause<'_>,
) -> Result<(), BoxError> {
    let mut attributes = received.attributes.clone();
    // One that was retried has those of its last death.
    attributes.retain(|name, _| !OWN.contains(&name.as_str()));
    let size = |(name, value): (&String, &MessageAttributeValue)| {
        name.len() + value.data_type.len() + value.string_value.as_ref().map_or(0, String::len)
    };
    let taken = received.body.len() + attributes.iter().map(size).sum::<usize>();
    let mut room = BYTES.saturating_sub(taken);
    let error = told(cause.error, room.saturating_sub(RESERVE).min(ERROR_BYTES));
    let own = [
        (CLASS, "String", cause.class.to_owned()),
        (TRIES, "Number", cause.tries.to_string()),
        (FAILED_AT, "String", SystemClock.now().to_string()),
        (ERROR, "String", error),
    ];
    // A message that has as much as it may is kept without.
    for (name, kind, value) in own.into_iter().filter(|(.., value)| !value.is_empty()) {
        let size = name.len() + kind.len() + value.len();
        if attributes.len() >= ATTRIBUTES || size > room {
            break;
        }
        room -= size;
        let value = MessageAttributeValue::builder().data_type(kind).string_value(value).build()?;
        attributes.insert(name.to_owned(), value);
    }
    let sending = format!("dead-{}", received.id);
    send(client, dead, &received.body, attributes, received.group.as_deref(), &sending).await
}

/// Sends a message; `sending` is what a FIFO queue knows it again by.
pub(super) async fn send(
    client: &Client,
    queue: &QueueUrl,
    body: &str,
    attributes: HashMap<String, MessageAttributeValue>,
    group: Option<&str>,
    sending: &str,
) -> Result<(), BoxError> {
    let send = client.sqs.send_message().queue_url(queue.as_str()).message_body(body);
    let mut send = send.set_message_attributes(Some(attributes));
    if queue.is_fifo() {
        send = send.message_group_id(group.unwrap_or(sending)).message_deduplication_id(sending);
    }
    send.send().await.map(drop).map_err(|error| nexus_aws::told("SQS", error))
}

/// An error with its causes, as far as there is room, in characters that a message can hold.
fn told(error: &(dyn Error + 'static), room: usize) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    let mut told = String::new();
    for char in text.chars() {
        let char = match char {
            '\t' | '\n' | '\r' => char,
            '\u{fffe}' | '\u{ffff}' => char::REPLACEMENT_CHARACTER,
            char if char.is_control() => char::REPLACEMENT_CHARACTER,
            char => char,
        };
        if told.len() + char.len_utf8() > room {
            break;
        }
        told.push(char);
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_with_its_causes_as_far_as_there_is_room() {
        #[derive(Debug, thiserror::Error)]
        #[error("no mail")]
        struct NoMail(#[source] std::io::Error);
        let error = NoMail(std::io::Error::other("refused\u{0}é"));
        assert_eq!(told(&error, 100), "no mail: refused\u{fffd}é");
        assert_eq!(told(&error, 20), "no mail: refused\u{fffd}");
        assert_eq!(told(&error, 0), "");
    }
}
