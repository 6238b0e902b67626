"""Which addresses are of the public internet, in every dress that a private one may wear."""

import pytest

from worker.destinations import fault_of, is_public

PUBLIC = [
    "8.8.8.8",
    "2606:4700::1111",
    "::ffff:8.8.8.8",  # IPv4-mapped
    "64:ff9b::808:808",  # NAT64
    "2002:808:808::",  # 6to4
]

PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",  # noqa: S104
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",  # where clouds tell a machine its credentials
    "100.64.0.1",  # carrier-grade NAT
    "192.0.2.1",
    "198.18.0.1",
    "192.88.99.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",  # multicast of global scope
    "2001:db8::1",
    "3fff::1",
    "::ffff:127.0.0.1",  # IPv4-mapped
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",  # IPv4-translated (RFC 2765)
    "::127.0.0.1",  # IPv4-compatible
    "64:ff9b::7f00:1",  # NAT64
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",  # NAT64 within a network (RFC 8215)
    "64:ff9b:1::808:808",
    "2002:7f00:1::",  # 6to4
    "2002:a9fe:a9fe::1",
    "2001:0:7f00:1::",  # Teredo
    "4000::1",  # given to nobody
]


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_public_internet_may_be_connected_to(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_no_other_address_may(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "crm.test/hook",
        "/hook",
        "https://",
        "https:///hook",
        "ftp://crm.test/",
        "file:///etc/passwd",
        "https://[::1/",
        "https://crm.test:port/",
        "https://user@crm.test/",
        "https://user:password@crm.test/",
        "https://:password@crm.test/",
        "https://crm.test\\@127.0.0.1/",
    ],
)
@pytest.mark.parametrize("allow_private", [False, True])
def test_what_is_no_plain_web_address_is_refused(url: str, allow_private: bool) -> None:
    assert fault_of(url, allow_private=allow_private) is not None


@pytest.mark.parametrize("url", ["http://crm.test/", "https://crm.test:22/", "https://crm.test:80/"])
def test_only_https_at_its_own_ports_unless_private_destinations_are_allowed(url: str) -> None:
    assert fault_of(url, allow_private=False) is not None
    assert fault_of(url, allow_private=True) is None


@pytest.mark.parametrize("url", ["https://crm.test/hook?a=b", "HTTPS://crm.test:443/", "https://crm.test:8443"])
def test_a_plain_https_address_is_good(url: str) -> None:
    assert fault_of(url, allow_private=False) is None
