"""Nothing that leads inside gets through, however it is written."""

import pytest

from halfrate.domain.errors import ConfigError, InvalidArgument
from halfrate.net.targets import Targets

HOSTILE_URLS = r"""
http://example.com/
ftp://example.com/
file:///etc/passwd
gopher://example.com:70/_x
javascript:alert(1)
//example.com/
example.com/hook
https:example.com
https:/example.com
https:///example.com
https://
https://:443/
https://user@example.com/
https://user:secret@example.com/
https://example.com@127.0.0.1/
https://127.0.0.1@example.com/
https://example.com%40127.0.0.1/
https://example.com\\@127.0.0.1/
https://127.0.0.1\\.example.com/
https://example.com#@127.0.0.1/
https://example.com/#fragment
https://example.com /
 https://example.com/
https://example.com/\t
https://exam\nple.com/
https://example.com/a\r\nHost: inside
https://example.com/\x00
https://example.com/ä
https://ex\u00e4mple.com/
https://\uff11\uff12\uff17.0.0.1/
https://127\u30020\u30020\u30021/
https://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3/
https://example.com:0/
https://example.com:65536/
https://example.com:99999999/
https://example.com:-1/
https://example.com:80:80/
https://example.com:0x50/
https://exam_ple..com/
https://.example.com/
https://example.com./
https://-example.com/
https://example-.com/
https://*.example.com/
https://[example.com]/
https://[::1/
https://::1/
https://localhost/
https://LOCALHOST/
https://localhost:8080/
https://anything.localhost/
https://127.0.0.1/
https://127.1/
https://127.0.1/
https://127.127.127.127/
https://0/
https://0.0.0.0/
https://2130706433/
https://017700000001/
https://0177.0.0.1/
https://0x7f.0.0.1/
https://0x7f000001/
https://0X7F.1/
https://127.0.0.0x1/
https://127.0.0.01/
https://1.2.3.4.5/
https://256.256.256.256/
https://example.1/
https://10.0.0.1/
https://100.100.100.200/
https://168.63.129.16/
https://169.254.169.254/latest/meta-data/
https://172.16.0.1/
https://172.31.255.255/
https://192.0.0.192/
https://192.168.0.1/
https://198.18.0.1/
https://224.0.0.1/
https://239.255.255.255/
https://240.0.0.1/
https://255.255.255.255/
https://[::]/
https://[::1]/
https://[0:0:0:0:0:0:0:1]/
https://[::ffff:127.0.0.1]/
https://[::ffff:7f00:1]/
https://[::ffff:8.8.8.8]/
https://[::127.0.0.1]/
https://[64:ff9b::7f00:1]/
https://[64:ff9b::169.254.169.254]/
https://[64:ff9b:1::a00:1]/
https://[100::1]/
https://[2001::7f00:1]/
https://[2001:db8::1]/
https://[2002:7f00:1::]/
https://[2002:a9fe:a9fe::1]/
https://[3fff::1]/
https://[5f00::1]/
https://[fc00::1]/
https://[fd00:ec2::254]/
https://[fe80::1]/
https://[fe80::1%25eth0]/
https://[fe80::1%eth0]/
https://[fec0::1]/
https://[ff02::1]/
""".strip().splitlines()

# What cannot be typed is written as its escape.
HOSTILE_URLS = [text.encode().decode("unicode_escape") if "\\" in text else text for text in HOSTILE_URLS]

INSIDE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::2",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "::127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::1",
    "100::1",
    "1fff::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fdff::1",
    "fe80::1",
    "fe80::1%eth0",
    "febf::1",
    "fec0::1",
    "ff00::1",
    "ff02::1",
    "ff0e::1",
]

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "223.255.255.255",
    "2600::1",
    "2a00:1450::1",
]


def test_the_corpus_is_large_enough():
    assert len(set(HOSTILE_URLS)) + len(set(INSIDE)) > 160


