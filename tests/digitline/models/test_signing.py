import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from digitline.errors import StorageError, TamperedError
from digitline.models.signing import (
    PRIVATE_NAME,
    PUBLIC_NAME,
    Purpose,
    Signature,
    can_sign,
    check_keys,
    open_signer,
    open_verifier,
)

WHERE = Path("somewhere")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / ".digitline" / "keys"


def test_a_pair_is_made_on_first_use_and_kept(keys: Path) -> None:
    assert not can_sign(keys)
    first = open_signer(keys).verifier.fingerprint
    assert can_sign(keys)
    assert open_signer(keys).verifier.fingerprint == first == open_verifier(keys).fingerprint
    assert keys.stat().st_mode & 0o777 == 0o700
    assert (keys / PRIVATE_NAME).stat().st_mode & 0o777 == 0o600


def test_the_public_key_checks_a_signature(keys: Path) -> None:
    signature = open_signer(keys).sign(Purpose.VERSION, b"content")
    open_verifier(keys).check(Purpose.VERSION, b"content", signature, WHERE, "")


@pytest.mark.parametrize(
    ("purpose", "content"), [(Purpose.CHAMPION, b"content"), (Purpose.VERSION, b"Content")]
)
def test_a_signature_serves_one_purpose_and_one_content(
    keys: Path, purpose: Purpose, content: bytes
) -> None:
    signature = open_signer(keys).sign(Purpose.VERSION, b"content")
    with pytest.raises(TamperedError, match="does not match"):
        open_verifier(keys).check(purpose, content, signature, WHERE, "")


def test_another_home_signs_with_another_key(keys: Path, tmp_path: Path) -> None:
    foreign = open_signer(tmp_path / "other").sign(Purpose.VERSION, b"content")
    with pytest.raises(TamperedError, match="another key"):
        open_signer(keys).verifier.check(Purpose.VERSION, b"content", foreign, WHERE, "")


def test_a_borrowed_fingerprint_does_not_help(keys: Path, tmp_path: Path) -> None:
    foreign = open_signer(tmp_path / "other").sign(Purpose.VERSION, b"content")
    ours = open_signer(keys).verifier
    forged = Signature(key=ours.fingerprint, value=foreign.value)
    with pytest.raises(TamperedError, match="does not match"):
        ours.check(Purpose.VERSION, b"content", forged, WHERE, "")


def test_two_spellings_of_one_signature_are_not_both_valid(keys: Path) -> None:
    signature = open_signer(keys).sign(Purpose.VERSION, b"content")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = alphabet[alphabet.index(signature.value[-3]) ^ 1]
    respelt = Signature(key=signature.key, value=f"{signature.value[:-3]}{last}==")
    with pytest.raises(TamperedError):
        open_verifier(keys).check(Purpose.VERSION, b"content", respelt, WHERE, "")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644])
def test_a_private_key_open_to_others_is_refused(keys: Path, mode: int) -> None:
    open_signer(keys)
    (keys / PRIVATE_NAME).chmod(mode)
    with pytest.raises(StorageError, match="chmod 600"):
        open_signer(keys)


def test_a_public_key_others_can_replace_is_refused(keys: Path) -> None:
    open_signer(keys)
    (keys / PUBLIC_NAME).chmod(0o666)
    with pytest.raises(StorageError, match="chmod go-w"):
        open_verifier(keys)


def test_the_public_key_alone_does_not_sign_and_no_new_pair_is_made(keys: Path) -> None:
    open_signer(keys)
    (keys / PRIVATE_NAME).unlink()
    with pytest.raises(StorageError, match="only the public key is here"):
        open_signer(keys)
    assert not can_sign(keys)


def test_a_lost_public_key_comes_back_from_the_private_one(keys: Path) -> None:
    fingerprint = open_signer(keys).verifier.fingerprint
    (keys / PUBLIC_NAME).unlink()
    assert open_signer(keys).verifier.fingerprint == fingerprint
    assert open_verifier(keys).fingerprint == fingerprint


def test_halves_of_two_pairs_are_refused(keys: Path, tmp_path: Path) -> None:
    open_signer(keys)
    open_signer(tmp_path / "other")
    (tmp_path / "other" / PUBLIC_NAME).rename(keys / PUBLIC_NAME)
    with pytest.raises(TamperedError, match="do not belong together"):
        open_signer(keys)


@pytest.mark.parametrize("name", [PRIVATE_NAME, PUBLIC_NAME])
@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN PUBLIC KEY-----\n"])
def test_a_broken_key_is_refused(keys: Path, name: str, content: bytes) -> None:
    open_signer(keys)
    (keys / name).write_bytes(content)
    with pytest.raises(TamperedError, match="not an Ed25519 key"):
        open_signer(keys)


def test_a_key_of_another_kind_is_refused(keys: Path) -> None:
    key = Ed448PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    open_signer(keys)
    (keys / PUBLIC_NAME).write_bytes(public)
    with pytest.raises(TamperedError, match="the public key is not an Ed25519 key"):
        open_verifier(keys)
    (keys / PRIVATE_NAME).write_bytes(private)
    with pytest.raises(TamperedError, match="the private key is not an Ed25519 key"):
        open_signer(keys)


@pytest.mark.parametrize("name", [PRIVATE_NAME, PUBLIC_NAME])
def test_a_key_behind_a_link_is_refused(keys: Path, tmp_path: Path, name: str) -> None:
    open_signer(keys)
    (keys / name).rename(tmp_path / name)
    (keys / name).symlink_to(tmp_path / name)
    with pytest.raises(TamperedError, match="symbolic link"):
        open_signer(keys)


def test_without_a_key_nothing_can_be_checked(keys: Path) -> None:
    with pytest.raises(TamperedError, match=r"Copy signing\.pub"):
        open_verifier(keys)


def test_processes_that_make_the_pair_at_once_end_with_one(keys: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from digitline.models.signing import open_signer;"
        "sys.stdin.readline(); print(open_signer(Path(sys.argv[1])).verifier.fingerprint)"
    )
    command = [sys.executable, "-c", program, str(keys)]
    runners = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for runner in runners:  # all have imported and wait for the word
        assert runner.stdin is not None
        runner.stdin.write("go\n")
        runner.stdin.flush()
    fingerprints = {runner.communicate(timeout=60)[0].strip() for runner in runners}
    assert fingerprints == {open_verifier(keys).fingerprint}


@pytest.mark.parametrize("name", [PRIVATE_NAME, PUBLIC_NAME])
def test_every_changed_byte_of_a_key_is_noticed(keys: Path, name: str) -> None:
    open_signer(keys)
    path = keys / name
    content = path.read_bytes()
    for place, bit in product(range(len(content)), (0, 3)):
        changed = bytearray(content)
        changed[place] ^= 1 << bit
        path.write_bytes(changed)
        assert str(path) in {error.where for error in check_keys(keys)}
    path.write_bytes(content)
    assert list(check_keys(keys)) == []
