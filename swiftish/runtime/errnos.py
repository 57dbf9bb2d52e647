"""What the errors of system calls mean for a store.

Pure.
"""

import errno

# Answers of file systems that have no files without names.
NO_TMPFILE = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})

# Reads that fail like this have met a broken disk or file system, not a busy one.
UNREADABLE = frozenset({errno.EIO, errno.ENODATA, errno.EUCLEAN, errno.ENOTDIR, errno.EBADMSG})

# The process has run out of something, or lost a race too often: the disk has no part in it.
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR})

# What a file system says to attributes larger than it can keep.
ATTRIBUTE_TOO_LARGE = frozenset({errno.ENOSPC, errno.E2BIG, errno.ERANGE})
