import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_generated_code_is_that_of_the_protos(tmp_path: Path) -> None:
    tasks = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["poe"]["tasks"]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for task in tasks["generate"]["sequence"]:
        command = task["cmd"].replace("proto/gen/python", str(tmp_path)).split()
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
    committed = ROOT / "proto/gen/python"
    generated = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.py*")}
    assert generated
    assert generated == {path: (committed / path).read_bytes() for path in generated}
    assert {path.name for path in generated} == {
        path.name for path in committed.rglob("*_pb2*") if path.suffix != ".pyc"
    }
