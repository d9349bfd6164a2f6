"""python-socketio as it is, talking to the chat: `URL TOKEN TRANSPORT [AUTHORITY]`.

It prints `restart` when the server is to be killed and started again, and `done` at the end.
"""

import queue
import ssl
import sys
import threading

import requests
import socketio

URL, TOKEN, TRANSPORT = sys.argv[1:4]
PATIENCE = 120
CONVERSATION = f"python-{TRANSPORT}"
trusting = requests.Session()
options = {}
if len(sys.argv) > 4:
    trusting.verify = sys.argv[4]
    options = {"sslopt": {"ca_certs": sys.argv[4], "cert_reqs": ssl.CERT_REQUIRED}}

events, seen = queue.Queue(), {}
welcomed = threading.Semaphore(0)
client = socketio.Client(
    reconnection_delay=0.05, reconnection_delay_max=0.5, http_session=trusting, websocket_extra_options=options
)


@client.on("welcome")
def welcome(said):
    assert said["user"] == "anna" and said["role"] == "patient", said
    assert "text" in [one["type"] for one in said["types"]], said
    welcomed.release()


@client.on("event")
def event(said):
    if "seq" in said:
        assert said["seq"] == seen.get(said["conversation"], 0) + 1, (said, seen)
        seen[said["conversation"]] = said["seq"]
        events.put(said)


def send(number, content, kind="text"):
    message = {"id": f"m{number}", "conversation": CONVERSATION, "type": kind, "content": content}
    return client.call("send", message, timeout=PATIENCE)


def refused_connection():
    other = socketio.Client(reconnection=False, http_session=trusting, websocket_extra_options=options)
    try:
        other.connect(URL, auth={"token": TOKEN[:-4] + "AAAA"}, transports=[TRANSPORT], wait_timeout=PATIENCE)
    except socketio.exceptions.ConnectionError as error:
        return error
    raise AssertionError("a forged token was let in")


def main():
    refused_connection()
    client.connect(
        URL, auth=lambda: {"token": TOKEN, "seen": dict(seen)}, transports=[TRANSPORT], wait_timeout=PATIENCE
    )
    assert welcomed.acquire(timeout=PATIENCE)
    assert client.transport() == TRANSPORT
    assert send(1, {"text": "Hello"}) == {"accepted": {"id": "m1"}}
    first = events.get(timeout=PATIENCE)
    assert first["answers"] == "m1" and first["content"] == {"text": "Hello"}, first
    assert send(1, {"text": "Hello"}) == {"accepted": {"id": "m1"}}
    wrong = send(2, {"text": 5})["refused"]
    assert wrong["id"] == "m2" and wrong["field"] == "/content/text" and wrong["reason"], wrong
    assert "refused" in send(3, {"text": "Hello"}, kind="no such type")

    print("restart", flush=True)
    assert sys.stdin.readline() == "restarted\n"
    assert welcomed.acquire(timeout=PATIENCE), "it comes back by itself"
    assert send(1, {"text": "Hello"}) == {"accepted": {"id": "m1"}}
    assert send(4, {"text": "Back"}) == {"accepted": {"id": "m4"}}
    last = events.get(timeout=PATIENCE)
    assert last["answers"] == "m4" and last["seq"] == 2, last
    client.disconnect()
    assert events.empty()
    print("done", flush=True)


main()
