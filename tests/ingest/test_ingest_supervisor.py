"""Which series a process follows: the whitelist, what is watched, leases, places and stops."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from django.db import OperationalError
from pytest_django import Settings

from ingest import pipeline
from ingest.binance import VENUES, UnsupportedSeriesError
from ingest.feed_state import feed_state
from ingest.jobs import jobs_make
from ingest.loop import MarketLoop
from ingest.models import IngestGuardrail, IngestJob
from ingest.polling import PollingLoop
from ingest.supervisor import IngestSupervisor
from ingest.wishes import jobs_allowed, jobs_settle
from market.candles import Candles
from market.demand import demand_end, demand_write
from tests.exchange.faults import DropAll, RestDown
from tests.ingest.feeding import BTC, ETH, Feeding, exchange_of
from tests.jumping import jump

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])

NOW = 1_700_000_000.0
FAR = datetime(2099, 1, 1, tzinfo=UTC)
Story = Callable[[Feeding, IngestSupervisor], Coroutine[Any, Any, None]]


@pytest.fixture(autouse=True)
def on_demand(settings: Settings) -> None:
    """Follow what is watched, and nothing else."""
    settings.TRADE_CANVAS_ENABLE_ONDEMAND_INGEST = True
    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = True


def watch(**counts: int) -> None:
    """Let one web process have so many subscribers of `BTC` and `ETH`."""
    names = {"btc": BTC, "eth": ETH}
    demand_write("web", {names[name]: count for name, count in counts.items()})


def nobody_polls(exchange: str, market: str) -> PollingLoop:
    raise AssertionError(f"{exchange} {market} is polled")


def supervise(story: Story, *named: str) -> Feeding:
    """Play a story of a supervisor on an exchange, in virtual time."""

    async def main() -> Feeding:
        exchange = exchange_of("BTCUSDT", "ETHUSDT")
        async with exchange, Feeding.connected(exchange) as feed:
            supervisor = IngestSupervisor(
                station=feed.station,
                surroundings=lambda _: feed.around,
                polling=lambda *place: nobody_polls(*place),
                named=named,
            )
            stop = asyncio.Event()
            running = asyncio.create_task(supervisor.run(stop))
            await story(feed, supervisor)
            stop.set()
            await asyncio.wait_for(running, 30)
        return feed

    return jump(main())


async def nothing_before(_: Feeding) -> None:
    """Let the exchange be as it is."""


def once(name: str, before: Callable[..., Any] = nothing_before) -> tuple[Feeding, set[str]]:
    """Let a supervisor catch up with one series; return what it could not follow."""

    async def main() -> tuple[Feeding, set[str]]:
        exchange = exchange_of("BTCUSDT", "ETHUSDT")
        async with exchange, Feeding.connected(exchange) as feed:
            await before(feed)
            supervisor = IngestSupervisor(
                station=feed.station,
                surroundings=lambda _: feed.around,
                polling=nobody_polls,
                named=(name,),
            )
            await asyncio.wait_for(supervisor.run(asyncio.Event(), once=True), 600)
            return feed, supervisor.refused()

    return jump(main())


def test_what_is_watched_is_followed() -> None:
    watch(btc=2)

    async def story(feed: Feeding, _: IngestSupervisor) -> None:
        await feed.minutes(3)
        job = feed.worker.now(IngestJob.objects.get)
        assert (job.series_id, job.refcount, job.state) == (BTC, 2, "streaming")
        assert job.lease_owner == "test"
        begun = feed.exchange.clock.local() - 180
        moments = [begun, job.started_at or 0.0, job.connected_at or 0.0, begun + 3]
        assert moments == sorted(moments)

    feed = supervise(story)

    feed.require_true(behind=1)
    job = IngestJob.objects.get()
    assert (job.lease_owner, job.state, job.started_at) == ("", "idle", None)


def test_a_feed_that_is_told_to_stop_says_so_until_all_is_written() -> None:
    watch(btc=1)
    seen: list[str] = []

    async def story(feed: Feeding, supervisor: IngestSupervisor) -> None:
        await feed.minutes(2)
        stop = MarketLoop.stop

        def stopped(loop: MarketLoop) -> None:
            seen.append(feed.worker.now(IngestJob.objects.get).state)
            stop(loop)

        patching.enter_context(patch.object(MarketLoop, "stop", stopped))

    with ExitStack() as patching:
        supervise(story)

    assert seen == ["stopping"]
    assert IngestJob.objects.get().state == "idle"


def test_a_series_that_is_stopped_and_started_while_it_is_stored_goes_on() -> None:
    watch(btc=1)

    async def story(feed: Feeding, _: IngestSupervisor) -> None:
        await asyncio.sleep(140)
        run, begun = feed.worker.run, asyncio.Event()

        async def slow(work: Any, *arguments: Any, **named: Any) -> Any:
            if work == feed.around.commit and not begun.is_set():
                begun.set()
                await asyncio.sleep(3.5)
            return await run(work, *arguments, **named)

        with patch.object(feed.worker, "run", slow):
            await begun.wait()
            feed.worker.now(partial(IngestJob.objects.update, wanted=False))
            await asyncio.sleep(1.2)
            feed.worker.now(partial(IngestJob.objects.update, wanted=True))
            await feed.minutes(4)
        assert feed.worker.now(IngestJob.objects.get).state == "streaming"

    supervise(story).require_true(behind=1)


def test_an_exchange_that_no_loop_can_be_made_for_stops_nobody() -> None:
    odd = "bare:spot:BTC/USDT:1m"
    demand_write("web", {BTC: 1, odd: 1})

    async def story(feed: Feeding, _: IngestSupervisor) -> None:
        await feed.minutes(4)
        job = feed.worker.now(partial(IngestJob.objects.get, series_id=odd))
        assert (job.state, job.last_error) == ("open", "bare gives no candles")
        assert job.lease_owner == ""

    with (
        patch("ingest.supervisor.require_feed"),
        patch(
            f"{__name__}.nobody_polls", side_effect=UnsupportedSeriesError("bare gives no candles")
        ),
    ):
        feed = supervise(story)

    feed.require_true(behind=1)


@pytest.mark.parametrize("name", ["binance:futures:NOPE/USDT:1m", "nowhere:spot:BTC/USDT:1m"])
def test_once_ends_where_no_exchange_has_the_series(name: str) -> None:
    assert once(name)[1] == {name}


def test_once_ends_when_all_is_there_that_could_not_be_filled_at_first() -> None:
    async def before(feed: Feeding) -> None:
        rows = feed.exchange.candles("futures", "BTCUSDT")[:-200]
        feed.worker.now(pipeline.run_sync, {BTC: Candles.from_rows(rows)})
        feed.exchange.inject(RestDown(path="klines", seconds=90, times=None))

    feed, refused = once(BTC, before)

    feed.require_true(behind=1)
    assert refused == set()


def test_what_another_worker_follows_is_left_to_it() -> None:
    jobs_make({BTC: "whitelist"})
    IngestJob.objects.update(state="streaming", lease_owner="another", lease_expires_at=FAR)

    jobs_settle(NOW, (), "me")
    assert jobs_settle(NOW + 3600, (), "me") == []
    assert IngestJob.objects.get().state == "streaming"
    jobs_settle(NOW + 3600, (), "another")
    assert IngestJob.objects.get().state == "idle"


def test_the_whitelist_is_followed_for_ever(settings: Settings, tmp_path: Any) -> None:
    path = tmp_path / "whitelist.json"
    path.write_bytes(orjson.dumps({"series_ids": [ETH]}))
    settings.TRADE_CANVAS_WHITELIST_PATH = path
    settings.TRADE_CANVAS_ENABLE_WHITELIST_INGEST = True

    assert jobs_settle(NOW) == [ETH]
    job = IngestJob.objects.get()
    assert (job.kind, job.refcount) == ("whitelist", -1)


def test_a_whitelist_that_cannot_be_read_for_a_moment_is_what_it_was(
    settings: Settings, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = settings.TRADE_CANVAS_WHITELIST_PATH = tmp_path / "whitelist.json"
    settings.TRADE_CANVAS_ENABLE_WHITELIST_INGEST = True
    path.write_bytes(orjson.dumps({"series_ids": [ETH]}))
    assert jobs_settle(NOW) == [ETH]
    path.write_text("{")

    assert [jobs_settle(NOW + second) for second in range(3)] == [[ETH]] * 3
    assert caplog.text.count("whitelist.unreadable") == 1


def test_a_series_nobody_watches_is_followed_until_its_idle_time_is_over() -> None:
    """Row 31 of the feeds' faults: what the supervisor does."""
    watch(btc=1)
    assert jobs_settle(NOW) == [BTC]
    demand_end("web")

    assert jobs_settle(NOW + 1) == [BTC]
    assert jobs_settle(NOW + 60.5) == [BTC]
    assert jobs_settle(NOW + 61.5) == []
    assert IngestJob.objects.get().state == "idle"


