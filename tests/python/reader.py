#!/usr/bin/env python3
"""Reader of vault files, format 1, written from the format's specification alone.

    python reader.py FILE (--key-file F | --passphrase-file F | --identity F) [--check]
    python reader.py --batch
    python reader.py --selftest

It only reads. Whatever the specification says a reader must refuse raises VaultError.

--batch answers each line of standard input with a line. A request is {"file": PATH, and one of "raw": 64 hex digits,
"passphrase": TEXT, "identity": "AGE-SECRET-KEY-1..."; optionally "xor": [[offset, byte], ...] and "length": bytes, which alter
what was read}; optionally "stream": PATH, an encrypted stream to open, and "foreign": true. An answer is {"state": ..., "refused": null, "damaged", "newer" or "locked", "at": "open", "read" or "check",
"why": TEXT}; the state is there when everything could be read, though a check may refuse the file afterwards. To "stream" it adds "plaintext" (base64), to "foreign" the vault's foreign keys.
"""

import argparse
import base64
import binascii
import hashlib
import hmac
import json
import os
import re
import struct
import sys
import tomllib
import urllib.parse

import argon2.low_level
import blake3 as _blake3
import nacl.bindings
import nacl.exceptions
import pyrage

BLOCK = 4096
KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

FORMAT = 1
HEADER_MAX = 65536
HEADER_FIXED = 19
SIGNATURE = 64
SEAL_OVERHEAD = 24 + 16
RECORD_MAGIC = b"VLTCMT1\n"
RECORD_BODY = 1024
RECORD_SEALED = SEAL_OVERHEAD + RECORD_BODY
RECORD_SIGNED = BLOCK - SIGNATURE
DURABLE_SPAN = MIB
MAX_CANDIDATES = 64
MAX_SEARCH = GIB
MAX_SLOTS = 64

NODE_MAX = 65536
OVERFLOW_MAX = 33554432
KEY_MAX = 4096
INLINE_MAX = 1024
LEVEL_MAX = 15
LEAF, INNER, OVERFLOW = 1, 2, 3

ARGON_M_FLOOR, ARGON_M_CEILING = 19 * KIB, KIB * KIB        # KiB: 19 MiB, 1 GiB
ARGON_T_FLOOR, ARGON_T_CEILING = 2, 16
ARGON_P_FLOOR, ARGON_P_CEILING = 1, 16
ARGON_WORK = 16 * KIB * KIB                                 # KiB: 16 GiB of m*t

COMPARTMENT_MAX = 1024
STREAM_LINE_MAX = 4096
STREAM_MAGIC = b"VAULT-ENCRYPTED "
VALUE_MAX = 16 * MIB
MAX_VERSIONS = 100
MAX_TAGS = 64
MAX_META = 64
META_VALUE_MAX = 4096
COMMAND_MAX = 16384
PENDING_MAX = MIB
EVENTS_MAX = 64
EVENT_MAX = 1024
CBOR_DEPTH = 16
OPTIONAL_FROM = 128
U64 = 1 << 64

AGE_MAGIC = b"age-encryption.org/v1\n"
KINDS = {0: "bytes", 1: "text", 2: "json"}
KNOWN_KINDS = ("passphrase", "raw", "age")
KNOWN_FEATURES = frozenset()


# --------------------------------------------------------------------------- errors

class VaultError(Exception):
    """Anything that this reader refuses."""


class Damaged(VaultError):
    """Bytes that do not follow the format, or do not verify."""


class NewerFormat(VaultError):
    """Bytes of a newer format than this reader knows."""


class Locked(VaultError):
    """No slot opens with the given secret."""


class OutOfBounds(Damaged):
    """No slot opens with the given passphrase, and one was not tried for its cost."""


class NoKey(VaultError):
    """The slot that was opened does not hold the key of this compartment."""


class NotFound(VaultError):
    """No such entry or version."""


def need(condition, message, error=Damaged):
    if not condition:
        raise error(message)


# --------------------------------------------------------------------------- encodings

def u64(n):
    return struct.pack("<Q", n)


def lp(x):
    """u64 length, then the bytes."""
    return u64(len(x)) + x


def lps(*parts):
    return b"".join(lp(p) for p in parts)


def varint(buf, at):
    """(value, next offset) of an unsigned LEB128 number in its shortest form, below 2^32."""
    value = 0
    for i in range(5):
        need(at + i < len(buf), "varint is cut off")
        byte = buf[at + i]
        value |= (byte & 0x7F) << (7 * i)
        if not byte & 0x80:
            need(i == 0 or byte != 0, "varint is not in its shortest form")
            need(value < 1 << 32, "varint is 2^32 or above")
            return value, at + i + 1
    raise Damaged("varint is longer than 5 bytes")


def padme(length):
    e = length.bit_length() - 1
    s = e.bit_length()                      # floor(log2 e) + 1
    unit = 1 << (e - s)
    return (length + unit - 1) // unit * unit


def unpad(buf, what, limit=None):
    """The x of pad(x) = u64 |x|, x, zeros, of total length padme(max(32, 8 + |x|))."""
    need(len(buf) >= 32, f"{what}: padded text is too short")
    (n,) = struct.unpack_from("<Q", buf)
    need(n <= len(buf) - 8, f"{what}: padded length does not fit")
    need(padme(max(32, 8 + n)) == len(buf), f"{what}: padded length does not fit")
    need(limit is None or n <= limit, f"{what}: too long")
    need(not any(buf[8 + n:]), f"{what}: padding is not zero")
    return bytes(buf[8:8 + n])


