"""The command line as a person meets it: a process, its two streams and its exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TREADLE = Path(sys.executable).with_name("treadle")
CONFIG = 'name = "{name}"\n[data]\nsource = "data/*.csv"\ntarget = "y"\ntask = "binary"\n'

# A stand-in for the verb behind `treadle models`: the process around it is the real one.
STAND_IN = """
import os, subprocess, sys, time, warnings, logging
from treadle.flows.champion import history
from treadle.flows.context import events

def run_models(settings, config, at=""):
{body}
    return history.ModelsResult(pipeline=config.name, champion=None, versions=(), history=(), alias="")

history.run_models = run_models
from treadle.flows.cli import main
sys.exit(main())
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "one.toml").write_text(CONFIG.format(name="one"))
    return tmp_path


def environment(**extra: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TREADLE_")}
    return {**kept, **extra}


def treadle(*words: str, cwd: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TREADLE, *words], cwd=cwd, env=environment(**extra), capture_output=True, text=True, check=False
    )


def stand_in(body: str, *words: str, cwd: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    script = STAND_IN.format(body="    " + body.replace("\n", "\n    "))
    return subprocess.run(
        [sys.executable, "-c", script, "models", *words],
        cwd=cwd,
        env=environment(**extra),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "Did you mean 'train'?"),
        (["train", "--bugdet", "20"], "Did you mean --budget?"),
        (["train", "--trials", "none"], "'--trials'"),
        (["train", "--device", "gpu"], "'auto', 'cpu', 'cuda'"),
        (["score", "--output", "a.csv"], "--output needs --input"),
        (["score", "--rescore", "--input", "a.csv", "--output", "b.csv"], "--rescore"),
        (["init", "a.csv"], "--target"),
        (["promote", "1"], "a decision needs a reason"),
        (["models", "-p", "onee"], "did you mean one?"),
    ],
)
def test_bad_usage_is_one_clear_line_with_a_fix(home: Path, words: list[str], said: str) -> None:
    done = treadle(*words, cwd=home)
    lines = done.stderr.splitlines()
    assert done.returncode == 2
    assert done.stdout == ""
    assert [line for line in lines if line.startswith("treadle: ")] == lines[-2:-1]
    assert lines[-1].startswith("  fix: ")
    assert said in lines[-2]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["check", "ingest", "train", "score", "models", "report"])
def test_outside_any_home_a_command_says_what_to_do(tmp_path: Path, command: str) -> None:
    done = treadle(command, cwd=tmp_path)
    assert done.returncode == 2
    assert "treadle init DATA --target COLUMN" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_several_pipelines_need_a_name(home: Path) -> None:
    (home / "pipelines" / "two.toml").write_text(CONFIG.format(name="two"))
    done = treadle("models", cwd=home)
    assert done.returncode == 2
    assert "one, two" in done.stderr
    assert stand_in("pass", "-p", "two", "--json", cwd=home).returncode == 0


def test_a_command_works_from_any_folder_inside_its_home(home: Path) -> None:
    deep = home / "data" / "inbox"
    deep.mkdir(parents=True)
    done = stand_in("print(settings.home)", "--json", cwd=deep)
    assert json.loads(done.stdout)["pipeline"] == "one"
    assert str(home) in (home / ".treadle" / "treadle.log").read_text()


NOISE = """
print("noise"); os.write(1, b"raw noise"); os.write(2, b"raw noise"); subprocess.run(["echo", "child noise"])
warnings.warn("noisy warning"); logging.getLogger("mlflow").warning("logged noise")
logging.getLogger("treadle.orchestrator").info("a notice")
events.emit("ingest", "a.csv", done=0, total=2)
"""


def test_json_is_all_that_stdout_holds_and_noise_goes_to_the_log(home: Path) -> None:
    done = stand_in(NOISE, "--json", cwd=home)
    assert json.loads(done.stdout)["pipeline"] == "one"
    assert "noise" not in done.stderr
    assert "a notice" in done.stderr
    assert "ingest 0/2: a.csv" in done.stderr
    assert (home / ".treadle" / "treadle.log").read_text().count("noise") == 5


