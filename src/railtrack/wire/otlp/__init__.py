"""OpenTelemetry's trace export over HTTP (OTLP): its message, from protobuf or JSON. No MLflow rules, no database.

docs/adr/0020-otlp.md has the reasons for a custom decoder.
"""
