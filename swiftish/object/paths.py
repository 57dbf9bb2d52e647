"""Where things are on a device (reference 2.4).

    objects[-<policy>]/<partition>/<suffix>/<hash>/<files>
    quarantined/objects[-<policy>]/<hash>[-<n>]
    serving/<random>         the marks of the processes that change objects
    tmp/                                                only where there is no O_TMPFILE
    index.mdb                                           pending container updates, workers' notes

Pure.
"""

from dataclasses import dataclass

OBJECTS = "objects"  # the first policy's folder; the others' begin with it
QUARANTINE = "quarantined"
TEMPORARY = "tmp"
SERVING = "serving"
INDEX = "index.mdb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """One object's hash folder on one device, and the name that must be found in it."""

    datadir: str  # objects or objects-N
    partition: int
    digest: str  # 32 hex digits
    name: str  # /account/container/object

    @property
    def partition_folder(self) -> str:
        """Relative to the device, like all of these."""
        return f"{self.datadir}/{self.partition}"

    @property
    def suffix_folder(self) -> str:
        return f"{self.datadir}/{self.partition}/{self.digest[-3:]}"

    @property
    def folder(self) -> str:
        return f"{self.datadir}/{self.partition}/{self.digest[-3:]}/{self.digest}"

    @property
    def quarantine_folder(self) -> str:
        return f"{QUARANTINE}/{self.datadir}"
