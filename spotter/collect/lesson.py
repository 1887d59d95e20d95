"""A lesson: what somebody taught in a browser, in one zip. Its pictures, their labels, what was decided about them, and
what the page learnt from them. Reading it, and making a picture set of it."""

import hashlib
import json
import os
import re
import struct
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from spotter.collect.ingest import map_ahead
from spotter.collect.takedown import Takedown
from spotter.config import RESIZES, CollectConfig, LessonConfig, PictureConfig, TrainConfig
from spotter.data.dataset import TAKEDOWN, Dataset, Record
from spotter.data.duplicates import group_duplicates, perceptual_hash
from spotter.data.edit_log import Edit, EditLog, parse_edits
from spotter.data.manifest import lock_set, write_manifest
from spotter.errors import BadLesson, BadPicture, DatasetUnwritable, EditsDamaged, RecipeError, TooFewPictures
from spotter.image_files import read_file
from spotter.images import load_picture
from spotter.names import folder_name, slug
from spotter.recipe import Recipe, make_recipe
from spotter.search.fields import link, text
from spotter.utils.files import write_atomically
from spotter.utils.journal import read_as
from spotter.utils.licenses import UNKNOWN_LICENSE
from spotter.utils.text import in_one_line, plural

FORMAT = 1
LESSON, SUFFIX = "spotter-lesson.json", ".spotter-lesson"
# What the page can take pictures from. Files and the camera are the owner's own, as a folder is.
SOURCES = {"folder": "folder", "camera": "folder", "openverse": "openverse", "wikimedia": "wikimedia"}
MOST_IN_TITLE = 120
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Of timm's packaged models: others are fetched from an address that is a part of the name.
_ARCH = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)?")
# The last record of a zip without a comment: 22 bytes, among them the size of its table of contents.
_END, _ZIP64 = struct.Struct("<4s4xHHII2x"), b"PK\x06\x07"


@dataclass(frozen=True)
class LessonPicture:
    """A picture of a lesson, and where it is from; `label` is the class that it was added to.

    `sha256` is of the file in the zip, `original_sha256` of the bytes as they came, `id` its name in its `source`.
    """

    sha256: str
    original_sha256: str
    label: str
    source: str
    id: str
    query: str = ""
    rank: int = 0
    at: str | None = None
    image_url: str | None = None
    thumb_url: str | None = None
    page_url: str | None = None
    title: str | None = None
    creator: str | None = None
    creator_url: str | None = None
    license_id: str = UNKNOWN_LICENSE
    license_url: str | None = None
    attribution: str | None = None

    @property
    def file(self) -> str:
        """Its name in the zip."""
        return f"pictures/{self.sha256}.jpg"


@dataclass(frozen=True)
class Taught:
    """What the page learnt, by SHA-256 of the pictures.

    `views_kept` says whether the head learnt from shifted views, `shifted` how many there were, and `views` how these
    are made (a name of `spotter.train.views`). `cropped` says how many cropped views there were; None where a page of
    before says nothing, and had all. `fold` says in which part each picture was held out. In the order of the
    labels, `held_out` are the probabilities of heads that did not see it, `plain` those of heads that did
    not learn from shifted views either, and `answers` those of the taught network.
    """

    views_kept: bool
    views: str
    shifted: int
    fold: dict[str, int]
    plain: dict[str, list[float]]
    held_out: dict[str, list[float]]
    answers: dict[str, list[float]]
    cropped: int | None = None


@dataclass(frozen=True)
class Lesson:
    """A lesson in the zip at `path`, whose names, sizes and fields are checked; its pictures are not read yet."""

    path: Path
    recipe: Recipe
    config: TrainConfig
    pictures: tuple[LessonPicture, ...]
    edits: tuple[Edit, ...]
    taught: Taught

    def sentence(self) -> str:
        """What is in it, in words."""
        counts = Counter(picture.label for picture in self.pictures)
        named = ", ".join(f"{counts[label]} {label}" for label in self.recipe.labels)
        return f"{plural(len(self.pictures), 'picture')}: {named}; {plural(len(self.edits), 'decision')}"


