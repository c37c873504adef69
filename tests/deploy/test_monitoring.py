"""Prometheus' configuration and Grafana's dashboard: promtool's checks, and their references.

``tests/end_to_end/test_deploy.py`` checks that vLLM has the dashboard's metrics.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import yaml

from tests.support.deploy_files import DASHBOARD, DEPLOY, expressions, services
from tests.support.deploy_tools import tool

PROMETHEUS = DEPLOY / "monitoring" / "prometheus.yml"
PROVISIONING = DEPLOY / "monitoring" / "grafana" / "provisioning"


def promtool(*words: str) -> None:
    done = subprocess.run([tool("promtool"), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_accepts_its_configuration() -> None:
    promtool("check", "config", str(PROMETHEUS))


def test_prometheus_scrapes_every_engine() -> None:
    [job] = yaml.safe_load(PROMETHEUS.read_text())["scrape_configs"]
    [target] = job["static_configs"]
    [engines] = {
        f"{service['networks']['default']['aliases'][0]}:8000"
        for service in services().values()
        if "networks" in service
    }
    assert target["targets"] == [engines]


def test_the_dashboards_expressions_are_promql(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression}
        for number, expression in enumerate(expressions())
    ]
    assert len(rules) > 10
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(file))


def test_grafana_finds_the_dashboard_and_its_data_source() -> None:
    [source] = yaml.safe_load((PROVISIONING / "datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
    [provider] = yaml.safe_load((PROVISIONING / "dashboards/dashboards.yml").read_text())[
        "providers"
    ]
    grafana = services()["grafana"]
    mounts = dict(mount.split(":")[:2] for mount in grafana["volumes"])
    assert mounts["./deploy/monitoring/grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./deploy/monitoring/grafana/provisioning"] == "/etc/grafana/provisioning"
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/{DASHBOARD.name}"
    dashboard = json.loads(DASHBOARD.read_text())
    asked = [dashboard["templating"]["list"][0], *dashboard["panels"]]
    assert {each["datasource"]["uid"] for each in asked} == {source["uid"]}
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
