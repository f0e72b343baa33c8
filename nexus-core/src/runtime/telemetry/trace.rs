//! Carries a trace from command to event to read model, as the W3C Trace Context headers say it.

use tracing::Span;

use crate::vocabulary::TraceContext;

/// The trace that the current span is part of.
#[cfg(feature = "opentelemetry")]
pub(crate) fn current_trace() -> Option<TraceContext> {
    use opentelemetry::trace::TraceContextExt;
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    let context = Span::current().context();
    let span = context.span();
    let known = span.span_context();
    if !known.is_valid() {
        return None;
    }
    let (trace, id, flags) = (known.trace_id(), known.span_id(), known.trace_flags());
    let state = known.trace_state().header();
    Some(TraceContext {
        parent: format!("00-{trace:032x}-{id:016x}-{:02x}", flags.to_u8()),
        state: (!state.is_empty()).then_some(state),
    })
}

/// Makes `span` part of the trace.
#[cfg(feature = "opentelemetry")]
pub(crate) fn continue_trace(span: &Span, trace: &TraceContext) {
    use opentelemetry::trace::TraceContextExt;
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    if let Some(remote) = remote(trace) {
        // A subscriber without OpenTelemetry has no place for it.
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(remote));
    }
}

#[cfg(feature = "opentelemetry")]
fn remote(trace: &TraceContext) -> Option<opentelemetry::trace::SpanContext> {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

    let mut parts = trace.parent.split('-');
    let (version, id, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if version.len() != 2 || version == "ff" || id.len() != 32 || parent.len() != 16 || flags.len() != 2 {
        return None;
    }
    let state = trace.state.as_deref().and_then(|state| state.parse::<TraceState>().ok());
    let context = SpanContext::new(
        TraceId::from_hex(id).ok()?,
        SpanId::from_hex(parent).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        state.unwrap_or_default(),
    );
    context.is_valid().then_some(context)
}

#[cfg(not(feature = "opentelemetry"))]
pub(crate) fn current_trace() -> Option<TraceContext> {
    None
}

#[cfg(not(feature = "opentelemetry"))]
pub(crate) fn continue_trace(_: &Span, _: &TraceContext) {}
