"""An HTTPS service that answers as soon as it has a head, and closes with the rest of the request unread.

Arguments: a port, a certificate chain, its key.
"""

import socket
import ssl
import sys
import threading

ANSWER = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large"


def serve(context, plain):
    # Else the answer may wait for the acknowledgment of what TLS said before, and be thrown away by the kernel of the service itself.
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        stream = context.wrap_socket(plain, server_side=True)
        if stream.recv(65536):
            stream.sendall(ANSWER)
        stream.close()
    except OSError:
        pass


def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=100)
    while True:
        plain, _ = listener.accept()
        threading.Thread(target=serve, args=(context, plain), daemon=True).start()


main()
