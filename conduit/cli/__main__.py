"""`python -m conduit.cli`, the same as `conduit`."""

from conduit.cli import main

main()