def test_who_comes_back_in_time_keeps_the_job_and_its_circuit() -> None:
    """Row 32 of the feeds' faults: what the supervisor does."""
    watch(btc=1)
    jobs_settle(NOW)
    IngestGuardrail.objects.create(series_id=BTC, state="open", open_until=NOW + 99)
    for second in range(0, 100, 2):
        demand_end("web")
        jobs_settle(NOW + second)
        watch(btc=3)
        assert jobs_settle(NOW + second + 1) == [BTC]

    assert IngestJob.objects.get().refcount == 3
    assert IngestGuardrail.objects.get().state == "open"


def test_the_series_left_longest_ago_gives_its_place_and_keeps_its_circuit(
    settings: Settings,
) -> None:
    """Row 33 of the feeds' faults: what the supervisor does."""
    settings.TRADE_CANVAS_ONDEMAND_MAX_JOBS = 1
    watch(btc=1)
    jobs_settle(NOW)
    IngestGuardrail.objects.create(series_id=BTC, state="open", open_until=NOW + 99)
    watch(btc=0)
    jobs_settle(NOW + 1)
    watch(eth=1)

    assert jobs_settle(NOW + 2) == [ETH]
    assert IngestGuardrail.objects.get(series_id=BTC).state == "open"


def test_a_job_that_staff_stopped_is_not_followed() -> None:
    watch(btc=1)
    jobs_settle(NOW)
    IngestJob.objects.update(wanted=False)

    assert jobs_settle(NOW + 1) == []


