"""The endpoints, one module a resource. A module in here declares its own; nothing lists them."""

from importlib import import_module
from pkgutil import walk_packages

from railtrack.wire.routing import ROUTES, Route


def endpoints() -> dict[tuple[str, str], Route]:
    """Every endpoint, by method and path."""
    for module in walk_packages(__path__, f"{__name__}."):
        import_module(module.name)
    return ROUTES
