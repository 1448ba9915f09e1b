"""Links of the pages, without a network: what is named is there, and what is far away is at least well-formed."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [
    *(path for path in sorted(DOCS.rglob("*.md")) if not {"_build", "generated"} & set(path.relative_to(DOCS).parts)),
    *sorted(ROOT.glob("*.md")),
]


def prose(path):
    """Return a page without its code, where brackets mean something else."""
    text = re.sub(r"^( *)(```+|~~~+).*?^\1\2\s*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", lambda code: code.group() if before(text, code) == "}" else "``", text)


def before(text, match):
    return text[match.start() - 1 : match.start()]


def anchors(path):
    """Return the anchors of a page's headings, as MyST makes them, and of its targets."""
    text = path.read_text(encoding="utf-8")
    heads = re.findall(r"^#{1,3} (.+)$", text, flags=re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
    return made | set(re.findall(r"^\(([\w-]+)\)=$", text, flags=re.MULTILINE))


def ids(path):
    return str(path.relative_to(ROOT))


def is_there(path, link):
    """Return whether a relative link of a page leads to a file, and to a heading of it."""
    url = urlsplit(link)
    target = path.parent / url.path if url.path else path
    if url.scheme or "generated" in target.parts:  # elsewhere, or made by the build
        return True
    return target.exists() and (not url.fragment or target.suffix != ".md" or url.fragment in anchors(target))


def broken_links(path):
    """Return a page's links, and references to pages, that lead nowhere."""
    text = prose(path)
    pages = re.findall(r"\{doc\}`(?:[^`<]*<)?([^`>]+)>?`", text)
    return [
        *(link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not is_there(path, link)),
        *(page for page in pages if not (path.parent / f"{page}.md").exists()),
    ]


@pytest.mark.parametrize("path", PAGES, ids=ids)
def test_links_lead_to_what_is_there(path):
    assert not broken_links(path)


@pytest.mark.parametrize("path", PAGES, ids=ids)
def test_addresses_elsewhere_are_well_formed(path):
    for link in re.findall(r"(?:\]\(|<)(\w+://[^)>\s]+)[)>]", prose(path)):
        url = urlsplit(link)
        assert url.scheme == "https", link
        assert re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", url.netloc), link


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    text = (
        "# A head\n\n[a](#a-head) [b](#gone) {doc}`page` {doc}`The other <other>` `{doc}` [c](https://x.org) [d](no.md)"
    )
    page.write_text(f"{text}\n\n```\n[e](none)\n```\n")
    assert broken_links(page) == ["#gone", "no.md", "other"]
