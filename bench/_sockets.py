"""Many WebSocket clients in one process that cost little: raw sockets and one poll."""

import base64
import os
import select
import socket
import struct
import time

# How a ping begins; what is sent here besides is JSON of ASCII, in which this cannot occur.
PING = b"\x89\x04"


class Sockets:
    """Open WebSockets to one server, by number; frames are counted where they hold a mark."""

    def __init__(self, port: int, path: str) -> None:
        self.port, self.path = port, path
        self.poll = select.epoll()
        self.by_fd: dict[int, socket.socket] = {}

    def open(self, count: int, *hello: bytes, small: bool = False) -> list[int]:
        """Open so many more, say hello on each, and return their numbers."""
        opened = []
        for _ in range(count):
            one = socket.socket()
            if small:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.connect(("127.0.0.1", self.port))
            key = base64.b64encode(os.urandom(16)).decode()
            one.sendall(
                f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
                "Sec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            opened.append(one)
        for one in opened:
            head = b""
            while b"\r\n\r\n" not in head:
                head += one.recv(1)
            if b" 101 " not in head.split(b"\r\n", 1)[0]:
                raise RuntimeError(head.decode(errors="replace"))
            for text in hello:
                one.sendall(framed(text))
            one.setblocking(False)
            self.by_fd[one.fileno()] = one
            self.poll.register(one.fileno(), select.EPOLLIN)
        return [one.fileno() for one in opened]

    def say(self, text: bytes) -> None:
        """Say the same on every socket."""
        for one in self.by_fd.values():
            one.sendall(framed(text))

    def hear(self, mark: bytes, count: int, seconds: float) -> list[float]:
        """Return when each of so many sockets first got the mark, on a clock of all processes."""
        times: dict[int, float] = {}
        held: dict[int, bytes] = {}
        deadline = time.monotonic() + seconds
        while len(times) < count and time.monotonic() < deadline:
            for fd, _ in self.poll.poll(0.05):
                received = self.by_fd[fd].recv(1 << 20)
                if not received:
                    raise RuntimeError("the server closed a socket")
                data = held.get(fd, b"") + received
                if PING in received:
                    payload = received.split(PING, 1)[1][:4]
                    self.by_fd[fd].sendall(b"\x8a\x84\0\0\0\0" + payload)
                if mark in data:
                    times.setdefault(fd, time.monotonic())
                held[fd] = data[-200:]
        return list(times.values())

    def close(self) -> None:
        """Hang up on all of them."""
        for fd, one in self.by_fd.items():
            self.poll.unregister(fd)
            one.close()
        self.by_fd.clear()

    def mute(self, fd: int) -> None:
        """Never read a socket again; it stays open."""
        self.poll.unregister(fd)


def framed(text: bytes) -> bytes:
    """Return a masked text frame; the mask is zero."""
    size = len(text)
    head = struct.pack("!BB", 0x81, 0x80 | size) if size < 126 else b""
    if not head:
        head = struct.pack("!BBH", 0x81, 0x80 | 126, size)
    return head + b"\0\0\0\0" + text
