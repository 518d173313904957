"""Routes about the factors themselves; slices need the ledger's heads and stand in `ledger.api`."""

from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from factors.slices import catalog


@api_view(["GET"])
def factor_catalog(request: Request) -> Response:
    """Return the factors and what they draw, in dependency order (`GET /api/factor/catalog`)."""
    return Response(catalog())
