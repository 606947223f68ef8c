"""The peers' own environments: what a benchmark compares with is not a dependency of the product."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
_OURS = "peers"  # peers that work with our versions of what they need


def run_peer(script: str, *arguments: str, environment: str = _OURS) -> None:
    """Run `benchmarks/peer_scripts/<script>` in a peers' environment."""
    subprocess.run(peer_command(script, *arguments, environment=environment), check=True)


def peer_command(script: str, *arguments: str, environment: str = _OURS) -> list[str]:
    """The command that runs a peer's script, without the thread wait policy that `everstay` sets.

    Args:
        script: in `benchmarks/peer_scripts`.
        arguments: of the script.
        environment: `benchmarks/<environment>.txt` lists its packages; it is made in `benchmarks/.<environment>` when
            needed. `peers` has our versions of all else, others have those that the peers ask for.
    """
    folder, wanted = HERE / f".{environment}", (HERE / f"{environment}.txt").read_text()
    python, stamp = folder / "bin" / "python", folder / "packages.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "-r", str(HERE / f"{environment}.txt")]
        constraints = ["-c", str(HERE.parent / "constraints.txt")] if environment == _OURS else []
        subprocess.run([*install, *constraints], check=True)
        stamp.write_text(wanted)
    return ["env", "--unset=OMP_WAIT_POLICY", str(python), str(HERE / "peer_scripts" / script), *arguments]
