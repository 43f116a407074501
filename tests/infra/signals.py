"""Whether alerts and workbook ask for what the app tells: metrics, their attributes, decisions, tables."""

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.infra.bicep.values import get
from tests.infra.estate import ROOT, Estate
from tests.test_docs import text

TABLES = {"AppMetrics", "AppTraces", "AppRequests", "AppDependencies"}  # of Application Insights in Log Analytics
CODE = "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "functions").rglob("*.py")))
METRICS = set(re.findall(r'create_\w+\("(refluent\.[a-z.]+)"', CODE))
ATTRIBUTES = set(re.findall(r'"([a-z_]+)": ', CODE))  # those of spans and lines are told behind `refluent.`
DECISIONS = {*re.findall(r"(?m)^class (\w+)", CODE), *re.findall(r'"([A-Z][A-Za-z]+)"', CODE)}


def agreed(estate: Estate) -> Iterator[str]:
    """Every query names only what the app tells and what Application Insights has."""
    for where, query in sorted(set(_queries(estate))):
        yield from (f"{where}: {problem}" for problem in _problems(query))


def explained(estate: Estate) -> Iterator[str]:
    """Each alert has its part of the runbook, and each part its alert."""
    alerts = {
        re.sub(r"^alert-\w{13}-|-\d$", "", str(rule.name))
        for world in estate.worlds.values()
        for kind in ("scheduledQueryRules", "metricAlerts")
        for rule in world.made(f"Microsoft.Insights/{kind}")
    }
    about = section_of(text("docs/runbook.md"), "Alerts")
    parts = set(re.findall(r"(?m)^### ([\w-]+)$", about))
    yield from (f"docs/runbook.md says nothing of the alert {name}" for name in sorted(alerts - parts))
    yield from (f"docs/runbook.md explains {name}, and nothing raises it" for name in sorted(parts - alerts))


def section_of(document: str, heading: str) -> str:
    """From a heading of the second level to the next one, with all below it."""
    return document.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def _problems(query: str) -> Iterator[str]:
    table = re.match(r"\w+", query)
    if table is None or table[0] not in TABLES:
        yield f"there is no table {query[:20]!r}"
    metrics = set(re.findall(r'Name == "([^"]+)"', query))
    attributes = {name.removeprefix("refluent.") for name in re.findall(r'Properties\["([^"]+)"\]', query)}
    said = " ".join(re.findall(r'decision(?:"\]\))? (?:==|in) (\([^)]*\)|"[^"]*")', query))
    decisions = set(re.findall(r'"(\w+)"', said))
    yield from (f"no metric is called {name}" for name in sorted(metrics - METRICS))
    yield from (f"nothing has an attribute {name}" for name in sorted(attributes - ATTRIBUTES))
    yield from (f"no decision is called {name}" for name in sorted(decisions - DECISIONS))


def _queries(estate: Estate) -> Iterator[tuple[str, str]]:
    for world in estate.worlds.values():
        for rule in world.made("Microsoft.Insights/scheduledQueryRules"):
            for one in _each(get(rule.body, "properties.criteria.allOf")):
                yield str(rule.at), str(one["query"])
        for book in world.made("Microsoft.Insights/workbooks"):
            for query in _asked(json.loads(str(get(book.body, "properties.serializedData")))):
                yield str(book.at), query


def _asked(part: Any) -> Iterator[str]:
    for name, value in part.items() if isinstance(part, dict) else ():
        if name == "query":
            yield str(value)
        yield from _asked(value)
    for one in _each(part):
        yield from _asked(one)


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