def test_a_process_that_may_not_follow_feeds_says_so(settings: Settings) -> None:
    """Row 44 of the feeds' faults: what a process asks itself."""
    assert jobs_allowed("ingest")
    settings.TRADE_CANVAS_INGEST_ROLE = "read"
    assert jobs_allowed("ingest")
    settings.TRADE_CANVAS_ENABLE_INGEST_ROLE_GUARD = True

    assert not jobs_allowed("ingest")


def test_two_workers_never_follow_one_series() -> None:
    """Row 25 of the feeds' faults: with two supervisors in turn."""
    watch(btc=1, eth=1)
    jobs_make({BTC: "ondemand"})
    IngestJob.objects.update(lease_owner="other", lease_token=7, lease_expires_at=FAR)

    async def story(feed: Feeding, supervisor: IngestSupervisor) -> None:
        await feed.minutes(3)
        assert set(supervisor.tokens) == {ETH}

    feed = supervise(story)

    assert feed.stored(BTC) == []
    feed.require_true(ETH, behind=1)
    assert IngestJob.objects.get(series_id=BTC).lease_token == 7


def test_a_worker_that_lost_its_lease_writes_nothing_more() -> None:
    """Row 27 of the feeds' faults: the fence, without a frozen process."""
    watch(btc=1)
    counts: list[int] = []

    async def story(feed: Feeding, supervisor: IngestSupervisor) -> None:
        await feed.minutes(3)
        taken = {"lease_owner": "other", "lease_token": 99, "lease_expires_at": FAR}
        feed.worker.now(IngestJob.objects.update, **taken)
        counts.append(len(feed.stored()))
        await feed.minutes(3)
        assert supervisor.tokens == {}

    feed = supervise(story)

    assert len(feed.stored()) == counts[0]
    assert IngestJob.objects.get().lease_owner == "other"


