"""Object server and its workers: objects as files that vouch for themselves.

filenames, hashdir   the names in a hash folder, and which of them count        (pure)
metadata, blocks     what a file says of itself, checksummed; a block's checksum (pure)
current              an object as clients see it: its PUT and its POSTs          (pure)
disk                 one device: folders, syncs, free space                      (blocking)
reader, writer       one object being read, one file being committed             (blocking)
quarantine           out of the way, and why                                     (blocking)
store                what a request does, as one call each                       (blocking)
async_disk           one hop into the device's threads per call
get, put, change     the verbs; `objects` is what they all start from
container_update     tell the container; `index` keeps what it did not hear
updater              worker: sends what the index keeps
mark, recovery       notice that a process was killed; worker: tell again
sweeper              worker: temporary files of killed processes
auditor              workers: is what is stored what was written?
audit, tour          one hash folder of them; the way from one to the next       (blocking)
audit_record         how far an audit is, kept in the index
expirer, expiring    worker: what has expired goes; what to do with which row    (pure)
replicator           worker: brings every replica to where it belongs; `visit` is one partition
replication_plan     what to send, and what may go                               (pure)
exchange/            the conversation between two replicas
partitions           a partition folder by folder                                (blocking)
suffix_hashes        a digest of each suffix, kept in the index                  (blocking)
presence             when a device was in step with the others
app                  all of it as one service
"""
