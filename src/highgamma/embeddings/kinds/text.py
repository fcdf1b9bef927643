"""Language models: hidden states, or surprisal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from highgamma.embeddings.kinds import DTYPE, KINDS, Entry, Given, Kind, Option, RecordingSize

if TYPE_CHECKING:
    from highgamma.embeddings.stream import Embeddings


class Text(Kind):
    """A language model that reads the words."""

    name = "text"
    description = "a language model: hidden states of all layers, or surprisal"
    options = {
        "feature": Option(
            (str,),
            "states",
            "states or surprisal",
            "`states` (all layers), or `surprisal` (of a causal model: one layer with surprisal, "
            "entropy and rank)",
            ("states", "surprisal"),
        ),
        "pooling": Option(
            (str,),
            "mean",
            "mean, first or last",
            "of a word's sub-word tokens: their `mean`, the `first` or the `last`",
            ("mean", "first", "last"),
        ),
        "context": Option(
            (str, int),
            "word",
            "`word` or a number of tokens, 1 or more",
            "`word` (each word alone), or the number of tokens of running text around it",
            ("word",),
            1,
        ),
        "prefix_space": Option((bool,), False, "true or false", "a space before the first word"),
        "batch": Option((int,), 64, "a count, 1 or more", "words at a time", minimum=1),
        "dtype": DTYPE,
    }
    needs = ("words", "model")
    is_network = True
    has_width = True
    reads_words = True
    files_in_words = "a folder in transformers' layout"

    def layers(self, entry: Entry) -> list[int]:
        """Return the numbers of the layers; surprisal has the one layer 0."""
        return [0] if entry.get("feature") == "surprisal" else super().layers(entry)

    def file_patterns(self, entry: Entry) -> tuple[str, ...]:
        """Return the configuration's and the tokenizer's patterns."""
        tokenizer = ("tokenizer*.json", "vocab.*", "merges.txt", "special_tokens_map.json")
        return (*super().file_patterns(entry), *tokenizer, "*.model")

    def width(self, entry: Entry, size: RecordingSize) -> int:
        """Return the number of features: surprisal, entropy and rank, or the network's width."""
        return 3 if entry.get("feature") == "surprisal" else super().width(entry, size)

    def positions(self, entry: Entry, size: RecordingSize) -> float:
        """Return about three tokens a word and two special ones; running text is read twice."""
        return size.words * (5.0 if entry.get("context") == "word" else 3.0)

    def make(self, entry: dict[str, Any], given: Given) -> Embeddings:
        """Pass the words through the network."""
        from highgamma.embeddings.pretrained import (
            load_language_model,
            load_network,
            load_tokenizer,
        )

        folder = self.files(entry, given)
        # The tokenizer first: a model of another kind has none, and that is the clearer message.
        tokenizer = load_tokenizer(entry, folder)
        options: dict[str, Any] = {"device": given.device, "threads": given.threads}
        if entry["feature"] == "surprisal":
            from highgamma.embeddings.surprisal import surprisal_embeddings

            network = load_language_model(entry, folder, **options)
            return surprisal_embeddings(
                entry, words=given.words, network=network, tokenizer=tokenizer
            )
        from highgamma.embeddings.text import text_embeddings

        network = load_network(entry, folder, **options)
        return text_embeddings(entry, words=given.words, network=network, tokenizer=tokenizer)


KINDS.register(Text())