def test_a_worker_that_cannot_renew_its_leases_stops_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Row 30 of the feeds' faults."""
    watch(btc=1)

    def away(*_: Any) -> Any:
        raise OperationalError("the database is away")

    async def story(feed: Feeding, supervisor: IngestSupervisor) -> None:
        await feed.minutes(1.5)
        monkeypatch.setattr("ingest.supervisor.leases_renew", away)
        await asyncio.sleep(8)
        assert supervisor.tokens  # renewed at most 18 s ago
        await asyncio.sleep(14)
        assert supervisor.tokens == {}
        monkeypatch.undo()
        await feed.minutes(1)
        assert supervisor.tokens

    supervise(story).require_true(behind=1)


def test_a_series_that_no_feed_has_opens_its_circuit_and_stops_nobody() -> None:
    odd = "kraken:spot:BTC/USD:1m"
    watch(btc=1)

    async def story(feed: Feeding, _: IngestSupervisor) -> None:
        await feed.minutes(2)

    feed = supervise(story, odd)

    feed.require_true(behind=1)
    assert IngestGuardrail.objects.get(series_id=odd).last_error_kind == "config"
    assert "./dev venues" in IngestJob.objects.get(series_id=odd).last_error


def test_a_stop_writes_what_waits_and_gives_the_leases_up() -> None:
    """Row 45 of the feeds' faults: within one process."""

    async def story(feed: Feeding, _: IngestSupervisor) -> None:
        await feed.minutes(2.55)

    feed = supervise(story, BTC)

    feed.require_true()
    assert IngestJob.objects.get().lease_owner == ""


def test_more_series_than_a_socket_may_carry_go_over_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each series stays where it is; a place that is free is taken again."""
    alone = {"futures": replace(VENUES["futures"], most_streams=1)}
    monkeypatch.setattr("ingest.venues.VENUES", alone)
    watch(btc=1, eth=1)

    async def story(feed: Feeding, supervisor: IngestSupervisor) -> None:
        await feed.minutes(2)
        assert supervisor._places == {
            BTC: ("binance", "futures", 0),
            ETH: ("binance", "futures", 1),
        }
        assert feed.exchange.log.count("opened", "futures") == 2
        supervisor._places.pop(BTC)
        assert supervisor._place(BTC) == ("binance", "futures", 0)

    supervise(story).require_true(BTC, ETH, behind=1)


def test_a_process_knocks_once_a_second_whatever_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 46 of the feeds' faults: sockets that break together do not connect together."""
    alone = {"futures": replace(VENUES["futures"], most_streams=1)}
    monkeypatch.setattr("ingest.venues.VENUES", alone)
    watch(btc=1, eth=1)

    async def story(feed: Feeding, _: IngestSupervisor) -> None:
        for _time in range(5):
            await feed.minutes(1)
            feed.exchange.inject(DropAll())
        await feed.minutes(1)

    feed = supervise(story)
    times = [entry.time for entry in feed.exchange.log.of("attempt", "futures")]
    assert len(times) >= 12
    assert min(after - before for before, after in pairwise(times)) >= 0.99


def test_a_feed_whose_worker_died_is_off() -> None:
    jobs_make({BTC: "whitelist"})
    IngestJob.objects.update(state="streaming", lease_owner="dead", lease_expires_at=FAR)
    assert feed_state(BTC)["state"] == "streaming"

    IngestJob.objects.update(lease_expires_at=datetime(2020, 1, 1, tzinfo=UTC))

    assert feed_state(BTC)["state"] == "off"
