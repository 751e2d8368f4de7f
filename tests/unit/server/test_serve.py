import socket

from halfrate.serve import _listening


def test_a_short_answer_does_not_wait_for_an_acknowledgement():
    """With Nagle's algorithm every chunk of an upload took 40 ms longer."""
    with _listening("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