def unbase64(text, what):
    """RFC 4648 standard alphabet, padded, canonical."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        raise Damaged(f"{what}: not base64") from None
    need(base64.b64encode(raw).decode("ascii") == text, f"{what}: base64 is not canonical")
    return raw


def unhex(text, size, what):
    need(re.fullmatch(f"[0-9a-f]{{{2 * size}}}", text) is not None, f"{what}: not {2 * size} lower-case hex digits")
    return bytes.fromhex(text)


# --------------------------------------------------------------------------- CBOR

class _Cbor:
    """Deterministic CBOR (RFC 8949, 4.2.1), of the items that the format allows."""

    def __init__(self, buf):
        self.buf = bytes(buf)
        self.at = 0

    def take(self, n):
        need(n <= len(self.buf) - self.at, "CBOR is cut off")
        out = self.buf[self.at:self.at + n]
        self.at += n
        return out

    def argument(self, info):
        if info < 24:
            return info
        need(info <= 27, "CBOR of an indefinite or reserved length")
        size = 1 << (info - 24)
        n = int.from_bytes(self.take(size), "big")
        floor = 24 if size == 1 else 1 << (4 * size)
        need(n >= floor, "CBOR integer is not in its shortest form")
        return n

    def item(self, depth):
        head = self.take(1)[0]
        major, info = head >> 5, head & 0x1F
        if major == 7:
            need(head in (0xF4, 0xF5, 0xF6), "CBOR item of a kind that the format does not use")
            return {0xF4: False, 0xF5: True, 0xF6: None}[head]
        need(major not in (1, 6), "CBOR item of a kind that the format does not use")
        n = self.argument(info)
        if major == 0:
            return n
        if major == 2:
            return self.take(n)
        if major == 3:
            try:
                return self.take(n).decode("utf-8")
            except UnicodeDecodeError:
                raise Damaged("CBOR text is not UTF-8") from None
        need(depth < CBOR_DEPTH, f"CBOR is nested deeper than {CBOR_DEPTH}")
        left = len(self.buf) - self.at
        if major == 4:
            need(n <= left, "CBOR is cut off")
            return [self.item(depth + 1) for _ in range(n)]
        need(2 * n <= left, "CBOR is cut off")
        out, last = {}, -1
        for _ in range(n):
            need(self.at < len(self.buf) and self.buf[self.at] >> 5 == 0,
                 "CBOR map key is not an unsigned integer")
            key = self.item(depth + 1)
            need(key > last, "CBOR map keys do not ascend")
            last = key
            out[key] = self.item(depth + 1)
        return out


def cbor(buf):
    reader = _Cbor(buf)
    item = reader.item(0)
    need(reader.at == len(reader.buf), "CBOR is followed by other bytes")
    return item


def is_uint(x):
    return type(x) is int and 0 <= x < U64


def is_number(x):
    return is_uint(x) and x >= 1


def is_bool(x):
    return type(x) is bool


def is_null(x):
    return x is None


def is_text(x):
    return type(x) is str


def is_bytes(n):
    return lambda x: type(x) is bytes and len(x) == n


def is_array(of):
    return lambda x: type(x) is list and all(of(i) for i in x)


def either(*kinds):
    return lambda x: any(k(x) for k in kinds)


def fields(item, what, required, optional=None):
    """Checks a map against its known keys; unknown keys below 128 are critical."""
    optional = optional or {}
    need(type(item) is dict, f"{what}: not a map")
    for key in item:
        if key not in required and key not in optional and key < OPTIONAL_FROM:
            raise NewerFormat(f"{what}: key {key} is of a newer format")
    for key, kind in required.items():
        need(key in item, f"{what}: key {key} is missing")
        need(kind(item[key]), f"{what}: key {key} is malformed")
    for key, kind in optional.items():
        need(key not in item or kind(item[key]), f"{what}: key {key} is malformed")
    return item


def ascending(keys):
    return all(a < b for a, b in zip(keys, keys[1:]))


# --------------------------------------------------------------------------- text

_WHITE = frozenset(map(chr, [*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B),
                             0x2028, 0x2029, 0x202F, 0x205F, 0x3000]))


def is_control(char):
    return ord(char) < 0x20 or 0x7F <= ord(char) <= 0x9F


def is_word(limit):
    def check(x):
        return (type(x) is str and 1 <= len(x) <= limit and not any(map(is_control, x))
                and x[0] not in _WHITE and x[-1] not in _WHITE)
    return check


is_name = is_word(255)
is_label = is_word(100)         # a category, an environment, a tag, a metadata key


def is_compartment(x):
    if type(x) is not str or len(x.encode("utf-8")) > COMPARTMENT_MAX:
        return False
    if x == "":
        return True
    if "\x1f" in x:
        category, _, env = x.partition("\x1f")
        return (category.startswith("category:") and is_label(category[9:])
                and env.startswith("env:") and is_label(env[4:]))
    if x.startswith("category:"):
        return is_label(x[9:])
    if x.startswith("env:"):
        return is_label(x[4:])
    return x.startswith("user:") and len(x) > 5 and not any(map(is_control, x))


def text_of(raw, what):
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Damaged(f"{what}: not UTF-8") from None


# --------------------------------------------------------------------------- primitives

def blake3(data):
    return _blake3.blake3(data).digest()


def same(a, b):
    return hmac.compare_digest(a, b)


def derive(vault_id, key, label):
    """HKDF-SHA256, 32 bytes: salt = vault id, info = label."""
    prk = hmac.new(vault_id, key, hashlib.sha256).digest()
    return hmac.new(prk, label.encode("ascii") + b"\x01", hashlib.sha256).digest()


def unseal(key, aad, sealed, what):
    need(len(sealed) >= SEAL_OVERHEAD, f"{what}: sealed text is too short")
    try:
        return nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
            bytes(sealed[24:]), aad, bytes(sealed[:24]), key)
    except nacl.exceptions.CryptoError:
        raise Damaged(f"{what}: does not open") from None


def verify(public, message, signature, what):
    """Ed25519: libsodium refuses a non-canonical S, and a key or an R of small order, and computes R again without a cofactor."""
    try:
        nacl.bindings.crypto_sign_open(signature + message, public)
    except (nacl.exceptions.BadSignatureError, nacl.exceptions.CryptoError, ValueError):
        raise Damaged(f"{what}: signature does not hold") from None


_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def bech32(hrp, data):
    def polymod(values):
        chk = 1
        for v in values:
            top = chk >> 25
            chk = (chk & 0x1FFFFFF) << 5 ^ v
            for i, g in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
                if top >> i & 1:
                    chk ^= g
        return chk

    bits = int.from_bytes(data, "big") << (-8 * len(data)) % 5
    count = (8 * len(data) + 4) // 5
    words = [bits >> 5 * (count - 1 - i) & 31 for i in range(count)]
    prefix = [ord(c) >> 5 for c in hrp] + [0] + [ord(c) & 31 for c in hrp]
    check = polymod(prefix + words + [0] * 6) ^ 1
    words += [check >> 5 * (5 - i) & 31 for i in range(6)]
    return hrp + "1" + "".join(_BECH32[w] for w in words)


def identity_of_secret(secret):
    """An age identity of an X25519 secret."""
    return pyrage.x25519.Identity.from_str(bech32("age-secret-key-", secret).upper())


def identity_of_text(text):
    try:
        return pyrage.x25519.Identity.from_str(text)
    except Exception:
        raise Locked("the identity is not an X25519 identity of age") from None


def age_open(wrap, identity):
    need(wrap.startswith(AGE_MAGIC), "slot: wrap is not a binary age file")
    try:
        return pyrage.decrypt(wrap, [identity])
    except Exception:
        raise Damaged("slot: the age file does not open") from None


# --------------------------------------------------------------------------- source

class _Source:
    """Bytes of a file, read by position; its length is taken once."""

    def __init__(self, source):
        self.fd = None
        if isinstance(source, (bytes, bytearray, memoryview)):
            self.data = bytes(source)
            self.length = len(self.data)
        else:
            try:
                self.fd = os.open(source, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
                self.length = os.fstat(self.fd).st_size
            except OSError as e:
                raise VaultError(f"cannot open the file: {e.strerror}") from None

    def read(self, offset, size):
        need(0 <= offset and 0 <= size and offset + size <= self.length, "read beyond the end of the file")
        if self.fd is None:
            return self.data[offset:offset + size]
        parts, done = [], 0
        while done < size:
            try:
                part = os.pread(self.fd, size - done, offset + done)
            except OSError as e:
                raise VaultError(f"cannot read the file: {e.strerror}") from None
            need(part, "the file became shorter while it was read")
            parts.append(part)
            done += len(part)
        return b"".join(parts)

    def hash(self, start, end):
        state = _blake3.blake3()
        while start < end:
            size = min(4 * MIB, end - start)
            state.update(self.read(start, size))
            start += size
        return state.digest()

    def close(self):
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


# --------------------------------------------------------------------------- header

_REQUIRED = object()


def _toml(table, key, kind, what, default=_REQUIRED):
    if key not in table:
        need(default is not _REQUIRED, f"{what}: {key} is missing")
        return default
    need(type(table[key]) is kind, f"{what}: {key} is of the wrong type")
    return table[key]


def _toml_number(table, key, what):
    n = _toml(table, key, int, what)
    need(1 <= n < 1 << 63, f"{what}: {key} is out of range")
    return n


class Slot:
    def __init__(self, table, what):
        self.what = what
        self.kind = _toml(table, "kind", str, what)
        self.known = self.kind in KNOWN_KINDS
        self.access = _toml(table, "access", str, what)
        need(self.access in ("full", "limited"), f"{what}: access is neither full nor limited")
        self.recipient = _toml(table, "recipient", str, what)
        need(self.recipient.isascii(), f"{what}: recipient is not ASCII")
        self.label = unbase64(_toml(table, "label", str, what), f"{what}: label")
        self.wrap = unbase64(_toml(table, "wrap", str, what), f"{what}: wrap")
        need(self.kind not in ("raw", "age", "ssh", "plugin") or not {"salt", "m", "t", "p"} & set(table),
             f"{what}: parameters that only a passphrase has")
        default = _REQUIRED if self.kind == "passphrase" else None
        self.salt = _toml(table, "salt", str, what, default)
        self.m = _toml(table, "m", int, what, default)
        self.t = _toml(table, "t", int, what, default)
        self.p = _toml(table, "p", int, what, default)
        if self.kind == "passphrase":
            self.salt = unbase64(self.salt, f"{what}: salt")
            need(len(self.salt) == 16, f"{what}: salt is not 16 bytes")

    def refusal(self):
        """Why the Argon2id parameters are out of bounds, or None."""
        for name, value, floor in (("m", self.m, ARGON_M_FLOOR), ("t", self.t, ARGON_T_FLOOR),
                                   ("p", self.p, ARGON_P_FLOOR)):
            if value < floor:
                return f"{self.what}: downgrade: {name} is below {floor}"
        for name, value, ceiling in (("m", self.m, ARGON_M_CEILING), ("t", self.t, ARGON_T_CEILING),
                                     ("p", self.p, ARGON_P_CEILING)):
            if value > ceiling:
                return f"{self.what}: too expensive: {name} is above {ceiling}"
        if self.m < 8 * self.p:
            return f"{self.what}: downgrade: m is below 8p"
        return None


class Header:
    def __init__(self, source):
        head = source.read(0, min(source.length, 64))
        first = re.match(rb"VAULT-FILE ([1-9][0-9]*) ", head)
        need(first, "not a vault file")
        if int(first[1]) != FORMAT:
            raise NewerFormat(f"format {int(first[1])} is newer than {FORMAT}")
        size = re.match(rb"VAULT-FILE 1 ([0-9]{5})\n", head)
        need(size, "header: malformed first line")
        n = int(size[1])
        self.text_end = HEADER_FIXED + n
        used = self.text_end + SIGNATURE
        self.length = (used + BLOCK - 1) // BLOCK * BLOCK
        need(self.length <= HEADER_MAX, "header: too long")
        need(self.length <= source.length, "header: cut off")
        raw = source.read(0, self.length)
        need(not any(raw[used:]), "header: padding is not zero")
        self.signed = raw[:self.text_end]
        self.signature = raw[self.text_end:used]
        self.hash = blake3(raw)
        try:
            table = tomllib.loads(raw[HEADER_FIXED:self.text_end].decode("utf-8"))
        except UnicodeDecodeError:
            raise Damaged("header: text is not UTF-8") from None
        except (tomllib.TOMLDecodeError, ValueError, RecursionError):
            raise Damaged("header: text is not TOML") from None

        critical = _toml(table, "critical", list, "header", [])
        need(all(type(f) is str for f in critical), "header: critical is of the wrong type")
        for feature in critical:
            if feature not in KNOWN_FEATURES:
                raise NewerFormat(f"header: feature {feature!r} is of a newer format")
        self.id = unhex(_toml(table, "id", str, "header"), 16, "header: id")
        self.epoch = _toml_number(table, "epoch", "header")
        self.signing_key = unhex(_toml(table, "signing_key", str, "header"), 32, "header: signing_key")
        self.master = _toml_number(table, "master", "header")
        self.ring = unbase64(_toml(table, "ring", str, "header"), "header: ring")
        self.master_commitment = unhex(_toml(table, "master_commitment", str, "header"), 32,
                                       "header: master_commitment")
        self.index_commitment = unhex(_toml(table, "index_commitment", str, "header"), 32,
                                      "header: index_commitment")
        slots = _toml(table, "slot", list, "header")
        need(1 <= len(slots) <= MAX_SLOTS, f"header: not 1 to {MAX_SLOTS} slots")
        need(all(type(s) is dict for s in slots), "header: slot is of the wrong type")
        self.slots = [Slot(s, f"slot {i + 1}") for i, s in enumerate(slots)]
        need(len({s.recipient for s in self.slots}) == len(self.slots),
             "header: two slots with the same recipient")

    def verify(self):
        verify(self.signing_key, lps(b"vault/1 header signature", self.signed), self.signature, "header")


# --------------------------------------------------------------------------- references, records

class Reference:
    SIZE = 44
    __slots__ = ("offset", "length", "hash", "raw")

    def __init__(self, raw):
        need(len(raw) == self.SIZE, "reference is not 44 bytes")
        self.offset, self.length = struct.unpack_from("<QI", raw)
        self.hash = raw[12:]
        self.raw = raw


class Record:
    """The body of a commit record, its keys in the order of the format's table."""

    def __init__(self, body, block_hash):
        b = fields(body, "record", {
            0: is_number, 1: is_number, 2: is_uint, 3: is_bytes(32), 4: either(is_null, is_bytes(44)),
            5: is_uint, 6: either(is_null, is_uint), 7: either(is_null, is_bytes(32)),
            8: either(is_null, is_bytes(32)), 9: is_uint, 10: is_bytes(32), 11: is_bool, 12: is_uint,
            13: is_uint, 14: is_uint})
        self.epoch, self.sequence, self.offset, self.header_hash = b[0], b[1], b[2], b[3]
        self.root = None if b[4] is None else Reference(b[4])
        self.level = b[5]
        self.previous, self.previous_hash, self.merged_hash = b[6], b[7], b[8]
        self.span_start, self.span_hash, self.durable = b[9], b[10], b[11]
        self.live, self.entries, self.time = b[12], b[13], b[14]
        self.hash = block_hash
        self.optional = {k: v for k, v in b.items() if k >= OPTIONAL_FROM}


