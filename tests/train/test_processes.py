"""Work in another process gives what it returns, raises what it raises, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from spotter.errors import ParityError
from spotter.train.processes import meanwhile, run_apart
from tests.conftest import ROOT
from tests.helpers.patience import wait_until

START = "import os, sys\nfrom spotter.train import processes\nprocesses.start_server(loaded=())\n"
# What the other process is asked to do.
WORK = """
import os, signal, time
from spotter.errors import ParityError
def add(first, second): print("not an answer"); return first + second
def fail(sentence): raise ParityError(sentence)
def die(number): os.kill(os.getpid(), number)
def read(path): return open(path).read(), os.environ.get("SETTING"), os.environ.get("WORLD_SIZE")
def rest(path):
    with open(path, "w") as file: file.write(f"{os.getppid()} {os.getpid()}")
    time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "some_work.py").write_text(WORK)
    return tmp_path


def start(folder: Path, code: str) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", START + code], env=environment, stdout=pipe, stderr=pipe, text=True, cwd=folder
    )


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_a_relative_path_and_a_setting_mean_what_they_mean_when_the_work_is_asked_for(folder: Path) -> None:
    (folder / "later").mkdir()
    (folder / "later" / "note.txt").write_text("found")
    code = """
os.environ["WORLD_SIZE"] = "2"
processes.run_apart("os", "getpid")
os.chdir("later"); os.environ["SETTING"] = "new"; del os.environ["WORLD_SIZE"]
print(processes.run_apart("some_work", "read", "note.txt"))
"""
    said, errors = start(folder, code).communicate(timeout=600)
    assert (said.strip(), errors) == ("('found', 'new', None)", "")


@pytest.mark.slow
def test_answers_and_failures_arrive_as_they_are_and_the_next_work_is_done_all_the_same(folder: Path) -> None:
    tried = """
for work in (("add", 1, 2), ("fail", "a sentence"), ("die", 9), ("missing",), ("add", [1], [2])):
    try:
        print(processes.run_apart("some_work", *work))
    except Exception as error:
        print(type(error).__name__, error)
print(processes.in_background(processes.run_apart, "os", "getpid").result() != os.getpid(), "torch" in sys.modules)
try:
    processes.in_background(processes.run_apart, "some_work", "fail", "later").result()
except processes.TrainingFailed:
    print("another error")
except Exception as error:
    print(type(error).__name__, error)
"""
    out, err = start(folder, tried).communicate(timeout=600)
    lines = out.splitlines()
    assert lines[:2] == ["3", "ParityError a sentence"], err
    assert lines[2].startswith("TrainingFailed The process that makes the export and the plots ended")
    assert "SIGKILL" in lines[2]
    assert lines[3].startswith("AttributeError ")
    assert lines[4:] == ["[1, 2]", "True False", "ParityError later"]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_runs_on_when_the_process_that_asked_is_gone(folder: Path, how: signal.Signals) -> None:
    asking = start(folder, "processes.in_background(processes.run_apart, 'some_work', 'rest', 'who').result()")
    wait_until(lambda: (folder / "who").exists() and (folder / "who").read_text())
    helpers = [int(word) for word in (folder / "who").read_text().split()]
    assert all(map(is_running, helpers))
    # Ctrl-C reaches all of them.
    for process in [asking.pid, *helpers] if how == signal.SIGINT else [asking.pid]:
        os.kill(process, how)
    err = asking.communicate(timeout=600)[1]
    wait_until(lambda: not any(map(is_running, helpers)))
    # Of a Ctrl-C the process that asked may say something, and nobody else.
    assert err.count("Traceback") == (how == signal.SIGINT)


@pytest.mark.slow
def test_where_no_server_waits_for_work_it_is_done_here(folder: Path) -> None:
    tried = """
def where():
    return "here" if processes.run_in_fork("os", "getpid") == os.getpid() else "apart"
server = processes.run_apart("os", "getppid")
print(where())
working = processes.in_background(processes.run_apart, "some_work", "rest", "who")
while not os.path.exists("who") or not open("who").read():
    pass
print(where())
processes.drop_work()
working.exception()
print(where())
os.kill(server, 9)
processes._server.wait()
print(where())
"""
    out, err = start(folder, tried).communicate(timeout=600)
    assert out.splitlines() == ["apart", "here", "apart", "here"], err


@pytest.mark.slow
def test_a_server_that_dies_is_told_and_started_again(folder: Path) -> None:
    tried = """
processes.start_server.__defaults__ = ((),)
server = processes.run_apart("os", "getppid")
os.kill(server, 9)
while os.path.exists(f"/proc/{server}") and open(f"/proc/{server}/stat").read().rpartition(")")[2].split()[0] != "Z":
    pass
try:
    print(processes.run_apart("some_work", "add", 1, 2))
except processes.TrainingFailed as error:
    print("SIGKILL" in str(error))
print(processes.run_apart("some_work", "add", 1, 2))
"""
    out, err = start(folder, tried).communicate(timeout=600)
    assert out.splitlines()[-1] == "3", err


