"""The text of `hamgr links`."""

from __future__ import annotations

from hamgr.cli.links import _plain, render
from hamgr.v1 import admin_pb2 as pb


def report() -> pb.LinksReport:
    return pb.LinksReport(
        node="a",
        links=[
            pb.OwnLink(link="lan", kind="grpc", up=True, detail="10.0.0.1 port 5411"),
            pb.OwnLink(link="ha", kind="udp", up=True, detail="10.0.1.1 on eth1 port 694", rejected={"replayed": 3}),
        ],
        peers=[
            pb.PeerLink(
                peer="b", link="lan", up=True, heard_ago=0.113, loss=0.0, round_trip=0.00042, jitter=0.0001,
                bytes_in=2_100_000, bytes_out=950, frames_in=9, frames_out=8,
            ),
            pb.PeerLink(peer="b", link="ha", up=True, heard_ago=42.0, loss=0.125, lost=17),
        ],
        lateness=pb.Lateness(count=7, p50=0.0006, p99=0.001, p999=0.002, max=0.25, detail="off", counts=[1, 2]),
    )  # fmt: skip


def words(line: str) -> str:
    """Without the padding of the columns."""
    return " ".join(line.split())


def test_the_first_line_says_that_all_is_well() -> None:
    assert render(report()).splitlines()[0] == "a: every link works"


def test_the_table_has_a_line_for_each_peer_and_link() -> None:
    lines = render(report()).splitlines()
    assert words(lines[2]) == "PEER LINK STATE HEARD LOSS ROUND TRIP JITTER IN OUT"
    assert words(lines[3]) == "b lan up 113 ms ago 0.0 % (0) 0.42 ms 0.10 ms 2.1 MB 950 B"
    assert words(lines[4]) == "b ha up 42 s ago 12.5 % (17) - - 0 B 0 B"
    assert "  ha (udp)  works: 10.0.1.1 on eth1 port 694; dropped: 3 replayed" in lines
    assert "0.60 ms (median)" in lines[-1]
    assert "250 ms (worst of 7)" in lines[-1]


def test_the_first_line_says_what_is_wrong_and_why() -> None:
    found = report()
    found.links[1].up = False
    found.links[1].detail = "eth1 has no carrier"
    found.peers[0].up = found.peers[1].up = False
    found.links[0].authentication_failures = 4
    found.pings.append(pb.PingTarget(name="gateway", weight=5, detail="no answer from 10.0.0.254"))
    first = render(found).splitlines()[0]
    assert first == (
        "a: 4 frames on lan had no valid key; own link ha is down (eth1 has no carrier); lan to b is down;"
        " ping target gateway does not answer"
    )
    assert "  gateway  DOES NOT ANSWER, weight 5: no answer from 10.0.0.254" in render(found)


def test_json_has_numbers_as_numbers_and_none_for_the_unknown() -> None:
    shown = _plain(report())
    assert shown["peers"][0]["bytes_in"] == 2_100_000
    assert shown["peers"][1]["round_trip"] is None
    assert shown["links"][1]["rejected"] == {"replayed": 3}
    assert shown["lateness"]["counts"] == [1, 2]
