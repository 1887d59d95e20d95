"""Names: labels in any script, the folders that stand for them, and the folders that are not people's own."""

import re
import unicodedata
from collections.abc import Iterable

# What is said where no class is; no class may be called so.
NOT_SURE, NONE_OF_THESE = "not sure", "none of these"
MOST_CHARACTERS = 60
# They join letters, or keep them apart, in scripts from Persian to Malayalam; others of their kind nobody sees.
JOINERS = "\u200c\u200d"
_APOSTROPHES = "\u2018\u2019\u02bc\uff07`\u00b4"
# They mean something in HTML, to a shell's redirection, or between LABEL and QUERY; a backslash is Windows' slash.
_REFUSED = '<>\\|="'
# No system takes all of these in the name of a folder.
_UNSAFE = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]')
# Characters without a look of their own, with which two names would look alike.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0]"
)
# Windows refuses these as names of files, with any suffix.
_DEVICES = re.compile(r"con|prn|aux|nul|com\d|lpt\d")
# What a picture set keeps beside the folders of its classes.
_TAKEN = re.compile(r"incoming|.*\.(?:jsonl?|html|csv|txt|png|jpg|safetensors|npy|part|tmp)", re.IGNORECASE)
# What operating systems, network drives and archivers put beside people's files, in lower case.
_SYSTEM = {
    "#recycle", "#snapshot", "$recycle.bin", "$windows.~bt", "__macosx", "__pycache__", "aquota.user", "desktop.ini",
    "ehthumbs.db", "found.000", "icon\r", "lost+found", "lost.dir", "msdownld.tmp", "network trash folder", "recycled",
    "recycler", "system volume information", "temporary items", "thumbs.db", "~snapshot",
}  # fmt: skip
# Synology and QNAP: @eaDir, @tmp, @Recycle, @Recently-Snapshot, photo.jpg@SynoEAStream.
_NETWORK_DRIVE = re.compile(r"@eadir|@tmp|@__thumb|@recycle|@recently-snapshot|@sharebin|.*@syno\w+")


def clean_label(text: str) -> str:
    """A label as it is kept: composed (NFC), with plain spaces; otherwise as its author wrote it."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(" " if unicodedata.category(character) == "Zs" else character for character in composed).strip(" ")


def why_no_label(label: str) -> str | None:
    """Why a label that `clean_label` gave cannot be one, as the end of a sentence; None when it can."""
    if not any(character.isalnum() for character in label) or len(label) > MOST_CHARACTERS:
        return f"it needs a letter or digit, and at most {MOST_CHARACTERS} characters"
    bad = [character for character in label if character in _REFUSED or not is_writing(character)]
    if bad:
        return f"it holds {bad[0]!r}, and neither control characters nor {' '.join(_REFUSED)} may be in a label"
    if label[0] in "./~" or ".." in label:
        return "it begins like a path or a hidden file, or holds '..'"
    if _DEVICES.fullmatch(slug(label.partition(".")[0]).removesuffix("-")):
        return "Windows keeps this name for a device"
    if slug(_without_unseen(label)) in {slug(NOT_SURE), slug(NONE_OF_THESE)}:
        return "this is what Spotter itself says of unfamiliar pictures"
    return None


def folder_name(label: str) -> str:
    """The folder that holds a class's pictures: the label itself where every system takes it, "_" for what it refuses.

    Two labels may have the same folder ("A/B" and "A:B"); see `alike`.
    """
    name = _UNSAFE.sub("_", unicodedata.normalize("NFC", label))
    name = re.sub(r"[. ]+$", lambda found: "_" * len(found[0]), name)
    if name.startswith("."):
        name = f"_{name[1:]}"
    return f"{name}_" if is_system_name(name) or _TAKEN.fullmatch(name) else name


def alike(labels: Iterable[str]) -> tuple[str, str] | None:
    """The first two labels that people or folders could not tell apart; None when there are none."""
    seen: dict[str, tuple[int, str]] = {}
    for number, label in enumerate(labels):
        for key in _looks(label):
            if seen.setdefault(key, (number, label))[0] != number:
                return seen[key][1], label
    return None


def merge_alike(labels: Iterable[str]) -> list[str]:
    """The labels in their order, without those that people or folders could not tell from an earlier one."""
    kept, seen = list[str](), set[str]()
    for label in labels:
        looks = _looks(label)
        if seen.isdisjoint(looks):
            kept.append(label)
        seen.update(looks)
    return kept


def slug(text: str) -> str:
    """Turn `text` into a name that is safe for a file or folder on any system ("" when nothing is left)."""
    composed = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    kept = "".join(
        c if c.isalnum() or c == "_" or unicodedata.category(c)[0] == "M" else "-" for c in composed if c not in JOINERS
    )
    words = re.sub(r"-+", "-", kept).strip("-_")
    return f"{words}-" if _DEVICES.fullmatch(words) else words


def same_name(first: str, second: str) -> bool:
    """Whether two labels are the same but for case, composition, apostrophes and the characters " ", "-", "_"."""
    return _loose(first) == _loose(second)


def find_name(label: str, names: Iterable[str]) -> str | None:
    """The one of `names`, such as those of folders, that stands for a label: the likest; None when there is none."""
    known = list(names)
    wanted = clean_label(label)
    for is_it in (
        lambda name: clean_label(name) == wanted,
        lambda name: clean_label(name) == folder_name(wanted),
        lambda name: slug(name) == slug(wanted) != "",
        lambda name: same_name(name, wanted),
    ):
        for name in known:
            if is_it(name):
                return name
    return None


def find_names(label: str, names: Iterable[str]) -> list[str]:
    """Those of `names` that stand for a label: the likest, and all that people or folders could not tell from it."""
    known = list(names)
    likest = find_name(label, known)
    looks = _looks(clean_label(likest)) if likest is not None else ()
    return [name for name in known if not set(looks).isdisjoint(_looks(clean_label(name)))]


def is_system_name(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or made by a system: never one of people's pictures."""
    lowered = name.casefold()
    return name.startswith(".") or lowered in _SYSTEM or _NETWORK_DRIVE.fullmatch(lowered) is not None


def is_system_path(path: str) -> bool:
    """Whether any part of a relative path, with slashes or backslashes, is hidden or made by a system."""
    return any(is_system_name(part) for part in re.split(r"[/\\]", path) if part not in {"", ".", ".."})


def is_writing(character: str) -> bool:
    """Whether a character is part of what people write: it can be seen, or joins letters."""
    return character.isprintable() or character in JOINERS


def _looks(label: str) -> tuple[str, str]:
    # Symbols tell labels apart (C, C++ and C#); case, blanks and other punctuation do not.
    looks = re.sub(r"[\s_\-.,:;'/()]+", "-", _folded(label)).strip("-")
    return f"look {looks}", f"folder {folder_name(label).casefold()}"


def _without_unseen(text: str) -> str:
    return _UNSEEN.sub("", unicodedata.normalize("NFKC", text))


def _folded(text: str) -> str:
    plain = _without_unseen(text)
    for character in _APOSTROPHES:
        plain = plain.replace(character, "'")
    return unicodedata.normalize("NFC", plain.casefold())


def _loose(text: str) -> str:
    return re.sub(r"[ \-_'.]|[/\\:*?\"<>|\u2044]", "", _folded(text)) or _folded(text)