@pytest.mark.parametrize("url", HOSTILE_URLS, ids=ascii)
def test_a_hostile_url_is_refused(url):
    with pytest.raises(InvalidArgument, match="cannot be called"):
        Targets().read(url)


@pytest.mark.parametrize("address", INSIDE)
def test_a_name_that_leads_inside_is_refused_where_it_leads(address):
    targets = Targets()
    target = targets.read("https://hooks.example.com/")
    with pytest.raises(InvalidArgument, match="no public address"):
        targets.admit(target, address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_called(address):
    targets = Targets()
    targets.admit(targets.read("https://hooks.example.com/"), address)
    host = f"[{address}]" if ":" in address else address
    assert targets.read(f"https://{host}/").address == address


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://example.com", ("example.com", 443, "/", "example.com")),
        ("HTTPS://Example.COM/A?b=c", ("example.com", 443, "/A?b=c", "example.com")),
        ("https://example.com?b=c@d", ("example.com", 443, "/?b=c@d", "example.com")),
        ("https://a_b.example.com:8443/x%20y", ("a_b.example.com", 8443, "/x%20y", "a_b.example.com:8443")),
        ("https://[2600::1]:444/", ("2600::1", 444, "/", "[2600::1]:444")),
    ],
)
def test_a_good_url_is_read(url, parts):
    target = Targets().read(url)
    assert (target.host, target.port, target.path, target.authority) == parts


def test_a_long_url_is_refused():
    with pytest.raises(InvalidArgument, match="more than 2048 characters"):
        Targets().read("https://example.com/" + "a" * 2_048)


def test_no_secret_of_a_url_is_told_on():
    with pytest.raises(InvalidArgument) as refused:
        Targets().read("https://user:hunter2@example.com/")
    assert "hunter2" not in str(refused.value)


def test_a_network_on_the_list_may_be_called_and_nothing_beside_it():
    targets = Targets(["10.1.0.0/16", "::1"])
    targets.read("https://10.1.2.3/")
    targets.read("https://[::1]/")
    targets.admit(targets.read("https://inside.example.com/"), "10.1.2.3")
    with pytest.raises(InvalidArgument, match="no public address"):
        targets.read("https://10.2.0.1/")
    with pytest.raises(InvalidArgument, match="no public address"):
        targets.read("https://[::ffff:10.1.2.3]/")


def test_a_host_on_the_list_may_be_anywhere_and_no_other():
    targets = Targets(["Hooks.internal", "localhost"])
    targets.admit(targets.read("https://hooks.INTERNAL/"), "10.0.0.1")
    targets.read("https://localhost/")
    with pytest.raises(InvalidArgument):
        targets.admit(targets.read("https://a.hooks.internal/"), "10.0.0.1")
    with pytest.raises(InvalidArgument):
        targets.read("https://127.0.0.1/")


def test_plain_http_goes_to_what_is_on_the_list_alone():
    targets = Targets(["10.0.0.0/8", "hooks.internal"], allow_http=True)
    targets.read("http://10.0.0.1/")
    targets.admit(targets.read("http://hooks.internal/"), "8.8.8.8")
    targets.admit(targets.read("http://inside.example.com/"), "10.0.0.1")
    with pytest.raises(InvalidArgument, match="plain http"):
        targets.admit(targets.read("http://example.com/"), "8.8.8.8")
    with pytest.raises(InvalidArgument, match="https://"):
        Targets(["10.0.0.0/8"]).read("http://10.0.0.1/")
    with pytest.raises(InvalidArgument, match="https://"):
        Targets(["hooks.internal"], allow_http=True).read("http://example.com/")


@pytest.mark.parametrize("entry", ["10.0.0.1/8", "*.example.com", "https://example.com", "a b", ""])
def test_an_entry_of_the_list_that_means_nothing_is_told(entry):
    with pytest.raises(ConfigError, match=r"is not a network|neither a host nor a network"):
        Targets([entry])
