"""Webhooks: the events of the registry, their outbox, and delivery with signature and retries.

The endpoints that manage webhooks are in api/webhooks/.
"""
