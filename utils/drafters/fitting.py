"""The drafter that fits a pair of models, by how much their vocabularies have in common."""

from __future__ import annotations

from collections.abc import Callable

from utils.drafters.model_drafter import ModelDrafter
from utils.drafters.protocol import SteeredDrafter
from utils.drafters.spelling import DraftVocabulary, Encode, Spelling
from utils.drafters.text_drafter import TextDrafter
from utils.drafters.translated_drafter import TranslatedDrafter, TranslatedSession
from utils.model_session import ModelSession
from utils.vocabulary_map import Fit, VocabularyMap

MakeDrafter = Callable[[str], SteeredDrafter]


def fit_drafter(
    fit: Fit,
    session: ModelSession,
    draft: DraftVocabulary,
    target: DraftVocabulary,
    *,
    encode_draft: Encode,
    encode_target: Encode,
) -> MakeDrafter:
    """Return what makes drafters, by name, of a draft's session for a target.

    Each `encode` tokenizes text in mid-sentence. A draft of the same vocabulary that ends earlier
    than the target's is translated too: it cannot read the target's last tokens.
    """
    if fit == "same" and draft.size >= target.size:
        return lambda name: ModelDrafter(name, session, vocabulary_size=target.size)
    vocabulary_map = VocabularyMap.between(draft, target)
    spelling = Spelling(draft, target, vocabulary_map, encode_draft)
    if fit == "text":
        return lambda name: TextDrafter(
            name, session, draft, target, spelling=spelling, encode=encode_target
        )
    translated = TranslatedSession(session, vocabulary_map, spelling)
    return lambda name: TranslatedDrafter(name, translated)
