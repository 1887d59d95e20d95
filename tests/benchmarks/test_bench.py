"""The sets that `scripts/bench --scale` makes, and how it reads a run. Timing itself is no test."""

import sys
from pathlib import Path

import pytest

from spotter.images import load_picture
from tests.conftest import ROOT
from tests.helpers.drawing import KINDS, write_folder
from tests.helpers.patience import at_some_pace

sys.path.insert(0, str(ROOT / "benchmarks"))
import bench
import bench_profile
import bench_scale
import bench_start


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.jpg"))}


def test_a_made_set_has_the_size_the_classes_and_no_two_equal_pictures(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", count=4)
    bench_scale.make_set(source, tmp_path / "one", 30)
    made = contents(tmp_path / "one")
    assert len(made) == len(set(made.values())) == 30
    assert {name.split("/")[0] for name in made} == set(KINDS)
    assert all(min(load_picture(content).size) > 30 for content in made.values())
    bench_scale.make_set(source, tmp_path / "two", 30)
    assert contents(tmp_path / "two") == made
    bench_scale.make_set(source, tmp_path / "two", 10, seed=1)
    assert len(set(contents(tmp_path / "two").values())) == 40
    with pytest.raises(SystemExit, match="no picture"):
        bench_scale.make_set(tmp_path / "source" / "disc", tmp_path / "three", 5)


def test_a_run_becomes_a_column(capsys: pytest.CaptureFixture[str]) -> None:
    stages = {"Collect the pictures": 1.0, "Compute the features": 4.0, "Write the files": 1.5, "Publish": 0.5}
    run = bench_scale.Run(400, stages, 12.0, 1500.4)
    bench_scale.print_table(["400"], [run])
    lines = capsys.readouterr().out.splitlines()
    assert "| Features (s) | 4.0 |" in lines
    assert "| Write, gate, publish (s) | 2.0 |" in lines
    assert "| Start and imports (s) | 5.0 |" in lines
    assert "| Peak memory (MB) | 1500 |" in lines


def test_a_start_is_measured_beside_another_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "--start", "models/bears"])
    with pytest.raises(SystemExit):
        bench.main()
    assert "--start needs --baseline" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["bench", "--baseline", "."])
    with pytest.raises(SystemExit):
        bench.main()
    assert "--baseline needs --start or --profile" in capsys.readouterr().err
    photo = load_picture(bench_start._write_photo(tmp_path / "photo.jpg"))
    assert photo.size == (1600, 1200)
    side = bench_start.Side(ROOT, Path("models/bears"), tmp_path)
    assert side.command(7000, "--no-page")[1:] == ["app.py", "--model", "models/bears", "--port", "7000", "--no-page"]


STAGES = """
import subprocess, sys, time
print("Spend it here ...", flush=True)
pace = float(sys.argv[1])
end = time.process_time() + 0.4 * pace
while time.process_time() < end: pass
print("  a line about it ...\\n  done in 0.4 s\\nSpend it elsewhere ...", flush=True)
busy = "import time\\nend = time.process_time() + {}\\nwhile time.process_time() < end: pass\\ntime.sleep({})"
subprocess.run([sys.executable, "-c", busy.format(0.6 * pace, 0.3 * pace)])
print("  done in 1 s", flush=True)
time.sleep(0.3 * pace)
"""


@pytest.mark.slow
def test_where_the_time_goes_is_seen_in_all_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = []

    def check(pace: float) -> None:
        runs.append(run := bench_profile.run_watched([sys.executable, "-c", STAGES, str(pace)], tmp_path))
        assert [stage.title for stage in run.stages] == ["Spend it here", "Spend it elsewhere"]
        here, elsewhere = run.stages
        assert 0.3 * pace <= here.cpu <= here.wall + 0.1 * pace
        # Of a process that ends, the last moment is not seen.
        assert 0.4 * pace <= elsewhere.cpu <= elsewhere.wall - 0.1 * pace
        assert run.wall >= here.wall + elsewhere.wall + 0.3 * pace
        assert run.memory > 5

    at_some_pace(check)
    bench_profile.print_stages("Both", runs[-1])
    table = capsys.readouterr().out.splitlines()
    assert table[1] == "| Both | Seconds | Of the processor | Busy cores |"
    assert [line.split(" | ")[0] for line in table[3:8]] == [
        "| Spend it here",
        "| Spend it elsewhere",
        f"| {bench_profile.REST}",
        "| all",
        "| peak memory (MB)",
    ]
    with pytest.raises(SystemExit, match="no such thing"):
        bench_profile.run_watched([sys.executable, "-c", "raise SystemExit('no such thing')"], tmp_path)
