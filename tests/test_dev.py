"""`./dev`, the script that sets up, runs and checks."""

import ast
import stat
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
TARGETS = [
    "run", "test", "test-long", "check", "venues", "bench", "docs-audit", "screenshots", "manage",
    "help",
]  # fmt: skip


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "dev"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Load the script as a module, at work in an empty folder."""
    spec = spec_from_loader("dev", SourceFileLoader("dev", str(ROOT / "dev")))
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return module


def test_help_lists_every_target() -> None:
    done = ran("help")

    listed = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert (done.returncode, listed) == (0, TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_each_target_shows_an_example_when_asked_for_help(target: str) -> None:
    done = ran(target, "--help")

    assert done.returncode == 0
    assert f"./dev {target}" in done.stdout


def test_an_unknown_target_is_refused_by_name() -> None:
    done = ran("tset")

    assert done.returncode != 0
    assert "'tset'" in done.stderr


def test_check_refuses_an_argument_that_it_does_not_know() -> None:
    assert ran("check", "--no-test").returncode != 0


def test_python_36_can_read_the_script_and_is_told_what_it_needs() -> None:
    source = (ROOT / "dev").read_text()

    ast.parse(source, feature_version=(3, 6))
    assert source.index("sys.exit") < source.index("\ndef ")


def test_a_step_runs_again_only_when_its_key_changes(dev: ModuleType, tmp_path: Path) -> None:
    add_line = [sys.executable, "-c", "print('x', file=open('ran', 'a'))"]

    for key in ("1", "1", "2", "2"):
        dev.once(tmp_path / "stamp", key, "a step", add_line)

    assert (tmp_path / "ran").read_text() == "x\n" * 2


def test_a_step_that_fails_says_what_it_printed_and_runs_again(
    dev: ModuleType, tmp_path: Path
) -> None:
    broken = [sys.executable, "-c", "raise SystemExit('no route to host')"]

    for _ in range(2):
        with pytest.raises(dev.SetUpError, match="no route to host"):
            dev.once(tmp_path / "stamp", "1", "a step", broken)


def test_a_changed_lock_file_has_another_digest(dev: ModuleType, tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("django==5.2.18")
    before = dev.digest("lock.txt")

    lock.write_text("django==5.2.19")

    assert dev.digest("lock.txt") != before


def test_env_gets_a_fresh_key_that_only_its_owner_reads(dev: ModuleType, tmp_path: Path) -> None:
    example = (ROOT / ".env.example").read_text()
    (tmp_path / ".env.example").write_text(example)

    dev.write_env()

    written = (tmp_path / ".env").read_text()
    key = next(line for line in written.splitlines() if line.startswith("SECRET_KEY="))
    assert len(key) > len("SECRET_KEY=") + 50
    assert written.replace(key, "SECRET_KEY=") == example
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600


def test_env_that_is_there_stays_as_it_is(dev: ModuleType, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SECRET_KEY=mine\n")

    dev.write_env()

    assert (tmp_path / ".env").read_text() == "SECRET_KEY=mine\n"


def test_bench_lists_the_scripts_and_runs_none(
    dev: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bench").mkdir()
    for name in ("write_path.py", "_series.py"):
        (tmp_path / "bench" / name).write_text("raise SystemExit('was run')\n")

    dev.bench([])

    assert capsys.readouterr().out == "write_path\n"


def test_a_whole_run_measures_alone(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def succeed(command: list[str]) -> int:
        commands.append(command)
        return 0

    monkeypatch.setattr(dev, "wait_for", succeed)

    with pytest.raises(SystemExit):
        dev.all_tests()

    most, measured = commands
    assert {"--numprocesses", f"--ignore={dev.MEASURED}"} <= set(most)
    assert ("--numprocesses" in measured, measured[-1]) == (False, dev.MEASURED)


@pytest.mark.parametrize(
    ("statuses", "left"),
    [([0, 0], False), ([1, 0], True), ([0, 1], True), ([2], True), ([-15], True)],
)
def test_a_whole_run_fails_with_any_part_and_ends_when_it_is_stopped(
    statuses: list[int], left: bool, dev: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dev, "wait_for", lambda _: statuses.pop(0))

    with pytest.raises(SystemExit) as leaving:
        dev.all_tests()

    assert (bool(leaving.value.code), statuses) == (left, [])


STOPPED = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: exit(7))
try:
    print("up", flush=True)
    time.sleep(30)
finally:
    open("cleaned", "w").close()
"""
STARTS = """
import runpy, sys
sys.exit(runpy.run_path(sys.argv[1])["wait_for"]([sys.executable, "-c", sys.argv[2]]))
"""


def test_what_is_stopped_may_clean_up(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTS, str(ROOT / "dev"), STOPPED]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        process.terminate()

    assert (process.returncode, (tmp_path / "cleaned").exists()) == (7, True)
