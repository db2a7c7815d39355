"""What is not sent to a provider."""

from typing import Any, cast

import pytest

from conduit.core.errors import RequestError, UpstreamAuthError, UpstreamFailure
from conduit.gateway.config.snapshot import Credential
from conduit.gateway.exchange import Assumed, Attempt, Candidate, Relay
from conduit.gateway.ledger.entries import AttemptOutcome
from conduit.gateway.reach.access_tokens import AccessTokens
from conduit.gateway.stages.call import Call
from conduit.gateway.stages.drain import Drain
from conduit.gateway.stages.relay import RelayAnswer
from conduit.gateway.upstream import Deadlines
from tests.gateway.exchanges import RATES, exchange, snapshot, upstream


def unexpected(*_: Any) -> Any:
    raise AssertionError("nothing is to be sent")


@pytest.mark.parametrize("secret", ["short:secret", "{}"])
async def test_a_credential_that_cannot_sign_fails_the_attempt_before_anything_is_sent(
    secret: str,
) -> None:
    one = upstream(type_name="bedrock", credentials=(Credential("c", "c", secret),))
    attempt = Attempt(Candidate(one, "m", {}, RATES), 0, one.credentials[0])
    tokens = AccessTokens(unexpected)
    call = Call(
        unexpected, tokens.headers, cast("RelayAnswer", unexpected), Deadlines(), Drain(1, 1)
    )
    await call(exchange(snapshot([])), attempt, cast("Relay", unexpected))
    assert isinstance(attempt.error, UpstreamAuthError)
    assert isinstance(attempt.error, UpstreamFailure)
    assert (attempt.sent, attempt.outcome) == (False, AttemptOutcome.REFUSED)
    assert attempt.assumed is Assumed.NOTHING


@pytest.mark.parametrize(
    ("type_name", "model", "fields", "param"),
    [
        ("ollama", "m", {"n": 2}, "n"),
        ("groq", "m", {"logprobs": True}, "logprobs"),
        ("azure_deployments", "..", {}, "model"),
        ("gemini", "", {}, "model"),
    ],
)
async def test_what_the_provider_cannot_be_asked_is_refused_by_the_clients_own_field(
    type_name: str, model: str, fields: dict[str, Any], param: str
) -> None:
    one = exchange(snapshot([]), **fields)
    candidate = Candidate(upstream(type_name=type_name), model, {}, RATES)
    attempt = Attempt(candidate, number=1)
    call = Call(unexpected, unexpected, cast("RelayAnswer", unexpected), Deadlines(), Drain(1, 1))
    await call(one, attempt, cast("Relay", unexpected))
    assert isinstance(attempt.error, RequestError)
    assert attempt.error.param == param
    assert (attempt.outcome, attempt.assumed) == (AttemptOutcome.REFUSED, Assumed.NOTHING)
    assert not attempt.sent
