"""HTTP requests that the server sends: the client, and protection against server-side request forgery."""