class Version:
    def __init__(self, item):
        v = fields(item, "entry record: version", {0: is_number, 1: is_uint, 2: is_uint, 3: is_number},
                   {4: is_compartment, 5: is_number, 7: is_number})
        need(v.get(7, 0) < v[0], "entry record: a version repeats one that is not older")
        need(v[2] in KINDS, "entry record: a kind of value of a newer format", NewerFormat)
        need(v.get(4) != "", "entry record: an empty compartment is stated")
        need(v.get(5) != v[0], "entry record: a number is stated that is the same")
        self.number, self.created, self.kind, self.data_key = v[0], v[1], v[2], v[3]
        self.compartment = v.get(4, "")
        self.sealed_as = v.get(5, self.number)


def is_event(x):
    return type(x) is list and len(x) == 2 and is_uint(x[0]) and is_text(x[1]) and len(x[1].encode("utf-8")) <= EVENT_MAX


def is_command(x):
    return is_text(x) and 1 <= len(x.encode("utf-8")) <= COMMAND_MAX


def check_rotations(item):
    """What an entry remembers of its rotations."""
    what = "entry record: rotations"
    r = fields(item, what, {0: is_uint}, {1: is_uint, 2: is_uint, 3: is_number, 4: lambda x: x is True, 5: is_event})
    last = [k in r for k in (1, 2, 3)]
    need(all(last) if r[0] else not any(last), f"{what}: the last one is there exactly if there was one")
    need(r[0] or len(r) > 1, f"{what}: nothing is stated")


def check_rotation(item):
    """The journal of a rotation that is under way."""
    if type(item) is dict and is_uint(item.get(6)) and item[6] > 4:
        raise NewerFormat("rotation: a phase of a newer format")
    if type(item) is dict and is_uint(item.get(4)) and item[4] not in KINDS:
        raise NewerFormat("rotation: a kind of value of a newer format")
    owner = lambda x: (type(x) is list and len(x) == 5 and is_text(x[0]) and is_text(x[1]) and is_uint(x[2])
                       and is_uint(x[3]) and is_bytes(8)(x[4]))
    fields(item, "rotation", {
        0: lambda x: x == "" or is_label(x), 1: is_name, 2: is_number, 3: lambda x: type(x) is bytes and len(x) <= PENDING_MAX,
        4: is_uint, 5: is_uint, 6: is_uint, 7: is_command, 10: is_number, 11: is_uint,
        12: lambda x: is_array(is_event)(x) and len(x) <= EVENTS_MAX, 13: owner}, {8: is_command, 9: is_command})


def check_schedule(item):
    """When an entry gets another value."""
    failed = lambda x: (type(x) is list and len(x) == 4 and is_uint(x[0]) and is_uint(x[1]) and is_text(x[2]) and is_uint(x[3]))
    s = fields(item, "schedule", {0: is_number, 6: is_number},
               {1: is_text, 2: is_command, 3: is_command, 4: is_command, 5: is_command, 7: is_uint, 8: failed})
    need(1 not in s or 2 not in s, "schedule: two sources of values")
    need(3 in s or (4 not in s and 5 not in s), "schedule: a command that goes with apply, without it")


