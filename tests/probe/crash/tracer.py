"""Runs a program under ptrace and notes every call that changes files below one folder.

    python -m tests.probe.crash.tracer ROOT EVENTS -- PROGRAM ARGUMENT…

EVENTS is the file that the events go to; the program finds in the environment variable
SWIFTISH_MARK_FD a descriptor that takes its marks, one per write.  Exit status: the program's own,
or 70 with a sentence on standard error when it did what the model has no word for.

Theory of operation.  Every thread of the program stops before and after every system call.  A call
that may change files below ROOT is let in only when no other such call is under way: the others
wait at their entry.  So the events form one line that is exactly what happened, and what a path or
descriptor stands for can be looked up at leisure through /proc/<thread>/fd, without keeping tables
of descriptors.  PTRACE_GET_SYSCALL_INFO (Linux 5.3) gives number, arguments and result alike on all
machines, so only the numbers of the calls differ.

Rejected: strace and LD_PRELOAD (no compiler and no tools may be assumed); replacing functions of
the `os` module (LMDB is C).
"""

import ctypes
import errno
import os
import platform
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from tests.probe.crash import snapshot
from tests.probe.crash.calls import CALLS, Call, Files, Unmodelled
from tests.probe.crash.events import Event, dump

MARK_FD_VARIABLE = "SWIFTISH_MARK_FD"
UNMODELLED_STATUS = 70

PTRACE_TRACEME, PTRACE_SYSCALL, PTRACE_SETOPTIONS, PTRACE_GET_SYSCALL_INFO = 0, 24, 0x4200, 0x420E
OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x100000  # SYSGOOD, FORK, VFORK, CLONE, EXEC, EXITKILL
WAIT_ALL = 0x40000000
SYSCALL_STOP = signal.SIGTRAP | 0x80
ENTRY, EXIT = 1, 2


@dataclass(slots=True)
class Thread:
    """One traced thread; `finish` turns the call's result into events."""

    finish: Callable[[int], list[Event]] | None = None


class SyscallInfo(ctypes.Structure):
    _fields_ = (
        ("op", ctypes.c_uint8),
        ("padding", ctypes.c_uint8 * 3),
        ("arch", ctypes.c_uint32),
        ("instruction_pointer", ctypes.c_uint64),
        ("stack_pointer", ctypes.c_uint64),
        ("words", ctypes.c_int64 * 8),
    )


libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
libc.ptrace.restype = ctypes.c_long


def ptrace(request: int, tid: int, address: int, data: int) -> int:
    result: int = libc.ptrace(request, tid, address, data)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


@dataclass
class Tracer:
    """Follows one program and its threads from its first call to its end."""

    files: Files
    output: BinaryIO
    mark_inode: snapshot.Inode
    _threads: dict[int, Thread] = field(default_factory=dict)
    _waiting: deque[tuple[int, Sequence[int]]] = field(default_factory=deque)
    _busy: int | None = None  # the thread whose call is under way

    def run(self, program: Sequence[str]) -> int:
        """Run `program` to its end and return its exit status."""
        child = spawn(program)
        ptrace(PTRACE_SETOPTIONS, child, 0, OPTIONS)
        self._threads[child] = Thread()
        self._resume(child)
        status = 0
        while self._threads:
            tid, wait_status = os.waitpid(-1, WAIT_ALL)
            if os.WIFSTOPPED(wait_status):
                self._stopped(tid, wait_status)
                continue
            self._threads.pop(tid, None)
            if self._busy == tid:  # it ended inside the call: nothing came of it
                self._let_next_in()
            if tid == child:
                status = os.waitstatus_to_exitcode(wait_status)
        return status

    def _stopped(self, tid: int, wait_status: int) -> None:
        number = os.WSTOPSIG(wait_status)
        if tid not in self._threads:  # a new thread begins with a SIGSTOP
            self._threads[tid] = Thread()
            self._resume(tid)
        elif number == SYSCALL_STOP:
            self._at_syscall(tid)
        elif wait_status >> 16:  # it has made a thread, or become another program
            self._resume(tid)
        else:
            self._resume(tid, signal_number=number)

    def _at_syscall(self, tid: int) -> None:
        info = SyscallInfo()
        size = ctypes.sizeof(info)
        ptrace(PTRACE_GET_SYSCALL_INFO, tid, size, ctypes.addressof(info))
        words = info.words
        if info.op == ENTRY and words[0] in CALLS:
            call = words[0:7]
            if self._busy is None:
                self._begin(tid, call)
            else:
                self._waiting.append((tid, call))
            return
        if info.op == EXIT and self._busy == tid:
            self._finish(tid, result=words[0])
            self._resume(tid)
            self._let_next_in()
            return
        self._resume(tid)

    def _begin(self, tid: int, call: Sequence[int]) -> None:
        """The thread stands before a call that may matter; let it in."""
        number, *arguments = call
        finish = CALLS[number](Call(tid, arguments, files=self.files, mark_inode=self.mark_inode))
        if finish is not None:
            self._busy = tid
            self._threads[tid].finish = finish
        self._resume(tid)

    def _finish(self, tid: int, *, result: int) -> None:
        thread = self._threads[tid]
        assert thread.finish is not None
        events = thread.finish(result) if result >= 0 else []
        thread.finish = None
        for event in events:
            self.output.write(dump(event))

    def _let_next_in(self) -> None:
        self._busy = None
        while self._waiting and self._busy is None:
            tid, call = self._waiting.popleft()
            if tid in self._threads:
                self._begin(tid, call)

    def _resume(self, tid: int, *, signal_number: int = 0) -> None:
        with suppress(ProcessLookupError):  # killed meanwhile; waitpid will tell
            ptrace(PTRACE_SYSCALL, tid, 0, signal_number)


def spawn(program: Sequence[str]) -> int:
    """Start `program` stopped, with this process as its tracer.  Raises Unmodelled."""
    pid = os.fork()
    if pid == 0:
        try:
            ptrace(PTRACE_TRACEME, 0, 0, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
            os.execv(program[0], list(program))  # noqa: S606
        finally:
            os._exit(127)
    _, status = os.waitpid(pid, WAIT_ALL)
    if not os.WIFSTOPPED(status):
        raise Unmodelled(
            "The crash checker needs the system call ptrace, and this machine forbids it: "
            "run the tests where a process may trace its own child "
            "(docker: --cap-add SYS_PTRACE; kernel.yama.ptrace_scope at most 2 as root, 1 else)."
        )
    return pid


def main(arguments: Sequence[str]) -> int:
    root, events, dashes, *program = arguments
    assert dashes == "--"
    if not CALLS:
        raise Unmodelled(
            f"The crash checker does not know the system calls of {platform.machine()}."
        )
    with open(events, "wb") as output, open(f"{events}.marks", "wb") as marks:
        os.set_inheritable(marks.fileno(), True)
        os.environ[MARK_FD_VARIABLE] = str(marks.fileno())
        mark_inode = snapshot.inode(os.fstat(marks.fileno()))
        tracer = Tracer(Files(Path(root)), output, mark_inode)
        return tracer.run(program)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Unmodelled as trouble:
        # The program ends with its tracer (EXITKILL).
        sys.stderr.write(f"{trouble}\n")
        sys.exit(UNMODELLED_STATUS)
    except OSError as trouble:
        if trouble.errno not in {errno.EPERM, errno.ENOSYS, errno.EIO}:
            raise
        sys.stderr.write(f"The crash checker cannot trace a program here: {trouble}.\n")
        sys.exit(UNMODELLED_STATUS)
