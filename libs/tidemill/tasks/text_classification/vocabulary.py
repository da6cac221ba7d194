"""A WordPiece vocabulary learned from texts, for models that are trained from scratch. ``tokenizers`` only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

PAD, UNKNOWN, START, END, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL_TOKENS = (PAD, UNKNOWN, START, END, MASK)
_CONTINUED = "##"


def learn_wordpiece(texts: Sequence[str], size: int) -> Tokenizer:
    """A BERT-style tokenizer (lower-cased, accents stripped, every Chinese character a word of its own).

    The vocabulary has at most ``size`` tokens; three quarters of it may be single characters, which a Chinese
    dataset needs. The same texts give the same vocabulary.
    """
    learner = _tokenizer(models.WordPiece(unk_token=UNKNOWN))
    words = _count_words(learner, texts)
    symbols = _most_frequent_symbols(words, size * 3 // 4)
    # The trainer breaks ties by token number and numbers "##x" in the order of a hash table that differs every time;
    # what is named as a special token is numbered first, in the order given.
    learner.train_from_iterator(
        _spelt_with(symbols, words),
        trainers.WordPieceTrainer(
            vocab_size=size,
            special_tokens=[*SPECIAL_TOKENS, *symbols],
            continuing_subword_prefix=_CONTINUED,
            show_progress=False,
        ),
    )
    learned = sorted(set(learner.get_vocab()) - set(SPECIAL_TOKENS))
    numbered = {token: index for index, token in enumerate([*SPECIAL_TOKENS, *learned])}
    tokenizer = _tokenizer(models.WordPiece(numbered, unk_token=UNKNOWN, max_input_chars_per_word=100))
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.decoder = decoders.WordPiece(prefix=_CONTINUED)
    tokenizer.post_processor = processors.BertProcessing((END, numbered[END]), (START, numbered[START]))
    return tokenizer


def _tokenizer(model: models.Model) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(handle_chinese_chars=True, lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _count_words(tokenizer: Tokenizer, texts: Sequence[str]) -> Counter[str]:
    words: Counter[str] = Counter()
    for text in texts:
        normal = tokenizer.normalizer.normalize_str(text)
        words.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal))
    return words


def _symbols_of(word: str) -> list[str]:
    return [word[0], *(_CONTINUED + character for character in word[1:])]


def _most_frequent_symbols(words: Counter[str], limit: int) -> list[str]:
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for symbol in _symbols_of(word):
            counts[symbol] += count
    return sorted(sorted(counts, key=lambda symbol: (-counts[symbol], symbol))[:limit])


def _spelt_with(symbols: Sequence[str], words: Counter[str]) -> Iterator[str]:
    known = set(symbols)
    for word in sorted(words):
        if known.issuperset(_symbols_of(word)):
            yield " ".join([word] * words[word])
