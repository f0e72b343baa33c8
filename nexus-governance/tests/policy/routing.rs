//! Policies that choose the path of what is published.

use std::time::Duration;

use futures::StreamExt;
use nexus_core::{
    AppendBatch, EventFeed, EventId, EventRouter, EventStore, EventType, ExpectedVersion, FeedItem, LogBus,
    MemoryProjections, MemoryStore, NewEvent, PathName, Payload, ProjectionName, Projections, Query, Relay,
    RetrySchedule, Routes,
};
use nexus_governance::{PolicyBundle, PolicyEngine, PolicyRouter};

const POLICY: &str = r#"package nexus.publish
deny contains {"message": "nobody may hear of it", "remedy": "say it aloud"} if input.event.type == "Whispered"
obligations["path"] := "fast" if input.payload.cents > 1000
obligations["path"] := 7 if input.event.type == "Numbered"
obligations["path"] := "Not a path" if input.event.type == "Misnamed"
"#;

fn path(name: &str) -> PathName {
    PathName::new(name).unwrap()
}

fn router() -> PolicyRouter {
    let policies = PolicyEngine::new(PolicyBundle::default().with("publish.rego", POLICY)).unwrap();
    PolicyRouter::new(policies, Routes::otherwise(path("cheap")))
}

fn event(number: u8, name: &str, payload: &str) -> NewEvent {
    let payload = Payload::from_json(payload.to_owned()).unwrap();
    NewEvent::new(EventId::from_bytes([number; 16]), EventType::new(name).unwrap(), payload)
}

async fn append(log: &MemoryStore, stream: &str, events: Vec<NewEvent>) {
    let batch = AppendBatch::new(stream.parse().unwrap(), ExpectedVersion::Any, events).unwrap();
    let _ = log.append(batch).await.unwrap();
}

/// The types of the next events that a bus delivers.
async fn types(bus: &LogBus<MemoryStore>, count: usize) -> Vec<String> {
    let (mut subscription, mut types) = (bus.feed(Query::all()).subscribe(None), Vec::new());
    while types.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(20), subscription.next()).await.unwrap();
        if let FeedItem::Event(delivery) = next.unwrap().unwrap() {
            types.push(delivery.event().event_type().to_string());
        }
    }
    types
}

#[tokio::test]
async fn a_policy_chooses_the_path_and_what_it_denies_waits() {
    let (log, notes) = (MemoryStore::new(), MemoryProjections::new());
    let bus = || LogBus::new(MemoryStore::new(), "/test").unwrap();
    let (fast, cheap) = (bus(), bus());
    let pause = Duration::from_millis(5);
    assert_eq!(router().paths(), None);
    let relay = Relay::new("policies", log.clone(), router(), notes.clone())
        .path(path("fast"), fast.clone())
        .path(path("cheap"), cheap.clone())
        .retry(RetrySchedule::default().tries(1).pauses(pause, pause))
        .start()
        .await
        .unwrap();
    append(&log, "a-1", vec![event(1, "Paid", r#"{"cents":1001}"#), event(2, "Paid", r#"{"cents":7}"#)])
        .await;
    append(&log, "b-1", vec![event(3, "Whispered", "{}"), event(4, "Behind", "{}")]).await;
    append(&log, "c-1", vec![event(5, "Numbered", "{}")]).await;
    append(&log, "d-1", vec![event(6, "Misnamed", "{}")]).await;
    append(&log, "e-1", vec![event(7, "Never heard of", "[]")]).await;
    assert_eq!(types(&fast, 1).await, ["Paid"]);
    assert_eq!(types(&cheap, 2).await, ["Paid", "Never heard of"]);
    let (all, name) = (Projections::new(log.clone(), notes), ProjectionName::new("relay-policies").unwrap());
    let letters = all.dead_letters(&name, None, 10).await.unwrap();
    let told: Vec<String> = letters.into_iter().map(|letter| letter.error.unwrap_or_default()).collect();
    for (told, expected) in
        told.iter().zip(["say it aloud", "", "the obligation \"path\"", "cannot name a path"])
    {
        assert!(told.contains(expected) && told.is_empty() == expected.is_empty(), "{told}");
    }
    assert_eq!(told.len(), 4, "{told:?}");
    relay.stop().await.unwrap();
}
