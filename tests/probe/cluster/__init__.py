"""A cluster of real processes that loses nodes, disks, cables, clocks and bits, and heals.

    objects     nodes, cables and disks that are away while objects are written
    versions    copies that know different things of one object
    damage      copies that go bad on their disks
    disks       disks that are not there, hang, are slow, are full; transfers that are cut off
    absence     who comes back after longer than tombstones are kept
    containers, accounts, policies, expirer
    clocks      proxies and storage nodes an hour off
    rings       rings that change under load, nodes with other rings
    restarts    reloads, restarts, killed and hanging processes under load
    ports       strangers at the backend ports

Scenarios of reference part 5 that are not here, for what they are about is not built yet:
container_sync (basics, symlink, versioning); mpu mixed policy; slo_async_delete; open_expired with
part numbers of an SLO; merge_policy_index with DLO and SLO manifests, symlinks, versioned and
reserved names; update overrides, metadata replication and object_versioning with erasure code; EC:
missing_all_durable_fragments, handoff overwrite, duplicate, primary timeout; reconstructor rebuild
and revert; part power increase (main, canceled); object_versioning account listing and missing
hidden container; reserved_name; all of the sharder and of managed sharding.

Here otherwise than there: the locked databases of locked_container_dbs are transactions that
somebody holds open; metadata with no timestamp update has no counterpart (nobody here sends that
header); updater stats are those of `swiftish workers` (tests/unit/cli);
SIGUSR1 (seamless re-exec) is what SIGHUP does; dark_data is test_absence.py: nothing waits for a
watcher to find what the replicator does not bring back.  Of the faults, T29 is for the nemesis, T31
is in test_rings.py and the ring builder's own tests, T37 belongs to part power.
"""
