"""A WordPiece vocabulary learned from texts, for models that are trained from scratch. ``tokenizers`` only."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def learn_wordpiece(texts: Sequence[str], size: int) -> Tokenizer:
    """A BERT-style tokenizer (lower-cased, accents stripped, every Chinese character a word of its own).

    The vocabulary has at most ``size`` tokens; three quarters of it may be single characters, which a Chinese
    dataset needs.
    """
    learner = _tokenizer(models.WordPiece(unk_token="[UNK]"))
    learner.train_from_iterator(
        texts,
        trainers.WordPieceTrainer(
            vocab_size=size,
            limit_alphabet=size * 3 // 4,
            special_tokens=list(SPECIAL_TOKENS),
            continuing_subword_prefix="##",
            show_progress=False,
        ),
    )
    # The trainer numbers tokens in the order of a hash table, which changes from process to process.
    learned = sorted(set(learner.get_vocab()) - set(SPECIAL_TOKENS))
    numbered = {token: index for index, token in enumerate([*SPECIAL_TOKENS, *learned])}
    tokenizer = _tokenizer(models.WordPiece(numbered, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", numbered["[SEP]"]), ("[CLS]", numbered["[CLS]"]))
    return tokenizer


def _tokenizer(model: models.Model) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(handle_chinese_chars=True, lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer
