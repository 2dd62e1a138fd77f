"""What agents print about themselves: good, old, new, broken and hostile."""

from __future__ import annotations

import pytest

from hamgr.resources.ocf_metadata import Action, parse, seconds
from hamgr.selfdescription import MetadataError

WHOLE = b"""<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
<resource-agent name="web" version="1.0">
<version>1.1</version>
<longdesc lang="en">A <![CDATA[<web>]]> server &amp; more</longdesc>
<parameters>
<parameter name="port" unique="1" required="1"><content type="integer" default="80"/></parameter>
<parameter name="ip" unique-group="address"><content type="string"/></parameter>
<parameter name="mode"><content type="select" default="fast"><option value="fast"/><option value="safe"/></content>
</parameter>
<parameter name="speed"><deprecated><replaced-with name="mode"/></deprecated><content type="string"/></parameter>
</parameters>
<actions>
<action name="start" timeout="1min"/>
<action name="stop" timeout="20"/>
<action name="monitor" timeout="20s" interval="10s" depth="0"/>
<action name="monitor" timeout="45s" interval="30s" depth="20"/>
<action name="monitor" timeout="21s" interval="11s" role="Promoted"/>
</actions>
</resource-agent>
"""


def test_parameters_are_read_with_all_that_is_said_of_them() -> None:
    found = parse(WHOLE).parameters
    assert list(found) == ["port", "ip", "mode", "speed"]
    assert (found["port"].type, found["port"].default, found["port"].required) == ("integer", "80", True)
    assert (found["port"].unique, found["ip"].unique, found["mode"].unique) == ("port", "address", "")
    assert found["ip"].default is None
    assert (found["mode"].type, found["mode"].values) == ("select", ("fast", "safe"))
    assert (found["speed"].deprecated, found["speed"].instead) == (True, ("mode",))


def test_actions_are_read_with_their_advice() -> None:
    told = parse(WHOLE)
    assert (told.timeout("start"), told.timeout("stop"), told.timeout("promote")) == (60, 20, None)
    assert told.monitor() == Action("monitor", 20, 10)
    assert told.monitor(20) == Action("monitor", 45, 30, 20)
    assert told.monitor(10) == Action("monitor", 20, 10)
    assert told.monitor(promoted=True) == Action("monitor", 21, 11, 0, "Promoted")
    assert told.offers("stop")
    assert not told.offers("notify")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("20", 20), ("20s", 20), ("1m", 60), ("2min", 120), ("1h", 3600), ("500ms", 0.5), (" 5 s ", 5), ("1.5s", 1.5)],
)
def test_times_are_read_as_pacemaker_reads_them(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "-1s", "1 fortnight", "1" * 30, None])
def test_what_is_no_time_is_no_advice(text: str | None) -> None:
    assert seconds(text) is None


BOMB = b"""<?xml version="1.0"?>
<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<resource-agent name="&b;"/>"""


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (b"", "it prints no meta-data"),
        (b"usage: agent start|stop", "its meta-data is no XML: line 1: syntax error"),
        (WHOLE[:90], "its meta-data is no XML: line 3: unclosed token"),
        (b"<resource-agent>\xff</resource-agent>", "its meta-data is no XML: line 1: not well-formed (invalid token)"),
        (b"<html/>", "its meta-data has no <resource-agent> around it"),
        (BOMB, "its meta-data declares entities, which are not allowed"),
        (b"<resource-agent>" + b"<a>" * 10000, "its meta-data has elements more than 32 deep"),
        (b" " * (1 << 21), "its meta-data is longer than 1 MiB"),
        (b"<?xml version='1.0' encoding='klingon'?><x/>", "its meta-data can't be read: unknown encoding: klingon"),
    ],
)
def test_what_can_not_be_used_is_one_clear_line(xml: bytes, message: str) -> None:
    with pytest.raises(MetadataError) as error:
        parse(xml)
    assert str(error.value) == message
