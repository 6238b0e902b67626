"""Proving to MessageMedia who we are, in its two ways."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from datetime import UTC, datetime

from pydantic import SecretStr

from worker.upstream_settings import MessageMediaSettings
from worker.upstreams.messagemedia.auth import authorize, signed

# The request of MessageMedia's page "HMAC Authentication". Its body is written there with line feeds, but counted and
# hashed with CR LF; its signatures are of 20 and 40 bytes, left from SHA-1, so ours were made with openssl.
MOMENT = datetime(2016, 7, 30, 5, 18, 52, tzinfo=UTC)
MESSAGE = {"messages": [{"content": "Hello World", "destination_number": "+61491570156", "format": "SMS"}]}
BODY = json.dumps(MESSAGE, indent=2).replace("\n", "\r\n").encode()
KEY, SECRET = "uCXUdoogNfCsehEClbO2", "s3cret"


def settings(**fields: str) -> MessageMediaSettings:
    return MessageMediaSettings(key=SecretStr(KEY), secret=SecretStr(SECRET), **fields)  # type: ignore[arg-type]


def test_the_pages_request_with_a_body_is_signed_as_it_stands_there() -> None:
    assert signed(KEY, SECRET, "POST", "/v1/messages", BODY, MOMENT) == {
        "Date": "Sat, 30 Jul 2016 05:18:52 GMT",
        "Content-MD5": "5407644fa83bec240dede971307e0cad",
        "Authorization": f'hmac username="{KEY}", algorithm="hmac-sha256", headers="Date Content-MD5 request-line", '
        'signature="4APE9fsNAP3sbpibm/hJnK8y7c/A5ftk2L4px0g7p30="',
    }


def test_the_pages_request_without_a_body_is_signed_as_it_stands_there() -> None:
    target = "/v1/messages/404b941b-2a29-469f-b114-9ea3e16bbe18"
    assert signed(KEY, SECRET, "GET", target, None, MOMENT) == {
        "Date": "Sat, 30 Jul 2016 05:18:52 GMT",
        "Authorization": f'hmac username="{KEY}", algorithm="hmac-sha256", headers="Date request-line", '
        'signature="sNyY6DDJmXXH7Iqk8DcioSl7rzk8rCWCTsh2SPB5SFI="',
    }


def test_every_part_of_a_request_changes_its_signature() -> None:
    parts = [
        (KEY, SECRET, "POST", "/v1", b"{}", MOMENT),
        (KEY, "other", "POST", "/v1", b"{}", MOMENT),
        (KEY, SECRET, "PATCH", "/v1", b"{}", MOMENT),
        (KEY, SECRET, "POST", "/v1?a=b", b"{}", MOMENT),
        (KEY, SECRET, "POST", "/v1", b"{ }", MOMENT),
        (KEY, SECRET, "POST", "/v1", None, MOMENT),
        (KEY, SECRET, "POST", "/v1", b"{}", MOMENT.replace(second=53)),
    ]
    signatures = {signed(*part)["Authorization"].partition("signature=")[2] for part in parts}
    assert len(signatures) == len(parts)


def test_basic_is_what_is_sent_unless_the_settings_say_otherwise() -> None:
    (value,) = authorize(settings())("GET", "/v1", None).values()
    assert b64decode(value.removeprefix("Basic ")) == f"{KEY}:{SECRET}".encode()
    headers = authorize(settings(auth="hmac"))("GET", "/v1", None)
    assert re.match(rf'hmac username="{KEY}", ', headers["Authorization"])
    assert SECRET not in str(headers)
