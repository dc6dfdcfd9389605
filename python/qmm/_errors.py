# SPDX-License-Identifier: Apache-2.0
"""A status that is not OK becomes one of these, with the context's text."""
from ._abi import Status


class Error(Exception):
    """A qmm call failed; `status` is its Status. It queued nothing and changed no output."""
    status = None


class InvalidArgument(Error, ValueError):
    status = Status.INVALID_ARGUMENT


class Unsupported(Error):
    status = Status.UNSUPPORTED


class NoDevice(Error):
    status = Status.NO_DEVICE


class OutOfMemory(Error, MemoryError):
    status = Status.OUT_OF_MEMORY


class BuildFailed(Error):
    status = Status.BUILD_FAILED


class DeviceFailed(Error):
    status = Status.DEVICE_FAILED


class Internal(Error):
    status = Status.INTERNAL


_CLASSES = {kind.status: kind for kind in
            (InvalidArgument, Unsupported, NoDevice, OutOfMemory, BuildFailed, DeviceFailed, Internal)}


def check(status, text):
    """Raises the exception of `status`; `text` is called for its message."""
    if status != Status.OK:
        raise _CLASSES.get(status, Internal)(text())
