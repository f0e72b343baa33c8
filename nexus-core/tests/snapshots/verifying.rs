use nexus_core::{
    Aggregate, CommandContext, CommandHandler, MemorySnapshots, MemoryStore, Repository, SnapshotState,
    SnapshotStore, Snapshots,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::support::{LampEvent, NotAtAll, Switch, every};

/// Keeps something that serde skips.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Forgetful {
    times: u64,
    #[serde(skip)]
    most: u64,
}

impl Aggregate for Forgetful {
    const CATEGORY: &'static str = "lamp";
    type Id = u32;
    type Event = LampEvent;

    fn apply(&mut self, LampEvent::Switched { times }: &LampEvent) {
        self.times += times;
        self.most = self.most.max(*times);
    }
}

impl CommandHandler<Switch> for Forgetful {
    type Rejection = NotAtAll;

    fn handle(&self, Switch(times): &Switch, _: &CommandContext) -> Result<Vec<LampEvent>, NotAtAll> {
        Ok(vec![LampEvent::Switched { times: *times }])
    }
}

#[tokio::test]
async fn a_field_that_is_not_written_is_found_out() {
    let (kept, store) = (MemorySnapshots::new(), MemoryStore::new());
    let snapshots = Snapshots::new(kept.clone()).beyond(0).verify(1);
    let snapshots = snapshots.of::<Forgetful>(every(2)).expect("valid");
    let lamps = Repository::new(store).with_snapshots(snapshots);
    for times in [9, 1] {
        lamps.execute::<Forgetful, _>(&1, Switch(times)).await.expect("stored");
    }
    lamps.snapshots().expect("some").settle().await;
    assert_eq!(kept.totals().await.expect("counted").count, 1);
    assert_eq!(lamps.load::<Forgetful>(&1).await.expect("loaded").state.most, 0, "this is what is wrong");
    lamps.snapshots().expect("some").settle().await;
    assert_eq!(kept.totals().await.expect("counted").count, 0, "the snapshot was not dropped");
    assert_eq!(lamps.load::<Forgetful>(&1).await.expect("loaded").state.most, 9);
}

#[tokio::test]
async fn one_in_so_many_uses_is_compared() {
    for (one_in, left) in [(0, true), (3, false)] {
        let (kept, store) = (MemorySnapshots::new(), MemoryStore::new());
        let snapshots = Snapshots::new(kept.clone()).beyond(0).verify(one_in);
        let lamps =
            Repository::new(store).with_snapshots(snapshots.of::<Forgetful>(every(1)).expect("valid"));
        // The first use of all is compared, then each third: these are uses 1 and 2, the fourth is the next.
        for id in [1, 2] {
            lamps.execute::<Forgetful, _>(&id, Switch(9)).await.expect("stored");
            lamps.snapshots().expect("some").settle().await;
            lamps.load::<Forgetful>(&id).await.expect("loaded");
            lamps.snapshots().expect("some").settle().await;
        }
        let shape = Forgetful::state_shape().expect("valid");
        let found = async |id: u32| {
            kept.load(&Forgetful::stream(&id).expect("valid"), &shape).await.expect("read").is_some()
        };
        assert_eq!((found(1).await, found(2).await), (left, true), "one in {one_in}");
    }
}
