"""Objects that are encrypted before they leave this machine (docs/encryption.md): no stage knows of it.

master   the master key, which never lies in the store: a file, a variable, or a command (a KMS)
keyring  the store keys, wrapped by the master key, below ``keys/``
sealed   one object: its data key wrapped by a store key, its bytes in chunks
objects  ``Objects`` that seal what they write and open what they read
"""
