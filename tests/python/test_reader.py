"""Tests of the reader by itself: builds vault files from the specification, reads them back, then alters them.

    python test_reader.py
"""

import base64
import hashlib
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import unittest

import argon2.low_level
import nacl.bindings
import pyrage

import reader
from reader import blake3, derive, lps, padme, u64

BLOCK = 4096


# --------------------------------------------------------------------------- a writer, as plain as the format allows

def encode(x):
    """Deterministic CBOR."""
    def head(major, n):
        if n < 24:
            return bytes([major << 5 | n])
        for i, size in enumerate((1, 2, 4, 8)):
            if n < 1 << 8 * size:
                return bytes([major << 5 | 24 + i]) + n.to_bytes(size, "big")
        raise ValueError(n)

    if x is None or x is True or x is False:
        return {None: b"\xf6", True: b"\xf5", False: b"\xf4"}[x]
    if isinstance(x, int):
        return head(0, x)
    if isinstance(x, bytes):
        return head(2, len(x)) + x
    if isinstance(x, str):
        return head(3, len(x.encode())) + x.encode()
    if isinstance(x, list):
        return head(4, len(x)) + b"".join(map(encode, x))
    return head(5, len(x)) + b"".join(encode(k) + encode(x[k]) for k in sorted(x))


def pad(x):
    return (u64(len(x)) + x).ljust(padme(max(32, 8 + len(x))), b"\0")


def seal(key, aad, x):
    nonce = os.urandom(24)
    return nonce + nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(x, aad, nonce, key)


def sign(seed, message):
    _, secret = nacl.bindings.crypto_sign_seed_keypair(seed)
    return nacl.bindings.crypto_sign(message, secret)[:64]


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def b64(x):
    return base64.b64encode(x).decode()


