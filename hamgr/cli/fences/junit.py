"""What `fence-test` found, as JUnit XML: a test suite for each node that tried, a test case for each check."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from xml.etree import ElementTree

from hamgr.fencing.trial import Finding, Trial, Verdict

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 can't hold, and a device may say."""


def junit_xml(trials: Sequence[Trial], now: datetime) -> str:
    root = ElementTree.Element("testsuites", _counts([f for trial in trials for f in trial.findings], "fence-test"))
    for number, tester in enumerate(dict.fromkeys(trial.tester for trial in trials)):
        mine = [trial for trial in trials if trial.tester == tester]
        found = [finding for trial in mine for finding in trial.findings]
        suite = ElementTree.SubElement(root, "testsuite", _counts(found, f"from {tester}"))
        suite.attrib |= {
            "id": str(number),
            "hostname": tester,
            "timestamp": now.replace(tzinfo=None).isoformat("T", "seconds"),
        }
        suite.set("skipped", str(sum(1 for f in found if f.verdict is Verdict.SKIPPED)))
        for trial in mine:
            for finding in trial.findings:
                _case(suite, trial, finding)
    ElementTree.indent(root)
    return ElementTree.tostring(root, "unicode", xml_declaration=True) + "\n"


def _counts(found: Sequence[Finding], name: str) -> dict[str, str]:
    failures = sum(1 for finding in found if finding.verdict is Verdict.FAILED)
    seconds = sum(finding.seconds for finding in found)
    return {"name": name, "tests": str(len(found)), "failures": str(failures), "errors": "0", "time": f"{seconds:.3f}"}


def _case(suite: ElementTree.Element, trial: Trial, finding: Finding) -> None:
    names = {"classname": f"{trial.victim}.{trial.device}", "name": finding.check, "time": f"{finding.seconds:.3f}"}
    case = ElementTree.SubElement(suite, "testcase", names)
    text = _NO_XML.sub("?", finding.text)
    match finding.verdict:
        case Verdict.FAILED:
            ElementTree.SubElement(case, "failure", {"message": text, "type": finding.check}).text = text
        case Verdict.SKIPPED:
            ElementTree.SubElement(case, "skipped", {"message": text})
        case _ if text:
            ElementTree.SubElement(case, "system-out").text = text
