"""How the simulated MessageMedia tells its customer from everybody else."""

import hmac
import json
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from worker.sandbox.messagemedia.access import Access, Call

# The request of the vendor's page "HMAC Authentication", whose hash is of the body with CR LF. Its own signatures date
# from SHA-1, so these were made with openssl.
ACCESS = Access("uCXUdoogNfCsehEClbO2", "s3cret")
NOW = datetime(2016, 7, 30, 5, 18, 52, tzinfo=UTC)
DATE = "Sat, 30 Jul 2016 05:18:52 GMT"
MESSAGE = {"messages": [{"content": "Hello World", "destination_number": "+61491570156", "format": "SMS"}]}
BODY = json.dumps(MESSAGE, indent=2).replace("\n", "\r\n").encode()
MD5 = "5407644fa83bec240dede971307e0cad"
WITH_BODY, WITHOUT_BODY = "Date Content-MD5 request-line", "Date request-line"
SIGNED_BODY = "4APE9fsNAP3sbpibm/hJnK8y7c/A5ftk2L4px0g7p30="
SIGNED = "sNyY6DDJmXXH7Iqk8DcioSl7rzk8rCWCTsh2SPB5SFI="
TARGET = "/v1/messages/404b941b-2a29-469f-b114-9ea3e16bbe18"


def credentials(headers: str, signature: str, key: str = ACCESS.key, algorithm: str = "hmac-sha256") -> str:
    return f'hmac username="{key}", algorithm="{algorithm}", headers="{headers}", signature="{signature}"'


def posted(
    headers: str = WITH_BODY, signature: str = SIGNED_BODY, body: bytes = BODY, md5: str = MD5, **more: str
) -> Call:
    sent = {"Date": DATE, "Content-MD5": md5, "Authorization": credentials(headers, signature), **more}
    return Call("POST", "/v1/messages", sent, body)


def got(target: str = TARGET, **more: str) -> Call:
    return Call("GET", target, {"Date": DATE, "Authorization": credentials(WITHOUT_BODY, SIGNED), **more}, b"")


def basic(secret: str = ACCESS.secret) -> str:
    return "Basic " + b64encode(f"{ACCESS.key}:{secret}".encode()).decode()


def test_the_vendors_requests_are_admitted_with_a_body_and_without() -> None:
    assert ACCESS.admits(posted(), NOW)
    assert ACCESS.admits(got(), NOW)


@pytest.mark.parametrize(
    "call",
    [
        posted(body=BODY + b" "),
        posted(md5="10fd4feab20d38432480c07301e49616"),
        posted(signature=SIGNED),
        posted(Date="Sat, 30 Jul 2016 05:18:53 GMT"),
        posted(Authorization=credentials(WITH_BODY, SIGNED_BODY, key="somebody")),
        posted(Authorization=credentials(WITH_BODY, SIGNED_BODY, algorithm="hmac-sha1")),
        posted(Authorization="hmac"),
        posted(Authorization=credentials(WITH_BODY, "päß")),
        replace(posted(), method="PATCH"),
        replace(posted(), headers={"Authorization": posted().headers["Authorization"], "Date": DATE}),
        got(target=f"{TARGET}?a=b"),
        got(target=f"{TARGET}/"),
        got(Date="yesterday"),
    ],
)
def test_nothing_that_is_signed_can_be_changed_or_left_out(call: Call) -> None:
    assert not ACCESS.admits(call, NOW)


@pytest.mark.parametrize("headers", [WITHOUT_BODY, "Content-MD5 request-line", "Date Content-MD5", f"{WITH_BODY} Host"])
def test_a_right_signature_of_too_little_or_of_more_is_refused(headers: str) -> None:
    call = posted(headers=headers, Host="api.messagemedia.com")
    lines = [
        "POST /v1/messages HTTP/1.1" if name == "request-line" else f"{name}: {call.headers[name]}"
        for name in headers.split()
    ]
    signature = b64encode(hmac.digest(ACCESS.secret.encode(), "\n".join(lines).encode(), "sha256")).decode()
    assert not ACCESS.admits(posted(headers=headers, signature=signature, Host="api.messagemedia.com"), NOW)


def test_a_date_is_admitted_for_five_minutes_on_either_side() -> None:
    for minutes in (-5, 5):
        assert ACCESS.admits(got(), NOW + timedelta(minutes=minutes))
        assert not ACCESS.admits(got(), NOW + timedelta(minutes=minutes * 1.01))


def test_another_secret_signs_otherwise() -> None:
    assert not Access(ACCESS.key, "another").admits(got(), NOW)


def test_basic_needs_key_and_secret() -> None:
    assert ACCESS.admits(got(Authorization=basic()), NOW)
    for wrong in (basic("another"), basic().replace("Basic", "Bearer"), "Basic", ""):
        assert not ACCESS.admits(got(Authorization=wrong), NOW)


def test_the_sample_credentials_are_those_of_the_vendors_page() -> None:
    sample = "Basic dGhpc2lzYWtleTp0aGlzaXNhc2VjcmV0Zm9ybW1iYXNpY2F1dGhyZXN0YXBp"
    assert Access().admits(got(Authorization=sample), NOW)
