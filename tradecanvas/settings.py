"""Every setting of the project, read once from the environment.

Names that start with `TRADE_CANVAS_` are the same here and in the environment; `.env.example`
describes those that a user may want to change. `DATABASE_URL` and `REDIS_URL` choose the services.
"""

import logging
import mimetypes
import os
import sys
import tempfile
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import django_stubs_ext
import environ
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy
from psycopg import IsolationLevel

from tradecanvas import env

django_stubs_ext.monkeypatch()
mimetypes.add_type("text/javascript", ".js", strict=True)
mimetypes.add_type("text/javascript", ".mjs", strict=True)

BASE_DIR = Path(__file__).resolve().parent.parent
TESTING = "pytest" in sys.modules
# Programs that a test starts do not read it either: pytest sets this variable for them.
if not (TESTING or "PYTEST_VERSION" in os.environ) and (BASE_DIR / ".env").exists():
    environ.Env.read_env(str(BASE_DIR / ".env"))

DEBUG = env.flag("DEBUG")
SECRET_KEY = env.text("SECRET_KEY", "only-for-tests" if TESTING else "")
if not SECRET_KEY:
    # Good until the process ends, and sessions with it; `./dev run` writes a lasting one.
    SECRET_KEY = os.urandom(32).hex()
ALLOWED_HOSTS = env.names("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])

INSTALLED_APPS = [
    "daphne",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "servestatic.runserver_nostatic",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "market",
    "factors",
    "ledger",
    "ingest",
    "tradecanvas",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "market.cors.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "tradecanvas.language.PageLocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "tradecanvas.errors.KnownErrorsMiddleware",
]
ROOT_URLCONF = "tradecanvas.urls"
ASGI_APPLICATION = "tradecanvas.asgi.application"
APPEND_SLASH = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# Seconds that the threads of the server keep their connections; those of a test end with it.
KEEP_CONNECTIONS = 0 if TESTING else 600
SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA cache_size=-65536;"
    "PRAGMA temp_store=MEMORY;"
)


def databases(url: str) -> dict[str, dict[str, Any]]:
    """Return the two connections to one database: `default` writes, `reader` sees one state."""
    config: dict[str, Any] = environ.Env.db_url_config(url)
    config |= {"CONN_MAX_AGE": KEEP_CONNECTIONS, "CONN_HEALTH_CHECKS": True}
    mirror = {"TEST": {"MIRROR": "default"}}
    if config["ENGINE"] == "django.db.backends.sqlite3":
        test = {
            "TEST": {"NAME": Path(tempfile.gettempdir()) / f"tradecanvas-{os.getpid()}.sqlite3"}
        }
        shared = {"timeout": 10, "init_command": SQLITE_PRAGMAS}
        reader = {"timeout": 10, "init_command": SQLITE_PRAGMAS + "PRAGMA query_only=1;"}
        return {
            "default": config | {"OPTIONS": {"transaction_mode": "IMMEDIATE"} | shared} | test,
            "reader": config | {"OPTIONS": {"transaction_mode": "DEFERRED"} | reader} | mirror,
        }
    if config["ENGINE"] == "django.db.backends.postgresql":
        options = config.get("OPTIONS", {})
        one_state = options | {
            "isolation_level": IsolationLevel.REPEATABLE_READ,
            "options": "-c default_transaction_read_only=on",
        }
        return {"default": config, "reader": config | {"OPTIONS": one_state} | mirror}
    raise ImproperlyConfigured("DATABASE_URL must begin with sqlite:/// or postgres://")


DATABASES = databases(env.text("DATABASE_URL", f"sqlite:///{BASE_DIR}/db.sqlite3"))

# Set by `serve --demo` for the server that it starts: the time of its recording.
DEMO_CLOCK = env.text("DEMO_CLOCK")
REDIS_URL = env.text("REDIS_URL")
CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        # Longer than the layer itself waits for a message, so that silence is not an error.
        "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_timeout": 15}], "capacity": 1000},
    }
    if REDIS_URL
    else {"BACKEND": "market.layer.MemoryChannelLayer", "CONFIG": {"capacity": 1000}}
}

