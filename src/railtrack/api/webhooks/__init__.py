"""Webhooks: managing and testing them. Delivery is in railtrack/webhooks/."""
