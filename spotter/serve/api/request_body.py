"""Pictures out of the body of a request: raw bytes, a form, or base64 and data URLs in JSON or alone."""

import base64
import binascii
import codecs
import contextlib
import json
import logging
import re
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from urllib.parse import unquote_to_bytes

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from spotter.config import ServeConfig
from spotter.errors import BadPicture

# A line for each form that cannot be read, with bytes of it: who sent it is told.
logging.getLogger("python_multipart").setLevel(logging.ERROR)

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
# How a text begins that has a picture in it: JSON, a data URL, a field of a simple form, base64 of JPEG, PNG, GIF or
# WebP. No picture begins like that. It is seen in the first `START` bytes.
START = 64
_TEXT = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:[{\[]|data:|image=|/9j/|iVBORw0K|R0lGOD|UklGR)", re.IGNORECASE)
# Python's way to print bytes, and quotes that are quoted once more.
_QUOTED = re.compile(r"b?([\"'])(.*)\1", re.DOTALL)
_NO_FORM = "The form cannot be read; let your HTTP library write its Content-Type, which says where its parts end."
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
    if request.headers.get("content-encoding", "").strip().lower() not in ("", "identity"):
        raise BadPicture("wrong-type", "Send the body as it is: nothing is unpacked here, such as gzip.")
    if kind == MULTIPART:
        pictures = await _files_in_form(request, config)
    else:
        is_json = kind.endswith(("/json", "+json"))
        body, is_text = await _read_body(request, most, is_json)
        if is_text:
            pictures = await run_in_threadpool(_pictures_in_text, body, is_json, is_batch, config)
        elif is_batch:
            raise BadPicture("wrong-type", f"Send several pictures as {MULTIPART}, or a list of data URLs as {JSON}.")
        else:
            pictures = [Sent(body)]
    if not pictures:
        raise BadPicture("no-picture", "There is no picture in the request.")
    if is_batch and sum(len(one.content) for one in pictures if isinstance(one.content, bytes)) > most:
        raise _too_large(most)
    return pictures


async def _read_body(request: Request, limit: int, is_json: bool) -> tuple[bytes, bool]:
    """The body, and whether it is text. How it begins tells that better than what it is called: `curl -d` says of
    everything that it is a form, and many say nothing."""
    declared = request.headers.get("content-length", "")
    length = int(declared) if declared.isascii() and declared.isdigit() else 0
    body, is_text = bytearray(), is_json
    async for chunk in request.stream():
        if len(body) < START:
            is_text = is_json or _TEXT.match(bytes(body + chunk[:START])) is not None
        body += chunk
        if max(len(body), length) > (_in_text(limit) if is_text else limit):
            raise _too_large(limit)
    return bytes(body), is_text


def _in_text(size: int) -> int:
    # How large a text may be that holds a picture of `size` bytes.
    return int(size * JSON_FACTOR) + FIELD_BYTES


async def _files_in_form(request: Request, config: ServeConfig) -> list[Sent]:
    # Read as single bytes, so that a field is never larger in memory than what was sent.
    told = Headers({"content-type": f"{request.headers['content-type']}; charset=latin-1"})
    most = config.max_batch
    limits = {"max_files": most, "max_fields": most, "max_part_size": _in_text(config.max_upload_bytes)}
    try:
        form = await MultiPartParser(told, request.stream(), **limits).parse()
    except MultiPartException as error:
        if "Too many files" in error.message:
            raise _too_many(config) from error
        raise BadPicture("bad-form", _NO_FORM) from error
    try:
        pictures = []
        for _, value in form.multi_items():
            if isinstance(value, UploadFile):
                pictures.append(Sent(_in_limits(await value.read(), config), _file_name(value.filename or "")))
            elif picture := await run_in_threadpool(_picture_in_field, value, config):
                pictures.append(Sent(picture))
    finally:
        await form.close()
    if not pictures:
        raise BadPicture("no-picture", "There is no picture in the form: send it as a file, which has a file name.")
    return pictures


def _picture_in_field(value: str, config: ServeConfig) -> bytes | BadPicture | None:
    """The picture in a field that has no file name: its bytes, a data URL or base64. None: it is another field."""
    content = value.encode("latin-1")
    # There is a zero in every picture, and in no text.
    if b"\0" in content:
        return _in_limits(content, config)
    return _picture_in_text(value, config) if _TEXT.match(content) else None


def _file_name(sent: str) -> str:
    """The name of a file in a form as people wrote it: in UTF-8, or encoded as .NET and as browsers do."""
    encoded = sent.encode("latin-1")
    try:
        name = encoded.decode()
    except UnicodeDecodeError:
        name = sent
    if "=?" in name:
        with contextlib.suppress(HeaderParseError, LookupError, ValueError):
            name = str(make_header(decode_header(name)))
    return re.sub("%0D%0A|%0D|%0A", " ", name.replace("%22", '"'))


def _pictures_in_text(body: bytes, is_json: bool, is_batch: bool, config: ServeConfig) -> list[Sent]:
    start = body.removeprefix(codecs.BOM_UTF8).lstrip()
    if is_json or is_batch or start.startswith((b"{", b"[")):
        return _pictures_in_json(body, is_batch, config)
    if start[:6].lower() == b"image=":
        start = start[6:].partition(b"&")[0]
    return [Sent(_picture_in_text(start.decode("latin-1"), config))]


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
    if quoted := _QUOTED.fullmatch(given):
        given = quoted[2].strip()
    # No base64 has a comma; what stands before it may.
    head, comma, data = given.rpartition(",")
    if given[:5].lower() == "data:":
        if not comma or not re.search(r";\s*base64\s*$", head, re.IGNORECASE):
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
