#!/usr/bin/env python3
"""Fernet tokens and their keys as Python programs make them, with the package `cryptography`; users of a service with the package `bcrypt`.

    python foreign.py make     prints tests/vectors-foreign/fernet.json, with fresh tokens
    python foreign.py open     answers each line of standard input, {"key", "salt" (hex), "iterations", "token"}, with the
                               base64 of the plaintext, or null if the token does not open
    python foreign.py users    prints tests/vectors-foreign/users.json, with fresh salts, keys and ids
"""

import base64
import json
import os
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


def users():
    """What a service exports that keeps users in MongoDB and keys in a key store: with the passwords and values that belong to it."""
    import bcrypt
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    def new_id():
        # As MongoDB makes them: seconds, and what tells two of one second apart.
        seconds = 1_700_000_000 + len(made["users"]) + len(made["data"])
        return {"$oid": f"{seconds:08x}" + os.urandom(8).hex()}

    pepper, master = "a pepper of the service é", os.urandom(32)
    people = [("ann", "StrongP@ssw0rd1!", b"2b", 4, ["1234567812345678", ""]),
              ("José Ünï", "Pässword 1!", b"2a", 5, ["é" * 300]),
              ("long", "Aa1!" + "x" * 76, b"2y", 4, []),
              ("no data", "Cost12!!" * 4, b"2b", 12, [])]
    made = {"pepper": pepper, "passwords": {}, "values": {}, "users": [], "data": [], "keys": {"master_key": master.hex(), "user_keys": {}}}
    for name, password, kind, cost, values in people:
        salt, key, nonce, oid = os.urandom(16).hex(), os.urandom(32), os.urandom(12), new_id()
        # What is behind 72 bytes never counted; newer versions of the package refuse it instead.
        hashed = bcrypt.hashpw((password + salt + pepper).encode("utf-8")[:72], bcrypt.gensalt(cost)).replace(b"$2b$", b"$" + kind + b"$")
        made["users"].append({"_id": oid, "username": name, "email": "someone@example.org", "hashed_password": hashed.decode(),
                              "salt": salt, "failed_attempts": 0, "last_failed_attempt_time": None,
                              "totp_secret": base64.b32encode(os.urandom(20)).decode(), "two_factor_enabled": False})
        made["keys"]["user_keys"][name] = {"key": AESGCM(master).encrypt(nonce, key, None).hex(), "nonce": nonce.hex()}
        made["passwords"][name], made["values"][name] = password, values
        for value in values:
            nonce = os.urandom(12)
            sealed = nonce + AESGCM(key).encrypt(nonce, value.encode("utf-8"), None)
            made["data"].append({"_id": new_id(), "user_id": oid, "data_type": "note",
                                 "encrypted_value": sealed.hex()})
    json.dump(made, sys.stdout, indent=1)
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
    {"make": make, "open": answer, "users": users}[sys.argv[1]]()
