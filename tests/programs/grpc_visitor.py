"""A gRPC client for what grpc_service.py serves. Arguments: a host, a port, root certificates. Prints one JSON object: what it got."""

import json
import queue
import sys

import grpc

LARGE = bytes(range(256)) * 4 * 4096
PATIENCE_SECONDS = 30


def main(host, port, roots):
    with open(roots, "rb") as roots:
        credentials = grpc.ssl_channel_credentials(roots.read())
    sizes = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]
    with grpc.secure_channel(f"{host}:{port}", credentials, options=sizes) as channel:
        visitor = Visitor(channel)
        got = {step.__name__: step() for step in visitor.steps()}
    print(json.dumps(got))


class Visitor:
    def __init__(self, channel):
        one, many = channel.unary_unary, channel.stream_unary
        self.echo_of, self.fail_of, self.tell_of = one(at("Echo")), one(at("Fail")), one(at("Tell"))
        self.collect_of, self.refuse_of = many(at("Collect")), many(at("Refuse"))
        self.count_of, self.hang_of = channel.unary_stream(at("Count")), channel.unary_stream(at("Hang"))
        self.chat_of, self.absent_of = channel.stream_stream(at("Chat")), one(at("Absent"))

    def steps(self):
        return [
            self.unary, self.large, self.failure, self.told, self.server_stream, self.client_stream, self.both_ways,
            self.early_end, self.cancelled, self.deadline, self.many_at_once, self.no_method,
        ]

    def unary(self):
        answer, call = self.echo_of.with_call(b"hello", timeout=PATIENCE_SECONDS)
        return {
            "answer": answer.decode(),
            "code": call.code().name,
            "begun": of(call.initial_metadata(), "begun"),
            "ended": of(call.trailing_metadata(), "ended"),
            "binary_intact": of(call.trailing_metadata(), "bytes-bin") == bytes(range(256)),
        }

    def large(self):
        return {"intact": self.echo_of(LARGE, timeout=PATIENCE_SECONDS) == LARGE, "bytes": len(LARGE)}

    def failure(self):
        return failed(lambda: self.fail_of(b"", timeout=PATIENCE_SECONDS))

    def told(self):
        metadata = (("x-forwarded-for", "6.6.6.6"), ("own", "kept"))
        return json.loads(self.tell_of(b"", metadata=metadata, timeout=PATIENCE_SECONDS))

    def server_stream(self):
        return [int(number) for number in self.count_of(b"100", timeout=PATIENCE_SECONDS)]

    def client_stream(self):
        pieces = (b"x" * size for size in range(1000))
        return int(self.collect_of(pieces, timeout=PATIENCE_SECONDS))

    def both_ways(self):
        """The next question is made only once the answer to the last one is here."""
        asked = queue.Queue()
        answers = self.chat_of(iter(asked.get, None), timeout=PATIENCE_SECONDS)
        got = []
        for question in ("abc", "def", "ghi"):
            asked.put(question.encode())
            got.append(next(answers).decode())
        asked.put(None)
        return {"answers": got, "ended": next(answers, None) is None, "code": answers.code().name}

    def early_end(self):
        """The service ends the call while more would be sent."""
        sent = queue.Queue()
        sent.put(b"first")
        result = failed(lambda: self.refuse_of(iter(sent.get, None), timeout=PATIENCE_SECONDS))
        sent.put(None)
        return result

    def cancelled(self):
        call = self.hang_of(b"cancelled", timeout=PATIENCE_SECONDS)
        begun = next(call).decode()
        call.cancel()
        return {"begun": begun, "code": call.code().name}

    def deadline(self):
        call = self.hang_of(b"late", timeout=1)
        begun = next(call).decode()
        return {"begun": begun, **failed(lambda: next(call))}

    def many_at_once(self):
        calls = [self.echo_of.future(str(number).encode(), timeout=PATIENCE_SECONDS) for number in range(40)]
        return [int(call.result()) for call in calls]

    def no_method(self):
        return failed(lambda: self.absent_of(b"", timeout=PATIENCE_SECONDS))


def at(method):
    return f"/bore.Test/{method}"


def of(metadata, name):
    return dict(metadata).get(name)


def failed(call):
    try:
        return {"code": "OK", "answer": repr(call())}
    except grpc.RpcError as error:
        return {"code": error.code().name, "details": error.details(), "reason": of(error.trailing_metadata() or (), "reason")}


main(*sys.argv[1:])