@pytest.mark.slow
def test_work_that_is_dropped_has_ended_and_the_server_stays(folder: Path) -> None:
    dropped = """
server = processes.run_apart("os", "getppid")
working = processes.in_background(processes.run_apart, "some_work", "rest", "who")
while not os.path.exists("who") or not open("who").read():
    pass
processes.drop_work()
print(type(working.exception()).__name__, processes.run_apart("os", "getppid") == server)
processes.drop_work()
print(processes.run_apart("some_work", "add", 1, 2), processes.run_apart("os", "getppid") == server)
"""
    out, err = start(folder, dropped).communicate(timeout=600)
    assert out.splitlines() == ["TrainingFailed True", "3 True"], err
    assert not is_running(int((folder / "who").read_text().split()[1]))


@pytest.mark.slow
def test_a_server_that_still_loads_does_not_keep_what_is_dropped_waiting(folder: Path) -> None:
    (folder / "slow_module.py").write_text("import time\nopen('loading', 'w').close()\ntime.sleep(600)\n")
    code = """
processes._server.kill(); processes._server.wait()
processes.start_server(loaded=["slow_module"])
working = processes.in_background(processes.run_apart, "os", "getpid")
while not os.path.exists("loading"):
    pass
processes.drop_work()
print(type(working.exception()).__name__)
"""
    out, err = start(folder, code).communicate(timeout=600)
    assert out.splitlines() == ["TrainingFailed"], err


def test_what_goes_on_meanwhile_has_ended_after_the_block_however_that_ends() -> None:
    told: list[str] = []
    let_go = threading.Event()

    def tell() -> None:
        let_go.wait(240)
        told.append("told")

    def fail(sentence: str) -> None:
        let_go.set()
        raise ParityError(sentence)

    with pytest.raises(ParityError, match="in the block"), meanwhile(tell):
        fail("in the block")
    assert told == ["told"]
    with pytest.raises(ParityError, match="in the background"), meanwhile(fail, "in the background"):
        told.append("the block goes on")
    assert told[-1] == "the block goes on"


@pytest.mark.slow
def test_a_temporary_folder_of_what_it_has_loaded_goes_with_the_server(folder: Path) -> None:
    home, temporary = folder / "file", folder / "temporary"
    home.touch()
    temporary.mkdir()
    # Below a file no folder can be made, and matplotlib makes one elsewhere.
    setting = f"os.environ |= dict(HOME={str(home)!r}, TMPDIR={str(temporary)!r})\n"
    hidden = "for name in ('MPLCONFIGDIR', 'XDG_CONFIG_HOME', 'XDG_CACHE_HOME'): os.environ.pop(name, None)\n"
    code = "processes._server.kill(); processes._server.wait()\nprocesses.start_server(loaded=['matplotlib'])\n"
    ask = "print(processes.run_apart('os', 'getppid'), len(os.listdir(os.environ['TMPDIR'])))"
    out, err = start(folder, setting + hidden + code + ask).communicate(timeout=600)
    server, made = map(int, out.split())
    assert made == 1, err
    wait_until(lambda: not is_running(server))
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
def test_a_server_that_still_loads_ends_with_the_process_that_started_it(folder: Path) -> None:
    (folder / "slow_module.py").write_text(
        "import os, time\nopen('who', 'w').write(str(os.getpid()))\ntime.sleep(600)\n"
    )
    code = "from spotter.train import processes\nprocesses.start_server(loaded=['slow_module'])\ninput()"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, cwd=folder) as starting:
        wait_until(lambda: (folder / "who").exists() and (folder / "who").read_text())
        server = int((folder / "who").read_text())
        assert is_running(server)
        starting.kill()
    wait_until(lambda: not is_running(server))


@pytest.mark.slow
def test_torchs_compiler_is_loaded_when_it_is_needed_and_not_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked of the server of this process, which the trainings of other tests use too."""
    (folder / "asked.py").write_text("""
import sys
from torchvision.ops import roi_align
def loaded(): return "fastai.learner" in sys.modules, "torch._dynamo" in sys.modules
def ask():
    mine = sys.modules["torchvision.ops.roi_align"].is_compile_supported("cpu")
    import torch._dynamo.utils
    return mine == torch._dynamo.utils.is_compile_supported("cpu"), torch._dynamo.is_compiling()
""")
    monkeypatch.chdir(folder)
    assert run_apart("asked", "loaded") == (True, False)
    assert run_apart("asked", "ask") == (True, False)
