"""Webhooks: which events there are, what is kept for delivery, how it is signed, sent and sent again.

The endpoints that manage webhooks are in api/webhooks/, the registry's announcements in api/registry/.
"""
