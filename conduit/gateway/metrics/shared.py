"""The metrics of all workers in one exposition, whichever of them is asked.

Each writes its own down once a second. The one that is asked tells its own figures as they are and
those of the others as they have written them, every series under the number of its worker.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_EVERY_S: Final = 1.0
_STALE_S: Final = 10.0
"""A worker that has written nothing for so long does not run."""
FILE_NAME: Final = "metrics.json"


class _Sample(msgspec.Struct, frozen=True, array_like=True):
    name: str
    labels: dict[str, str]
    value: float


class _Family(msgspec.Struct, frozen=True, array_like=True):
    name: str
    documentation: str
    type: str
    samples: list[_Sample]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[_Family]).decode


class SharedMetrics(Collector):
    """`own` are the families of this worker, `folder` is where all workers have theirs."""

    def __init__(self, own: CollectorRegistry, folder: Path, number: int) -> None:
        self._own = own
        self._folder = folder
        self._file = folder / str(number) / FILE_NAME
        self._number = str(number)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def render(self) -> tuple[bytes, str]:
        """The exposition and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def collect(self) -> Iterable[Metric]:
        """What the registry asks for."""
        merged: dict[str, Metric] = {}
        for number, families in self._of_all():
            for family in families:
                metric = merged.get(family.name)
                if metric is None:
                    metric = Metric(family.name, family.documentation, family.type)
                    merged[family.name] = metric
                for sample in family.samples:
                    metric.add_sample(
                        sample.name, {**sample.labels, "worker": number}, sample.value
                    )
        return merged.values()

    async def write_on_and_on(self) -> None:
        """Write this worker's figures down until cancelled."""
        try:
            while True:
                encoded = _encode(list(self._families()))
                await asyncio.to_thread(_replace, self._file, encoded)
                await asyncio.sleep(_EVERY_S)
        finally:
            self._file.unlink(missing_ok=True)

    def _families(self) -> Iterator[_Family]:
        for metric in self._own.collect():
            samples = [_Sample(each.name, each.labels, each.value) for each in metric.samples]
            yield _Family(metric.name, metric.documentation, metric.type, samples)

    def _of_all(self) -> Iterator[tuple[str, Iterable[_Family]]]:
        yield self._number, self._families()
        for file in sorted(self._folder.glob(f"*/{FILE_NAME}")):
            if file == self._file:
                continue
            try:
                if time.time() - file.stat().st_mtime < _STALE_S:
                    yield file.parent.name, _decode(file.read_bytes())
            except (OSError, msgspec.DecodeError):
                continue  # it has just ended, or is of another release


def _replace(path: Path, content: bytes) -> None:
    """A reader finds the whole content, of now or of before. A full disk leaves that of before."""
    made = path.with_suffix(".new")
    try:
        made.write_bytes(content)
        made.replace(path)
    except OSError:
        made.unlink(missing_ok=True)
