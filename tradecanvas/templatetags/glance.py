"""What the admin shows first: whether ledgers, feeds, circuits and jobs are well."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

from django import template
from django.db.models import TextChoices
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ingest import counting
from ledger import standing

C = TypeVar("C", bound=TextChoices)

register = template.Library()


class Part(NamedTuple):
    """One kind of things: what it is called, where they are shown, and how many are in a state."""

    title: str | Promise
    link: str
    counts: Iterable[tuple[str | Promise, int]]


@register.simple_tag
def glance() -> list[Part]:
    """Return the parts of the admin's first page, in the data's way backwards."""
    return [
        _part(_("Ledgers"), "ledger", standing.ledgers_by_status()),
        _part(_("Feeds"), "ingest", counting.jobs_by_state()),
        _part(
            _("Circuits"), "admin:ingest_ingestguardrail_changelist", counting.circuits_by_state()
        ),
        _part(_("Ledger jobs"), "admin:ledger_ledgerjob_changelist", standing.jobs_by_state()),
    ]


def _part(title: str | Promise, route: str, counts: Mapping[C, int]) -> Part:
    named = [(state.label, count) for state, count in counts.items()]
    return Part(title, reverse(route), named)
