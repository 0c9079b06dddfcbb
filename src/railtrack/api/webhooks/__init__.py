"""Webhooks: who wants to be told of which changes in the registry. How they are told is in railtrack/webhooks/."""
