"""The chat as people build it with Celery 5 and Redis behind python-socketio, for `benches/chat.rs`.

    python3 benches/peers/chat_celery.py PORT
    celery --workdir benches/peers -A chat_celery worker -Q in_line
    celery --workdir benches/peers -A chat_celery worker -Q model

It does the work of the types `text` and of one that asks a model: the token is checked, the content is checked against
a schema, a message sent twice is known by its id, the message is handed to a worker, the worker writes the event into
the log of the conversation with the next number, and it is pushed to whoever is in the conversation. The client's
acknowledgement follows the broker's; whether that is durable is decided by how Redis is started. With `CHAT_DIRECT=1`
the text is answered in the handler itself, and nothing is durable.

REDIS_URL, MODEL_URL and TOKEN_KEY are in the environment.
"""

import asyncio
import json
import os
import sys
import urllib.request

import celery
import redis
import socketio

REDIS_URL = os.environ.get("REDIS_URL") or "redis://127.0.0.1:6379/0"
MODEL_URL = os.environ.get("MODEL_URL", "")
CONTENT = {
    "type": "object",
    "required": ["text"],
    "additionalProperties": False,
    "properties": {"text": {"type": "string", "minLength": 1, "maxLength": 4000}},
}

app = celery.Celery("chat", broker=REDIS_URL)
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
    task_routes={"chat_celery.answer_text": {"queue": "in_line"}, "chat_celery.ask_model": {"queue": "model"}},
)
store = redis.Redis.from_url(REDIS_URL)
# Events reach the sockets of the server by way of Redis, as the library's own manager does it.
pushing = socketio.RedisManager(REDIS_URL, write_only=True)


def write_event(message, content):
    """The log of the conversation: numbers without gap, one event for each message, also when a task is run again."""
    conversation = message["conversation"]
    event = {"conversation": conversation, "type": message["type"], "content": content, "answers": message["id"]}
    if store.hsetnx(f"answered:{conversation}", message["id"], 1):
        event["seq"] = store.rpush(f"log:{conversation}", json.dumps(event))
        pushing.emit("event", event, room=conversation)


@app.task(name="chat_celery.answer_text")
def answer_text(message):
    write_event(message, message["content"])


@app.task(name="chat_celery.ask_model")
def ask_model(message):
    question = {"model": "sample", "messages": [{"role": "user", "content": message["content"]["text"]}]}
    request = urllib.request.Request(MODEL_URL, json.dumps(question).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        said = json.load(answer)["choices"][0]["message"]["content"]
    write_event(message, {"text": said})


def serve(port):
    import jsonschema
    import jwt
    from aiohttp import web

    is_direct = os.environ.get("CHAT_DIRECT") == "1"
    manager = None if is_direct else socketio.AsyncRedisManager(REDIS_URL)
    server = socketio.AsyncServer(async_mode="aiohttp", client_manager=manager, always_connect=True)
    key = os.environ["TOKEN_KEY"]
    check = jsonschema.Draft202012Validator(CONTENT)
    log = {}

    def hand_over(message):
        """Blocks until Redis has it."""
        if store.hsetnx(f"accepted:{message['conversation']}", message["id"], 1):
            task = ask_model if message["type"] == "ask" else answer_text
            task.apply_async((message,), ignore_result=True)

    @server.event
    async def connect(client, environment, auth):
        claims = jwt.decode(auth["token"], key, algorithms=["HS256"])
        await server.save_session(client, claims)
        for conversation in claims["conversations"]:
            await server.enter_room(client, conversation)
        await server.emit("welcome", {"user": claims["sub"], "role": claims["role"]}, to=client)

    @server.on("send")
    async def send(client, message):
        claims = await server.get_session(client)
        if message["conversation"] not in claims["conversations"]:
            return {"refused": {"id": message["id"], "reason": "not a member"}}
        wrong = next(check.iter_errors(message["content"]), None)
        if wrong:
            return {"refused": {"id": message["id"], "reason": wrong.message, "field": wrong.json_path}}
        if is_direct:
            events = log.setdefault(message["conversation"], [])
            event = {**message, "answers": message["id"], "seq": len(events) + 1}
            events.append(event)
            await server.emit("event", event, room=message["conversation"])
        else:
            await asyncio.to_thread(hand_over, message)
        return {"accepted": {"id": message["id"]}}

    application = web.Application()
    server.attach(application)
    web.run_app(application, host="127.0.0.1", port=port, print=lambda *said: print("serving", flush=True))


if __name__ == "__main__":
    serve(int(sys.argv[1]))
