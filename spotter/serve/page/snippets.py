"""Code snippets for people to copy: how to use a running app from programs and on other pages."""

from dataclasses import dataclass

from spotter.utils.templates import render_template

# Stands for the app's address until it is known.
ADDRESS = "https://your-app"


@dataclass(frozen=True)
class Snippet:
    """Code to copy. `key` names its heading among the page's texts, `language` what it is written in."""

    key: str
    language: str
    code: str

    def at(self, address: str) -> str:
        """The code with the app's address in it."""
        return self.code.replace(ADDRESS, address.rstrip("/"))


def program_snippets() -> tuple[Snippet, ...]:
    """How to classify from programs."""
    return (
        Snippet("use_python", "python", _fill_in("python.txt")),
        Snippet("use_javascript", "javascript", _fill_in("javascript.txt")),
        Snippet("use_curl", "sh", _fill_in("curl.txt")),
        Snippet("use_many", "python", _fill_in("many.txt")),
    )


def element_snippet(title: str) -> Snippet:
    """The app as an element of another page: a frame that is as high as what it shows. Without scripts, a link."""
    return Snippet("use_embed", "html", _fill_in("element.html", title=title))


def frame_snippet(title: str) -> Snippet:
    """The app in a plain frame of another page."""
    return Snippet("use_frame", "html", _fill_in("frame.html", title=title))


def _fill_in(name: str, **values: str) -> str:
    return render_template("serve", f"snippets/{name}", address=ADDRESS, **values)
