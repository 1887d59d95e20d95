"""See what visitors sent, and delete what they want deleted.

    spotter feedback feedback
    spotter feedback hf://datasets/owner/name
    spotter feedback feedback --delete 0123456789abcdef0123456789abcdef
    spotter feedback feedback --reviewed models/bears --log logs/bears

To review pictures of visitors, add them to the set with `spotter train --feedback` and open `spotter clean`. The last
form above copies the decisions about logged answers into the answer log, so that `spotter report` can compute the
error.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spotter.config import DATASETS
from spotter.errors import FeedbackMissing
from spotter.utils.argument_parser import Options, Parser
from spotter.utils.console import say

if TYPE_CHECKING:
    from spotter.feedback.store import FeedbackFolder


@dataclass(frozen=True)
class Noted:
    """`new` reviews were added to the log, `known` ones were there already; the log has no answer for `unlogged`
    entries."""

    new: int
    known: int
    unlogged: int


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument("store", help="where spotter serve --feedback saves: a folder or hf://datasets/owner/name")
    parser.add_argument("--delete", metavar="ID", help="permanently remove an entry")
    parser.add_argument(
        "--reviewed", type=Path, metavar="TARGET", help="copy the decisions of this store or picture set into --log"
    )
    parser.add_argument("--log", type=Path, metavar="FOLDER", help="the folder that spotter serve --log writes to")

    def check(options: Options) -> None:
        if (options.reviewed is None) != (options.log is None):
            parser.error("--reviewed TARGET and --log FOLDER need each other")

    parser.add_check(check)


def run(options: Options) -> str:
    """Do what the options say; return the line with the number of entries."""
    from spotter.data.training_run import find_pictures
    from spotter.feedback.store import FeedbackFolder
    from spotter.feedback.sync import fetched, open_dataset, send

    entries = FeedbackFolder(fetched(options.store))
    if not options.store.startswith(DATASETS) and not entries.folder.is_dir():
        raise FeedbackMissing(
            f"There is no folder {options.store!r}; give the one that spotter serve --feedback saves to."
        )
    if options.delete:
        if not entries.delete(options.delete):
            raise FeedbackMissing(f"There is no entry {options.delete!r} in {options.store!r}.")
        if options.store.startswith(DATASETS):
            send(entries, open_dataset(options.store))
    if options.reviewed:
        noted = note_reviews(entries, find_pictures(options.reviewed), options.log)
        say(f"reviews noted: {noted.new}; noted before: {noted.known}; of answers not in the log: {noted.unlogged}")
    count = right = 0
    for entry, _ in entries.read():
        say(f"{entry.time}  {entry.id}  {entry.sentence()}")
        count, right = count + 1, right + entry.is_right
    return f"entries: {count}; {right} say that the model was right"


def decided_labels(folder: Path) -> dict[str, str]:
    """The valid label by id of the entry, for the entries that were decided in the set in `folder`.

    Deleted pictures are left out, because a deletion does not say what the picture shows. So are pictures about which
    people disagree.

    Raises:
        EditsDamaged: the set's log of decisions cannot be read.
    """
    from spotter.data.dataset import FROM_VISITORS
    from spotter.data.edit_log import EditLog
    from spotter.data.edits import judge_edits
    from spotter.data.manifest import read_manifest

    records = [record for record in read_manifest(folder) if record.backend == FROM_VISITORS]
    verdicts, _ = judge_edits(EditLog(folder).read(), records)
    found = {}
    for record in records:
        verdict = verdicts.get(str(record.sha256))
        if verdict and verdict.edit and verdict.edit.to:
            found[str(record.backend_id)] = verdict.edit.to
    return found


def note_reviews(entries: "FeedbackFolder", folder: Path, log: Path) -> Noted:
    """Write into the answer log what was decided in the set in `folder` about the pictures of entries. Doing it twice
    changes nothing more.

    Raises:
        EditsDamaged: the decisions cannot be read. LogUnreadable, LogUnwritable: the answer log cannot.
    """
    from spotter.monitor.log import add_reviews, read_answers

    decided = decided_labels(folder)
    right = {entry.logged: decided[entry.id] for entry, _ in entries.read() if entry.id in decided and entry.logged}
    answers = read_answers(log)
    known = dict(zip(answers.id.tolist(), answers.right.tolist(), strict=True))
    # An answer that is reviewed again with the same words would count as a new review.
    new = {answer: label for answer, label in right.items() if answer in known and known[answer] != label}
    add_reviews(log, new)
    there = sum(answer in known for answer in right)
    return Noted(len(new), there - len(new), len(decided) - there)
