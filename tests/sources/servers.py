"""Real database servers on 127.0.0.1 that forget: PostgreSQL and MariaDB, as an account they consent to run as."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

PASSWORD = "p@ss/word:1%"  # every letter that a URL has to escape
CERTIFICATE = "certificate.pem"
"""Of a server, in its folder."""
_START_SECONDS = 30
_ACCOUNTS = {"postgresql": ("postgres", "nobody"), "mariadb": ("mysql", "nobody")}


@contextmanager
def run_server(kind: str) -> Iterator[sa.URL]:
    """Start a server; gives the URL of an empty database `shop`. Skips the test where it is not installed."""
    folder = Path(tempfile.mkdtemp(prefix=f"everstay-{kind}-"))
    try:
        account = _account(kind, folder)
        with (_postgresql if kind == "postgresql" else _mariadb)(folder, account) as url:
            _wait_for(url)
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _postgresql(folder: Path, account: str | None) -> Iterator[sa.URL]:
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    secret, data, port = folder / "password", folder / "data", _free_port()
    secret.write_text(PASSWORD)
    _run(
        account, initdb, "-D", data, "-U", "shop", "-A", "scram-sha-256", "--pwfile", secret, "--locale=C", "-E", "UTF8"
    )
    certificate, key = _certificate(folder, account)
    tls = f"-c ssl=on -c ssl_cert_file={certificate} -c ssl_key_file={key}"
    options = f"-c listen_addresses=127.0.0.1 -c fsync=off -p {port} -k {folder} {tls}"
    _run(account, pg_ctl, "-D", data, "-o", options, "-l", folder / "log", "-w", "start")
    try:
        yield sa.URL.create("postgresql", "shop", PASSWORD, "127.0.0.1", port, "postgres")
    finally:
        _run(account, pg_ctl, "-D", data, "-m", "immediate", "stop")


@contextmanager
def _mariadb(folder: Path, account: str | None) -> Iterator[sa.URL]:
    install, daemon = _program("mariadb-install-db"), _program("mariadbd")
    port, script = _free_port(), folder / "accounts.sql"
    script.write_text(f"CREATE USER 'shop'@'%' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON *.* TO 'shop'@'%';\n")
    data = f"--datadir={folder / 'data'}"
    _run(account, install, "--no-defaults", data, "--auth-root-authentication-method=normal", "--skip-test-db")
    where = (
        "--skip-name-resolve",
        "--bind-address=127.0.0.1",
        f"--port={port}",
        f"--socket={folder / 's'}",
        f"--pid-file={folder / 'pid'}",
    )
    certificate, key = _certificate(folder, account)
    tls = [f"--ssl-ca={certificate}", f"--ssl-cert={certificate}", f"--ssl-key={key}"]
    arguments = [daemon, "--no-defaults", data, *where, *tls, f"--init-file={script}"]
    with (folder / "log").open("w") as log, subprocess.Popen(arguments, user=account, stdout=log, stderr=log) as server:
        try:
            yield sa.URL.create("mysql", "shop", PASSWORD, "127.0.0.1", port, "mysql")
        finally:
            server.terminate()


def _certificate(folder: Path, account: str | None) -> tuple[Path, Path]:
    """The server's own certificate, which is its authority too, and its key."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, secret.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(secret, hashes.SHA256())
    )
    certificate, key = folder / CERTIFICATE, folder / "key.pem"
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    key.write_bytes(secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key.chmod(0o600)
    if account is not None:
        shutil.chown(key, account)
    return certificate, key


def run_sql(url: sa.URL, *statements: str) -> None:
    """Execute statements, each in a transaction of its own."""
    driver = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}[url.drivername]
    engine = sa.create_engine(url.set(drivername=driver), poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def _account(kind: str, folder: Path) -> str | None:
    """Who runs it: this account, or when that is root, which servers refuse, one of theirs."""
    if os.geteuid() != 0:
        return None
    existing = {entry.pw_name: entry for entry in pwd.getpwall()}
    name = next(name for name in _ACCOUNTS[kind] if name in existing)
    os.chown(folder, existing[name].pw_uid, existing[name].pw_gid)
    return name


def _program(name: str) -> str:
    places = [
        os.environ.get("PATH", ""),
        "/usr/sbin",
        *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"))[::-1]),
    ]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        pytest.skip(f"{name} is not installed: no database server to test with")
    return found


def _run(account: str | None, *command: object) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        user=account,
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(url: sa.URL) -> None:
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            return run_sql(url, "SELECT 1")
        except sa.exc.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
