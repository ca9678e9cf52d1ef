"""A peer that says what it likes: TLS lines, links and sessions, written by hand from docs/format/link.md and wire.md, so that
tests can break any rule of theirs."""
import ctypes
import os
import socket
import ssl
import struct
import uuid

MiB = 1 << 20
PAGE = 64 * 1024
WELCOME, REFUSE, DATA, ACK, PING, FINISH, ABORT, NOTE = range(1, 9)
CONTROL, OFFER, WANT, FRAME, FETCH, FETCHED, FETCH_END, DELTA = range(1, 9)
# Members of Control, protocol/messages.proto.
HELLO, WELCOMED, FAILURE, OPEN_BACKUP, BACKUP_OPENED, CLOSE_BACKUP, BACKUP_CLOSED, LIST_POINTS, POINT_LIST = 2, 3, 4, 5, 6, 9, 10, 11, 12
TIMEOUT_S = 60

xxhash = ctypes.CDLL("libxxhash.so.0")
xxhash.XXH3_64bits.restype = ctypes.c_uint64
xxhash.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]


class Gone(Exception):
    """The peer hung up."""


class Refused(Exception):
    """The peer said why not: .code and the sentence."""

    def __init__(self, code, sentence):
        super().__init__(f"{code}: {sentence}")
        self.code = code


# --- lines

def tcp(port):
    line = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line


def tls_context(identity):
    """identity: a file with a key and its certificate, such as an enrolment."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(identity)
    return context


def tls(port, identity):
    return tls_context(identity).wrap_socket(tcp(port))


def receive_exactly(line, count):
    content = b""
    while len(content) < count:
        try:
            piece = line.recv(count - len(content))
        except (ConnectionError, ssl.SSLError) as error:
            raise Gone(str(error)) from error
        if not piece:
            raise Gone("the end")
        content += piece
    return content


def is_gone(line, seconds=TIMEOUT_S):
    """Waits until the other end has hung up; what it says before is dropped."""
    line.settimeout(seconds)
    try:
        while line.recv(65536):
            pass
    except TimeoutError:
        return False
    except (OSError, ssl.SSLError):
        pass
    return True


# --- links

def link_hello(link, secret, line, create=True, received=0, window=8 * MiB, version=(1, 0)):
    payload = link + secret + struct.pack("<IIQQQII", int(create), line, received, received + min(window, 256 * 1024), window, 20_000, 0)
    return struct.pack("<4sHHII", b"VFLK", *version, len(payload), 0) + payload


def record(kind, number=0, payload=b""):
    return struct.pack("<BBHIQ", kind, 0, 0, len(payload), number) + payload


def read_reason(payload):
    length = payload[0]
    code, rest = payload[1:1 + length].decode(), payload[1 + length:]
    size, shift = 0, 0
    for at, byte in enumerate(rest):
        size |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            return Refused(code, rest[at + 1:at + 1 + size].decode())
    return Refused(code, "")


class Link:
    """One line of a link, as a pipe. Reads its line only when it wants something of it."""

    def __init__(self, line, link=None, secret=None, number=1, create=True, acknowledges=True, window=8 * MiB):
        self.line, self.link, self.secret = line, link or os.urandom(16), secret or os.urandom(32)
        self.acknowledges, self.window = acknowledges, window
        self.sent, self.received, self.content, self.ended = 0, 0, b"", False
        self.hello = link_hello(self.link, self.secret, number, create, window=window)
        line.sendall(self.hello)
        kind, at, payload = self.read_record()
        if kind == REFUSE:
            raise read_reason(payload[4:])
        assert kind == WELCOME, kind
        self.limit = struct.unpack("<Q", payload[4:12])[0]

    def read_record(self):
        kind, _, _, length, number = struct.unpack("<BBHIQ", receive_exactly(self.line, 16))
        return kind, number, receive_exactly(self.line, length)

    def take_record(self):
        kind, number, payload = self.read_record()
        if kind == ABORT:
            raise read_reason(payload)
        if kind == ACK:
            self.limit = max(self.limit, struct.unpack("<Q", payload)[0])
        if kind == FINISH:
            self.ended = True
        if kind == DATA and number == self.received:
            self.received += len(payload)
            if self.acknowledges:
                self.content += payload
                self.line.sendall(record(ACK, self.received, struct.pack("<Q", self.received + self.window)))

    def room(self):
        return self.limit - self.sent

    def send(self, content):
        view = memoryview(content)
        while view:
            while self.room() <= 0:
                self.take_record()
            count = min(len(view), self.room(), PAGE - self.sent % PAGE)
            try:
                self.line.sendall(record(DATA, self.sent, bytes(view[:count])))
            except (ConnectionError, ssl.SSLError):
                while True:  # it said why before it hung up
                    self.take_record()
            self.sent += count
            view = view[count:]

    def receive(self, count):
        while len(self.content) < count:
            if self.ended:
                raise Gone("the stream's end")
            self.take_record()
        content, self.content = self.content[:count], self.content[count:]
        return content

    def close(self):
        self.line.close()


class Direct:
    """A pipe that is no link: the store's socket."""

    def __init__(self, path):
        self.line = socket.socket(socket.AF_UNIX)
        self.line.settimeout(TIMEOUT_S)
        self.line.connect(str(path))

    def send(self, content):
        self.line.sendall(content)

    def receive(self, count):
        return receive_exactly(self.line, count)

    def close(self):
        self.line.close()


