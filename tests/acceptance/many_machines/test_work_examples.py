"""The examples that place senders: each starts ``work`` again after the same exit codes."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from bulk_unenroll.cli.app import cli
from bulk_unenroll.exits import START_AGAIN, ExitCode
from bulk_unenroll.settings import SendSettings
from tests.kit.command import REPO
from tests.kit.supervisor import Supervisor
from tests.kit.tiers import thorough

EXAMPLES = REPO / "jobs" / "schedulers"
UNIT = EXAMPLES / "bulk-unenroll-work@.service"
KUBERNETES = EXAMPLES / "work-job.yaml"
FOR_GOOD = sorted(set(ExitCode) - START_AGAIN - {ExitCode.FINISHED})
"""The codes after which a sender is not started again; after 0 the work is done."""


def is_known(words: list[str]) -> bool:
    """Whether the program has the command, and all of these options."""
    command = cli.commands[words[0]]
    given = {word for word in words[1:] if word.startswith("--")}
    return given <= set(chain.from_iterable(param.opts for param in command.params))


def wait_s() -> float:
    """How long a clean stop may take."""
    return SendSettings().read_timeout_s + SendSettings().connect_timeout_s


# ── the stand-in for all of them ─────────────────────────────────────────────────────────────────


def exits_with(codes: list[int]) -> Callable[[], subprocess.Popen[bytes]]:
    """Starts one process after the other, each of which ends with the next of ``codes``."""
    following = iter(codes)

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(["sh", "-c", f"exit {int(next(following))}"])

    return start


@pytest.mark.parametrize("code", [ExitCode.SIGTERM, *thorough(*sorted(ExitCode))])
def test_a_supervisor_starts_again_after_two_codes_alone(code: ExitCode) -> None:
    again = code in (75, 143)
    with Supervisor(exits_with([code, code, 0]), 1) as supervisor:
        supervisor.wait(10)
    assert supervisor.codes == ([code, code, 0] if again else [code])


# ── systemd ──────────────────────────────────────────────────────────────────────────────────────


def setting(name: str) -> str:
    (value,) = re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)
    return str(value)


def test_systemd_starts_a_sender_again_by_the_same_rule() -> None:
    assert setting("Restart") == "on-failure"  # any code but 0, and signals
    assert list(map(int, setting("RestartPreventExitStatus").split())) == FOR_GOOD
    # 143 is how `systemctl stop` ends it: no failure
    assert setting("SuccessExitStatus") == setting("RestartForceExitStatus") == "143"
    assert setting("StartLimitIntervalSec") == "0", "a long outage of the database ends nothing"
    assert int(setting("TimeoutStopSec")) > wait_s()
    words = shlex.split(setting("ExecStart"))[1:]
    assert words[:3] == ["work", "--job", "%i"]
    assert is_known(words)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_accepts_the_unit_for_a_job(tmp_path: Path) -> None:
    program = shlex.split(setting("ExecStart"))[0]
    unit = tmp_path / UNIT.name.replace("@", "@cleanup-june")
    unit.write_text(UNIT.read_text().replace(program, sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if "bulk-unenroll" in line]
    assert (done.returncode, said) == (0, [])


# ── Kubernetes ───────────────────────────────────────────────────────────────────────────────────


def job() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(KUBERNETES.read_text())
    return found


def pod_of(job: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = job["spec"]["template"]["spec"]
    return pod


def container_of(job: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod_of(job)["containers"]
    assert isinstance(container, dict)
    return container


def codes_of(job: dict[str, Any], action: str) -> list[int]:
    """The exit codes of the container after which a job does ``action``."""
    name = container_of(job)["name"]
    rules = [rule for rule in job["spec"]["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    found = [rule["onExitCodes"] for rule in rules if rule["action"] == action]
    assert all(codes["containerName"] == name and codes["operator"] == "In" for codes in found)
    return list(chain.from_iterable(codes["values"] for codes in found))


def faults_of_senders(job: dict[str, Any]) -> set[str]:
    """What would lose senders, or start them when they must not be."""
    spec, pod = job["spec"], pod_of(job)
    rules = spec["podFailurePolicy"]["rules"]
    drained = [rule["action"] for rule in rules if "onPodConditions" in rule]
    checks = {
        "fewer than 2 senders": spec["parallelism"] < 2,
        "a number of completions": "completions" in spec,
        "a deadline": "activeDeadlineSeconds" in spec,
        "started again after other codes": codes_of(job, "FailJob") != FOR_GOOD,
        "a fence counts as a failure": codes_of(job, "Ignore") != sorted(START_AGAIN),
        "a drained node counts as a failure": drained != ["Ignore"],
        "replaced too early": spec.get("podReplacementPolicy", "Failed") != "Failed",
        "restarted within the pod": pod["restartPolicy"] != "Never",
        "killed in a clean stop": pod["terminationGracePeriodSeconds"] <= wait_s(),
        "held up by a limit": "cpu" in container_of(job)["resources"].get("limits", {}),
    }
    return {name for name, is_wrong in checks.items() if is_wrong}


def faults_of_safety(job: dict[str, Any]) -> set[str]:
    """What would let a secret or a right out."""
    pod, container = pod_of(job), container_of(job)
    may, of_pod = container["securityContext"], pod["securityContext"]
    mounted = {mount["name"]: mount for mount in container["volumeMounts"]}
    checks = {
        "root": not (of_pod.get("runAsNonRoot") and of_pod.get("runAsUser", 0) > 0),
        "a writable root": not may.get("readOnlyRootFilesystem"),
        "more rights": may.get("allowPrivilegeEscalation") is not False,
        "capabilities": may.get("capabilities") != {"drop": ["ALL"]},
        "a token": pod.get("automountServiceAccountToken") is not False,
        "a secret in the open": any(
            not one["name"].endswith("_FILE") or not one["value"].startswith("/secrets/")
            for one in container["env"]
        ),
        "secrets of another kind": not any(
            "secret" in one and mounted[one["name"]]["mountPath"] == "/secrets"
            for one in pod["volumes"]
        ),
        "no place to write": not any(
            "emptyDir" in one and mounted[one["name"]]["mountPath"] == container["workingDir"]
            for one in pod["volumes"]
        ),
    }
    return {name for name, is_wrong in checks.items() if is_wrong}


def faults(job: dict[str, Any]) -> set[str]:
    return faults_of_senders(job) | faults_of_safety(job)


def broken(path: str, value: object) -> dict[str, Any]:
    """The job with another value at ``a/b/0/c``."""
    found = job()
    place: Any = found
    *folders, last = [int(name) if name.isdigit() else name for name in path.split("/")]
    for name in folders:
        place = place[name]
    place[last] = value
    return found


POD = "spec/template/spec"
RULES = "spec/podFailurePolicy/rules"
BREAKS = {
    "fewer than 2 senders": ("spec/parallelism", 1),
    "a number of completions": ("spec/completions", 3),
    "a deadline": ("spec/activeDeadlineSeconds", 3600),
    "started again after other codes": (f"{RULES}/0/onExitCodes/values", [65, 66]),
    "a fence counts as a failure": (f"{RULES}/1/onExitCodes/values", [143]),
    "a drained node counts as a failure": (f"{RULES}/2/action", "Count"),
    "replaced too early": ("spec/podReplacementPolicy", "TerminatingOrFailed"),
    "restarted within the pod": (f"{POD}/restartPolicy", "OnFailure"),
    "killed in a clean stop": (f"{POD}/terminationGracePeriodSeconds", 60),
    "held up by a limit": (f"{POD}/containers/0/resources/limits/cpu", "1"),
    "root": (f"{POD}/securityContext/runAsUser", 0),
    "a writable root": (f"{POD}/containers/0/securityContext/readOnlyRootFilesystem", False),
    "more rights": (f"{POD}/containers/0/securityContext/allowPrivilegeEscalation", True),
    "capabilities": (f"{POD}/containers/0/securityContext/capabilities", {}),
    "a token": (f"{POD}/automountServiceAccountToken", True),
    "a secret in the open": (f"{POD}/containers/0/env/1/value", "key-4417"),
    "secrets of another kind": (f"{POD}/volumes/2", {"name": "secrets", "configMap": {}}),
    "no place to write": (f"{POD}/containers/0/workingDir", "/"),
}


def test_the_job_of_kubernetes_keeps_the_contract() -> None:
    assert faults(job()) == set()
    assert is_known(container_of(job())["args"])
    mounted = {mount["name"] for mount in container_of(job())["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod_of(job())["volumes"]}


@pytest.mark.parametrize("fault", BREAKS)
def test_a_job_that_breaks_it_is_noticed(fault: str) -> None:
    """The control."""
    assert faults(broken(*BREAKS[fault])) == {fault}


@pytest.mark.thorough
@pytest.mark.skipif(
    not shutil.which("kubernetes-validate"), reason="kubernetes-validate is not installed"
)
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_kubernetes_knows_every_key(path: Path, tmp_path: Path) -> None:
    def judged(text: str) -> int:
        copy = tmp_path / path.name
        copy.write_text(text)
        command = ["kubernetes-validate", "--strict", str(copy)]
        return subprocess.run(command, check=False).returncode

    assert judged(path.read_text()) == 0
    misspelt = path.read_text().replace("podFailurePolicy:", "podFailurePolicies:")
    assert judged(misspelt) != 0
