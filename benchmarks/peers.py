"""The peers' own environment: what a benchmark compares with is no dependency of the product."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
_FOLDER = HERE / ".peers"


def run_peer(script: str, *arguments: str) -> None:
    """Run `benchmarks/peer_scripts/<script>` in the peers' environment."""
    subprocess.run(peer_command(script, *arguments), check=True)


def peer_command(script: str, *arguments: str) -> list[str]:
    """The command that runs a peer's script in their environment, which is made from `peers.txt` when needed."""
    python = _FOLDER / "bin" / "python"
    stamp, wanted = _FOLDER / "peers.txt", (HERE / "peers.txt").read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(_FOLDER)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "-r", str(HERE / "peers.txt")]
        subprocess.run([*install, "-c", str(HERE.parent / "constraints.txt")], check=True)
        stamp.write_text(wanted)
    return [str(python), str(HERE / "peer_scripts" / script), *arguments]
