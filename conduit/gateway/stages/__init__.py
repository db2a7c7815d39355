"""The steps of a request, one file each, put together in `request_path.py`."""
