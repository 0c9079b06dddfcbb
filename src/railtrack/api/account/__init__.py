"""The login page, and the page where users manage their password, tokens and sessions."""
