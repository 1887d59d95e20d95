"""What tests read from README and docs: fenced blocks, commands, prose."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Block:
    """A fenced block: what it is, what stands behind that on its first line, and the section it is in."""

    language: str
    name: str
    text: str
    section: str


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page that name their language, in order."""
    found, section = [], ""
    for heading, language, name, text in re.findall(
        r"^## ([^\n]+)$|^```(\w+) ?(\S*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL
    ):
        section = heading or section
        if language:
            found.append(Block(language, name, text, section))
    return found


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every command in a page's shell blocks, without comments."""
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.language == "sh":
            for line in block.text.splitlines():
                if words := shlex.split(line, comments=True):
                    yield words


def sentences(page: str) -> list[str]:
    """The sentences of a page's prose, without tables, code and headings. Inline code counts as one word."""
    text = re.sub(r"\A---\n.*?\n---\n", "", page, flags=re.DOTALL)
    text = re.sub(r"^```.*?^```", "\n", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^(\||#|!\[|\[\w+\]: ).*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"`[^`]*`", "code", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    found: list[str] = []
    for paragraph in re.split(r"\n\s*\n|^ *(?:[-*]|\d+\.) ", text, flags=re.MULTILINE):
        found += re.split(r"(?<=[.!?])[*)\"]*\s+", " ".join(paragraph.split()))
    # A bold word that stands for a heading is no sentence.
    return [sentence for sentence in found if len(sentence.split()) > 3]
