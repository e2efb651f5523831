"""The search for garbage in cycles is put off, and goes on as it was."""

import gc
import threading

import pytest

from wengert.graph.collecting import collecting_later


def test_blocks_inside_each_other():
    assert gc.isenabled()
    with collecting_later():
        with collecting_later():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_was_off_stays_off():
    gc.disable()
    try:
        with collecting_later():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_an_error_leaves_it_on():
    with pytest.raises(KeyError), collecting_later():
        raise KeyError
    assert gc.isenabled()


def test_threads():
    inside, leave = threading.Event(), threading.Event()

    def other():
        with collecting_later():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(10)
    with collecting_later():
        assert not gc.isenabled()
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert gc.isenabled()
