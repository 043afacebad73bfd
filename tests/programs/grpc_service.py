"""A gRPC service whose messages are plain bytes, so that no generated code is needed.

Arguments: a port without TLS, a port with it, a certificate chain, its key. Prints a JSON line for what a client cannot see.
"""

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def echo(request, context):
    context.send_initial_metadata((("begun", "yes"),))
    context.set_trailing_metadata((("ended", "well"), ("bytes-bin", bytes(range(256)))))
    return request


def fail(request, context):
    context.set_trailing_metadata((("reason", "because"),))
    context.abort(grpc.StatusCode.NOT_FOUND, "nothing at \u201chere\u201d, 100 %")


def tell(request, context):
    """What the service was told about the call."""
    told = {name: value for name, value in context.invocation_metadata() if not name.endswith("-bin")}
    return json.dumps(told).encode()


def count(request, context):
    for number in range(int(request)):
        yield str(number).encode()


def collect(requests, context):
    return str(sum(len(request) for request in requests)).encode()


def chat(requests, context):
    for request in requests:
        yield request[::-1]


def refuse(requests, context):
    """Has seen enough while the client still sends."""
    next(requests)
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")


def hang(request, context):
    """Begins, and never ends by itself."""
    gone = threading.Event()
    context.add_callback(gone.set)
    left = context.time_remaining()
    yield b"begun"
    gone.wait()
    say("gone", tag=request.decode(), seconds_left_at_first=left)


METHODS = {
    "Echo": grpc.unary_unary_rpc_method_handler(echo),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Tell": grpc.unary_unary_rpc_method_handler(tell),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Collect": grpc.stream_unary_rpc_method_handler(collect),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
    "Refuse": grpc.stream_unary_rpc_method_handler(refuse),
    "Hang": grpc.unary_stream_rpc_method_handler(hang),
}


def main(plain, secure, chain, key):
    sizes = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]
    server = grpc.server(ThreadPoolExecutor(max_workers=32), options=sizes)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bore.Test", METHODS),))
    with open(chain, "rb") as chain, open(key, "rb") as key:
        credentials = grpc.ssl_server_credentials([(key.read(), chain.read())])
    if not server.add_insecure_port(f"127.0.0.1:{plain}") or not server.add_secure_port(f"127.0.0.1:{secure}", credentials):
        sys.exit("no port")
    server.start()
    say("listening")
    server.wait_for_termination()


main(*sys.argv[1:])