def test_human_output_ends_with_the_next_command(home: Path) -> None:
    done = stand_in(NOISE, "-p", "one", cwd=home)
    assert done.stdout.splitlines()[-1] == "next: the first one: treadle train -p one"
    assert "noise" not in done.stdout


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("raise KeyError('x')", 1, "unexpected KeyError"),
        ("raise PermissionError(13, 'denied', '/some/where')", 1, "/some/where: no right"),
        ("raise OSError(28, 'full', '/some/where')", 1, "the disk is full"),
        ("from treadle.tasks.errors import TargetError\nraise TargetError('two\\nlines', 'mend it')", 2, "two lines"),
    ],
)
def test_every_error_is_a_line_and_an_object_under_json(home: Path, body: str, code: int, said: str) -> None:
    done = stand_in(body, "--json", cwd=home)
    shown = json.loads(done.stdout)
    assert done.returncode == code == shown["exit_code"]
    assert said in shown["error"]
    assert set(shown) == {"error", "fix", "exit_code"}
    assert shown["error"] in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(home: Path) -> None:
    done = stand_in("raise KeyError('x')", cwd=home, TREADLE_DEBUG="1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    ("body", "within"),
    [
        ("events.emit('tune', 'working')\ntime.sleep(60)", 3.0),
        # DuckDB makes a RuntimeError of it
        (
            "events.emit('tune', 'working')\ntry: time.sleep(60)\nexcept KeyboardInterrupt: raise RuntimeError('x')",
            3.0,
        ),
        # C code swallows a KeyboardInterrupt now and then
        (
            "events.emit('tune', 'working')\nwhile True:\n    try: time.sleep(60)\n    except KeyboardInterrupt: pass",
            8.0,
        ),
    ],
)
def test_ctrl_c_is_one_line_and_130_soon(home: Path, body: str, within: float) -> None:
    script = STAND_IN.format(body="    " + body.replace("\n", "\n    "))
    process = subprocess.Popen(
        [sys.executable, "-c", script, "models"], cwd=home, env=environment(), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    with process.stderr as stderr:
        assert "working" in stderr.readline()
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        rest = stderr.read()
    assert process.wait() == 130
    assert time.monotonic() - began < within
    assert rest.splitlines() == ["treadle: interrupted; the same command goes on where this one stopped"]


def test_a_broken_pipe_is_no_failure(home: Path) -> None:
    for words in (["--help"], ["doctor", "--help"]):
        process = subprocess.Popen(
            [TREADLE, *words], cwd=home, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.close()
        assert process.communicate()[1] == ""
        assert process.returncode == 0


def test_help_costs_at_most_two_and_a_half_imports_of_typer_and_rich(tmp_path: Path) -> None:
    def seconds(*command: str | Path) -> float:
        best = 60.0
        for _ in range(5):
            began = time.perf_counter()
            subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
            best = min(best, time.perf_counter() - began)
        return best

    imports = seconds(sys.executable, "-c", "import typer, rich")
    assert seconds(TREADLE, "--help") <= 2.5 * imports


def test_help_loads_neither_prefect_nor_mlflow_nor_pydantic(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['treadle', '--help']; from treadle.flows.cli import main; main(); "
        "heavy = {'prefect', 'mlflow', 'pydantic', 'pandas', 'duckdb', 'xgboost', 'rich'} & set(sys.modules); "
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_command_ends_without_a_search_for_cycles(tmp_path: Path) -> None:
    code = (
        "import gc, sys; sys.argv = ['treadle', '--help']; from treadle.flows.cli import main; main(); "
        "sys.exit(0 if gc.get_freeze_count() else 'Python would search every object for cycles')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", [[], ["--help"], ["train", "-h"]])
def test_help_has_examples(tmp_path: Path, words: list[str]) -> None:
    done = treadle(*words, cwd=tmp_path)
    assert done.returncode == 0
    assert "Examples:\n  treadle " in done.stdout


def test_completion_knows_commands_options_and_pipelines(home: Path) -> None:
    def completed(typed: str) -> str:
        count = str(len(typed.split(" ")) - 1)
        return treadle(cwd=home, _TREADLE_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=count).stdout

    assert completed("treadle pro").split() == ["promote"]
    assert completed("treadle train --bu").split() == ["--budget"]
    assert completed("treadle train -p o").split() == ["one"]
