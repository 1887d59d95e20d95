"""Parquet files of pictures, as img2dataset, the Hub and data frames write them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spotter.errors import ExtraMissing, ListUnreadable
from spotter.names import clean_label, is_system_name
from spotter.search.fields import link

if TYPE_CHECKING:
    from pyarrow import Schema, Table
    from pyarrow.parquet import ParquetFile

PARQUET = ".parquet"
# In this order: bytes need no reading, and a path is nearer than an address.
BYTES, PATH, URL = "bytes", "path", "url"
# Names of columns of labels in lower case, those first that say most.
LABELS = ("label", "labels", "class", "class_name", "category", "target", "species", "breed")
_NAMES = {
    BYTES: ("bytes", "image", "img", "jpg", "jpeg", "png", "webp", "picture", "photo", "content", "image_bytes"),
    PATH: ("path", "file", "file_name", "filename", "filepath", "file_path", "image_path", "image", "img", "fname"),
    URL: ("url", "image_url", "URL", "link"),
}


@dataclass(frozen=True)
class PictureColumn:
    """Where the pictures of a table are: a column of bytes (or of structs with bytes), of paths, or of addresses."""

    name: str
    kind: str


def parquet_files(folder: Path) -> list[Path]:
    """The Parquet files that lie in a folder, in the order of their names, without hidden ones and those of a system.

    Raises:
        OSError: the folder cannot be read.
    """
    return sorted(path for path in folder.glob(f"*{PARQUET}") if not is_system_name(path.name))


def open_parquet(path: Path) -> "ParquetFile":
    """Open a Parquet file.

    Raises:
        ListUnreadable: it is none. ExtraMissing: pyarrow is not installed.
    """
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError as error:
        raise ExtraMissing(
            "Parquet needs pyarrow: pip install -r requirements-ray.txt; without it, use a folder or a list, and .csv."
        ) from error
    try:
        return ParquetFile(path)
    except ArrowInvalid as error:
        raise ListUnreadable(f"{str(path)!r} is not a Parquet file.") from error


def picture_column(schema: "Schema", path: Path) -> PictureColumn:
    """Find the column of pictures: by its type, and by its name where several have the type.

    Raises:
        ListUnreadable: there is none, or it is not clear which it is.
    """
    from pyarrow import types

    def is_picture(type_: Any) -> bool:
        if types.is_dictionary(type_):
            return is_picture(type_.value_type)
        if types.is_struct(type_):
            # Where the pictures are not in the table, the Hub writes their paths, and `bytes` may have no type at all.
            return any(
                (field.name == "bytes" and is_picture(field.type)) or (field.name == "path" and is_text(field.type))
                for field in type_
            )
        binary = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)
        return any(is_it(type_) for is_it in binary)

    def is_text(type_: Any) -> bool:
        if types.is_dictionary(type_):
            return is_text(type_.value_type)
        return any(is_it(type_) for is_it in (types.is_string, types.is_large_string, types.is_string_view))

    pictures = [field.name for field in schema if is_picture(field.type)]
    named = [name for name in _NAMES[BYTES] if name in pictures]
    if named or len(pictures) == 1:
        return PictureColumn((named or pictures)[0], BYTES)
    if pictures:
        raise ListUnreadable(
            f"{str(path)!r} has several columns of pictures: {pictures}; call the one to take {_NAMES[BYTES][0]!r}."
        )
    texts = [field.name for field in schema if is_text(field.type)]
    for kind in (PATH, URL):
        found = [name for name in _NAMES[kind] if name in texts]
        if found:
            return PictureColumn(found[0], kind)
    raise ListUnreadable(
        f"{str(path)!r} has no column of pictures (bytes), and none called 'path' or 'url': it has {schema.names}."
    )


def read_group(file: "ParquetFile", group: int, columns: list[str]) -> "Table | None":
    """Some columns of a row group; None where it is damaged."""
    from pyarrow import ArrowException

    try:
        return file.read_row_group(group, columns=columns)
    except (ArrowException, OSError):
        return None


def read_picture(value: Any, column: PictureColumn, folder: Path) -> bytes | Path | str:
    """The picture in a cell: its bytes, or its path or address; paths are relative to `folder`."""
    if isinstance(value, dict):
        inside, path = value.get("bytes"), value.get("path")
        return _place(path, folder) if path and inside is None else bytes(inside or b"")
    if column.kind == PATH:
        return _place(value or "", folder)
    if column.kind == URL:
        return str(value or "")
    return value if isinstance(value, bytes) else b""


def _place(path: str, folder: Path) -> Path | str:
    # A column `image` may hold addresses.
    return link(path) or (folder / path).absolute()


def class_names(schema: "Schema", column: str) -> list[str] | None:
    """The names of the numbers in a column of classes, as the Hub writes them; None where there are none."""
    try:
        told = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        feature = told["info"]["features"][column]
        # Of a list of labels: the Hub's clients have written that in three ways.
        feature = feature[0] if isinstance(feature, list) else feature.get("feature", feature)
        names = feature["names"]
    except (AttributeError, LookupError, TypeError, ValueError):
        return None
    return [str(name) for name in names] if isinstance(names, list) else None


def read_label(value: Any, names: list[str] | None) -> str | None:
    """The label in a cell, which may be a number of one of `names`, or a list with one label; None where there is none.

    Raises:
        ListUnreadable: there are several, or it is a table of its own.
    """
    if isinstance(value, dict):
        raise ListUnreadable(f"a label is one word or number, and not {value}.")
    if isinstance(value, list | tuple):
        if len(value) > 1:
            raise ListUnreadable(f"it has several labels for a picture: {value}; Spotter knows one.")
        return read_label(value[0], names) if value else None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    # A column of whole numbers with gaps becomes one of fractions in a data frame.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None or value != value:
        return None
    if names and isinstance(value, int):
        # -1 stands for no label.
        return names[value] if 0 <= value < len(names) else None
    return clean_label(str(value)) or None


def label_column(schema: "Schema", path: Path) -> str:
    """Find the column of labels: the one of classes with names, or one that is called like labels.

    Raises:
        ListUnreadable: there is none.
    """
    with_names = [name for name in schema.names if class_names(schema, name)]
    usual = [name for wanted in LABELS for name in schema.names if name.lower() == wanted]
    found = [name for name in usual if name in with_names] or (with_names if len(with_names) == 1 else usual)
    if not found and with_names:
        raise ListUnreadable(f"it has several columns of labels: {with_names}; call the one to take {LABELS[0]!r}.")
    if not found or found[0] == picture_column(schema, path).name:
        raise ListUnreadable(f"it has no column of labels, such as {LABELS[0]!r}; it has {schema.names}.")
    return found[0]
