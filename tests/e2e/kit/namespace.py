"""A network of a test's own: its ports and settings are nobody else's."""
import contextlib
import ctypes
import os
import subprocess

from . import missing, need, until

CLONE_NEWNET = 0x40000000


class Namespace:
    """A network namespace with a loopback; `enter` begins the command of what runs in it."""

    def __init__(self):
        self.holder = subprocess.Popen([need("unshare"), "--net", "--", need("sleep"), "600"],
                                       stderr=subprocess.PIPE)
        own = os.readlink("/proc/self/ns/net")
        path = f"/proc/{self.holder.pid}/ns/net"
        until(lambda: self.holder.poll() is not None or os.readlink(path) != own, 5, "a network")
        if self.holder.poll() is not None:
            missing("the right to make a network namespace")
        self.fd, self.own = os.open(path, os.O_RDONLY), os.open("/proc/self/ns/net", os.O_RDONLY)
        self.enter = [need("nsenter"), f"--net={path}", "--"]
        subprocess.run([*self.enter, need("ip"), "link", "set", "lo", "up"], check=True)

    def sysctl(self, name, value):
        """Sets one of this network's values."""
        path = "/proc/sys/" + name.replace(".", "/")
        subprocess.run([*self.enter, "sh", "-c", f"echo {value} >{path}"], check=True)

    @contextlib.contextmanager
    def inside(self):
        """Sockets that this thread makes are in this network; they stay there."""
        library = ctypes.CDLL(None, use_errno=True)
        assert library.setns(self.fd, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert library.setns(self.own, CLONE_NEWNET) == 0

    def close(self):
        os.close(self.fd)
        os.close(self.own)
        self.holder.kill()
        self.holder.wait()
