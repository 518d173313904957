"""The language of pages is that of who looks at them; the API speaks no language."""

from collections.abc import Awaitable

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.locale import LocaleMiddleware
from django.utils import translation


class PageLocaleMiddleware(LocaleMiddleware):
    """Chooses a language for everything but `/api/`, whose answers are the same for everybody."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Pass on, in the language of the request, or in that of the project."""
        if request.path_info.startswith("/api/"):
            translation.deactivate()  # a page may have left its language to this thread
            return self.get_response(request)
        return super().__call__(request)
