"""One alias from its options: which kind of provider it is, and what each option may be.

LAW: judges everything before it makes anything; every error names the alias, and says what to
do. A key is one of clefstorm.keys (for ``decryption_key`` of clefstorm.jwe) or the mapping that
describes one.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from clefstorm.client import AsyncClient, Client
from clefstorm.errors import ConfigurationError
from clefstorm.jwe import ALGORITHMS, DecryptionKey
from clefstorm.keys import KEY_CLASSES, HS256Key, Key, KeyList
from clefstorm.providers import (
    ClefProvider,
    EternaltwinProvider,
    OAuth2Provider,
    OpenIDProvider,
    Provider,
)
from clefstorm.registry.references import REFERENCE, resolve

C = TypeVar("C", bound=AsyncClient | Client)

_CLIENT_OPTIONS = frozenset(
    {"provider", "state_key", "timeout", "deadline", "verify_ssl", "allow_redirects"}
)
_KINDS: Mapping[str, type[Provider]] = {
    "openid": OpenIDProvider,
    "oauth2": OAuth2Provider,
    "clef": ClefProvider,
    "eternaltwin": EternaltwinProvider,
}
_OAUTH2_ALONE = frozenset({"authorization_endpoint", "token_endpoint", "userinfo_endpoint"})
_MOST_KEYS = 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """The options of one alias, judged; clients made of it share the provider and its keys."""

    alias: str
    provider: Provider
    settings: Mapping[str, Any] = dataclasses.field(repr=False)

    def client(self, kind: type[C]) -> C:
        """Make a client. Raises ConfigurationError, which names the alias."""
        try:
            return kind(self.provider, alias=self.alias, **self.settings)
        except ConfigurationError as error:
            if error.code == "verify_unreadable":
                error.add_evidence(option="verify_ssl")
            error.add_evidence(alias=self.alias)
            raise


def build_client(alias: str, options: Mapping[str, Any]) -> AsyncClient:
    """Return the async client that these options describe; raises as ``register`` does."""
    return register(alias, options).client(AsyncClient)


def register(alias: str, options: Mapping[str, Any], *, folder: Path | None = None) -> Registration:
    """Judge the options of an alias.

    ``provider`` names the kind: openid, oauth2, clef or eternaltwin. Without it, endpoints make it
    an OAuth2Provider, a ``host`` or a ``url`` with a path from /api/v1 on an EternaltwinProvider;
    else it is an OpenIDProvider by ``issuer``. The options are the kind's, and ``state_key`` (a
    key, a KeyList, or what describes one), ``timeout`` (s, 5 by default), ``deadline`` (s),
    ``verify_ssl`` (True, False or a CA file), ``allow_redirects``. References to secrets are
    looked up, relative paths from ``folder``, None being the working folder. Raises
    ConfigurationError, which names the alias, and the near option for a misspelled one.
    """
    if not isinstance(alias, str) or not alias:
        raise ConfigurationError("an alias is a text", code="alias_invalid")
    try:
        if not isinstance(options, Mapping):
            raise ConfigurationError(
                "an alias is configured by a mapping of options", code="options_invalid"
            )
        # One by one, for an alias itself is nothing that a reference could stand for.
        found = {
            name: resolve(value, folder=folder or Path(), option=str(name))
            for name, value in options.items()
        }
        return _register(alias, found)
    except ConfigurationError as error:
        error.add_evidence(alias=alias)
        raise


def _register(alias: str, options: Mapping[str, Any]) -> Registration:
    options = {
        name: _read_keys(value, option=name) if str(name).endswith("_key") else value
        for name, value in options.items()
    }
    kind = kind_of(options)
    fields = _fields(kind)
    known = _CLIENT_OPTIONS.union(fields)
    for name in options:
        if name not in known:
            raise ConfigurationError(
                "there is no such option" + (_elsewhere(name) or _near(name, known)),
                code="option_unknown",
                got=name,
            )
    missing = [
        name
        for name, field in fields.items()
        if name not in options
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigurationError(
            "an option is missing", code="option_missing", expected=", ".join(missing)
        )
    for name in text_options(kind):
        if isinstance(options.get(name), Mapping):
            raise ConfigurationError(REFERENCE, code="reference_invalid", option=name)
    timeout = options.get("timeout")
    if isinstance(timeout, list) and len(timeout) == 2:
        timeout = tuple(timeout)  # TOML has lists and no tuples
    verify = options.get("verify_ssl", True)
    if not isinstance(verify, bool | str):
        raise ConfigurationError(
            "verify_ssl is True, False or the path of a file of CA certificates",
            code="verify_invalid",
            got=type(verify).__name__,
        )
    settings = {
        "state_key": options.get("state_key"),
        "timeout": timeout,
        "deadline": options.get("deadline", 10.0),
        "verify": verify,
        "allow_redirects": options.get("allow_redirects", False),
    }
    provider = kind(**{name: options[name] for name in fields if name in options})
    return Registration(alias=alias, provider=provider, settings=settings)


def kind_of(options: Mapping[str, Any]) -> type[Provider]:
    """Return the kind of provider that options are for. Raises ``provider_kind_unknown``."""
    named = options.get("provider")
    if named is None:
        if not _OAUTH2_ALONE.isdisjoint(options):
            return OAuth2Provider
        return EternaltwinProvider if _is_eternaltwin(options) else OpenIDProvider
    if not isinstance(named, str) or named not in _KINDS:
        raise ConfigurationError(
            "there is no such kind of provider" + _near(named, _KINDS),
            code="provider_kind_unknown",
            expected=", ".join(_KINDS),
            got=named,
        )
    return _KINDS[named]


def _is_eternaltwin(options: Mapping[str, Any]) -> bool:
    """The shape of the eternaltwin package's own options."""
    if "issuer" in options:
        return False
    url = options.get("url")
    if not isinstance(url, str):
        return "host" in options
    try:
        # Also where the scheme was forgotten, so that the error is of that.
        return urlsplit(url if "//" in url else f"//{url}").path.startswith("/api/v1")
    except ValueError:
        return False


