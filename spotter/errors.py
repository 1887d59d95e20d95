"""One exception per failure a user can meet; each message is one sentence: what happened, what to do."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """`; did you mean 'this'?` for the choice that is nearest to `word`, or nothing when none is near."""
    near = difflib.get_close_matches(word, list(choices), 1, 0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


class SpotterError(Exception):
    """Base of every expected failure. Caught once, at the edge (`train.py`, `app.py`), and printed."""


class RecipeError(SpotterError):
    """The recipe or the `--class` options do not describe a classifier."""


class UnknownSource(SpotterError):
    """The name given to `--search` is no picture source."""


class SourceUnavailable(SpotterError):
    """A picture source cannot be reached or answers nonsense."""


class SourceThrottled(SourceUnavailable):
    """A picture source refuses because it was asked too often."""


class FolderMissing(SpotterError):
    """A folder of pictures does not exist, or holds no folder for a class."""


class TooFewPictures(SpotterError):
    """A class has fewer usable pictures than training needs."""


class BadPicture(SpotterError):
    """Bytes that are not a picture we accept. `reason` is a short, countable word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class DatasetUnwritable(SpotterError):
    """The folder for the collected pictures or cached features cannot be written."""


class TemporaryUnwritable(SpotterError):
    """The system's temporary folder is full or cannot be written."""


class EditsDamaged(SpotterError):
    """The log of decisions about pictures cannot be read, or holds a line that is none."""


class NoTrainingRun(SpotterError):
    """There is no training run whose pictures could be cleaned."""


class PasswordMissing(SpotterError):
    """A page that changes a picture set is to be served to other machines without a password."""


class PasswordWeak(SpotterError):
    """The password of the staff pages or of the cleaning page is too easy to guess."""


class UnknownArchitecture(SpotterError):
    """The name given to `--arch` is no timm model."""


class WeightsUnavailable(SpotterError):
    """Pretrained weights would need a download that failed."""


class TrainingFailed(SpotterError):
    """Training gave something that is no classifier (for example a loss that is not a number)."""


class ParityError(SpotterError):
    """The files to be published do not answer like the trained model."""


class BrokenExport(SpotterError):
    """Somebody's fastai export cannot be opened: damaged, of another version, or in need of what is not here."""


class UnsuitableExport(SpotterError):
    """Somebody's fastai export is no classifier of pictures, or treats them in a way that cannot be repeated."""


class UnknownStore(SpotterError):
    """The store's address is of a kind that cannot be opened."""


class StoreUnwritable(SpotterError):
    """The store cannot be written."""


class StoreUnreachable(SpotterError):
    """The Hub cannot be reached, fails, or answers nonsense."""


class StoreBusy(StoreUnreachable):
    """The Hub refuses because it was asked too often."""


class AccessRefused(SpotterError):
    """The Hub wants a token, another token, a right that the token lacks, or consent to the terms of a gated model."""


class ModelNotPublic(SpotterError):
    """A model that others have to read, such as a Space, is private or gated."""


class PaymentRequired(SpotterError):
    """The Hub wants money for what was asked."""


class SpaceFailed(SpotterError):
    """A Space was not built, does not start, or does not answer as the model does."""


class LostRace(SpotterError):
    """Others changed the store each time we were about to."""


class CacheUnwritable(SpotterError):
    """What was pulled from the Hub cannot be kept on this disk."""


class RevisionMissing(SpotterError):
    """The store does not exist, is empty, or does not hold the revision asked for."""


class BrokenModel(SpotterError):
    """A published file is missing, truncated, altered or not what `model.json` promises."""


class NoInt8(SpotterError):
    """The revision asked for has no int8 network."""


class NoExplanation(SpotterError):
    """Why a picture got its label cannot be shown."""


class LogUnreadable(SpotterError):
    """There is no answer log, or it is damaged or of another version."""


class LogUnwritable(SpotterError):
    """The answer log cannot be written."""


class WebhookFailed(SpotterError):
    """The address for alerts is none, or does not take them."""


class FeedbackMissing(SpotterError):
    """No visitor's entry has this id."""


class FeedbackUnwritable(SpotterError):
    """What a visitor said cannot be kept, or not be deleted."""


class RolloutMissing(SpotterError):
    """There is no rollout in the folder of this log, or it cannot be one."""


class RolloutDamaged(SpotterError):
    """What says at which stage the rollout is, or when it may go on, cannot be read or written."""


class PromotionRefused(SpotterError):
    """A gate of the rollout is not met."""


class ChallengerFailed(SpotterError):
    """A challenger gives no answer."""


class QueueUnwritable(SpotterError):
    """An answer cannot wait for a person: the queue is full or cannot be written."""


class ArticleUnwritable(SpotterError):
    """The folder for an article cannot be written."""


class PortUnavailable(SpotterError):
    """The address the app should listen on is taken or not ours."""


class ExtraMissing(SpotterError):
    """What was asked for needs packages that are optional and not installed."""


class CheckoutMissing(SpotterError):
    """The command needs the files of a checkout, and there is none."""


class ListUnreadable(SpotterError):
    """The pictures to classify cannot be listed, or there are none."""


class AnswersUnwritable(SpotterError):
    """The file for the answers is there already, or cannot be written."""


class ClusterUnavailable(SpotterError):
    """There is no Ray cluster at the address, or it cannot be started here."""
