"""If-None-Match, in all its forms."""

import pytest
from fastapi import Request

from app.kit import conditional
from app.kit.conditional import EntityTag


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], False),
        (['"a1"'], True),
        (['W/"a1"'], True),
        (['"b", W/"a1" ,"c"'], True),
        (['"b"', '"a1"'], True),
        (["*"], True),
        ([" * "], True),
        (['"b"'], False),
        (['"a1,b"'], False),
        (["a1"], False),
        (["'a1'"], False),
        ([""], False),
        (['"'], False),
    ],
)
def test_what_the_client_has(lines: list[str], expected: bool) -> None:  # noqa: FBT001  # a parameter of the test
    headers = [(b"if-none-match", line.encode()) for line in lines]
    request = Request({"type": "http", "headers": headers})
    assert conditional.unchanged(request, '"a1"') is expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["*"], None),
        (['"3"'], {EntityTag("3")}),
        (['"3-zstd"'], {EntityTag("3")}),
        (['W/"3-gzip"'], {EntityTag("3", weak=True)}),
        (['"a", W/"b"', '"c,d"'], {EntityTag("a"), EntityTag("b", weak=True), EntityTag("c,d")}),
        ([',, "a" , '], {EntityTag("a")}),
        (['""'], {EntityTag("")}),
    ],
)
def test_entity_tags(lines: list[str], expected: set[EntityTag] | None) -> None:
    assert conditional.entity_tags(lines) == expected


@pytest.mark.parametrize("lines", [[], [""], [","], ["a"], ['"'], ['"a" "b"'], ['*, "a"'], ['"a\x7f"'], ['w/"a"']])
def test_no_entity_tags(lines: list[str]) -> None:
    with pytest.raises(ValueError, match="neither"):
        conditional.entity_tags(lines)
