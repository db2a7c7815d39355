"""A gateway says so where it may be killed before it has drained."""

import pytest

from conduit.core.settings import GatewaySettings
from conduit.gateway.system.stopping import grace_warning

POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


@pytest.mark.parametrize(
    ("settings", "environment", "warns_of"),
    [
        (GatewaySettings(), {}, None),
        (GatewaySettings(), POD, "killed after 30 s (terminationGracePeriodSeconds, unless"),
        (GatewaySettings(drain_s=20), POD, None),
        (GatewaySettings(stop_grace_s=130), POD, None),
        (GatewaySettings(stop_grace_s=129), {}, "takes up to 130 s"),
        (GatewaySettings(stop_grace_s=90), {}, "killed after 90 s (stop_grace_s)"),
    ],
)
def test_a_stop_that_takes_longer_than_is_given_is_told_of(
    settings: GatewaySettings, environment: dict[str, str], warns_of: str | None
) -> None:
    warning = grace_warning(settings, environment)
    if warns_of is None:
        assert warning is None
    else:
        assert warning is not None
        assert warns_of in warning
