"""If-None-Match, in all its forms."""

import pytest
from fastapi import Request

from app.kit import conditional


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
