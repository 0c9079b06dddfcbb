"""The audit log as JSON. Its page is in account/, what is recorded in auth/audit.py."""
