"""The document of the socket: complete, closed in itself, and about what is really sent."""

import json
import re
from typing import Any

import pytest
from django.test import Client
from pydantic import ValidationError

from market import messages
from market.candles import Candle
from market.message_types import CLIENT, MESSAGE, SERVER

CANDLE = Candle(1_700_000_040, 1.0, 2.0, 0.5, 1.5, 10.0)
SERIES = "binance:futures:BTC/USDT:1m"
SENT = [
    messages.candle_closed(SERIES, CANDLE),
    messages.candles_batch(SERIES, [CANDLE]),
    messages.candle_forming(SERIES, CANDLE),
    messages.gap(SERIES, 60, 180),
    messages.factors_rebuilt(SERIES),
    messages.error("bad_request", "invalid since"),
    messages.capacity(SERIES),
]


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    """Return what the server answers."""
    answer: dict[str, Any] = client.get("/api/asyncapi").json()
    return answer


def test_it_names_every_message_once(document: dict[str, Any]) -> None:
    assert document["asyncapi"] == "3.0.0"
    names = {kind.__name__ for kind in (*CLIENT, *SERVER)}
    assert document["channels"]["market"]["messages"].keys() == names
    said = [m["$ref"] for o in document["operations"].values() for m in o["messages"]]
    assert {ref.rpartition("/")[2] for ref in said} == names


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for ref in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)):
        place: Any = document
        for step in ref.split("/"):
            place = place[step]
        assert place


@pytest.mark.parametrize("text", SENT)
def test_what_is_sent_is_what_is_described(text: str) -> None:
    message = MESSAGE.validate_json(text)

    assert json.loads(text) == message


@pytest.mark.parametrize("text", SENT)
def test_a_message_with_a_field_more_is_not_described(text: str) -> None:
    with pytest.raises(ValidationError):
        MESSAGE.validate_python(json.loads(text) | {"more": 1})
