use nexus_core::{
    Aggregate, AppendBatch, DomainEvent, EventId, EventStore, Every, ExpectedVersion, MemorySnapshots,
    MemoryStore, Metadata, Payload, Repository, Snapshot, SnapshotState, SnapshotStore, Snapshots,
    StreamVersion, Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::wait_for;

#[derive(Serialize, Deserialize, DomainEvent)]
enum MeterEvent {
    Read { units: u64 },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Meter {
    units: u64,
    readings: Vec<u64>,
}

impl Aggregate for Meter {
    const CATEGORY: &'static str = "meter";
    type Id = u32;
    type Event = MeterEvent;

    fn apply(&mut self, MeterEvent::Read { units }: &MeterEvent) {
        self.units = self.units.saturating_add(*units);
        self.readings.push(*units);
    }
}

/// A stored snapshot, whatever it has: the first byte says of which version it claims to be. A load answers all the same: what cannot be read is folded
/// from the events.
pub fn snapshots(bytes: &[u8]) {
    let Some((claimed, state)) = bytes.split_first() else { return };
    let claimed = StreamVersion::try_from(u64::from(*claimed % 8) + 1).expect("not zero");
    wait_for(async {
        let store = MemoryStore::new();
        let stream = Meter::stream(&1).expect("a stream");
        let event = |number: u8| {
            let id = EventId::from_bytes([number; 16]);
            MeterEvent::Read { units: 5 }.to_new(id, &Metadata::default()).expect("an event")
        };
        let batch = AppendBatch::new(stream.clone(), ExpectedVersion::NoStream, (1..=4).map(event).collect());
        let _ = store.append(batch.expect("a batch")).await.expect("stored");
        let kept = MemorySnapshots::new();
        let snapshot = Snapshot {
            stream: stream.clone(),
            shape: Meter::state_shape().expect("a shape"),
            version: claimed,
            event: EventId::from_bytes([u8::try_from(claimed.get()).expect("small"); 16]),
            recorded_at: Timestamp::UNIX_EPOCH,
            taken_at: Timestamp::now(),
            state: Payload::from_checked(state.to_vec()),
        };
        kept.save(snapshot).await.expect("kept");
        let snapshots = Snapshots::new(kept).of::<Meter>(Every::default()).expect("a shape");
        let meters = Repository::new(store).with_snapshots(snapshots);
        let loaded = meters.load::<Meter>(&1).await.expect("folded from the events");
        assert_eq!(loaded.version.map(StreamVersion::get), Some(4));
        if serde_json::from_slice::<Meter>(state).is_err() {
            assert_eq!(loaded.state, Meter { units: 20, readings: vec![5; 4] });
        }
    });
}
