use std::fmt::{Debug, Display};
use std::str::FromStr;

use nexus_core::{
    CommandId, CorrelationId, EventId, PathName, ProjectionName, SagaId, SagaName, StreamId, Tag, TimerName,
    Timestamp,
};
use nexus_governance::{CompatibilityMode, SchemaId, SemanticVersion};
use nexus_sns::{QueueUrl, TopicArn};
use order::address::Address;
use order::bus::BusAddress;

/// Names and addresses: what is read is written so that it is read as the same again.
pub fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    comes_back::<StreamId>(text);
    comes_back::<Tag>(text);
    comes_back::<EventId>(text);
    comes_back::<CommandId>(text);
    comes_back::<CorrelationId>(text);
    comes_back::<ProjectionName>(text);
    comes_back::<PathName>(text);
    comes_back::<SagaName>(text);
    comes_back::<SagaId>(text);
    comes_back::<TimerName>(text);
    comes_back::<Timestamp>(text);
    comes_back::<SchemaId>(text);
    comes_back::<SemanticVersion>(text);
    comes_back::<CompatibilityMode>(text);
    comes_back::<TopicArn>(text);
    comes_back::<QueueUrl>(text);
    is_told(text.parse::<Address>().map(drop));
    is_told(text.parse::<BusAddress>().map(drop));
}

fn comes_back<T: FromStr + Display + Debug + PartialEq>(text: &str)
where
    T::Err: Display,
{
    match text.parse::<T>() {
        Ok(read) => {
            let again = read.to_string().parse::<T>();
            assert!(again.as_ref().is_ok_and(|again| *again == read), "{text:?} became {read:?}");
        }
        error => is_told(error.map(drop)),
    }
}

/// What is wrong is said.
fn is_told<E: Display>(read: Result<(), E>) {
    assert!(read.err().is_none_or(|error| !error.to_string().is_empty()));
}
