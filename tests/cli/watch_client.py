"""Asks the server of `pivotal watch --serve` what it should answer and what it should refuse; prints a line for each.

usage: watch_client.py PORT
"""
import http.client
import json
import socket
import sys

port = int(sys.argv[1])


def ask(method, path, host=None, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest(method, path, skip_host=host is not None)
    if host:
        connection.putheader("Host", host)
    if body:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    return answer.status, answer, answer.read().decode()


def send(text):
    """The first line of the answer to these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
        raw.sendall(text)
        try:
            return raw.recv(100).split(b"\r\n")[0].decode()
        except ConnectionResetError:
            return ""


status, answer, page = ask("GET", "/")
policy = answer.getheader("Content-Security-Policy")
print(status, answer.getheader("Content-Type"), "</html>" in page, "default-src 'none'" in policy)
status, answer, text = ask("GET", "/state.json?x=1")
print(status, answer.getheader("Content-Type"), json.loads(text)["search"]["stored"])
for method, path, host, body in [
    ("GET", "/state.json", f"localhost:{port}", None),
    ("GET", "/state.json", "evil.example", None),
    ("GET", "/", f"localhost.evil.example:{port}", None),
    ("POST", "/", None, b"x" * 5000),
    ("HEAD", "/", None, None),
    ("PUT", "/state.json", None, b"x"),
    ("GET", "/../run.toml", None, None),
    ("GET", "/run.toml", None, None),
]:
    print(method, path, host, ask(method, path, host, body)[0])
print(send(b"GET / HTTP/1.1\r\n\r\n"))
print(send(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"))
print("nonsense", send(b"nonsense\r\n\r\n"))
print("endless", send(b"GET / HTTP/1.1\r\nX: " + b"y" * 100000))
silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
print("beside silent ones", ask("GET", "/state.json")[0])