class Entry:
    def __init__(self, env, name, item):
        pair = lambda x: (type(x) is list and len(x) == 2 and is_label(x[0]) and type(x[1]) is str
                          and len(x[1].encode("utf-8")) <= META_VALUE_MAX)
        e = fields(item, "entry record",
                   {0: is_bytes(16), 1: is_number, 2: is_uint, 3: is_array(lambda x: type(x) is dict),
                    9: is_uint},
                   {4: is_label, 5: is_array(is_label), 6: is_array(pair), 7: is_uint, 8: is_uint, 129: lambda x: type(x) is dict})
        if 129 in e:
            check_rotations(e[129])
        self.env, self.name = env, name
        self.uid, self.current, self.created = e[0], e[1], e[2]
        need(1 <= len(e[3]) <= MAX_VERSIONS, f"entry record: not 1 to {MAX_VERSIONS} versions")
        self.versions = [Version(v) for v in e[3]]
        need(ascending([v.number for v in self.versions]), "entry record: versions do not ascend")
        need(self.versions[-1].number == self.current, "entry record: the current version is not the last")
        need(e.get(5) != [] and e.get(6) != [], "entry record: an empty list is stated")
        self.category = e.get(4)
        self.tags = e.get(5, [])
        need(len(self.tags) <= MAX_TAGS, f"entry record: more than {MAX_TAGS} tags")
        need(ascending([t.encode("utf-8") for t in self.tags]), "entry record: tags do not ascend")
        self.meta = e.get(6, [])
        need(len(self.meta) <= MAX_META, f"entry record: more than {MAX_META} pairs of metadata")
        need(ascending([k.encode("utf-8") for k, _ in self.meta]), "entry record: metadata does not ascend")
        self.expires, self.due, self.modified = e.get(7), e.get(8), e[9]

    @property
    def path(self):
        return self.env.encode("utf-8") + b"\0" + self.name.encode("utf-8")

    def as_dict(self):
        return {
            "environment": self.env, "name": self.name, "uid": self.uid.hex(), "category": self.category,
            "tags": list(self.tags), "meta": [list(pair) for pair in self.meta], "expires": self.expires, "due": self.due,
            "created": self.created, "modified": self.modified, "current": self.current,
            "versions": [{"number": v.number, "created": v.created, "kind": KINDS[v.kind], "key": v.data_key,
                          "compartment": v.compartment, "sealed_as": v.sealed_as} for v in self.versions],
        }


# --------------------------------------------------------------------------- tree

def parse_node(plain, level):
    """Items of a node: (key, value bytes or Reference)."""
    need(len(plain) >= 4, "page: too short")
    kind, at_level, count = struct.unpack_from("<BBH", plain)
    need(kind == (LEAF if level == 0 else INNER), "page: wrong type")
    need(at_level == level, "page: wrong level")
    need(count >= 1, "page: no items")
    at, last, items = 4, None, []
    for _ in range(count):
        shared, at = varint(plain, at)
        rest, at = varint(plain, at)
        need(shared <= (len(last) if last is not None else 0), "page: shares more than the key before has")
        need(shared + rest <= KEY_MAX, "page: key is too long")
        need(rest <= len(plain) - at, "page: cut off")
        key = (last[:shared] if shared else b"") + plain[at:at + rest]
        at += rest
        need(last is None or key > last, "page: keys do not ascend")
        last = key
        inline = False
        if level == 0:
            need(at < len(plain), "page: cut off")
            need(plain[at] <= 1, "page: unknown kind of item")
            inline = plain[at] == 0
            at += 1
        if inline:
            size, at = varint(plain, at)
            need(size <= INLINE_MAX, "page: value in a leaf that belongs into an overflow page")
        else:
            size = Reference.SIZE
        need(size <= len(plain) - at, "page: cut off")
        data = plain[at:at + size]
        at += size
        items.append((key, data if inline else Reference(data)))
    need(at == len(plain), "page: trailing bytes")
    return items


def check_bounds(items, lo, hi):
    need(lo is None or items[0][0] >= lo, "page: key below the bound that its parent gives")
    need(hi is None or items[-1][0] < hi, "page: key above the bound that its parent gives")


class Tree:
    """The ordered map that one record's root reaches."""

    def __init__(self, vault, record):
        self.vault, self.record = vault, record
        self.cache = {}

    def page(self, ref, kind):
        v = self.vault
        need(ref.offset >= v.header.length and ref.length <= self.record.offset
             and ref.offset <= self.record.offset - ref.length, "page: out of bounds")
        need(ref.length <= (OVERFLOW_MAX if kind == OVERFLOW else NODE_MAX), "page: too long")
        sealed = v.source.read(ref.offset, ref.length)
        need(same(blake3(sealed), ref.hash), "page: hash does not hold")
        aad = lps(b"vault/1 page", v.header.id, u64(v.header.epoch), bytes([kind]), u64(ref.offset))
        return unseal(v.page_key, aad, sealed, "page")

    def node(self, ref, level):
        key = (ref.raw, level)
        if key not in self.cache:
            if len(self.cache) >= 1024:
                self.cache.clear()
            self.cache[key] = parse_node(self.page(ref, LEAF if level == 0 else INNER), level)
        return self.cache[key]

    def resolve(self, data):
        """The value of a leaf item."""
        if not isinstance(data, Reference):
            return data
        value = self.page(data, OVERFLOW)
        need(len(value) > INLINE_MAX, "page: value in an overflow page that belongs into a leaf")
        return value

    def items(self, start=b"", end=None):
        """Leaf items (key, data) with start <= key < end, in order."""
        if self.record.root is not None:
            yield from self._items(self.record.root, self.record.level, None, None, start, end)

    def _items(self, ref, level, lo, hi, start, end):
        items = self.node(ref, level)
        check_bounds(items, lo, hi)
        for i, (key, data) in enumerate(items):
            if end is not None and key >= end:
                return
            if level == 0:
                need(key, "page: empty key")
                if key >= start:
                    yield key, data
                continue
            above = items[i + 1][0] if i + 1 < len(items) else hi
            if above is None or above > start:
                yield from self._items(data, level - 1, key, above, start, end)

    def verify(self, seen, live=None):
        """Opens every page; those of `seen` were verified through an older record."""
        if self.record.root is not None:
            self._verify(self.record.root, self.record.level, None, None, seen, live)

    def _verify(self, ref, level, lo, hi, seen, live):
        if live is not None:
            need(ref.offset not in live, "page: referred to twice")
            live[ref.offset] = ref.length
        mark = (ref.raw, level, lo, hi)
        if mark in seen and live is None:
            return
        items = self.node(ref, level)
        check_bounds(items, lo, hi)
        for i, (key, data) in enumerate(items):
            if level:
                above = items[i + 1][0] if i + 1 < len(items) else hi
                self._verify(data, level - 1, key, above, seen, live)
                continue
            need(key, "page: empty key")
            if isinstance(data, Reference):
                if live is not None:
                    need(data.offset not in live, "page: referred to twice")
                    live[data.offset] = data.length
                if (data.raw, OVERFLOW) not in seen:
                    self.resolve(data)
                    seen.add((data.raw, OVERFLOW))
        seen.add(mark)


# --------------------------------------------------------------------------- vault

