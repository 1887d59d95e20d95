"""One exception for each failure that a user can meet. Each message is one sentence: what happened and what to do."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """`; did you mean 'this'?` for the choice that is nearest to `word`, or nothing when none is near."""
    near = difflib.get_close_matches(word, list(choices), 1, 0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


class SpotterError(Exception):
    """Base of every expected failure. The command catches it in one place and prints it."""


class RecipeError(SpotterError):
    """The recipe or the `--class` options do not describe a classifier."""


class BadCosts(SpotterError):
    """What mistakes are said to cost is no table of costs of these labels."""


class BadCoverage(SpotterError):
    """Sets of labels cannot hold the truth for this share of pictures, or are of no use then."""


class BadPrior(SpotterError):
    """What is said of the shares of labels is no prior, or the model cannot use one."""


class UnknownSource(SpotterError):
    """The name given to `--search` is not a picture source."""


class SourceUnavailable(SpotterError):
    """A picture source cannot be reached or answers nonsense."""


class SourceThrottled(SourceUnavailable):
    """A picture source refuses because it was asked too often."""


class SourceUnconnected(SourceUnavailable):
    """There is no connection to a picture source: mostly there is no internet."""


class FolderMissing(SpotterError):
    """A folder of pictures does not exist, or it has no sub-folder for a class."""


class TooFewPictures(SpotterError):
    """A class has fewer usable pictures than training needs."""


class BadPicture(SpotterError):
    """Bytes that are not a picture we accept. `reason` is a short, countable word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type["BadPicture"], tuple[str, str]]:
        # Processes of a cluster send it to one another.
        return type(self), (self.reason, str(self))


class BadLesson(SpotterError):
    """A file is no lesson of the teach page, or it is damaged or larger than is allowed."""


class DatasetUnwritable(SpotterError):
    """The folder for the collected pictures or cached features cannot be written."""


class TemporaryUnwritable(SpotterError):
    """The system's temporary folder is full or cannot be written."""


class EditsDamaged(SpotterError):
    """The log of decisions about pictures cannot be read, or one of its lines is not a decision."""


class NoTrainingRun(SpotterError):
    """There is no training run whose pictures could be cleaned."""


class PasswordMissing(SpotterError):
    """A page that changes a picture set would be open to other machines without a password."""


class PasswordWeak(SpotterError):
    """The password of the staff pages or of the cleaning page is too easy to guess."""


class UnknownArchitecture(SpotterError):
    """The name given to `--arch` is not a timm model."""


class WeightsUnavailable(SpotterError):
    """Pretrained weights could not be downloaded."""


class TrainingFailed(SpotterError):
    """Training did not give a usable classifier (for example, the loss is not a number)."""


class ParityError(SpotterError):
    """The files to publish give other answers than the trained model, or a site in a browser than the model here."""


class BrokenExport(SpotterError):
    """A fastai export cannot be opened: it is damaged, comes from another version, or needs something that is missing
    here."""


class UnsuitableExport(SpotterError):
    """A fastai export is not a picture classifier, or it prepares pictures in a way that cannot be repeated here."""


class UnknownStore(SpotterError):
    """The address is not one of a store."""


class StoreUnwritable(SpotterError):
    """The store cannot be written."""


class StoreUnreachable(SpotterError):
    """The Hub cannot be reached, fails, or answers nonsense."""


class StoreBusy(StoreUnreachable):
    """The Hub refuses because it was asked too often."""


class AccessRefused(SpotterError):
    """The Hub asks for a token, for a token with more rights, or for consent to the terms of a gated model."""


class ModelNotPublic(SpotterError):
    """A model that others, such as a Space, must read is private or gated."""


class PaymentRequired(SpotterError):
    """The Hub asks for payment before it does this."""


class SpaceFailed(SpotterError):
    """A Space was not built, does not start, or does not answer as the model does."""


class LostRace(SpotterError):
    """Somebody else changed the store at each attempt to publish."""


class CacheUnwritable(SpotterError):
    """Files from the Hub cannot be saved on this disk."""


class RevisionMissing(SpotterError):
    """The store does not exist, is empty, or does not hold the revision asked for."""


class BrokenModel(SpotterError):
    """A published file is missing, truncated, altered or not what `model.json` promises."""


class NoInt8(SpotterError):
    """The revision asked for has no int8 network."""


class NoExplanation(SpotterError):
    """It cannot be shown why a picture got its label."""


class LogUnreadable(SpotterError):
    """There is no answer log, or it is damaged or of another version."""


class LogUnwritable(SpotterError):
    """The answer log cannot be written."""


class WebhookFailed(SpotterError):
    """The webhook's address is not valid, or the webhook does not accept alerts."""


class FeedbackMissing(SpotterError):
    """No visitor's entry has this id."""


class FeedbackUnwritable(SpotterError):
    """A visitor's feedback cannot be saved or deleted."""


class RolloutMissing(SpotterError):
    """There is no rollout in the folder of this log, or it cannot begin yet."""


class RolloutDamaged(SpotterError):
    """The files with the rollout's stage and gates cannot be read or written."""


class PromotionRefused(SpotterError):
    """A gate of the rollout is not met."""


class ChallengerFailed(SpotterError):
    """A challenger gives no answer."""


class QueueUnwritable(SpotterError):
    """An answer cannot be queued for review: the queue is full or cannot be written."""


class ArticleUnwritable(SpotterError):
    """The folder for an article cannot be written."""


class SiteNotBuilt(SpotterError):
    """The files of the browser edition are not built in this checkout."""


class SiteUnwritable(SpotterError):
    """The folder for a site cannot be written, or it holds something else."""


class BrowserMissing(SpotterError):
    """There is no browser on this machine to try a site in."""


class BrowserFailed(SpotterError):
    """A browser did not start, ended or fell silent before a site was tried in it."""


class PortUnavailable(SpotterError):
    """The app cannot listen on this address: it is in use, or it does not belong to this machine."""


class PageUnavailable(SpotterError):
    """The page cannot be shown, because what it needs cannot be imported."""


class ExtraMissing(SpotterError):
    """This needs optional packages that are not installed."""


class CheckoutMissing(SpotterError):
    """The command needs the files of a checkout of the repository."""


class ListUnreadable(SpotterError):
    """The list of pictures to classify cannot be read, or it is empty."""


class AnswersUnwritable(SpotterError):
    """The file for the answers already exists, or it cannot be written."""


class BadVideo(SpotterError):
    """The file is no video that can be read, or there is no picture in it."""


class NothingToAlert(SpotterError):
    """The model never gives the answer that an alert is asked for."""


class NothingToForecast(SpotterError):
    """The revision has no figures to make a forecast of."""


class NothingToJudge(SpotterError):
    """A folder of labelled pictures has no picture of a model's classes, or folders that are none of its classes."""


class ClusterUnavailable(SpotterError):
    """There is no Ray cluster at the address, or it cannot be started here."""
