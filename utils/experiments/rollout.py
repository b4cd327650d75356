"""Who drafts: browsers assigned by chance, for good, and a switch that stops drafting for all."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal
from weakref import WeakKeyDictionary

from config import RolloutConfig
from utils.errors import RequestError
from utils.storage.database import Database

Arm = Literal["standard", "speculative"]
Why = Literal["stopped", "chosen", "assigned", "default"]
_DIGEST_HEX = 16
# Settings that were taken over since this process opened a database.
_taken: WeakKeyDictionary[Database, RolloutConfig] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Enrolment:
    """An answer's part in an experiment; `browser` is a pseudonym that leads back to nobody."""

    experiment: int
    browser: str
    arm: Arm


@dataclass(frozen=True, slots=True)
class Rollout:
    """The present experiment: `percent` of the browsers draft; None where no experiment runs."""

    experiment: int
    salt: str
    percent: int | None
    is_stopped: bool
    began_at: float

    def enrol(self, browser_id: str) -> Enrolment | None:
        """Return the part of a browser, always the same; None without experiment or browser.

        A larger share moves browsers from standard to speculative only, a smaller one only back.
        """
        if self.percent is None or not browser_id:
            return None
        digest = sha256(f"{self.salt}:{browser_id}".encode()).hexdigest()[:_DIGEST_HEX]
        place = int(digest, 16) / 16**_DIGEST_HEX
        return Enrolment(
            self.experiment, digest, "speculative" if place < self.percent / 100 else "standard"
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether the next answer is drafted, why, and as a part of which experiment."""

    enabled: bool
    why: Why
    enrolment: Enrolment | None = None


def decide(rollout: Rollout, browser_id: str, *, chosen: bool | None, default: bool) -> Decision:
    """Say whether to draft; `chosen` is the user's own choice, None where there is none.

    Only answers about which chance decided are a part of the experiment.
    """
    if rollout.is_stopped:
        return Decision(enabled=False, why="stopped")
    if chosen is not None:
        return Decision(chosen, "chosen")
    enrolment = rollout.enrol(browser_id)
    if enrolment is None:
        return Decision(default, "default")
    return Decision(enrolment.arm == "speculative", "assigned", enrolment)


def load_rollout(database: Database, config: RolloutConfig) -> Rollout:
    """Return the present experiment, with the settings taken over at the first call of a start.

    Settings that are others than those last taken over decide then about the share. A stop ends by
    hand only: another app on the same database may have asked for it.
    """
    rows = database.read("SELECT * FROM experiments ORDER BY id DESC LIMIT 1")
    if not rows:
        _insert(
            database, config, config.speculative_percent, is_stopped=config.stopped, is_first=True
        )
        return load_rollout(database, config)
    if _taken.get(database) != config:
        _take_over(database, config)
        _taken[database] = config
        return load_rollout(database, config)
    row = rows[0]
    return Rollout(row["id"], row["salt"], row["percent"], bool(row["is_stopped"]), row["began_at"])


def change_rollout(
    database: Database, config: RolloutConfig, *, percent: int | None, is_stopped: bool
) -> Rollout:
    """Change share and stop switch of the present experiment, from the next answer on."""
    _check_percent(percent)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE experiments SET percent = ?, is_stopped = ?, settings = ?"
            " WHERE id = (SELECT max(id) FROM experiments)",
            (percent, is_stopped, config.model_dump_json()),
        )
    return load_rollout(database, config)


def begin_experiment(
    database: Database, config: RolloutConfig, *, percent: int | None, is_stopped: bool = False
) -> Rollout:
    """Begin anew: browsers are assigned afresh, and nothing of before is counted."""
    _check_percent(percent)
    _insert(database, config, percent, is_stopped=is_stopped)
    return load_rollout(database, config)


def _take_over(database: Database, config: RolloutConfig) -> None:
    settings = config.model_dump_json()
    with database.transaction() as connection:
        connection.execute(
            "UPDATE experiments SET percent = ?, is_stopped = max(is_stopped, ?), settings = ?"
            " WHERE id = (SELECT max(id) FROM experiments) AND settings <> ?",
            (config.speculative_percent, config.stopped, settings, settings),
        )


def _insert(
    database: Database,
    config: RolloutConfig,
    percent: int | None,
    *,
    is_stopped: bool,
    is_first: bool = False,
) -> None:
    """Begin an experiment; with `is_first` only where there is none: two may find none at once."""
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO experiments (salt, percent, is_stopped, began_at, settings)"
            " SELECT ?, ?, ?, ?, ? WHERE NOT ? OR NOT EXISTS (SELECT 1 FROM experiments)",
            (
                secrets.token_hex(8),
                percent,
                is_stopped,
                time.time(),
                config.model_dump_json(),
                is_first,
            ),
        )


def _check_percent(percent: int | None) -> None:
    if percent is not None and not 0 <= percent <= 100:
        raise RequestError(f"the share is no percentage: found {percent}; allowed is 0 to 100")
