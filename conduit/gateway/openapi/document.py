"""The whole document, made without a running gateway."""

import json
from functools import cache

from conduit import __version__
from conduit.gateway.admin.table import OPERATIONS
from conduit.gateway.openapi.admin import admin_paths
from conduit.gateway.openapi.answers import Json, components
from conduit.gateway.openapi.client import client_paths
from conduit.gateway.openapi.client_schemas import CLIENT_SCHEMAS

_DESCRIPTION = """\
`/v1` and `/v1beta` are for applications: the dialects of OpenAI, Anthropic and Google over every
provider, opened by a virtual key.
`/admin` is for operators: whatever `conduit` does goes through it, opened by the master key.
Besides the answers of each operation, a path without the method answers 405 with `allow`."""


def document() -> Json:
    """The OpenAPI document of this release; the same for every gateway of it."""
    paths, schemas = admin_paths(OPERATIONS)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Conduit",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": dict(sorted((client_paths() | paths).items())),
        "components": components(dict(sorted((CLIENT_SCHEMAS | schemas).items()))),
    }


@cache
def document_bytes() -> bytes:
    """The document as it is served."""
    return json.dumps(document(), ensure_ascii=False, indent=1).encode() + b"\n"
