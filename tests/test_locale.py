"""Every text of the pages has its Chinese, and the compiled catalogue is the written one."""

import re
from collections.abc import Iterator
from gettext import GNUTranslations
from pathlib import Path

import pytest
from babel.messages import pofile
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from django.conf import settings
from django.test import Client
from django.utils.translation import override

from tradecanvas import pages

FOLDER = Path(settings.BASE_DIR) / "locale" / "zh_Hans" / "LC_MESSAGES"
TRANSLATE = re.compile(r"""\{% translate (["'])(.+?)\1 %\}""")
PLACEHOLDER = re.compile(r"\{\w+\}")


def catalogue() -> Catalog:
    with (FOLDER / "django.po").open("rb") as file:
        return pofile.read_po(file, locale="zh_Hans")


def template_texts() -> Iterator[str]:
    for path in (Path(settings.BASE_DIR) / "templates").rglob("*.html"):
        yield from (match[2] for match in TRANSLATE.finditer(path.read_text()))


def python_texts() -> Iterator[str]:
    """Yield what stands in gettext calls of our apps."""
    for app in ("market", "factors", "ledger", "ingest", "tradecanvas"):
        found = extract_from_dir(
            Path(settings.BASE_DIR) / app,
            method_map=[("**.py", "python")],
            keywords={"gettext": None, "gettext_lazy": None, "_": None},
        )
        yield from (str(message) for _, _, message, _, _ in found)


def english_texts() -> set[str]:
    return {*template_texts(), *python_texts()}


def test_every_text_has_its_chinese_and_no_other_is_left() -> None:
    translated = {message.id for message in catalogue() if message.id and message.string}

    assert translated == english_texts()


def test_no_text_is_translated_twice() -> None:
    written = (FOLDER / "django.po").read_text()

    # The first one is the header's.
    assert len(re.findall(r"^msgid ", written, re.MULTILINE)) == 1 + len(catalogue())


def test_no_translate_tag_escapes_the_search() -> None:
    for path in (Path(settings.BASE_DIR) / "templates").rglob("*.html"):
        source = path.read_text()

        assert len(TRANSLATE.findall(source)) == len(re.findall(r"\{%.*?trans", source)), path.name


def test_placeholders_are_the_same_in_both_languages() -> None:
    for message in catalogue():
        found = [set(PLACEHOLDER.findall(str(text))) for text in (message.id, message.string)]

        assert found[0] == found[1], message.id


def test_the_compiled_catalogue_is_the_written_one() -> None:
    with (FOLDER / "django.mo").open("rb") as file:
        compiled = GNUTranslations(file)

    for message in catalogue():
        if message.id:
            assert compiled.gettext(str(message.id)) == message.string


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("accepted", "lang", "text"), [("en", "en", "Go to latest"), ("zh-CN", "zh-hans", "回到最新")]
)
def test_the_first_visit_follows_the_browser(accepted: str, lang: str, text: str) -> None:
    page = Client().get("/live", headers={"accept-language": accepted}).content.decode()

    assert f'<html lang="{lang}">' in page
    assert text in page


def test_a_text_of_the_modules_is_chinese_in_a_chinese_page() -> None:
    with override("zh-hans"):
        assert str(pages.TEXTS["loading"]) == "K线载入中…"


@pytest.mark.django_db
def test_pages_speak_the_language_of_who_looks_and_the_api_none(client: Client) -> None:
    chinese = {"Accept-Language": "zh-hans"}
    page = client.get("/about", headers=chinese)
    answer = client.get("/api/market/whitelist", headers=chinese)

    assert page["Content-Language"] == "zh-hans"
    assert not {"Content-Language", "Vary"} & answer.headers.keys()
