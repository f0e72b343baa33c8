use nexus_core::CloudEvents;

use crate::recorded::look_at;

/// What comes by a bus: an event that is read is encoded so that it is read as the same.
pub fn cloud_events(bytes: &[u8]) {
    let Ok(events) = CloudEvents::decode(bytes) else { return };
    let form = CloudEvents::from_source("/fuzz").expect("a source");
    for event in &events {
        look_at(event);
        // What another program wrote may be more than we write; what we write comes back.
        if let Ok(text) = form.encode(event) {
            let again = CloudEvents::decode(text.as_bytes()).expect("what was encoded is decoded");
            assert_eq!(std::slice::from_ref(event), again.as_slice());
        }
    }
}
