"""Checks of the logins by another system: combinations of settings, and the OpenID Connect provider."""

from railtrack.auth.oidc.provider import CALLBACK_PATH, Provider, ProviderError
from railtrack.checks import Finding, ok, start_problem, warning
from railtrack.config.settings import Settings
from railtrack.errors import StartError

CHECK = "single sign-on"
GOOGLE = "https://accounts.google.com"


def check_login_settings(settings: Settings) -> None:
    """Raise StartError for settings that contradict each other, or that would let everyone in."""
    oidc, header = settings.oidc, settings.auth_header
    if oidc.is_enabled and not oidc.client_id:
        raise StartError("RAILTRACK_OIDC_CLIENT_ID is not set.", "Set it to the id of this server at the provider.")
    if not oidc.is_enabled and (oidc.client_id or oidc.client_secret):
        raise StartError("RAILTRACK_OIDC_ISSUER is not set.", "Set it to the URL of the provider.")
    if header.is_enabled and not header.proxies:
        raise StartError(
            f"RAILTRACK_AUTH_HEADER: everyone could send the header {header.name}.",
            "Set RAILTRACK_AUTH_HEADER_PROXIES to the address of the proxy that sends it.",
        )
    if header.proxies and not header.is_enabled:
        raise StartError("RAILTRACK_AUTH_HEADER is not set.", "Set it to the header in which the proxy names the user.")
    for name, is_enabled in (("RAILTRACK_OIDC_ISSUER", oidc.is_enabled), ("RAILTRACK_AUTH_HEADER", header.is_enabled)):
        if is_enabled and not settings.needs_login:
            raise StartError(f"{name} is set, but requests need no login.", "Set RAILTRACK_AUTH=on.")
    if not settings.auth.password_form and not oidc.is_enabled and not header.is_enabled:
        raise StartError(
            "RAILTRACK_AUTH_PASSWORD_FORM=off: nobody could log in.", "Set RAILTRACK_OIDC_ISSUER, or remove it."
        )
    if oidc.issuer.rstrip("/") == GOOGLE and oidc.creates_users and not oidc.allowed_domains:
        raise StartError(
            "RAILTRACK_OIDC_ISSUER: everyone with a Google account could log in.",
            "Set RAILTRACK_OIDC_ALLOWED_DOMAINS to your organization's domain, or RAILTRACK_OIDC_CREATE_USERS=off.",
        )


async def check_provider(settings: Settings) -> list[Finding]:
    """Check the settings of logins, and that the provider responds. Without one, there is nothing to report."""
    try:
        check_login_settings(settings)
    except StartError as error:
        return [start_problem(CHECK, error)]
    if settings.auth_header.is_enabled:
        proxies = ", ".join(settings.auth_header.proxies)
        header = [ok("login by a proxy", f"The header {settings.auth_header.name} counts from {proxies}.")]
    else:
        header = []
    if not settings.oidc.is_enabled:
        return header
    try:
        metadata = await Provider(settings.oidc).metadata()
    except ProviderError as error:
        return [*header, warning(CHECK, str(error), "Check RAILTRACK_OIDC_ISSUER, and the network of this server.")]
    path = f"https://<host of this server>{settings.server.static_prefix}{CALLBACK_PATH}"
    uri = settings.oidc.redirect_uri or path
    return [*header, ok(CHECK, f"{metadata.issuer} responds. Register this redirect URI there: {uri}")]
