"""Lets pages of the configured other origins use the API: without cookies, and nobody else."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.deprecation import MiddlewareMixin


class CorsMiddleware(MiddlewareMixin):
    """Answers preflights, and names the origin in the answers, for TRADE_CANVAS_CORS_ORIGINS."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """Answer a preflight; every other request goes on."""
        asked = request.headers.get("Access-Control-Request-Method")
        return HttpResponse(status=204) if request.method == "OPTIONS" and asked else None

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Name the origin if it is one of ours."""
        origins = settings.TRADE_CANVAS_CORS_ORIGINS
        if not origins or not request.path.startswith("/api/"):
            return response
        patch_vary_headers(response, ["Origin"])
        origin = request.headers.get("Origin")
        if origin in origins:
            response["Access-Control-Allow-Origin"] = origin
            response["Access-Control-Allow-Methods"] = "GET, POST"
            response["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
            response["Access-Control-Max-Age"] = "600"
        return response