class Vault:
    """An unlocked vault file, at the newest record that it holds.

    Exactly one of raw_key (32 bytes), passphrase (bytes or text) and identity (text, or a sequence
    of texts, AGE-SECRET-KEY-1...) unlocks it.
    """

    def __init__(self, path_or_bytes, *, raw_key=None, passphrase=None, identity=None):
        given = sum(x is not None for x in (raw_key, passphrase, identity))
        need(given == 1, "exactly one secret unlocks a vault", VaultError)
        self.source = _Source(path_or_bytes)
        try:
            self.header = Header(self.source)
            self._older = {}
            self._entries = None
            if raw_key is not None:
                self._unlock_raw(raw_key)
            elif passphrase is not None:
                self._unlock_passphrase(passphrase)
            else:
                self._unlock_identity([identity] if isinstance(identity, str) else list(identity))
            self.record = self._newest()
            self.tree = Tree(self, self.record)
        except BaseException:
            self.source.close()
            raise

    def close(self):
        self.source.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def id(self):
        return self.header.id.hex()

    @property
    def epoch(self):
        return self.header.epoch

    @property
    def sequence(self):
        return self.record.sequence

    @property
    def tail(self):
        """Length of what follows the newest record."""
        return self.source.length - self.record.offset - BLOCK

    # -- unlocking

    def _unlock_raw(self, raw_key):
        need(len(raw_key) == 32, "a raw key has 32 bytes", Locked)
        identity = identity_of_secret(derive(self.header.id, raw_key, "vault/1 raw-key slot"))
        self._unlock_matching([identity], ("raw",))

    def _unlock_identity(self, texts):
        need(texts, "no identity was given", Locked)
        self._unlock_matching([identity_of_text(t) for t in texts], KNOWN_KINDS)

    def _unlock_matching(self, identities, kinds):
        for identity in identities:
            public = str(identity.to_public())
            for slot in self.header.slots:
                if slot.kind in kinds and slot.recipient == public:
                    return self._unlock_slot(slot, identity)
        raise Locked("no slot has this key")

    def _unlock_passphrase(self, passphrase):
        if isinstance(passphrase, str):
            passphrase = passphrase.encode("utf-8")
        refused, work = [], 0
        for slot in self.header.slots:
            if slot.kind != "passphrase":
                continue
            refusal = slot.refusal()
            if refusal is not None:
                refused.append(refusal)
                continue
            work += slot.m * slot.t
            if work > ARGON_WORK:
                raise Locked(f"no slot has this passphrase; from {slot.what} on none was tried: too expensive together")
            secret = argon2.low_level.hash_secret_raw(
                passphrase, slot.salt, time_cost=slot.t, memory_cost=slot.m, parallelism=slot.p,
                hash_len=32, type=argon2.low_level.Type.ID, version=0x13)
            identity = identity_of_secret(secret)
            if str(identity.to_public()) == slot.recipient:
                return self._unlock_slot(slot, identity)
        if refused:
            raise OutOfBounds("; ".join(["no slot has this passphrase", *refused]))
        raise Locked("no slot has this passphrase")

    def _unlock_slot(self, slot, identity):
        h = self.header
        payload = cbor(unpad(age_open(slot.wrap, identity), "slot"))
        names = {0: is_bytes(16)}
        if slot.access == "full":
            names |= {1: is_number, 2: is_bytes(32)}
            other = (3, 4, 5)
        else:
            names |= {3: is_bytes(32), 4: is_bytes(32), 5: is_array(lambda x: type(x) is dict)}
            other = (1, 2)
        need(type(payload) is dict and not any(k in payload for k in other),
             "slot: its keys are not those of its access")
        fields(payload, "slot", names)
        need(payload[0] == h.id, "slot: of another vault")
        self.slot, self.access = slot, slot.access
        self.system_key = None
        if slot.access == "full":
            master = payload[2]
            need(payload[1] == h.master, "slot: another master key than the header's")
            need(same(derive(h.id, master, "vault/1 master commitment"), h.master_commitment),
                 "header: the master key's commitment does not hold")
            aad = lps(b"vault/1 key ring", h.id, u64(h.master))
            ring = fields(cbor(unpad(unseal(master, aad, h.ring, "key ring"), "key ring")), "key ring", {
                0: is_number, 1: is_bytes(32), 2: is_bytes(32), 3: is_bytes(32),
                4: is_array(lambda x: type(x) is dict)})
            need(ring[0] == h.master, "key ring: another master key than the header's")
            public, _ = nacl.bindings.crypto_sign_seed_keypair(ring[2])
            index_key, self.system_key, keys = ring[1], ring[3], ring[4]
        else:
            index_key, public, keys = payload[3], payload[4], payload[5]
        need(same(public, h.signing_key), "header: another signing key than the slot's")
        need(same(derive(h.id, index_key, "vault/1 index commitment"), h.index_commitment),
             "header: the index key's commitment does not hold")
        for item in keys:
            fields(item, "data key", {0: is_compartment, 1: is_number, 2: is_bytes(32), 3: is_uint})
        need(ascending([k[0].encode("utf-8") for k in keys]), "data keys: compartments do not ascend")
        self.data_keys = {k[0]: (k[1], k[2]) for k in keys}
        self.page_key = derive(h.id, index_key, "vault/1 page key")
        self.record_key = derive(h.id, index_key, "vault/1 record key")
        self.label_key = derive(h.id, index_key, "vault/1 label key")

    # -- records

    def _record(self, o, whole=False):
        """The record at o, if it is valid; `whole` verifies the span even under a durable mark."""
        h = self.header
        need(o % BLOCK == 0 and o >= h.length and o + BLOCK <= self.source.length, "record: out of place")
        block = self.source.read(o, BLOCK)
        need(block.startswith(RECORD_MAGIC), "record: no magic")
        need(not any(block[8 + RECORD_SEALED:RECORD_SIGNED]), "record: padding is not zero")
        verify(h.signing_key, lps(b"vault/1 commit signature", h.id, u64(o), block[:RECORD_SIGNED]),
               block[RECORD_SIGNED:], "record")
        aad = lps(b"vault/1 record", h.id, u64(h.epoch), u64(o))
        body = unseal(self.record_key, aad, block[8:8 + RECORD_SEALED], "record")
        (n,) = struct.unpack_from("<H", body)
        need(n <= RECORD_BODY - 2, "record: length does not fit")
        need(not any(body[2 + n:]), "record: padding is not zero")
        r = Record(cbor(body[2:2 + n]), blake3(block))

        need(r.epoch == h.epoch, "record: of another epoch")
        need(r.offset == o, "record: of another offset")
        need(same(r.header_hash, h.hash), "record: of another header")
        need(r.sequence < 1 << 63, "record: sequence number is out of range")
        need(r.live <= o - h.length, "record: more live bytes than the file has")
        need((r.previous_hash is None) == (r.sequence == 1), "record: the previous record's hash is missing")
        if r.previous is None:
            need(r.span_start == h.length, "record: span does not start behind the header")
        else:
            need(r.previous % BLOCK == 0 and h.length <= r.previous < o, "record: previous record is out of place")
            need(r.sequence > 1, "record: the first commit names a previous record")
            need(r.span_start == r.previous + BLOCK, "record: span does not start behind the previous record")
        need(r.span_start <= o, "record: span is negative")
        if r.root is None:
            need(r.level == 0, "record: a level without a root")
        else:
            need(r.level <= LEVEL_MAX, "record: level is out of range")
            need(r.root.offset >= h.length and r.root.length <= o and r.root.offset <= o - r.root.length,
                 "record: root is out of bounds")
        need(r.durable == (o - r.span_start > DURABLE_SPAN), "record: wrong durable mark")
        if whole or not r.durable:
            need(same(self.source.hash(r.span_start, o), r.span_hash), "record: span's hash does not hold")
        return r

    def _candidates(self):
        """Offsets of blocks that begin with the magic, last first."""
        end = self.source.length // BLOCK * BLOCK
        floor = max(self.header.length, end - BLOCK - MAX_SEARCH)
        while end > floor:
            start = max(floor, end - MIB)
            chunk = self.source.read(start, end - start)
            for at in range(end - start - BLOCK, -1, -BLOCK):
                if chunk.startswith(RECORD_MAGIC, at):
                    yield start + at
            end = start

    def _newest(self):
        why = "no record"
        for i, o in enumerate(self._candidates()):
            if i == MAX_CANDIDATES:
                break
            try:
                return self._record(o)
            except NewerFormat:
                raise
            except Damaged as e:
                why = str(e)
        raise Damaged(f"the file is damaged: no valid commit record ({why})")

    def records(self):
        """The records of this file, newest first, each verified with its span."""
        r = self._record(self.record.offset, whole=True)
        while True:
            yield r
            if r.previous is None:
                return
            p = self._record(r.previous, whole=True)
            need(same(p.hash, r.previous_hash), "chain: the previous record's hash does not hold")
            if r.merged_hash is None:
                need(r.sequence == p.sequence + 1, "chain: sequence numbers do not follow each other")
            else:
                need(r.sequence > p.sequence, "chain: sequence numbers do not ascend")
            r = p

    # -- data keys

    def _data_keys(self, compartment):
        """number -> data key of a compartment, through the chain of older ones."""
        if compartment in self._older:
            return self._older[compartment]
        if compartment not in self.data_keys:
            raise NoKey(f"no data key of the compartment {compartment!r}")
        number, key = self.data_keys[compartment]
        out = {number: key}
        raw = compartment.encode("utf-8")
        prefix = b"\x06" + raw + b"\0"
        stored = list(self.tree.items(prefix, prefix[:-1] + b"\x01"))
        for name, data in reversed(stored):
            need(len(name) == len(prefix) + 8, "data key: malformed key")
            older = int.from_bytes(name[len(prefix):], "big")
            need(1 <= older < number, "data key: repeated or higher number")
            value = self.tree.resolve(data)
            need(len(value) >= 8, "data key: too short")
            (by,) = struct.unpack_from("<Q", value)
            need(by == number, "data key: not sealed by the next newer one")
            aad = lps(b"vault/1 data key", self.header.id, raw, u64(older), u64(by))
            item = fields(cbor(unpad(unseal(key, aad, value[8:], "data key"), "data key")), "data key",
                          {0: is_bytes(32), 1: is_uint})
            number, key = older, item[0]
            out[number] = key
        self._older[compartment] = out
        return out

    # -- entries

    @staticmethod
    def _split(raw, what):
        """(env, name) of env 00 name."""
        parts = raw.split(b"\0")
        need(len(parts) == 2, f"{what}: malformed key")
        env, name = text_of(parts[0], what), text_of(parts[1], what)
        need(env == "" or is_label(env), f"{what}: malformed environment")
        need(is_name(name), f"{what}: malformed name")
        return env, name

    def _load(self):
        if self._entries is not None:
            return self._entries
        out, entry, left = {}, None, []
        for key, data in self.tree.items(b"\x01", b"\x02"):
            cut = key.find(b"\0", key.find(b"\0") + 1)
            need(key.find(b"\0") > 0 and cut > 0, "entry: malformed key")
            path, rest = key[1:cut], key[cut + 1:]
            if not rest:
                need(not left, "entry: a version has no value")
                env, name = self._split(path, "entry")
                entry = Entry(env, name, cbor(self.tree.resolve(data)))
                entry.values = {}
                left = [v.number for v in entry.versions]
                out[env, name] = entry
                continue
            need(len(rest) == 8, "entry: malformed key")
            need(entry is not None and path == entry.path, "entry: a value without an entry record")
            number = int.from_bytes(rest, "big")
            need(left and left[0] == number, "entry: values are not those of its versions")
            left.pop(0)
            entry.values[number] = data
        need(not left, "entry: a version has no value")
        need(len(out) == self.record.entries, "record: another number of entries")
        self._entries = out
        return out

    def entries(self):
        """Every entry as a dict, ascending by environment and name."""
        return [e.as_dict() for _, e in sorted(self._load().items())]

    def _value(self, entry, version):
        need(version.compartment in self.data_keys,
             f"no data key of the compartment {version.compartment!r}", NoKey)
        keys = self._data_keys(version.compartment)
        need(version.data_key in keys, "value: no data key of this number")
        aad = lps(b"vault/1 value", self.header.id, entry.uid, u64(version.sealed_as),
                  version.compartment.encode("utf-8"), u64(version.data_key))
        sealed = self.tree.resolve(entry.values[version.number])
        return unpad(unseal(keys[version.data_key], aad, sealed, "value"), "value", VALUE_MAX)

    def value(self, env, name, version=None):
        """The bytes of a version, of the current one by default."""
        entry = self._load().get((env or "", name))
        need(entry is not None, "no such entry", NotFound)
        number = entry.current if version is None else version
        for v in entry.versions:
            if v.number == number:
                return self._value(entry, v)
        raise NotFound("no such version")

    # -- check

    def slots(self):
        """Kind, access, recipient, label and compartments of every slot."""
        out = []
        for s in self.header.slots:
            aad = lps(b"vault/1 slot label", self.header.id, s.recipient.encode("ascii"))
            label = unpad(unseal(self.label_key, aad, s.label, f"{s.what}: label"), f"{s.what}: label")
            item, required = cbor(label), {0: is_text}
            if s.access == "limited":
                required[1] = is_array(is_compartment)
            else:
                need(type(item) is dict and 1 not in item, f"{s.what}: compartments of a full slot")
            fields(item, f"{s.what}: label", required)
            names = item.get(1, [])
            need(ascending([c.encode("utf-8") for c in names]), f"{s.what}: compartments do not ascend")
            out.append({"kind": s.kind, "access": s.access, "recipient": s.recipient, "label": item[0],
                        "compartments": names})
        return out

    def lineage(self):
        """Sequence number and hash of the records that keyspace 0x7e remembers."""
        keys = [key for key, _ in self.tree.items(b"\x7e", b"\x7f")]
        need(all(len(key) == 1 + 8 + 32 for key in keys), "keyspace 0x7e: malformed key")
        return [[int.from_bytes(key[1:9], "big"), key[9:].hex()] for key in keys]

    def check(self):
        """Verifies the header's signature, labels, every record, span, page and value."""
        self.header.verify()
        self.slots()
        chain = list(self.records())
        seen = set()
        for r in reversed(chain[1:]):
            Tree(self, r).verify(seen)
        live = {}
        self.tree.verify(seen, live)
        need(sum(live.values()) == self.record.live, "record: another number of live bytes")
        self._check_keyspaces()
        for compartment in self.data_keys:
            self._data_keys(compartment)
        for entry in self._load().values():
            for v in entry.versions:
                try:
                    self._value(entry, v)
                except NoKey as e:
                    if self.access == "full":
                        raise Damaged(f"key ring: {e}") from None
        return {"records": len(chain), "pages": len(live), "entries": len(self._load()), "tail": self.tail}

    def _check_keyspaces(self):
        expected = {}
        for e in self._load().values():
            path = e.path
            expected[b"\x02" + path] = e
            if e.category is not None:
                expected[b"\x03" + e.category.encode("utf-8") + b"\0" + path] = None
            if e.expires is not None:
                expected[b"\x04" + struct.pack(">Q", e.expires) + path] = None
            if e.due is not None:
                expected[b"\x05" + struct.pack(">Q", e.due) + path] = None
        removed = None
        for key, data in self.tree.items():
            space = key[0]
            if space == 7:
                label, _, rest = key[1:].partition(b"\0")
                need(label and not any(map(is_control, text_of(label, "removed slot"))), "removed slot: malformed label")
                item = cbor(self.tree.resolve(data))
                if len(rest) == 8:
                    fields(item, "removed slot", {0: is_text, 1: is_text})
                    removed = key
                else:
                    need(len(rest) == 24 and key[:-16] == removed, "removed slot: an entry without the slot")
                    fields(item, "removed slot: entry", {0: is_uint})
            elif space in (2, 3, 4, 5):
                need(key in expected, f"keyspace {space:#04x}: a key without its entry")
                entry, value = expected.pop(key), self.tree.resolve(data)
                if space == 2:
                    item = fields(cbor(value), "listing record", {}, {1: is_uint})
                    need(item.get(1) == entry.expires, "listing record: another expiry than the entry's")
                else:
                    need(value == b"", f"keyspace {space:#04x}: a value that is not empty")
            elif space == 6:
                raw, _, number = key[1:].partition(b"\0")
                need(len(number) == 8, "data key: malformed key")
                compartment = text_of(raw, "data key")
                need(is_compartment(compartment), "data key: malformed compartment")
                need(self.access != "full" or compartment in self.data_keys,
                     "data key: of a compartment that the ring does not hold")
            elif space == 0x10 and self.system_key is not None:
                self._system(key, data)
            elif space == 0x7E:
                need(len(key) == 1 + 8 + 32, "keyspace 0x7e: malformed key")
                need(self.tree.resolve(data) == b"", "keyspace 0x7e: a value that is not empty")
                need(1 <= int.from_bytes(key[1:9], "big") < self.record.sequence,
                     "keyspace 0x7e: not a number of an earlier record")
        need(not expected, "an entry lacks its listing record or an index key")
        if self.system_key is not None:
            self.foreign_keys()
            for kind, look in ((b"rotation", check_rotation), (b"schedule", check_schedule)):
                prefix = b"\x10" + kind + b"\0"
                for key, data in self.tree.items(prefix, prefix[:-1] + b"\x01"):
                    unhex(text_of(key[len(prefix):], "uid"), 16, "uid")
                    look(cbor(self._system(key, data)))

    # -- system records

    def _system(self, key, data):
        aad = lps(b"vault/1 system", self.header.id, key)
        return unpad(unseal(self.system_key, aad, self.tree.resolve(data), "system record"), "system record")

    def foreign_keys(self):
        """Keys of other programs: {"active": version or None, "keys": {version: {"key", "salt", "iterations"}}}."""
        if self.system_key is None:
            raise NoKey("system records open with full access only")
        found, active, prefix = {}, None, b"\x10foreign-key\0"
        for key, data in self.tree.items(prefix, prefix[:-1] + b"\x01"):
            item, version = cbor(self._system(key, data)), text_of(key[len(prefix):], "foreign key")
            if not version:
                active = fields(item, "active foreign key", {0: is_text})[0]
                continue
            need(re.fullmatch(r"[a-z0-9_.-]{1,100}", version), "foreign key: malformed version")
            if type(item) is dict and is_uint(item.get(0)) and item[0] > 0:
                raise NewerFormat("foreign key: of a newer kind")
            item = fields(item, "foreign key", {
                0: is_uint, 1: lambda x: type(x) is bytes and 1 <= len(x) <= 4096,
                2: lambda x: type(x) is bytes and len(x) <= 1024, 3: lambda x: is_uint(x) and 1 <= x <= 10_000_000, 4: is_uint})
            found[version] = {"key": item[1].decode("utf-8"), "salt": item[2].hex(), "iterations": item[3]}
        need(active is None or active in found, "the active foreign key is not there")
        return {"active": active, "keys": found}

    # -- streams

    def open_stream(self, stream):
        """The plaintext of an encrypted stream."""
        vault_id, compartment, number, body = parse_stream(stream)
        if vault_id != self.header.id:
            raise Locked("stream: of another vault")
        keys = self._data_keys(compartment)
        if number not in keys:
            raise NotFound(f"stream: there is no data key {number}")
        try:
            return pyrage.decrypt(body, [identity_of_secret(derive(self.header.id, keys[number], "vault/1 stream"))])
        except Exception:
            raise Damaged("stream: the age file does not open") from None


