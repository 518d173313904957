"""The settings of the project, with a hello-world beside its routes to compare with."""

from tradecanvas.settings import *  # noqa: F403 (all of them)

ROOT_URLCONF = "bench._hello"
