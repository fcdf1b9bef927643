"""Static word vectors: one vector a word, whatever its context."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from highgamma.embeddings.kinds import KINDS, Given, Kind

if TYPE_CHECKING:
    from highgamma.embeddings.stream import Embeddings


class Static(Kind):
    """fastText, GloVe or word2vec vectors."""

    name = "static"
    description = "word vectors: fastText `.bin` and `.vec`, GloVe and word2vec text"
    needs = ("words", "model")
    has_width = True
    reads_words = True
    files_in_words = "the vectors"

    def make(self, entry: dict[str, Any], given: Given) -> Embeddings:
        """Look the words up."""
        from highgamma.embeddings.static import static_embeddings

        return static_embeddings(entry, words=given.words, path=self.files(entry, given))


KINDS.register(Static())
