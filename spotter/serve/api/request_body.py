"""Pictures out of the body of a request: raw bytes, a form, or data URLs in JSON."""

import base64
import binascii
import codecs
import json

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from spotter.config import ServeConfig
from spotter.errors import BadPicture

MULTIPART, JSON = "multipart/form-data", "application/json"
# What may stand beside the pictures.
FIELD_BYTES = 10_000
# Python builds all that is in a body before it can be looked at: 130 MB of [] take 3 GB, and everybody else waits.
MOST_COMMAS = 10_000


async def read_pictures(request: Request, config: ServeConfig, *, is_batch: bool) -> list[bytes | BadPicture]:
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
        pictures = [await _read_body(request, most, in_json=False)]
    if not pictures:
        raise BadPicture("no-picture", "There is no picture in the request.")
    if is_batch and sum(len(picture) for picture in pictures if isinstance(picture, bytes)) > most:
        raise _too_large(most)
    return pictures


async def _read_body(request: Request, limit: int, *, in_json: bool) -> bytes:
    # Base64 makes four bytes of three.
    allowed = limit * 4 // 3 + FIELD_BYTES if in_json else limit
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


async def _files_in_form(request: Request, config: ServeConfig) -> list[bytes | BadPicture]:
    try:
        async with request.form(
            max_files=config.max_batch, max_fields=config.max_batch, max_part_size=FIELD_BYTES
        ) as form:
            files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
            return [_in_limits(await file.read(), config) for file in files]
    except HTTPException as error:
        if "Too many files" in error.detail:
            raise _too_many(config) from error
        raise BadPicture("bad-form", "The form cannot be read.") from error


def _pictures_in_json(body: bytes, is_batch: bool, config: ServeConfig) -> list[bytes | BadPicture]:
    if body.count(b",") > MOST_COMMAS:
        raise BadPicture("bad-json", "The JSON holds far more than pictures.")
    try:
        # Data URLs are ASCII; as anything else, one strange letter makes each letter of a body four bytes long.
        content = json.loads(body.removeprefix(codecs.BOM_UTF8).decode("latin-1"))
    except (ValueError, RecursionError) as error:
        raise BadPicture("bad-json", "The body is no JSON.") from error
    if not is_batch:
        if not isinstance(content, dict) or "image" not in content:
            raise BadPicture("bad-json", 'Send {"image": "data:image/jpeg;base64,..."}.')
        return [_picture_in_url(content["image"], config)]
    if not isinstance(content, list):
        raise BadPicture("bad-json", 'Send a list: ["data:image/jpeg;base64,...", ...].')
    if len(content) > config.max_batch:
        raise _too_many(config)
    return [_picture_in_url(url, config) for url in content]


def _picture_in_url(url: object, config: ServeConfig) -> bytes | BadPicture:
    head, _, data = url.partition(",") if isinstance(url, str) else ("", "", "")
    if head[:5].lower() != "data:" or not head.lower().endswith(";base64"):
        return BadPicture(
            "bad-url", "A picture in JSON is a data URL (data:image/jpeg;base64,...): this app fetches no addresses."
        )
    try:
        return _in_limits(base64.b64decode(data, validate=True), config)
    except (binascii.Error, ValueError):
        return BadPicture("bad-url", "The data URL holds no valid base64.")


def _in_limits(picture: bytes, config: ServeConfig) -> bytes | BadPicture:
    return picture if len(picture) <= config.max_upload_bytes else _too_large(config.max_upload_bytes)


def _too_large(limit: int) -> BadPicture:
    return BadPicture("too-large", f"That is larger than {limit / 1e6:.3g} MB.")


def _too_many(config: ServeConfig) -> BadPicture:
    return BadPicture("too-many", f"At most {config.max_batch} pictures at a time.")