def parse_stream(stream):
    """(vault id, compartment, number, the age file) of an encrypted stream."""
    end = stream.find(b"\n", 0, STREAM_LINE_MAX)
    need(end >= 0 and stream.startswith(STREAM_MAGIC), "stream: malformed line")
    words = text_of(stream[len(STREAM_MAGIC):end], "stream").split(" ")
    if re.fullmatch(r"[1-9][0-9]*", words[0]) and words[0] != "1":
        raise NewerFormat("stream: of a newer format")
    need(len(words) == 4 and words[0] == "1", "stream: malformed line")
    vault_id = unhex(words[1], 16, "stream")
    need(words[2] == "-" or re.fullmatch(r"(?:[A-Za-z0-9._~:-]|%[0-9A-F]{2})+", words[2]), "stream: malformed compartment")
    raw = b"" if words[2] == "-" else urllib.parse.unquote_to_bytes(words[2])
    compartment = text_of(raw, "stream")
    need(is_compartment(compartment), "stream: malformed compartment")
    spelled = "".join(chr(b) if chr(b).isascii() and (chr(b).isalnum() or chr(b) in "._~:-") else f"%{b:02X}" for b in raw)
    need((spelled or "-") == words[2], "stream: a compartment is spelled in another way")
    need(re.fullmatch(r"[1-9][0-9]*", words[3]) and int(words[3]) < U64, "stream: malformed number")
    return vault_id, compartment, int(words[3]), stream[end + 1:]


