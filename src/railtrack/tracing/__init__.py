"""Spans of traces between OpenTelemetry's messages and MLflow's stored form: translation, sums, previews. Pure.

The endpoints are in api/traces/, the decoding of exports is in wire/otlp/.
"""
