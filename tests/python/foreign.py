#!/usr/bin/env python3
"""Fernet tokens and their keys as Python programs make them, with the package `cryptography`.

    python foreign.py make     prints tests/vectors-foreign/fernet.json, with fresh tokens
    python foreign.py open     answers each line of standard input, {"key", "salt" (hex), "iterations", "token"}, with the
                               base64 of the plaintext, or null if the token does not open
"""

import base64
import json
import random
import sys

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC


def fernet(key, salt, iterations):
    kdf = PBKDF2HMAC(algorithm=hashes.SHA256(), length=32, salt=salt, iterations=iterations)
    return Fernet(base64.urlsafe_b64encode(kdf.derive(key.encode("utf-8"))))


def normalised(salt):
    """What a salt's text stands for: hex digits of even number, else lenient base64, else the text."""
    if len(salt) % 2 == 0:
        try:
            return bytes.fromhex(salt)
        except ValueError:
            pass
    try:
        return base64.urlsafe_b64decode(salt.encode("ascii"))
    except ValueError:
        return salt.encode("utf-8")


def make():
    pick = random.Random(1)
    salts = ["old-salt", "new-salt", "salt", "1234", "random-salt-value", "73616c74", "c2FsdA==", "c2FsdA=", "c2FsdA", "ABCD",
             "abc", "ab cd ef", "12  34", " 12", "12 ", "1 2 ", "====", "a===", "ab==cd", "ab=c=d==", "a-_b", "a+/b", "é", "éé",
             "ｆｆ", "!!!!", "!", "a!b!c!d!", "caf\u00e9salt", "\x0b12\x0b", "\x0c12\x0c", "\x1c12\x1c", "0x12"]
    alphabet = "abcdefABCDEF0123456789xyzXYZ-_+/== \t\x0b!é"
    salts += ["".join(pick.choice(alphabet) for _ in range(pick.randrange(1, 14))) for _ in range(400)]
    keys = [("my-key", b"salt", 100_000), ("senha secreta é", bytes(range(16)), 1), ("k", b"", 1000), ("x" * 200, b"s" * 100, 77)]
    texts = [b"", b"a", b"0123456789abcdef", "texto é".encode("utf-8"), bytes(range(256)) * 5]
    tokens = []
    for key, salt, iterations in keys:
        box = fernet(key, salt, iterations)
        for at, text in enumerate(texts):
            token = box.encrypt_at_time(text, 1_700_000_000 + at)
            tokens.append({"key": key, "salt": salt.hex(), "iterations": iterations, "seconds": 1_700_000_000 + at,
                           "plaintext": base64.b64encode(text).decode(), "token": token.decode()})
    unique = {salt: normalised(salt).hex() for salt in salts}
    json.dump({"salts": unique, "tokens": tokens}, sys.stdout, indent=1)
    print()


def answer():
    for line in sys.stdin:
        request = json.loads(line)
        try:
            box = fernet(request["key"], bytes.fromhex(request["salt"]), request["iterations"])
            opened = base64.b64encode(box.decrypt(request["token"].encode())).decode()
        except InvalidToken:
            opened = None
        print(json.dumps(opened), flush=True)


if __name__ == "__main__":
    {"make": make, "open": answer}[sys.argv[1]]()
