"""Providers: one module a vendor with a protocol of its own, and rows for those who share one."""
