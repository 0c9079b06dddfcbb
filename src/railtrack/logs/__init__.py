"""The format of log lines, redaction of secrets, and throttling of repeated messages."""
