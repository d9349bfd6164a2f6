//! Spans in the JSON encoding of OTLP 1 (`opentelemetry-proto`, `ExportTraceServiceRequest`): identifiers in
//! hexadecimal digits, 64-bit numbers as text.

use serde_json::{Value, json};

use super::span::{RequestTrace, SpanAttribute, TraceSpan};

/// `STATUS_CODE_ERROR`
const STATUS_ERROR: u32 = 2;

/// The body of a POST with these traces. `instance` tells this flow from others.
pub fn export_request(traces: &[RequestTrace], instance: &str) -> Vec<u8> {
    let spans: Vec<Value> =
        traces.iter().flat_map(|trace| trace.spans.iter().map(|span| span_json(trace, span))).collect();
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let resource = [
        text("service.name", "flow"),
        text("service.version", env!("CARGO_PKG_VERSION")),
        text("service.instance.id", instance),
    ];
    let scope = json!({"name": "flow", "version": env!("CARGO_PKG_VERSION")});
    let scopes = json!([{"scope": scope, "spans": spans}]);
    let body = json!({"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": scopes}]});
    body.to_string().into_bytes()
}

fn span_json(trace: &RequestTrace, span: &TraceSpan) -> Value {
    let attributes: Vec<Value> =
        span.attributes.iter().map(|(key, value)| json!({"key": key, "value": value_json(value)})).collect();
    let mut json = json!({
        "traceId": digits(&trace.id),
        "spanId": digits(&span.id),
        "name": span.name,
        "kind": span.kind as u32,
        "startTimeUnixNano": span.start_ns.to_string(),
        "endTimeUnixNano": span.end_ns.to_string(),
        "attributes": attributes,
    });
    if let Some(parent) = &span.parent {
        json["parentSpanId"] = digits(parent).into();
    }
    if let Some(error) = &span.error {
        json["status"] = json!({"code": STATUS_ERROR, "message": error});
    }
    json
}

fn value_json(value: &SpanAttribute) -> Value {
    match value {
        SpanAttribute::Text(text) => json!({"stringValue": text}),
        SpanAttribute::Number(number) => json!({"intValue": number.to_string()}),
    }
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
