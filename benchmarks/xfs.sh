#!/bin/bash
# An XFS file system in a sparse file, to keep a server's data on; needs root.
#   benchmarks/xfs.sh up [FOLDER]      make it if it is missing, mount it, print where
#   benchmarks/xfs.sh down [FOLDER]    unmount it and remove the file
set -euo pipefail

action=${1:-}
folder=${2:-/tmp/swiftish-xfs}
image=$folder.img
size=${XFS_SIZE:-20G}

case $action in
up)
    command -v mkfs.xfs >/dev/null || { echo "xfs.sh: mkfs.xfs is missing: install xfsprogs" >&2; exit 1; }
    if ! mountpoint -q "$folder"; then
        mkdir -p "$folder"
        if [ ! -f "$image" ]; then
            truncate -s "$size" "$image"
            mkfs.xfs -q "$image"
        fi
        mount -o loop,noatime "$image" "$folder"
    fi
    echo "$folder"
    ;;
down)
    if mountpoint -q "$folder"; then umount "$folder"; fi
    rm -f "$image"
    rmdir "$folder" 2>/dev/null || true
    ;;
*)
    sed -n '2,4s/^# //p' "$0" >&2
    exit 2
    ;;
esac