# --- sessions

def packet(kind, payload, length=None):
    body = struct.pack("<IBBH", len(payload) if length is None else length, kind, 0, 0) + payload
    return body + struct.pack("<Q", xxhash.XXH3_64bits(body, len(body)))


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7f | 0x80])
        value >>= 7
    return out + bytes([value])


def member(number, value):
    """A member of a protobuf message: an integer, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def members(message):
    """What a message has: number -> the last value."""
    found, at = {}, 0

    def read():
        nonlocal at
        value, shift = 0, 0
        while True:
            value |= (message[at] & 0x7f) << shift
            at, shift = at + 1, shift + 7
            if message[at - 1] < 0x80:
                return value
    while at < len(message):
        key = read()
        kind = key & 7
        if kind == 0:
            found[key >> 3] = read()
            continue
        length = {1: 8, 5: 4}.get(kind) or read()
        found[key >> 3] = message[at:at + length]
        at += length
    return found


def control(body, content=b"", request=0, **options):
    return packet(CONTROL, (member(1, request) if request else b"") + member(body, content), **options)


def session_hello(client, major=1, minor=2, features=15):
    return control(HELLO, struct.pack("<BI", 0x0d, 0x50574656) + member(2, major) + (member(3, minor) if minor else b"") +
                   (member(4, features) if features else b"") + member(5, b"a test") + member(6, client) + member(7, b"host"))


class Session:
    """A session over a pipe: .welcome has the welcome's members."""

    def __init__(self, pipe, client, hello=None):
        self.pipe, self.client = pipe, client
        pipe.send(hello or session_hello(client))
        self.welcome = self.answer(WELCOMED)

    def receive(self):
        length, kind = struct.unpack("<IBBH", self.pipe.receive(8))[:2]
        payload = self.pipe.receive(length)
        self.pipe.receive(8)
        return kind, payload

    def answer(self, body):
        """The next control packet's message of this kind; raises what a failure says."""
        while True:
            kind, payload = self.receive()
            if kind != CONTROL:
                continue
            said = members(payload)
            if FAILURE in said:
                why = members(said[FAILURE])
                raise Refused(why[1].decode(), why[2].decode())
            if body in said:
                return members(said[body])

    def why_it_ended(self):
        """The failure that ends it."""
        try:
            while True:
                self.answer(0)
        except Refused as why:
            return why

    def open_backup(self, machine):
        self.pipe.send(control(OPEN_BACKUP, member(1, uuid.uuid4().bytes) + member(2, machine.encode()) + member(3, uuid.uuid4().bytes),
                               request=1))
        return self.answer(BACKUP_OPENED)

    def list_points(self):
        self.pipe.send(control(LIST_POINTS, request=7))
        return self.answer(POINT_LIST)
