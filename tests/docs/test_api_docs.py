"""docs/api.md is what the docstrings say."""

import inspect

from scripts import api_docs
from spotter import errors
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "api.md").read_text()


def test_the_page_is_what_the_docstrings_say() -> None:
    assert api_docs.make_page() == PAGE, "docs/api.md is stale: run scripts/api_docs"


def test_every_public_name_says_what_it_is() -> None:
    for _, _, module, names in api_docs.PUBLIC:
        for name in names:
            assert inspect.getdoc(getattr(module, name)), name


def test_every_error_is_in_it() -> None:
    kinds = [
        name for name, kind in vars(errors).items() if inspect.isclass(kind) and kind.__module__ == errors.__name__
    ]
    assert len(kinds) > 30
    assert [name for name in kinds if f"| `{name}` |" not in PAGE] == []


def test_sections_become_lists() -> None:
    def example(count: int, *, name: str = "x") -> None:
        """Do it.

        Args:
            count: how often,
                and no more. name: of it.

        Raises:
            KeyError: never.
        """

    assert "example(count: int, *, name: str = 'x') -> None" in api_docs.signature(example)
    assert api_docs.text(example).splitlines()[2:] == [
        "Args:",
        "",
        "- count: how often,",
        "  and no more. name: of it.",
        "",
        "Raises:",
        "",
        "- KeyError: never.",
    ]
