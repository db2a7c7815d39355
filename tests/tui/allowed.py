"""Groups, budgets, limits, alerts and breakers as a gateway tells them."""

from typing import Any


def limit(kind: str, most: int, left: int | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "limit": most,
        "burst": None,
        "shadow": False,
        "timezone": "UTC",
        "on_store_down": "degrade",
        "remaining": most if left is None else left,
        "exceeded": 0,
        **fields,
    }


def budget(kind: str, name: str, most: str, spent: str = "0", **fields: Any) -> dict[str, Any]:
    """One of a key, a group, a mapping or the gateway."""
    return {
        "id": f"budget_{kind}_{name}",
        "scope": {"kind": kind, "id": f"{kind}_{name}" if name else ""},
        "scope_name": name or None,
        "period": "total",
        "timezone": "UTC",
        "limit": most,
        "mode": "hard",
        "spent": spent,
        "held": "0",
        "period_start": None,
        "created_at": "2026-11-01T00:00:00Z",
        "version": 1,
        **fields,
    }


def monthly(kind: str, name: str, most: str, spent: str = "0", **fields: Any) -> dict[str, Any]:
    start = {"period": "month", "period_start": "2026-11-01T00:00:00Z"}
    return budget(kind, name, most, spent, **{**start, **fields})


def prepaid(balance: str, *, paid_in: str = "100.00", spent: str = "0", held: str = "0") -> Any:
    since = "2026-11-02T08:00:00Z"
    return {"paid_in": paid_in, "spent": spent, "held": held, "balance": balance, "since": since}


def group(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"group_{name}",
        "name": name,
        "description": "",
        "enabled": True,
        "allowed_models": ["*"],
        "limits": [],
        "budgets": [],
        "prepaid": None,
        "keys": 0,
        "created_at": "2026-11-01T00:00:00Z",
        "updated_at": "2026-11-01T00:00:00Z",
        "version": 1,
        **fields,
    }


def transaction(kind: str, amount: str, balance: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"txn_{kind}_{balance}",
        "group_id": "group_eng",
        "at": "2026-11-18T09:30:00Z",
        "kind": kind,
        "amount": amount,
        "balance": balance,
        "reason": "",
        "actor": "master",
        "client": None,
        "address": None,
        "idempotency_key": None,
        **fields,
    }


def alert(number: int, kind: str, message: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"ntf_{number}",
        "at": f"2026-11-20T13:{number:02}:00.000Z",
        "kind": kind,
        "severity": "warning",
        "subject": {"kind": "key", "id": "key_ci", "name": "ci"},
        "message": message,
        "details": {},
        "acknowledged_at": None,
        "acknowledged_by": None,
        **fields,
    }


def deployment(provider: str, model: str, **fields: Any) -> dict[str, Any]:
    return {
        "provider": provider,
        "model": model,
        "credential": "default",
        "state": "ready",
        "reason": None,
        "until": None,
        "breaker": "closed",
        "opened_in_a_row": 0,
        "in_flight": 0,
        "cap": None,
        "calls": 10,
        "failures": 0,
        "recent_calls": 10,
        "recent_failures": 0,
        "ttft_ms": 300,
        "tokens_per_s": 80.0,
        "last_error": None,
        "last_error_at": None,
        **fields,
    }


def spent_by_day(**costs: str) -> dict[str, Any]:
    """What `usage.show` answers by day; `d18="1.20"` is the 18th of the month."""
    groups = [
        {"group": f"2026-11-{day[1:]}", "requests": 10, "cost": cost} for day, cost in costs.items()
    ]
    return {"total": {"requests": 10 * len(groups), "cost": "32.10"}, "groups": groups}
