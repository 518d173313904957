"""What a client says on a stream, and the answer. Pure."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

LIVE = {"futures": ("/market/ws", "/market/stream"), "spot": ("/ws", "/stream")}
SILENT = {
    "futures": ("/ws", "/stream", "/public/ws", "/public/stream", "/private/ws", "/private/stream"),
    "spot": (),
}


class Route:
    """What the path of a connection asks for."""

    def __init__(self, venue: str, path: str) -> None:
        parts = urlsplit(path)
        base, streams = _split(parts.path)
        named = parse_qs(parts.query).get("streams", [""])[0]
        self.combined = base.endswith("/stream")
        self.streams = [name for name in (streams + "/" + named).split("/") if name]
        self.live = base in LIVE[venue]
        self.known = self.live or base in SILENT[venue]


def _split(path: str) -> tuple[str, str]:
    """Return the base of a path and the streams behind it."""
    head, sep, tail = path.partition("/ws")
    if sep:
        return head + sep, tail.strip("/")
    return path.rstrip("/"), ""


def answer(streams: dict[str, None], text: str) -> tuple[dict[str, Any], str]:
    """Do what a message asks with the streams of a connection; return the answer and the method."""
    try:
        message = json.loads(text)
        method, number = message["method"], message.get("id")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return {"error": {"code": 3, "msg": f"Invalid JSON: {error}"}}, ""
    wanted = message.get("params", [])
    if method == "SUBSCRIBE":
        streams.update(dict.fromkeys(wanted))
    elif method == "UNSUBSCRIBE":
        for stream in wanted:
            streams.pop(stream, None)
    elif method == "LIST_SUBSCRIPTIONS":
        return {"result": list(streams), "id": number}, method
    else:
        said = f"Invalid request: unknown variant {method}"
        return {"error": {"code": 2, "msg": said}, "id": number}, method
    return {"result": None, "id": number}, method
