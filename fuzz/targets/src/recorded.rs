use nexus_core::RecordedEvent;

/// All that can be asked of an event that was read.
pub(crate) fn look_at(event: &RecordedEvent) {
    let parts = format!("{event:?} {} {:?}", event.stream(), event.position());
    assert!(!parts.is_empty());
    let _ = event.id().time();
    let _ = event.payload().decode::<serde_json::Value>();
    let _ = event.metadata().correlation();
    let _ = event.tags().len();
    // As it is written into dead letters and parked events.
    if let Ok(written) = serde_json::to_string(event) {
        let read: RecordedEvent = serde_json::from_str(&written).expect("what was written is read");
        // Where it lies among slices follows from its stream.
        assert_eq!(read.slice(), event.stream().slice());
        assert_eq!(
            (read.as_new(), read.stream(), read.version()),
            (event.as_new(), event.stream(), event.version())
        );
    }
}
