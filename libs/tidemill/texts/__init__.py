"""What is done to a text before a model reads it: once in preprocess, for training, and once in serving, for requests.

Pure functions of one text, without frames and without models, so that both do the same.
"""

from tidemill.texts.html import strip_html
from tidemill.texts.normalization import normalize
from tidemill.texts.preparation import TextPreparation, preparer
from tidemill.texts.stopping import StopWords

__all__ = ["StopWords", "TextPreparation", "normalize", "preparer", "strip_html"]
