"""Who is at the other end of a Unix socket, by the kernel's word."""

import ctypes
import os
import socket
import struct

_UCRED = struct.Struct("3i")  # pid, uid, gid (unix(7))


def peer_uid(connection: socket.socket) -> int:
    """The user id of the process that connected; `OSError`."""
    if hasattr(socket, "SO_PEERCRED"):
        data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        uid: int = _UCRED.unpack(data)[1]
        return uid
    libc, ids = ctypes.CDLL(None, use_errno=True), (ctypes.c_uint32(), ctypes.c_uint32())
    if libc.getpeereid(connection.fileno(), *map(ctypes.byref, ids)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return ids[0].value
