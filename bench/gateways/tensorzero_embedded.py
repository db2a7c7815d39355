"""Serves TensorZero's embedded gateway over HTTP, and leaves its address where the bench looks."""

import os
import signal
from pathlib import Path

from tensorzero.tensorzero import _start_http_gateway

MODELS = ("mock-size1000", "mock-n100", "mock-ttft50-gap20-n50", "mock-ttft50-gap2000-n10")
HOME = os.environ["BENCH_HOME"]
MODEL = """
[models."{name}"]
routing = ["mock"]

[models."{name}".providers.mock]
type = "openai"
model_name = "{name}"
api_base = "{upstream}/v1/"
api_key_location = "none"
"""


def main() -> None:
    config = Path(f"{HOME}-tensorzero.toml")
    models = [MODEL.format(name=name, upstream=os.environ["BENCH_UPSTREAM"]) for name in MODELS]
    config.write_text("[gateway]\nobservability.enabled = false\n" + "".join(models))
    gateway = _start_http_gateway(
        config_file=str(config),
        clickhouse_url=None,
        postgres_url=None,
        valkey_url=None,
        async_setup=False,
    )
    Path(f"{HOME}-tensorzero.url").write_text(gateway.base_url)
    signal.pause()


if __name__ == "__main__":
    main()
