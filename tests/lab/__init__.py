"""A whole cluster of real processes on one machine, with devices and a network that can fail.

network   each node with an address of its own, and ways to cut them off
disks     devices: an XFS in a file each, where the machine allows it
topology  which nodes there are, and their settings files and rings
lab       all of it, started, harmed and looked at
"""
