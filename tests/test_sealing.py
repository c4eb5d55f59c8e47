"""Sealed values open for nobody else; the key file is made once and kept private."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from clefstorm.errors import ConfigurationError, SealBroken
from clefstorm.sealing import Sealer, secret_file

ROOT = Path(__file__).parents[1]
OLD, NEW = b"o" * 32, b"n" * 32


def sealed_by(*secrets: bytes) -> bytes:
    return Sealer(secrets).seal(b"plain", purpose="record", context="row 1")


def test_a_sealed_value_opens_for_its_purpose_and_context() -> None:
    """What is sealed opens again to the same bytes, an empty value too."""
    sealer = Sealer([OLD])
    for plaintext in (b"", b"plain", os.urandom(5000)):
        sealed = sealer.seal(plaintext, purpose="record", context="row 1")
        assert sealer.open(sealed, purpose="record", context="row 1") == plaintext


def test_the_format_is_version_key_id_nonce_ciphertext() -> None:
    """One version byte, 4 of key id, 12 of nonce, then ciphertext with a tag of 16 bytes."""
    one, two = sealed_by(OLD), sealed_by(OLD)
    assert len(one) == 1 + 4 + 12 + len(b"plain") + 16
    assert one[:5] == two[:5]
    assert one[0] == 1
    assert one[5:17] != two[5:17]
    assert b"plain" not in one


@pytest.mark.parametrize(
    ("change", "purpose", "context", "code"),
    [
        pytest.param(lambda s: s, "cookie", "row 1", "seal_key_unknown", id="wrong_purpose"),
        pytest.param(lambda s: s, "record", "row 2", "seal_altered", id="wrong_context"),
        pytest.param(lambda s: s, "record", "", "seal_altered", id="context_left_out"),
        pytest.param(lambda s: b"", "record", "row 1", "seal_truncated", id="empty"),
        pytest.param(lambda s: s[:32], "record", "row 1", "seal_truncated", id="truncated_short"),
        pytest.param(lambda s: s[:-1], "record", "row 1", "seal_altered", id="truncated_by_one"),
        pytest.param(lambda s: s + b"\0", "record", "row 1", "seal_altered", id="lengthened"),
        pytest.param(
            lambda s: s[:-1] + bytes([s[-1] ^ 1]), "record", "row 1", "seal_altered", id="tag"
        ),
        pytest.param(
            lambda s: s[:17] + bytes([s[17] ^ 1]) + s[18:],
            "record",
            "row 1",
            "seal_altered",
            id="ciphertext",
        ),
        pytest.param(
            lambda s: s[:5] + bytes(12) + s[17:], "record", "row 1", "seal_altered", id="nonce"
        ),
        pytest.param(
            lambda s: b"\x02" + s[1:], "record", "row 1", "seal_version_unknown", id="version"
        ),
        pytest.param(
            lambda s: s[:1] + bytes(4) + s[5:], "record", "row 1", "seal_key_unknown", id="key_id"
        ),
    ],
)
def test_anything_else_is_seal_broken(change, purpose, context, code) -> None:
    """A value that was altered, moved, cut or is another's opens as SealBroken, and only so."""
    sealed = sealed_by(OLD)
    assert Sealer([OLD]).open(sealed, purpose="record", context="row 1") == b"plain"
    with pytest.raises(SealBroken) as caught:
        Sealer([OLD]).open(change(sealed), purpose=purpose, context=context)
    assert caught.value.code == code


def test_no_prefix_of_a_sealed_value_opens() -> None:
    """However a sealed value is cut, it is refused."""
    sealed = sealed_by(OLD)
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            Sealer([OLD]).open(sealed[:length], purpose="record", context="row 1")


def test_the_first_secret_seals_and_all_open() -> None:
    """With a rotated list old values open, and new ones need the new secret."""
    rotated = Sealer([NEW, OLD])
    assert rotated.open(sealed_by(OLD), purpose="record", context="row 1") == b"plain"
    assert rotated.open(sealed_by(NEW), purpose="record", context="row 1") == b"plain"
    assert sealed_by(NEW, OLD)[:5] == sealed_by(NEW)[:5]
    with pytest.raises(SealBroken) as caught:
        Sealer([OLD]).open(sealed_by(NEW, OLD), purpose="record", context="row 1")
    assert caught.value.code == "seal_key_unknown"


