"""The modules that the chart needs at once are named on its page, and no others."""

import pytest
from django.test import Client

from tradecanvas.modules import modules_of


def test_all_that_a_module_imports_is_named_once() -> None:
    names = modules_of("tc/app/live.js")
    assert names[0] == "tc/app/live.js"
    assert len(set(names)) == len(names)
    assert {"tc/chart/chart.js", "tc/chart/structure-layer.js", "tc/app/overlay.js"} <= {*names}


def test_what_is_imported_later_is_left_out() -> None:
    assert not {"tc/app/card.js", "tc/app/keys.js", "tc/app/lamps.js"} & {
        *modules_of("tc/app/live.js")
    }


@pytest.mark.django_db
def test_page_asks_for_all_of_them_at_once(client: Client) -> None:
    page = client.get("/live").content.decode()
    for name in modules_of("tc/app/live.js"):
        assert f'rel="modulepreload" href="/static/{name}"' in page, name
