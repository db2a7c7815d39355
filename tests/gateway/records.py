"""Records for tests: valid ones, of which a test names only what it is about."""

from typing import Any

from conduit.core.ids import new_id
from conduit.core.keys import digest_of, displayed_start, make_virtual_key
from conduit.gateway.storage.budgets import StoredBudget
from conduit.gateway.storage.credentials import StoredCredential
from conduit.gateway.storage.group_transactions import StoredTransaction
from conduit.gateway.storage.groups import StoredGroup
from conduit.gateway.storage.health_history import ID_PREFIX, StoredHealthChange
from conduit.gateway.storage.keys import StoredKey
from conduit.gateway.storage.mappings import StoredMapping
from conduit.gateway.storage.notifications import ID_PREFIX as NOTIFICATION_PREFIX
from conduit.gateway.storage.notifications import StoredNotification
from conduit.gateway.storage.prices import StoredPrice
from conduit.gateway.storage.providers import StoredProvider

AT_MS = 1_700_000_000_000


def provider(name: str = "openai", **values: Any) -> StoredProvider:
    return StoredProvider(
        **{
            "id": f"prov_{name}",
            "name": name,
            "type": "openai_compatible",
            "base_url": "https://api.example.invalid/v1",
            "allow_private": False,
            "enabled": True,
            "created_at_ms": AT_MS,
            "updated_at_ms": AT_MS,
            "version": 1,
            **values,
        }
    )


def credential(name: str = "default", **values: Any) -> StoredCredential:
    return StoredCredential(
        **{
            "id": f"cred_{name}",
            "provider_id": "prov_openai",
            "name": name,
            "kind": "env",
            "reference": "A_VARIABLE",
            "sealed": None,
            "hint": None,
            "host": "api.example.invalid",
            "enabled": True,
            "created_at_ms": AT_MS,
            "updated_at_ms": AT_MS,
            "version": 1,
            **values,
        }
    )


def mapping(alias: str = "fast", provider: str = "openai", **values: Any) -> StoredMapping:
    return StoredMapping(
        **{
            "id": f"map_{alias}",
            "alias": alias,
            "strategy": "simple",
            "targets": [
                {"provider": provider, "model": "m-1", "order": 0, "weight": 1, "params": {}}
            ],
            "fallbacks": [],
            "enabled": True,
            "created_at_ms": AT_MS,
            "updated_at_ms": AT_MS,
            "version": 1,
            **values,
        }
    )


def group(name: str = "team", **values: Any) -> StoredGroup:
    return StoredGroup(
        **{
            "id": f"grp_{name}",
            "name": name,
            "description": "",
            "enabled": True,
            "allowed_models": ["*"],
            "limits": [],
            "created_at_ms": AT_MS,
            "updated_at_ms": AT_MS,
            "deleted_at_ms": None,
            "version": 1,
            **values,
        }
    )


def transaction(group_id: str = "grp_team", **values: Any) -> StoredTransaction:
    return StoredTransaction(
        **{
            "id": new_id("gtx", AT_MS),
            "group_id": group_id,
            "at_ms": AT_MS,
            "kind": "credit",
            "amount_nanodollars": 5_000_000_000,
            "balance_nanodollars": 5_000_000_000,
            "reason": "größer",
            "actor": "master key",
            "client": None,
            "address": None,
            "idempotency_key": None,
            **values,
        }
    )


def key(name: str = "ci", secret: str | None = None, **values: Any) -> StoredKey:
    secret = secret or make_virtual_key()
    return StoredKey(
        **{
            "id": f"key_{name}",
            "name": name,
            "digest": digest_of(secret),
            "start": displayed_start(secret),
            "allowed_models": ["*"],
            "enabled": True,
            "expires_at_ms": None,
            "created_at_ms": AT_MS,
            "updated_at_ms": AT_MS,
            "deleted_at_ms": None,
            "last_used_at_ms": None,
            "version": 1,
            **values,
        }
    )


def budget(budget_id: str = "bud_1", key_id: str = "key_ci", **values: Any) -> StoredBudget:
    return StoredBudget(
        **{
            "id": budget_id,
            "scope_kind": "key",
            "scope_id": key_id,
            "period": "total",
            "timezone": "UTC",
            "limit_nanodollars": 5_000_000_000,
            "mode": "hard",
            "created_at_ms": AT_MS,
            "updated_at_ms": AT_MS,
            "version": 1,
            **values,
        }
    )


