"""The guard of conftest.py: sockets reach this machine and nothing else."""

import socket

import pytest


def test_a_foreign_address_is_refused_before_a_packet_leaves() -> None:
    with socket.socket() as client, pytest.raises(RuntimeError, match="need no network"):
        client.connect(("192.0.2.1", 80))


def test_a_foreign_name_is_not_looked_up() -> None:
    with pytest.raises(RuntimeError, match=r"need no network"):
        socket.getaddrinfo("example.invalid", 443)


def test_loopback_works() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        server.accept()[0].close()
