"""What Swift means: names, timestamps, rules.

No I/O, no asyncio, no clock, no third party but the hash functions.

    timestamp   one instant, with an offset; the order of all changes
    names       /v1/account/container/object, quoting, what is reserved
    hashing     name -> 128-bit hash -> partition
    policy      storage policies and their quorums
    limits      every limit that clients can hit
"""
