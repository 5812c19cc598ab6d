import faulthandler
import signal

import pytest

from kit import DIRECT, gotunnel, origin, relay

faulthandler.enable()
# Programs that a test interrupts must not inherit that the run itself ignores it,
# as it does under nohup or in the background of a script.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_configure(config):
    config.addinivalue_line("markers", "path: works over the stand-in relay too")


def pytest_collection_modifyitems(items):
    """Without a tunnel only the tests of the data path make sense."""
    for item in items:
        if DIRECT and not item.get_closest_marker("path"):
            item.add_marker(pytest.mark.skip(reason="needs the binary"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.failed_call = outcome.get_result().failed


@pytest.fixture
def rig(request, tmp_path):
    """Servers and clients of one test; both ends must exit 0 with nothing leaked."""
    rig = gotunnel.Rig(tmp_path)
    yield rig
    said = rig.finish()
    if said or getattr(request.node, "failed_call", True):
        print(rig.dump())
    assert not said, "\n".join(said)


@pytest.fixture
def serve(rig):
    """serve(handler) starts an origin; what its handlers raise fails the test.

    It needs the rig only so that the origins close before the processes end.
    """
    started = []

    def start(handler, **more):
        started.append(origin.Origin(handler, **more))
        return started[-1]

    yield start
    errors = [e for one in started for e in one.errors]
    for one in started:
        one.close()
    if errors:
        raise errors[0]


def way_to(rig, service, **given):
    """A way to a service: .host and .port, through a tunnel or the stand-in."""
    if DIRECT:
        return rig.keep(relay.Relay((service.host, service.port)))
    is_ours = isinstance(service, origin.Origin)
    return rig.tunnel(service if is_ours else f"127.0.0.1:{service.port}", **given)


@pytest.fixture(params=["encrypted", "plaintext"])
def path(request, rig):
    """path(service) is a way to a service."""
    def make(service, **given):
        if request.param == "plaintext":
            given.setdefault("plaintext", True)
        return way_to(rig, service, **given)
    return make


@pytest.fixture
def one_path(rig):
    """Like path, encrypted only: where the transport makes no difference."""
    return lambda service, **given: way_to(rig, service, **given)
