"""Settings of the server: the table, where values come from, and how they are parsed."""
