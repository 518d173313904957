"""The AsyncAPI document of /ws/market, made from the types of its messages.

Imports no framework.
"""

from typing import Any

from pydantic import TypeAdapter

from market.message_types import CLIENT, SERVER

SCHEMAS = "#/components/schemas/"
CHANNEL = "#/channels/market"


def document() -> dict[str, Any]:
    """Return the document, AsyncAPI 3.0."""
    schemas: dict[str, Any] = {}
    for kind in (*CLIENT, *SERVER):
        schema = TypeAdapter(kind).json_schema(ref_template=SCHEMAS + "{model}")
        schemas |= schema.pop("$defs", {})
        schemas[kind.__name__] = schema
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "trade_canvas market socket",
            "version": "1",
            "description": "Text frames, one JSON object each. Nothing is sent before a subscribe.",
        },
        "channels": {
            "market": {
                "address": "/ws/market",
                "messages": {kind.__name__: _message(kind) for kind in (*CLIENT, *SERVER)},
            }
        },
        "operations": {
            "ask": _operation("receive", CLIENT),
            "hear": _operation("send", SERVER),
        },
        "components": {"schemas": schemas},
    }


def _message(kind: type) -> dict[str, Any]:
    return {
        "contentType": "application/json",
        "summary": (kind.__doc__ or "").strip(),
        "payload": {"$ref": SCHEMAS + kind.__name__},
    }


def _operation(action: str, kinds: tuple[type, ...]) -> dict[str, Any]:
    """Return what the server does with these messages."""
    messages = [{"$ref": f"{CHANNEL}/messages/{kind.__name__}"} for kind in kinds]
    return {"action": action, "channel": {"$ref": CHANNEL}, "messages": messages}
