"""What fence agents say of themselves, hostile ones too, and options held against it."""

from __future__ import annotations

import pytest

from hamgr.fencing.metadata import parse
from hamgr.fencing.parameters import problems
from hamgr.selfdescription import DEEPEST, LONGEST, MetadataError

XML = """<?xml version="1.0" ?>
<resource-agent name="fence_x" shortdesc="x">
<longdesc>x</longdesc>
<vendor-url>http://www.example.com</vendor-url>
<parameters>
  <parameter name="action" unique="0" required="1"><content type="string" default="reboot"/></parameter>
  <parameter name="ip" unique="0" required="1" obsoletes="ipaddr"><content type="string"/></parameter>
  <parameter name="ipaddr" unique="0" required="1" deprecated="1"><content type="string"/></parameter>
  <parameter name="ipport" unique="0" required="0"><content type="integer" default="623"/></parameter>
  <parameter name="password" unique="0" required="0"><content type="integer"/></parameter>
  <parameter name="lanplus" unique="0" required="0"><content type="boolean" default="0"/></parameter>
  <parameter name="delay" unique="0" required="0"><content type="second" default="0"/></parameter>
  <parameter name="method" unique="0" required="0"><content type="select" default="onoff">
    <option value="onoff"/><option value="cycle"/></content></parameter>
</parameters>
<actions><action name="on" automatic="0"/><action name="off"/><action name="status"/></actions>
</resource-agent>
"""


def found(**options: str) -> list[str]:
    return [f"{name}: {what}: {allowed}" for name, what, allowed in problems(parse(XML), options)]


def test_parameters_and_actions_are_read() -> None:
    metadata = parse(XML)
    assert metadata.name == "fence_x"
    assert metadata.actions == {"on", "off", "status"}
    assert metadata.parameters["method"].values == ("onoff", "cycle")
    assert metadata.parameters["ip"].obsoletes == "ipaddr"


def test_right_options_are_right() -> None:
    assert found(ip="10.0.0.1", ipport="623", lanplus="1", delay="0.5", method="cycle") == []


def test_an_older_name_is_as_good_as_the_new_one() -> None:
    assert found(ipaddr="10.0.0.1") == []


def test_a_required_option_that_is_missing_is_named() -> None:
    assert found() == ["ip: nothing: a value: fence_x requires it"]


def test_a_required_password_may_come_from_a_file() -> None:
    xml = XML.replace('name="password" unique="0" required="0"', 'name="password" unique="0" required="1"')
    assert [name for name, _, _ in problems(parse(xml), {"ip": "x"})] == ["password"]
    assert [name for name, _, _ in problems(parse(xml), {"ip": "x", "password_file": "/p"})] == [
        "password_file",
        "password",
    ]
    xml = xml.replace(
        "</parameters>", '<parameter name="password_file"><content type="string"/></parameter></parameters>'
    )
    assert list(problems(parse(xml), {"ip": "x", "password_file": "/p"})) == []


def test_a_misspelt_option_is_told_what_was_meant() -> None:
    (text,) = found(ip="x", lanpluss="1")
    assert text.startswith("lanpluss: an unknown option: one of ip, ipport, ")
    assert text.endswith('(did you mean "lanplus"?)')
    assert "ipaddr" not in text


def test_an_option_of_pacemaker_itself_is_told_apart() -> None:
    (text,) = found(ip="x", pcmk_host_list="b")
    assert "an option of Pacemaker" in text


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("ipport", "6x", "a whole number"),
        ("ipport", "٣", "a whole number"),
        ("lanplus", "maybe", "true or false"),
        ("delay", "-1", "seconds, such as 5"),
        ("delay", "inf", "seconds, such as 5"),
        ("method", "cycel", 'one of onoff, cycle (did you mean "cycle"?)'),
    ],
)
def test_a_value_of_the_wrong_type_is_shown_with_what_is_allowed(option: str, value: str, allowed: str) -> None:
    assert found(ip="x", **{option: value}) == [f'{option}: "{value}": {allowed}']


def test_a_wrong_secret_is_not_shown() -> None:
    assert found(ip="x", password="hush-hush") == ["password: a value that is not shown: a whole number"]


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        ("", "it prints no metadata"),
        ("Usage: fence_x", "is no XML: line 1"),
        (XML[:400], "is no XML"),
        ("<html><actions><action name='off'/></actions></html>", "no <resource-agent> around it"),
        ("<resource-agent name='x'/>", "names no actions"),
        ("<resource-agent>" + "<a>" * DEEPEST + "</a>" * DEEPEST + "</resource-agent>", "deep"),
        (" " * LONGEST + XML, "longer than 1 MiB"),
        ('<!DOCTYPE x [<!ENTITY a "aaaaaaaa">]><resource-agent>&a;</resource-agent>', "declares entities"),
        ('<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/shadow">]><resource-agent>&a;</resource-agent>', "entities"),
        ('<!DOCTYPE x [<!ENTITY % a SYSTEM "file:///etc/shadow"> %a;]><resource-agent/>', "entities"),
        ("<resource-agent>\0</resource-agent>", "is no XML"),
        ("<resource-agent>\udce4</resource-agent>", "names no actions"),
    ],
)
def test_what_is_no_metadata_is_refused_in_one_line(xml: str, reason: str) -> None:
    with pytest.raises(MetadataError) as caught:
        parse(xml)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
