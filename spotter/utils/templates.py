"""Fills in the templates that lie beside a package; in HTML, everything that is put in is escaped."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spotter.errors import DatasetUnwritable
from spotter.utils.files import package_file, write_atomically
from spotter.utils.text import escape_markdown, plural

if TYPE_CHECKING:
    from jinja2 import Environment

# Its templates are there for all packages, such as the frame of the local reports.
SHARED = "utils"


def render_template(package: str, template: str, /, **values: Any) -> str:
    """Fill in a template of a package's folder `templates`: `render_template("serve", "foot.html", told="…")`.

    In HTML all values are escaped but those that are `Markup`. Other kinds are not: in Markdown, the filter `plain`
    turns a value into words that Markdown shows as they are.

    Raises:
        jinja2.TemplateNotFound: there is no such template.
        jinja2.UndefinedError: it needs a value that was not given.
    """
    return _environment(package).get_template(template).render(values)


def write_page(path: Path, package: str, template: str, /, **values: Any) -> None:
    """Fill in a template, and write the page in one step.

    Raises:
        DatasetUnwritable: `path` cannot be written.
    """
    text = render_template(package, template, **values)
    try:
        # A title from the web may hold half of a surrogate pair, which is no text.
        write_atomically(path, text.encode("utf-8", "replace"))
    except OSError as error:
        reason = error.strerror or error
        raise DatasetUnwritable(f"The report cannot be written to {str(path)!r}: {reason}.") from error


@functools.cache
def _environment(package: str) -> "Environment":
    # Here: an app without a page fills in none of them.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader([package_file(package, "templates"), package_file(SHARED, "templates")]),
        autoescape=select_autoescape(["html"], default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    environment.filters["plain"] = escape_markdown
    environment.globals["plural"] = plural
    return environment