# --------------------------------------------------------------------------- secrets in files

def read_secret(path):
    try:
        with open(path, "rb") as f:
            return f.read(MIB)
    except OSError as e:
        raise VaultError(f"cannot read the secret: {e.strerror}") from None


def parse_key(raw):
    """32 raw bytes, or their base64."""
    if len(raw) == 32:
        return raw
    try:
        key = base64.b64decode(raw.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    need(len(key) == 32, "the key file holds neither 32 bytes nor their base64", VaultError)
    return key


def parse_passphrase(raw):
    """The bytes of the file without one line end at its end."""
    if raw.endswith(b"\r\n"):
        return raw[:-2]
    return raw[:-1] if raw.endswith(b"\n") else raw


def parse_identities(raw):
    """Lines of an age identity file; blank lines and comments are skipped."""
    lines = (line.strip() for line in raw.decode("utf-8", "replace").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


# --------------------------------------------------------------------------- self-test

def reader_selftest():
    """Vectors worked out by hand from the specification's definitions."""
    done = 0

    def equal(got, want, what):
        nonlocal done
        done += 1
        if got != want:
            raise AssertionError(f"{what}: got {got!r}, want {want!r}")

    def refused(call, what, error=Damaged):
        nonlocal done
        done += 1
        try:
            got = call()
        except error:
            return
        raise AssertionError(f"{what}: accepted as {got!r}")

    # padme: E = floor(log2 L), S = floor(log2 E) + 1, up to a multiple of 2^(E-S)
    for length, want in ((32, 32), (33, 36), (36, 36), (37, 40), (63, 64), (64, 64), (65, 72), (100, 104),
                         (128, 128), (129, 144), (255, 256), (256, 256), (257, 272), (1000, 1024),
                         (1025, 1088), (4096, 4096), (4097, 4352), (65535, 65536), (65537, 67584),
                         (1048576, 1048576), (1048577, 1081344), (16777224, 17301504)):
        equal(padme(length), want, f"padme({length})")

    # pad
    equal(unpad(bytes(32), "t"), b"", "pad of nothing")
    equal(unpad(u64(24) + b"x" * 24, "t"), b"x" * 24, "pad without zeros")
    equal(unpad(u64(25) + b"x" * 25 + bytes(3), "t"), b"x" * 25, "pad of 33 bytes to 36")
    refused(lambda: unpad(bytes(31), "t"), "pad below 32")
    refused(lambda: unpad(bytes(36), "t"), "pad longer than padme")
    refused(lambda: unpad(u64(25) + bytes(24), "t"), "pad shorter than its length")
    refused(lambda: unpad(b"\xff" * 8 + bytes(24), "t"), "pad of an absurd length")
    refused(lambda: unpad(u64(3) + b"abc" + bytes(20) + b"\1", "t"), "padding that is not zero")

    # varint
    for raw, want in (("00", 0), ("01", 1), ("7f", 127), ("8001", 128), ("ff01", 255), ("ac02", 300),
                      ("ff7f", 16383), ("808001", 16384), ("ffffff7f", 268435455), ("8080808001", 268435456),
                      ("ffffffff0f", 4294967295)):
        equal(varint(bytes.fromhex(raw), 0), (want, len(raw) // 2), f"varint {raw}")
    equal(varint(b"\xff\x81\x01\xff", 1), (129, 3), "varint within other bytes")
    for raw in ("", "80", "ff", "8000", "ff00", "808000", "8080808000", "ffffffff10", "8080808010",
                "ffffffff7f", "808080808001", "ffffffffff0f"):
        refused(lambda raw=raw: varint(bytes.fromhex(raw), 0), f"varint {raw}")

    # lp
    equal(lp(b""), bytes(8), "lp of nothing")
    equal(lp(b"abc").hex(), "0300000000000000616263", "lp")
    equal(lps(b"a", b"", u64(258)).hex(),
          "010000000000000061" "0000000000000000" "08000000000000000201000000000000", "lp of three parts")
    equal(lp(bytes(256))[:8].hex(), "0001000000000000", "lp of 256 bytes")

    # CBOR
    for raw, want in (("00", 0), ("17", 23), ("1818", 24), ("18ff", 255), ("190100", 256), ("19ffff", 65535),
                      ("1a00010000", 65536), ("1affffffff", 4294967295), ("1b0000000100000000", 4294967296),
                      ("1bffffffffffffffff", U64 - 1), ("40", b""), ("43010203", b"\1\2\3"), ("60", ""),
                      ("63616263", "abc"), ("62c3a9", "\u00e9"), ("64f09f9491", "\U0001f511"), ("80", []),
                      ("820102", [1, 2]), ("a0", {}), ("a200010182f4f5", {0: 1, 1: [False, True]}),
                      ("a21700181801", {23: 0, 24: 1}), ("a1188040", {128: b""}), ("f6", None),
                      ("5818" + "61" * 24, b"a" * 24), ("81" * 16 + "00", None), ("81" * 15 + "80", None)):
        got = cbor(bytes.fromhex(raw))
        if raw.startswith("8181"):
            depth = 0
            while type(got) is list:
                depth, got = depth + 1, got[0] if got else 0
            got, want = depth, 16
        equal(got, want, f"CBOR {raw}")
    for raw in ("", "1800", "1817", "190000", "1900ff", "1a0000ffff", "1b00000000ffffffff", "1c", "1f", "18",
                "1901", "20", "3863", "c000", "c11a514b67b0", "e0", "f7", "f800", "f820", "f97e00", "fa00000000",
                "fb0000000000000000", "ff", "5f4100ff", "7f6161ff", "9f00ff", "bf0000ff", "580161", "41", "6261",
                "61ff", "62c328", "63eda080", "81", "8201", "9bffffffffffffffff", "bbffffffffffffffff",
                "5bffffffffffffffff", "a1", "a100", "a200000001", "a201000000", "a21818001700", "a1616100",
                "a14000", "a12000", "a1f400", "a1180000", "0000", "a000", "81" * 17 + "00", "81" * 16 + "80"):
        refused(lambda raw=raw: cbor(bytes.fromhex(raw)), f"CBOR {raw}")
    equal(fields({0: 1, 128: "kept"}, "t", {0: is_uint}), {0: 1, 128: "kept"}, "optional key")
    refused(lambda: fields({0: 1, 127: 0}, "t", {0: is_uint}), "critical key", NewerFormat)
    refused(lambda: fields({}, "t", {0: is_uint}), "missing key")
    refused(lambda: fields({0: True}, "t", {0: is_uint}), "boolean for a number")

    # base64, text, nodes
    equal(unbase64("AAE=", "t"), b"\0\1", "base64")
    for raw in ("AAE", "AAF=", "AA E=", "AAE=\n", "-_8=", "AAE=AAE=", "AA="):
        refused(lambda raw=raw: unbase64(raw, "t"), f"base64 {raw!r}")
    for text, want in (("a", True), ("a b", True), ("", False), (" a", False), ("a\u3000", False),
                       ("a\x85b", False), ("x" * 255, True), ("\U0001f511" * 255, True), ("x" * 256, False)):
        equal(is_name(text), want, f"name {text[:8]!r}")
    for text, want in (("", True), ("category:a", True), ("env:b", True), ("user:c", True),
                       ("category:a\x1fenv:b", True), ("env:b\x1fcategory:a", False), ("a", False), ("env:", False)):
        equal(is_compartment(text), want, f"compartment {text!r}")
    equal(parse_node(b"\1\0\2\0" b"\0\2ab\0\1x" b"\1\1c\0\0", 0), [(b"ab", b"x"), (b"ac", b"")], "leaf")
    for raw in (b"\1\0\0\0", b"\1\0\1\0" b"\1\1a\0\0", b"\1\0\1\0" b"\0\1a\0\0\0", b"\1\0\1\0" b"\0\1a\2\0",
                b"\2\0\1\0" b"\0\1a\0\0", b"\1\1\1\0" b"\0\1a\0\0", b"\1\0\2\0" b"\0\1a\0\0" b"\1\0\0\0",
                b"\1\0\2\0" b"\0\1b\0\0" b"\0\1a\0\0", b"\1\0\1\0" b"\0\1a\0\1", b"\1\0\1\0" b"\0\2a",
                b"\1\0\1\0" b"\0\1a\0\x81\x08" + b"v" * 1025, b"\1\0\1\0" b"\0\x81\x20" + b"k" * 4097 + b"\0\0"):
        refused(lambda raw=raw: parse_node(raw, 0), f"leaf {raw[:24]!r}")

    # primitives: RFC 5869 case 3 has no salt, so HKDF is compared with its definition; BIP 173; RFC 8032; BLAKE3
    prk = hmac.new(b"s" * 16, b"k" * 32, "sha256").digest()
    equal(derive(b"s" * 16, b"k" * 32, "vault/1 page key"),
          hmac.new(prk, b"vault/1 page key\1", "sha256").digest(), "HKDF")
    equal(bech32("a", b""), "a12uel5l", "bech32")
    equal(blake3(b"").hex(), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262", "BLAKE3")
    secret = bytes(range(32))
    identity = identity_of_secret(secret)
    public = nacl.bindings.crypto_scalarmult_base(secret)
    equal(str(identity.to_public()), bech32("age", public), "age recipient")
    equal(age_open(pyrage.encrypt(b"text", [identity.to_public()]), identity), b"text", "age")
    pk, _ = nacl.bindings.crypto_sign_seed_keypair(
        bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    equal(pk.hex(), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "Ed25519")
    signature = bytes.fromhex("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bac"
                              "c61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b")
    verify(pk, b"", signature, "t")
    s = int.from_bytes(signature[32:], "little") + 2**252 + 27742317777372353535851937790883648493
    refused(lambda: verify(pk, b"", signature[:32] + s.to_bytes(32, "little"), "t"), "S that is not canonical")
    refused(lambda: verify(b"\1" + bytes(31), b"", b"\1" + bytes(63), "t"), "key of small order")
    return done


# --------------------------------------------------------------------------- command line

def dump(vault):
    """Everything that a vault says, for comparison with another reader."""
    entries = vault.entries()
    for e in entries:
        for v in e["versions"]:
            try:
                v["value"] = base64.b64encode(vault.value(e["environment"], e["name"], v["number"])).decode("ascii")
            except NoKey:
                v["value"] = None
    return {"id": vault.id, "epoch": vault.epoch, "sequence": vault.sequence, "tail": vault.tail > 0,
            "access": vault.access, "slots": vault.slots(), "entries": entries, "lineage": vault.lineage()}


def answer(request):
    """What --batch says to one request."""
    source = request["file"]
    if "xor" in request or "length" in request:
        with open(source, "rb") as f:
            source = bytearray(f.read()[:request.get("length")])
        for offset, byte in request.get("xor", []):
            source[offset] ^= byte
    if "raw" in request:
        secret = {"raw_key": bytes.fromhex(request["raw"])}
    else:
        secret = {kind: request[kind] for kind in ("passphrase", "identity") if kind in request}
    state, at, more = None, "open", {}
    try:
        with Vault(source, **secret) as vault:
            at = "read"
            state = dump(vault)
            at = "check"
            vault.check()
            if request.get("foreign"):
                more["foreign"] = vault.foreign_keys()
            if "stream" in request:
                at = "stream"
                with open(request["stream"], "rb") as f:
                    more["plaintext"] = base64.b64encode(vault.open_stream(f.read())).decode("ascii")
    except VaultError as e:
        words = {Damaged: "damaged", NewerFormat: "newer", Locked: "locked"}
        word = next((word for kind, word in words.items() if isinstance(e, kind)), "other")
        return {"state": state, "refused": word, "at": at, "why": str(e)}
    return {"state": state, "refused": None, "at": None, "why": None} | more


def batch():
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


def main(argv=None):
    parser = argparse.ArgumentParser(description="Reads a vault file, format 1, and prints it as JSON.")
    parser.add_argument("file", nargs="?")
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument("--key-file", metavar="F")
    secret.add_argument("--passphrase-file", metavar="F")
    secret.add_argument("--identity", metavar="F")
    parser.add_argument("--check", action="store_true", help="verify every span, record and page first")
    parser.add_argument("--batch", action="store_true", help="answer requests, a line each")
    parser.add_argument("--selftest", action="store_true")
    args = parser.parse_args(argv)
    try:
        if args.selftest:
            print(f"{reader_selftest()} passed, 0 failed")
            return 0
        if args.batch:
            batch()
            return 0
        if args.file is None or not (args.key_file or args.passphrase_file or args.identity):
            parser.error("a file and one secret are needed")
        if args.key_file:
            opened = {"raw_key": parse_key(read_secret(args.key_file))}
        elif args.passphrase_file:
            opened = {"passphrase": parse_passphrase(read_secret(args.passphrase_file))}
        else:
            opened = {"identity": parse_identities(read_secret(args.identity))}
        with Vault(args.file, **opened) as vault:
            if args.check:
                vault.check()
            text = json.dumps(dump(vault), ensure_ascii=True)
        print(text)
        return 0
    except (VaultError, AssertionError) as e:
        print("error: " + " ".join(str(e).split()), file=sys.stderr)
        return 1
    except Exception as e:
        print(f"error: {type(e).__name__}: " + " ".join(str(e).split()), file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
