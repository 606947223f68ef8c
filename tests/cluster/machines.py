"""A Dask cluster and an object store as processes of their own, on one address or in network namespaces."""

import ipaddress
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError

ROOT = Path(__file__).parents[2]
BUCKET = "shop"

# Whoever is killed leaves its network behind, and two may run at once: names and addresses are of this process.
NAME = f"shop{os.getpid()}"  # a link's has 15 characters at most
_NETWORKS = list(ipaddress.ip_network("198.18.0.0/15").subnets(new_prefix=29))  # for tests: RFC 2544, section C.2.2
NETWORK = [str(address) for address in _NETWORKS[os.getpid() % len(_NETWORKS)].hosts()]  # this machine's comes first

_START_SECONDS = 60


@contextmanager
def object_store(host: str = "127.0.0.1") -> Iterator[dict[str, str]]:
    """Run an S3 server with one empty bucket; gives the variables by which everybody finds it."""
    port = free_port(host)
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }
    with _process([sys.executable, "-m", "moto.server", "-H", host, "-p", str(port)], {}):
        client = boto3.client(
            "s3",
            endpoint_url=variables["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        _until(lambda: _has_bucket(client), "the object store")
        yield variables


@contextmanager
def dask_cluster(variables: dict[str, str], namespaces: Sequence[str] = ("", "")) -> Iterator[str]:
    """Run a scheduler and one worker a namespace ("" is this one); gives the scheduler's address."""
    host = NETWORK[0] if any(namespaces) else "127.0.0.1"
    port = free_port(host)
    scheduler = [*_dask("scheduler"), "--host", host, "--port", str(port), "--no-dashboard"]
    with ExitStack() as stack:
        stack.enter_context(_process(scheduler, variables))
        for number, namespace in enumerate(namespaces):
            own = NETWORK[number + 1] if namespace else host
            inside = ["ip", "netns", "exec", namespace] if namespace else []
            worker = [*_dask("worker"), f"tcp://{host}:{port}", "--host", own, "--nthreads", "1", "--no-dashboard"]
            stack.enter_context(_process([*inside, *worker], {**variables, "POLARS_MAX_THREADS": "1"}))
        yield f"tcp://{host}:{port}"


@contextmanager
def network_namespaces(count: int) -> Iterator[list[str]]:
    """Make namespaces with an address of their own, joined by a bridge that this machine is on, too."""
    own = os.getpid()
    _remove_networks(lambda owner: owner == own or not _is_alive(owner))
    names = [f"{NAME}-{number}" for number in range(count)]
    with ExitStack() as stack:
        stack.callback(_remove_networks, lambda owner: owner == own)
        _ip("link", "add", NAME, "type", "bridge")
        _ip("addr", "add", f"{NETWORK[0]}/29", "dev", NAME)
        _ip("link", "set", NAME, "up")
        for number, name in enumerate(names):
            _ip("netns", "add", name)
            outside, inside = f"{NAME}o{number}", f"{NAME}i{number}"
            _ip("link", "add", outside, "type", "veth", "peer", "name", inside)
            _ip("link", "set", outside, "master", NAME, "up")
            _ip("link", "set", inside, "netns", name)
            _ip("-n", name, "addr", "add", f"{NETWORK[number + 1]}/29", "dev", inside)
            _ip("-n", name, "link", "set", inside, "up")
            _ip("-n", name, "link", "set", "lo", "up")
        yield names


def can_make_namespaces() -> bool:
    """Whether this account may: root, with iproute2, on a kernel that allows it."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"everstay-try-{os.getpid()}"  # test processes try at once
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode == 0
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return made


def free_port(host: str) -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _process(command: list[str], variables: dict[str, str]) -> Iterator[None]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables}, start_new_session=True, **quiet)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _has_bucket(client) -> bool:
    try:
        client.create_bucket(Bucket=BUCKET)
    except BotoCoreError:
        return False
    return True


def _until(is_ready, what: str) -> None:
    end = time.monotonic() + _START_SECONDS
    while not is_ready():
        assert time.monotonic() < end, f"{what} did not start within {_START_SECONDS} seconds"
        time.sleep(0.2)


def _dask(command: str) -> list[str]:
    return [sys.executable, "-m", "dask", command]


def _remove_networks(is_meant: Callable[[int], bool]) -> None:
    """Remove links and namespaces of these processes; others may do so for the same dead process at the same time.

    Links are the first to go: those of a namespace that is gone are removed by the kernel, at some later moment.
    """
    for kind, pattern in (("link", r"^\d+: (shop(\d+)(?:o\d)?)[@:]"), ("netns", r"^(shop(\d+)-\d)\b")):
        for name, owner in re.findall(pattern, _ip(kind, "show"), re.MULTILINE):
            if is_meant(int(owner)):
                subprocess.run(["ip", kind, "del", name], check=False, capture_output=True)


def _is_alive(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


def _ip(*words: str) -> str:
    try:
        return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout
    except subprocess.CalledProcessError as error:
        raise AssertionError(f"ip {' '.join(words)}: {error.stderr}") from error