def price(provider: str = "openai", model: str = "m-1", **values: Any) -> StoredPrice:
    return StoredPrice(
        **{
            "provider": provider,
            "model": model,
            "input": 1_000_000_000,
            "output": 2_000_000_000,
            "cache_read": None,
            "cache_write_5m": None,
            "cache_write_1h": None,
            "reasoning": None,
            "input_audio": None,
            "output_audio": None,
            "per_request": 0,
            "max_output_tokens": None,
            "context_tokens": None,
            "set_at_ms": AT_MS,
            "effective_from_ms": AT_MS,
            **values,
        }
    )


def request_row(number: int, **values: Any) -> dict[str, Any]:
    """A row of the request log; rows of higher numbers are newer."""
    return {
        "id": f"req_{number:026d}",
        "at_ms": AT_MS + number,
        "operation": "chat",
        "stream": False,
        "status": 200,
        "outcome": "succeeded",
        "error_code": None,
        "key_id": "key_ci",
        "key_name": "ci",
        "alias": "fast",
        "provider": "openai",
        "model": "m-1",
        "attempts": 1,
        "duration_ms": 100,
        "ttft_ms": None,
        "input_tokens": 10,
        "cached_tokens": 0,
        "output_tokens": 20,
        "reasoning_tokens": 0,
        "usage_source": "provider",
        "cost_nanodollars": 4_100_000,
        "billed_nanodollars": 4_100_000,
        "tokens_per_s_milli": 12_500,
        "client_ip": "127.0.0.1",
        "user_agent": "test",
        "cache": None,
        "avoided_nanodollars": 0,
        **values,
    }


def attempt_row(number: int, request_id: str, **values: Any) -> dict[str, Any]:
    """A row of the ledger."""
    return {
        "attempt_id": f"att_{number:026d}",
        "request_id": request_id,
        "key_id": "key_ci",
        "alias": "fast",
        "provider": "openai",
        "model": "m-1",
        "credential_id": None,
        "operation": "chat",
        "stream": False,
        "state": "done",
        "outcome": "succeeded",
        "status": 200,
        "error_code": None,
        "ambiguous": False,
        "hold_nanodollars": 9_000_000,
        "cost_nanodollars": 4_100_000,
        "billed_nanodollars": 4_100_000,
        "price_version": "2026-11-01",
        "usage_source": "provider",
        "input_tokens": 10,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "output_tokens": 20,
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "cache_write_1h_tokens": 0,
        "output_audio_tokens": 0,
        "progress_tokens": 0,
        "input_nanodollars": 1,
        "output_rate": 1,
        "held_at_ms": AT_MS + number,
        "settled_at_ms": AT_MS + number + 50,
        "search_units": None,
        **values,
    }


def health_change(number: int = 1, **values: Any) -> StoredHealthChange:
    """A breaker that opened, so many milliseconds later than the first."""
    at_ms = AT_MS + number
    return StoredHealthChange(
        **{
            "id": new_id(ID_PREFIX, at_ms),
            "at_ms": at_ms,
            "provider": "openai",
            "model": "m-1",
            "credential": "default",
            "before": "closed",
            "after": "open",
            "reason": "503",
            "until_ms": at_ms + 30_000,
            **values,
        }
    )


def notification(number: int = 1, **values: Any) -> StoredNotification:
    """A budget at half of its limit, so many milliseconds later than the first."""
    at_ms = AT_MS + number
    return StoredNotification(
        **{
            "id": new_id(NOTIFICATION_PREFIX, at_ms),
            "at_ms": at_ms,
            "kind": "budget_threshold",
            "severity": "info",
            "subject_kind": "budget",
            "subject_id": f"bud_{number}",
            "subject_name": "key:acme",
            "message": 'key "acme" has reached 50 % of its budget: $5.00 of $10.00',
            "details": {"threshold_percent": 50, "period_start_ms": 0},
            "dedupe": f"budget_threshold:bud_{number}:0:50",
            **values,
        }
    )