def read_lesson(path: Path, limits: LessonConfig | None = None) -> Lesson:
    """Read what a lesson says.

    Raises:
        BadLesson: there is no such file, it is no lesson, it is damaged, or it is larger than is allowed.
    """
    limits = limits or LessonConfig()
    with _opened(path, limits) as archive:
        told = _read_json(archive, limits)
        try:
            lesson = _lesson(path, told, limits)
        except (ValueError, TypeError, KeyError, RecipeError, EditsDamaged) as error:
            raise BadLesson(f"{str(path)!r} is no lesson that can be adopted: {in_one_line(str(error))}") from error
        _check_names(archive, lesson)
    return lesson


def fill_from_lesson(lesson: Lesson, folder: Path, takedown: Takedown, limits: LessonConfig | None = None) -> Dataset:
    """Make the picture set in `folder` of a lesson; the set of an earlier one there is replaced, its log of decisions
    goes on.

    The pictures are stored as they are in the zip: what the page learnt from has these bytes.

    Raises:
        BadLesson: a picture is not as the page keeps them, or was changed.
        TooFewPictures: a class has fewer than training needs.
        DatasetUnwritable: `folder` cannot be written, or another run is at it. EditsDamaged: its log cannot be read.
    """
    limits = limits or LessonConfig()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = lock_set(folder)
        try:
            records = group_duplicates(list(_store(lesson, folder, takedown, limits)))
            write_manifest(folder, records)
            kept = {folder / str(record.file) for record in records if record.kept}
            for path in folder.glob("*/*.jpg"):
                if path not in kept:
                    path.unlink()
        finally:
            lock.close()
    except OSError as error:
        raise DatasetUnwritable(
            f"The pictures cannot be stored in {str(folder)!r}: {error.strerror or error}."
        ) from error
    EditLog(folder).replay(lesson.edits)
    dataset = Dataset(
        folder,
        lesson.recipe.labels,
        tuple(record for record in records if record.kept),
        tuple(record for record in records if not record.kept),
    )
    _require_pictures(dataset)
    return dataset


