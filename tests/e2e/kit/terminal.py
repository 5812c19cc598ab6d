"""A program on a terminal of its own."""
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import threading

from .proc import Lines, Proc

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[=>()][0-9A-B]?")


def plain(text):
    """The text without colours and cursor movement."""
    return ESCAPE.sub("", text)


class Plain(Lines):
    @property
    def text(self):
        return plain(super().text)

    @property
    def raw(self):
        return self.data.decode("utf-8", "replace")


class OnTerminal(Proc):
    """stdin, stdout and stderr are one terminal (err is the same text as out)."""

    def __init__(self, argv, columns=100, rows=40, **more):
        self.columns, self.rows = columns, rows
        super().__init__(argv, **more)

    def spawn(self, argv, env, cwd, stdin, more):
        self.master, slave = pty.openpty()
        fcntl.ioctl(self.master, termios.TIOCSWINSZ,
                    struct.pack("HHHH", self.rows, self.columns, 0, 0))

        def own_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        popen = subprocess.Popen(argv, env=env, cwd=cwd, stdin=slave, stdout=slave, stderr=slave,
                                 preexec_fn=own_terminal, **more)
        os.close(slave)
        self.out = self.err = Plain()
        self.wake = os.pipe()
        self.threads = [threading.Thread(target=self.read_master, daemon=True)]
        self.threads[0].start()
        return popen

    def read_master(self):
        """Reads until the program is gone or hang_up() asks to let go of the master."""
        while True:
            ready, _, _ = select.select([self.master, self.wake[0]], [], [])
            if self.wake[0] in ready:
                break
            try:
                data = os.read(self.master, 65536)
            except OSError:             # EIO: nobody has the terminal open any more
                break
            self.out.feed(data)
        self.out.end()

    def type(self, text):
        os.write(self.master, text.encode())

    def echoes(self):
        """True when the terminal shows what is typed."""
        return bool(termios.tcgetattr(self.master)[3] & termios.ECHO)

    def hang_up(self):
        """The window is closed."""
        os.write(self.wake[1], b"x")
        self.threads[0].join()
        os.close(self.master)
        self.master = -1

    def wait_exit(self, seconds=10):
        code = super().wait_exit(seconds)
        if self.master >= 0:
            os.close(self.master)
            self.master = -1
            os.close(self.wake[0])
            os.close(self.wake[1])
        return code
