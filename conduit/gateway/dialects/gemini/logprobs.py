"""Log probabilities of tokens, between Gemini's form and OpenAI's, which the internal form has."""

from collections.abc import Mapping
from typing import Any

from conduit.gateway.dialects.answer_fields import objects


def logprobs_from_gemini(result: Any) -> dict[str, Any] | None:
    """The tokens that were chosen, each with its alternatives; ids of tokens have no place."""
    if not isinstance(result, dict):
        return None
    chosen = objects(result.get("chosenCandidates"))
    if not chosen:
        return None
    tops = objects(result.get("topCandidates"))
    content = []
    for position, candidate in enumerate(chosen):
        others = tops[position].get("candidates") if position < len(tops) else None
        content.append(
            {**_entry(candidate), "top_logprobs": [_entry(other) for other in objects(others)]}
        )
    return {"content": content, "refusal": None}


def logprobs_to_gemini(logprobs: Any) -> dict[str, Any] | None:
    """A `logprobsResult`, or None where there is nothing of that form."""
    if not isinstance(logprobs, Mapping):
        return None
    entries = objects(logprobs.get("content"))
    if not entries:
        return None
    fields: dict[str, Any] = {"chosenCandidates": [_candidate(entry) for entry in entries]}
    tops = [objects(entry.get("top_logprobs")) for entry in entries]
    if any(tops):
        fields["topCandidates"] = [
            {"candidates": [_candidate(other) for other in others]} for others in tops
        ]
    return fields


def _entry(candidate: Mapping[str, Any]) -> dict[str, Any]:
    token = candidate.get("token")
    token = token if isinstance(token, str) else ""
    # Zero is the default of a number and may be left out.
    logprob = candidate.get("logProbability", 0.0)
    return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8", "replace"))}


def _candidate(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"token": entry.get("token", ""), "logProbability": entry.get("logprob", 0.0)}