class Writer:
    """Writes a vault file; `tweak` puts one fault into it."""

    def __init__(self, epoch=3, sequence=1, previous_hash=None, tweak=None):
        self.tweak = tweak or {}
        self.id, self.epoch = os.urandom(16), epoch
        self.master, self.index, self.seed, self.system, self.raw = (os.urandom(32) for _ in range(5))
        self.keys = {"": [(1, os.urandom(32)), (4, os.urandom(32)), (9, os.urandom(32))],
                     "category:db": [(1, os.urandom(32))], "category:db\x1fenv:prod": [(1, os.urandom(32))],
                     "env:prod": [(2, os.urandom(32))]}
        self.age, self.limited = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
        self.sequence, self.previous, self.previous_hash = sequence, None, previous_hash
        self.public = nacl.bindings.crypto_sign_seed_keypair(self.seed)[0]
        self.page_key, self.record_key, self.label_key = (
            derive(self.id, self.index, f"vault/1 {what} key") for what in ("page", "record", "label"))
        self.live = 0
        text = self.header_text()
        signed = b"VAULT-FILE 1 %05d\n" % len(text) + text
        signed += sign(self.seed, lps(b"vault/1 header signature", signed))
        self.file = bytearray(signed.ljust(-(-len(signed) // BLOCK) * BLOCK, b"\0"))
        self.header_length = self.end = len(self.file)
        self.header_hash = blake3(bytes(self.file))

    def data_key(self, compartment):
        number, key = self.keys[compartment][-1]
        return {0: compartment, 1: number, 2: key, 3: 77}

    def header_text(self):
        ring = {0: 5, 1: self.index, 2: self.seed, 3: self.system, 4: [self.data_key(c) for c in sorted(self.keys)]}
        ring |= self.tweak.get("ring", {})
        full = {0: self.id, 1: 5, 2: self.master} | self.tweak.get("full", {})
        limited = {0: self.id, 3: self.index, 4: self.public,
                   5: [self.data_key("category:db\x1fenv:prod"), self.data_key("env:prod")]}
        salt = os.urandom(16)
        passphrase = reader.identity_of_secret(argon2.low_level.hash_secret_raw(
            b"pass", salt, 2, 19456, 1, 32, argon2.low_level.Type.ID, version=19))
        sealed = seal(self.master, lps(b"vault/1 key ring", self.id, u64(5)), pad(encode(ring)))
        text = (f'id = "{self.id.hex()}"\nepoch = {self.epoch}\nsigning_key = "{self.public.hex()}"\nmaster = 5\n'
                f'future = "x"\nring = "{b64(sealed)}"\n'
                f'master_commitment = "{derive(self.id, self.master, "vault/1 master commitment").hex()}"\n'
                f'index_commitment = "{derive(self.id, self.index, "vault/1 index commitment").hex()}"\n')
        m = self.tweak.get("m", 19456)
        parameters = f'salt = "{b64(salt)}"\nm = {m}\nt = 2\np = 1\n'
        raw = reader.identity_of_secret(derive(self.id, self.raw, "vault/1 raw-key slot"))
        return (text + self.tweak.get("top", "") + self.slot("raw", "full", raw, full)
                + self.slot("passphrase", "full", passphrase, full, parameters) + self.slot("age", "full", self.age, full)
                + self.slot("age", "limited", self.limited, limited)).encode()

    def slot(self, kind, access, identity, payload, more=""):
        recipient = str(identity.to_public())
        label = {0: kind} | ({1: ["env:prod"]} if access == "limited" else {})
        label = seal(self.label_key, lps(b"vault/1 slot label", self.id, recipient.encode()), pad(encode(label)))
        wrap = pyrage.encrypt(pad(encode(payload)), [identity.to_public()])
        return (f'[[slot]]\nkind = "{kind}"\naccess = "{access}"\nrecipient = "{recipient}"\nlabel = "{b64(label)}"\n'
                f'wrap = "{b64(wrap)}"\nnew_key = 1\n{more}')

    def page(self, kind, plain):
        offset = len(self.file)
        sealed = seal(self.page_key, lps(b"vault/1 page", self.id, u64(self.epoch), bytes([kind]), u64(offset)), plain)
        self.file += sealed
        self.live += len(sealed)
        return struct.pack("<QI", offset, len(sealed)) + blake3(sealed)

    def node(self, level, items):
        kind = 2 if level else 1
        out, last = struct.pack("<BBH", kind, level, len(items)), b""
        for key, value in items:
            shared = len(os.path.commonprefix([key, last]))
            out += varint(shared) + varint(len(key) - shared) + key[shared:] + value
            last = key
        return self.page(kind, out)

    def tree(self, items, per=5):
        self.live, level, row = 0, 0, []
        for key, value in sorted(items.items()):
            overflow = len(value) > self.tweak.get("inline", 1024)
            row.append((key, b"\1" + self.page(3, value) if overflow else b"\0" + varint(len(value)) + value))
        while True:
            groups = [row[i:i + per] for i in range(0, len(row), per)]
            nodes = [(group[0][0], self.node(level, group)) for group in groups]
            if len(nodes) == 1:
                return nodes[0][1], level
            row, level = nodes, level + 1

    def commit(self, items, entries, body=None, span=b""):
        self.file += bytes(-len(self.file) % BLOCK) + span
        self.live = 0
        root, level = self.tree(items) if items else (None, 0)
        self.file += bytes(-len(self.file) % BLOCK)
        offset = len(self.file)
        written = bytes(self.file[self.end:offset])
        record = {0: self.epoch, 1: self.sequence, 2: offset, 3: self.header_hash, 4: root, 5: level, 6: self.previous,
                  7: self.previous_hash, 8: None, 9: self.end, 10: blake3(written), 11: len(written) > 1 << 20,
                  12: self.live, 13: entries, 14: 5} | (body or {})
        plain = encode(record)
        plain = (struct.pack("<H", len(plain)) + plain).ljust(1024, b"\0")
        aad = lps(b"vault/1 record", self.id, u64(self.epoch), u64(offset))
        block = b"VLTCMT1\n" + seal(self.record_key, aad, plain) + bytes(2960)
        block += sign(self.seed, lps(b"vault/1 commit signature", self.id, u64(offset), block))
        self.file += block
        self.previous, self.previous_hash, self.end = offset, blake3(block), offset + BLOCK
        self.sequence += 1
        return bytes(self.file)

    def items(self, entries):
        out = {}
        for e in entries:
            path, uid, versions = e["env"].encode() + b"\0" + e["name"].encode(), os.urandom(16), []
            for number, compartment, key, sealed_as, value in e["versions"]:
                version = {0: number, 1: 10, 2: 1, 3: key}
                if compartment:
                    version[4] = compartment
                if sealed_as != number:
                    version[5] = sealed_as
                versions.append(version | self.tweak.get("version", {}))
                aad = lps(b"vault/1 value", self.id, uid, u64(sealed_as), compartment.encode(), u64(key))
                out[b"\1" + path + b"\0" + struct.pack(">Q", number)] = seal(
                    dict(self.keys[compartment])[key], aad, pad(value))
            record = {0: uid, 1: versions[-1][0], 2: 10, 3: versions, 9: 11, 200: "opt"}
            record |= {key: e[field] for key, field in ((4, "cat"), (5, "tags"), (6, "meta"), (7, "exp"), (8, "due"))
                       if e.get(field)}
            if 4 in record:
                out[b"\3" + e["cat"].encode() + b"\0" + path] = b""
            if 7 in record:
                out[b"\4" + struct.pack(">Q", e["exp"]) + path] = b""
            if 8 in record:
                out[b"\5" + struct.pack(">Q", e["due"]) + path] = b""
            out[b"\1" + path + b"\0"] = encode(record | self.tweak.get("entry", {}))
            out[b"\2" + path] = encode({1: e["exp"]} if e.get("exp") else {})
        for compartment, keys in self.keys.items():
            for (number, key), (by, sealing) in zip(keys, keys[1:]):
                aad = lps(b"vault/1 data key", self.id, compartment.encode(), u64(number), u64(by))
                out[b"\6" + compartment.encode() + b"\0" + struct.pack(">Q", number)] = (
                    u64(by) + seal(sealing, aad, pad(encode({0: key, 1: 3}))))
        out[b"\x10user"] = seal(self.system, lps(b"vault/1 system", self.id, b"\x10user"), pad(b"u"))
        out[b"\x80zz"] = b"?"
        if self.sequence > 1:
            out[b"\x7e" + struct.pack(">Q", 1) + bytes(32)] = b""
        return out


FEW = [
    {"env": "", "name": "a", "versions": [(1, "", 1, 1, b"old"), (2, "", 4, 2, b"mid"), (5, "", 9, 3, b"new")]},
    {"env": "prod", "name": "pw", "cat": "db", "tags": ["x", "y"], "meta": [["k", "v\n"]], "exp": 99, "due": 98,
     "versions": [(1, "", 9, 1, b""), (2, "env:prod", 2, 2, b"z" * 1500), (3, "category:db\x1fenv:prod", 1, 3, b"both")]},
]
MANY = FEW + [{"env": f"e{i % 7}", "name": f"name {i:03}", "versions": [(1, "", 9, 1, os.urandom(i * 7))]}
              for i in range(120)]


# --------------------------------------------------------------------------- tests

class Reads(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.writer = Writer()
        cls.empty = cls.writer.commit({}, 0)
        cls.few = cls.writer.commit(cls.writer.items(MANY[:3]), 3)
        cls.many = cls.writer.commit(cls.writer.items(MANY), len(MANY))
        cls.key = {"raw_key": cls.writer.raw}

    def refuses(self, data, kind=reader.VaultError, **key):
        with self.assertRaises(kind):
            vault = reader.Vault(data, **key)
            reader.dump(vault)
            vault.check()

    def test_definitions(self):
        self.assertEqual(reader.reader_selftest(), 186)

    def test_every_slot_reads(self):
        vault = reader.Vault(self.many, **self.key)
        self.assertEqual(vault.check()["entries"], len(MANY))
        self.assertGreater(vault.record.level, 2)
        self.assertEqual([vault.value("", "a", n) for n in (None, 1, 2, 5)], [b"new", b"old", b"mid", b"new"])
        self.assertEqual([vault.value("prod", "pw", n) for n in (1, 2, 3)], [b"", b"z" * 1500, b"both"])
        self.assertEqual(reader.Vault(self.many, passphrase="pass").check()["entries"], len(MANY))
        age = reader.Vault(self.many, identity=str(self.writer.age))
        self.assertEqual(age.value("e3", "name 101"), MANY[103]["versions"][0][4])
        self.assertEqual(reader.Vault(self.empty, **self.key).entries(), [])

    def test_a_limited_slot_reads_what_is_its_own(self):
        vault = reader.Vault(self.many, identity=str(self.writer.limited))
        vault.check()
        self.assertEqual((vault.access, vault.value("prod", "pw")), ("limited", b"both"))
        with self.assertRaises(reader.NoKey):
            vault.value("", "a")

    def test_other_keys_and_formats(self):
        self.refuses(self.many, reader.Locked, raw_key=bytes(32))
        self.refuses(self.many, reader.Locked, passphrase="no")
        self.refuses(self.many, reader.Locked, identity=str(pyrage.x25519.Identity.generate()))
        for number in (b"2", b"10", b"4294967296", b"123456789012345678901234567890"):
            self.refuses(b"VAULT-FILE " + number + b" " + self.many[13:], reader.NewerFormat, **self.key)
        for number in (b"0", b"01", b"+1", b"-1", b"1.0", b""):
            self.refuses(b"VAULT-FILE " + number + b" " + self.many[13:], reader.Damaged, **self.key)

    def test_tails(self):
        torn = self.many[len(self.few):len(self.few) + 5000]
        for tail in (b"", os.urandom(9000), self.few[len(self.empty):], torn):
            vault = reader.Vault(self.many + tail, **self.key)
            self.assertEqual((vault.sequence, vault.tail), (3, len(tail)))
        self.assertEqual(reader.Vault(self.many[:-1], **self.key).sequence, 2)
        decoy = b"VLTCMT1\n" + bytes(BLOCK - 8)
        self.assertEqual(reader.Vault(self.many + 63 * decoy, **self.key).sequence, 3)
        self.refuses(self.many + 64 * decoy, reader.Damaged, **self.key)
        other = Writer()
        other.commit(other.items(MANY[:2]), 2)
        other.file += os.urandom(5000)
        self.assertEqual(reader.Vault(other.commit(other.items(MANY), len(MANY)), raw_key=other.raw).check()["records"], 2)

    def test_streams(self):
        writer = Writer()
        vault = reader.Vault(writer.commit(writer.items(FEW), 2), raw_key=writer.raw)
        vault_id = vault.header.id
        for compartment, spelled in (("", "-"), ("env:prod", "env:prod"), ("category:db\x1fenv:prod", "category:db%1Fenv:prod")):
            for number, key in vault._data_keys(compartment).items():
                recipient = reader.identity_of_secret(reader.derive(vault_id, key, "vault/1 stream")).to_public()
                line = f"VAULT-ENCRYPTED 1 {vault_id.hex()} {spelled} {number}\n".encode()
                for armored in (False, True):
                    body = pyrage.encrypt(b"plaintext", [recipient], armored=armored)
                    self.assertEqual(vault.open_stream(line + body), b"plaintext")
                for bad, kind in ((line + body[:-40], reader.Damaged), (line[:-1] + b"0\n" + body, reader.NotFound),
                                  (line.replace(vault_id.hex().encode(), b"0" * 32) + body, reader.Locked),
                                  (line.replace(b"D 1", b"D 2") + body, reader.NewerFormat), (body, reader.Damaged),
                                  (line.replace(b" " + spelled.encode(), b" category:none") + body, reader.NoKey)):
                    with self.assertRaises(kind):
                        vault.open_stream(bad)
        for text in ("1 x - 1", f"1 {vault_id.hex()} - 01", f"1 {vault_id.hex()} - 0", f"1 {vault_id.hex()} env%3Aprod 1",
                     f"1 {vault_id.hex()} env:a%2fb 1", f"1 {vault_id.hex()} env:a/b 1", f"1 {vault_id.hex()} - 1 ", "01 x"):
            with self.assertRaises(reader.Damaged, msg=text):
                reader.parse_stream(f"VAULT-ENCRYPTED {text}\n".encode())

    def test_foreign_keys(self):
        record = {0: 0, 1: b"key", 2: b"salt", 3: 7, 4: 1}

        def vault(records):
            writer = Writer()
            items = writer.items(FEW)
            for name, item in records.items():
                key = b"\x10foreign-key\0" + name.encode()
                items[key] = seal(writer.system, lps(b"vault/1 system", writer.id, key), pad(encode(item)))
            return writer.commit(items, 2), writer.raw

        data, raw = vault({"": {0: "v1"}, "v1": record})
        self.assertEqual(reader.Vault(data, raw_key=raw).foreign_keys(),
                         {"active": "v1", "keys": {"v1": {"key": "key", "salt": "73616c74", "iterations": 7}}})
        for records, kind in (({"": {0: "v2"}, "v1": record}, reader.Damaged), ({"V1": record}, reader.Damaged),
                              ({"v1": record | {0: 1}}, reader.NewerFormat), ({"v1": record | {3: 0}}, reader.Damaged),
                              ({"v1": record | {1: b""}}, reader.Damaged), ({"v1": {0: 0}}, reader.Damaged)):
            data, raw = vault(records)
            with self.subTest(records):
                self.refuses(data, kind, raw_key=raw)

    def test_a_long_span(self):
        writer, value = Writer(), os.urandom(2 << 20)
        data = writer.commit(writer.items([dict(FEW[0], versions=[(1, "", 9, 1, value)])]), 1)
        vault = reader.Vault(data, raw_key=writer.raw)
        vault.check()
        self.assertEqual((vault.record.durable, vault.value("", "a")), (True, value))
        altered = bytearray(data)
        altered[writer.previous - 1] ^= 1           # a zero between the pages and the record: no page has it
        reader.dump(reader.Vault(bytes(altered), raw_key=writer.raw))
        self.refuses(bytes(altered), reader.Damaged, raw_key=writer.raw)

    def test_flips(self):
        pick = random.Random(1)
        for at in [*range(40), *(pick.randrange(self.writer.header_length) for _ in range(150))]:
            altered = bytearray(self.many)
            altered[at] ^= 1 << pick.randrange(8)
            with self.assertRaises(reader.VaultError, msg=f"byte {at}"):
                reader.Vault(bytes(altered), **self.key)
        for _ in range(150):
            at = pick.randrange(self.writer.header_length, len(self.many))
            altered = bytearray(self.many)
            altered[at] ^= 1
            try:
                vault = reader.Vault(bytes(altered), **self.key)
            except reader.VaultError:
                continue
            if vault.sequence == 3:
                self.assertLess(at, len(self.few))
                self.refuses(bytes(altered), **self.key)

    def test_faults_behind_the_seal(self):
        unordered = [{0: f"env:{c}", 1: 1, 2: bytes(32), 3: 1} for c in "ba"]
        damaged, newer = reader.Damaged, reader.NewerFormat
        for tweak, kind in (
                ({"top": 'critical = ["zip"]\n'}, newer), ({"top": 'epoch = "1"\n'}, damaged), ({"ring": {0: 6}}, damaged),
                ({"ring": {5: 0}}, newer), ({"ring": {2: bytes(32)}}, damaged), ({"ring": {4: unordered}}, damaged),
                ({"full": {0: bytes(16)}}, damaged), ({"full": {2: bytes(32)}}, damaged), ({"full": {1: 4}}, damaged),
                ({"full": {6: 4}}, newer), ({"full": {3: bytes(32)}}, damaged), ({"inline": 2000}, damaged),
                ({"inline": 100}, damaged), ({"entry": {10: 1}}, newer), ({"entry": {1: 77}}, damaged),
                ({"entry": {1: 1}}, damaged), ({"entry": {5: ["b", "a"]}}, damaged), ({"entry": {5: []}}, damaged),
                ({"entry": {6: []}}, damaged), ({"version": {2: 3}}, newer), ({"version": {4: ""}}, damaged)):
            with self.subTest(tweak):
                writer = Writer(tweak=tweak)
                self.refuses(writer.commit(writer.items(FEW), 2), kind, raw_key=writer.raw)
        writer = Writer(tweak={"ring": {129: 1}, "full": {128: None}})
        reader.Vault(writer.commit(writer.items(MANY), len(MANY)), raw_key=writer.raw).check()

    def test_bounds_of_the_derivation(self):
        for m in (19455, 1048577, 0, -1):
            writer = Writer(tweak={"m": m})
            data = writer.commit({}, 0)
            self.refuses(data, reader.OutOfBounds, passphrase="pass")
            reader.Vault(data, raw_key=writer.raw).check()

    def test_faults_of_records(self):
        # The record before is the newest then; where only a check can tell, the check does.
        hidden = ({0: 4}, {2: 4096}, {3: bytes(32)}, {4: None, 5: 2}, {6: 4096}, {7: None}, {9: 4096}, {10: bytes(32)},
                  {11: True}, {1: 1}, {1: 1 << 63}, {12: 1 << 20})
        for body in hidden:
            with self.subTest(body):
                writer = Writer()
                writer.commit(writer.items(MANY[:3]), 3)
                self.assertEqual(reader.Vault(writer.commit(writer.items(FEW), 2, body), raw_key=writer.raw).sequence, 1)
        for body, kind in (({5: 3}, reader.Damaged), ({12: 1}, reader.Damaged), ({13: 1}, reader.Damaged),
                           ({1: 9}, reader.Damaged), ({7: bytes(32)}, reader.Damaged), ({15: 0}, reader.NewerFormat)):
            with self.subTest(body):
                writer = Writer()
                writer.commit(writer.items(MANY[:3]), 3)
                self.refuses(writer.commit(writer.items(FEW), 2, body), kind, raw_key=writer.raw)
        writer = Writer(epoch=9, sequence=50, previous_hash=bytes(32))
        reader.Vault(writer.commit(writer.items(MANY), len(MANY)), raw_key=writer.raw).check()

    def test_keys_that_are_missing_or_too_many(self):
        for space in (b"\2", b"\3", b"\4", b"\5", b"\6"):
            writer = Writer()
            items = writer.items(MANY)
            del items[next(key for key in items if key[:1] == space)]
            with self.subTest(space):
                self.refuses(writer.commit(items, len(MANY)), reader.Damaged, raw_key=writer.raw)
        for key in (b"\3zz\0prod\0pw", b"\1prod\0pw\0" + bytes(7) + b"\x09", b"\1prod\0nope\0" + bytes(7) + b"\1",
                    b"\2prod\0nope", b"\4" + bytes(8) + b"prod\0pw", b"\5" + bytes(8) + b"\0a"):
            writer = Writer()
            items = writer.items(MANY) | {key: b""}
            with self.subTest(key):
                self.refuses(writer.commit(items, len(MANY)), reader.Damaged, raw_key=writer.raw)

    def test_a_signature_that_holds_only_with_a_cofactor(self):
        seed, message = bytes(range(32)), b"message"
        public = nacl.bindings.crypto_sign_seed_keypair(seed)[0]
        secret = bytearray(hashlib.sha512(seed).digest()[:32])
        secret[0] &= 248
        secret[31] = secret[31] & 63 | 64
        nonce = (12345678901234567890).to_bytes(32, "little")
        plain = nacl.bindings.crypto_scalarmult_ed25519_base_noclamp(nonce)
        order_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
        for r, holds in ((plain, True), (nacl.bindings.crypto_core_ed25519_add(plain, order_8), False)):
            h = nacl.bindings.crypto_core_ed25519_scalar_reduce(hashlib.sha512(r + public + message).digest())
            product = nacl.bindings.crypto_core_ed25519_scalar_mul(h, bytes(secret))
            signature = r + nacl.bindings.crypto_core_ed25519_scalar_add(nonce, product)
            if holds:
                reader.verify(public, message, signature, "t")
            else:
                with self.assertRaises(reader.Damaged):
                    reader.verify(public, message, signature, "t")

    def test_command_line(self):
        with tempfile.TemporaryDirectory() as directory:
            def put(name, content):
                path = os.path.join(directory, name)
                with open(path, "wb") as file:
                    file.write(content)
                return path

            vault, program = put("v", self.many), os.path.join(os.path.dirname(os.path.abspath(__file__)), "reader.py")
            passphrase = put("p", b"pass\n")
            for option in (["--key-file", put("k", self.writer.raw), "--check"],
                           ["--key-file", put("kb", b64(self.writer.raw).encode() + b"\n")],
                           ["--passphrase-file", passphrase],
                           ["--identity", put("i", b"# comment\n" + str(self.writer.limited).encode() + b"\n"), "--check"]):
                done = subprocess.run([sys.executable, program, vault, *option], capture_output=True, text=True)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertEqual(len(json.loads(done.stdout)["entries"]), len(MANY))
            done = subprocess.run([sys.executable, program, vault, "--key-file", passphrase], capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            requests = [{"file": vault, "raw": self.writer.raw.hex()}, {"file": vault, "passphrase": "no"},
                        {"file": vault, "raw": self.writer.raw.hex(), "xor": [[100, 1]], "length": len(self.few)}]
            lines = "".join(json.dumps(request) + "\n" for request in requests)
            done = subprocess.run([sys.executable, program, "--batch"], input=lines, capture_output=True, text=True)
            answers = [json.loads(line) for line in done.stdout.splitlines()]
            self.assertEqual([(a["refused"], a["at"]) for a in answers], [(None, None), ("locked", "open"), ("damaged", "open")])


if __name__ == "__main__":
    unittest.main()
