"""Typed keys under which the application keeps its parts."""

from aiohttp import web

from conduit.gateway.entrance import CurrentEntrance

ENTRANCE = web.AppKey("entrance", CurrentEntrance)
