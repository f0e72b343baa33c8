//! The words everything else is said in: plain values, checked where they enter.

mod batch;
mod clock;
mod commit;
mod error;
mod event;
mod expected;
mod id;
mod metadata;
mod ordinal;
mod payload;
mod query;
mod read;
mod slice;
mod stream;
mod tag;

pub use batch::{AppendBatch, AppendCondition, StreamAppend};
pub use clock::{Clock, IdSource, ManualClock, RandomIds, SequentialIds, SystemClock};
pub use commit::{Appended, Commit, CommittedStream};
pub use error::{BoxError, Conflict, InvalidAppend, Remedy, StoreError};
pub use event::{EventParts, EventType, InvalidEventType, NewEvent, RecordedEvent, SchemaVersion};
pub use expected::ExpectedVersion;
pub use id::{CommandId, CorrelationId, EventId, InvalidId};
pub use jiff::Timestamp;
pub use metadata::{Metadata, TraceContext};
pub use ordinal::{OutOfRange, Position, StreamVersion};
pub use payload::{InvalidPayload, Payload};
pub use query::{Query, QueryItem};
pub use read::{Direction, Place, ReadOptions};
pub use slice::Slice;
pub use stream::{Category, InvalidStreamId, StreamId};
pub use tag::{InvalidTag, Tag};
