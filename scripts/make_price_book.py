"""Make `conduit/gateway/pricing/prices.json` from the public package genai-prices.

Run it in an environment of its own, since Conduit does not depend on that package:

    python -m venv /tmp/prices && /tmp/prices/bin/pip install genai-prices
    /tmp/prices/bin/python scripts/make_price_book.py
"""

import argparse
import sys
from datetime import UTC, date, datetime
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # nothing of Conduit's is installed there

from conduit.cli.prices.genai_book import as_text, make_book  # noqa: E402  # the path comes first

BOOK = ROOT / "conduit" / "gateway" / "pricing" / "prices.json"


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the shipped price book.")
    parser.add_argument("--date", type=date.fromisoformat, default=datetime.now(UTC).date())
    parser.add_argument("--output", type=Path, default=BOOK)
    arguments = parser.parse_args()
    book = make_book(arguments.date)
    arguments.output.write_text(as_text(book), encoding="utf-8")
    rows = sum(len(vendor["models"]) for vendor in book["vendors"].values())
    sys.stdout.write(f"{arguments.output}: {len(book['vendors'])} vendors, {rows} models\n")


if __name__ == "__main__":
    main()
