"""Any OpenID Connect provider, found by its issuer.

LAW: an id token is believed only after every check of Core 3.1.3.7; the algorithm is pinned, or
one of ours that the provider announces, and HMAC only when pinned.
Source: OpenID Connect Core 1.0, Discovery 1.0, RP-Initiated and Back-Channel Logout 1.0.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from clefstorm.errors import ConfigurationError, ProtocolViolation
from clefstorm.jwe import DecryptionKey
from clefstorm.keys import HS256Key, VerificationKey
from clefstorm.protocol.authorization import CodeGrant
from clefstorm.protocol.end_session import build_end_session_url
from clefstorm.protocol.exchange import Flow, fetch
from clefstorm.protocol.id_token import IDToken, check_id_token, check_refreshed_id_token
from clefstorm.protocol.identity import (
    Identity,
    build_userinfo_request,
    check_userinfo_sub,
    read_userinfo,
    read_userinfo_token,
)
from clefstorm.protocol.jwks import KeySet
from clefstorm.protocol.jwt import (
    ASYMMETRIC,
    HMAC,
    check_leeway,
    read_jwt_claims_unverified,
    read_jwt_header,
    verify_jwt,
)
from clefstorm.protocol.logout_token import LogoutNotice, check_logout_token
from clefstorm.protocol.metadata import ProviderMetadata, check_issuer, check_url, metadata_of
from clefstorm.protocol.provider_jwt import agreed_algorithms, verify_provider_jwt
from clefstorm.protocol.token_endpoint import Tokens
from clefstorm.protocol.userinfo_token import check_userinfo_token
from clefstorm.providers.encryption import (
    AgreedEncryption,
    agreed_encryption,
    read_decryption_keys,
)
from clefstorm.providers.provider import Clock, Provider, SignedIn

_OF_THE_LOGIN = frozenset({"nonce", "auth_time", "acr", "amr"})
"""What the login's id token says for good: the next refresh is held against it too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIDProvider(Provider):
    """An OpenID provider by its ``issuer``; everything else comes from its discovery document.

    ``id_token_signed_response_alg`` pins the algorithm of id tokens and logout tokens; None
    allows each asymmetric one that the provider announces. ``userinfo`` False spares the call
    to the userinfo endpoint. ``logout_token_exp_required`` False accepts logout tokens without
    exp for two minutes from their iat. ``logout_sid_means_all`` ends all sessions of the subject
    when a logout token names one. ``frontchannel_logout`` True takes front-channel logouts, which
    prove nothing: whoever knows a sid is believed. ``leeway`` is in seconds. What else was
    registered is told by the registration's own names: with ``id_token_encrypted_response_alg``
    id tokens and logout tokens have to come encrypted to ``decryption_key``, a DecryptionKey of
    clefstorm.jwe or a list in rotation; with ``userinfo_signed_response_alg`` userinfo has to
    come signed.
    """

    scope: Sequence[str] = ("openid", "profile", "email")
    post_logout_redirect_uri: str | None = None
    id_token_signed_response_alg: str | None = None
    trusted_audiences: Collection[str] = ()
    userinfo: bool = True
    logout_token_exp_required: bool = True
    logout_sid_means_all: bool = False
    frontchannel_logout: bool = False
    leeway: float = 60.0
    decryption_key: DecryptionKey | Sequence[DecryptionKey] | None = None
    id_token_encrypted_response_alg: str | None = None
    id_token_encrypted_response_enc: str | None = None
    userinfo_signed_response_alg: str | None = None
    userinfo_encrypted_response_alg: str | None = None
    userinfo_encrypted_response_enc: str | None = None
    _id_token_encryption: AgreedEncryption | None = field(init=False, repr=False, default=None)
    _userinfo_encryption: AgreedEncryption | None = field(init=False, repr=False, default=None)
    _secret_key: VerificationKey | None = field(init=False, repr=False, default=None)

    has_id_token: ClassVar[bool] = True

    def __post_init__(self) -> None:
        # A class with slots is made anew, which breaks super() without arguments.
        Provider.__post_init__(self)
        check_issuer(self.issuer)
        if "openid" not in self.scope:
            raise ConfigurationError(
                "the scope of an OpenID provider begins with openid", code="scope_without_openid"
            )
        if self.post_logout_redirect_uri is not None:
            try:
                check_url(self.post_logout_redirect_uri, name="post_logout_redirect_uri")
            except ProtocolViolation as error:
                raise ConfigurationError(
                    "post_logout_redirect_uri is the full address of the mounted logged-out page",
                    code="post_logout_redirect_uri_invalid",
                    reason=error.message,
                ) from None
        self._check_switches()
        self._agree_on_signatures()
        self._agree_on_encryption()

    def _agree_on_signatures(self) -> None:
        for name in ("id_token_signed_response_alg", "userinfo_signed_response_alg"):
            alg = getattr(self, name)
            if alg is not None and alg not in [*ASYMMETRIC, "HS256"]:
                raise ConfigurationError(
                    f"this {name} is not one of ours",
                    code="alg_unknown",
                    expected=", ".join(sorted(ASYMMETRIC | {"HS256"})),
                    got=alg,
                )
            if alg not in HMAC or self._secret_key is not None:
                continue
            if self.client_secret is None:
                raise ConfigurationError(
                    "an HMAC algorithm needs a client_secret", code="client_secret_missing", got=alg
                )
            # Made now, so that a secret too short for it is told of once, and not at a login.
            secret_key = VerificationKey.of(HS256Key(self.client_secret))
            object.__setattr__(self, "_secret_key", secret_key)

    def _agree_on_encryption(self) -> None:
        keys = read_decryption_keys(self.decryption_key)
        for kind in ("id_token", "userinfo"):
            agreed = agreed_encryption(
                kind,
                alg=getattr(self, f"{kind}_encrypted_response_alg"),
                enc=getattr(self, f"{kind}_encrypted_response_enc"),
                keys=keys,
            )
            object.__setattr__(self, f"_{kind}_encryption", agreed)
        if self._userinfo_encryption is not None and self.userinfo_signed_response_alg is None:
            raise ConfigurationError(
                "encrypted userinfo has to be signed too: userinfo_signed_response_alg",
                code="userinfo_unsigned",
            )

    def _check_switches(self) -> None:
        trusted = self.trusted_audiences
        if isinstance(trusted, str) or not isinstance(trusted, Collection):
            # Asking whether "app" is in "my-app" would be answered with yes.
            raise ConfigurationError(
                "trusted_audiences is a list of client_ids", code="trusted_audiences_invalid"
            )
        check_leeway(self.leeway)
        for name in (
            "userinfo",
            "logout_token_exp_required",
            "logout_sid_means_all",
            "frontchannel_logout",
        ):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(
                    f"{name} is True or False", code=f"{name}_invalid", got=getattr(self, name)
                )

    def metadata(self) -> Flow[ProviderMetadata]:
        """Return the issuer's discovery document, read and checked."""
        return metadata_of(self.issuer)

    def identify(self, tokens: Tokens, grant: CodeGrant, *, clock: Clock) -> Flow[SignedIn]:
        """Check the id token (Core, section 3.1.3.7), then ask userinfo about its subject."""
        if tokens.id_token is None:
            raise ProtocolViolation("the provider gave no id token", code="id_token_missing")
        signed = self.open_token(tokens.id_token)
        header, claims = yield from self._verified(signed, self.id_token_signed_response_alg)
        id_token = check_id_token(
            claims,
            alg=header["alg"],
            header=header,
            issuer=self.issuer,
            client_id=self.client_id,
            nonce=grant.nonce,
            now=clock(),
            access_token=tokens.access_token,
            max_age=grant.max_age,
            acr_values=grant.acr_values,
            trusted_audiences=self.trusted_audiences,
            leeway=self.leeway,
        )
        identity = Identity(iss=id_token.iss, sub=id_token.sub, claims=id_token.claims)
        metadata = yield from self.metadata()
        if self.userinfo and metadata.userinfo_endpoint is not None:
            userinfo = yield from self._ask_userinfo(
                metadata.userinfo_endpoint, tokens.access_token, sub=id_token.sub, clock=clock
            )
            identity = identity.with_userinfo(userinfo)
        return SignedIn(
            identity=identity,
            # Opened, as the next ones are compared with it.
            tokens=replace(tokens, id_token=signed),
            issued=id_token.iat,
            sid=id_token.sid,
        )

    def _ask_userinfo(
        self, endpoint: str, access_token: str, *, sub: str, clock: Clock
    ) -> Flow[Mapping[str, Any]]:
        alg = self.userinfo_signed_response_alg
        response = yield from fetch(
            build_userinfo_request(endpoint, access_token, signed=alg is not None)
        )
        if alg is None:
            return read_userinfo(response, sub=sub)
        token = read_userinfo_token(response)
        if self._userinfo_encryption is not None:
            token = self._userinfo_encryption.open(token)
        header, claims = yield from self._verified(token, alg)
        check_userinfo_token(
            claims,
            header=header,
            issuer=self.issuer,
            client_id=self.client_id,
            now=clock(),
            trusted_audiences=self.trusted_audiences,
            leeway=self.leeway,
        )
        return check_userinfo_sub(claims, sub=sub)

    def identify_refreshed(
        self,
        fresh: Tokens,
        identity: Identity,
        *,
        previous_id_token: str | None = None,
        clock: Clock,
    ) -> Flow[Identity]:
        """Check the id token of a refresh, if there is one, against the first (Core, 12.2).

        What the previous one said and this one leaves out, a role perhaps, is no longer so.
        """
        if fresh.id_token is None:
            return identity
        signed = self.open_token(fresh.id_token)
        header, claims = yield from self._verified(signed, self.id_token_signed_response_alg)
        id_token: IDToken = check_refreshed_id_token(
            claims,
            previous=identity.claims,
            alg=header["alg"],
            header=header,
            issuer=self.issuer,
            client_id=self.client_id,
            now=clock(),
            access_token=fresh.access_token,
            trusted_audiences=self.trusted_audiences,
            leeway=self.leeway,
        )
        said = read_jwt_claims_unverified(previous_id_token) if previous_id_token else {}
        gone = set(said) - _OF_THE_LOGIN
        kept = {name: value for name, value in identity.claims.items() if name not in gone}
        return Identity(iss=id_token.iss, sub=id_token.sub, claims={**kept, **id_token.claims})

    def open_token(self, token: str) -> str:
        """Return the signed token inside an id token or logout token.

        Where encryption was agreed, one that isn't encrypted is refused (Core, section 3.1.3.7,
        step 1; Back-Channel Logout 1.0, section 2.6).
        """
        return token if self._id_token_encryption is None else self._id_token_encryption.open(token)

    def end_session_url(self, *, id_token: str | None, state: str | None) -> Flow[str | None]:
        """Return the URL of RP-initiated logout, None when the provider has no such endpoint."""
        metadata = yield from self.metadata()
        return build_end_session_url(
            metadata,
            client_id=self.client_id,
            # What was encrypted for us is not to be read in a URL.
            id_token_hint=id_token if self._id_token_encryption is None else None,
            post_logout_redirect_uri=self.post_logout_redirect_uri,
            state=state,
        )

    def check_logout(self, logout_token: str, *, clock: Clock) -> Flow[LogoutNotice]:
        """Judge a logout token (Back-Channel Logout 1.0, section 2.6)."""
        signed = self.open_token(logout_token)
        header, claims = yield from self._verified(
            signed, self.id_token_signed_response_alg, first_hand=False
        )
        notice = check_logout_token(
            claims,
            header=header,
            issuer=self.issuer,
            client_id=self.client_id,
            now=clock(),
            trusted_audiences=self.trusted_audiences,
            exp_required=self.logout_token_exp_required,
            leeway=self.leeway,
        )
        return replace(notice, all_of_sub=self.logout_sid_means_all and notice.sub is not None)

    def _verified(
        self, token: str, pinned: str | None, *, first_hand: bool = True
    ) -> Flow[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        header = read_jwt_header(token)
        metadata = yield from self.metadata()
        algorithms = agreed_algorithms(None if pinned is None else {pinned}, metadata)
        if self._secret_key is None or pinned not in HMAC:
            return (
                yield from verify_provider_jwt(
                    token, metadata, algorithms=algorithms, first_hand=first_hand
                )
            )
        # The one secret, whatever its owner calls it.
        keys = KeySet((replace(self._secret_key, kid=header.get("kid")),))
        return header, verify_jwt(token, keys, algorithms=algorithms)
