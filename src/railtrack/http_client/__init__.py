"""Requests that the server itself sends: an HTTP client, and where users may send it. No resource is named in here."""
