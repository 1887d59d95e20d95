"""What people decided about visitors' pictures on the cleaning page, as reviews of the answers in the log."""

from dataclasses import dataclass
from pathlib import Path

from spotter.dataset import FROM_VISITORS, read_manifest
from spotter.edits import EditLog, judge_edits
from spotter.feedback import FeedbackFolder
from spotter.monitor import add_reviews, read_answers


@dataclass(frozen=True)
class Noted:
    """`new` reviews went into the log, `known` were there; of `unlogged` decided entries the log has no answer."""

    new: int
    known: int
    unlogged: int


def decided_labels(folder: Path) -> dict[str, str]:
    """Id of an entry -> the label that counts, for those that were decided in the set in `folder`.

    A deleted picture is in none: that says nothing of what it shows. Nor is one about which people disagree.

    Raises:
        EditsDamaged: the set's log of decisions cannot be read.
    """
    records = [record for record in read_manifest(folder) if record.backend == FROM_VISITORS]
    verdicts, _ = judge_edits(EditLog(folder).read(), records)
    found = {}
    for record in records:
        verdict = verdicts.get(str(record.sha256))
        if verdict and verdict.edit and verdict.edit.to:
            found[str(record.backend_id)] = verdict.edit.to
    return found


def note_reviews(entries: FeedbackFolder, folder: Path, log: Path) -> Noted:
    """Note in the answer log what was decided in the set in `folder` about the pictures of entries. Twice is as once.

    Raises:
        EditsDamaged: the decisions cannot be read. LogUnreadable, LogUnwritable: the answer log cannot.
    """
    decided = decided_labels(folder)
    right = {entry.logged: decided[entry.id] for entry, _ in entries.read() if entry.id in decided and entry.logged}
    answers = read_answers(log)
    known = dict(zip(answers.id.tolist(), answers.right.tolist(), strict=True))
    # An answer that is reviewed again with the same words would count as a new review.
    new = {answer: label for answer, label in right.items() if answer in known and known[answer] != label}
    add_reviews(log, new)
    there = sum(answer in known for answer in right)
    return Noted(len(new), there - len(new), len(decided) - there)
