"""The pydantic models of the admin API, one file a resource.

Money is a decimal string in USD, time an RFC 3339 string in UTC, unknown fields are refused.
"""
