import os

from cryptobot.supervisor.output import LineBuffer, Output, read_available


def read_all(descriptor: int) -> bytes:
    os.set_blocking(descriptor, False)
    found = b""
    while data := read_available(descriptor):
        found += data
    return found


def test_each_line_has_the_name_of_its_child() -> None:
    reading, writing = os.pipe()
    output = Output(writing)
    output.line("web", "started\n")
    output.line("beat", b"\xff tick")
    output.line("beat", "")
    assert read_all(reading) == b"              web | started\n             beat | \xff tick\n"


def test_a_reader_that_pauses_never_blocks_us_and_misses_nothing_recent() -> None:
    reading, writing = os.pipe()
    output = Output(writing)
    for number in range(3000):  # far more than a pipe holds
        output.line("web", f"{number:>60}")
    received = b""
    while data := read_all(reading):
        received += data
        output.flush()
    assert [int(line.split(b"|")[1]) for line in received.splitlines()] == list(range(3000))


def test_a_reader_that_left_does_not_end_the_desk() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    output = Output(writing)
    output.line("web", "nobody reads this")
    output.line("web", "nor this")


def test_lines_are_cut_wherever_the_bytes_arrive() -> None:
    buffer = LineBuffer()
    assert buffer.feed(b"one\ntw") == [b"one"]
    assert buffer.feed(b"o\nthree") == [b"two"]
    assert buffer.feed(b"") == [b"three"]
    assert buffer.feed(b"") == []


def test_an_endless_line_is_cut() -> None:
    buffer = LineBuffer()
    assert buffer.feed(b"x" * 70_000) == [b"x" * 70_000]