LANGUAGE_CODE = "en"
LANGUAGES = [("en", gettext_lazy("English")), ("zh-hans", gettext_lazy("Simplified Chinese"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
CHART_LIBRARY_DIR = BASE_DIR / "node_modules" / "lightweight-charts" / "dist"
STATICFILES_DIRS: list[Any] = [BASE_DIR / "static", ("lightweight-charts", CHART_LIBRARY_DIR)]
SERVESTATIC_USE_FINDERS = True


def static_headers(headers: MutableMapping[str, str], path: str, url: str) -> None:
    """Add to the headers of a file what `SecurityMiddleware` adds to those of all others."""
    headers["X-Content-Type-Options"] = "nosniff"


SERVESTATIC_ADD_HEADERS_FUNCTION = static_headers

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["market.http.OrjsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["market.http.BoundedJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "market.http.AlwaysJSON",
    "DEFAULT_AUTHENTICATION_CLASSES": ["market.access.SessionUser"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"],
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS is for CORS alone
    "EXCEPTION_HANDLER": "tradecanvas.errors.answer",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}

LOG_LEVEL = env.choice(
    "LOG_LEVEL", "info", ["debug", "info", "warning", "error", "critical"]
).upper()
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line", "level": LOG_LEVEL},
        "debug_events": {"class": "market.debug.RingHandler"},
    },
    "loggers": {
        "market.debug_events": {"handlers": ["debug_events"], "level": "DEBUG"},
        "httpx": {"level": "WARNING"},  # it would name every request
    },
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
}
logging.captureWarnings(capture=True)

TRADE_CANVAS_ENABLE_DEV_API = env.flag("TRADE_CANVAS_ENABLE_DEV_API")
TRADE_CANVAS_ENABLE_READ_REPAIR_API = env.flag("TRADE_CANVAS_ENABLE_READ_REPAIR_API")
TRADE_CANVAS_ENABLE_DEBUG_API = env.flag("TRADE_CANVAS_ENABLE_DEBUG_API")
TRADE_CANVAS_ENABLE_RUNTIME_METRICS = env.flag("TRADE_CANVAS_ENABLE_RUNTIME_METRICS")
TRADE_CANVAS_ENABLE_MARKET_AUTO_TAIL_BACKFILL = env.flag(
    "TRADE_CANVAS_ENABLE_MARKET_AUTO_TAIL_BACKFILL"
)
TRADE_CANVAS_ENABLE_READ_LEDGER_WARMUP = env.flag(
    "TRADE_CANVAS_ENABLE_READ_LEDGER_WARMUP",
    default=TRADE_CANVAS_ENABLE_MARKET_AUTO_TAIL_BACKFILL,
)
TRADE_CANVAS_ENABLE_FACTOR_INGEST = env.flag("TRADE_CANVAS_ENABLE_FACTOR_INGEST", default=True)
TRADE_CANVAS_ENABLE_OVERLAY_INGEST = env.flag("TRADE_CANVAS_ENABLE_OVERLAY_INGEST", default=True)
TRADE_CANVAS_PIVOT_WINDOW_MAJOR = env.integer("TRADE_CANVAS_PIVOT_WINDOW_MAJOR", 50, minimum=1)
TRADE_CANVAS_PIVOT_WINDOW_MINOR = env.integer("TRADE_CANVAS_PIVOT_WINDOW_MINOR", 5, minimum=1)
TRADE_CANVAS_EXTRA_FACTORS = env.names("TRADE_CANVAS_EXTRA_FACTORS")
TRADE_CANVAS_FACTOR_PARAMS = env.numbers("TRADE_CANVAS_FACTOR_PARAMS")
TRADE_CANVAS_FACTOR_LOGIC_VERSION = env.text("TRADE_CANVAS_FACTOR_LOGIC_VERSION")
TRADE_CANVAS_ENABLE_FACTOR_FINGERPRINT_REBUILD = env.flag(
    "TRADE_CANVAS_ENABLE_FACTOR_FINGERPRINT_REBUILD", default=True
)
TRADE_CANVAS_OVERLAY_WINDOW_CANDLES = env.integer(
    "TRADE_CANVAS_OVERLAY_WINDOW_CANDLES", 2000, minimum=100
)
TRADE_CANVAS_MARKET_WS_CATCHUP_LIMIT = env.integer(
    "TRADE_CANVAS_MARKET_WS_CATCHUP_LIMIT", 5000, minimum=100
)
TRADE_CANVAS_BLOCKING_WORKERS = env.integer("TRADE_CANVAS_BLOCKING_WORKERS", 8, minimum=1)
TRADE_CANVAS_READ_CACHE_MB = env.integer("TRADE_CANVAS_READ_CACHE_MB", 64, minimum=0)
TRADE_CANVAS_WHITELIST_PATH = Path(
    env.text("TRADE_CANVAS_WHITELIST_PATH", str(BASE_DIR / "config" / "market_whitelist.json"))
)
TRADE_CANVAS_CORS_ORIGINS = env.names("TRADE_CANVAS_CORS_ORIGINS")

TRADE_CANVAS_ENABLE_WHITELIST_INGEST = env.flag("TRADE_CANVAS_ENABLE_WHITELIST_INGEST")
TRADE_CANVAS_ENABLE_ONDEMAND_INGEST = env.flag("TRADE_CANVAS_ENABLE_ONDEMAND_INGEST")
TRADE_CANVAS_ONDEMAND_IDLE_TTL_S = env.integer("TRADE_CANVAS_ONDEMAND_IDLE_TTL_S", 60, minimum=1)
TRADE_CANVAS_ONDEMAND_MAX_JOBS = env.integer("TRADE_CANVAS_ONDEMAND_MAX_JOBS", 0, minimum=0)
TRADE_CANVAS_INGEST_MAX_SERIES_PER_WORKER = env.integer(
    "TRADE_CANVAS_INGEST_MAX_SERIES_PER_WORKER", 0, minimum=0
)
TRADE_CANVAS_ENABLE_INGEST_ROLE_GUARD = env.flag("TRADE_CANVAS_ENABLE_INGEST_ROLE_GUARD")
TRADE_CANVAS_INGEST_ROLE = env.choice(
    "TRADE_CANVAS_INGEST_ROLE", "hybrid", ["hybrid", "ingest", "read"]
)
TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = env.flag("TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL")
TRADE_CANVAS_BINANCE_WS_BATCH_MAX = env.integer("TRADE_CANVAS_BINANCE_WS_BATCH_MAX", 200, minimum=1)
TRADE_CANVAS_BINANCE_WS_FLUSH_S = env.decimal("TRADE_CANVAS_BINANCE_WS_FLUSH_S", 0.5, minimum=0.05)
TRADE_CANVAS_MARKET_FORMING_MIN_INTERVAL_MS = env.integer(
    "TRADE_CANVAS_MARKET_FORMING_MIN_INTERVAL_MS", 250, minimum=0
)
TRADE_CANVAS_BINANCE_FUTURES_WS_BASE = env.text(
    "TRADE_CANVAS_BINANCE_FUTURES_WS_BASE", "wss://fstream.binance.com/market"
)
TRADE_CANVAS_BINANCE_SPOT_WS_BASE = env.text(
    "TRADE_CANVAS_BINANCE_SPOT_WS_BASE", "wss://stream.binance.com:9443"
)
TRADE_CANVAS_BINANCE_FUTURES_REST_BASE = env.text(
    "TRADE_CANVAS_BINANCE_FUTURES_REST_BASE", "https://fapi.binance.com"
)
TRADE_CANVAS_BINANCE_SPOT_REST_BASE = env.text(
    "TRADE_CANVAS_BINANCE_SPOT_REST_BASE", "https://api.binance.com"
)
TRADE_CANVAS_BINANCE_FUTURES_BASE_URL = env.text(
    "TRADE_CANVAS_BINANCE_FUTURES_BASE_URL", TRADE_CANVAS_BINANCE_FUTURES_REST_BASE
)
TRADE_CANVAS_BINANCE_SPOT_BASE_URL = env.text(
    "TRADE_CANVAS_BINANCE_SPOT_BASE_URL", TRADE_CANVAS_BINANCE_SPOT_REST_BASE
)
TRADE_CANVAS_BINANCE_EXCHANGEINFO_TTL_S = env.integer(
    "TRADE_CANVAS_BINANCE_EXCHANGEINFO_TTL_S", 3600, minimum=1
)
TRADE_CANVAS_BINANCE_TICKER_TTL_S = env.integer("TRADE_CANVAS_BINANCE_TICKER_TTL_S", 10, minimum=1)
TRADE_CANVAS_ENABLE_CCXT_BACKFILL = env.flag("TRADE_CANVAS_ENABLE_CCXT_BACKFILL")
TRADE_CANVAS_ENABLE_CCXT_BACKFILL_ON_READ = env.flag(
    "TRADE_CANVAS_ENABLE_CCXT_BACKFILL_ON_READ",
    default=TRADE_CANVAS_ENABLE_MARKET_AUTO_TAIL_BACKFILL,
)
TRADE_CANVAS_CCXT_TIMEOUT_MS = env.integer("TRADE_CANVAS_CCXT_TIMEOUT_MS", 10_000, minimum=1000)
TRADE_CANVAS_MARKET_AUTO_TAIL_BACKFILL_MAX_CANDLES = env.integer(
    "TRADE_CANVAS_MARKET_AUTO_TAIL_BACKFILL_MAX_CANDLES", 0, minimum=0
)
TRADE_CANVAS_ENABLE_MARKET_GAP_BACKFILL = env.flag("TRADE_CANVAS_ENABLE_MARKET_GAP_BACKFILL")
TRADE_CANVAS_MARKET_GAP_BACKFILL_READ_LIMIT = env.integer(
    "TRADE_CANVAS_MARKET_GAP_BACKFILL_READ_LIMIT", 5000, minimum=100
)
TRADE_CANVAS_ENABLE_STARTUP_KLINE_SYNC = env.flag("TRADE_CANVAS_ENABLE_STARTUP_KLINE_SYNC")
TRADE_CANVAS_STARTUP_KLINE_SYNC_TARGET_CANDLES = env.integer(
    "TRADE_CANVAS_STARTUP_KLINE_SYNC_TARGET_CANDLES", 2000, minimum=100
)
TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES = env.flag("TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES")
TRADE_CANVAS_DERIVED_BASE_TIMEFRAME = env.text("TRADE_CANVAS_DERIVED_BASE_TIMEFRAME", "1m")
TRADE_CANVAS_DERIVED_TIMEFRAMES = env.names(
    "TRADE_CANVAS_DERIVED_TIMEFRAMES", ["5m", "15m", "1h", "4h", "1d"]
)
TRADE_CANVAS_DERIVED_BACKFILL_BASE_CANDLES = env.integer(
    "TRADE_CANVAS_DERIVED_BACKFILL_BASE_CANDLES", 2000, minimum=100
)
TRADE_CANVAS_ENABLE_KLINE_HEALTH_V2 = env.flag("TRADE_CANVAS_ENABLE_KLINE_HEALTH_V2")
TRADE_CANVAS_KLINE_HEALTH_BACKFILL_RECENT_SECONDS = env.integer(
    "TRADE_CANVAS_KLINE_HEALTH_BACKFILL_RECENT_SECONDS", 120, minimum=5
)
TRADE_CANVAS_KLINE_HEALTH_GRACE_S = env.integer("TRADE_CANVAS_KLINE_HEALTH_GRACE_S", 5, minimum=0)

# Names of the earlier system that are accepted, named by `manage.py check`, and do nothing.
SETTINGS_WITHOUT_EFFECT = [
    name
    for name in (
        "TRADE_CANVAS_ENABLE_INGEST_COMPENSATE_OVERLAY_ERROR",
        "TRADE_CANVAS_ENABLE_INGEST_COMPENSATE_NEW_CANDLES",
        "TRADE_CANVAS_ENABLE_CAPACITY_METRICS",
        "TRADE_CANVAS_FACTOR_LOOKBACK_CANDLES",
        "TRADE_CANVAS_FACTOR_STATE_REBUILD_EVENT_LIMIT",
        "TRADE_CANVAS_FACTOR_REBUILD_KEEP_CANDLES",
        "TRADE_CANVAS_MARKET_HISTORY_SOURCE",
        "TRADE_CANVAS_MARKET_GAP_BACKFILL_FREQTRADE_LIMIT",
        "TRADE_CANVAS_ENABLE_MARKET_BACKFILL_PROGRESS_PERSISTENCE",
        "TRADE_CANVAS_ENABLE_STRICT_CLOSED_ONLY",
        "TRADE_CANVAS_MARKET_FRESH_WINDOW_CANDLES",
        "TRADE_CANVAS_MARKET_STALE_WINDOW_CANDLES",
    )
    if env.text(name)
]
