"""Login by an OpenID Connect provider: authorization code flow with PKCE. The pages are in api/account/oidc.py."""
