"""Holds, journal, settlement and balances: the money of every dispatched attempt."""