def test_keys_that_share_an_id_are_all_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key id is only a hint: two secrets whose ids are equal both open their values."""

    class Same:
        def digest(self) -> bytes:
            return b"same"

    monkeypatch.setattr("clefstorm.sealing.hashlib.sha256", lambda _: Same())
    rotated = Sealer([NEW, OLD])
    assert rotated.open(sealed_by(OLD), purpose="record", context="row 1") == b"plain"
    assert rotated.open(sealed_by(NEW), purpose="record", context="row 1") == b"plain"


def test_a_context_may_be_any_text() -> None:
    """Text from outside as a context never raises anything but SealBroken."""
    sealer = Sealer([OLD])
    sealed = sealer.seal(b"plain", purpose="record", context="\ud800")
    assert sealer.open(sealed, purpose="record", context="\ud800") == b"plain"
    with pytest.raises(SealBroken):
        sealer.open(sealed, purpose="record", context="\ud801")


def test_derived_keys_differ_by_purpose_and_secret() -> None:
    """derive gives 32 bytes from the first secret, derive_all one for each, newest first."""
    rotated = Sealer([NEW, OLD])
    assert rotated.derive_all("index") == (
        Sealer([NEW]).derive("index"),
        Sealer([OLD]).derive("index"),
    )
    assert rotated.derive("index") == Sealer([NEW]).derive("index")
    assert len({*rotated.derive_all("index"), *rotated.derive_all("other")}) == 4
    assert all(len(key) == 32 for key in rotated.derive_all("index"))


@pytest.mark.parametrize(
    ("secrets", "code"),
    [
        pytest.param([], "secrets_missing", id="none"),
        pytest.param(b"x" * 32, "secrets_missing", id="one_not_in_a_list"),
        pytest.param("x" * 32, "secrets_missing", id="text"),
        pytest.param([b"x" * 31], "secret_too_short", id="short"),
        pytest.param([OLD, b""], "secret_too_short", id="second_empty"),
        pytest.param(["x" * 32], "secret_too_short", id="text_in_a_list"),
    ],
)
def test_a_weak_or_mistaken_secret_is_refused(secrets, code) -> None:
    """A secret is bytes, and at least 32 of them."""
    Sealer([b"x" * 32])
    with pytest.raises(ConfigurationError) as caught:
        Sealer(secrets)
    assert caught.value.code == code


def test_neither_repr_nor_error_shows_a_secret() -> None:
    """Nothing that may be logged holds a secret."""
    assert repr(Sealer([OLD, NEW])) == "Sealer(2 secrets)"
    with pytest.raises(ConfigurationError) as caught:
        Sealer([b"hunter2"])
    assert "hunter2" not in str(caught.value)


def test_a_key_file_is_made_once(tmp_path: Path) -> None:
    """The first call makes 32 random bytes in a file of mode 0600, later ones read them."""
    path = tmp_path / "secret"
    secret = secret_file(path)
    assert len(secret) == 32
    assert secret_file(path) == secret
    assert secret_file(tmp_path / "another") != secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["another", "secret"]


def test_a_key_file_may_be_written_by_hand(tmp_path: Path) -> None:
    """A line of base64url, with or without padding, is a secret."""
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    path.write_text("_-" + "A" * 42 + "\r\n")
    assert secret_file(path) == b"\xff\xe0" + bytes(31)
    path.write_text("A" * 43 + "=\n")
    assert secret_file(path) == bytes(32)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"A" * 40 + b"\n", id="short"),
        pytest.param(b"correct horse battery staple, and more than that\n", id="not_base64url"),
        pytest.param(b"\xff" * 64, id="binary"),
        pytest.param(b"A" * 44 + b"\n" + b"A" * 44 + b"\n", id="two_lines"),
    ],
)
def test_a_key_file_that_holds_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    """A file that is not ours is neither used nor overwritten."""
    path = tmp_path / "secret"
    secret_file(path)
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        secret_file(path)
    assert caught.value.code == "secret_file_invalid"
    assert path.read_bytes() == content


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601], ids=oct)
def test_a_key_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    """A secret that others may have read is no secret."""
    path = tmp_path / "secret"
    secret = secret_file(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError) as caught:
        secret_file(path)
    assert caught.value.code == "secret_file_readable"
    path.chmod(0o400)
    assert secret_file(path) == secret


def test_a_key_file_that_is_not_a_file_is_refused(tmp_path: Path) -> None:
    """A pipe neither keeps us waiting nor hands us a secret; a missing folder is said."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    with open(os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK), "wb", buffering=0) as pipe:
        for written in (b"", b"A" * 43 + b"\n"):
            pipe.write(written)
            with pytest.raises(ConfigurationError) as caught:
                secret_file(tmp_path / "pipe")
            assert caught.value.code == "secret_file_invalid"
    with pytest.raises(ConfigurationError):
        secret_file(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "missing" / "secret"):
        with pytest.raises(ConfigurationError) as caught:
            secret_file(path)
        assert caught.value.code == "secret_file_unusable"


def test_threads_that_start_together_share_one_secret(tmp_path: Path) -> None:
    """However many make the file at once, one wins and all read it whole."""
    start = threading.Barrier(16)
    secrets: list[bytes] = []

    def make() -> None:
        start.wait(10)
        secrets.append(secret_file(tmp_path / "secret"))

    threads = [threading.Thread(target=make) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(secrets) == 16
    assert len(set(secrets)) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["secret"]


def test_processes_that_start_together_share_one_secret(tmp_path: Path) -> None:
    """The same over processes, each of which is ready before any begins."""
    script = (
        "import sys, pathlib, clefstorm.sealing as s; print('ready', flush=True);"
        "sys.stdin.readline(); print(s.secret_file(pathlib.Path(sys.argv[1])).hex())"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "secret")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    secrets = {process.communicate(timeout=20)[0] for process in processes}
    assert secrets == {secret_file(tmp_path / "secret").hex() + "\n"}
