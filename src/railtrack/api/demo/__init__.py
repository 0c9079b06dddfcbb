"""The demo that the web interface's home page offers."""
