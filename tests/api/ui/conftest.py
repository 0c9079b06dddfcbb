"""A client of the interface's routes alone."""

from types import SimpleNamespace

import pytest
from tests.client import Client

from railtrack.api import endpoints
from railtrack.wire.allowed_hosts import AllowedHosts
from railtrack.wire.cors import AllowedOrigins
from railtrack.wire.csrf import BrowserGuard
from railtrack.wire.dispatch import Dispatcher
from railtrack.wire.forwarded import TrustedProxies
from railtrack.wire.routing import Routes


@pytest.fixture
def browser() -> Client:
    routes = {
        key: route for key, route in endpoints().items() if route.handler.__module__.startswith("railtrack.api.ui.")
    }
    proxies = TrustedProxies(())
    guard = BrowserGuard(AllowedHosts((), proxies), AllowedOrigins(()), proxies=proxies)
    return Client(Dispatcher(Routes.of(routes), guard, lambda http, route: SimpleNamespace(policy=None)))
