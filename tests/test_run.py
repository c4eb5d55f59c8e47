"""The script that a newcomer types first, on machines that have nothing yet.

Its programs are stubs that only write down how they were called. That the real ones install what
is needed is proven by whoever runs these tests with ./run test.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOLS = ("cat", "cksum", "dirname", "grep", "mkdir", "sed", "sh")


class Machine:
    """A clone in a folder with a space in its name, and a PATH with little on it."""

    def __init__(self, folder: Path) -> None:
        self.clone = folder / "a clone"
        self.clone.mkdir()
        for name in ("run", "setup.cfg", "pyproject.toml"):
            shutil.copy(ROOT / name, self.clone)
        self.bin = folder / "bin"
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        self._calls = folder / "calls"
        self._calls.touch()

    def stub(self, path: Path, program: str = ":") -> None:
        """A program that writes down its name and arguments, then does ``program``."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\necho "{path.name} $*" >>"{self._calls}"\n{program}\n')
        path.chmod(0o755)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.clone / "run", *arguments],
            cwd="/",
            env={"PATH": str(self.bin)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    def calls(self) -> list[str]:
        """The calls of stubs since the last look."""
        calls = self._calls.read_text().splitlines()
        self._calls.write_text("")
        return calls


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("arguments", [(), ("help",), ("--help",)], ids=["none", "help", "option"])
def test_help(machine: Machine, arguments: tuple[str, ...]) -> None:
    """Alone it tells what there is, and does nothing."""
    ran = machine.run(*arguments)
    assert (ran.returncode, ran.stderr) == (0, "")
    commands = ("demo", "test", "lint", "coverage", "bench")
    assert all(f"./run {command} " in ran.stdout for command in commands)


def test_unknown_command(machine: Machine) -> None:
    """A misspelled command is told so, with status 2."""
    ran = machine.run("tset")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "tset" in ran.stderr


def test_installs_when_the_settings_change(machine: Machine) -> None:
    """The extra is installed once, and again after a change of setup.cfg; options are passed on."""
    machine.stub(machine.clone / ".venv/bin/python")
    look = "python -m pip --version"
    install = "python -m pip install --quiet --disable-pip-version-check -e .[demo]"
    start = "python demo_server.py --port 1"

    ran = machine.run("demo", "--port", "1")
    assert (ran.returncode, machine.calls()) == (0, [look, install, start])
    assert "installing" in ran.stderr
    ran = machine.run("demo", "--port", "1")
    assert (ran.returncode, ran.stderr, machine.calls()) == (0, "", [look, start])
    with (machine.clone / "setup.cfg").open("a") as settings:
        settings.write("# changed\n")
    machine.run("demo", "--port", "1")
    assert machine.calls() == [look, install, start]


def test_failed_installation_is_tried_again(machine: Machine) -> None:
    """What was not installed is not taken for installed."""
    machine.stub(machine.clone / ".venv/bin/python", "case $* in *install*) exit 3 ;; esac")
    for _ in range(2):
        assert machine.run("demo").returncode == 3
        assert "pip install" in machine.calls()[-1]


NO_ENSUREPIP = "case $* in *ensurepip*) exit 1 ;; *version_info*:2*) echo python3.11-venv ;; esac"


def test_missing_package_without_root(machine: Machine) -> None:
    """Whoever is not root is told the one line to type, with status 1."""
    machine.stub(machine.bin / "python3", NO_ENSUREPIP)
    machine.stub(machine.bin / "apt-get")
    machine.stub(machine.bin / "id", "echo 1000")
    ran = machine.run("demo")
    assert ran.returncode == 1
    assert "Type: sudo apt-get install python3.11-venv" in ran.stderr
    assert not any(call.startswith("apt-get") for call in machine.calls())


def test_missing_package_as_root(machine: Machine) -> None:
    """As root it is installed."""
    machine.stub(machine.bin / "python3", NO_ENSUREPIP)
    machine.stub(machine.bin / "apt-get")
    machine.stub(machine.bin / "id", "echo 0")
    machine.run("demo")
    calls = machine.calls()
    assert "apt-get -qq install -y --no-install-recommends python3.11-venv" in calls
    assert "python3 -m venv --clear .venv" in calls


def test_old_python_is_passed_over(machine: Machine) -> None:
    """Where python3 is older than 3.11, the newest of those with a version in their name serves."""
    machine.stub(machine.bin / "python3", "exit 1")
    machine.stub(machine.bin / "python3.12")
    machine.stub(machine.bin / "python3.11")
    machine.run("demo")
    assert "python3.12 -m venv --clear .venv" in machine.calls()


def test_tests_go_on_without_chromium(machine: Machine) -> None:
    """A part that only some tests need does not stop the others."""
    machine.stub(machine.clone / ".venv/bin/python", "case $* in *needs.py*) echo chromium ;; esac")
    (machine.clone / "tests/parts/oidc_provider").mkdir(parents=True)
    (machine.clone / "tests/parts/oidc_provider/package-lock.json").touch()
    ran = machine.run("test", "-k", "bus")
    assert ran.returncode == 0
    assert "tests that need chromium are skipped" in ran.stderr
    assert "tests that need oidc-provider are skipped" in ran.stderr
    assert "tests that need node" not in ran.stderr
    assert machine.calls()[-1] == "python -m pytest -k bus"


@pytest.mark.parametrize(
    ("fails", "status"),
    [
        pytest.param("nothing", 0, id="all_is_well"),
        pytest.param("coverage run", 1, id="a_test_fails"),
        pytest.param("coverage report", 1, id="too_little_is_reached"),
        pytest.param("--fail-under=100", 1, id="a_branch_of_the_protocol_is_not"),
    ],
)
def test_coverage(machine: Machine, fails: str, status: int) -> None:
    """The tests run, the tables are shown in any case, and too little is a failure."""
    machine.stub(machine.clone / ".venv/bin/python", f'case "$*" in *"{fails}"*) exit 2 ;; esac')
    (machine.clone / "tests/parts/oidc_provider").mkdir(parents=True)
    (machine.clone / "tests/parts/oidc_provider/package-lock.json").touch()
    ran = machine.run("coverage", "-k", "bus")
    assert ran.returncode == status
    erase, tests, combine, whole, every_branch = machine.calls()[-5:]
    assert erase == "python -m coverage erase"
    assert tests.startswith("python -m coverage run -m pytest ")
    assert tests.endswith(" -k bus")
    assert combine.startswith("python -m coverage combine")
    assert whole == "python -m coverage report"
    assert "clefstorm/protocol/*,clefstorm/sessions/*" in every_branch
