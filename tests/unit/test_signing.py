"""Tokens and signatures, checked against what we did not write where there is such a thing."""

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from models.base import new_id, utc_now
from models.inbox import Purpose
from models.requester import new_signing_secret
from worker.signing import BadToken, Tokens, Uris, sign

KEY, OTHER = SecretStr("k" * 43), SecretStr("o" * 43)


def test_a_token_is_good_for_its_request_upstream_and_purpose_and_for_nothing_else() -> None:
    tokens, id_ = Tokens([KEY]), new_id()
    token = tokens.make("avanser", Purpose.CALLBACK, id_)
    assert tokens.check("avanser", Purpose.CALLBACK, token) == id_
    for upstream, purpose in (("avanser", Purpose.CALL), ("avanser", Purpose.SMS), ("telmetrics", Purpose.CALLBACK)):
        with pytest.raises(BadToken):
            tokens.check(upstream, purpose, token)


def test_a_token_of_an_older_key_is_good_while_that_key_is_kept() -> None:
    token, id_ = Tokens([OTHER]).make("avanser", Purpose.CALLBACK, new_id()), None
    id_ = Tokens([KEY, OTHER]).check("avanser", Purpose.CALLBACK, token)
    assert isinstance(id_, UUID)
    with pytest.raises(BadToken):
        Tokens([KEY]).check("avanser", Purpose.CALLBACK, token)


@given(st.data())
def test_a_token_with_any_character_changed_is_none(data: st.DataObject) -> None:
    tokens = Tokens([KEY])
    token = tokens.make("avanser", Purpose.CALLBACK, UUID(int=7))
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters().filter(lambda c: c != token[place]))
    with pytest.raises(BadToken):
        tokens.check("avanser", Purpose.CALLBACK, token[:place] + other + token[place + 1 :])


@given(st.text())
def test_any_text_that_is_no_token_is_refused_in_the_same_way(text: str) -> None:
    with pytest.raises(BadToken):
        Tokens([KEY]).check("avanser", Purpose.CALLBACK, text)


def test_a_token_has_more_than_the_128_bits_that_it_needs_and_fits_a_path() -> None:
    uri = Uris("https://hooks.example/", Tokens([KEY])).callback("avanser", new_id())
    token = uri.removeprefix("https://hooks.example/callbacks/avanser/")
    assert len(token) == 50
    assert all(c.isalnum() or c in "-_" for c in token)


def test_a_result_is_verified_by_the_standardwebhooks_package() -> None:
    secret, data = (
        new_signing_secret(),
        {"type": "request.completed", "data": {"number": "+61280740801", "name": "Zoë"}},
    )
    content, headers = sign("0199-id", data, [secret], utc_now())
    assert Webhook(secret).verify(content, headers) == json.loads(content) == data
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(content + b" ", headers)


def test_during_a_rotation_either_secret_verifies() -> None:
    old, new = new_signing_secret(), new_signing_secret()
    content, headers = sign("id", {"type": "t"}, [new, old], utc_now())
    for secret in (old, new):
        Webhook(secret).verify(content, headers)
