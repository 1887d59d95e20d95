"""Pictures out of the body of a request: raw bytes, a form, or data URLs in JSON."""

import base64
import binascii
import codecs
import json
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from spotter.config import ServeConfig
from spotter.errors import BadPicture

MULTIPART, JSON = "multipart/form-data", "application/json"
# What may stand beside the pictures.
FIELD_BYTES = 10_000
# Python builds all that is in a body before it can be looked at: 130 MB of [] take 3 GB, and everybody else waits.
MOST_COMMAS = 10_000
# Base64 makes four bytes of three; line breaks in it, as JSON writes them, and the rest of JSON come on top.
JSON_FACTOR = 1.5
# Base64 as the web writes it in addresses.
_FROM_URL = bytes.maketrans(b"-_", b"+/")
_BLANKS = b" \t\r\n\f\v"
_NO_URL = (
    "A picture in JSON is base64 or a data URL of it (data:image/jpeg;base64,...): this app fetches no addresses and "
    "opens no files."
)


@dataclass(frozen=True)
class Sent:
    """A picture as it came, or what is wrong with it; `name` is that of its file in a form, "" where there is none."""

    content: bytes | BadPicture
    name: str = ""


async def read_pictures(request: Request, config: ServeConfig, *, is_batch: bool) -> list[Sent]:
    """The pictures in a request, at least one; what is wrong with one of several stands in its place."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    most = config.max_batch_bytes if is_batch else config.max_upload_bytes
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise BadPicture("wrong-type", "Send the body as it is: nothing is unpacked here, such as gzip.")
    if kind == MULTIPART:
        pictures = await _files_in_form(request, config)
    elif kind == JSON:
        body = await _read_body(request, most, in_json=True)
        pictures = await run_in_threadpool(_pictures_in_json, body, is_batch, config)
    elif is_batch:
        raise BadPicture("wrong-type", f"Send several pictures as {MULTIPART}, or a list of data URLs as {JSON}.")
    else:
        # Whatever it calls itself: curl --data-binary says that it sends a form.
        pictures = [Sent(await _read_body(request, most, in_json=False))]
    if not pictures:
        raise BadPicture("no-picture", "There is no picture in the request.")
    if is_batch and sum(len(one.content) for one in pictures if isinstance(one.content, bytes)) > most:
        raise _too_large(most)
    return pictures


async def _read_body(request: Request, limit: int, *, in_json: bool) -> bytes:
    allowed = int(limit * JSON_FACTOR) + FIELD_BYTES if in_json else limit
    declared = request.headers.get("content-length", "")
    body = bytearray()
    if not (declared.isascii() and declared.isdigit() and int(declared) > allowed):
        async for chunk in request.stream():
            body += chunk
            if len(body) > allowed:
                break
        else:
            return bytes(body)
    raise _too_large(limit)


async def _files_in_form(request: Request, config: ServeConfig) -> list[Sent]:
    try:
        async with request.form(
            max_files=config.max_batch, max_fields=config.max_batch, max_part_size=FIELD_BYTES
        ) as form:
            files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
            return [Sent(_in_limits(await file.read(), config), file.filename or "") for file in files]
    except HTTPException as error:
        if "Too many files" in error.detail:
            raise _too_many(config) from error
        raise BadPicture("bad-form", "The form cannot be read.") from error


def _pictures_in_json(body: bytes, is_batch: bool, config: ServeConfig) -> list[Sent]:
    if body.count(b",") > MOST_COMMAS:
        raise BadPicture("bad-json", "The JSON holds far more than pictures.")
    try:
        # Data URLs are ASCII; as anything else, one strange letter makes each letter of a body four bytes long.
        # Not strict: what a shell puts between the quotes has real line breaks in it.
        content = json.loads(body.removeprefix(codecs.BOM_UTF8).decode("latin-1"), strict=False)
    except (ValueError, RecursionError) as error:
        raise BadPicture("bad-json", "The body is no JSON.") from error
    if not is_batch:
        if not isinstance(content, dict) or "image" not in content:
            raise BadPicture("bad-json", 'Send {"image": "data:image/jpeg;base64,..."}.')
        return [Sent(_picture_in_text(content["image"], config))]
    if not isinstance(content, list):
        raise BadPicture("bad-json", 'Send a list: ["data:image/jpeg;base64,...", ...].')
    if len(content) > config.max_batch:
        raise _too_many(config)
    return [Sent(_picture_in_text(text, config)) for text in content]


def _picture_in_text(text: object, config: ServeConfig) -> bytes | BadPicture:
    """The picture in a data URL, or in base64 alone, in any of the ways in which programs write that."""
    given = text.strip() if isinstance(text, str) else ""
    head, comma, data = given.partition(",")
    if head[:5].lower() == "data:":
        if not comma or not head.rstrip().lower().endswith(";base64"):
            return BadPicture("bad-url", _NO_URL)
    else:
        data = given
        # Whatever has these is an address, a path or a name.
        if not data or re.search(r"[:.?\\]", data[:1000]):
            return BadPicture("bad-url", _NO_URL)
    try:
        return _in_limits(_decode_base64(data), config)
    except (binascii.Error, ValueError):
        return BadPicture("bad-url", "There is no valid base64 in the text.")


def _decode_base64(text: str) -> bytes:
    """Decode base64 in either alphabet, with line breaks or without, padded or not, percent-encoded or not.

    Raises:
        ValueError: it is none.
    """
    data = text.encode("ascii")
    if b"%" in data:
        data = unquote_to_bytes(data)
    # Two characters of four may be padding, which adds nothing to what stands before.
    data = data.translate(_FROM_URL, _BLANKS).rstrip(b"=")
    return base64.b64decode(data + b"=" * (-len(data) % 4), validate=True)


def _in_limits(picture: bytes, config: ServeConfig) -> bytes | BadPicture:
    return picture if len(picture) <= config.max_upload_bytes else _too_large(config.max_upload_bytes)


def _too_large(limit: int) -> BadPicture:
    return BadPicture("too-large", f"That is larger than {limit / 1e6:.3g} MB.")


def _too_many(config: ServeConfig) -> BadPicture:
    return BadPicture("too-many", f"At most {config.max_batch} pictures at a time.")