def _fields(kind: type[Provider]) -> dict[str, dataclasses.Field[Any]]:
    return {field.name: field for field in dataclasses.fields(kind) if field.init}


def text_options(kind: type[Provider]) -> frozenset[str]:
    """Return the options of a kind that are texts and nothing else."""
    texts = {name for name, field in _fields(kind).items() if field.type in ("str", "str | None")}
    return frozenset({"provider", *texts})


def _elsewhere(name: object) -> str:
    kinds = [kind for kind, provider in _KINDS.items() if name in _fields(provider)]
    return f" here: it belongs to the provider {' or '.join(kinds)}" if kinds else ""


def _near(name: object, known: Collection[str]) -> str:
    in_lower_case = {one.lower(): one for one in known}
    near = difflib.get_close_matches(str(name).lower(), in_lower_case, n=1)
    return f"; did you mean {in_lower_case[near[0]]}?" if near else ""


def _read_keys(value: Any, *, option: str) -> Any:
    """Return the keys that a mapping, or a list of them, describes; the rest as it is."""
    decrypts = option == "decryption_key"
    read: Callable[[Mapping[str, Any]], Any] = _read_decryption_key if decrypts else _read_key
    try:
        if isinstance(value, Mapping):
            return read(value)
        if not isinstance(value, list | tuple):
            return value
        if not 0 < len(value) <= _MOST_KEYS:
            raise ConfigurationError(
                f"{option} is a key, or a list of 1 to {_MOST_KEYS}", code=f"{option}_invalid"
            )
        keys = [read(one) if isinstance(one, Mapping) else one for one in value]
        return keys if decrypts else KeyList(*keys)
    except ConfigurationError as error:
        error.add_evidence(option=option)
        raise


def _read_key(members: Mapping[str, Any]) -> Key:
    """Make the signing key that ``alg`` and its material describe; errors quote none of it."""
    alg = _alg(members, KEY_CLASSES)
    kind = KEY_CLASSES[alg]
    is_shared = issubclass(kind, HS256Key)
    return kind(**_texts(members, ("secret",) if is_shared else ("public_key", "private_key")))


def _read_decryption_key(members: Mapping[str, Any]) -> DecryptionKey:
    """Make the key to which a provider encrypts; joserfc is imported here at the earliest."""
    alg = _alg(members, ALGORITHMS)
    return DecryptionKey(alg=alg, **_texts(members, ("private_key",)))


def _alg(members: Mapping[str, Any], ours: Collection[str]) -> str:
    alg = members.get("alg")
    if not isinstance(alg, str) or alg not in ours:
        raise ConfigurationError(
            "a key names its algorithm: alg" + _near(alg, ours),
            code="alg_unknown",
            expected=", ".join(ours),
        )
    return alg


def _texts(members: Mapping[str, Any], material: tuple[str, ...]) -> dict[str, Any]:
    """Return what a key is made of besides its alg, judged as far as that goes here."""
    known = ("alg", "kid", *material)
    for name, value in members.items():
        if name not in known:
            raise ConfigurationError(
                f"a key of {members['alg']} has no such member" + _near(name, known),
                code="option_unknown",
                got=name,
            )
        if not isinstance(value, str | None):
            raise ConfigurationError(
                f"a member of a key is a text; {REFERENCE}", code="key_invalid", member=name
            )
    if not any(members.get(name) for name in material):
        raise ConfigurationError(
            f"a key of {members['alg']} needs {' or '.join(material)}", code="option_missing"
        )
    return {name: value for name, value in members.items() if name != "alg"}
