"""The site: it is built without a complaint, and needs nothing from a network."""

import re

import pytest

from manual.__main__ import build


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site. A broken link, a page in no menu or a missing picture ends the build."""
    site = tmp_path_factory.mktemp("site")
    assert build(site) == 0
    return site


def test_nothing_is_fetched(site):
    for page in site.glob("*.html"):
        fetched = re.findall(
            r"<(?:script|img|link|iframe)\b[^>]*(?:src|href)=\"([^\"]+)", page.read_text()
        )
        assert [address for address in fetched if "//" in address] == [], page.name
    for style in site.glob("assets/**/*.css"):
        assert not re.search(r"url\(\s*[\"']?(https?:)?//", style.read_text()), style.name


def test_pages_lead_to_files_so_that_they_open_without_a_server(site):
    home = (site / "index.html").read_text()
    assert 'href="tutorial.html"' in home
    assert (site / "search" / "search_index.js").read_text().startswith("var __index = ")


def test_the_reference_is_in_the_search(site):
    index = (site / "search" / "search_index.json").read_text()
    for place in ("reference-job-file.html#timeout", "reference-commands.html#history",
                  "reference-settings.html#cluster", "reference-tables.html#attempt"):  # fmt: skip
        assert place in index
