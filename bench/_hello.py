"""A hello-world of any size on the same server: what Django and uvicorn cost without us."""

from django.http import HttpRequest, HttpResponse
from django.urls import include, path


def hello(request: HttpRequest, size: int) -> HttpResponse:
    """Return a body of so many bytes."""
    return HttpResponse(b" " * size, content_type="application/json")


urlpatterns = [path("hello/<int:size>", hello), path("", include("tradecanvas.urls"))]
