"""The endpoints, one folder per resource. Importing a module declares its endpoints; there is no list of them."""

from importlib import import_module
from pkgutil import walk_packages

from railtrack.wire.routing import ROUTES, Route


def endpoints() -> dict[tuple[str, str], Route]:
    """Import every module of this package and return the endpoints by method and path."""
    for module in walk_packages(__path__, f"{__name__}."):
        import_module(module.name)
    return ROUTES
