"""The settings of logins by another system: an OpenID Connect provider, or a proxy that logs users in.

The login by password: settings.py. Combinations: checks/logins.py.
"""

from dataclasses import dataclass

from railtrack.config import parsers
from railtrack.config.lookup import setting


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """Login by an OpenID Connect provider, enabled by an issuer."""

    issuer: str = setting(
        "RAILTRACK_OIDC_ISSUER",
        parse=parsers.issuer,
        default="",
        help="URL of the OpenID Connect provider that logs users in, such as `https://accounts.google.com` "
        "([access](access.md#single-sign-on)). Its discovery document is below it.",
    )
    client_id: str = setting(
        "RAILTRACK_OIDC_CLIENT_ID",
        parse=parsers.text,
        default="",
        help="Id of this server at the provider.",
    )
    client_secret: str = setting(
        "RAILTRACK_OIDC_CLIENT_SECRET",
        parse=parsers.text,
        default="",
        help="Secret of this server at the provider. Without it, the server is a public client, which PKCE alone "
        "protects.",
        secret=True,
    )
    redirect_uri: str = setting(
        "RAILTRACK_OIDC_REDIRECT_URI",
        parse=parsers.redirect_uri,
        default="",
        help="URL to which the provider returns the browser, as registered there: the public URL of the server and "
        "`/login/oidc/callback`. Default: from the `Host` and the scheme that the browser uses.",
    )
    scopes: str = setting(
        "RAILTRACK_OIDC_SCOPES",
        parse=parsers.scopes,
        default="openid email profile",
        help="Scopes to request, separated by blanks. Some providers send groups only with a further one.",
    )
    label: str = setting(
        "RAILTRACK_OIDC_LABEL",
        parse=parsers.label,
        default="Log in with single sign-on",
        help="Text of the button on the login page.",
    )
    username_claim: str = setting(
        "RAILTRACK_OIDC_USERNAME_CLAIM",
        parse=parsers.claim,
        default="email",
        help="Claim that names a new user, such as `email`, which the provider must have verified, or "
        "`preferred_username`.",
    )
    creates_users: bool = setting(
        "RAILTRACK_OIDC_CREATE_USERS",
        parse=parsers.on_off,
        default="on",
        help="Whether the first login of somebody creates a user. With `off`, an administrator connects users by "
        "`railtrack users link`.",
    )
    allowed_domains: tuple[str, ...] = setting(
        "RAILTRACK_OIDC_ALLOWED_DOMAINS",
        parse=parsers.domains,
        default="",
        help="Domains of e-mail addresses that may log in, separated by commas. The address must be verified; at "
        "Google, the organization counts. Default: everyone whom the provider logs in.",
    )
    allowed_groups: tuple[str, ...] = setting(
        "RAILTRACK_OIDC_ALLOWED_GROUPS",
        parse=parsers.names,
        default="",
        help="Groups of which a user needs one to log in, separated by commas.",
    )
    groups_claim: str = setting(
        "RAILTRACK_OIDC_GROUPS_CLAIM",
        parse=parsers.claim,
        default="groups",
        help="Claim with the user's groups. Dots lead into objects: `realm_access.roles`.",
    )
    admin_groups: tuple[str, ...] = setting(
        "RAILTRACK_OIDC_ADMIN_GROUPS",
        parse=parsers.names,
        default="",
        help="Groups whose members administer the server, separated by commas. If set, each login makes the user an "
        "administrator or not.",
    )
    group_roles: tuple[tuple[str, str], ...] = setting(
        "RAILTRACK_OIDC_GROUP_ROLES",
        parse=parsers.group_roles,
        default="",
        help="Roles of the members of groups: `ml-team=trainer,auditors=reader`. Each login assigns these roles, and "
        "takes those away whose groups the user is not in.",
    )
    logs_out: bool = setting(
        "RAILTRACK_OIDC_LOGOUT",
        parse=parsers.on_off,
        default="on",
        help="Whether the logout on the account page ends the session at the provider, too, if it offers that.",
    )

    @property
    def is_enabled(self) -> bool:
        return bool(self.issuer)


@dataclass(frozen=True, slots=True)
class TrustedHeaderSettings:
    """Login by a proxy that sends the user's name in a header, enabled by the header's name."""

    name: str = setting(
        "RAILTRACK_AUTH_HEADER",
        parse=parsers.user_header,
        default="",
        help="Header in which a proxy sends the name of the user that it has logged in, such as `X-Forwarded-User` "
        "([access](access.md#login-by-a-proxy)).",
    )
    proxies: tuple[str, ...] = setting(
        "RAILTRACK_AUTH_HEADER_PROXIES",
        parse=parsers.named_proxies,
        default="",
        help="Addresses and networks of the proxies whose header counts, separated by commas. Required with "
        "`RAILTRACK_AUTH_HEADER`; from all others the header is ignored.",
    )
    creates_users: bool = setting(
        "RAILTRACK_AUTH_HEADER_CREATE_USERS",
        parse=parsers.on_off,
        default="off",
        help="Whether the first request of an unknown user creates it.",
    )

    @property
    def is_enabled(self) -> bool:
        return bool(self.name)
