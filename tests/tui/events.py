"""Events and records as a gateway tells them."""

from datetime import UTC, datetime
from typing import Any

from tests.tui.support import NOW_MS


def finished(number: int, **fields: Any) -> dict[str, Any]:
    """The data of `request.finished`."""
    return {
        "id": f"req_{number:026}",
        "at_ms": NOW_MS - 60_000 + number * 1_000,
        "operation": "chat",
        "stream": True,
        "status": 200,
        "outcome": "ok",
        "error_code": None,
        "key_id": "key_1",
        "key_name": "ci",
        "alias": "gpt-4o",
        "provider": "openai-main",
        "model": "gpt-4o-2024",
        "attempts": 1,
        "duration_ms": 812,
        "ttft_ms": 300,
        "input_tokens": 1_000,
        "cached_tokens": 0,
        "output_tokens": 204,
        "reasoning_tokens": 0,
        "usage_source": "provider",
        "cost_nanodollars": 4_100_000,
        "billed_nanodollars": 4_100_000,
        "tokens_per_s_milli": 250_000,
        "client_ip": "10.0.0.7",
        "user_agent": None,
        **fields,
    }


def recorded(number: int, **fields: Any) -> dict[str, Any]:
    """The same request as `GET /admin/requests` lists it."""
    data = finished(number, **fields)
    seconds = (NOW_MS - 60_000) // 1000 + number
    at = datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    kept = {name: value for name, value in data.items() if not name.endswith("nanodollars")}
    return {**kept, "at": at, "key": data["key_name"], "cost": "0.0041", "billed": "0.0041"}


def event(seq: int, kind: str, data: dict[str, Any], *, boot: str = "boot") -> dict[str, Any]:
    return {
        "boot": boot,
        "seq": seq,
        "at_ms": NOW_MS - 60_000 + seq * 1_000,
        "kind": kind,
        "data": data,
    }


def request_events(*numbers: int, **fields: Any) -> list[dict[str, Any]]:
    return [event(number, "request.finished", finished(number, **fields)) for number in numbers]


def figures(**fields: Any) -> dict[str, Any]:
    """The data of `stats.sampled`."""
    return {
        "window_s": 60,
        "rate_window_s": 10,
        "in_flight": 3,
        "requests": 744,
        "errors": 6,
        "client_errors": 0,
        "rate_limited": 2,
        "error_share_milli": 8,
        "requests_per_s_milli": 12_400,
        "tokens_per_s_milli": 1_930_000,
        "cost_nanodollars_per_min": 410_000_000,
        "latency_p50_ms": 304,
        "latency_p95_ms": 812,
        "latency_p99_ms": 2_100,
        "ttft_p95_ms": 410,
        "statuses": {"2xx": 738, "4xx": 4, "5xx": 2},
        "providers": {
            "anthropic": {"requests": 188, "errors": 1},
            "groq": {"requests": 40, "errors": 3},
            "openai-main": {"requests": 516, "errors": 2},
        },
        **fields,
    }


def provider(name: str, **fields: Any) -> dict[str, Any]:
    credential = {
        "id": f"cred_{name}",
        "name": "default",
        "source": "sealed",
        "hint": "...a1b2",
        "fingerprint": "0a1b2c3d",
        "host": "api.example",
        "enabled": True,
        "primary": False,
        "state": "ready",
        "created_at": "2026-11-01T00:00:00Z",
        "version": 1,
    }
    return {
        "id": f"prov_{name}",
        "name": name,
        "type": "openai",
        "base_url": "https://api.example/v1",
        "allow_private": False,
        "on_hang_up": "cancel",
        "enabled": True,
        "simulated": False,
        "credentials": [credential],
        "created_at": "2026-11-01T00:00:00Z",
        "updated_at": "2026-11-01T00:00:00Z",
        "version": 1,
        **fields,
    }


def key(name: str, *, limit: str | None = None, spent: str = "0", **fields: Any) -> dict[str, Any]:
    budget = {
        "id": f"budget_{name}",
        "scope": {"kind": "key", "id": f"key_{name}"},
        "period": "total",
        "timezone": "UTC",
        "limit": limit,
        "mode": "hard",
        "spent": spent,
        "held": "0",
        "period_start": None,
        "created_at": "2026-11-01T00:00:00Z",
        "version": 1,
    }
    return {
        "id": f"key_{name}",
        "name": name,
        "start": "condt_ab12",
        "enabled": True,
        "state": "active" if fields.get("enabled", True) else "disabled",
        "allowed_models": ["*"],
        "budgets": [budget] if limit is not None else [],
        "limits": [],
        "allowed_ips": [],
        "group": None,
        "group_id": None,
        "tags": {},
        "expires_at": None,
        "last_used_at": None,
        "former_expires_at": None,
        "created_at": "2026-11-01T00:00:00Z",
        "updated_at": "2026-11-01T00:00:00Z",
        "version": 1,
        **fields,
    }


def target(provider_name: str, model: str, order: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "provider": provider_name,
        "model": model,
        "order": order,
        "weight": 1,
        "params": {},
        **fields,
    }


def mapping(alias: str, *targets: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "id": f"map_{alias}",
        "alias": alias,
        "strategy": "simple",
        "targets": list(targets) or [target("openai-main", alias)],
        "fallbacks": [],
        "enabled": True,
        "created_at": "2026-11-01T00:00:00Z",
        "updated_at": "2026-11-01T00:00:00Z",
        "version": 1,
        **fields,
    }


def usage(key_name: str, *groups: dict[str, Any], **total: Any) -> dict[str, Any]:
    """What `keys.usage` answers, by model."""
    none = {
        "requests": 0,
        "attempts": 0,
        "recorded": 0,
        "failed": 0,
        "input_tokens": 0,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "cache_write_1h_tokens": 0,
        "output_tokens": 0,
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "output_audio_tokens": 0,
        "cost": "0.00",
        "billed": "0.00",
        "avoided": "0.00",
    }
    return {
        "key_id": f"key_{key_name}",
        "key": key_name,
        "since": None,
        "until": None,
        "by": "model",
        "total": {**none, **total},
        "groups": [{**none, **group} for group in groups],
    }
