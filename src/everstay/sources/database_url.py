"""The URL of a shop's database, a secret, and what its options mean to the two ways of reading rows."""

import inspect
import os

import pymysql
import sqlalchemy as sa

from everstay.errors import SourceError
from everstay.settings import DATABASE_VARIABLE

_EXAMPLE = "postgresql://user:password@host:5432/shop or mysql://user:password@host:3306/shop"
_DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mysql+pymysql"}
_CONNECT_SECONDS = 10
_POSTGRESQL = "postgresql"
_SHARED = frozenset(
    {"application_name", "channel_binding=disable", "channel_binding=prefer", "channel_binding=require",
     "connect_timeout", "keepalives", "keepalives_idle", "options", "sslmode=disable", "sslmode=prefer",
     "sslmode=require", "target_session_attrs=any", "target_session_attrs=read-write", "tcp_user_timeout"}
)  # fmt: skip
"""PostgreSQL's options, or only these values of them, that ConnectorX understands as the driver does."""
_NEEDLESS = {
    _POSTGRESQL: frozenset(
        {"client_encoding", "fallback_application_name", "gssencmode=disable", "gssencmode=prefer", "keepalives_count",
         "keepalives_interval"}
    ),
    "mysql": frozenset(
        {"binary_prefix", "charset", "connect_timeout", "local_infile", "program_name", "read_timeout", "ssl_disabled",
         "use_unicode", "write_timeout"}
    ),
}  # fmt: skip
"""Options that ConnectorX refuses, but without which it reads the same rows from the same place."""
_OF_SQLALCHEMY = {"ssl_capath", "ssl_cipher", "ssl_check_hostname"}
_NOT_TEXT = {"self", "conv", "cursorclass", "ssl", "auth_plugin_map", "defer_connect"}


def database_url() -> sa.URL:
    """The URL in the environment.

    Raises:
        SourceError: there is none, or it names an unknown kind of database or an unknown option.
    """
    text = os.environ.get(DATABASE_VARIABLE)
    if not text:
        raise SourceError(f"the environment variable {DATABASE_VARIABLE} is not set: set it to a URL like {_EXAMPLE}")
    try:
        url = sa.make_url(text)
        backend = url.get_backend_name()
    except (sa.exc.ArgumentError, ValueError):
        raise SourceError(f"{DATABASE_VARIABLE} is not a database URL: write one like {_EXAMPLE}") from None
    if backend not in _DRIVERS:
        raise SourceError(f"{DATABASE_VARIABLE} names an unsupported database '{backend}': write {_EXAMPLE}")
    if backend != _POSTGRESQL:  # whose own library says which option it does not know
        known = {*inspect.signature(pymysql.Connection).parameters, *_OF_SQLALCHEMY} - _NOT_TEXT
        if unknown := sorted(set(url.query) - known):
            raise SourceError(
                f"{DATABASE_VARIABLE}: PyMySQL has no option '{unknown[0]}' for a URL; options are such as charset, "
                "connect_timeout, ssl_ca and unix_socket"
            )
    return url


def driver_engine(url: sa.URL) -> sa.Engine:
    """The database by Python's driver, which understands all options; one connection at a time.

    Raises:
        SourceError: an option has a value that is none.
    """
    limit = {} if "connect_timeout" in url.query else {"connect_timeout": _CONNECT_SECONDS}
    driver = url.set(drivername=_DRIVERS[url.get_backend_name()])
    try:
        return sa.create_engine(driver, poolclass=sa.NullPool, connect_args=limit)
    except ValueError as error:
        raise SourceError(f"{DATABASE_VARIABLE}: an option has a wrong value ({error}): correct it") from None


def arrow_url(url: sa.URL) -> str | None:
    """The URL for ConnectorX, which reads into Arrow; None where it would not connect as the options say.

    >>> arrow_url(sa.make_url("mariadb+pymysql://a:b@host/shop?charset=utf8mb4&read_timeout=30"))
    'mysql://a:b@host/shop'
    >>> arrow_url(sa.make_url("mysql://a:b@host/shop?ssl_ca=ca.pem")) is None
    True
    """
    kind = _POSTGRESQL if url.get_backend_name() == _POSTGRESQL else "mysql"
    shared = _SHARED if kind == _POSTGRESQL else frozenset()
    options = {name: {name, f"{name}={value}"} for name, value in url.query.items()}
    needless = [name for name, said in options.items() if said & _NEEDLESS[kind]]
    if any(not said & shared for name, said in options.items() if name not in needless):
        return None
    plain = url.set(drivername=kind).difference_update_query(needless)
    place, mark, query = plain.render_as_string(hide_password=False).partition("?")
    return place + mark + query.replace("+", "%20")  # ConnectorX takes a plus for a plus