@contextmanager
def _opened(path: Path, limits: LessonConfig) -> Iterator[zipfile.ZipFile]:
    """The zip at a path, once its size and that of its table of contents are known to be bounded: Python reads all of
    the table, and a small file may have one of a million lines."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > limits.max_bytes:
                raise BadLesson(
                    f"{str(path)!r} is larger than {limits.max_bytes // 1_000_000} MB, the most for a lesson."
                )
            _check_end(path, file.seek(max(0, size - _END.size - 20)), file.read(), limits)
            with zipfile.ZipFile(file) as archive:
                yield archive
    except OSError as error:
        raise BadLesson(f"The lesson {str(path)!r} cannot be read: {error.strerror or error}.") from error
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
        raise BadLesson(f"{str(path)!r} is damaged: {in_one_line(str(error))}; save it again from the page.") from error


def _check_end(path: Path, start: int, last: bytes, limits: LessonConfig) -> None:
    end = last[-_END.size :]
    if len(end) < _END.size or not end.startswith(b"PK\x05\x06"):
        raise BadLesson(f"{str(path)!r} is no zip, or only a part of one; save it again from the page.")
    _, _, entries, table, _ = _END.unpack(end)
    if _ZIP64 in last or entries > limits.max_pictures + 1 or table > 300 * (entries + 1):
        raise BadLesson(f"{str(path)!r} holds more than {limits.max_pictures} pictures, the most for a lesson.")


def _read_json(archive: zipfile.ZipFile, limits: LessonConfig) -> dict[str, Any]:
    path = str(archive.filename or "")
    if LESSON not in archive.namelist():
        raise BadLesson(
            f"{path!r} is a zip, but no lesson: there is no {LESSON} in it. A lesson is what the page teach/ of a site "
            "gives under 'For Spotter'."
        )
    try:
        told = json.loads(_read_entry(archive, LESSON, limits.max_json_bytes))
    except (ValueError, RecursionError) as error:
        raise BadLesson(f"{path!r} is damaged: its {LESSON} is not JSON; save it again from the page.") from error
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise BadLesson(f"{path!r} is a lesson of another version; adopt it with the Spotter that its page is from.")
    return told


def _read_entry(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """An entry of at most so many bytes.

    Raises:
        BadLesson: it is larger, or packed in a way that is not used here.
    """
    entry = archive.getinfo(name)
    if entry.flag_bits & 1 or entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise BadLesson(f"{name!r} in the lesson is locked or packed in another way than the page does.")
    if entry.file_size > most:
        raise BadLesson(f"{name!r} in the lesson has more than {most // 1_000_000} MB, the most there.")
    try:
        with archive.open(entry) as stream:
            return stream.read(most + 1)
    except OSError:
        raise
    # Each way of packing has errors of its own (zlib.error, struct.error, EOFError ...).
    except Exception as error:
        raise BadLesson(f"{name!r} in the lesson is damaged; save the lesson again from the page.") from error


def _lesson(path: Path, told: Mapping[str, Any], limits: LessonConfig) -> Lesson:
    labels = [str(label) for label in told["labels"]]
    title = in_one_line(str(told.get("title") or ""))[:MOST_IN_TITLE]
    name = slug(str(told.get("name") or "")) or slug(path.stem.removesuffix(SUFFIX)) or "classes"
    recipe = make_recipe(dict(zip(labels, labels, strict=True)), name[:60], title)
    if list(recipe.labels) != labels:
        raise ValueError("its labels are not written as the page writes them")
    pictures = tuple(_picture(each, recipe) for each in told["pictures"])
    if len(pictures) > limits.max_pictures:
        raise ValueError(f"it has more than {limits.max_pictures} pictures")
    if len({picture.sha256 for picture in pictures}) < len(pictures):
        raise ValueError("it has a picture twice")
    edits = parse_edits(b"\n".join(json.dumps(edit).encode() for edit in told.get("edits") or []), LESSON)
    return Lesson(path, recipe, _config(told), pictures, tuple(edits), _taught(told["taught"], len(labels)))


def _config(told: Mapping[str, Any]) -> TrainConfig:
    body, shifts = told["body"], told["shifts"]
    arch, size, resize = body["arch"], body["size"], body["resize"]
    if not isinstance(arch, str) or not _ARCH.fullmatch(arch) or resize not in RESIZES:
        raise ValueError(f"the network {arch!r} or the way to squares {resize!r} is unknown")
    if (
        type(size) is not int
        or not 32 <= size <= 1024
        or type(shifts) is not int
        or not 0 <= shifts <= TrainConfig.shifts
    ):
        raise ValueError("the size of its squares or the number of its views is none that Spotter uses")
    # In a browser, where they take long, there are fewer of them.
    return TrainConfig(arch=arch, size=size, resize=resize, shifts=TrainConfig.shifts if shifts else 0)


def _picture(told: object, recipe: Recipe) -> LessonPicture:
    picture = _of_known(LessonPicture, told)
    if not all(map(_SHA256.fullmatch, (picture.sha256, picture.original_sha256))):
        raise ValueError("a picture has no SHA-256")
    if picture.label not in recipe.labels or picture.source not in SOURCES:
        raise ValueError(f"a picture is of {picture.label!r} from {picture.source!r}, which it does not have")
    if picture.at is not None:
        datetime.fromisoformat(picture.at)
    texts = {name: text(getattr(picture, name)) for name in ("title", "creator", "attribution")}
    links = ("image_url", "thumb_url", "page_url", "creator_url", "license_url")
    # The attribution is the sentence of a licence, and a name may be that of a file in any encoding.
    texts |= {name: link(getattr(picture, name)) for name in links}
    words = {name: text(getattr(picture, name)) or "" for name in ("id", "query")}
    return replace(picture, **texts, **words, license_id=text(picture.license_id) or UNKNOWN_LICENSE)


def _taught(told: object, classes: int) -> Taught:
    taught = _of_known(Taught, told)
    for answers in (taught.plain, taught.held_out, taught.answers):
        for row in answers.values():
            if len(row) != classes or not np.isfinite(np.array(row, dtype=float)).all():
                raise ValueError("what the page answered is not a probability for each label")
    return taught


def _of_known(kind: Any, told: object) -> Any:
    """A dataclass of the fields of a JSON object that it has; pages that come later may tell more."""
    if not isinstance(told, dict):
        raise TypeError("not a JSON object")
    return read_as(kind, {name.name: told[name.name] for name in fields(kind) if name.name in told})


def _check_names(archive: zipfile.ZipFile, lesson: Lesson) -> None:
    names = Counter(archive.namelist())
    wanted = {LESSON, *(picture.file for picture in lesson.pictures)}
    if twice := [name for name, count in names.items() if count > 1]:
        raise BadLesson(f"{str(lesson.path)!r} holds {in_one_line(twice[0])!r} twice.")
    if missing := sorted(wanted - names.keys()):
        raise BadLesson(f"{str(lesson.path)!r} lacks {missing[0]!r}; save it again from the page.")
    if others := sorted(names.keys() - wanted):
        raise BadLesson(f"{str(lesson.path)!r} holds {in_one_line(others[0])!r}, which the lesson does not name.")
    if sum(entry.file_size for entry in archive.infolist()) > LessonConfig.max_bytes:
        raise BadLesson(f"{str(lesson.path)!r} unpacks to more than a lesson may have.")


def _store(lesson: Lesson, folder: Path, takedown: Takedown, limits: LessonConfig) -> Iterator[Record]:
    """Store the pictures, and give a record for each."""

    def store(one: tuple[LessonPicture, bytes]) -> Record:
        picture, content = one
        record = _record(picture, content)
        if takedown.covers(record):
            return replace(record, decision="dropped", reason=TAKEDOWN, file=None)
        write_atomically(folder / str(record.file), content)
        return record

    with _opened(lesson.path, limits) as archive, tqdm(desc="  pictures", unit="", total=len(lesson.pictures)) as bar:
        read = ((each, _read_entry(archive, each.file, limits.max_picture_bytes)) for each in lesson.pictures)
        for record in map_ahead(store, read, os.cpu_count() or 1):
            bar.update()
            yield record


def _record(picture: LessonPicture, content: bytes) -> Record:
    """The manifest's line for a picture.

    Raises:
        BadLesson: its bytes are others than its name says, or no JPEG as a set keeps them.
    """
    if hashlib.sha256(content).hexdigest() != picture.sha256:
        raise BadLesson(
            f"The picture {picture.id!r} was changed: its hash is another; save the lesson again from the page."
        )
    config = PictureConfig()
    try:
        file, decoded = read_file(content), load_picture(content, config)
    except BadPicture as error:
        raise BadLesson(
            f"The picture {picture.id!r} cannot be read: {error} Delete it in the page, and save again."
        ) from error
    # Where it was taken, for example, must not be published with it.
    if file.format != "JPEG" or file.data != content or max(decoded.size) > config.stored_side:
        raise BadLesson(
            f"The picture {picture.id!r} is not as the page keeps pictures: a JPEG of at most {config.stored_side} "
            "pixels a side, without metadata."
        )
    is_own = SOURCES[picture.source] == "folder"
    return Record(
        label=picture.label,
        backend=SOURCES[picture.source],
        backend_id=picture.id or picture.sha256,
        query=picture.label if is_own else picture.query,
        rank=picture.rank,
        decision="kept",
        file=f"{folder_name(picture.label)}/{picture.sha256[:32]}.jpg",
        sha256=picture.sha256,
        original_sha256=picture.original_sha256,
        phash=f"{perceptual_hash(decoded):016x}",
        width=decoded.width,
        height=decoded.height,
        mime="image/jpeg",
        image_url=picture.image_url,
        fetched_at=None if is_own else picture.at,
        thumb_url=picture.thumb_url,
        page_url=picture.page_url,
        title=picture.title,
        creator=picture.creator,
        creator_url=picture.creator_url,
        license_id=UNKNOWN_LICENSE if is_own else picture.license_id,
        license_url=picture.license_url,
        attribution=picture.attribution,
    )


def _require_pictures(dataset: Dataset) -> None:
    counts, needed = Counter(record.label for record in dataset.records), CollectConfig.min_per_class
    for label in dataset.labels:
        if counts[label] < needed:
            raise TooFewPictures(
                f"The class {label!r} of the lesson has {plural(counts[label], 'picture')}, and it needs at least "
                f"{needed}; add some in the page, and save the lesson again."
            )
