use std::num::NonZeroU32;
use std::sync::OnceLock;

use nexus_core::{
    Actor, AppendBatch, ContinuationToken, EventId, EventStore, EventType, EventsRequest, ExpectedVersion,
    History, HistoryKey, HistoryLimits, MemoryStore, NewEvent, Payload, Repository, RoleAccess, Timestamp,
};

use crate::wait_for;

type Asked = (History<MemoryStore>, String);

/// A continuation token, as a client sends it: any text; or, where the first byte is odd, one that was given, changed as the other bytes say. None
/// but the one that was given is accepted.
pub fn history_tokens(bytes: &[u8]) {
    static ASKED: OnceLock<Asked> = OnceLock::new();
    let (history, given) = ASKED.get_or_init(|| wait_for(asked()));
    let Some((first, rest)) = bytes.split_first() else { return };
    let text = if first % 2 == 1 {
        let mut token = given.clone().into_bytes();
        for change in rest.chunks_exact(3) {
            let place = usize::from(u16::from_le_bytes([change[0], change[1]])) % token.len();
            token[place] ^= change[2] & 0x7f;
        }
        String::from_utf8(token).expect("still ASCII")
    } else {
        String::from_utf8_lossy(rest).into_owned()
    };
    let token: ContinuationToken = text.parse().expect("any text");
    let answer = wait_for(history.events(&client(), request().go_on(token)));
    assert_eq!(answer.is_ok(), text == *given, "{text}");
}

fn client() -> Actor {
    Actor::new("ada").role("auditor")
}

fn request() -> EventsRequest {
    EventsRequest::between(Timestamp::UNIX_EPOCH, "1970-01-02T00:00:00Z".parse().expect("a time"))
}

async fn asked() -> Asked {
    let store = MemoryStore::with_clock(nexus_core::ManualClock::at(Timestamp::UNIX_EPOCH));
    let events = (1..=5).map(|number| {
        let payload = Payload::from_json("{}").expect("JSON");
        NewEvent::new(EventId::from_bytes([number; 16]), EventType::new("Any").expect("a type"), payload)
    });
    let batch =
        AppendBatch::new("probe-1".parse().expect("a stream"), ExpectedVersion::Any, events.collect());
    let _ = store.append(batch.expect("a batch")).await.expect("stored");
    let access = RoleAccess::default().everything("auditor");
    let limits = HistoryLimits::default().events(2).per_minute(NonZeroU32::MAX);
    let history = History::new(Repository::new(store), access, HistoryKey::new([7; 32])).with_limits(limits);
    let answer = history.events(&client(), request()).await.expect("an answer");
    let token = answer.continuation.expect("there is more").token;
    (history, token.as_str().to_owned())
}
