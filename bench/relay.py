"""A relay between two unix sockets that counts what passes: what a session really sent, whatever it says of itself."""

import os
import socket
import threading


class CountingRelay:
    """Use as a context manager. `sent` and `received` are the client's, of all its connections so far."""

    def __init__(self, listen_at, connect_to):
        self.listen_at, self.connect_to = listen_at, connect_to
        self.sent = self.received = 0
        self.lock = threading.Lock()

    def __enter__(self):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.listen_at)
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()
        os.unlink(self.listen_at)

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            server.connect(self.connect_to)
            for source, destination, field in ((client, server, "sent"), (server, client, "received")):
                threading.Thread(target=self.pump, args=(source, destination, field), daemon=True).start()

    def pump(self, source, destination, field):
        try:
            while content := source.recv(1 << 18):
                with self.lock:
                    setattr(self, field, getattr(self, field) + len(content))
                destination.sendall(content)
        except OSError:
            pass
        for end, how in ((destination, socket.SHUT_WR), (source, socket.SHUT_RD)):
            try:
                end.shutdown(how)
            except OSError:
                pass
