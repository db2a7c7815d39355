"""Makes a fresh home for Conduit and configures it through the admin API, then stops the gateway.

The providers are the bench's mock in the dialects it speaks, each under one mapping whose alias
ends in a star; every model of the cases has a price, so that money is really counted; the keys have
budgets that nothing here exhausts, one of them limits of every kind too.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from conduit.core.keys import make_master_key

sys.path.insert(0, str(Path(__file__).parents[1]))

from measure import CASES  # the bench is a folder, not a package

ORIGIN = f"http://127.0.0.1:{os.environ['CONDUIT_PORT']}"
UPSTREAM = os.environ["BENCH_UPSTREAM"]
READY_WITHIN_S = 60
# The type of each provider and its path on the mock; its name begins the names of its models.
PROVIDERS = {
    "mock": ("openai_compatible", "/v1"),
    "anthropic": ("anthropic", "/v1"),
    "gemini": ("gemini", "/v1beta"),
    "responses": ("perplexity", "/v1"),
    "cohere": ("cohere", ""),
    "bedrock": ("bedrock", ""),
    "ollama": ("ollama_native", ""),
}
# Three equal targets of one alias, of which the quickest is chosen.
RANKED = ("first", "second", "third")
# Signed with, as every request to Bedrock is; the mock's address names no region.
ACCESS_KEY = {
    "access_key_id": "BENCHBENCHBENCHBENCH",
    "secret_access_key": "made-up",
    "region": "us-east-1",
}
SECRETS = {"bedrock": json.dumps(ACCESS_KEY)}
PRICE = {"input": "2.50", "output": "10", "max_output_tokens": 4096}
KEY = {"name": "bench", "budget": {"limit": "1000000"}}
LIMITED_KEY = {
    "name": "limited",
    "budget": {"limit": "1000000", "period": "month", "timezone": "Europe/Berlin"},
    "limits": [
        {"kind": kind, "limit": 10**9} for kind in ("rpm", "tpm", "rpd", "tpd", "concurrent")
    ],
}


def call(method: str, path: str, body: object, master_key: str) -> dict[str, Any]:
    request = urllib.request.Request(
        ORIGIN + path,
        json.dumps(body).encode(),
        {"authorization": f"Bearer {master_key}", "content-type": "application/json"},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{method} {path}: {error.code} {error.read().decode()}") from error


def await_ready(gateway: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            with urllib.request.urlopen(f"{ORIGIN}/health/ready", timeout=5):
                return
        except OSError as error:
            if gateway.poll() is not None or time.monotonic() > give_up:
                raise SystemExit(f"the gateway does not get ready: {error}") from error
            time.sleep(0.02)


def providers_of(alias: str) -> tuple[str, ...]:
    return RANKED if alias == "ranked" else (alias,)


def configure(home: Path, master_key: str) -> None:
    kinds = PROVIDERS | dict.fromkeys(RANKED, PROVIDERS["mock"])
    for name, (kind, path) in kinds.items():
        provider = {
            "name": name,
            "type": kind,
            "base_url": UPSTREAM + path,
            "allow_private": True,
            "credential": {"name": "default", "secret": SECRETS.get(name, "sk-upstream")},
        }
        call("POST", "/admin/providers", provider, master_key)
    for alias in (*PROVIDERS, "ranked"):
        # A target model of `*` means the name the client asked for.
        targets = [{"provider": name, "model": "*"} for name in providers_of(alias)]
        mapping: dict[str, object] = {"alias": f"{alias}-*", "targets": targets}
        if len(targets) > 1:
            mapping["strategy"] = "lowest-latency"
        call("POST", "/admin/mappings", mapping, master_key)
    for model in {case.model for case in CASES.values()}:
        for name in providers_of(model.partition("-")[0]):
            call("PUT", f"/admin/prices/{name}/{model}", PRICE, master_key)
    for file, key in (("key", KEY), ("limited-key", LIMITED_KEY)):
        (home / file).write_text(call("POST", "/admin/keys", key, master_key)["secret"])


def main() -> None:
    home = Path(os.environ["CONDUIT_HOME"])
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(mode=0o700, parents=True)
    master_key = make_master_key()
    key_file = home / "master-key"
    key_file.touch(mode=0o600)
    key_file.write_text(master_key)
    gateway = subprocess.Popen(["conduit", "serve"])
    try:
        await_ready(gateway)
        configure(home, master_key)
    finally:
        gateway.terminate()
        gateway.wait()


if __name__ == "__main__":
    main()
