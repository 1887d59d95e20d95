"""Files with any metadata, chunks, depths and turns: whole pixels are never refused, the rest is a BadPicture."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from spotter.config import PictureConfig
from spotter.errors import BadPicture
from spotter.image_bmp import BmpHeader
from spotter.images import count_pixels, load_picture
from tests.helpers.drawing import draw
from tests.helpers.picture_files import (
    DEPTHS,
    SIGNATURE,
    animation,
    any_bmp,
    bmp,
    chunk,
    encode,
    exif,
    frame_control,
    noise,
    odd_avif,
    odd_files,
    odd_jpeg,
    pack_rows,
    png_header,
    png_parts,
    riff,
    segment,
    webp_chunks,
    xmp,
)

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(load_picture(content))


def reason_of(content: bytes, config: PictureConfig) -> str:
    """Why a picture is refused; empty when it is not."""
    try:
        picture = load_picture(content, config)
    except BadPicture as error:
        return error.reason
    return "" if (picture.mode, picture.info) == ("RGB", {}) else "not RGB alone"


def turn(array: np.ndarray, orientation: int) -> np.ndarray:
    return np.asarray(Image.fromarray(array).transpose(TURNS[orientation])) if orientation > 1 else array


def check_odd_files(count: int, seed: int) -> None:
    clean: dict[bytes, np.ndarray] = {}
    for number, made in enumerate(odd_files(count, seed)):
        if made.kind == "TIFF":
            with pytest.raises(BadPicture) as caught:
                load_picture(made.content)
            assert caught.value.reason == "not-a-picture"
            continue
        if made.clean not in clean:
            # Few are drawn more than once.
            clean = clean if made.kind == "AVIF" else {}
            clean[made.clean] = pixels(made.clean)
        expected = turn(clean[made.clean], made.orientation)
        assert np.array_equal(pixels(made.content), expected), f"{made.kind}, number {number} of seed {seed}"
        height, width = expected.shape[:2]
        assert count_pixels(made.content) == width * height


def test_odd_metadata_refuses_no_picture_and_changes_no_pixel() -> None:
    check_odd_files(2_450, 1)


@pytest.mark.slow
def test_odd_metadata_of_many_more_pictures() -> None:
    check_odd_files(17_600, 2)


def test_damaged_files_raise_bad_picture_and_nothing_else() -> None:
    rng, refused = random.Random(3), 0
    for made in odd_files(1_400, 4):
        content = bytearray(made.content)
        for _ in range(rng.randrange(1, 6)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        content = content[: rng.randrange(len(content))] if rng.random() < 0.3 else content
        reason = reason_of(bytes(content), PictureConfig(max_pixels=1_000_000))
        refused += reason != ""
        assert reason in {"", "empty", "not-a-picture", "corrupt", "too-large", "too-small"}
    assert refused > 300


@pytest.mark.parametrize(
    "error",
    [struct.error, AttributeError, OverflowError, SyntaxError, RecursionError, EOFError, Image.DecompressionBombError],
)
@pytest.mark.parametrize("method", ["open", "Image.load"])
def test_whatever_a_decoder_raises_is_the_reason(
    error: type[Exception], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error("unforeseen")

    content = encode(draw("disc", 1), "PNG")
    opened = Image.open(io.BytesIO(content))
    if method == "open":
        monkeypatch.setattr(Image, "open", fail)
    else:
        monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
        with pytest.raises(BadPicture):
            load_picture(opened)
    with pytest.raises(BadPicture) as caught:
        load_picture(content)
    assert caught.value.reason in {"not-a-picture", "corrupt", "too-large"}
    assert (caught.value.reason == "too-large") == (error is Image.DecompressionBombError)


def test_too_little_memory_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("spotter.images._flatten", fail)
    with pytest.raises(BadPicture, match="not enough memory") as caught:
        load_picture(encode(draw("disc", 1), "PNG"))
    assert caught.value.reason == "too-large"


def test_a_file_that_cannot_be_read_is_a_bad_picture(tmp_path) -> None:
    for path in (tmp_path / "none.jpg", tmp_path, "a\0b.jpg"):
        with pytest.raises(BadPicture) as caught:
            load_picture(path)
        assert caught.value.reason == "no-file"
        assert count_pixels(path) == 0


def jpeg_with(*segments: bytes) -> bytes:
    plain = encode(noise(random.Random(1), 16, 12), "JPEG")
    return plain[:2] + b"".join(segments) + plain[2:]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", "<>")
def test_orientation_of_jpeg_and_png(orientation: int, order: str) -> None:
    block = exif(orientation, order)
    plain = pixels(jpeg_with())
    assert np.array_equal(pixels(jpeg_with(segment(0xE1, b"Exif\0\0" + block))), turn(plain, orientation))
    content = encode(Image.fromarray(plain), "PNG")
    content = content[:33] + chunk(b"eXIf", block) + content[33:]
    assert np.array_equal(pixels(content), turn(plain, orientation))


@pytest.mark.parametrize(
    "block",
    [
        exif(0),
        exif(9),
        exif(6).replace(struct.pack("<HHI", 0x112, 3, 1), struct.pack("<HHI", 0x112, 4, 1)),
        exif(6).replace(struct.pack("<HHI", 0x112, 3, 1), struct.pack("<HHI", 0x112, 3, 2)),
        exif(6)[:20],
        b"II*\0" + b"\xff" * 30,
        b"MM*\0" + exif(6)[4:],
        b"",
    ],
)
def test_an_orientation_that_browsers_do_not_obey_counts_as_none(block: bytes) -> None:
    assert np.array_equal(pixels(jpeg_with(segment(0xE1, b"Exif\0\0" + block))), pixels(jpeg_with()))


def test_the_first_exif_counts_and_xmp_does_not() -> None:
    plain, six, three = pixels(jpeg_with()), *(segment(0xE1, b"Exif\0\0" + exif(each)) for each in (6, 3))
    assert np.array_equal(pixels(jpeg_with(six, three)), turn(plain, 6))
    xmp = segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>')
    assert np.array_equal(pixels(jpeg_with(xmp)), plain)
    assert np.array_equal(np.asarray(load_picture(Image.open(io.BytesIO(jpeg_with(xmp))))), plain)
    assert np.array_equal(np.asarray(load_picture(Image.open(io.BytesIO(jpeg_with(six))))), turn(plain, 6))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_an_orientation_in_xmp_alone_turns_nothing(kind: str) -> None:
    picture, told = noise(random.Random(4), 16, 12), xmp(6)
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", told.decode())
    content = encode(picture, kind, xmp=told, pnginfo=text)
    assert told in content
    with Image.open(io.BytesIO(content)) as opened:
        # As Pillow itself has it.
        assert ImageOps.exif_transpose(opened).size == (12, 16)
    assert load_picture(content).size == (16, 12)
    assert load_picture(Image.open(io.BytesIO(content))).size == (16, 12)


def test_a_webp_is_shown_as_it_is_stored() -> None:
    picture = noise(random.Random(2), 12, 9)
    for prefix in (b"", b"Exif\0\0"):
        content = encode(picture, "WEBP", lossless=True, exif=prefix + exif(6))
        assert np.array_equal(pixels(content), np.asarray(picture))
        assert load_picture(Image.open(io.BytesIO(content))).size == picture.size
        # And with EXIF that is cut short.
        found = [(name, body[:9] if name == b"EXIF" else body) for name, body in webp_chunks(content)]
        assert np.array_equal(pixels(riff(*found)), np.asarray(picture))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_avif_is_turned_as_its_container_tells(orientation: int) -> None:
    picture = noise(random.Random(3), 16, 12)
    plain = pixels(encode(picture, "AVIF", quality=90))
    # Pillow writes the orientation into the container (irot, imir).
    assert np.array_equal(pixels(encode(picture, "AVIF", quality=90, exif=exif(orientation))), turn(plain, orientation))
    made = odd_avif(random.Random(orientation))
    assert np.array_equal(pixels(made.content), turn(pixels(made.clean), made.orientation))


def test_an_avif_of_too_many_pixels_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encode(noise(random.Random(3), 64, 48), "AVIF")
    monkeypatch.setattr("PIL.AvifImagePlugin.AvifImageFile.load", lambda _: pytest.fail("it was decoded"))
    with pytest.raises(BadPicture) as caught:
        load_picture(content, PictureConfig(max_pixels=1000))
    assert caught.value.reason == "too-large"


# What is cut short


def test_a_jpeg_that_lacks_its_end_mark_alone_is_whole() -> None:
    for seed in range(12):
        rng = random.Random(seed)
        options = {"progressive": seed % 2 > 0, "restart_marker_blocks": seed % 3, "subsampling": seed % 3}
        whole = encode(noise(rng, 40, 30), "JPEG", quality=95, **options)
        for end in (b"", b"\xff"):
            assert np.array_equal(pixels(whole[:-2] + end), pixels(whole))
        # Within the last scan, whose header with its mark has 14 bytes at most.
        for cut in range(whole.rindex(b"\xff\xda") + 14, len(whole) - 8, 9):
            assert reason_of(whole[:cut], PictureConfig()) == "corrupt", (seed, cut)


@pytest.mark.parametrize("interlaced", [False, True])
def test_a_png_with_fewer_rows_than_it_says_is_damaged(interlaced: bool) -> None:
    for kind, depths in DEPTHS.items():
        for depth in depths:
            for dark in (False, True):
                rng = random.Random(depth)
                parts = png_parts(rng, kind, depth, False, interlaced, dark)
                assert reason_of(parts.content, PictureConfig()) == ""
                packed = zlib.decompress(parts.packed)
                for missing in (1, len(packed) // 3, len(packed) - 1):
                    idat = chunk(b"IDAT", zlib.compress(packed[:-missing]))
                    content = SIGNATURE + parts.header + parts.colors + idat + chunk(b"IEND", b"")
                    assert reason_of(content, PictureConfig()) == "corrupt", (kind, depth, dark, missing)


@pytest.mark.parametrize("brand", [b"avif", b"mif1", b"miaf", b"MA1B", b"heic", b"abcd"])
def test_an_avif_is_known_by_any_of_its_brands(brand: bytes) -> None:
    content = encode(noise(random.Random(3), 24, 18), "AVIF", speed=10)
    assert np.array_equal(pixels(content[:8] + brand + content[12:]), pixels(content))
    other = content[:8] + brand + content[12:16] + b"heic" * 6 + content[40:]
    assert reason_of(other, PictureConfig()) != "" or brand in (b"avif", b"mif1")


# Transparency


def on_white(color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.round(color * alpha + 255 * (1 - alpha))


@pytest.mark.parametrize(("channels", "depth"), [(1, 1), (1, 2), (1, 4), (1, 8), (1, 16), (3, 8), (3, 16)])
def test_a_transparent_colour_of_any_depth_is_white(channels: int, depth: int) -> None:
    rng, most = np.random.default_rng(depth), (1 << depth) - 1
    for _ in range(20):
        values = rng.integers(0, most + 1, (5, 7, channels))
        key = values[2, 3]
        content = b"".join(
            [
                *[SIGNATURE, png_header(7, 5, depth, 0 if channels == 1 else 2)],
                chunk(b"tRNS", b"".join(struct.pack(">H", each) for each in key)),
                *[chunk(b"IDAT", pack_rows(values.reshape(5, -1), depth)), chunk(b"IEND", b"")],
            ]
        )
        shown = np.broadcast_to(values >> 8 if depth == 16 else values * 255 // most, (5, 7, 3))
        expected = np.where((values == key).all(axis=2, keepdims=True), 255, shown)
        assert np.array_equal(pixels(content), expected)


def test_dark_greys_of_sixteen_bits_stay_dark() -> None:
    values = np.arange(35).reshape(5, 7) * 7
    content = SIGNATURE + png_header(7, 5, 16, 0) + chunk(b"IDAT", pack_rows(values, 16)) + chunk(b"IEND", b"")
    assert pixels(content).max() == 0


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_laid_on_white(mode: str) -> None:
    picture = noise(random.Random(5), 30, 600, mode)
    values = np.asarray(picture.convert("RGBA")).astype(float)
    expected = on_white(values[:, :, :3], values[:, :, 3:] / 255)
    assert np.abs(pixels(encode(picture, "PNG")) - expected).max() <= 1


def test_palettes_with_alpha_are_laid_on_white() -> None:
    for number in range(30):
        rng = random.Random(number)
        parts = png_parts(rng, 3, rng.choice(DEPTHS[3]), True)
        palette = np.frombuffer(parts.colors[8 : 8 + int.from_bytes(parts.colors[:4], "big")], np.uint8).reshape(-1, 3)
        at = 12 + palette.size
        alpha = np.full(len(palette), 255)
        given = parts.colors[at + 8 : at + 8 + int.from_bytes(parts.colors[at : at + 4], "big")]
        if len(given) <= 256:
            alpha[: len(given)] = list(given[: len(palette)])
        with Image.open(io.BytesIO(parts.content)) as picture:
            index = np.minimum(np.asarray(picture), len(palette) - 1)
        expected = on_white(palette[index].astype(float), alpha[index][:, :, None] / 255)
        assert np.abs(pixels(parts.content) - expected).max() <= 1


def test_a_bitmap_whose_alpha_is_zero_everywhere_is_seen() -> None:
    rng = np.random.default_rng(1)
    for header in (40, 52, 56, 108, 124):
        for compression in (0, 3):
            values = rng.integers(0, 256, (6, 5, 4), dtype=np.uint8)
            values[:, :, 3] = 0
            masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)[: 3 if header in (40, 52) else 4]
            content = bmp(
                (5, 6),
                32,
                values.tobytes(),
                compression=compression,
                header=header,
                masks=masks if header > 40 else (),
                tail=b"" if header > 40 or not compression else struct.pack("<III", *masks),
            )
            assert np.array_equal(pixels(content), values[::-1, :, 2::-1]), (header, compression)


def test_bitmaps_as_pillow_reads_them() -> None:
    # Where Pillow reads them rightly: whole bytes, and a palette that is not grey.
    rng, seen = random.Random(8), 0
    for _ in range(600):
        content = any_bmp(rng)
        bits, compression = struct.unpack_from("<HI", content, 28)
        if content[14] != 40 or bits not in (8, 24, 32) or compression:
            continue
        with Image.open(io.BytesIO(content)) as picture:
            if picture.mode not in ("P", "RGB"):
                continue
            seen += 1
            assert np.array_equal(pixels(content), np.asarray(picture.convert("RGB")))
    assert seen > 10


def test_a_bitmap_of_too_many_pixels_is_refused_from_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(_: bytes, header: BmpHeader) -> None:
        pytest.fail(f"{header.width} x {header.height} were decoded")

    monkeypatch.setattr("spotter.images.decode_bitmap", decode)
    for compression in (0, 1):
        with pytest.raises(BadPicture) as caught:
            load_picture(bmp((60_000, 60_000), 8, b"\0\1", compression=compression, palette=bytes(1024)))
        assert caught.value.reason == "too-large"


# Animations


def test_of_an_animated_png_the_first_frame_is_read() -> None:
    for seed in range(20):
        rng = random.Random(seed)
        first, second, third = (noise(rng, 12, 8) for _ in range(3))
        assert np.array_equal(pixels(animation(first, first, (second, (0, 0)))), np.asarray(first))
        hidden = animation(None, third, (first, (0, 0)), (second, (0, 0)))
        assert np.array_equal(pixels(hidden), np.asarray(first))
        part, corner = noise(rng, 5, 4), (rng.randrange(8), rng.randrange(5))
        expected = Image.new("RGB", (12, 8), "white")
        expected.paste(part, corner)
        assert np.array_equal(pixels(animation(None, third, (part, corner))), np.asarray(expected))
        assert count_pixels(hidden) == 96


def test_a_hidden_picture_is_not_seen_when_the_animation_is_damaged() -> None:
    picture = noise(random.Random(1), 12, 8)
    whole = animation(None, picture, (picture, (0, 0)))
    for content in (
        animation(None, picture),
        whole[:-40],
        whole.replace(frame_control(0, (12, 8)), frame_control(4, (12, 8))),
    ):
        with pytest.raises(BadPicture) as caught:
            load_picture(content)
        assert caught.value.reason == "corrupt"


def test_of_an_animated_gif_what_the_first_frame_leaves_open_is_white() -> None:
    for seed in range(20):
        rng = random.Random(seed)
        part, corner = noise(rng, 6, 5).quantize(8), (rng.randrange(5), rng.randrange(4))
        content = bytearray(encode(part, "GIF"))
        content[6:10] = struct.pack("<HH", 10, 8)
        at = content.index(b",", 13 + 3 * (2 << (content[10] & 7)))
        content[at + 1 : at + 5] = struct.pack("<HH", *corner)
        expected = Image.new("RGB", (max(10, corner[0] + 6), max(8, corner[1] + 5)), "white")
        expected.paste(part.convert("RGB"), corner)
        assert np.array_equal(pixels(bytes(content)), np.asarray(expected))


def test_checksums_of_the_pixels_are_still_checked() -> None:
    for seed in range(30):
        rng = random.Random(seed)
        content = bytearray(encode(noise(rng, 20, 20), "PNG"))
        start = content.index(b"IDAT")
        content[rng.randrange(start + 4, len(content) - 12)] ^= 1 << rng.randrange(8)
        with pytest.raises(BadPicture) as caught:
            load_picture(bytes(content))
        assert caught.value.reason == "corrupt"


def test_what_is_decoded_is_what_pillow_decodes() -> None:
    # What a published model was trained on must not change by a bit.
    for seed in range(60):
        rng = random.Random(seed)
        made = odd_jpeg(rng)
        with Image.open(io.BytesIO(made.clean)) as picture:
            expected = ImageOps.exif_transpose(picture).convert("RGB")
        assert np.array_equal(pixels(made.clean), np.asarray(expected))
